"""Parameters in one buffer: updates, clipping, averages and all-reduces are one pass over one array.

A parameter and its gradient become views into two flat arrays. This file alone knows where in them each
parameter lies, which stretches are to be updated, and in which blocks.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, groupby
from typing import TypeVar

from minidl import backend, threads
from minidl.backend import BLOCK, Array, xp
from minidl.layers.parameter import Parameter

Key = TypeVar("Key")
Block = TypeVar("Block")
Result = TypeVar("Result")

FEWEST_SHARED = 4  # blocks for which it pays to wake the other cores, with a dozen passes over each


class Flat:
    """The parameters of one dtype, one after another in one array, and their gradients in another.

    Args:
        parameters: in the order they are to lie; their values and gradients move into the buffers.
        positions: the number of each parameter among all of the optimizer's.
    """

    def __init__(self, parameters: Sequence[Parameter], positions: Sequence[int]) -> None:
        self.parameters = parameters
        self.positions = positions
        self.bounds = [0, *accumulate(p.size for p in parameters)]
        self.data = xp.empty(self.bounds[-1], parameters[0].dtype)
        self.grad = xp.zeros(self.bounds[-1], parameters[0].dtype)
        self.slots: dict[str, Array] = {}
        for p, data, grad in zip(parameters, self.views(self.data), self.views(self.grad), strict=True):
            data[...] = p.data
            if p.grad is not None:
                grad[...] = p.grad
            p.rebind(data, grad)

    def is_intact(self) -> bool:
        """Tell whether each parameter still lies in the buffers: copying a model takes it out."""
        return all(
            p.data.base is self.data and p.grad is not None and p.grad.base is self.grad
            for p in self.parameters
        )

    def views(self, buffer: Array) -> list[Array]:
        """Return the part of each parameter in a buffer laid out like this one, in the shape it has."""
        parts = zip(self.bounds, self.bounds[1:], self.parameters, strict=False)
        return [buffer[start:stop].reshape(p.shape) for start, stop, p in parts]

    def slot(self, name: str) -> Array:
        """Return an optimizer's memory beside the parameters: zeros at first, float32 for half precision."""
        if name not in self.slots:
            new = xp.zeros(self.data.size, xp.promote_types(self.data.dtype, xp.float32))
            self.slots.setdefault(name, new)  # blocks that ask at once, on several threads, share one
        return self.slots[name]

    def runs(self, keys: Sequence[Key | None]) -> Iterator[tuple[Key, range]]:
        """Return neighbours of equal key together, as ``(key, indices)``, and leave out those with None."""
        for key, indices in groupby(range(len(self.parameters)), key=keys.__getitem__):
            if key is not None:
                first, *rest = indices
                yield key, range(first, first + len(rest) + 1)

    def blocks(self, run: range) -> Iterator[slice]:
        """Cut a run into slices small enough to stay in the cache while an update passes over them."""
        return blocks(self.bounds[run.start], self.bounds[run.stop])


def blocks(start: int, stop: int) -> Iterator[slice]:
    """Cut a stretch of a long buffer into slices of at most `BLOCK` elements."""
    for first in range(start, stop, BLOCK):
        yield slice(first, min(first + BLOCK, stop))


def share(
    task: Callable[[Block], Result], blocks: Sequence[Block], fewest: int = FEWEST_SHARED
) -> list[Result]:
    """Return ``task(block)`` for all blocks, in order; ``fewest`` or more are worked off on all cores."""
    if len(blocks) < fewest or not backend.CORES:
        return [task(block) for block in blocks]
    return threads.run(lambda i: task(blocks[i]), len(blocks))


def pack(parameters: Sequence[Parameter]) -> list[Flat]:
    """Move parameters and gradients into one pair of buffers for each dtype, and return these."""
    by_dtype: dict[str, list[int]] = {}
    for position, parameter in enumerate(parameters):
        by_dtype.setdefault(str(parameter.dtype), []).append(position)
    return [Flat([parameters[i] for i in positions], positions) for positions in by_dtype.values()]


def gradients(parameters: Iterable[Parameter]) -> list[Array]:
    """Return the gradients as few arrays: a flat buffer that they fill comes whole, others as they are.

    Parameters that are frozen or have no gradient are left out.
    """
    found = [p.grad for p in parameters if p.grad is not None and p.requires_grad]
    covered: dict[int, int] = {}
    for g in found:
        covered[id(g.base)] = covered.get(id(g.base), 0) + g.nbytes
    buffers = {id(g.base): g.base for g in found if isinstance(g.base, xp.ndarray) and g.base.ndim == 1}
    whole = {key: buffer for key, buffer in buffers.items() if covered[key] == buffer.nbytes}
    return [*whole.values(), *(xp.atleast_1d(g) for g in found if id(g.base) not in whole)]
