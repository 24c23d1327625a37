"""Softmax and log-softmax along any axis: shifted by the maximum, with the exact pullback in O(size)."""

from collections.abc import Callable
from typing import TypeAlias

from minidl.backend import Array, check_axis, check_float, silent_overflow, xp
from minidl.ops._kernels._choice import fused
from minidl.ops._precision import widen

Result: TypeAlias = "tuple[Array, Callable[[Array], Array]]"


def _shifted(x: Array, axis: int) -> Array:
    """Return x minus its maximum along the axis, so that no exponential can overflow."""
    x = widen(x)
    with silent_overflow():
        return x - x.max(axis=axis, keepdims=True) if x.size else x.copy()


@fused("softmax:softmax")
def softmax(x: Array, *, axis: int = -1) -> Result:
    """y_i = e^(x_i) / sum_j e^(x_j) along the axis."""
    check_float(x, "softmax")
    check_axis(axis, x.ndim, "softmax")
    y = xp.exp(_shifted(x, axis))
    y /= y.sum(axis=axis, keepdims=True)

    def pullback(dy: Array) -> Array:
        # dx = y (dy - sum_j dy_j y_j)
        dx = dy * y
        dx -= y * dx.sum(axis=axis, keepdims=True)
        return dx.astype(x.dtype, copy=False)

    return y.astype(x.dtype, copy=False), pullback


def softmin(x: Array, *, axis: int = -1) -> Result:
    """y_i = e^(-x_i) / sum_j e^(-x_j) along the axis."""
    check_float(x, "softmin")
    check_axis(axis, x.ndim, "softmin")
    y, of_negative = softmax(xp.asarray(-x), axis=axis)

    def pullback(dy: Array) -> Array:
        # dx = -y (dy - sum_j dy_j y_j)
        return xp.asarray(-of_negative(dy))

    return y, pullback


@fused("softmax:log_softmax")
def log_softmax(x: Array, *, axis: int = -1) -> Result:
    """y_i = x_i - log sum_j e^(x_j) along the axis."""
    check_float(x, "log_softmax")
    check_axis(axis, x.ndim, "log_softmax")
    y = _shifted(x, axis)
    if y.size:  # of nothing there is no logarithm
        y -= xp.log(xp.exp(y).sum(axis=axis, keepdims=True))

    def pullback(dy: Array) -> Array:
        # dx = dy - softmax(x) sum_j dy_j
        dx: Array = dy - xp.exp(y) * widen(dy).sum(axis=axis, keepdims=True)
        return dx.astype(x.dtype, copy=False)

    with silent_overflow():
        return y.astype(x.dtype, copy=False), pullback
