"""Gradients by their definition: each output's upstream entry times how fast the output follows the input."""

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl.backend import load_generator_state, silent_overflow, to_numpy, xp
from minidl.layers.base import Layer
from minidl.training.explain.seen import Call
from minidl.training.explain.worked import Cell, Index, Working, at, number

STEP = 2.0**-17
MOST_ROWS = 500
"""Of more outputs that follow the input, the others are one row."""
ACCURACY = 2.0**-30
"""How much of the largest output a slope by such a step may be off: rounding over the step, and the curve."""


def gradient_of(f: Callable[[Any], Any], call: Call, index: Index, sample: int | None = None) -> Working:
    """Work out dx = sum over outputs of dy times d y / d x, the latter by a central difference.

    Args:
        f: takes the input in double precision and returns the output; both of one sample if ``sample`` is
            given, else of the batch.
        call: with dy.
        index: of dx.
        sample: the number of the sample, if the others do not matter.
    """
    part = slice(None) if sample is None else slice(sample, sample + 1)
    x, dy = (call.host(name)[part].astype(np.float64) for name in ("x", "dy"))
    here = index if sample is None else (0, *index[1:])
    step = STEP * max(1.0, abs(float(x[here])))
    above, below = x.copy(), x.copy()
    above[here] += step
    below[here] -= step
    up, down = f(above), f(below)
    slopes, largest = (up - down) / (above[here] - below[here]), float(abs(up).max(initial=0.0))
    products = dy * slopes
    rows = _rows(dy, slopes, products, 0 if sample is None else sample)
    value = float(products.sum())
    followers = int((slopes != 0).sum())
    steps = [
        f"the input moved by {number(step)} up and down, in double precision: {followers:,} outputs follow",
        f"{at('dx', index)} = the products added up = {number(value)}",
    ]
    columns = ("upstream", "dy", "slope of y", "product")
    scale = float(abs(products).sum())
    return Working(value, scale, steps, columns, rows, error=float(abs(dy).sum()) * (1 + largest) * ACCURACY)


def _rows(dy: Any, slopes: Any, products: Any, first: int) -> list[list[Cell]]:
    """Return the outputs that follow the input, the largest products if there are many, then all others."""
    places = np.argwhere(slopes != 0)
    sizes = abs(products[tuple(places.T)])
    largest = places[np.sort(np.argsort(-sizes, kind="stable")[:MOST_ROWS])]
    rows: list[list[Cell]] = []
    for p in map(tuple, largest.tolist()):
        name = at("dy", (p[0] + first, *p[1:]))
        rows.append([name, float(dy[p]), float(slopes[p]), float(products[p])])
    if others := len(places) - len(rows):
        rest = float(products.sum()) - sum(float(row[-1]) for row in rows)
        rows.append([f"{others:,} others", "", "", rest])
    return rows


def output_again(call: Call, index: Index) -> Working:
    """The layer's own output, once more in double precision."""
    value = float(_doubled(call)(call.host("x"))[index])
    steps = [f"{at('y', index)} = {number(value)}, the layer run once more in double precision"]
    return Working(value, _size(call), steps)


def gradient_again(call: Call, index: Index) -> Working:
    """The gradient by differences of the layer's own output in double precision."""
    return gradient_of(_doubled(call), call, index)


def _size(call: Call) -> float:
    """Return the size of the numbers that an unknown layer may have added up."""
    sizes = [abs(call.host(name)) for name in ("x", "y")]
    return max((float(s[np.isfinite(s)].max(initial=0.0)) for s in sizes), default=math.inf)


def _doubled(call: Call) -> Callable[[Any], Any]:
    """Return a copy of a layer in double precision as a function on the host, the same at each call."""
    layer: Layer = copy.deepcopy(call.layer).astype("float64")
    buffers = dict(layer.buffers())

    def f(x: Any) -> Any:
        load_generator_state(call.stream)
        for name, data in call.state.items():
            buffers[name].data = data.copy()
        floating = x.dtype.kind == "f"
        array = xp.asarray(x, dtype=xp.float64) if floating else xp.asarray(x)
        with silent_overflow(invalid=True):
            return to_numpy(layer.vjp(array, *call.more)[0])

    return f
