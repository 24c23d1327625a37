"""DataLoader: batches of the backend from arrays, from what can be sliced, or from a stream of samples."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from minidl.backend import Array, Seed, asarray, check_int, check_seed, draw_seed, name, to_numpy, xp
from minidl.data._transfer import NUMBERS, ahead, put


class DataLoader:
    """Iterate over data in batches; every ``for`` over the loader is one epoch.

    A batch is a new array of the backend each time, so it may be kept, and even written to.

    Args:
        arrays: an array, giving batches ``(B, ...)``, or a tuple of arrays of one length, giving tuples of
            batches. An array is anything with a ``shape`` that can be sliced, such as a memory map or an HDF5
            data set; a series or a frame of pandas is read by position. Or samples, each an array, a number
            or a tuple of these, which the loader stacks: from a sequence such as a list, or from any other
            iterable, which is taken in its own order. So a list ``[x, y]`` is two samples, not two arrays
            side by side: that is ``(x, y)``.
        batch_size: samples per batch; the last batch is smaller where they do not divide.
        shuffle: draw a new order for every epoch; it follows from the seed and the number of the epoch alone.
        drop_last: leave out a last batch that is smaller than the others. A full one is never left out.
        seed: an int, a generator, or None for a seed from the default generator.

    Raises:
        TypeError: the source is nothing of that kind, holds no numbers, or has no length but is to
            be shuffled.
        ValueError: the arrays differ in length, or the batch size is less than 1.

    Example:
        >>> images, labels = np.zeros((70, 8, 8, 1), np.float32), np.arange(70)
        >>> loader = DataLoader((images, labels), batch_size=32, shuffle=True, seed=0)
        >>> len(loader)
        3
        >>> for x, y in loader:
        ...     print(x.shape, y.shape)
        (32, 8, 8, 1) (32,)
        (32, 8, 8, 1) (32,)
        (6, 8, 8, 1) (6,)
    """

    def __init__(
        self, arrays: Any, batch_size: int, shuffle: bool = False, drop_last: bool = False, seed: Seed = None
    ) -> None:
        self.batch_size = check_int(batch_size, "DataLoader", "batch_size")
        if self.batch_size < 1:
            raise ValueError(f"DataLoader: expected batch_size >= 1, got {batch_size}")
        self._source = _by_position(arrays)
        self._size = _common_length(self._source)
        if shuffle and self._size is None:
            raise TypeError(
                f"DataLoader: expected a source with a length, to shuffle it, got {type(arrays).__name__}; "
                "make it a list, or let it shuffle itself"
            )
        self._one_shot = self._size is None and iter(arrays) is arrays
        self.shuffle = shuffle
        self.drop_last = drop_last
        number = check_seed(seed)
        self._seed = number if isinstance(number, int) else draw_seed(number)
        self._epoch = self._position = 0  # where the latest iterator is
        self._next = (0, 0)  # where the next one begins
        self._part, self._parts = 0, 1  # which part of every batch is handed out, of how many

    def shard(self, part: int, parts: int) -> "DataLoader":
        """Return a loader of one part of every batch: the parts of a batch make it up, in their order.

        The parts differ by one sample at most; where there are more parts than samples some have none. Each
        keeps its own place in the data, and all of them shuffle as this loader would, if it has a seed.

        Args:
            part: which one, from 0.
            parts: how many.

        Raises:
            ValueError: there is no such part, or this loader has a part of every batch already.

        Example:
            >>> loader = DataLoader(np.arange(5), batch_size=3)
            >>> [batch.tolist() for batch in loader.shard(1, 2)]
            [[1, 2], [4]]
        """
        part, parts = check_int(part, "shard", "part"), check_int(parts, "shard", "parts")
        if not 0 <= part < parts:
            raise ValueError(f"shard: expected part from 0 to below parts={parts}, got {part}")
        if self._parts > 1:
            raise ValueError("shard: expected a loader of whole batches, got one that shard has returned")
        view = copy.copy(self)
        view._part, view._parts = part, parts
        return view

    def _share(self, n: int) -> slice:
        """Return where the part of this loader lies in a batch of n samples."""
        return slice(n * self._part // self._parts, n * (self._part + 1) // self._parts)

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        if self._size is None:
            raise TypeError("DataLoader: a source without a length has no number of batches")
        return self._size // self.batch_size if self.drop_last else -(-self._size // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        """Begin the next epoch, or go on in the one that `load_state` has named."""
        epoch, position = self._epoch, self._position = self._next
        if self._one_shot and epoch > 0:
            raise RuntimeError(
                "DataLoader: the iterator it reads was used up; give it a list or another iterable"
            )
        self._next = (epoch + 1, 0)
        return self._run(epoch, position)

    def _run(self, epoch: int, position: int) -> Iterator[Any]:
        batches = self._streamed(position) if self._size is None else self._sliced(epoch, position)
        batches = ahead(batches, 0 if self._size is None else 1)  # a stream is not read before its time
        for number, batch in enumerate(batches, position + 1):
            self._epoch, self._position = epoch, number
            yield batch
        self._epoch, self._position = epoch + 1, 0

    def _sliced(self, epoch: int, position: int) -> Iterator[Any]:
        order = (
            np.random.default_rng([self._seed, epoch]).permutation(self._size or 0) if self.shuffle else None
        )
        for start in range(position * self.batch_size, len(self) * self.batch_size, self.batch_size):
            share = self._share(min(self.batch_size, (self._size or 0) - start))
            batch = slice(start + share.start, start + share.stop)
            yield _take(self._source, batch if order is None or batch.start == batch.stop else order[batch])

    def _streamed(self, position: int) -> Iterator[Any]:
        samples = islice(iter(self._source), position * self.batch_size, None)
        while batch := list(islice(samples, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                share = self._share(len(batch))
                yield _stack(batch[share]) if share.start < share.stop else _none_of(batch)

    def state(self) -> dict[str, int]:
        """Return the place in the data: the seed, the epoch, and how many of its batches were handed out."""
        return {"seed": self._seed, "epoch": self._epoch, "position": self._position}

    def load_state(self, state: dict[str, int]) -> None:
        """Let the next ``for`` begin with the batch that followed when `state` was taken."""
        if state.keys() != self.state().keys():
            raise ValueError(f"DataLoader: expected a state of {sorted(self.state())}, got {sorted(state)}")
        self._seed = int(state["seed"])
        self._next = self._epoch, self._position = int(state["epoch"]), int(state["position"])


def _by_position(source: Any) -> Any:
    """Return a source whose indices are positions: those of a pandas series or frame are labels."""
    if isinstance(source, tuple):
        return tuple(_by_position(part) for part in source)
    return source.to_numpy() if hasattr(source, "iloc") else source


def _common_length(source: Any) -> int | None:
    """Return the number of samples in a source, None where it has no length; refuse what is no source."""
    if isinstance(source, tuple):
        lengths = [_common_length(part) for part in source]
        if not lengths or None in lengths:
            raise TypeError("DataLoader: expected a tuple of arrays; several streams are zip(a, b)")
        if len(set(lengths)) > 1:
            raise ValueError(
                f"DataLoader: expected arrays of one length, got {' and '.join(map(str, lengths))}"
            )
        return lengths[0]
    if hasattr(source, "shape") and not source.shape:
        raise ValueError("DataLoader: expected arrays with at least one axis, got a 0-d array")
    if getattr(getattr(source, "dtype", None), "kind", "f") not in NUMBERS:
        raise TypeError(f"DataLoader: expected an array of numbers, got {source.dtype}; convert it first")
    if isinstance(source, (str, bytes, dict)) or not (
        hasattr(source, "__getitem__") or isinstance(source, Iterable)
    ):
        raise TypeError(
            f"DataLoader: expected arrays, a sequence or an iterable, got {type(source).__name__}"
        )
    return len(source) if hasattr(source, "__len__") and hasattr(source, "__getitem__") else None


def _take(source: Any, index: "slice | np.ndarray[Any, Any]") -> Any:
    """Return the samples at an index as a batch that shares no memory with the source."""
    if isinstance(source, tuple):
        return tuple(_take(part, index) for part in source)
    if not hasattr(source, "shape"):
        samples = [source[i] for i in _positions(index)]
        return _stack(samples) if samples else _none_of(source)
    if isinstance(index, slice):
        part = source[index]
        return asarray(part).copy() if name == "numpy" or not isinstance(part, np.ndarray) else put(part)
    if isinstance(source, np.ndarray):
        return put(source[index])
    if isinstance(source, xp.ndarray):
        return source[xp.asarray(index)]
    return _take_sorted(source, index)


def _none_of(samples: Any) -> Any:
    """Return a batch without samples, of the shapes and dtypes that a batch of these would have."""
    return _take(_stack([samples[0]]), slice(0, 0))


def _positions(index: "slice | np.ndarray[Any, Any]") -> Iterable[int]:
    return range(index.start, index.stop) if isinstance(index, slice) else index.tolist()


def _take_sorted(source: Any, index: "np.ndarray[Any, Any]") -> Array:
    """Read from a file-backed array in increasing order: HDF5 takes no other, and all are faster so."""
    order = np.argsort(index)
    rows = np.empty_like(found := to_numpy(source[index[order]]))
    if len(found) != len(index):
        raise ValueError(
            f"DataLoader: expected {len(index)} rows from {type(source).__name__}, got {len(found)}"
        )
    rows[order] = found
    return put(rows)


def _stack(samples: Sequence[Any]) -> Any:
    """Return samples as one batch: an array, or a tuple of arrays for samples that are tuples."""
    first = samples[0]
    if isinstance(first, tuple):
        if any(not isinstance(sample, tuple) or len(sample) != len(first) for sample in samples):
            raise ValueError(
                f"DataLoader: expected every sample as a tuple of {len(first)}, as the first one is; "
                "a list or an array counts as one part"
            )
        return tuple(_stack(part) for part in zip(*samples, strict=True))
    shapes = {getattr(sample, "shape", ()) for sample in samples}
    if hasattr(first, "dtype") and len(shapes) > 1:
        raise ValueError(
            f"DataLoader: expected samples of one shape, got {' and '.join(map(str, sorted(shapes)))}; "
            "arrays side by side are a tuple: DataLoader((x, y), ...)"
        )
    try:
        batch = (
            put(np.stack(list(map(to_numpy, samples)))) if hasattr(first, "dtype") else asarray(list(samples))
        )
    except (TypeError, ValueError):
        batch = None
    if batch is None or batch.dtype.kind not in NUMBERS:
        raise TypeError(
            f"DataLoader: expected samples of numbers, got {type(first).__name__}; "
            "turn each into an array, a number or a tuple of these"
        )
    return batch
