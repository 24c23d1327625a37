"""The derivative of a function along a line, by differences alone, and how far it can be trusted."""

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from minidl.backend import Array, xp
from minidl.testing.subject import Arrays, Run

EPS = sys.float_info.epsilon
STEP = EPS ** (1 / 3)  # where truncation and rounding of a central difference balance
FACTORS = (1.0, 16.0, 1 / 16, 256.0, 1 / 256)  # of the step: the first that is good enough is taken
ROUNDING = 8 * EPS  # of a value, relative to itself
SETTLED = 1e-6  # how well two steps agree on a derivative that exists, relative to it
COMPLEX_STEP = 1e-40


class Slope(NamedTuple):
    """A derivative, with a bound on its error; not ``smooth`` where there seems to be a kink."""

    value: float
    doubt: float
    smooth: bool = True
    step: float = math.inf


def line(run: Run, arrays: Sequence[Array], i: int, direction: Array) -> Callable[[complex], Arrays]:
    """Return the outputs as a function of t, where argument number ``i`` moves by ``t * direction``."""

    def along(t: complex) -> Arrays:
        return run([*arrays[:i], xp.asarray(arrays[i] + t * direction), *arrays[i + 1 :]])[0]

    return along


def scale_of(x: Array) -> float:
    """Return the size of the numbers in an array; 1 for zeros."""
    return math.sqrt(float((x * x).mean())) or 1.0 if x.size else 1.0


def central(
    along: Callable[[complex], Arrays],
    y: Arrays,
    dy: Arrays,
    scale: float,
    size: float,
    rtol: float,
    rounding: float = 0.0,
) -> Slope:
    """Return the derivative of ``sum(along(t) * dy)`` at 0 by central differences.

    Args:
        along: the outputs at t.
        y: the outputs at 0.
        dy: their weights.
        scale: of the numbers that t moves.
        size: of the derivative that is expected: what is small compared with it does not matter.
        rtol: the relative error that is good enough.
        rounding: of the sum, where that is known to be more than what its terms suggest.
    """
    best = Slope(math.nan, math.inf, smooth=False)
    for factor in FACTORS:
        slope = _central(along, y, dy, STEP * scale * factor, size, rounding)
        if (slope.smooth, -slope.doubt) > (best.smooth, -best.doubt):
            best = slope
        if best.smooth and best.doubt <= rtol * (size + abs(best.value)):
            break
    return best


def _central(
    along: Callable[[complex], Arrays], y: Arrays, dy: Arrays, h: float, size: float, rounding: float
) -> Slope:
    """Compare the steps h and h / 2; a kink shows in the slopes, or in the second differences."""
    slopes, bends = [], []
    for step in (h, h / 2):
        ahead, behind = along(step), along(-step)
        slopes.append(_dot((a - b for a, b in zip(ahead, behind, strict=True)), dy) / (2 * step))
        thirds = zip(ahead, y, behind, strict=True)
        bends.append(_dot(((a - m) - (m - b) for a, m, b in thirds), dy) / step)
    terms = ROUNDING * sum(float((abs(a) * abs(b)).sum()) for a, b in zip(y, dy, strict=True))
    noise = (terms + rounding) / h
    gap = abs(slopes[0] - slopes[1]) + abs(bends[0] - 2 * bends[1])
    smooth = gap <= SETTLED * (size + abs(slopes[1])) + 4 * noise
    return Slope(slopes[1], gap + noise, smooth, h)


def jittered(x: Array, rng: np.random.Generator) -> Array:
    """Return an array that differs by rounding alone."""
    if x.dtype.kind != "f":
        return x
    return xp.asarray(x + ROUNDING * scale_of(x) * xp.asarray(rng.normal(size=x.shape)))


def complex_step(along: Callable[[complex], Arrays], dy: Arrays, scale: float, name: str) -> Slope:
    """Return the derivative by one step into the complex plane (Squire and Trapp, 1998): no subtraction.

    Raises:
        TypeError: the function refuses complex numbers, or drops their imaginary part.
    """
    h = COMPLEX_STEP * scale
    try:
        y = along(1j * h)
    except TypeError as error:
        raise TypeError(f"{name}: refuses complex arrays ({error}); use method='central'") from error
    if any(part.dtype.kind != "c" for part in y):
        raise TypeError(f"{name}: drops the imaginary part of its input; use method='central'")
    return Slope(_dot((part.imag for part in y), dy) / h, 0.0)


def numeric_jacobian(run: Run, arrays: Sequence[Array], i: int) -> Array:
    """Return all derivatives of the outputs by the elements of argument ``i``: ``(outputs, inputs)``."""
    x, columns = arrays[i], []
    h = 4 * STEP * scale_of(x)
    for index in range(x.size):
        unit = xp.zeros(x.size, dtype=x.dtype)
        unit[index] = 1
        along = line(run, arrays, i, unit.reshape(x.shape))
        # The error of one step is cancelled by another of half its length (Richardson, 1911).
        long, short = (_flat(along(t)) - _flat(along(-t)) for t in (h, h / 2))
        columns.append((8 * short - long) / (6 * h))
    rows = len(_flat(run(arrays)[0])) if not columns else len(columns[0])
    return xp.stack(columns, axis=1) if columns else xp.zeros((rows, 0))


def _flat(parts: Arrays) -> Array:
    return xp.concatenate([part.reshape(-1) for part in parts])


def _dot(parts: Iterable[Array], dy: Arrays) -> float:
    return float(sum((part * d).sum() for part, d in zip(parts, dy, strict=True)))
