"""Reductions: sums, means and extremes over one axis, several, or all."""

import math
from collections.abc import Callable
from typing import TypeAlias

from minidl.backend import Array, check_array, check_axis, check_float, xp
from minidl.ops._precision import widen

Axis: TypeAlias = "int | tuple[int, ...] | None"
Result: TypeAlias = "tuple[Array, Callable[[Array], Array]]"


def _axes(axis: Axis, ndim: int, owner: str) -> tuple[int, ...]:
    """Return the reduced axes, counted from the front and in order."""
    if axis is None:
        return tuple(range(ndim))
    listed = axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(sorted(check_axis(a, ndim, owner) for a in listed))
    if len(set(axes)) != len(axes):
        raise ValueError(f"{owner}: expected different axes, got {axis}")
    return axes


def _kept(x: Array, axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a reduction that keeps the reduced axes with length 1."""
    return tuple(1 if i in axes else n for i, n in enumerate(x.shape))


def sum(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Result:
    """y = sum of x over the axes."""
    check_array(x, "sum")
    axes = _axes(axis, x.ndim, "sum")
    y = xp.asarray(widen(x).sum(axis=axes, keepdims=keepdims), dtype=x.dtype if x.dtype.kind == "f" else None)

    def pullback(dy: Array) -> Array:
        # dx = dy, repeated along the axes
        return xp.broadcast_to(dy.reshape(_kept(x, axes)), x.shape).copy()

    return y, pullback


def mean(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Result:
    """y = mean of x over the axes; of no numbers at all it is NaN."""
    check_float(x, "mean")
    axes = _axes(axis, x.ndim, "mean")
    count = math.prod(x.shape[a] for a in axes) or math.nan
    y = xp.asarray(widen(x).sum(axis=axes, keepdims=keepdims) / count, dtype=x.dtype)

    def pullback(dy: Array) -> Array:
        # dx = dy / count, repeated along the axes
        share = (widen(dy) / count).astype(x.dtype, copy=False)  # half precision has no count above 65,504
        return xp.broadcast_to(share.reshape(_kept(x, axes)), x.shape).copy()

    return y, pullback


def max(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Result:
    """y = largest x over the axes; of equal ones the first takes the gradient."""
    return _extreme(x, "max", axis, keepdims)


def min(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Result:
    """y = smallest x over the axes; of equal ones the first takes the gradient."""
    return _extreme(x, "min", axis, keepdims)


def _extreme(x: Array, which: str, axis: Axis, keepdims: bool) -> Result:
    check_float(x, which)
    axes = _axes(axis, x.ndim, which)
    count = math.prod(x.shape[a] for a in axes)
    if not count:
        raise ValueError(f"{which}: expected at least one number along axis {axis}, got shape {x.shape}")
    y = xp.asarray(getattr(x, which)(axis=axes, keepdims=keepdims))

    def pullback(dy: Array) -> Array:
        # dx = dy at the first extreme in C order over the axes, 0 elsewhere
        last = tuple(range(x.ndim - len(axes), x.ndim))
        moved = xp.moveaxis(x, axes, last)
        rows = moved.reshape(math.prod(moved.shape[: x.ndim - len(axes)]), count)
        winner = getattr(rows, "arg" + which)(axis=-1)[:, None] == xp.arange(count)
        dx = xp.where(winner, dy.reshape(-1, 1), 0).reshape(moved.shape)
        return xp.moveaxis(dx, last, axes).copy()

    return y, pullback
