"""Activations: the nonlinear functions between layers, element by element."""

from collections.abc import Callable
from typing import TypeAlias

from minidl.backend import Array, check_float, xp
from minidl.ops._kernels._choice import fused
from minidl.ops._precision import widen

Result: TypeAlias = "tuple[Array, Callable[[Array], Array]]"


@fused("activation:relu")
def relu(x: Array) -> Result:
    """y = max(x, 0), with derivative 0 at 0."""
    check_float(x, "relu")
    y = xp.asarray(xp.maximum(x, 0))

    def pullback(dy: Array) -> Array:
        # dx = dy [x > 0]; a NaN lets dy through, as in PyTorch
        return xp.asarray(dy * (y != 0))

    return y, pullback


@fused("activation:sigmoid")
def sigmoid(x: Array) -> Result:
    """y = 1 / (1 + e^-x), written so that no exponential can overflow."""
    check_float(x, "sigmoid")
    wide = widen(x)
    y = xp.exp(xp.minimum(wide, 0)) / (1 + xp.exp(-abs(wide)))
    y = xp.asarray(y, dtype=x.dtype)

    def pullback(dy: Array) -> Array:
        # dx = dy y (1 - y)
        return xp.asarray(dy * (y * (1 - y)))

    return y, pullback


@fused("activation:tanh")
def tanh(x: Array) -> Result:
    """y = tanh x."""
    check_float(x, "tanh")
    y = xp.asarray(xp.tanh(x))

    def pullback(dy: Array) -> Array:
        # dx = dy (1 - y^2)
        return xp.asarray(dy * (1 - y * y))

    return y, pullback
