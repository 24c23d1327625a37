"""Activations that are put together from straight lines, and their relatives by the exponential function."""

from collections.abc import Callable
from typing import TypeAlias

from minidl.backend import Array, check_float, silent_overflow, xp
from minidl.ops._options import check_number
from minidl.ops._precision import check_operands, exponent_reach, widen
from minidl.ops.elementwise import unbroadcast

Result: TypeAlias = "tuple[Array, Callable[[Array], Array]]"

SELU_ALPHA = 1.6732632423543772  # with this scale, mean 0 and variance 1 are a fixed point
SELU_SCALE = 1.0507009873554805


def leaky_relu(x: Array, *, negative_slope: float = 0.01) -> Result:
    """y = x where x > 0, else slope x."""
    check_float(x, "leaky_relu")
    slope = check_number(negative_slope, "negative_slope", "leaky_relu")

    def pullback(dy: Array) -> Array:
        # dx = dy where x > 0, else slope dy
        return xp.asarray(xp.where(x > 0, dy, slope * dy))

    return xp.asarray(xp.maximum(x, 0) + slope * xp.minimum(x, 0)), pullback


def prelu(x: Array, w: Array) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    """y = x where x > 0, else w x; w holds one slope, or one for each entry of the last axis."""
    check_operands(x, w, "prelu")
    if w.ndim != 1 or w.shape[0] not in (1, x.shape[-1] if x.ndim else 1):
        last = f" or ({x.shape[-1]},)" if x.ndim else ""
        raise ValueError(f"prelu: expected a weight (1,){last} for an input {x.shape}, got {w.shape}")
    if not x.ndim:
        w = w.reshape(())

    def pullback(dy: Array) -> tuple[Array, Array]:
        # dx = dy where x > 0, else w dy; dw = sum of dy min(x, 0)
        dw = unbroadcast(xp.asarray(widen(dy) * xp.minimum(x, 0)), w)
        return xp.asarray(xp.where(x > 0, dy, w * dy)), dw.reshape(-1)

    return xp.asarray(xp.maximum(x, 0) + w * xp.minimum(x, 0)), pullback


def relu6(x: Array) -> Result:
    """y = min(max(x, 0), 6), with derivative 0 at 0 and at 6."""
    return _between(x, 0.0, 6.0, "relu6")


def hard_tanh(x: Array, *, low: float = -1.0, high: float = 1.0) -> Result:
    """y = min(max(x, low), high), with derivative 0 on the bounds."""
    low = check_number(low, "low", "hard_tanh")
    return _between(x, low, check_number(high, "high", "hard_tanh", above=low), "hard_tanh")


def _between(x: Array, low: float, high: float, owner: str) -> Result:
    check_float(x, owner)

    def pullback(dy: Array) -> Array:
        # dx = dy [low < x < high]; a NaN lets dy through, as in PyTorch
        return xp.asarray(dy * ~((x <= low) | (x >= high)))

    return xp.asarray(xp.minimum(xp.maximum(x, low), high)), pullback


def hard_sigmoid(x: Array) -> Result:
    """y = min(max(x / 6 + 1/2, 0), 1)."""
    check_float(x, "hard_sigmoid")
    y = xp.minimum(xp.maximum(x / 6 + 0.5, 0), 1)

    def pullback(dy: Array) -> Array:
        # dx = dy / 6 where -3 < x < 3, else 0
        return xp.asarray(dy * ((x > -3) & (x < 3)) / 6)

    return xp.asarray(y), pullback


def hard_swish(x: Array) -> Result:
    """y = x hard_sigmoid(x)."""
    check_float(x, "hard_swish")

    def pullback(dy: Array) -> Array:
        # dx = dy (x / 3 + 1/2) where -3 < x < 3; dy above, 0 below
        inner = xp.where(x > -3, xp.minimum(x, 3) / 3 + 0.5, 0)
        return xp.asarray(dy * xp.where(x < 3, inner, 1), dtype=x.dtype)

    return xp.asarray(x * xp.minimum(xp.maximum(x / 6 + 0.5, 0), 1)), pullback


def elu(x: Array, *, alpha: float = 1.0) -> Result:
    """y = x where x > 0, else alpha (e^x - 1)."""
    return _bent(x, 1.0, check_number(alpha, "alpha", "elu"), 1.0, "elu")


def celu(x: Array, *, alpha: float = 1.0) -> Result:
    """y = x where x > 0, else alpha (e^(x / alpha) - 1)."""
    alpha = check_number(alpha, "alpha", "celu", above=0)
    return _bent(x, 1.0, alpha, alpha, "celu")


def selu(x: Array) -> Result:
    """y = scale x where x > 0, else scale alpha (e^x - 1)."""
    return _bent(x, SELU_SCALE, SELU_SCALE * SELU_ALPHA, 1.0, "selu")


def _bent(x: Array, slope: float, depth: float, width: float, owner: str) -> Result:
    """y = slope x where x > 0, else depth (e^(x / width) - 1)."""
    check_float(x, owner)
    wide = widen(x)
    below = xp.maximum(xp.minimum(wide, 0), -exponent_reach(width, wide)) / width
    with silent_overflow():
        y = xp.asarray(slope * xp.maximum(wide, 0) + depth * xp.expm1(below), dtype=x.dtype)

    def pullback(dy: Array) -> Array:
        # dx = depth / width e^(x / width) dy where x <= 0, else slope dy, as for a NaN in PyTorch
        return xp.asarray(dy * xp.where(wide <= 0, depth / width * xp.exp(below), slope), dtype=x.dtype)

    return y, pullback
