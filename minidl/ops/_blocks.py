"""Work on large arrays in blocks, shared out to the cores.

How they are cut depends on shapes alone, so results are bit-identical for any number of cores. Within a tile,
which has a core to itself, the blocks run in order.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from minidl import backend, memory, threads
from minidl.backend import Array, xp
from minidl.ops._kernels._choice import fused
from minidl.ops._precision import widen

Result = TypeVar("Result")

BLOCK_BYTES = 1 << 20  # of each array that a block of rows goes through, for the sake of the cache
MOST_PARTS = 4  # of a product
LEAST_WORK = 1 << 23  # multiply-adds of a part of a product: with less, one core is faster


def even(n: int, most: int) -> list[slice]:
    """Cut n things into parts of at most so many, sizes differing by one at most; the first is a largest."""
    count = max(1, -(-n // most))
    bounds = [-(-n * i // count) for i in range(count + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(bounds)]


def in_blocks(rows: Array, task: Callable[[slice], Result]) -> list[Result]:
    """Return ``task(block)`` for all blocks of rows of a matrix, in order; a GPU takes all rows at once."""
    if not backend.CORES or rows.nbytes <= BLOCK_BYTES:
        return [task(slice(0, len(rows)))]
    memory.keep_freed()
    parts = even(len(rows), max(1, BLOCK_BYTES * len(rows) // rows.nbytes))
    return threads.run(lambda i: task(parts[i]), len(parts))


def total(parts: Sequence[Array]) -> Array:
    """Return the sum of arrays, in their order."""
    return sum(parts[1:], start=parts[0])


@fused("columns:column_sums")
def column_sums(rows: Array, other: Array | None = None) -> Array:
    """Return the sum over the rows of ``rows``, or of ``rows * other``.

    It goes by way of some sqrt(n) partial sums: less rounding than one running sum, and longer inner loops.
    """
    n, columns = rows.shape
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


def product(a: Array, b: Array) -> Array:
    """Return a @ b in the dtype of ``a``, half precision by way of single; large matrices on all cores."""
    return xp.asarray(_product(widen(a), widen(b)), dtype=a.dtype)


def _product(a: Array, b: Array) -> Array:
    """Return a @ b, cut along the longest of the three axes of a product of matrices."""
    sizes = (*a.shape, b.shape[-1])
    longest = max(sizes)
    count = min(MOST_PARTS, math.prod(sizes) // LEAST_WORK, longest) if a.ndim == b.ndim == 2 else 1
    if count < 2 or threads.inside() or not backend.CORES:
        return a @ b
    parts = even(longest, -(-longest // count))
    y = xp.empty((len(a), b.shape[1]), a.dtype)
    with threads.single_threaded_blas():
        if longest == sizes[0]:
            threads.run(lambda i: xp.matmul(a[parts[i]], b, out=y[parts[i]]), len(parts))
        elif longest == sizes[2]:
            threads.run(lambda i: xp.matmul(a, b[:, parts[i]], out=y[:, parts[i]]), len(parts))
        else:
            y = total(threads.run(lambda i: a[:, parts[i]] @ b[parts[i]], len(parts)))
    return y
