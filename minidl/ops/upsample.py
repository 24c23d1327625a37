"""Resizing: images of another size, by the nearest pixel or by straight lines between pixels."""

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from minidl.backend import Array, check_float, xp
from minidl.ops._lowering import PerAxis, Sizes, check_image, per_axis
from minidl.ops._precision import widen

Result: TypeAlias = "tuple[Array, Callable[[Array], Array]]"
Taps: TypeAlias = "list[tuple[list[int], list[float]]]"  # y_i = sum over taps of weight_i x[index_i]


def upsample(
    x: Array, *, scale_factor: PerAxis | None = None, size: PerAxis | None = None, mode: str = "nearest"
) -> Result:
    """y = x in another size; the centre of output i of m lies at (i + 1/2) n / m of n pixels, each 1 wide."""
    check_float(x, "upsample")
    check_image(x, "upsample")
    sizes = _target(x.shape[1:-1], scale_factor, size)
    check_mode(mode, "upsample")
    if min(x.shape[1:-1]) < 1:
        raise ValueError(f"upsample: expected at least one pixel, got shape {x.shape}")
    find = _nearest if mode == "nearest" else _linear
    taps = [find(n, m) for n, m in zip(x.shape[1:-1], sizes, strict=True)]
    y = widen(x)
    for axis, of_axis in enumerate(taps, start=1):
        y = _gather(y, of_axis, axis)

    def pullback(dy: Array) -> Array:
        # dx = sum over outputs of dy times the weight of the pixel, one axis after the other
        dx = widen(dy)
        for axis in reversed(range(1, x.ndim - 1)):
            dx = _scatter(dx, taps[axis - 1], axis, x.shape[axis])
        return dx.astype(x.dtype, copy=False)

    return y.astype(x.dtype, copy=False), pullback


def check_mode(mode: str, owner: str) -> None:
    """Refuse any mode that does not exist."""
    if mode not in ("nearest", "bilinear"):
        raise ValueError(f'{owner}: expected mode as "nearest" or "bilinear", got {mode!r}')


def _target(shape: Sizes, scale_factor: PerAxis | None, size: PerAxis | None) -> Sizes:
    """Return the size that is asked for, in one of two ways."""
    if (scale_factor is None) == (size is None):
        raise ValueError(
            "upsample: expected either scale_factor or size, "
            f"got scale_factor={scale_factor!r}, size={size!r}"
        )
    if size is not None:
        return per_axis(size, len(shape), "size", "upsample")
    factors = per_axis(scale_factor or 0, len(shape), "scale_factor", "upsample")
    return tuple(n * factor for n, factor in zip(shape, factors, strict=True))


def _nearest(n: int, m: int) -> Taps:
    return [([i * n // m for i in range(m)], [1.0] * m)]


def _linear(n: int, m: int) -> Taps:
    """Return the two pixels around each output, and how much each counts; beyond the border only one does."""
    places = [max((i + 0.5) * n / m - 0.5, 0.0) for i in range(m)]
    below = [min(math.floor(place), n - 1) for place in places]
    shares = [place - low for place, low in zip(places, below, strict=True)]
    above = [min(low + 1, n - 1) for low in below]
    return [(below, [1 - share for share in shares]), (above, shares)]


def _gather(x: Array, taps: Taps, axis: int) -> Array:
    """Return the weighted sum of the pixels that each output looks at."""
    if len(taps) == 1:
        return x.take(xp.asarray(taps[0][0]), axis=axis)
    parts = [x.take(xp.asarray(at), axis=axis) * _along(weights, x, axis) for at, weights in taps]
    return xp.asarray(parts[0] + parts[1])


def _along(weights: Sequence[float], x: Array, axis: int) -> Array:
    return xp.asarray(weights, dtype=x.dtype).reshape(-1, *(1,) * (x.ndim - axis - 1))


def _scatter(dy: Array, taps: Taps, axis: int, n: int) -> Array:
    """Apply the adjoint of `_gather`, as a product: its sums have a fixed order on either backend."""
    pixels = xp.arange(n)
    shares = xp.zeros((n, dy.shape[axis]), dtype=dy.dtype)
    for at, weights in taps:
        shares += (pixels[:, None] == xp.asarray(at)) * xp.asarray(weights, dtype=dy.dtype)
    rows = dy.reshape(math.prod(dy.shape[:axis]), dy.shape[axis], math.prod(dy.shape[axis + 1 :]))
    return (shares @ rows).reshape(*dy.shape[:axis], n, *dy.shape[axis + 1 :])
