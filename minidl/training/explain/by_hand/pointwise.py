"""Layers that take each number by itself, and those along one axis."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from minidl.training.explain.seen import Call
from minidl.training.explain.worked import Index, Working, at, number, signed

Scalar = Callable[[Any, float], float]


class Curve(NamedTuple):
    """A function of one number: its text and its slope's, with X for the number, and both as code.

    Args:
        text, slope_text: in the notation of `notation`.
        value, slope: take the layer and a number.
        options: attributes of the layer that the texts name.
    """

    text: str
    slope_text: str
    value: Scalar
    slope: Scalar
    options: tuple[str, ...] = ()

    def forward(self) -> str:
        """Return the formula."""
        return f"y = {self.text.replace('X', 'x')}"

    def pullback(self) -> str:
        """Return the formula of the gradient."""
        return f"dx = dy * {self.slope_text.replace('X', 'x')}"

    def output(self, call: Call, index: Index) -> Working:
        """Work out an element of the output."""
        x = float(call.host("x")[index])
        value = self.value(call.layer, x)
        text = self.text.replace("X", signed(x))
        steps = [*self._given(call), f"{at('x', index)} = {number(x)}"]
        steps.append(f"{at('y', index)} = {text} = {number(value)}")
        return Working(value, abs(x) + abs(value), steps)

    def gradient(self, call: Call, index: Index) -> Working:
        """Work out an element of the gradient."""
        x, dy = float(call.host("x")[index]), float(call.host("dy")[index])
        slope = self.slope(call.layer, x)
        steps = [*self._given(call), f"{at('x', index)} = {number(x)}, {at('dy', index)} = {number(dy)}"]
        steps.append(f"slope: {self.slope_text.replace('X', signed(x))} = {number(slope)}")
        steps.append(f"{at('dx', index)} = {number(dy)} * {signed(slope)} = {number(dy * slope)}")
        return Working(dy * slope, abs(dy) * (1 + abs(slope)), steps)

    def _given(self, call: Call) -> list[str]:
        given = [f"{name} = {number(getattr(call.layer, name))}" for name in self.options]
        return [", ".join(given)] if given else []


def exp(x: float) -> float:
    """Return e^x, infinite where a float ends."""
    return math.exp(x) if x < 709 else x * math.inf


def sigmoid(x: float) -> float:
    """Return 1 / (1 + e^-x)."""
    return 1 / (1 + exp(-x)) if x >= 0 else exp(x) / (1 + exp(x)) if x < 0 else x


def softplus(x: float) -> float:
    """Return log(1 + e^x)."""
    return max(x, 0) + math.log1p(exp(-abs(x))) if not math.isnan(x) else x


def prelu_output(call: Call, index: Index) -> Working:
    """y = x where x > 0, else w x."""
    x, (w, name) = float(call.host("x")[index]), _slope(call, index)
    value = x if x > 0 else w * x
    steps = [f"{at('x', index)} = {number(x)}, {name} = {number(w)}"]
    steps.append(f"{at('y', index)} = {'x' if x > 0 else f'{name} x'} = {number(value)}")
    return Working(value, abs(value), steps)


def prelu_gradient(call: Call, index: Index) -> Working:
    """dx = dy where x > 0, else w dy."""
    x, dy, (w, name) = float(call.host("x")[index]), float(call.host("dy")[index]), _slope(call, index)
    value = dy if x > 0 else w * dy
    steps = [f"{at('x', index)} = {number(x)}, {at('dy', index)} = {number(dy)}, {name} = {number(w)}"]
    steps.append(f"{at('dx', index)} = {'dy' if x > 0 else f'{name} dy'} = {number(value)}")
    return Working(value, abs(value), steps)


def _slope(call: Call, index: Index) -> tuple[float, str]:
    w = call.host("weight")
    place = index[-1] if w.size > 1 else 0
    return float(w[place]), at("w", (place,))


def glu_output(call: Call, index: Index) -> Working:
    """y = a sigmoid(b)."""
    a, b, _, name_a, name_b = _halves(call, index)
    value = a * sigmoid(b)
    steps = [f"a = {name_a} = {number(a)}, b = {name_b} = {number(b)}"]
    steps.append(f"{at('y', index)} = a * sigmoid(b) = {number(a)} * {number(sigmoid(b))} = {number(value)}")
    return Working(value, abs(a), steps)


def glu_gradient(call: Call, index: Index) -> Working:
    """da = dy s, db = dy a s (1 - s) with s = sigmoid(b)."""
    a, b, here, name_a, name_b = _halves(call, index)
    dy, s, first = float(call.host("dy")[here]), sigmoid(b), index == _half(call, here, 0)
    value = dy * s if first else dy * a * s * (1 - s)
    steps = [f"a = {name_a} = {number(a)}, b = {name_b} = {number(b)}, s = sigmoid(b) = {number(s)}"]
    formula = "da = dy * s" if first else "db = dy * a * s * (1 - s)"
    steps.append(f"{at('dx', index)}, {formula} = {number(value)} with {at('dy', here)} = {number(dy)}")
    return Working(value, abs(dy) * (1 + abs(a)), steps)


def _axis(call: Call) -> int:
    axis: int = call.layer.axis % call.x.ndim
    return axis


def _half(call: Call, index: Index, which: int) -> Index:
    """Return the place in the input of an element of the output: in its first or its second half."""
    axis = _axis(call)
    return (*index[:axis], index[axis] + which * (call.x.shape[axis] // 2), *index[axis + 1 :])


def _halves(call: Call, index: Index) -> tuple[float, float, Index, str, str]:
    axis, x = _axis(call), call.host("x")
    here = (*index[:axis], index[axis] % (x.shape[axis] // 2), *index[axis + 1 :])
    a, b = _half(call, here, 0), _half(call, here, 1)
    return float(x[a]), float(x[b]), here, at("x", a), at("x", b)
