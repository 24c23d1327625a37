"""Matrix products: the affine map of a dense layer, and the general product of two arrays."""

import math
from collections.abc import Callable
from typing import TypeAlias

from minidl.backend import Array, check_float, check_shape, xp
from minidl.ops._blocks import product
from minidl.ops._precision import check_operands, widen
from minidl.ops._rows import column_sums, on_rows
from minidl.ops.elementwise import unbroadcast

Gradients: TypeAlias = "tuple[Array | None, Array, Array | None]"


def linear(x: Array, w: Array, b: Array | None = None) -> tuple[Array, Callable[..., Gradients]]:
    """y = x w + b on the last axis of x: (..., in) to (..., out)."""
    _check_linear(x, w, b)
    rows = x.reshape(math.prod(x.shape[:-1]), w.shape[0])
    y = product(widen(rows), widen(w))
    if b is not None:
        on_rows(xp.add, y, b, out=y)
    y = y.astype(x.dtype, copy=False).reshape(*x.shape[:-1], w.shape[1])

    def pullback(dy: Array, *, input_grad: bool = True) -> Gradients:
        # dx = dy w^T, dw = x^T dy, db = sum of dy over the rows
        drows = widen(dy).reshape(len(rows), w.shape[1])
        dx = product(drows, w.T).astype(x.dtype, copy=False).reshape(x.shape) if input_grad else None
        db = None if b is None else xp.asarray(column_sums(drows), dtype=b.dtype)
        return dx, product(rows.T, drows), db

    return y, pullback


def _check_linear(x: Array, w: Array, b: Array | None) -> None:
    check_operands(x, w, "linear")
    if w.ndim != 2:
        raise ValueError(f"linear: expected a weight (in, out), got {w.shape}")
    if not x.ndim or x.shape[-1] != w.shape[0]:
        flat = x.ndim > 2 and math.prod(x.shape[1:]) == w.shape[0]
        remedy = "; flatten it first: Flatten()" if flat else ""
        raise ValueError(f"linear: expected (..., {w.shape[0]}), got {x.shape}{remedy}")
    if b is not None:
        check_shape(b, (w.shape[1],), "linear: bias")


def matmul(x: Array, w: Array) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    """y = x @ w with the broadcasting of NumPy: stacks of matrices, and vectors without the missing axis."""
    check_float(x, "matmul")
    check_float(w, "matmul")
    if not x.ndim or not w.ndim or x.shape[-1] != w.shape[max(w.ndim - 2, 0)]:
        raise ValueError(f"matmul: expected (..., n, k) @ (..., k, m), got {x.shape} @ {w.shape}")
    left = x[None, :] if x.ndim == 1 else x
    right = w[:, None] if w.ndim == 1 else w
    full = product(left, right)
    kept = full.shape[:-2] + full.shape[-2:-1] * (x.ndim > 1) + full.shape[-1:] * (w.ndim > 1)

    def pullback(dy: Array) -> tuple[Array, Array]:
        # dx = dy w^T, dw = x^T dy, summed over the stacks along which x or w was repeated
        dfull = dy.reshape(full.shape)
        dx = unbroadcast(product(dfull, right.swapaxes(-1, -2)), left)
        dw = unbroadcast(product(left.swapaxes(-1, -2), dfull), right)
        return dx.reshape(x.shape), dw.reshape(w.shape)

    return full.reshape(kept), pullback
