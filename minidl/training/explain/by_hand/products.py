"""Layers that multiply by a matrix: dense, convolutions, and the look-up of rows."""

import itertools
import math
from collections.abc import Iterator
from typing import Any

from minidl.ops._lowering import Window, make_window
from minidl.training.explain.seen import Call
from minidl.training.explain.worked import Index, Working, at, weighed

Taps = Iterator[tuple[Index, Index]]


def linear_output(call: Call, index: Index) -> Working:
    """y[n, j] = sum over k of x[n, k] W[k, j], plus b[j]."""
    x, w, *row, j = call.host("x"), call.host("weight"), *index
    parts = [
        (at("x", (*row, k)), float(x[(*row, k)]), at("W", (k, j)), float(w[k, j])) for k in range(len(w))
    ]
    return weighed(at("y", index), ("input", "weight"), parts, _bias(call, j))


def linear_gradient(call: Call, index: Index) -> Working:
    """dx[n, k] = sum over j of dy[n, j] W[k, j]."""
    dy, w, *row, k = call.host("dy"), call.host("weight"), *index
    parts = [
        (at("dy", (*row, j)), float(dy[(*row, j)]), at("W", (k, j)), float(w[k, j]))
        for j in range(w.shape[1])
    ]
    return weighed(at("dx", index), ("upstream", "weight"), parts)


def conv_output(call: Call, index: Index) -> Working:
    """y at a place: the window of x there times the kernel of the channel, plus its bias."""
    parts, outside = _seen_by(call, "x", "y", index)
    return weighed(at("y", index), ("input", "weight"), parts, _bias(call, index[-1]), outside)


def conv_gradient(call: Call, index: Index) -> Working:
    """dx of a pixel: dy of each window that saw it, times the weight with which it was seen."""
    return weighed(at("dx", index), ("upstream", "weight"), _sent_to(call, "dy", "dx", index))


def conv_transpose_output(call: Call, index: Index) -> Working:
    """y of a pixel: each x that spreads to it, times the weight with which it does, plus the bias."""
    parts = _sent_to(call, "x", "y", index)
    return weighed(at("y", index), ("input", "weight"), parts, _bias(call, index[-1]))


def conv_transpose_gradient(call: Call, index: Index) -> Working:
    """dx at a place: the window of dy there times the kernel of the channel."""
    parts, outside = _seen_by(call, "dy", "dx", index)
    return weighed(at("dx", index), ("upstream", "weight"), parts, note=outside)


def embedding_output(call: Call, index: Index) -> Working:
    """y = the entry of the row that the index names."""
    *place, d = index
    row = int(call.host("x")[tuple(place)])
    value = float(call.host("weight")[row, d])
    steps = [f"x{list(place)} = {row}, so {at('y', index)} = {at('W', (row, d))} = {value:.6g}"]
    return Working(value, abs(value), steps)


def embedding_gradient(call: Call, index: Index) -> Working:
    """dW[v, d] = the sum of dy over the places where the index is v."""
    v, d = index
    x, dy = call.host("x"), call.host("dy")
    if v == call.layer.padding_idx:
        return Working(0.0, 0.0, [f"row {v} is that of the padding: its gradient stays 0"])
    places = [place for place in itertools.product(*map(range, x.shape)) if x[place] == v]
    rows = [(at("x", place), int(v), at("dy", (*place, d)), float(dy[(*place, d)])) for place in places]
    value = sum(row[3] for row in rows)
    steps = [
        f"{at('d weight', index)} = the sum of dy over the {len(rows)} places of index {v} = {value:.6g}"
    ]
    columns = ("place", "index", "", "upstream")
    return Working(value, sum(abs(row[3]) for row in rows), steps, columns, rows)


def _bias(call: Call, j: int) -> list[tuple[str, float]]:
    b = call.host("bias")
    return [] if b is None else [(at("b", (j,)), float(b[j]))]


def _window(call: Call, wide: str) -> Window:
    """Return the window of a convolution over the array that it would look at."""
    layer: Any = call.layer
    size, kernel = getattr(call, wide).shape[1:-1], layer.weight.shape[:-2]
    return make_window(size, kernel, layer.stride, layer.padding, layer.dilation, type(layer).__name__)


def _seen_by(call: Call, wide: str, narrow: str, index: Index) -> tuple[list[Any], str]:
    """Return what a window sees of the wide array, each with its weight, and how many of it is padding."""
    (n, *place, o), x, w = index, call.host(wide), call.host("weight")
    window = _window(call, wide if wide == "x" else "y")
    channels, per_group = w.shape[-2], w.shape[-1] // call.layer.groups
    first, parts, outside = o // per_group * channels, [], 0
    for tap in itertools.product(*map(range, window.kernel)):
        pixel = tuple(
            p * s - before + k * d
            for p, s, (before, _), k, d in zip(
                place, window.stride, window.padding, tap, window.dilation, strict=True
            )
        )
        if not all(0 <= q < size for q, size in zip(pixel, window.size, strict=True)):
            outside += 1
            continue
        for c in range(channels):
            source, weight = (n, *pixel, first + c), (*tap, c, o)
            parts.append((at(wide, source), float(x[source]), at("W", weight), float(w[weight])))
    note = f"{outside} of the {math.prod(window.kernel)} pixels of the window are padding, which counts as 0"
    return parts, note if outside else ""


def _sent_to(call: Call, narrow: str, wide: str, index: Index) -> list[Any]:
    """Return what of the narrow array has seen a pixel of the wide one, each with its weight."""
    (n, *pixel, c), dy, w = index, call.host(narrow), call.host("weight")
    window = _window(call, wide if wide == "y" else "x")
    channels, per_group = w.shape[-2], w.shape[-1] // call.layer.groups
    group, parts = c // channels, []
    for tap in itertools.product(*map(range, window.kernel)):
        steps = [
            divmod(q + before - k * d, s)
            for q, s, (before, _), k, d in zip(
                pixel, window.stride, window.padding, tap, window.dilation, strict=True
            )
        ]
        if any(rest or not 0 <= p < n_out for (p, rest), n_out in zip(steps, dy.shape[1:-1], strict=True)):
            continue
        for o in range(group * per_group, (group + 1) * per_group):
            source, weight = (n, *(p for p, _ in steps), o), (*tap, c % channels, o)
            parts.append((at(narrow, source), float(dy[source]), at("W", weight), float(w[weight])))
    return parts
