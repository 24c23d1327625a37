"""Dense layers, tables, and what only rearranges."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def linear(x: Array, w: Array, b: Array | None = None) -> Array:
    """y = x w + b: (..., in) to (..., out)."""
    y: Array = x @ w
    return y if b is None else y + b


def linear_backward(dy: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
    """dx = dy w^T, dw = x^T dy, db = sum of dy, over all but the last axis."""
    rows, drows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    return dy @ w.T, rows.T @ drows, drows.sum(axis=0)


def embedding(x: Array, w: Array) -> Array:
    """y = w[x]: the rows of a table, for whole numbers x of any shape."""
    y: Array = w[x]
    return y


def embedding_backward(dy: Array, x: Array, w: Array, padding_idx: int | None = None) -> Array:
    """dw[x] += dy, in which a row may occur more than once."""
    dw = np.zeros_like(w)
    np.add.at(dw, x, dy)
    if padding_idx is not None:
        dw[padding_idx] = 0
    return dw


def flatten(x: Array) -> Array:
    """(N, ...) to (N, K)."""
    return x.reshape(len(x), int(np.prod(x.shape[1:])))


def reshape(x: Array, shape: tuple[int, ...]) -> Array:
    """(N, ...) to (N, *shape)."""
    return x.reshape(len(x), *shape)


def reshape_backward(dy: Array, x: Array) -> Array:
    """dx = dy in the shape of x."""
    return dy.reshape(x.shape)
