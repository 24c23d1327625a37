"""Recurrent networks and attention: one sample in double precision, step by step."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minidl.training.explain.by_hand.differences import gradient_of
from minidl.training.explain.seen import Call
from minidl.training.explain.worked import Cell, Index, Working, at, number


class Step(NamedTuple):
    """What a cell makes of one step: its state, first of all h, and the numbers on the way by name."""

    state: tuple[Any, ...]
    inside: dict[str, Any]


Network = Callable[..., Step]


def _sigmoid(x: Any) -> Any:
    return (1 + np.tanh(x / 2)) / 2


def rnn_cell(layer: Any, a: Any, b: Any, h: Any) -> Step:
    """h' = tanh(a + b), or the positive part."""
    new = np.tanh(a + b) if layer.nonlinearity == "tanh" else np.maximum(a + b, 0)
    return Step((new,), {"from the input": a, "from the state before": b})


def lstm_cell(layer: Any, a: Any, b: Any, h: Any, c: Any) -> Step:
    """c' = f c + i g, h' = o tanh(c')."""
    i, f, g, o = np.split(a + b, 4)
    i, f, o, g = _sigmoid(i), _sigmoid(f), _sigmoid(o), np.tanh(g)
    new = f * c + i * g
    return Step((o * np.tanh(new), new), {"i": i, "f": f, "g": g, "o": o, "c before": c, "c": new})


def gru_cell(layer: Any, a: Any, b: Any, h: Any) -> Step:
    """h' = (1 - z) n + z h."""
    (ar, az, an), (br, bz, bn) = np.split(a, 3), np.split(b, 3)
    r, z = _sigmoid(ar + br), _sigmoid(az + bz)
    n = np.tanh(an + r * bn)
    return Step(((1 - z) * n + z * h,), {"r": r, "z": z, "n": n, "h before": h})


def recurrent(cell: Network) -> tuple[Callable[[Call, Index], Working], Callable[[Call, Index], Working]]:
    """Return how to work out the output and the gradient of a recurrent layer."""

    def output(call: Call, index: Index) -> Working:
        sample, t, k = index
        y, inside = _run(call, cell, call.host("x")[sample].astype(np.float64))
        direction, unit = divmod(k, call.layer.hidden_size)
        rows = [(name, float(values[unit])) for name, values in inside[direction, t].items()]
        value = float(y[t, k])
        way = " of the reverse direction" if direction else ""
        steps = [f"unit {unit}{way} after step {t}: {at('y', index)} = {number(value)}"]
        return Working(value, 1 + abs(value), steps, (f"unit {unit}, step {t}", "value"), rows)

    def gradient(call: Call, index: Index) -> Working:
        return gradient_of(lambda x: _run(call, cell, x[0])[0][None], call, index, sample=index[0])

    return output, gradient


def _run(call: Call, cell: Network, x: Any) -> tuple[Any, dict[tuple[int, int], Any]]:
    """Run all layers and directions over one sample; return the outputs and the inside of the last layer."""
    layer: Any = call.layer
    inside: dict[tuple[int, int], Any] = {}
    for number_of_layer in range(layer.num_layers):
        outputs = []
        for direction in range(1 + layer.bidirectional):
            name = f"l{number_of_layer}{'_reverse' if direction else ''}"
            y = np.zeros((len(x), layer.hidden_size))
            state = (np.zeros(layer.hidden_size),) * layer.states
            for t in reversed(range(len(x))) if direction else range(len(x)):
                a = x[t] @ _weight(call, f"weight_ih_{name}") + _weight(call, f"bias_ih_{name}")
                b = state[0] @ _weight(call, f"weight_hh_{name}") + _weight(call, f"bias_hh_{name}")
                state, inside[direction, t] = cell(layer, a, b, *state)
                y[t] = state[0]
            outputs.append(y)
        x = np.concatenate(outputs, axis=-1)
    return x, inside


def _weight(call: Call, name: str) -> Any:
    """Return a weight in double precision, 0 for an absent bias."""
    return call.host(name).astype(np.float64) if hasattr(call.layer, name) else 0.0


def attention_output(call: Call, index: Index) -> Working:
    """y = the heads' weighted means of values, times W_out, plus b_out."""
    sample, t, e = index
    x = call.host("x")[sample].astype(np.float64)
    y, shares = _attend(call, x)
    value = float(y[t, e])
    heads = range(len(shares))
    rows: list[list[Cell]] = [
        [at("x", (sample, s)), *(float(shares[h][t, s]) for h in heads)] for s in range(len(x))
    ]
    steps = [f"how much step {t} takes from each step, in each head; each column adds up to 1"]
    steps.append(
        f"{at('y', index)} = (the means of the values so weighed) W_{{out}} + b_{{out}} = {number(value)}"
    )
    w = abs(call.host("out_weight")).astype(np.float64)[:, e].sum()
    scale = abs(value) + float(w * (abs(x) @ abs(call.host("in_weight"))).max())
    return Working(value, scale, steps, ("looks at", *(f"head {h}" for h in heads)), rows)


def attention_gradient(call: Call, index: Index) -> Working:
    """dx by differences of the attention in double precision."""
    return gradient_of(lambda x: _attend(call, x[0])[0][None], call, index, sample=index[0])


def _attend(call: Call, x: Any) -> tuple[Any, list[Any]]:
    """Return the output of one sample, and for each head how much each step takes from each."""
    layer: Any = call.layer
    biases = [0.0 if getattr(layer, n) is None else call.host(n) for n in ("in_bias", "out_bias")]
    parts = np.split(x @ call.host("in_weight").astype(np.float64) + biases[0], 3, axis=-1)
    size = x.shape[-1] // layer.num_heads
    outputs, shares = [], []
    for h in range(layer.num_heads):
        q, k, v = (part[:, h * size : (h + 1) * size] for part in parts)
        if layer.rotary:
            q, k = _turned(q), _turned(k)
        scores = q @ k.T / math.sqrt(size)
        if layer.causal:
            scores = np.where(np.tri(len(x), dtype=bool), scores, -np.inf)
        p = np.exp(scores - scores.max(axis=-1, keepdims=True))
        p /= p.sum(axis=-1, keepdims=True)
        outputs.append(p @ v)
        shares.append(p)
    y = np.concatenate(outputs, axis=-1) @ call.host("out_weight").astype(np.float64) + biases[1]
    return y, shares


def _turned(a: Any) -> Any:
    half = a.shape[-1] // 2
    angles = np.arange(len(a))[:, None] / 10000.0 ** (np.arange(half) / half)
    first, second = a[:, :half], a[:, half:]
    cos, sin = np.cos(angles), np.sin(angles)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
