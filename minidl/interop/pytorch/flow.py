"""The way of a sample through a model, so that it is known what a Flatten joins; no array is looked at.

Layers are followed in the order in which they run, as far as the containers tell it.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from minidl import layers
from minidl.interop.pytorch.layouts import Kind, Slot, joined, kind_of, parts_of, slots_of
from minidl.layers.base import Layer
from minidl.layers.containers import Container

UNKNOWN = "unknown"
IMAGE = "image"  # (N, *spatial, C) here, (N, C, *spatial) there
SAME = "same"  # the same on both sides: rows of features, sequences (N, T, C)
FLAT = "flat"  # an image made a row
JOINED = "joined"  # rows of which one part at least was an image
PAIR = "pair"  # a row made (N, P, C): an image or a sequence, as the next layer decides

Axis: TypeAlias = "tuple[Slot, int]"


class Sample(NamedTuple):
    """What is known of the samples between two layers."""

    layout: str = UNKNOWN
    channels: int | None = None
    made_by: tuple[Axis, ...] = ()  # the arrays, with their axis, along which the features of a row lie
    width: int | None = None  # how many features these are in all
    certain: bool = True  # whether the layers run in the order in which they are found


Rule: TypeAlias = "Callable[[Walk, list[Slot], Any, Sample], Sample]"


class Walk:
    """The arrays found so far, on the way through a model."""

    def __init__(self, rules: "Mapping[type[Layer], Rule]", flattened: dict[str, Any], owner: str) -> None:
        self.rules = rules
        self.flattened = flattened
        self.owner = owner
        self.slots: list[Slot] = []
        self.above: list[Layer] = []
        self.path = ""  # of the layer whose rule is asked
        self.images = False  # whether some layer before had images
        self.suspects: dict[
            int, str
        ] = {}  # layers that may have got the rows of an image, by their number of features

    def enter(self, path: str, layer: Layer, sample: Sample) -> Sample:
        """Note the arrays of a layer and of all below it; return what is known of its output."""
        if any(layer is other for other in self.above):
            return Sample()  # a layer that refers to one above it
        self.above.append(layer)
        try:
            rule = next((self.rules[base] for base in type(layer).__mro__ if base in self.rules), None)
            if rule is not None:
                self.path, own = path, slots_of(path, layer)
                after = rule(self, own, layer, sample)
                self.slots += own
                return after if type(layer) in self.rules else self.beside(path, layer, after)
            ways = (way for base, way in WAYS.items() if _runs_as(layer, base))
            return next(ways, Walk.through_parts)(self, path, layer, sample)
        finally:
            self.above.pop()

    def through_parts(self, path: str, layer: Layer, sample: Sample) -> Sample:
        """Go through the parts of a layer of unknown making, in the order of definition."""
        parts = list(parts_of(layer))
        own = [(name, part) for name, part in parts if not isinstance(part, Layer)]
        self.slots += [Slot(path, joined(path, name), name, part) for name, part in own]
        inside = sample._replace(certain=False)
        for name, part in parts:
            if isinstance(part, Layer):
                inside = self.enter(joined(path, name), part, inside)._replace(certain=False)
        return inside

    def beside(self, path: str, layer: Layer, after: Sample) -> Sample:
        """Note the layers that a subclass has besides what its base has."""
        known = {name.partition(".")[0] for name in (kind_of(layer) or Kind()).parts}
        for name, part in parts_of(layer):
            if isinstance(part, Layer) and name not in known:
                self.enter(joined(path, name), part, Sample())
        return after

    def in_a_row(self, path: str, layer: Container, sample: Sample) -> Sample:
        """Go through a chain."""
        for i, part in enumerate(layer):
            sample = self.enter(joined(path, str(i)), part, sample)
        return sample

    def residual(self, path: str, layer: layers.Residual, sample: Sample) -> Sample:
        """Go through both branches, whose outputs are added."""
        y = self.enter(joined(path, "layer"), layer.layer, sample)
        if layer.shortcut is not None:
            sample = self.enter(joined(path, "shortcut"), layer.shortcut, sample)
        return self.added([y, sample])

    def parallel(self, path: str, layer: layers.Parallel, sample: Sample) -> Sample:
        """Go through all branches."""
        outputs = [self.enter(joined(path, str(i)), part, sample) for i, part in enumerate(layer)]
        return self.added(outputs) if layer.merge == "add" else _concatenated(outputs)

    def rows(self, unit: str, sample: Sample, features: int, layer: Layer) -> int | None:
        """Return how many channels the rows have that a layer takes, or ``None`` where none were joined."""
        if sample.layout == JOINED:
            raise ValueError(
                f"{self.owner}: {layer!r} at {unit!r} takes rows that were flattened before they were "
                "concatenated, in another order in PyTorch; concatenate first, then flatten"
            )
        if unit in self.flattened:
            channels = self.given(unit, features)
        elif not self.in_doubt(sample, features):
            return sample.channels if sample.layout == FLAT else None
        else:
            raise ValueError(
                f"{self.owner}: {layer!r} at {unit!r} may take rows that were flattened, which PyTorch does "
                "channels first, and the layers before it do not tell how many channels there were; pass "
                f"flattened={{{unit!r}: (H, W, C)}}, the shape of one sample before that, or {{{unit!r}: "
                f"({features},)}} if there were none"
            )
        suspect = self.suspects.get(features, unit)
        if channels not in (None, features) and suspect != unit and not sample.certain:
            raise ValueError(
                f"{self.owner}: expected flattened to say of {suspect!r} what it says of {unit!r}, for "
                f"it too has {features} features"
            )
        return channels

    def in_doubt(self, sample: Sample, features: int) -> bool:
        """Tell whether a layer may take the rows of an image of which the channels are not known."""
        if sample.layout == FLAT or (sample.layout == IMAGE and not sample.certain):
            known = sample.certain and sample.channels and features % sample.channels == 0
            return not known and sample.channels != features
        if sample.certain or not self.images:
            return False
        return not any(features in slot.shape for slot in self.slots)  # no layer before has this width

    def given(self, path: str, features: int | None = None) -> int:
        """Return the channels that the caller states, once."""
        shape = self.flattened.pop(path)
        whole = isinstance(shape, (tuple, list)) and all(type(n) is int and n > 0 for n in shape)
        if not whole or not shape or (features and math.prod(shape) != features):
            size = f" of {features} numbers in all" if features else ""
            raise ValueError(
                f"{self.owner}: expected flattened[{path!r}] as a shape (H, W, C){size}, got {shape!r}"
            )
        return int(shape[-1])

    def added(self, samples: list[Sample]) -> Sample:
        """Return what is known of a sum."""
        rows = [sample for sample in samples if sample.layout == FLAT]
        for other in samples if rows else ():  # what is added to the rows of an image has their order
            if other.layout == SAME and rows[0].channels:
                self.regroup(other.made_by, rows[0].channels)
            elif other[:2] != rows[0][:2]:
                return Sample(FLAT)
        if rows:
            return rows[0]
        known = [sample for sample in samples if sample.layout != UNKNOWN]
        if not known or any(sample[:2] != known[0][:2] for sample in known):
            return Sample(certain=all(sample.certain for sample in samples))
        made_by = held(axis for sample in known for axis in sample.made_by)
        return known[0]._replace(made_by=made_by, certain=all(sample.certain for sample in samples))

    def regroup(self, axes: Iterable[Axis], channels: int) -> None:
        """Write down that axes are channels last here and channels first there."""
        for slot, axis in axes:
            features = slot.shape[axis]
            if features % channels or (slot.grouped and channels != features):
                raise ValueError(self.no_order(slot, channels))
            slot.channels[axis] = channels

    def no_order(self, slot: Slot, channels: int) -> str:
        """Say that weights cannot be reordered so that both sides are equal."""
        return (
            f"{self.owner}: the features that {slot.path} makes do not become {channels} channels by an "
            "order that PyTorch's layers could have too"
        )

    def settled(self, sample: Sample) -> Sample:
        """Take what a row became for an image: what made the row made it channels first in PyTorch."""
        if sample.layout != PAIR or sample.channels is None:
            return sample
        if sample.channels != sample.width:
            for slot, _ in sample.made_by:
                if slot.grouped:
                    raise ValueError(self.no_order(slot, sample.channels))
            self.regroup(sample.made_by, sample.channels)
        return Sample(IMAGE, sample.channels, certain=sample.certain)


def _runs_as(layer: Layer, base: type[Layer]) -> bool:
    """Tell whether a layer runs its parts as a container does; a subclass may do it in its own way."""
    own = (name.isdigit() or name in ("layer", "shortcut") for name, _ in parts_of(layer))
    return isinstance(layer, base) and type(layer).vjp is base.vjp and all(own)


def _concatenated(samples: list[Sample]) -> Sample:
    """Return what is known of outputs joined along the channels."""
    layouts, certain = {sample.layout for sample in samples}, all(sample.certain for sample in samples)
    if layouts == {IMAGE} and all(sample.channels for sample in samples):
        return Sample(IMAGE, sum(sample.channels or 0 for sample in samples), certain=certain)
    if layouts == {SAME}:
        made_by = held(axis for sample in samples for axis in sample.made_by)
        widths = [sample.width or 0 for sample in samples]
        return Sample(SAME, made_by=made_by, width=sum(widths) if all(widths) else None, certain=certain)
    return Sample(JOINED if layouts & {FLAT, JOINED} else UNKNOWN, certain=certain)


def held(made_by: Iterable[Axis]) -> tuple[Axis, ...]:
    """Mark the arrays of features whose order means something from here on."""
    axes = tuple(made_by)
    for slot, _ in axes:
        slot.grouped = True
    return axes


WAYS: dict[type[Layer], Callable[[Walk, str, Any, Sample], Sample]] = {
    layers.Sequential: Walk.in_a_row,
    layers.Residual: Walk.residual,
    layers.Parallel: Walk.parallel,
}
