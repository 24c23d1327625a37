"""Softmax and log-softmax along any axis: shifted by the maximum, with the exact pullback in O(size)."""

from collections.abc import Callable
from typing import TypeAlias

from minidl.backend import Array, check_axis, check_float, silent_overflow, xp
from minidl.ops._blocks import in_blocks
from minidl.ops._kernels._choice import fused
from minidl.ops._precision import widen
from minidl.ops._rows import maxima, sums

Result: TypeAlias = "tuple[Array, Callable[[Array], Array]]"


def _shift(x: Array, axis: int, out: Array) -> Array:
    """Write x minus its maximum along the axis, so that no exponential can overflow."""
    with silent_overflow():
        return xp.subtract(widen(x), widen(maxima(x, axis)), out=out)


def _each(x: Array, axis: int, task: Callable[[slice], None]) -> None:
    """Run a task on blocks of x along its first axis, on all of it if that is the one of the softmax."""
    if x.size:
        in_blocks(x, task) if axis % x.ndim else task(slice(None))


@fused("softmax:softmax")
def softmax(x: Array, *, axis: int = -1) -> Result:
    """y_i = e^(x_i) / sum_j e^(x_j) along the axis."""
    check_float(x, "softmax")
    check_axis(axis, x.ndim, "softmax")
    y = xp.empty(x.shape, widen(x[:0]).dtype)

    def forward(block: slice) -> None:
        part = _shift(x[block], axis, out=y[block])
        xp.exp(part, out=part)
        part /= sums(part, axis=axis)

    _each(x, axis, forward)

    def pullback(dy: Array) -> Array:
        # dx = y (dy - sum_j dy_j y_j)
        dx = xp.empty(y.shape, y.dtype)

        def backward(block: slice) -> None:
            dpart, share = widen(dy[block]), y[block]
            part = xp.subtract(dpart, sums(dpart, share, axis), out=dx[block])
            part *= share

        _each(x, axis, backward)
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
    y = xp.empty(x.shape, widen(x[:0]).dtype)

    def forward(block: slice) -> None:
        part = _shift(x[block], axis, out=y[block])
        part -= xp.log(sums(xp.exp(part), axis=axis))

    _each(x, axis, forward)

    def pullback(dy: Array) -> Array:
        # dx = dy - softmax(x) sum_j dy_j
        dx = xp.empty(y.shape, y.dtype)

        def backward(block: slice) -> None:
            part = xp.exp(y[block], out=dx[block])
            part *= sums(widen(dy[block]), axis=axis)
            xp.subtract(dy[block], part, out=part)

        _each(x, axis, backward)
        return dx.astype(x.dtype, copy=False)

    with silent_overflow():
        return y.astype(x.dtype, copy=False), pullback
