"""Kernels over images: the slow loops that say what is right."""

import itertools
from collections.abc import Iterator

import numpy as np

from minidl.testing.strategies import Geometry as Geometry
from minidl.testing.strategies import geometries as geometries

Index = tuple[int, ...]


def output_size(g: Geometry) -> Index:
    """Count the windows that end on the padded image, one after another."""
    counts = []
    for n, k, s, (before, after), d in zip(*g, strict=True):
        counts.append(sum(start + (k - 1) * d < n + after for start in range(-before, n + after, s)))
    return tuple(counts)


def ceil_output_size(g: Geometry) -> Index:
    """Count as many windows as it takes to cover the padded image, as long as they start before its end."""
    counts = []
    for n, k, s, (before, after), d in zip(*g, strict=True):
        count = 1
        while (count - 1) * s - before + (k - 1) * d < n + after - 1 and count * s - before < n:
            count += 1
        counts.append(count)
    return tuple(counts)


def entries(g: Geometry, window: Index) -> Iterator[tuple[Index, Index, bool]]:
    """Visit a window: the index in the kernel, the position in the image, and whether it lies on it."""
    for k in itertools.product(*map(range, g.kernel_size)):
        at = tuple(
            i * s + j * d - before
            for i, j, s, d, (before, _) in zip(window, k, g.stride, g.dilation, g.padding, strict=True)
        )
        yield k, at, all(0 <= a < n for a, n in zip(at, g.size, strict=True))


def naive_im2row(x: np.ndarray, g: Geometry) -> np.ndarray:
    out = output_size(g)
    rows = np.zeros((len(x), *out, *g.kernel_size, x.shape[-1]), x.dtype)
    for n, window in itertools.product(range(len(x)), np.ndindex(out)):
        for k, at, inside in entries(g, window):
            if inside:
                rows[(n, *window, *k)] = x[(n, *at)]
    return rows.reshape(len(x), *out, -1) if len(x) else rows.reshape(0, *out, x.shape[-1])


def naive_conv(x: np.ndarray, w: np.ndarray, b: np.ndarray, g: Geometry, groups: int = 1) -> np.ndarray:
    """Loop over samples, windows, output channels, entries of the kernel and input channels."""
    out, per_group, outputs = output_size(g), w.shape[-2], w.shape[-1]
    y = np.zeros((len(x), *out, outputs))
    for n, window, o in itertools.product(range(len(x)), np.ndindex(out), range(outputs)):
        first = o // (outputs // groups) * per_group
        total = float(b[o])
        for k, at, inside in entries(g, window):
            if inside:
                for c in range(per_group):
                    total += float(x[(n, *at, first + c)]) * float(w[(*k, c, o)])
        y[(n, *window, o)] = total
    return y


def naive_max_pool(x: np.ndarray, g: Geometry, out: Index) -> np.ndarray:
    y = np.full((len(x), *out, x.shape[-1]), -np.inf)
    for n, window, c in itertools.product(range(len(x)), np.ndindex(out), range(x.shape[-1])):
        for _, at, inside in entries(g, window):
            if inside and x[(n, *at, c)] > y[(n, *window, c)]:
                y[(n, *window, c)] = x[(n, *at, c)]
    return y


def naive_avg_pool(x: np.ndarray, g: Geometry, out: Index, include_pad: bool) -> np.ndarray:
    y = np.zeros((len(x), *out, x.shape[-1]))
    for n, window, c in itertools.product(range(len(x)), np.ndindex(out), range(x.shape[-1])):
        total, count = 0.0, 0
        for _, at, inside in entries(g, window):
            padded = zip(at, g.size, g.padding, strict=True)
            counts = inside or (include_pad and all(-p <= a < m + q for a, m, (p, q) in padded))
            total, count = total + (x[(n, *at, c)] if inside else 0.0), count + counts
        y[(n, *window, c)] = total / max(count, 1)
    return y
