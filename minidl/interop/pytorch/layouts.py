"""How PyTorch names and lays out the arrays of each kind of layer: the table, and an array's way both ways.

Gate orders are the same on both sides: i, f, g, o for LSTM and r, z, n for GRU.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from minidl import layers
from minidl.layers.base import Layer
from minidl.layers.parameter import Buffer, Parameter

if TYPE_CHECKING:
    import numpy.typing as npt

HostArray: TypeAlias = "npt.NDArray[Any]"

COUNTER = "num_batches_tracked"  # only a mean over all batches reads it, and old files lack it


class Kind(NamedTuple):
    """What PyTorch's counterpart of a layer calls its arrays and parts, where the name is another."""

    kernels: tuple[str, ...] = ()  # how the names of our arrays (..., in, out) begin: (out, in, ...) there
    names: Mapping[str, str] = MappingProxyType({})
    parts: Mapping[str, str] = MappingProxyType({})  # layers inside, in PyTorch's order
    made: tuple[str, ...] = ()  # there even where this side has no such array


KERNEL = Kind(kernels=("weight",))
PLAIN = Kind()

KINDS: dict[type[Layer], Kind] = {
    layers.BatchNorm: Kind(names={"batches": COUNTER}, made=(COUNTER,)),
    layers.Conv: KERNEL,
    layers.ConvTranspose: KERNEL,
    layers.Dropout: Kind(names={"stream": ""}),  # the place in the random stream stays here
    layers.Embedding: PLAIN,
    layers.GRU: KERNEL,
    layers.GroupNorm: PLAIN,
    layers.InstanceNorm: PLAIN,
    layers.LSTM: KERNEL,
    layers.LayerNorm: PLAIN,
    layers.LearnedPositions: PLAIN,
    layers.Linear: KERNEL,
    layers.MultiHeadAttention: Kind(
        kernels=("in_weight", "out_weight"),
        names={
            "in_weight": "in_proj_weight",
            "in_bias": "in_proj_bias",
            "out_weight": "out_proj.weight",
            "out_bias": "out_proj.bias",
        },
    ),
    layers.PReLU: PLAIN,
    layers.RMSNorm: PLAIN,
    layers.RNN: KERNEL,
    layers.TransformerEncoderLayer: Kind(
        parts={
            "attention": "self_attn",
            "feed_forward.0": "linear1",
            "feed_forward.3": "linear2",
            "norm1": "norm1",
            "norm2": "norm2",
        }
    ),
}


@dataclass(eq=False)
class Slot:
    """One array of a model, where it lies, and how PyTorch has it."""

    unit: str  # the path of the layer, which is also the name of PyTorch's module by default
    path: str  # of the array here
    name: str  # of the array there, below its module
    holder: Parameter | Buffer | None  # none for what is made
    kernel: bool = False  # whether it is (..., in, out) here and (out, in, ...) there
    last: bool = False  # whether it is (*spatial, C) here and (C, *spatial) there
    grouped: bool = False  # whether neighbours on the last axis belong together, so that none may move
    channels: dict[int, int] = field(
        default_factory=dict
    )  # axes that are (positions, C) here, (C, positions) there

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape here."""
        return () if self.holder is None else self.holder.data.shape

    @property
    def torch_name(self) -> str:
        """The name there, where the modules have the paths of the layers."""
        return joined(self.unit, self.name)

    @property
    def torch_shape(self) -> tuple[int, ...]:
        """The shape there."""
        return tuple(self.shape[axis] for axis in self._axes())

    def to_torch(self, array: HostArray) -> HostArray:
        """Return an array of ours as PyTorch lays it out: contiguous, and its own."""
        for axis, channels in self.channels.items():
            array = _swapped(array, axis, array.shape[axis] // channels)
        return np.array(array.transpose(self._axes()), order="C")

    def from_torch(self, array: HostArray) -> HostArray:
        """Return an array of PyTorch's as it is laid out here."""
        array = array.transpose(np.argsort(self._axes()))
        for axis, channels in self.channels.items():
            array = _swapped(array, axis, channels)
        return array

    def _axes(self) -> tuple[int, ...]:
        """Return which of our axes are theirs, first to last."""
        axes = tuple(range(len(self.shape)))
        if self.kernel:
            return (*axes[:-3:-1], *axes[:-2])
        return (*axes[-1:], *axes[:-1]) if self.last else axes


def _swapped(array: HostArray, axis: int, rows: int) -> HostArray:
    """Take an axis for a table of so many rows, and turn it into the table of the columns."""
    before, after = array.shape[:axis], array.shape[axis + 1 :]
    return array.reshape(*before, rows, -1, *after).swapaxes(axis, axis + 1).reshape(array.shape)


def kind_of(layer: Layer) -> Kind | None:
    """Return the entry of the table for a layer or a subclass of it, or ``None`` if there is none."""
    return next((KINDS[base] for base in type(layer).__mro__ if base in KINDS), None)


def slots_of(unit: str, layer: Layer) -> list[Slot]:
    """Return the arrays of a layer of the table, in PyTorch's order."""
    kind = kind_of(layer) or PLAIN
    slots = []
    for name, value in vars(layer).items():
        if isinstance(value, (Parameter, Buffer)) and (theirs := kind.names.get(name, name)):
            kernel = value.data.ndim > 1 and name.startswith(kind.kernels)
            slots.append(Slot(unit, joined(unit, name), theirs, value, kernel=kernel))
    for path, theirs in kind.parts.items():
        for slot in slots_of(joined(unit, path), part_at(layer, path)):
            slot.unit, slot.name = unit, joined(theirs, slot.name)
            slots.append(slot)
    found = {slot.name for slot in slots}
    return slots + [Slot(unit, joined(unit, name), name, None) for name in kind.made if name not in found]


def part_at(layer: Layer, path: str) -> Any:
    """Return the layer at a path below another one."""
    part: Any = layer
    for name in path.split("."):
        part = dict(part.children())[name]
    return part


def joined(*names: str) -> str:
    """Return names as one path; empty ones add nothing."""
    return ".".join(filter(None, names))


def parts_of(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the layers, parameters and buffers right below a layer, those in lists, tuples and dicts too."""
    if isinstance(value, Layer):
        entries = list(value.children())
    elif isinstance(value, dict):
        entries = [(str(name), part) for name, part in value.items()]
    else:
        entries = [(str(i), part) for i, part in enumerate(value)]
    for name, part in entries:
        if isinstance(part, (Layer, Parameter, Buffer)):
            yield name, part
        elif isinstance(part, (list, tuple, dict)):
            yield from ((joined(name, path), below) for path, below in parts_of(part))
