"""How attention and positions are written."""

import math
from typing import Any

from minidl import layers, ops
from minidl.backend import xp
from minidl.interop.onnx.dense import affine
from minidl.interop.onnx.graph import Graph, Row, Value
from minidl.layers import Layer


def multi_head_attention(graph: Graph, layer: layers.MultiHeadAttention, x: Any) -> str:
    """Attend in all heads at once, in arrays (N, heads, T, D)."""
    query, key, _ = x if isinstance(x, tuple) else (x, x, x)
    features, heads = query.shape[-1], layer.num_heads
    split = graph.ints([0, 0, heads, features // heads])
    q, k, v = (
        graph.add("Transpose", graph.add("Reshape", part, split), perm=[0, 2, 1, 3])
        for part in _projected(graph, layer, x)
    )
    if layer.rotary:
        q = _turned(graph, q, query, features // heads)
        k = _turned(graph, k, key, features // heads)
    q = graph.add("Mul", q, graph.number(1 / math.sqrt(features // heads), query))
    scores = graph.add("MatMul", q, graph.add("Transpose", k, perm=[0, 1, 3, 2]))
    if layer.causal:
        scores = graph.add("Add", scores, _later(graph, query, key))
    attended = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), v)
    joined = graph.add("Transpose", attended, perm=[0, 2, 1, 3])
    y = Value(graph.add("Reshape", joined, graph.ints([0, 0, features])), query.array)
    return affine(graph, y, layer.out_weight, layer.out_bias)


def _projected(graph: Graph, layer: layers.MultiHeadAttention, x: Any) -> list[str]:
    """Return queries, keys and values: by one product where they come from one input, else by three."""
    w, b = layer.in_weight, layer.in_bias
    if not isinstance(x, tuple):
        return graph.add_several(3, "Split", affine(graph, x, w, b), axis=-1, num_outputs=3)
    width = len(w.data)
    return [affine(graph, part, w, b, slice(i * width, (i + 1) * width)) for i, part in enumerate(x)]


def _later(graph: Graph, query: Value, key: Value) -> str:
    """Return minus infinity for each key that lies after the query, else 0, made where the graph runs."""
    blind = xp.asarray([-math.inf], dtype=query.array.dtype)
    full = graph.add("ConstantOfShape", graph.ints([query.shape[1], key.shape[1]]), value=blind)
    return graph.add("Trilu", full, graph.constant(xp.asarray(1)), upper=1)


def _turned(graph: Graph, name: str, x: Value, features: int, base: float = 10000.0) -> str:
    """Turn the pairs of the last axis: x cos + (x with its halves exchanged) (-sin, sin)."""
    steps, half, dtype = x.shape[-2], features // 2, x.array.dtype
    unit = xp.concatenate([xp.ones((steps, half), dtype), xp.zeros((steps, half), dtype)], axis=-1)
    cos, sin = xp.split(ops.rotary_positions(unit, base=base)[0], 2, axis=-1)
    other = graph.add("Gather", name, graph.ints([*range(half, features), *range(half)]), axis=-1)
    parts = [
        graph.add("Mul", name, graph.constant(xp.concatenate([cos, cos], axis=-1), "cosines")),
        graph.add("Mul", other, graph.constant(xp.concatenate([-sin, sin], axis=-1), "sines")),
    ]
    return graph.add("Add", *parts)


def learned_positions(graph: Graph, layer: layers.LearnedPositions, x: Value) -> str:
    """Add the first rows of the table."""
    return graph.add("Add", x, graph.parameter(layer.weight, layer.weight.data[: x.shape[1]]))


def sinusoidal_positions(graph: Graph, layer: layers.SinusoidalPositions, x: Value) -> str:
    """Add a table of waves."""
    _check_steps(layer, x)
    waves = ops.sinusoidal_positions(xp.zeros(x.shape[-2:], x.array.dtype), base=layer.base)[0]
    return graph.add("Add", x, graph.constant(waves, "waves"))


def rotary_positions(graph: Graph, layer: layers.RotaryPositions, x: Value) -> str:
    """Turn each pair by the angle of its step."""
    _check_steps(layer, x)
    return _turned(graph, x.name, x, x.shape[-1], layer.base)


def _check_steps(layer: Layer, x: Value) -> None:
    """Refuse to count the samples of a batch as steps."""
    if len(x.shape) < 3:
        raise ValueError(f"to_onnx: expected (N, ..., T, D) for {layer!r}, got {x.shape}")


ROWS = {
    layers.LearnedPositions: Row("last", learned_positions),
    layers.MultiHeadAttention: Row("last", multi_head_attention),
    layers.RotaryPositions: Row("last", rotary_positions),
    layers.SinusoidalPositions: Row("last", sinusoidal_positions),
}
