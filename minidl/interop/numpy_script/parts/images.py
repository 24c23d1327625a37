"""Convolution and pooling over one to three axes, channels last: (N, *spatial, C)."""

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Sizes = tuple[int, ...]
Padding = str | tuple[tuple[int, int], ...]


def pads(
    size: Sizes, kernel: Sizes, stride: Sizes, padding: Padding, dilation: Sizes
) -> list[tuple[int, int]]:
    """Return how many entries to add before and after each axis; "same" gives ceil(size / stride) windows."""
    if not isinstance(padding, str):
        return list(padding)
    pairs = []
    for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
        total = max(0, (math.ceil(n / s) - 1) * s + (k - 1) * d + 1 - n)
        pairs.append((total // 2, total - total // 2))
    return pairs


def windows(x: Array, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Array:
    """What each window sees: (N, *spatial, C) to (N, *out, *kernel, C), without a copy."""
    axes = tuple(range(1, x.ndim - 1))
    reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    seen = np.lib.stride_tricks.sliding_window_view(x, reach, axes)
    every = (slice(None), *(slice(None, None, s) for s in stride), slice(None))
    seen = seen[(*every, *(slice(None, None, d) for d in dilation))]
    return np.moveaxis(seen, x.ndim - 1, -1)


def padded(x: Array, pairs: list[tuple[int, int]], value: float = 0.0) -> Array:
    """Add entries of one value around the spatial axes."""
    return np.pad(x, [(0, 0), *pairs, (0, 0)], constant_values=value)


def scattered(
    dwindows: Array, size: Sizes, pairs: list[tuple[int, int]], stride: Sizes, dilation: Sizes
) -> Array:
    """Add what belongs to each window's entries, (N, *out, *kernel, C), back to an image of this size."""
    rank = len(size)
    n, out, kernel = len(dwindows), dwindows.shape[1 : 1 + rank], dwindows.shape[1 + rank : -1]
    whole = [m + before + after for m, (before, after) in zip(size, pairs, strict=True)]
    dx = np.zeros((n, *whole, dwindows.shape[-1]), dwindows.dtype)
    for tap in np.ndindex(*kernel):
        place = [
            slice(t * d, t * d + (m - 1) * s + 1, s)
            for t, d, m, s in zip(tap, dilation, out, stride, strict=True)
        ]
        dx[(slice(None), *place)] += dwindows[(slice(None),) * (1 + rank) + tap]
    return dx[(slice(None), *(slice(before, before + m) for m, (before, _) in zip(size, pairs, strict=True)))]


def conv(
    x: Array, w: Array, b: Array | None, stride: Sizes, padding: Padding, dilation: Sizes, groups: int = 1
) -> Array:
    """Each window times each kernel: (N, *spatial, C) to (N, *out, O), with w (*kernel, C / groups, O)."""
    kernel = w.shape[:-2]
    pairs = pads(x.shape[1:-1], kernel, stride, padding, dilation)
    rows = windows(padded(x, pairs), kernel, stride, dilation)
    out = rows.shape[: x.ndim - 1]
    parts = []
    for channels, wg in zip(np.split(rows, groups, axis=-1), np.split(w, groups, axis=-1), strict=True):
        flat = wg.reshape(-1, wg.shape[-1])
        parts.append((channels.reshape(-1, len(flat)) @ flat).reshape(*out, wg.shape[-1]))
    y = np.concatenate(parts, axis=-1)
    return y if b is None else y + b


def conv_backward(
    dy: Array, x: Array, w: Array, stride: Sizes, padding: Padding, dilation: Sizes, groups: int = 1
) -> tuple[Array, Array, Array]:
    """dw = windows^T dy, dx = dy w^T added back to where each window lies, db = sum of dy."""
    kernel = w.shape[:-2]
    pairs = pads(x.shape[1:-1], kernel, stride, padding, dilation)
    rows = windows(padded(x, pairs), kernel, stride, dilation)
    dparts, dweights = [], []
    split = (np.split(a, groups, axis=-1) for a in (dy, rows, w))
    for dyg, channels, wg in zip(*split, strict=True):
        flat, dflat = wg.reshape(-1, wg.shape[-1]), dyg.reshape(-1, dyg.shape[-1])
        dweights.append((channels.reshape(-1, len(flat)).T @ dflat).reshape(wg.shape))
        dparts.append((dflat @ flat.T).reshape(channels.shape))
    dx = scattered(np.concatenate(dparts, axis=-1), x.shape[1:-1], pairs, stride, dilation)
    return dx, np.concatenate(dweights, axis=-1), dy.reshape(-1, dy.shape[-1]).sum(axis=0)


def max_pool(x: Array, kernel: Sizes, stride: Sizes, padding: Padding, dilation: Sizes) -> Array:
    """The largest value of each window: (N, *spatial, C) to (N, *out, C)."""
    pairs = pads(x.shape[1:-1], kernel, stride, padding, dilation)
    seen = windows(padded(x, pairs, -np.inf), kernel, stride, dilation)
    y: Array = seen.max(axis=tuple(range(x.ndim - 1, seen.ndim - 1)))
    return y


def max_pool_backward(
    dy: Array, x: Array, kernel: Sizes, stride: Sizes, padding: Padding, dilation: Sizes
) -> Array:
    """dy goes to the first largest value of each window."""
    pairs = pads(x.shape[1:-1], kernel, stride, padding, dilation)
    seen = windows(padded(x, pairs, -np.inf), kernel, stride, dilation)
    entries = seen.reshape(*dy.shape[:-1], -1, dy.shape[-1])
    first = entries.argmax(axis=-2)[..., None, :]
    chosen = np.arange(entries.shape[-2])[:, None] == first
    dwindows = (chosen * dy[..., None, :]).reshape(seen.shape)
    return scattered(dwindows, x.shape[1:-1], pairs, stride, dilation)


def pool_counts(
    x: Array, kernel: Sizes, stride: Sizes, pairs: list[tuple[int, int]], dilation: Sizes
) -> Array:
    """How many entries of each window lie on the image: (1, *out, 1)."""
    ones = padded(np.ones((1, *x.shape[1:-1], 1), x.dtype), pairs)
    seen = windows(ones, kernel, stride, dilation)
    count: Array = seen.sum(axis=tuple(range(x.ndim - 1, seen.ndim - 1)))
    return count


def avg_pool(
    x: Array, kernel: Sizes, stride: Sizes, padding: Padding, dilation: Sizes, count_include_pad: bool = True
) -> Array:
    """The mean of each window, in which padding counts as zeros or not at all."""
    pairs = pads(x.shape[1:-1], kernel, stride, padding, dilation)
    seen = windows(padded(x, pairs), kernel, stride, dilation)
    total: Array = seen.sum(axis=tuple(range(x.ndim - 1, seen.ndim - 1)))
    return total / (
        math.prod(kernel) if count_include_pad else pool_counts(x, kernel, stride, pairs, dilation)
    )


def avg_pool_backward(
    dy: Array,
    x: Array,
    kernel: Sizes,
    stride: Sizes,
    padding: Padding,
    dilation: Sizes,
    count_include_pad: bool = True,
) -> Array:
    """Each entry of a window gets dy / count."""
    pairs = pads(x.shape[1:-1], kernel, stride, padding, dilation)
    share = dy / (math.prod(kernel) if count_include_pad else pool_counts(x, kernel, stride, pairs, dilation))
    shape = (*dy.shape[:-1], *kernel, dy.shape[-1])
    spread = np.broadcast_to(share.reshape(*dy.shape[:-1], *(1,) * len(kernel), dy.shape[-1]), shape)
    return scattered(spread, x.shape[1:-1], pairs, stride, dilation)


def global_avg_pool(x: Array) -> Array:
    """The mean of each channel: (N, *spatial, C) to (N, C)."""
    y: Array = x.mean(axis=tuple(range(1, x.ndim - 1)))
    return y


def global_avg_pool_backward(dy: Array, x: Array) -> Array:
    """dx = dy / positions, everywhere."""
    share = (dy / math.prod(x.shape[1:-1])).reshape(len(x), *(1,) * (x.ndim - 2), x.shape[-1])
    return np.broadcast_to(share, x.shape)


def global_max_pool(x: Array) -> Array:
    """The largest value of each channel: (N, *spatial, C) to (N, C)."""
    y: Array = x.max(axis=tuple(range(1, x.ndim - 1)))
    return y


def global_max_pool_backward(dy: Array, x: Array) -> Array:
    """dy goes to the first largest value of each channel."""
    rows = x.reshape(len(x), -1, x.shape[-1])
    chosen = np.arange(rows.shape[1])[:, None] == rows.argmax(axis=1)[:, None, :]
    dx: Array = (chosen * dy[:, None, :]).reshape(x.shape)
    return dx
