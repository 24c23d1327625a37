"""Layers that look at windows of images without weights: pooling, resizing, padding."""

import itertools
import math
from collections.abc import Callable
from typing import Any

from minidl.ops._lowering import make_window, per_axis
from minidl.training.explain.seen import Call
from minidl.training.explain.worked import Index, Working, at, number, weighed

Taps = list[tuple[int, float]]
"""Pixels along one axis, and how much each counts."""
Axis = Callable[[Any, int, int, int], list[Taps]]
"""Takes the layer, the axis and the lengths before and after; returns what each output looks at."""


def spread(axis_taps: Axis) -> tuple[Callable[[Call, Index], Working], Callable[[Call, Index], Working]]:
    """Return how to work out a layer that weighs pixels axis by axis: its output and its gradient."""

    def output(call: Call, index: Index) -> Working:
        n, *place, c = _full(call, "y", index)
        lines = [taps[p] for taps, p in zip(_all_taps(call, axis_taps), place, strict=True)]
        parts = _parts(call, "x", lines, n, c, lambda i: i)
        outside = [] if parts else [("the value of the padding", float(getattr(call.layer, "value", 0.0)))]
        return weighed(at("y", index), ("input", "share"), parts, outside)

    def gradient(call: Call, index: Index) -> Working:
        n, *pixel, c = index
        lines = [
            [(i, w) for i, taps in enumerate(of_axis) for q, w in taps if q == p]
            for of_axis, p in zip(_all_taps(call, axis_taps), pixel, strict=True)
        ]
        flat = call.y.ndim == 2
        parts = _parts(call, "dy", lines, n, c, lambda i: (i[0], i[-1]) if flat else i)
        return weighed(at("dx", index), ("upstream", "share"), parts)

    return output, gradient


def _full(call: Call, name: str, index: Index) -> Index:
    """Return the index with an entry for each axis of the image, which a global mean has lost."""
    return index if len(index) == call.x.ndim else (index[0], *(0,) * (call.x.ndim - 2), index[-1])


def _all_taps(call: Call, axis_taps: Axis) -> list[list[Taps]]:
    after = call.y.shape[1:-1] or (1,) * (call.x.ndim - 2)
    sizes = enumerate(zip(call.x.shape[1:-1], after, strict=True))
    return [axis_taps(call.layer, i, n, m) for i, (n, m) in sizes]


def _parts(
    call: Call, name: str, lines: list[Taps], n: int, c: int, place: Callable[[Any], Any]
) -> list[Any]:
    array, parts = call.host(name), []
    for combination in itertools.product(*lines):
        index = place((n, *(p for p, _ in combination), c))
        parts.append((at(name, index), float(array[index]), "", math.prod(w for _, w in combination)))
    return parts


def whole_axis(layer: Any, axis: int, n: int, m: int) -> list[Taps]:
    """All pixels count the same."""
    return [[(p, 1 / n) for p in range(n)]]


def regions(layer: Any, axis: int, n: int, m: int) -> list[Taps]:
    """Output i has the mean of the pixels from floor(i n / m) to ceil((i + 1) n / m)."""
    spans = [range(math.floor(i * n / m), math.ceil((i + 1) * n / m)) for i in range(m)]
    return [[(p, 1 / len(span)) for p in span] for span in spans]


def mean_windows(layer: Any, axis: int, n: int, m: int) -> list[Taps]:
    """Each window has the mean of what it sees, with the padding or without."""
    kernel, stride, before, after, dilation = _along(layer, axis, n)
    taps = []
    for i in range(m):
        pixels = [i * stride - before + k * dilation for k in range(kernel)]
        pads = (before, after) if layer.count_include_pad else (0, 0)
        count = sum(-pads[0] <= p < n + pads[1] for p in pixels)
        taps.append([(p, 1 / count) for p in pixels if 0 <= p < n])
    return taps


def resized(layer: Any, axis: int, n: int, m: int) -> list[Taps]:
    """The nearest pixel, or the two beside the place (i + 1/2) n / m - 1/2 by how near they are."""
    if layer.mode == "nearest":
        return [[(i * n // m, 1.0)] for i in range(m)]
    taps = []
    for i in range(m):
        place = max((i + 0.5) * n / m - 0.5, 0.0)
        low = min(int(place), n - 1)
        share, high = place - low, min(low + 1, n - 1)
        taps.append([(low, 1.0)] if low == high else [(low, 1 - share), (high, share)])
    return taps


def padded(layer: Any, axis: int, n: int, m: int) -> list[Taps]:
    """A pixel of the image, or for the padding its edge, its mirror image, or none."""
    padding = layer.padding
    entry = padding[axis] if isinstance(padding, (tuple, list)) else padding
    before, _ = per_axis(entry, 2, "padding", "Pad", least=0)
    taps: list[Taps] = []
    for i in range(m):
        p = i - before
        if layer.mode == "edge":
            p = min(max(p, 0), n - 1)
        elif layer.mode == "reflect":
            p = -p if p < 0 else 2 * (n - 1) - p if p >= n else p
        taps.append([(p, 1.0)] if 0 <= p < n else [])
    return taps


def max_output(call: Call, index: Index) -> Working:
    """y = the largest x of the window."""
    pixels = _pixels(call, _full(call, "y", index))
    x = call.host("x")
    values = [float(x[p]) for p in pixels]
    value = math.nan if any(map(math.isnan, values)) else max(values)
    steps = [f"{at('y', index)} = the largest of {len(values)} = {number(value)}"]
    rows = [
        (at("x", p), v, "<- the largest" if v == value else "") for p, v in zip(pixels, values, strict=True)
    ]
    return Working(value, abs(value), steps, ("input", "value", ""), rows)


def max_gradient(call: Call, index: Index) -> Working:
    """dx = dy of each window whose first largest entry this is."""
    x, dy, (n, *_, c) = call.host("x"), call.host("dy"), index
    spatial, rows = call.y.shape[1:-1] if call.y.ndim > 2 else (1,) * (call.x.ndim - 2), []
    for place in itertools.product(*map(range, spatial)):
        pixels = _pixels(call, (n, *place, c))
        if index not in pixels:
            continue
        values = [float(x[p]) for p in pixels]
        won = pixels[values.index(max(values))] == index
        source = (n, *place, c) if call.y.ndim > 2 else (n, c)
        rows.append(
            (at("dy", source), "the largest" if won else "another is", float(dy[source]) if won else 0.0)
        )
    value = sum(row[2] for row in rows)
    windows = "1 window sees" if len(rows) == 1 else f"{len(rows)} windows see"
    steps = [
        f"{windows} {at('x', index)} = {number(float(x[index]))}; dy comes back where it is the first largest"
    ]
    steps.append(f"{at('dx', index)} = {number(value)}")
    return Working(value, sum(abs(r[2]) for r in rows), steps, ("upstream", "", "comes back"), rows)


def _pixels(call: Call, index: Index) -> list[Index]:
    """Return the pixels of the input that the window of an output sees."""
    n, *place, c = index
    if not hasattr(call.layer, "kernel_size"):
        lines = [list(range(size)) for size in call.x.shape[1:-1]]
    else:
        lines = []
        for axis, (i, size) in enumerate(zip(place, call.x.shape[1:-1], strict=True)):
            kernel, stride, before, _, dilation = _along(call.layer, axis, size)
            line = (i * stride - before + k * dilation for k in range(kernel))
            lines.append([p for p in line if 0 <= p < size])
    return [(n, *pixel, c) for pixel in itertools.product(*lines)]


def _along(layer: Any, axis: int, n: int) -> tuple[int, int, int, int, int]:
    """Return kernel, stride, padding before and after, and dilation along one axis."""

    def of_axis(option: Any) -> Any:
        return (option[axis],) if isinstance(option, (tuple, list)) else option

    stride = layer.kernel_size if layer.stride is None else layer.stride
    kernel, step, padding, dilation = map(of_axis, (layer.kernel_size, stride, layer.padding, layer.dilation))
    window = make_window((n,), kernel, step, padding, dilation, type(layer).__name__)
    (before, after) = window.padding[0]
    return window.kernel[0], window.stride[0], before, after, window.dilation[0]
