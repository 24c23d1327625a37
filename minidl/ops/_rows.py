"""Rows of large arrays: their sums and maxima, and a vector broadcast to them, where plain NumPy is slow."""

import functools
import math
from collections.abc import Callable
from typing import Any

from minidl import backend
from minidl.backend import Array, xp
from minidl.ops._kernels._choice import fused

RUN_LIMIT = 4096  # numbers of a row that are added up in a few running sums; more of them go pair by pair
FOLDED = 4096  # numbers in a row of partial sums
FEWEST_FOLDED = 64  # rows; fewer are added up in one running sum each column
NUMPY_BUFFER = 8192  # numbers: an inner loop over so many does without NumPy's buffers
LEAST_JOINED = 1 << 16  # numbers of an array for which it pays to join rows


@fused("columns:column_sums")
def column_sums(rows: Array, other: Array | None = None) -> Array:
    """Return the sum over the rows of ``rows``, or of ``rows * other``.

    It goes by way of some sqrt(n) partial sums: less rounding than one running sum, and longer inner loops.
    """
    n, columns = rows.shape
    if n < FEWEST_FOLDED:
        return xp.asarray(rows.sum(axis=0) if other is None else xp.einsum("ij,ij->j", rows, other))
    block = max(1, min(math.isqrt(n), FOLDED // max(1, columns)))
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

    Along last axes einsum takes a quarter (at 10 columns) to four fifths (at 1000) of the time of a sum of
    NumPy's, and stores no product.
    """
    last = _last(axis, x.ndim) if backend.CORES else 0
    kept = (*x.shape[: x.ndim - last], *[1] * last)
    if not last or math.prod(x.shape[-last:]) > RUN_LIMIT:
        return xp.asarray((x if other is None else x * other).sum(axis=axis, keepdims=True))
    if last > 1:
        rows = (*x.shape[:-last], math.prod(x.shape[-last:]))
        x, other = x.reshape(rows), None if other is None else other.reshape(rows)
    total = xp.einsum("...i->...", x) if other is None else xp.einsum("...i,...i->...", x, other)
    return xp.asarray(total).reshape(kept)


def maxima(x: Array, axis: int = -1) -> Array:
    """Return the largest number along an axis, which is kept; NaN if there is one.

    Along the last axis NumPy finds the place of a maximum in less time than its value: a third at 64 columns,
    nine tenths at 1000.
    """
    if not backend.CORES or not _last(axis, x.ndim) or not x.size or not x.flags.c_contiguous:
        return xp.asarray(x.max(axis=axis, keepdims=True))
    rows = x.reshape(-1, x.shape[-1])
    places = rows.argmax(axis=1)
    places += xp.arange(0, rows.size, rows.shape[1])
    return xp.asarray(rows.reshape(-1)[places].reshape(*x.shape[:-1], 1))


def on_rows(op: Callable[..., Any], rows: Array, vector: Array, out: Array) -> Array:
    """Write ``op(row, vector)`` for every row of a matrix into ``out``, which may be ``rows``; return it.

    It is what ``op``, a ufunc, does by broadcasting. But NumPy's loop over a short row takes up to twice the
    time of one over many rows joined, beside as many copies of the vector: contiguous rows are joined.
    """
    contiguous = backend.CORES and rows.flags.c_contiguous and out.flags.c_contiguous
    together = _joined(*rows.shape) if contiguous else 1
    if together == 1:
        op(rows, vector, out=out)
    else:
        copies = xp.broadcast_to(vector, (together, vector.size)).reshape(-1)
        op(rows.reshape(-1, copies.size), copies, out=out.reshape(-1, copies.size))
    return out


@functools.lru_cache
def _joined(n: int, columns: int) -> int:
    """Return how many of n rows to join: those that fill a buffer, or up to four, and divide n; or 1."""
    least = -(-NUMPY_BUFFER // max(1, columns))
    if n * columns < LEAST_JOINED:
        return 1
    return next((k for k in range(least, min(n, 4 * least) + 1) if n % k == 0), 1)


@functools.cache
def _last(axis: int | tuple[int, ...], ndim: int) -> int:
    """Return how many axes these are if they are the last ones, otherwise 0."""
    axes = {a % ndim for a in (axis if isinstance(axis, tuple) else (axis,))}
    return len(axes) if min(axes) == ndim - len(axes) else 0
