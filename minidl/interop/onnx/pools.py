"""How pooling layers are written: by ONNX's operators, the rounding of sizes turned into padding."""

import math
from typing import Any

from minidl import layers, ops
from minidl.backend import xp
from minidl.interop.onnx.graph import Graph, Row, Value, Writer
from minidl.interop.onnx.images import padded, pixels, weighted, window_options
from minidl.ops._lowering import Window, make_window


def max_pool(graph: Graph, layer: layers.MaxPool, x: Value) -> str:
    """Padding is minus infinity, also in a window that sees nothing else: ONNX leaves that open."""
    window, pads = _window(layer, x)
    inside = _fits(window, pads)
    image = x.name if inside else padded(graph, x, pads, -math.inf)
    pooled = graph.add("MaxPool", image, **window_options(window, pads if inside else [(0, 0)] * len(pads)))
    blind = layer.predict(xp.zeros((1, *window.size, 1), x.array.dtype))[0, ..., 0]
    return graph.add("Add", pooled, graph.constant(blind, "blind")) if xp.isinf(blind).any() else pooled


def avg_pool(graph: Graph, layer: layers.AvgPool, x: Value) -> str:
    """One operator where it counts as minidl does and runs; else products with the means of each axis."""
    window, pads = _window(layer, x)
    beyond = any(after > own for (_, after), (_, own) in zip(pads, window.padding, strict=True))
    include = layer.count_include_pad
    if _fits(window, pads) and not (include and beyond) and x.array.dtype != xp.float64:
        return graph.add("AveragePool", x, **window_options(window, pads), count_include_pad=int(include))
    each_axis = zip(window.kernel, window.stride, window.padding, window.dilation, strict=True)
    means = [
        ops.avg_pool(
            pixels(x, axis),
            kernel_size=kernel,
            stride=stride,
            padding=(padding,),
            dilation=dilation,
            ceil_mode=layer.ceil_mode,
            count_include_pad=include,
        )[0]
        for axis, (kernel, stride, padding, dilation) in enumerate(each_axis, start=1)
    ]
    return weighted(graph, x, means)


def _window(layer: Any, x: Value) -> tuple[Window, list[tuple[int, int]]]:
    """Return the window of a pooling, and the padding that its last windows reach."""
    window = make_window(
        x.shape[1:-1],
        layer.kernel_size,
        layer.kernel_size if layer.stride is None else layer.stride,
        layer.padding,
        layer.dilation,
        type(layer).__name__,
        ceil_mode=layer.ceil_mode,
    )
    spans = zip(window.size, window.output, window.stride, window.extent, window.padding, strict=True)
    pads = [(before, max(0, (m - 1) * step + reach - n - before)) for n, m, step, reach, (before, _) in spans]
    return window, pads


def _fits(window: Window, pads: list[tuple[int, int]]) -> bool:
    """Say whether onnxruntime takes the padding: less than the kernel has entries."""
    return all(max(pair) < entries for pair, entries in zip(pads, window.kernel, strict=True))


def over_image(op_type: str) -> Writer:
    """Write a layer that reduces each image to a vector."""
    return lambda graph, layer, x: graph.add(
        op_type, x, graph.ints(map(x.axis, range(1, len(x.shape) - 1))), keepdims=0
    )


def adaptive_avg_pool(graph: Graph, layer: layers.AdaptiveAvgPool, x: Value) -> str:
    """Means of equal windows where the sizes divide, else products with matrices of shares."""
    sizes = layer.predict(x.array[:1]).shape[1:-1]
    spans = [n // m for n, m in zip(x.shape[1:-1], sizes, strict=True)]
    divides = not any(n % m for n, m in zip(x.shape[1:-1], sizes, strict=True))
    if divides and x.array.dtype != xp.float64:
        return graph.add("AveragePool", x, kernel_shape=spans, strides=spans)
    sides = enumerate(sizes, start=1)
    return weighted(graph, x, [ops.adaptive_avg_pool(pixels(x, i), output_size=m)[0] for i, m in sides])


ROWS = {
    layers.AdaptiveAvgPool: Row("first", adaptive_avg_pool),
    layers.AvgPool: Row("first", avg_pool),
    layers.GlobalAvgPool: Row("either", over_image("ReduceMean")),
    layers.GlobalMaxPool: Row("either", over_image("ReduceMax")),
    layers.MaxPool: Row("first", max_pool),
}
