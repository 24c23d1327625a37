"""Layers that take each number by itself."""

import math
from collections.abc import Callable
from typing import Any

from minidl import layers
from minidl.layers.base import Layer
from minidl.ops.piecewise import SELU_ALPHA, SELU_SCALE
from minidl.training.explain.by_hand.pointwise import Curve, exp, sigmoid, softplus
from minidl.training.explain.entry import Entry


def _curve(text: str, slope_text: str, value: Any, slope: Any, *options: str, names: str = "") -> Entry:
    curve = Curve(text, slope_text, value, slope, options)
    return Entry(curve.forward(), curve.pullback(), names, curve.output, curve.gradient)


def _bent(depth: Callable[[Any], float], width: Callable[[Any], float]) -> tuple[Any, Any]:
    """Return x where x > 0, else depth (e^(x / width) - 1), and its slope."""

    def value(layer: Any, x: float) -> float:
        return x if x > 0 else depth(layer) * math.expm1(x / width(layer))

    def slope(layer: Any, x: float) -> float:
        return 1.0 if x > 0 else depth(layer) / width(layer) * exp(x / width(layer))

    return value, slope


def _clipped(low: Callable[[Any], float], high: Callable[[Any], float]) -> tuple[Any, Any]:
    return (
        lambda layer, x: min(max(x, low(layer)), high(layer)),
        lambda layer, x: float(low(layer) < x < high(layer)),
    )


def _normal(x: float) -> float:
    return (1 + math.erf(x / math.sqrt(2))) / 2


def _tanh_share(x: float) -> tuple[float, float]:
    t = math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    return (1 + t) / 2, (1 - t * t) / 2 * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)


def _gelu(layer: Any, x: float) -> float:
    return x * (_normal(x) if layer.approximate == "none" else _tanh_share(x)[0])


def _gelu_slope(layer: Any, x: float) -> float:
    if layer.approximate != "none":
        share, slope = _tanh_share(x)
        return share + x * slope
    return _normal(x) + x * math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _mish_slope(layer: Any, x: float) -> float:
    t = math.tanh(softplus(x))
    return t + x * (1 - t * t) * sigmoid(x)


def _silu_slope(layer: Any, x: float) -> float:
    return sigmoid(x) * (1 + x * (1 - sigmoid(x)))


CURVES: dict[type[Layer], Entry] = {
    layers.ReLU: _curve("max(X, 0)", "[X > 0]", lambda _, x: max(x, 0.0), lambda _, x: float(x > 0)),
    layers.ReLU6: _curve("min(max(X, 0), 6)", "[0 < X < 6]", *_clipped(lambda _: 0.0, lambda _: 6.0)),
    layers.HardTanh: _curve(
        "min(max(X, low), high)",
        "[low < X < high]",
        *_clipped(lambda layer: layer.low, lambda layer: layer.high),
        "low",
        "high",
    ),
    layers.HardSigmoid: _curve(
        "min(max(X / 6 + 1/2, 0), 1)",
        "[-3 < X < 3] / 6",
        lambda _, x: min(max(x / 6 + 0.5, 0.0), 1.0),
        lambda _, x: float(-3 < x < 3) / 6,
    ),
    layers.HardSwish: _curve(
        "X * min(max(X / 6 + 1/2, 0), 1)",
        "(0 if X <= -3, 1 if X >= 3, else X / 3 + 1/2)",
        lambda _, x: x * min(max(x / 6 + 0.5, 0.0), 1.0),
        lambda _, x: 0.0 if x <= -3 else 1.0 if x >= 3 else x / 3 + 0.5,
    ),
    layers.LeakyReLU: _curve(
        "(X if X > 0, else negative_slope * X)",
        "(1 if X > 0, else negative_slope)",
        lambda layer, x: x if x > 0 else layer.negative_slope * x,
        lambda layer, x: 1.0 if x > 0 else layer.negative_slope,
        "negative_slope",
    ),
    layers.ELU: _curve(
        "(X if X > 0, else alpha * (e^{X} - 1))",
        "(1 if X > 0, else alpha * e^{X})",
        *_bent(lambda layer: layer.alpha, lambda _: 1.0),
        "alpha",
    ),
    layers.CELU: _curve(
        "(X if X > 0, else alpha * (e^{X / alpha} - 1))",
        "(1 if X > 0, else e^{X / alpha})",
        *_bent(lambda layer: layer.alpha, lambda layer: layer.alpha),
        "alpha",
    ),
    layers.SELU: _curve(
        "1.0507 * (X if X > 0, else 1.67326 * (e^{X} - 1))",
        "1.0507 * (1 if X > 0, else 1.67326 * e^{X})",
        lambda _, x: SELU_SCALE * (x if x > 0 else SELU_ALPHA * math.expm1(x)),
        lambda _, x: SELU_SCALE * (1.0 if x > 0 else SELU_ALPHA * exp(x)),
    ),
    layers.Sigmoid: _curve(
        "1 / (1 + e^{-X})",
        "s * (1 - s) with s = sigmoid(X)",
        lambda _, x: sigmoid(x),
        lambda _, x: sigmoid(x) * sigmoid(-x),
    ),
    layers.Tanh: _curve(
        "tanh(X)", "(1 - tanh(X)^2)", lambda _, x: math.tanh(x), lambda _, x: 1 - math.tanh(x) ** 2
    ),
    layers.GELU: _curve(
        "X * P(X)",
        "(P(X) + X * P'(X))",
        _gelu,
        _gelu_slope,
        names="P(x) is the probability of a standard normal number below x, or its approximation by a tanh",
    ),
    layers.SiLU: _curve(
        "X * sigmoid(X)",
        "s * (1 + X * (1 - s)) with s = sigmoid(X)",
        lambda _, x: x * sigmoid(x),
        _silu_slope,
    ),
    layers.Mish: _curve(
        "X * tanh(log(1 + e^{X}))",
        "(t + X * (1 - t^2) * sigmoid(X)) with t = tanh(log(1 + e^{X}))",
        lambda _, x: x * math.tanh(softplus(x)),
        _mish_slope,
    ),
    layers.Softplus: _curve(
        "log(1 + e^{beta * X}) / beta",
        "sigmoid(beta * X)",
        lambda layer, x: softplus(layer.beta * x) / layer.beta,
        lambda layer, x: sigmoid(layer.beta * x),
        "beta",
    ),
    layers.Softsign: _curve(
        "X / (1 + |X|)",
        "1 / (1 + |X|)^2",
        lambda _, x: x / (1 + abs(x)),
        lambda _, x: 1 / (1 + abs(x)) ** 2,
    ),
}
