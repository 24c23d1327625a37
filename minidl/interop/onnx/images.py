"""How layers of images are written that have weights or change the size: with the channels on axis 1."""

from collections.abc import Sequence
from typing import Any

from minidl import layers, ops
from minidl.backend import Array, xp
from minidl.interop.onnx.graph import Graph, Row, Value
from minidl.ops._lowering import Window, make_window
from minidl.ops.conv_transpose import output_size


def conv(graph: Graph, layer: layers.Conv, x: Value) -> str:
    """ONNX has the weights as (O, C / groups, *kernel)."""
    kernel = layer.weight.shape[:-2]
    window = make_window(x.shape[1:-1], kernel, layer.stride, layer.padding, layer.dilation, "Conv")
    options = window_options(window, window.padding)
    return graph.add("Conv", x, *_weights(graph, layer), **options, group=layer.groups)


def conv_transpose(graph: Graph, layer: layers.ConvTranspose, x: Value) -> str:
    """ONNX has the weights as (C, O / groups, *kernel); what lacks in size is its output_padding."""
    kernel, options = layer.weight.shape[:-2], (layer.stride, layer.padding)
    size = output_size(x.shape[1:-1], kernel, *options, layer.output_padding, layer.dilation)
    window = make_window(size, kernel, *options, layer.dilation, "ConvTranspose")
    each_axis = zip(size, x.shape[1:-1], window.stride, window.extent, window.padding, strict=True)
    lacking = [m - ((n - 1) * step + reach - sum(pads)) for m, n, step, reach, pads in each_axis]
    return graph.add(
        "ConvTranspose",
        x,
        *_weights(graph, layer),
        **window_options(window, window.padding),
        output_padding=lacking,
        group=layer.groups,
    )


def _weights(graph: Graph, layer: Any) -> list[str]:
    """The weights (*kernel, A, B) as (B, A, *kernel), and the bias if there is one."""
    rank = layer.weight.data.ndim - 2
    turned = layer.weight.data.transpose(rank + 1, rank, *range(rank))
    weight = graph.parameter(layer.weight, turned)
    return [weight] if layer.bias is None else [weight, graph.parameter(layer.bias)]


def window_options(window: Window, pads: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """The attributes that a convolution and a pooling have in common."""
    return {
        "kernel_shape": window.kernel,
        "strides": window.stride,
        "dilations": window.dilation,
        "pads": [before for before, _ in pads] + [after for _, after in pads],
    }


def pad(graph: Graph, layer: layers.Pad, x: Value) -> str:
    """Pad in whichever layout the image has."""
    width = make_window(x.shape[1:-1], 1, 1, layer.padding, 1, "Pad").padding
    return padded(graph, x, width, layer.value, layer.mode)


def padded(
    graph: Graph, x: Value, width: Sequence[tuple[int, int]], value: float, mode: str = "constant"
) -> str:
    """Surround an image by a border."""
    full = [(0, 0), (0, 0), *width] if x.first else [(0, 0), *width, (0, 0)]
    sizes = graph.ints([before for before, _ in full] + [after for _, after in full])
    return graph.add("Pad", x, sizes, *([graph.number(value, x)] if mode == "constant" else []), mode=mode)


def upsample(graph: Graph, layer: layers.Upsample, x: Value) -> str:
    """Resize by whole factors with ONNX's operator; elsewhere its rounding is left to each runtime."""
    sizes, mode = layer.predict(x.array[:1]).shape[1:-1], layer.mode
    pairs = list(zip(x.shape[1:-1], sizes, strict=True))
    if x.array.dtype == xp.float64 or any(m % n for n, m in pairs):
        if mode == "nearest":
            return _chosen(graph, x, sizes)
        sides = enumerate(sizes, start=1)
        return weighted(graph, x, [ops.upsample(pixels(x, i), size=m, mode=mode)[0] for i, m in sides])
    nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    how = nearest if mode == "nearest" else {"mode": "linear"}
    factors = xp.asarray([1, 1, *(m // n for n, m in pairs)], dtype=xp.float32)
    return graph.add("Resize", x, None, graph.constant(factors, "factors"), **how)


def _chosen(graph: Graph, x: Value, sizes: Sequence[int]) -> str:
    """Choose the nearest pixels by their numbers, one axis after the other."""
    name = x.name
    for axis, (n, m) in enumerate(zip(x.shape[1:-1], sizes, strict=True), start=2):
        if n != m:
            numbers = ops.upsample(xp.arange(float(n)).reshape(1, n, 1), size=m)[0]
            name = graph.add("Gather", name, graph.ints(map(int, numbers.ravel().tolist())), axis=axis)
    return name


def weighted(graph: Graph, x: Value, responses: Sequence[Array]) -> str:
    """Multiply an image by a matrix along each axis: what an op made of the ``pixels`` of that axis."""
    before, after = "hwd"[: len(responses)], "ijk"[: len(responses)]
    matrices = [graph.constant(response[0].T, "shares") for response in responses]
    pairs = ",".join(map("".join, zip(before, after, strict=True)))
    return graph.add("Einsum", x, *matrices, equation=f"nc{before},{pairs}->nc{after}")


def pixels(x: Value, axis: int) -> Array:
    """Return a line (1, n, n) as long as an image along an axis: in each channel another pixel is 1."""
    return xp.eye(x.shape[axis], dtype=x.array.dtype)[None]


ROWS = {
    layers.Conv: Row("first", conv),
    layers.ConvTranspose: Row("first", conv_transpose),
    layers.Pad: Row("either", pad),
    layers.Upsample: Row("first", upsample),
}
