"""Layers that move numbers, add positions to them, or drop them."""

import math
from collections.abc import Sequence

from minidl.backend import random_lanes, to_numpy
from minidl.ops.dropout import LEVELS
from minidl.training.explain.seen import Call
from minidl.training.explain.worked import Index, Working, at, number, weighed


def moved_output(call: Call, index: Index) -> Working:
    """y = the number of x with the same rank within its sample."""
    return _moved(call, index, ("y", "x"))


def moved_gradient(call: Call, index: Index) -> Working:
    """dx = the number of dy with the same rank within its sample."""
    return _moved(call, index, ("dx", "dy"))


def _moved(call: Call, index: Index, names: tuple[str, str]) -> Working:
    to, origin = names
    rank = 0
    for i, n in zip(index[1:], getattr(call, to).shape[1:], strict=True):
        rank = rank * n + i
    source: list[int] = []
    rest = rank
    for n in reversed(getattr(call, origin).shape[1:]):
        rest, i = divmod(rest, n)
        source.insert(0, i)
    place = (index[0], *source)
    value = float(call.host(origin)[place])
    where = f" (number {rank} of its sample)" if place != index else ""
    return Working(value, abs(value), [f"{at(to, index)} = {at(origin, place)}{where} = {number(value)}"])


def dropout_output(call: Call, index: Index) -> Working:
    """y = x times its share: 0 where it is dropped, 1 / (1 - p) where it is kept."""
    return _dropped(call, index, "y", "x")


def dropout_gradient(call: Call, index: Index) -> Working:
    """dx = dy times the same share."""
    return _dropped(call, index, "dx", "dy")


def _dropped(call: Call, index: Index, to: str, origin: str) -> Working:
    levels = max(1, round((1 - call.layer.p) * LEVELS))
    share, steps = 1.0, ["nothing is dropped in evaluation, or with p = 0"]
    if call.training and levels < LEVELS:
        lane = _lane(call, index)
        share = LEVELS / levels if lane < levels else 0.0
        fate = (
            f"is below {levels}: kept, and times {number(share)}"
            if share
            else f"is not below {levels}: dropped"
        )
        steps = [f"its random number from 0 to {LEVELS - 1}, {lane}, {fate}"]
    value = float(call.host(origin)[index]) * share
    source = number(float(call.host(origin)[index]))
    return Working(
        value, abs(value), [*steps, f"{at(to, index)} = {source} * {number(share)} = {number(value)}"]
    )


def _lane(call: Call, index: Index) -> int:
    seed, counter = call.host("stream").tolist()
    rank = 0
    for i, n in zip(index, call.x.shape, strict=True):
        rank = rank * n + i
    return int(to_numpy(random_lanes(seed, counter, math.prod(call.x.shape)))[rank])


def passed_gradient(call: Call, index: Index) -> Working:
    """dx = dy."""
    value = float(call.host("dy")[index])
    return Working(value, abs(value), [f"{at('dx', index)} = {at('dy', index)} = {number(value)}"])


def learned_output(call: Call, index: Index) -> Working:
    """y_t = x_t + w_t."""
    return _added(call, index, at("w", index[1:]), float(call.host("weight")[index[1:]]))


def sinusoidal_output(call: Call, index: Index) -> Working:
    """y = x + sin or cos of t / base^(2i / C)."""
    t, c = index[-2:]
    angle = t / call.layer.base ** (c // 2 * 2 / call.x.shape[-1])
    wave = (math.sin, math.cos)[c % 2](angle)
    return _added(call, index, f"{'cos' if c % 2 else 'sin'}({number(angle)})", wave)


def _added(call: Call, index: Index, name: str, more: float) -> Working:
    x = float(call.host("x")[index])
    steps = [
        f"{at('y', index)} = {at('x', index)} + {name} = {number(x)} + {number(more)} = {number(x + more)}"
    ]
    return Working(x + more, abs(x) + abs(more), steps)


def turned_output(call: Call, index: Index) -> Working:
    """Each pair (i, i + D / 2) turned by t / base^(2i / D)."""
    return _turned(call, index, ("y", "x"), 1)


def turned_gradient(call: Call, index: Index) -> Working:
    """The pairs of dy turned back."""
    return _turned(call, index, ("dx", "dy"), -1)


def _turned(call: Call, index: Index, names: Sequence[str], direction: int) -> Working:
    to, origin = names
    (*row, t, d), half = index, call.x.shape[-1] // 2
    angle = direction * t / call.layer.base ** (d % half * 2 / (2 * half))
    cos, sin = math.cos(angle), math.sin(angle) * (-1 if d < half else 1)
    other = (*row, t, (d + half) % (2 * half))
    array = call.host(origin)
    name = "-sin" if d < half else "sin"
    parts = [
        (at(origin, index), float(array[index]), f"cos({number(angle)})", cos),
        (at(origin, other), float(array[other]), f"{name}({number(angle)})", sin),
    ]
    return weighed(at(to, index), ("input" if to == "y" else "upstream", "factor"), parts)
