"""Gradient accumulation: one step over a batch that goes through the model in parts."""

import itertools
from collections.abc import Iterator
from typing import Any

from minidl.backend import Array, check_int, xp


def micro_batches(batch: Any, count: int) -> Iterator[tuple[Any, Array]]:
    """Cut a batch into parts that fit into memory, each with its share of the samples.

    ``backward`` adds to the gradients that are there, so the parts go through the model one after another,
    and one ``step`` follows them all. The gradient of a mean over a batch is that of the means over its
    parts, each multiplied by its share: ``criterion.backward(share)``. A loss with ``reduction="sum"`` needs
    no share.

    What looks at a whole batch, as BatchNorm does in training, sees its part alone; and a loss that divides
    by something else than the number of samples, for class weights or labels to be ignored, weighs each part
    as its samples, not as that.

    Args:
        batch: an array, or a tuple of arrays (or of tuples), with the samples on axis 0.
        count: how many parts, of sizes that differ by one at most; there are none without samples.

    Yields:
        ``(part, share)``: views into the batch, and a 0-d array; the shares add up to 1.

    Raises:
        TypeError: there are no arrays in the batch.
        ValueError: ``count`` is less than 1, or the arrays differ in length.

    Example:
        >>> x, labels = xp.ones((5, 3)), xp.arange(5)
        >>> for (part, its_labels), share in micro_batches((x, labels), 2):
        ...     print(part.shape, its_labels, share)
        (2, 3) [0 1] 0.4
        (3, 3) [2 3 4] 0.6
    """
    if check_int(count, "micro_batches", "count") < 1:
        raise ValueError(f"micro_batches: expected count of at least 1, got {count}")
    lengths = sorted(set(_lengths(batch)))
    if len(lengths) != 1:
        found = " and ".join(map(str, lengths)) or "an empty tuple"
        raise ValueError(f"micro_batches: expected arrays of one length, got {found}")
    return _parts(batch, lengths[0], count)


def _parts(batch: Any, n: int, count: int) -> Iterator[tuple[Any, Array]]:
    bounds = [n * i // count for i in range(count + 1)]
    for start, stop in itertools.pairwise(bounds):
        if start < stop:
            yield _cut(batch, slice(start, stop)), xp.full((), (stop - start) / n)


def _lengths(batch: Any) -> Iterator[int]:
    if isinstance(batch, tuple):
        for part in batch:
            yield from _lengths(part)
    elif getattr(batch, "shape", ()):
        yield len(batch)
    else:
        raise TypeError(f"micro_batches: expected arrays with samples, got {type(batch).__name__}")


def _cut(batch: Any, rows: slice) -> Any:
    return tuple(_cut(part, rows) for part in batch) if isinstance(batch, tuple) else batch[rows]
