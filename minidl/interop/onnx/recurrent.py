"""How recurrent layers are written: step after step on axis 0, the gates in the order of ONNX."""

from collections.abc import Sequence
from typing import Any

from minidl import layers
from minidl.backend import Array, xp
from minidl.interop.onnx.graph import Graph, Row, Value
from minidl.layers import Layer

# The operator, and where in minidl's order of gates each of ONNX's lies.
GATES: dict[type[Layer], tuple[str, tuple[int, ...]]] = {
    layers.RNN: ("RNN", (0,)),
    layers.LSTM: ("LSTM", (0, 3, 1, 2)),
    layers.GRU: ("GRU", (1, 0, 2)),
}


def recurrent(graph: Graph, layer: Any, x: Any) -> Any:
    """One operator for each layer; a bare input gives a bare output."""
    several = isinstance(x, tuple)
    x, *states = x if several else (x,)
    directions = 2 if layer.bidirectional else 1
    initial = [_split_states(graph, state, layer.num_layers, directions) for state in states]
    steps = graph.add("Transpose", x, perm=[1, 0, 2])  # (T, N, C)
    ends: list[list[str]] = []
    for i in range(layer.num_layers):
        y, *last = _one(graph, layer, i, steps, [parts[i] for parts in initial])
        ends.append(last)
        if i + 1 < layer.num_layers:
            steps = _joined(graph, y, directions, [0, 2, 1, 3], layer.hidden_size)
    y = _joined(graph, y, directions, [2, 0, 1, 3], layer.hidden_size)
    return [y, *(_join_states(graph, parts) for parts in zip(*ends, strict=True))] if several else y


def _one(graph: Graph, layer: Any, i: int, x: str, states: Sequence[str]) -> list[str]:
    """Write one layer of all directions: from (T, N, C) to y (T, directions, N, H) and the last states."""
    op_type, order = next(GATES[kind] for kind in type(layer).__mro__ if kind in GATES)
    weights = [_stacked(graph, layer, kind, i, order) for kind in ("weight_ih", "weight_hh")]
    bias = _biases(graph, layer, i, order) if layer.bias else None
    options: dict[str, Any] = {"direction": "bidirectional" if layer.bidirectional else "forward"}
    if op_type == "GRU":
        options["linear_before_reset"] = 1
    if op_type == "RNN":
        options["activations"] = [layer.nonlinearity.capitalize()] * (1 + layer.bidirectional)
    lengths = None  # of the sequences: all of them are whole
    inputs = [x, *weights, bias, lengths, *states]
    return graph.add_several(1 + layer.states, op_type, *inputs, hidden_size=layer.hidden_size, **options)


def _of(layer: Any, kind: str, i: int) -> list[Any]:
    """Return the parameters of a kind for each direction of a layer."""
    suffixes = ("", "_reverse") if layer.bidirectional else ("",)
    return [getattr(layer, f"{kind}_l{i}{suffix}") for suffix in suffixes]


def _ordered(array: Array, order: Sequence[int]) -> Array:
    """Return weights (..., gates H) as (gates H, ...), the gates in another order."""
    gates = xp.split(array.T, len(order))
    return xp.concatenate([gates[k] for k in order])


def _stacked(graph: Graph, layer: Any, kind: str, i: int, order: Sequence[int]) -> str:
    """The weights of all directions, (directions, gates H, C), under the name of the first."""
    parameters = _of(layer, kind, i)
    return graph.parameter(parameters[0], xp.stack([_ordered(p.data, order) for p in parameters]))


def _biases(graph: Graph, layer: Any, i: int, order: Sequence[int]) -> str:
    """Both biases of all directions, (directions, 2 gates H), under the name of the first."""
    pairs = list(zip(_of(layer, "bias_ih", i), _of(layer, "bias_hh", i), strict=True))
    rows = [xp.concatenate([_ordered(p.data, order) for p in pair]) for pair in pairs]
    return graph.parameter(pairs[0][0], xp.stack(rows))


def _joined(graph: Graph, y: str, directions: int, perm: list[int], hidden_size: int) -> str:
    """Put the directions of (T, directions, N, H) side by side, the other axes in an order."""
    turned = graph.add("Transpose", y, perm=perm)
    return graph.add("Reshape", turned, graph.ints([0, 0, directions * hidden_size]))


def _split_states(graph: Graph, state: Value, count: int, directions: int) -> list[str]:
    """Return the initial states (N, layers directions, H) of each layer as (directions, N, H)."""
    turned = graph.add("Transpose", state, perm=[1, 0, 2])
    if count == 1:
        return [turned]
    return graph.add_several(count, "Split", turned, axis=0, num_outputs=count)


def _join_states(graph: Graph, states: Sequence[str]) -> str:
    """Return the last states of all layers as (N, layers directions, H)."""
    joined = graph.add("Concat", *states, axis=0) if len(states) > 1 else states[0]
    return graph.add("Transpose", joined, perm=[1, 0, 2])


ROWS = {kind: Row("last", recurrent) for kind in GATES}
