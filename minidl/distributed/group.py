"""Group: the processes that train one model together, each with a part of every batch."""

import functools
import math
from collections.abc import Callable
from numbers import Real
from typing import Any, TypeVar

from minidl.backend import Array, asarray, copy_into, synchronize, to_numpy, xp
from minidl.data import DataLoader
from minidl.distributed.peers import Shared
from minidl.distributed.transport import Alone, Transport, find
from minidl.layers import BatchNorm, Dropout, Layer
from minidl.optim.base import Optimizer

Value = TypeVar("Value")

STRIDE = 0x9E3779B97F4A7C15  # between the seeds of one dropout layer on neighbouring ranks
SEEDS = 1 << 63


def connect(*parts: Any, cuda_aware: bool = False) -> "Group":
    """Join the processes that mpiexec has started, and give all of them what rank 0 has.

    Parameters, buffers, optimizer states and whatever else the parts keep become those of rank 0. Each rank
    gets masks of its own in every Dropout layer; they follow from the seed of the layer and the rank. From
    here on an exception on one rank ends all of them.

    Without mpiexec the group has one rank, needs no mpi4py, and changes nothing.

    Args:
        *parts: what has ``state()`` and ``load_state(state)``: the model, the optimizer, an average.
        cuda_aware: hand arrays of the GPU to MPI as they are, which crashes unless the MPI library is built
            for that; otherwise they go by way of the host.

    Raises:
        TypeError: a part has no ``state()`` and ``load_state(state)``.
        ValueError: the parts are not those of rank 0, or do not fit them.
        ImportError: mpiexec has started this process, and mpi4py is not installed or finds no MPI library.
        RuntimeError: mpiexec belongs to another MPI library than mpi4py.

    Example:
        >>> import minidl
        >>> from minidl.optim import SGD
        >>> model = minidl.Linear(3, 2)
        >>> group = connect(model, SGD(model.parameters(), lr=0.1))
        >>> group.rank, group.size
        (0, 1)
    """
    group = _world(bool(cuda_aware))
    group.broadcast(*parts)
    return group


@functools.cache
def _transport() -> Transport:
    return find()


@functools.cache
def _world(cuda_aware: bool) -> "Group":
    return Group(_transport(), cuda_aware)


class Group:
    """The processes that train one model together; `connect` makes it.

    Every rank must call the same methods in the same order: each waits for all.

    Args:
        transport: what carries arrays between them; by default there is one process.
        cuda_aware: whether it takes arrays of the GPU.

    Attributes:
        rank: the number of this process, from 0.
        size: how many there are.
        messages, bytes: how many arrays this process has put into sums, and their size together.
    """

    def __init__(self, transport: Transport | None = None, cuda_aware: bool = False) -> None:
        self._transport = Alone() if transport is None else transport
        self.rank, self.size = self._transport.rank, self._transport.size
        self.cuda_aware = cuda_aware
        self.messages = self.bytes = 0
        self._buffers: dict[tuple[int, str], Array] = {}

    def broadcast(self, *parts: Any) -> None:
        """Give all ranks the states that the parts have on rank 0; see `connect`."""
        for part in parts:
            if not (hasattr(part, "state") and hasattr(part, "load_state")):
                raise TypeError(
                    f"connect: expected parts with state() and load_state(state), got {type(part).__name__}"
                )
        self._agree("connect", "parts of the types", tuple(type(part).__name__ for part in parts))
        for part in parts if self.size > 1 else ():
            state = {name: _to_host(value) for name, value in part.state().items()}
            received = self._transport.broadcast(state)
            if self.rank > 0:
                part.load_state(received)
            if isinstance(part, Layer):
                self._part_streams(part)

    def _part_streams(self, model: Layer) -> None:
        """Give the Dropout layers, which are like those of rank 0, masks of this rank."""
        for _, layer in model.named_layers():
            if isinstance(layer, Dropout):
                seed, counter = layer.stream.data.tolist()
                layer.stream.data = to_numpy([(seed + self.rank * STRIDE) % SEEDS, counter])

    def shard(self, loader: DataLoader) -> DataLoader:
        """Return a loader of this rank's part of every batch; all ranks shuffle as rank 0 does.

        The parts differ by one sample at most. Where a batch has fewer samples than there are ranks, some
        get an empty one, and take part in the step all the same.

        Raises:
            ValueError: the loaders of the ranks differ in their batches or their number of samples.
        """
        part = loader.shard(self.rank, self.size)
        facts = (loader.batch_size, loader.shuffle, loader.drop_last, _length(loader))
        self._agree("shard", "a loader with (batch_size, shuffle, drop_last, batches) =", facts)
        part.load_state(self._transport.broadcast(loader.state()))
        return part

    def _agree(self, owner: str, what: str, mine: tuple[Any, ...]) -> None:
        """Refuse what is not the same on all ranks: it would leave them waiting for each other."""
        theirs = self._transport.broadcast(mine)
        if mine != theirs:
            raise ValueError(
                f"{owner}: expected {what} {theirs}, as on rank 0, got {mine} on rank {self.rank}; "
                "every rank makes the same calls, with the whole model and the whole data"
            )

    def average_gradients(self, optimizer: Optimizer, weight: float) -> None:
        """Replace the gradients of all ranks by their mean, as if one process had had the whole batch.

        Call it once before ``step``, after the last backward pass and before gradients are clipped. One sum
        goes around for each dtype among the parameters; the weight travels in its last place.

        Args:
            optimizer: of the parameters; their gradients lie in its flat buffers.
            weight: how much those of this rank count: the number of its samples, ``len(x)``, for a loss that
                is a mean over samples; what the mean divides by in general. With 0 they count nothing.

        Raises:
            TypeError: the weight is no number.
            ValueError: it is negative, infinite or NaN.
        """
        weight = _checked_weight(weight, "average_gradients")
        for _, grad in optimizer.flat if self.size > 1 else ():
            message = self._weighted(grad, weight)
            self._add(message)
            message[:-1] /= xp.maximum(message[-1:], xp.finfo(message.dtype).tiny)
            grad[...] = message[:-1]

    def sum_gradients(self, optimizer: Optimizer) -> None:
        """Replace the gradients of all ranks by their sum: for a loss that is a sum over samples."""
        for _, grad in optimizer.flat if self.size > 1 else ():
            message = self._weighted(grad, 1.0)
            self._add(message)
            grad[...] = message[:-1]

    def _weighted(self, grad: Array, weight: float) -> Array:
        """Return a gradient times a weight and then the weight, in a buffer that is used again and again."""
        dtype = xp.promote_types(grad.dtype, xp.float32)
        key = (grad.size, str(dtype))
        if key not in self._buffers:
            self._buffers[key] = xp.empty(grad.size + 1, dtype)
        message = self._buffers[key]
        if weight > 0:
            message[:-1] = grad
            message *= weight
        else:
            message.fill(0)  # a mean over no samples is NaN, and so are its gradients
        message[-1] = weight
        return message

    def sum(self, array: Any) -> Array:
        """Return the sum of arrays of one shape over all ranks, on each of them; float16 in float32."""
        array = asarray(array)
        dtype = xp.promote_types(array.dtype, xp.float32) if array.dtype.kind in "fc" else xp.int64
        total = xp.array(array, dtype=dtype, ndmin=1)
        self._add(total)
        return total.reshape(array.shape)

    def mean(self, value: Any, weight: float) -> float:
        """Return the mean of a number over all ranks, such as a loss or an accuracy; NaN if none has weight.

        Args:
            value: a number or a 0-d array.
            weight: how much that of this rank counts, such as the number of its samples. With 0 it does not.
        """
        weight = _checked_weight(weight, "mean")
        pair = [float(value) * weight if weight > 0 else 0.0, weight]
        total, weights = self.sum(asarray(pair, "float64")).tolist()
        return total / weights if weights > 0 else math.nan

    def once(self, action: Callable[[], Value]) -> Value:
        """Run an action on rank 0 alone, such as saving; the others wait for it and get what it returned."""
        value = action() if self.rank == 0 else None
        return self._transport.broadcast(value)  # type: ignore[return-value]  # that of rank 0, on all

    def synchronize_batch_norm(self, model: Layer) -> None:
        """Let the BatchNorm layers of a model normalise over the parts of all ranks, as over one batch.

        By default each rank normalises its own part. This costs two small sums for each layer and step.
        """
        for _, layer in model.named_layers():
            if isinstance(layer, BatchNorm):
                layer.peers = Shared(self) if self.size > 1 else None

    def _add(self, array: Array) -> None:
        """Replace an array by its sum over all ranks, once all work on it is done."""
        synchronize()
        carried: Any = array if self.cuda_aware else to_numpy(array)
        self._transport.add(carried)
        if carried is not array:
            copy_into(array, carried)
        self.messages += 1
        self.bytes += array.nbytes

    def __reduce__(self) -> tuple[Callable[[bool], "Group"], tuple[bool]]:
        """Make a copy the same group: a model that knows its peers can be copied and pickled."""
        return _world, (self.cuda_aware,)

    def __repr__(self) -> str:
        return f"Group(rank={self.rank}, size={self.size})"


def _to_host(value: Any) -> Any:
    return to_numpy(value) if hasattr(value, "dtype") else value


def _length(loader: DataLoader) -> int | None:
    """Return the number of batches, None for a stream."""
    try:
        return len(loader)
    except TypeError:
        return None


def _checked_weight(weight: float, owner: str) -> float:
    if isinstance(weight, bool) or not isinstance(weight, Real):
        raise TypeError(f"{owner}: expected weight as a number, got {type(weight).__name__}")
    if not 0 <= weight < math.inf:
        raise ValueError(f"{owner}: expected a finite weight >= 0, got {weight}")
    return float(weight)
