"""Rows of large arrays: their sums and maxima, and one vector for all of them, where plain NumPy is slow."""

import functools
import math
from collections.abc import Callable
from typing import Any

from minidl import backend
from minidl.backend import Array, xp
from minidl.ops._kernels._choice import fused

LONGEST_RUN = 4096  # numbers that are added up in a few running sums; more of them go pair by pair
FEW = 64  # rows that one running sum adds up as well as several
LONG = 8192  # numbers in NumPy's buffers: an inner loop over so many does without them
MANY = 1 << 16  # numbers of an array for which it pays to join rows


@fused("columns:column_sums")
def column_sums(rows: Array, other: Array | None = None) -> Array:
    """Return the sum over the rows of ``rows``, or of ``rows * other``.

    It goes by way of some sqrt(n) partial sums: less rounding than one running sum, and longer inner loops.
    """
    n, columns = rows.shape
    if n < FEW:
        return xp.asarray(rows.sum(axis=0) if other is None else xp.einsum("ij,ij->j", rows, other))
    block = max(1, min(math.isqrt(n), 4096 // max(1, columns)))
    whole = n - n % block
    folded = (whole // block, block * columns)
    if other is None:
        partial = rows[:whole].reshape(folded).sum(axis=0)
        rest = rows[whole:].sum(axis=0)
    else:
        partial = xp.einsum("ij,ij->j", rows[:whole].reshape(folded), other[:whole].reshape(folded))
        rest = xp.einsum("ij,ij->j", rows[whole:], other[whole:])
    return xp.asarray(partial.reshape(block, columns).sum(axis=0) + rest)


def sums(x: Array, other: Array | None = None, axis: int | tuple[int, ...] = -1) -> Array:
    """Return the sum along axes, which are kept, of ``x``, or of ``x * other`` of the same shape.

    Along last axes of usual length a sum of NumPy's takes three times as long as these, and stores a product.
    """
    last = _last(axis, x.ndim)
    kept = (*x.shape[: x.ndim - last], *[1] * last)
    if not last or math.prod(x.shape[-last:]) > LONGEST_RUN:
        return xp.asarray((x if other is None else x * other).sum(axis=axis, keepdims=True))
    if last > 1:
        rows = (*x.shape[:-last], math.prod(x.shape[-last:]))
        x, other = x.reshape(rows), None if other is None else other.reshape(rows)
    total = xp.einsum("...i->...", x) if other is None else xp.einsum("...i,...i->...", x, other)
    return xp.asarray(total).reshape(kept)


def maxima(x: Array, axis: int = -1) -> Array:
    """Return the largest number along an axis, which is kept; NaN if there is one.

    Along the last axis NumPy finds the place of a maximum in a third of the time of its value.
    """
    if not _last(axis, x.ndim) or not x.size:
        return xp.asarray(x.max(axis=axis, keepdims=True))
    rows = x.reshape(-1, x.shape[-1])
    places = rows.argmax(axis=1)
    places += xp.arange(0, rows.size, rows.shape[1])
    return xp.asarray(rows.reshape(-1)[places].reshape(*x.shape[:-1], 1))


def on_rows(op: Callable[..., Any], rows: Array, vector: Array, out: Array) -> Array:
    """Write ``op(row, vector)`` for every row of a matrix into ``out``, which may be ``rows``; return it.

    It is what broadcasting does. But NumPy's loop over a short row takes up to twice the time of one over
    many rows joined, beside as many copies of the vector.
    """
    together = _joined(*rows.shape) if rows.flags.c_contiguous and out.flags.c_contiguous else 1
    if together == 1:
        op(rows, vector, out=out)
    else:
        copies = xp.broadcast_to(vector, (together, vector.size)).reshape(-1)
        op(rows.reshape(-1, copies.size), copies, out=out.reshape(-1, copies.size))
    return out


@functools.lru_cache
def _joined(n: int, columns: int) -> int:
    """Return how many of n rows to join: the least that is `LONG` and divides n, or 1."""
    if not backend.CORES or n * columns < MANY or columns >= LONG:
        return 1
    least = -(-LONG // columns)
    return next((k for k in range(least, min(n, 4 * least) + 1) if n % k == 0), 1)


@functools.cache
def _last(axis: int | tuple[int, ...], ndim: int) -> int:
    """Return how many last axes NumPy is to reduce; 0 for others, and on a GPU, to which all are alike."""
    axes = {a % ndim for a in (axis if isinstance(axis, tuple) else (axis,))}
    return len(axes) if backend.CORES and min(axes) == ndim - len(axes) else 0
