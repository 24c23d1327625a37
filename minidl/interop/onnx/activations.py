"""How activations are written: element by element or along one axis, in whichever layout their input has."""

from collections.abc import Callable
from typing import Any

from minidl import layers
from minidl.interop.onnx.graph import Graph, Row, Value, Writer
from minidl.layers import Layer


def one_node(op_type: str, attributes: Callable[[Any], dict[str, Any]] = lambda layer: {}) -> Writer:
    """Write a layer that is one operator, with the attributes that its settings give."""
    return lambda graph, layer, x: graph.add(op_type, x, **attributes(layer))


def along_axis(op_type: str) -> Writer:
    """Write a layer that is one operator along its axis."""
    return lambda graph, layer, x: graph.add(op_type, x, axis=x.axis(layer.axis))


def between(low: Callable[[Any], float], high: Callable[[Any], float]) -> Writer:
    """Write a layer that clips its input."""
    return lambda graph, layer, x: graph.add(
        "Clip", x, graph.number(low(layer), x), graph.number(high(layer), x)
    )


def silu(graph: Graph, layer: layers.SiLU, x: Value) -> str:
    """The product of x and sigmoid(x)."""
    return graph.add("Mul", x, graph.add("Sigmoid", x))


def softplus(graph: Graph, layer: layers.Softplus, x: Value) -> str:
    """The steepness is no attribute of the operator."""
    if layer.beta == 1:
        return graph.add("Softplus", x)
    beta = graph.number(layer.beta, x)
    return graph.add("Div", graph.add("Softplus", graph.add("Mul", x, beta)), beta)


def celu(graph: Graph, layer: layers.CELU, x: Value) -> str:
    """By Elu of x / alpha: the operator Celu exists in single precision only."""
    if layer.alpha == 1:
        return graph.add("Elu", x)
    alpha = graph.number(layer.alpha, x)
    return graph.add("Mul", graph.add("Elu", graph.add("Div", x, alpha)), alpha)


def prelu(graph: Graph, layer: layers.PReLU, x: Value) -> str:
    """The slopes lie along the channels, wherever these are."""
    slopes = layer.weight.data
    trailing = len(x.shape) - 2 if x.first and slopes.size > 1 else 0
    return graph.add("PRelu", x, graph.parameter(layer.weight, slopes.reshape(-1, *(1,) * trailing)))


def softmin(graph: Graph, layer: layers.Softmin, x: Value) -> str:
    """The softmax of the negative input."""
    return graph.add("Softmax", graph.add("Neg", x), axis=x.axis(layer.axis))


def glu(graph: Graph, layer: layers.GLU, x: Value) -> str:
    """The product of the first half and the sigmoid of the second."""
    a, b = graph.add_several(2, "Split", x, axis=x.axis(layer.axis), num_outputs=2)
    return graph.add("Mul", a, graph.add("Sigmoid", b))


def unchanged(graph: Graph, layer: Layer, x: Value) -> str:
    """Evaluation leaves the input as it is."""
    return x.name


_WRITERS: dict[type[Layer], Writer] = {
    layers.CELU: celu,
    layers.Dropout: unchanged,
    layers.ELU: one_node("Elu", lambda layer: {"alpha": layer.alpha}),
    layers.GELU: one_node("Gelu", lambda layer: {"approximate": layer.approximate}),
    layers.GLU: glu,
    layers.HardSigmoid: one_node("HardSigmoid", lambda layer: {"alpha": 1 / 6, "beta": 0.5}),
    layers.HardSwish: one_node("HardSwish"),
    layers.HardTanh: between(lambda layer: layer.low, lambda layer: layer.high),
    layers.Identity: unchanged,
    layers.LeakyReLU: one_node("LeakyRelu", lambda layer: {"alpha": layer.negative_slope}),
    layers.LogSoftmax: along_axis("LogSoftmax"),
    layers.Mish: one_node("Mish"),
    layers.PReLU: prelu,
    layers.ReLU: one_node("Relu"),
    layers.ReLU6: between(lambda layer: 0.0, lambda layer: 6.0),
    layers.SELU: one_node("Selu"),
    layers.SiLU: silu,
    layers.Sigmoid: one_node("Sigmoid"),
    layers.Softmax: along_axis("Softmax"),
    layers.Softmin: softmin,
    layers.Softplus: softplus,
    layers.Softsign: one_node("Softsign"),
    layers.Tanh: one_node("Tanh"),
}
ROWS = {kind: Row("either", write) for kind, write in _WRITERS.items()}
