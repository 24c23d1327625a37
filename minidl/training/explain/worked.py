"""A number worked through: what it is made of, by plain arithmetic, and whether the layer says the same."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from minidl.training.explain.seen import Call

Cell: TypeAlias = str | int | float
Index: TypeAlias = tuple[int, ...]

ROUNDING = 64
"""How many units in the last place of the largest number on the way a layer may be off."""


class Working(NamedTuple):
    """How one number comes about.

    Args:
        value: the number, in double precision.
        scale: the size of what it was made of; rounding is measured by it.
        steps: lines in the notation of `notation`.
        columns: headings of the table of what it is made of.
        rows: that table; where the last column has numbers, it is their sum that the steps go on with.
        error: by how much the number itself may be off, where it is no plain arithmetic.
    """

    value: float
    scale: float
    steps: Sequence[str]
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Cell]] = ()
    error: float = 0.0


Hand: TypeAlias = Callable[[Call, Index], Working]


class Worked(NamedTuple):
    """A chosen element of an output or a gradient, worked through and compared with the layer's own."""

    target: str
    """Which element, such as ``"y[0, 3]"``."""
    value: float
    """By plain arithmetic in double precision."""
    found: float
    """In the array of the layer."""
    agrees: bool
    """Whether both are equal to the precision of the layer's dtype."""
    steps: list[str]
    columns: list[str]
    rows: list[list[Cell]]


def work_through(call: Call, name: str, array: Any, index: Index, hand: Hand) -> Worked:
    """Work an element of an array of a call through, and compare."""
    working = hand(call, index)
    found, value = float(array[index]), float(working.value)
    return Worked(
        at(name, index),
        value,
        found,
        close(value, found, working.scale, array.dtype, working.error),
        list(working.steps),
        list(working.columns),
        [list(row) for row in working.rows],
    )


def close(value: float, found: float, scale: float, dtype: Any, error: float = 0.0) -> bool:
    """Tell whether two numbers are the same up to the rounding of a dtype; NaN equals NaN."""
    if not math.isfinite(value) or not math.isfinite(found):
        return value == found or (math.isnan(value) and math.isnan(found))
    digits = {2: 2.0**-10, 4: 2.0**-23}.get(dtype.itemsize, 2.0**-52)
    tiny = {2: 2.0**-24, 4: 2.0**-126}.get(dtype.itemsize, 0.0)
    size = max(scale if scale > 0 else 0.0, abs(value))
    return abs(value - found) <= ROUNDING * (digits * size + tiny) + error


def at(name: str, index: Sequence[int]) -> str:
    """Return the name of an element: ``y[0, 3]``."""
    return f"{name}[{', '.join(str(int(i)) for i in index)}]" if len(index) else name


def number(value: float) -> str:
    """Return a number with six digits."""
    return f"{float(value) + 0.0:.6g}"  # which is never -0


def signed(value: float) -> str:
    """Return a number that stands in a product: in parentheses if it is negative."""
    return f"({number(value)})" if value < 0 else number(value)


def weighed(
    target: str,
    columns: tuple[str, str],
    parts: Sequence[tuple[str, float, str, float]],
    plus: Sequence[tuple[str, float]] = (),
    note: str = "",
) -> Working:
    """Work out a sum of products, given as ``(name, value, name, value)``, plus single numbers."""
    rows: list[Sequence[Cell]] = [(a, x, b, w, x * w) for a, x, b, w in parts]
    total = sum(float(row[-1]) for row in rows)
    value = total + sum(v for _, v in plus)
    scale = sum(abs(float(row[-1])) for row in rows) + sum(abs(v) for _, v in plus)
    steps = [f"the {len(rows)} products add up to {number(total)}" if len(rows) > 1 else ""]
    names = " + ".join(["the product" if len(rows) == 1 else "their sum", *(name for name, _ in plus)])
    numbers = " + ".join([number(total), *(signed(v) for _, v in plus)])
    steps += [f"{target} = {names} = {numbers}" + (f" = {number(value)}" if plus else "")]
    if not rows:
        steps = [f"{target} = {' + '.join(name for name, _ in plus) or '0'} = {number(value)}"]
    steps += [note]
    left, right = columns
    return Working(value, scale, [s for s in steps if s], (left, "", right, "", "product"), rows)
