"""How layers made of layers are written: part by part, each value in whichever layout it comes."""

from collections.abc import Sequence
from typing import Any

from minidl import layers
from minidl.backend import xp
from minidl.interop.onnx.graph import Graph, Row, Value


def sequential(graph: Graph, layer: layers.Sequential, x: Any) -> Any:
    """One after the other."""
    for part in layer:
        x = graph.layer(part, x)
    return x


def residual(graph: Graph, layer: layers.Residual, x: Any) -> Value:
    """y = layer(x) + shortcut(x)."""
    y = graph.layer(layer.layer, x)
    return _sum(graph, [y, x if layer.shortcut is None else graph.layer(layer.shortcut, x)])


def parallel(graph: Graph, layer: layers.Parallel, x: Any) -> Value:
    """Side by side along the channels, or added up."""
    parts = [graph.layer(part, x) for part in layer]
    if layer.merge == "add":
        return _sum(graph, parts)
    parts = graph.alike(parts)
    name = graph.add("Concat", *parts, axis=parts[0].axis(-1))
    return Value(name, xp.concatenate([part.array for part in parts], axis=-1), parts[0].first)


def transformer_encoder_layer(graph: Graph, layer: layers.TransformerEncoderLayer, x: Value) -> Value:
    """Attention and the feed-forward network, each within a residual connection and a norm."""
    if layer.norm_first:
        h = _sum(graph, [x, graph.layer(layer.attention, graph.layer(layer.norm1, x))])
        return _sum(graph, [h, graph.layer(layer.feed_forward, graph.layer(layer.norm2, h))])
    h = graph.layer(layer.norm1, _sum(graph, [x, graph.layer(layer.attention, x)]))
    y: Value = graph.layer(layer.norm2, _sum(graph, [h, graph.layer(layer.feed_forward, h)]))
    return y


def _sum(graph: Graph, parts: Sequence[Value]) -> Value:
    """Add values of one shape."""
    total, *others = graph.alike(parts)
    for other in others:
        total = Value(graph.add("Add", total, other), total.array + other.array, total.first)
    return total


ROWS = {
    layers.Parallel: Row("parts", parallel),
    layers.Residual: Row("parts", residual),
    layers.Sequential: Row("parts", sequential),
    layers.TransformerEncoderLayer: Row("parts", transformer_encoder_layer),
}
