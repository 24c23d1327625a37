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


def product(a: Array, b: Array) -> Array:
    """Return a @ b in the dtype of ``a``, half precision by way of single; large matrices on all cores."""
    return _product(widen(a), widen(b)).astype(a.dtype, copy=False)


def _product(a: Array, b: Array) -> Array:
    """Return a @ b, cut along the longest of the three axes of a product of matrices."""
    if a.ndim != 2 or b.ndim != 2 or threads.inside() or not backend.CORES:
        return xp.asarray(a @ b)
    sizes = (*a.shape, b.shape[1])
    longest = max(sizes)
    count = min(MOST_PARTS, math.prod(sizes) // LEAST_WORK, longest)
    if count < 2:
        return xp.asarray(a @ b)
    count = 2 if count == 3 else count  # on two cores three parts take as long as four
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
