"""Sequences, batch first: recurrent networks, attention, positions."""

import math
from typing import Any

import numpy as np

from minidl.interop.numpy_script.parts.activations import sigmoid, softmax
from minidl.interop.numpy_script.parts.dense import linear

Array = np.ndarray[Any, Any]
Weights = list[tuple[Any, ...]]


def recurrent(x: Array, weights: Weights, bidirectional: bool, step: Any, states: int) -> Array:
    """Read (N, T, C) step by step, layer over layer: the last one's h at each step, (N, T, H directions)."""
    directions = 2 if bidirectional else 1
    for first in range(0, len(weights), directions):
        outputs = []
        for i, (w_ih, w_hh, b_ih, b_hh) in enumerate(weights[first : first + directions]):
            a = linear(x, w_ih, b_ih)
            state = (np.zeros((len(x), len(w_hh)), x.dtype),) * states
            h = np.empty((*x.shape[:2], len(w_hh)), x.dtype)
            for t in range(x.shape[1])[:: -1 if i else 1]:  # the second direction reads from the end
                state = step(a[:, t], linear(state[0], w_hh, b_hh), *state)
                h[:, t] = state[0]
            outputs.append(h)
        x = np.concatenate(outputs, axis=-1)
    return x


def rnn(x: Array, weights: Weights, bidirectional: bool = False, nonlinearity: str = "tanh") -> Array:
    """h' = tanh(x w_ih + b_ih + h w_hh + b_hh)."""

    def step(a: Array, b: Array, h: Array) -> tuple[Array]:
        return (np.tanh(a + b) if nonlinearity == "tanh" else np.maximum(a + b, 0),)

    return recurrent(x, weights, bidirectional, step, states=1)


def lstm(x: Array, weights: Weights, bidirectional: bool = False) -> Array:
    """c' = sigmoid(f) c + sigmoid(i) tanh(g) and h' = sigmoid(o) tanh(c'), with i, f, g, o side by side."""

    def step(a: Array, b: Array, h: Array, c: Array) -> tuple[Array, Array]:
        i, f, g, o = np.split(a + b, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    return recurrent(x, weights, bidirectional, step, states=2)


def gru(x: Array, weights: Weights, bidirectional: bool = False) -> Array:
    """h' = (1 - z) n + z h, with r, z = sigmoid(a + b) and n = tanh(a_n + r b_n), side by side."""

    def step(a: Array, b: Array, h: Array) -> tuple[Array]:
        (ar, az, an), (br, bz, bn) = np.split(a, 3, axis=-1), np.split(b, 3, axis=-1)
        r, z = sigmoid(ar + br), sigmoid(az + bz)
        return ((1 - z) * np.tanh(an + r * bn) + z * h,)

    return recurrent(x, weights, bidirectional, step, states=1)


def multi_head_attention(
    x: Array,
    w_in: Array,
    b_in: Array | None,
    w_out: Array,
    b_out: Array | None,
    num_heads: int,
    causal: bool = False,
    rotary: bool = False,
) -> Array:
    """softmax(q k^T / sqrt(D)) v in each head, then a projection: (N, T, E) to the same."""
    n, steps, features = x.shape
    heads = linear(x, w_in, b_in).reshape(n, steps, 3, num_heads, features // num_heads)
    q, k, v = heads.transpose(2, 0, 3, 1, 4)  # (N, heads, T, D) each
    if rotary:
        q, k = rotary_positions(q), rotary_positions(k)
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    if causal:  # a step sees itself and those before it
        scores = np.where(np.tri(steps, dtype=bool), scores, -np.inf).astype(x.dtype)
    joined = (softmax(scores) @ v).transpose(0, 2, 1, 3).reshape(n, steps, features)
    return linear(joined, w_out, b_out)


def learned_positions(x: Array, w: Array) -> Array:
    """y_t = x_t + w_t: (N, T, C)."""
    return x + w[: x.shape[1]]


def learned_positions_backward(dy: Array, w: Array) -> tuple[Array, Array]:
    """dx = dy, dw_t = sum of dy_t over the samples."""
    dw = np.zeros_like(w)
    dw[: dy.shape[1]] = dy.sum(axis=0)
    return dy, dw


def angles(steps: int, features: int, base: float) -> Array:
    """t / base^(2i / D), for each step and each pair of features."""
    turns: Array = np.arange(steps)[:, None] * base ** (-2 * np.arange(features // 2) / features)
    return turns


def sinusoidal_positions(x: Array, base: float = 10000.0) -> Array:
    """y = x plus sines in the even places and cosines in the odd ones: (N, T, C)."""
    a = angles(x.shape[-2], x.shape[-1], base)
    y: Array = x + np.stack([np.sin(a), np.cos(a)], axis=-1).reshape(x.shape[-2:]).astype(x.dtype)
    return y


def rotary_positions(x: Array, base: float = 10000.0, sign: int = 1) -> Array:
    """Turn each pair (i, i + D / 2) of the last axis by an angle that grows with the position."""
    a = sign * angles(x.shape[-2], x.shape[-1], base)
    cos, sin = np.cos(a).astype(x.dtype), np.sin(a).astype(x.dtype)
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def rotary_positions_backward(dy: Array, base: float = 10000.0) -> Array:
    """dx = dy turned back."""
    return rotary_positions(dy, base, sign=-1)
