"""How normalisation layers are written, as they are in evaluation."""

from minidl import layers
from minidl.backend import xp
from minidl.interop.onnx.graph import FLOAT, FLOAT16, Graph, Row, Value


def batch_norm(graph: Graph, layer: layers.BatchNorm, x: Value) -> str:
    """Normalise by the running statistics."""
    names = [graph.parameter(p) for p in (layer.weight, layer.bias, layer.running_mean, layer.running_var)]
    return graph.add("BatchNormalization", x, *names, epsilon=layer.eps)


def instance_norm(graph: Graph, layer: layers.InstanceNorm, x: Value) -> str:
    """Normalise each channel of each sample."""
    names = graph.parameter(layer.weight), graph.parameter(layer.bias)
    return graph.add("InstanceNormalization", x, *names, epsilon=layer.eps)


def group_norm(graph: Graph, layer: layers.GroupNorm, x: Value) -> str:
    """Normalise each group as if it were one channel, then scale and shift the real channels.

    GroupNormalization subtracts the square of the mean from the mean square, which loses digits.
    """
    groups = layer.num_groups
    ones, zeros = (graph.constant(xp.full(groups, n, x.array.dtype)) for n in (1, 0))
    joined = graph.add("Reshape", x, graph.ints([0, groups, -1]))
    normal = graph.add("InstanceNormalization", joined, ones, zeros, epsilon=layer.eps)
    apart = graph.add("Reshape", normal, graph.ints([0, x.shape[-1], *x.shape[1:-1]]))
    along = (-1, *(1,) * (len(x.shape) - 2))
    w, b = (graph.parameter(p, p.data.reshape(along)) for p in (layer.weight, layer.bias))
    return graph.add("Add", graph.add("Mul", apart, w), b)


def layer_norm(graph: Graph, layer: layers.LayerNorm, x: Value) -> str:
    """Normalise over the last axes."""
    names = graph.parameter(layer.weight), graph.parameter(layer.bias)
    return graph.add("LayerNormalization", x, *names, axis=-layer.weight.data.ndim, epsilon=layer.eps)


def rms_norm(graph: Graph, layer: layers.RMSNorm, x: Value) -> str:
    """y = w x / sqrt(mean(x^2) + eps), half precision by way of single."""
    half = x.array.dtype == xp.float16
    wide = graph.add("Cast", x, to=FLOAT) if half else x.name
    axes = graph.ints(range(-layer.weight.data.ndim, 0))
    like = Value(wide, x.array.astype(xp.float32)) if half else x
    mean = graph.add("ReduceMean", graph.add("Mul", wide, wide), axes, keepdims=1)
    root = graph.add("Sqrt", graph.add("Add", mean, graph.number(layer.eps, like)))
    normal = graph.add("Div", wide, root)
    narrow = graph.add("Cast", normal, to=FLOAT16) if half else normal
    return graph.add("Mul", narrow, graph.parameter(layer.weight))


ROWS = {
    layers.BatchNorm: Row("first", batch_norm),
    layers.GroupNorm: Row("first", group_norm),
    layers.InstanceNorm: Row("first", instance_norm),
    layers.LayerNorm: Row("last", layer_norm),
    layers.RMSNorm: Row("last", rms_norm),
}
