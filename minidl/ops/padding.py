"""Padding: more numbers around an array, of one value or taken from its border."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from minidl.backend import Array, check_array, xp
from minidl.ops._lowering import check_image, per_axis
from minidl.ops._precision import widen

Result: TypeAlias = "tuple[Array, Callable[[Array], Array]]"

Widths: TypeAlias = int | Sequence[int | Sequence[int]]  # for each spatial axis a number or (before, after)

MODES = ("constant", "reflect", "edge")


def pad(x: Array, *, width: Sequence[Sequence[int]], value: float = 0.0, mode: str = "constant") -> Result:
    """y = x with ``(before, after)`` more numbers along each axis: one value, its edge, or x mirrored."""
    check_array(x, "pad")
    if len(width) != x.ndim or any(len(w) != 2 or min(w) < 0 for w in width):
        raise ValueError(
            f"pad: expected a pair (before, after) >= 0 for each of the {x.ndim} axes, got {width}"
        )
    check_mode(mode, "pad")
    pairs = [(before, after) for before, after in width]
    if mode == "constant":
        inside = tuple(slice(before, before + n) for (before, _), n in zip(pairs, x.shape, strict=True))
        # dx = dy without the padding
        return xp.pad(x, pairs, constant_values=value), lambda dy: dy[inside]
    _check_border(x.shape, pairs, mode)

    def pullback(dy: Array) -> Array:
        # dx = dy without the padding, plus the padding where it came from, one axis after the other
        dx = widen(dy)
        for axis, pair in enumerate(pairs):
            if any(pair):
                dx = _folded(dx, axis, pair, x.shape[axis], mode)
        return dx.astype(dy.dtype, copy=False)

    return xp.pad(x, pairs, mode=mode), pullback  # type: ignore[call-overload]  # one of two literals


def pad_spatial(x: Array, *, padding: Widths, value: float = 0.0, mode: str = "constant") -> Result:
    """y = x with a wider border around each image: (N, *spatial, C) to (N, *out, C)."""
    check_image(x, "pad")
    rank = x.ndim - 2
    each: Sequence[Any] = padding if isinstance(padding, (tuple, list)) else (padding,) * rank
    if len(each) != rank:
        raise ValueError(
            f"pad: expected padding of {rank} entries, one for each spatial axis, got {padding!r}"
        )
    width = [per_axis(entry, 2, "padding", "pad", least=0) for entry in each]
    return pad(x, width=[(0, 0), *width, (0, 0)], value=value, mode=mode)


def check_mode(mode: str, owner: str) -> None:
    """Refuse any mode that does not exist."""
    if mode not in MODES:
        raise ValueError(f"{owner}: expected mode as one of {', '.join(MODES)}, got {mode!r}")


def _check_border(shape: tuple[int, ...], pairs: Sequence[tuple[int, int]], mode: str) -> None:
    """Refuse to take more from a border than there is."""
    for axis, (n, pair) in enumerate(zip(shape, pairs, strict=True)):
        least = max(pair) + 1 if mode == "reflect" else 1
        if any(pair) and n < least:
            raise ValueError(
                f"pad: expected a length of at least {least} along axis {axis} for the width {pair} "
                f"in mode {mode!r}, got shape {shape}"
            )


def _folded(dy: Array, axis: int, pair: tuple[int, int], n: int, mode: str) -> Array:
    """Add what was filled in along one axis to what it was taken from."""
    before, after = pair
    rows = xp.moveaxis(dy, axis, 0)
    dx = rows[before : before + n].copy()
    if mode == "edge":
        dx[0] += rows[:before].sum(axis=0)
        dx[-1] += rows[before + n :].sum(axis=0)
    else:
        dx[1 : before + 1] += rows[:before][::-1]
        dx[n - 1 - after : n - 1] += rows[before + n :][::-1]
    return xp.moveaxis(dx, 0, axis)
