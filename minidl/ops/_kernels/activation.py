"""Activations: one launch where the formulas take two to seven, with an array in between for each.

Bias and rectifier together are one pass over the products of a layer in place of two.
"""

from typing import Any

from minidl.backend import Array, xp
from minidl.ops._kernels._program import Program, packed, takes

PROGRAM = Program("""
extern "C" __global__ void relu_back(const T* y, const T* dy, T* dx, Int count) {
  EACH(i, count) dx[i] = (T)((W)dy[i] * ((W)y[i] != 0 ? (W)1 : (W)0));
}

extern "C" __global__ void sigmoid(const T* x, T* y, Int count) {
  EACH(i, count) {
    const W value = (W)x[i], below = value > 0 ? (W)0 : value;
    y[i] = (T)(exp(below) / ((W)1 + exp(value > 0 ? -value : value)));
  }
}

extern "C" __global__ void sigmoid_back(const T* y, const T* dy, T* dx, Int count) {
  EACH(i, count) dx[i] = (T)((W)dy[i] * ((W)y[i] * ((W)1 - (W)y[i])));
}

extern "C" __global__ void tanh_back(const T* y, const T* dy, T* dx, Int count) {
  EACH(i, count) dx[i] = (T)((W)dy[i] * ((W)1 - (W)y[i] * (W)y[i]));
}

// y = max(y + b, 0), in place
extern "C" __global__ void bias_relu(T* y, const T* b, Int count, Int columns) {
  EACH(i, count) {
    const W value = (W)y[i] + (W)b[rest(i, columns)];
    y[i] = (T)(value > 0 || value != value ? value : (W)0);
  }
}
""")


def relu(x: Array) -> Any:
    """y = max(x, 0), with derivative 0 at 0."""
    if not takes(x):
        return NotImplemented
    y = xp.asarray(xp.maximum(packed(x), 0))

    def pullback(dy: Array) -> Array:
        # dx = dy [x > 0]; a NaN lets dy through, as in PyTorch
        return pulled_back("relu_back", y, dy)

    return y, pullback


def sigmoid(x: Array) -> Any:
    """y = 1 / (1 + e^-x), written so that no exponential can overflow."""
    if not takes(x):
        return NotImplemented
    y = xp.empty(x.shape, dtype=x.dtype)
    PROGRAM.each("sigmoid", x.dtype, x.size, packed(x), y, x.size)

    def pullback(dy: Array) -> Array:
        # dx = dy y (1 - y)
        return pulled_back("sigmoid_back", y, dy)

    return y, pullback


def tanh(x: Array) -> Any:
    """y = tanh x."""
    if not takes(x):
        return NotImplemented
    y = xp.asarray(xp.tanh(packed(x)))

    def pullback(dy: Array) -> Array:
        # dx = dy (1 - y^2)
        return pulled_back("tanh_back", y, dy)

    return y, pullback


def add_bias_and_rectify(y: Array, b: Array) -> None:
    """Make y = max(y + b, 0) of the products (..., C) of a layer, in place."""
    PROGRAM.each("bias_relu", y.dtype, y.size, y, packed(b), y.size, y.shape[-1])


def pulled_back(name: str, y: Array, dy: Array) -> Array:
    """Return the gradient of an activation that the kernel of this name tells from y and dy."""
    dx = xp.empty(y.shape, dtype=y.dtype)
    PROGRAM.each(name, y.dtype, y.size, packed(y), packed(dy, y.dtype), dx, y.size)
    return dx
