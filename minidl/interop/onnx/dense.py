"""How layers are written that act on the last axis, look up rows or give samples another shape."""

from minidl import layers
from minidl.backend import xp
from minidl.interop.onnx.graph import INT64, Graph, Row, Value
from minidl.layers import Parameter


def linear(graph: Graph, layer: layers.Linear, x: Value) -> str:
    """One operator for rows, two for anything larger."""
    return affine(graph, x, layer.weight, layer.bias)


def affine(
    graph: Graph, x: Value, weight: Parameter, bias: Parameter | None, columns: slice = slice(None)
) -> str:
    """Multiply by some columns of the weight, and add the bias."""
    w = graph.parameter(weight, weight.data[:, columns])
    if bias is None:
        return graph.add("MatMul", x, w)
    b = graph.parameter(bias, bias.data[columns])
    if len(x.shape) == 2:
        return graph.add("Gemm", x, w, b)
    return graph.add("Add", graph.add("MatMul", x, w), b)


def flatten(graph: Graph, layer: layers.Flatten, x: Value) -> str:
    """Join all axes but the batch."""
    return graph.add("Flatten", x, axis=1)


def reshape(graph: Graph, layer: layers.Reshape, x: Value) -> str:
    """A length of 0 stands for that of the input: the batch."""
    return graph.add("Reshape", x, graph.ints([0, *layer.predict(x.array).shape[1:]]))


def embedding(graph: Graph, layer: layers.Embedding, x: Value) -> str:
    """Rows by their numbers, which ONNX takes in two sizes."""
    wide = x.array.dtype in (xp.int32, xp.int64)
    numbers = x.name if wide else graph.add("Cast", x, to=INT64)
    return graph.add("Gather", graph.parameter(layer.weight), numbers, axis=0)


ROWS = {
    layers.Embedding: Row("last", embedding),
    layers.Flatten: Row("last", flatten),
    layers.Linear: Row("last", linear),
    layers.Reshape: Row("last", reshape),
}
