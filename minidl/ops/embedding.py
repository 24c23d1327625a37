"""Embedding: rows of a table looked up by their numbers, and their gradients summed up again."""

import math
import operator
from collections.abc import Callable
from typing import TypeAlias

from minidl.backend import Array, check_array, check_float, segment_sums, violated, xp
from minidl.ops._precision import widen

Lookup: TypeAlias = "tuple[Array, Callable[[Array], tuple[None, Array]]]"


def embedding(indices: Array, w: Array, *, padding_idx: int | None = None) -> Lookup:
    """y = w[indices]: (...) whole numbers to (..., D) with a table (V, D)."""
    inside = _check_lookup(indices, w)
    padding_idx = check_padding_idx(padding_idx, len(w), "embedding")
    found = xp.where(inside, indices, 0)
    # What lies outside has raised already, or on CuPy becomes NaN without waiting for the GPU.
    y = xp.where(inside[..., None], w[found], xp.asarray(math.nan, dtype=w.dtype))

    def pullback(dy: Array) -> tuple[None, Array]:
        # dw_v = sum of dy over the places where the index is v; that of the padding stays 0
        rows = xp.where(inside[..., None], widen(dy), math.nan).reshape(-1, w.shape[1])
        dw = _sum_by_label(rows, found.reshape(-1), len(w))
        if padding_idx is not None:
            dw[padding_idx] = 0
        return None, dw.astype(w.dtype, copy=False)

    return y, pullback


def _sum_by_label(rows: Array, labels: Array, count: int) -> Array:
    """Return the sum of the rows of each label, in a fixed order, so that it is the same every time."""
    order = xp.argsort(labels, kind="stable")  # brings equal labels together
    starts = xp.searchsorted(labels[order], xp.arange(count + 1))
    return segment_sums(rows[order], starts)


def check_padding_idx(padding_idx: int | None, rows: int, owner: str) -> int | None:
    """Return the number of the padding's row counted from the front, or refuse it."""
    if padding_idx is None:
        return None
    try:
        number = operator.index(padding_idx)
    except TypeError:
        kind = type(padding_idx).__name__
        raise TypeError(f"{owner}: expected padding_idx as an int or None, got {kind}") from None
    if not -rows <= number < rows:
        raise ValueError(f"{owner}: expected padding_idx from {-rows} to {rows - 1}, got {number}")
    return number % rows


def _check_lookup(indices: Array, w: Array) -> Array:
    """Refuse what does not fit together; return which indices lie in the table."""
    check_array(indices, "embedding", "indices as an array")
    if indices.dtype.kind not in "iu":
        raise TypeError(
            f"embedding: expected indices as whole numbers, got {indices.dtype}; "
            'use minidl.asarray(x, "int64")'
        )
    check_float(w, "embedding")
    if w.ndim != 2 or not len(w):
        raise ValueError(f"embedding: expected a weight (V, D) with at least one row, got {w.shape}")
    inside: Array = xp.asarray((indices >= 0) & (indices < len(w)))
    if violated(inside):
        raise ValueError(f"embedding: expected indices from 0 to {len(w) - 1}, got {indices[~inside][0]}")
    return inside
