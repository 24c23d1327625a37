"""Adaptive pooling: means of as many regions as are wanted, whatever the size of the image."""

from collections.abc import Callable
from typing import TypeAlias

from minidl.backend import Array, check_float, xp
from minidl.ops._lowering import PerAxis, check_image, per_axis
from minidl.ops._precision import widen

Result: TypeAlias = "tuple[Array, Callable[[Array], Array]]"
Region: TypeAlias = "tuple[slice, ...]"


def adaptive_avg_pool(x: Array, *, output_size: PerAxis) -> Result:
    """y_i = mean of x from floor(i n / m) to below ceil((i + 1) n / m), for m outputs of n pixels."""
    check_float(x, "adaptive_avg_pool")
    check_image(x, "adaptive_avg_pool")
    sizes = per_axis(output_size, x.ndim - 2, "output_size", "adaptive_avg_pool")
    if min(x.shape[1:-1]) < 1:
        raise ValueError(f"adaptive_avg_pool: expected at least one pixel, got shape {x.shape}")
    y = widen(x)
    for axis, m in enumerate(sizes, start=1):
        y = xp.concatenate(
            [y[r].mean(axis=axis, keepdims=True) for r in _regions(x.shape[axis], m, axis)], axis=axis
        )

    def pullback(dy: Array) -> Array:
        # dx = sum over regions of dy / size of the region, one axis after the other
        dx = widen(dy)
        for axis, m in reversed(list(enumerate(sizes, start=1))):
            dx = _spread(dx, x.shape[axis], m, axis)
        return dx.astype(x.dtype, copy=False)

    return y.astype(x.dtype, copy=False), pullback


def _regions(n: int, m: int, axis: int) -> list[Region]:
    """Return where along an axis of n pixels each of m regions lies."""
    return [(slice(None),) * axis + (slice(i * n // m, -(-(i + 1) * n // m)),) for i in range(m)]


def _spread(dy: Array, n: int, m: int, axis: int) -> Array:
    """Share the gradient of the means along one axis among the pixels of each region."""
    dx = xp.zeros((*dy.shape[:axis], n, *dy.shape[axis + 1 :]), dtype=dy.dtype)
    for i, region in enumerate(_regions(n, m, axis)):
        span = region[axis]
        dx[region] += dy[(slice(None),) * axis + (slice(i, i + 1),)] / (span.stop - span.start)
    return dx
