"""Activations, element by element or along an axis. Their derivatives at a bend are 0."""

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def relu(x: Array) -> Array:
    """y = max(x, 0)."""
    return np.maximum(x, 0)


def relu_backward(dy: Array, y: Array) -> Array:
    """dx = dy where y > 0."""
    return dy * (y > 0)


def sigmoid(x: Array) -> Array:
    """y = 1 / (1 + e^-x), written so that no exponential overflows."""
    y: Array = np.exp(np.minimum(x, 0)) / (1 + np.exp(-abs(x)))
    return y


def sigmoid_backward(dy: Array, y: Array) -> Array:
    """dx = dy y (1 - y)."""
    dx: Array = dy * y * (1 - y)
    return dx


def tanh(x: Array) -> Array:
    """y = tanh x."""
    y: Array = np.tanh(x)
    return y


def tanh_backward(dy: Array, y: Array) -> Array:
    """dx = dy (1 - y^2)."""
    dx: Array = dy * (1 - y * y)
    return dx


def softmax(x: Array, axis: int = -1) -> Array:
    """y_i = e^(x_i) / sum_j e^(x_j); the largest x is taken off first, so that nothing overflows."""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    y: Array = e / e.sum(axis=axis, keepdims=True)
    return y


def softmax_backward(dy: Array, y: Array, axis: int = -1) -> Array:
    """dx_i = y_i (dy_i - sum_j dy_j y_j)."""
    dx: Array = y * (dy - (dy * y).sum(axis=axis, keepdims=True))
    return dx


def softmin(x: Array, axis: int = -1) -> Array:
    """y = softmax(-x)."""
    return softmax(-x, axis)


def softmin_backward(dy: Array, y: Array, axis: int = -1) -> Array:
    """dx = -softmax_backward(dy)."""
    return -softmax_backward(dy, y, axis)


def log_softmax(x: Array, axis: int = -1) -> Array:
    """y_i = x_i - log sum_j e^(x_j)."""
    shifted = x - x.max(axis=axis, keepdims=True)
    y: Array = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return y


def log_softmax_backward(dy: Array, y: Array, axis: int = -1) -> Array:
    """dx_i = dy_i - e^(y_i) sum_j dy_j."""
    dx: Array = dy - np.exp(y) * dy.sum(axis=axis, keepdims=True)
    return dx


def glu(x: Array, axis: int = -1) -> Array:
    """y = a sigmoid(b), where a and b are the halves of x."""
    a, b = np.split(x, 2, axis=axis)
    return a * sigmoid(b)


def glu_backward(dy: Array, x: Array, axis: int = -1) -> Array:
    """da = dy s, db = dy a s (1 - s) with s = sigmoid(b)."""
    a, b = np.split(x, 2, axis=axis)
    s = sigmoid(b)
    return np.concatenate([dy * s, dy * a * s * (1 - s)], axis=axis)


def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """y = x where x > 0, else slope x."""
    return np.where(x > 0, x, negative_slope * x)


def leaky_relu_backward(dy: Array, x: Array, negative_slope: float = 0.01) -> Array:
    """dx = dy where x > 0, else slope dy."""
    return np.where(x > 0, dy, negative_slope * dy)


def prelu(x: Array, w: Array) -> Array:
    """y = x where x > 0, else w x, with one slope or one for each entry of the last axis."""
    return np.where(x > 0, x, w * x)


def prelu_backward(dy: Array, x: Array, w: Array) -> tuple[Array, Array]:
    """dx = dy where x > 0, else w dy; dw = sum of dy min(x, 0)."""
    share = dy * np.minimum(x, 0)
    dw = share.sum(axis=tuple(range(x.ndim - 1))) if w.size > 1 else share.sum()
    return np.where(x > 0, dy, w * dy), np.asarray(dw).reshape(w.shape)


def clip(x: Array, low: float, high: float) -> Array:
    """y = min(max(x, low), high)."""
    return np.minimum(np.maximum(x, low), high)


def clip_backward(dy: Array, x: Array, low: float, high: float) -> Array:
    """dx = dy where low < x < high."""
    return dy * ((low < x) & (x < high))


def hard_sigmoid(x: Array) -> Array:
    """y = min(max(x / 6 + 1/2, 0), 1)."""
    return np.minimum(np.maximum(x / 6 + 0.5, 0), 1)


def hard_sigmoid_backward(dy: Array, x: Array) -> Array:
    """dx = dy / 6 where -3 < x < 3."""
    return dy * (abs(x) < 3) / 6


def hard_swish(x: Array) -> Array:
    """y = x hard_sigmoid(x)."""
    return x * hard_sigmoid(x)


def hard_swish_backward(dy: Array, x: Array) -> Array:
    """dx = dy (x / 3 + 1/2) where -3 < x < 3; dy above, 0 below."""
    dx: Array = dy * np.where(x <= -3, 0, np.where(x < 3, x / 3 + 0.5, 1)).astype(x.dtype)
    return dx


def elu(x: Array, slope: float = 1.0, depth: float = 1.0, width: float = 1.0) -> Array:
    """y = slope x where x > 0, else depth (e^(x / width) - 1)."""
    return slope * np.maximum(x, 0) + depth * np.expm1(np.minimum(x, 0) / width)


def elu_backward(dy: Array, x: Array, slope: float = 1.0, depth: float = 1.0, width: float = 1.0) -> Array:
    """dx = slope dy where x > 0, else depth / width e^(x / width) dy."""
    dx: Array = dy * np.where(x > 0, slope, depth / width * np.exp(np.minimum(x, 0) / width)).astype(x.dtype)
    return dx


def erf(x: Array) -> Array:
    """The error function; NumPy has none."""
    y: Array = np.vectorize(math.erf, otypes=[float])(x)
    return y


def gelu(x: Array) -> Array:
    """y = x P(z < x) for a standard normal z."""
    share: Array = (1 + erf(x / math.sqrt(2))) / 2
    y: Array = x * share.astype(x.dtype)
    return y


def gelu_backward(dy: Array, x: Array) -> Array:
    """dx = dy (P + x P')."""
    share, density = (1 + erf(x / math.sqrt(2))) / 2, np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    dx: Array = dy * (share + x * density).astype(x.dtype)
    return dx


def gelu_tanh(x: Array) -> Array:
    """y = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2."""
    y: Array = x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2
    return y


def gelu_tanh_backward(dy: Array, x: Array) -> Array:
    """dx = dy ((1 + t) / 2 + x (1 - t^2) / 2 u') with t = tanh(u)."""
    t = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    du = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
    dx: Array = dy * ((1 + t) / 2 + x * (1 - t * t) / 2 * du)
    return dx


def silu(x: Array) -> Array:
    """y = x sigmoid(x)."""
    return x * sigmoid(x)


def silu_backward(dy: Array, x: Array) -> Array:
    """dx = dy s (1 + x (1 - s)) with s = sigmoid(x)."""
    s = sigmoid(x)
    dx: Array = dy * s * (1 + x * (1 - s))
    return dx


def softplus(x: Array, beta: float = 1.0) -> Array:
    """y = log(1 + e^(beta x)) / beta, written so that no exponential overflows."""
    y: Array = np.maximum(x, 0) + np.log1p(np.exp(-abs(beta * x))) / beta
    return y


def softplus_backward(dy: Array, x: Array, beta: float = 1.0) -> Array:
    """dx = dy sigmoid(beta x)."""
    return dy * sigmoid(beta * x)


def mish(x: Array) -> Array:
    """y = x tanh(softplus(x))."""
    y: Array = x * np.tanh(softplus(x))
    return y


def mish_backward(dy: Array, x: Array) -> Array:
    """dx = dy (t + x (1 - t^2) sigmoid(x)) with t = tanh(softplus(x))."""
    t = np.tanh(softplus(x))
    dx: Array = dy * (t + x * (1 - t * t) * sigmoid(x))
    return dx


def softsign(x: Array) -> Array:
    """y = x / (1 + |x|)."""
    y: Array = x / (1 + abs(x))
    return y


def softsign_backward(dy: Array, x: Array) -> Array:
    """dx = dy / (1 + |x|)^2."""
    dx: Array = dy / (1 + abs(x)) ** 2
    return dx
