"""Pooling: the largest or the mean value of every window, channel by channel."""

import math
from collections.abc import Callable
from typing import TypeAlias

from minidl.backend import Array, check_float, xp
from minidl.ops._kernels._choice import fused
from minidl.ops._lowering import Padding, PerAxis, Window, check_image, make_window, row2im, taps
from minidl.ops._precision import widen
from minidl.ops.reduction import max as max_over
from minidl.ops.reduction import mean as mean_over

Result: TypeAlias = "tuple[Array, Callable[[Array], Array]]"


@fused("pool:max_pool")
def max_pool(
    x: Array,
    *,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
) -> Result:
    """y = largest x of each window, padding being -inf; of equal ones the first takes the gradient."""
    window = _check_pool(x, kernel_size, stride, padding, dilation, ceil_mode, "max_pool")
    shape = (x.shape[0], *window.output, x.shape[-1])
    (_, outs, ins), *others = taps(window)
    if x[ins].shape == shape:
        y = x[ins].copy()
    else:  # some windows begin in the padding
        y = xp.full(shape, -math.inf, dtype=x.dtype)
        y[outs] = x[ins]
    for _, outs, ins in others:
        xp.maximum(y[outs], x[ins], out=y[outs])

    def pullback(dy: Array) -> Array:
        # dx = sum over windows of dy at the first entry of x that is not below y; NaN is as good as infinity
        dy = dy.astype(x.dtype, copy=False)
        bound = xp.fmin(y, math.inf)
        open_windows = xp.ones(y.shape, dtype=bool)
        overlapping = any(reach > step for reach, step in zip(window.extent, window.stride, strict=True))
        bits = dy.view(f"i{dy.itemsize}")  # where has branches, and 0 times an infinite gradient would be NaN
        make = xp.empty if _is_partition(window) else xp.zeros  # each pixel is written once, or some never
        dx = make(x.shape, dtype=x.dtype)
        for _, outs, ins in taps(window):
            wins = open_windows[outs] > (x[ins] < bound[outs])
            if overlapping:
                dx[ins] += (bits[outs] * wins).view(dy.dtype)
            else:
                xp.multiply(bits[outs], wins, out=dx.view(bits.dtype)[ins])
            open_windows[outs] ^= wins
        return dx

    return y, pullback


def _is_partition(window: Window) -> bool:
    """Tell whether each pixel is seen by exactly one window."""
    plain = max(window.dilation) == 1 and not any(map(any, window.padding))
    meets = (m * k == n for m, k, n in zip(window.output, window.kernel, window.size, strict=True))
    return plain and window.kernel == window.stride and all(meets)


@fused("pool:avg_pool")
def avg_pool(
    x: Array,
    *,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Result:
    """y = mean x of each window; the padding, zeros, counts unless ``count_include_pad`` is false."""
    window = _check_pool(x, kernel_size, stride, padding, dilation, ceil_mode, "avg_pool")
    total = xp.zeros((x.shape[0], *window.output, x.shape[-1]), dtype=widen(x[:0]).dtype)
    for _, outs, ins in taps(window):
        total[outs] += x[ins]
    count = _count(window, count_include_pad, total)

    def pullback(dy: Array) -> Array:
        # dx = sum over windows of dy / count
        share = dy / count
        everywhere = xp.broadcast_to(share, (math.prod(window.kernel), *share.shape))
        return row2im(everywhere, window).astype(x.dtype, copy=False)

    return (total / count).astype(x.dtype, copy=False), pullback


def global_max_pool(x: Array) -> Result:
    """y = largest x of each image: (N, *spatial, C) to (N, C); of equal ones the first takes the gradient."""
    return max_over(x, axis=_spatial_axes(x, "global_max_pool"))


def global_avg_pool(x: Array) -> Result:
    """y = mean x of each image: (N, *spatial, C) to (N, C)."""
    return mean_over(x, axis=_spatial_axes(x, "global_avg_pool"))


def _count(window: Window, include_pad: bool, like: Array) -> Array:
    """Return how many entries of each window count, broadcastable to the outputs.

    Padding counts if it is to; what lies behind it, where ``ceil_mode`` may reach, never does.
    """
    count = xp.ones((1,) * like.ndim, dtype=like.dtype)
    for axis, n in enumerate(window.size):
        before, after = window.padding[axis] if include_pad else (0, 0)
        starts = [i * window.stride[axis] - window.padding[axis][0] for i in range(window.output[axis])]
        steps = [k * window.dilation[axis] for k in range(window.kernel[axis])]
        inside = [sum(-before <= start + step < n + after for step in steps) for start in starts]
        shape = [1] * like.ndim
        shape[axis + 1] = -1
        count = count * xp.asarray(inside, dtype=like.dtype).reshape(shape)
    return xp.maximum(count, 1)


def _check_pool(
    x: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: Padding,
    dilation: PerAxis,
    ceil_mode: bool,
    owner: str,
) -> Window:
    """Refuse what does not fit together; return the window that the kernel sees."""
    check_float(x, owner)
    check_image(x, owner)
    steps = kernel_size if stride is None else stride
    window = make_window(x.shape[1:-1], kernel_size, steps, padding, dilation, owner, ceil_mode=ceil_mode)
    if any(max(pads) >= reach for pads, reach in zip(window.padding, window.extent, strict=True)):
        raise ValueError(
            f"{owner}: expected padding smaller than the kernel, which reaches over {window.extent}, "
            f"got {window.padding}: a window would see padding alone"
        )
    return window


def _spatial_axes(x: Array, owner: str) -> tuple[int, ...]:
    check_float(x, owner)
    check_image(x, owner)
    if not math.prod(x.shape[1:-1]):
        raise ValueError(f"{owner}: expected at least one pixel, got shape {x.shape}")
    return tuple(range(1, x.ndim - 1))
