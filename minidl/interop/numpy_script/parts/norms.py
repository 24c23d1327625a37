"""Normalisation."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def batch_norm(x: Array, w: Array, b: Array, mean: Array, var: Array, eps: float) -> Array:
    """y = w (x - mean) / sqrt(var + eps) + b, with the statistics that training has left."""
    y: Array = w * ((x - mean) / np.sqrt(var + eps)) + b
    return y.astype(x.dtype)


def batch_norm_backward(
    dy: Array, x: Array, w: Array, mean: Array, var: Array, eps: float
) -> tuple[Array, Array, Array]:
    """dx = dy w / sqrt(var + eps), dw = sum of dy (x - mean) / sqrt(var + eps), db = sum of dy."""
    scale, axes = 1 / np.sqrt(var + eps), tuple(range(x.ndim - 1))
    dw = (dy * (x - mean) * scale).sum(axis=axes)
    return (dy * w * scale).astype(x.dtype), dw.astype(w.dtype), dy.sum(axis=axes)


def standardize(x: Array, axes: tuple[int, ...], eps: float) -> tuple[Array, Array]:
    """Return (x - mean) / sqrt(variance + eps) over some axes, and 1 / sqrt(variance + eps)."""
    scale = 1 / np.sqrt(x.var(axis=axes, keepdims=True) + eps)
    return (x - x.mean(axis=axes, keepdims=True)) * scale, scale


def standardize_backward(dz: Array, x: Array, axes: tuple[int, ...], eps: float) -> Array:
    """dx = (dz - mean dz - z mean(dz z)) / sqrt(variance + eps)."""
    z, scale = standardize(x, axes, eps)
    dx: Array = dz - dz.mean(axis=axes, keepdims=True) - z * (dz * z).mean(axis=axes, keepdims=True)
    return dx * scale


def layer_norm(x: Array, w: Array, b: Array, eps: float) -> Array:
    """Standardise each sample over its last axes, those of w; then scale and shift."""
    return w * standardize(x, tuple(range(-w.ndim, 0)), eps)[0] + b


def layer_norm_backward(dy: Array, x: Array, w: Array, eps: float) -> tuple[Array, Array, Array]:
    """dz = dy w, dw = sum of dy z, db = sum of dy, where z is x standardised."""
    last, others = tuple(range(-w.ndim, 0)), tuple(range(x.ndim - w.ndim))
    z, _ = standardize(x, last, eps)
    return standardize_backward(dy * w, x, last, eps), (dy * z).sum(axis=others), dy.sum(axis=others)


def group_norm(x: Array, w: Array, b: Array, groups: int, eps: float) -> Array:
    """Standardise each group of channels of a sample over all positions: (N, *spatial, C)."""
    grouped = x.reshape(len(x), -1, groups, x.shape[-1] // groups)
    return w * standardize(grouped, (1, 3), eps)[0].reshape(x.shape) + b


def group_norm_backward(dy: Array, x: Array, w: Array, groups: int, eps: float) -> tuple[Array, Array, Array]:
    """dz = dy w, dw = sum of dy z, db = sum of dy, where z is x standardised."""
    grouped, others = x.reshape(len(x), -1, groups, x.shape[-1] // groups), tuple(range(x.ndim - 1))
    z = standardize(grouped, (1, 3), eps)[0].reshape(x.shape)
    dx = standardize_backward((dy * w).reshape(grouped.shape), grouped, (1, 3), eps).reshape(x.shape)
    return dx, (dy * z).sum(axis=others), dy.sum(axis=others)


def rms_norm(x: Array, w: Array, eps: float) -> Array:
    """y = w x / sqrt(mean x^2 + eps), over the last axes, those of w."""
    y: Array = w * (x / np.sqrt((x * x).mean(axis=tuple(range(-w.ndim, 0)), keepdims=True) + eps))
    return y


def rms_norm_backward(dy: Array, x: Array, w: Array, eps: float) -> tuple[Array, Array]:
    """dx = (dz - z mean(dz z)) / r with z = x / r and dz = dy w; dw = sum of dy z."""
    last, others = tuple(range(-w.ndim, 0)), tuple(range(x.ndim - w.ndim))
    r = np.sqrt((x * x).mean(axis=last, keepdims=True) + eps)
    z, dz = x / r, dy * w
    return (dz - z * (dz * z).mean(axis=last, keepdims=True)) / r, (dy * z).sum(axis=others)
