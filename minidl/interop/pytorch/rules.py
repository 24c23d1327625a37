"""What each layer makes of a sample's layout: a Flatten joins channels first in PyTorch, here channels last.

Arrays whose features come from a Flatten, or go to a Reshape, get their channels written down.
"""

import math
from collections.abc import Mapping
from typing import Any

from minidl import layers
from minidl.interop.pytorch.flow import FLAT, IMAGE, JOINED, PAIR, SAME, UNKNOWN, Rule, Sample, Walk, held
from minidl.interop.pytorch.layouts import Slot
from minidl.layers.base import Layer


def slots_of_model(model: Layer, flattened: Mapping[str, Any] | None, owner: str) -> list[Slot]:
    """Return the arrays of a model in the order of definition; a shared one occurs wherever it is used.

    Args:
        model: any layer.
        flattened: by the path of a Flatten, or of the layer after it, the shape of the samples before it.
        owner: the function that errors name.

    Raises:
        ValueError: it is not known what a Flatten joins, and ``flattened`` does not say so.
    """
    walk = Walk(RULES, dict(flattened or {}), owner)
    walk.enter("", model, Sample())
    first: dict[int, Slot] = {}
    for slot in walk.slots:
        other = slot if slot.holder is None else first.setdefault(id(slot.holder), slot)
        if (slot.kernel, slot.last, slot.channels) != (other.kernel, other.last, other.channels):
            raise ValueError(
                f"{owner}: {other.path} and {slot.path} are one array here, and would be two in PyTorch: "
                "one of them is used on channels, which come in another order there"
            )
    if walk.flattened:
        paths = ", ".join(map(repr, walk.flattened))
        raise ValueError(
            f"{owner}: expected flattened by the path of a Flatten, or of a layer with a weight for each "
            f"feature, got {paths}"
        )
    return walk.slots


def _kept(walk: Walk, own: list[Slot], layer: Any, sample: Sample) -> Sample:
    """Each number by itself, or all alike."""
    return sample


def _same(walk: Walk, own: list[Slot], layer: Any, sample: Sample) -> Sample:
    """Sequences: the features are last on both sides."""
    return Sample(SAME)


def _conv(walk: Walk, own: list[Slot], layer: Any, sample: Sample) -> Sample:
    walk.settled(sample)
    walk.images = True
    *_, channels, outputs = layer.weight.shape
    return Sample(IMAGE, channels * layer.groups if isinstance(layer, layers.ConvTranspose) else outputs)


def _linear(walk: Walk, own: list[Slot], layer: Any, sample: Sample) -> Sample:
    axes = {slot.name: slot for slot in own}
    weight = axes["weight"]
    if channels := walk.rows(walk.path, sample, weight.shape[0], layer):
        walk.regroup([(weight, 0)], channels)
    if sample.layout == IMAGE and sample.certain:
        return Sample()  # PyTorch's program moves the channels to the end, and perhaps back
    bias = [(axes["bias"], 0)] if "bias" in axes else []
    return Sample(SAME, made_by=((weight, 1), *bias), width=weight.shape[1], certain=sample.certain)


def _for_each_feature(walk: Walk, own: list[Slot], layer: Any, sample: Sample) -> Sample:
    """One number for each entry of the last axis."""
    features = layer.weight.shape[0]
    axes = [(slot, 0) for slot in own if slot.shape == (features,)]
    if sample.layout in (FLAT, JOINED) or walk.path in walk.flattened:
        if channels := walk.rows(walk.path, sample, features, layer):
            walk.regroup(axes, channels)
        return sample
    if walk.in_doubt(sample, features):
        walk.suspects[features] = walk.path
    return sample._replace(made_by=(*sample.made_by, *axes)) if sample.made_by else sample


def _prelu(walk: Walk, own: list[Slot], layer: Any, sample: Sample) -> Sample:
    return sample if layer.weight.shape == (1,) else _for_each_feature(walk, own, layer, sample)


def _channel_norm(walk: Walk, own: list[Slot], layer: Any, sample: Sample) -> Sample:
    """A normalisation that has the channels second in PyTorch."""
    sample = walk.settled(sample)
    if getattr(layer, "num_groups", 1) > 1:
        held([*sample.made_by, *((slot, 0) for slot in own)])
    if sample.layout == UNKNOWN:
        sample = Sample(IMAGE, layer.weight.shape[0], certain=sample.certain)
    return _for_each_feature(walk, own, layer, sample)


def _last_axes_norm(walk: Walk, own: list[Slot], layer: Any, sample: Sample) -> Sample:
    """A normalisation over the last axes on both sides, which are other ones where there are channels."""
    if layer.weight.ndim == 1:
        # Where there are channels, PyTorch's program moves them to the end for it, and perhaps back.
        after = _for_each_feature(walk, own, layer, sample)
        return after._replace(certain=False) if sample.layout == IMAGE else after
    for slot in own:
        slot.last = sample.layout == IMAGE
    return sample


def _pool(walk: Walk, own: list[Slot], layer: Any, sample: Sample) -> Sample:
    sample = walk.settled(sample)
    return sample if sample.layout == IMAGE else Sample(certain=sample.certain)


def _global_pool(walk: Walk, own: list[Slot], layer: Any, sample: Sample) -> Sample:
    walk.settled(sample)
    return Sample(SAME)


def _glu(walk: Walk, own: list[Slot], layer: Any, sample: Sample) -> Sample:
    """The first half of the channels times a gate of the second."""
    if sample.layout == FLAT:
        return Sample(FLAT)
    if sample.layout == IMAGE:  # which axis another number means, depends on how many there are
        halved = sample.channels // 2 if sample.channels and layer.axis == -1 else None
        return sample._replace(channels=halved)
    return sample._replace(made_by=held(sample.made_by), width=sample.width // 2 if sample.width else None)


def _flatten(walk: Walk, own: list[Slot], layer: Any, sample: Sample) -> Sample:
    if walk.path in walk.flattened:
        return Sample(FLAT, walk.given(walk.path))
    if sample.layout in (IMAGE, UNKNOWN):
        return sample._replace(layout=FLAT)
    if walk.images and not sample.certain:
        return Sample(FLAT, certain=False)
    return sample._replace(layout=SAME, channels=None) if sample.layout == PAIR else sample


def _reshape(walk: Walk, own: list[Slot], layer: Any, sample: Sample) -> Sample:
    shape = layer.shape
    if len(shape) < 2:
        return _flatten(walk, own, layer, sample)
    if sample.layout in (IMAGE, FLAT):
        return sample._replace(layout=IMAGE) if shape[-1] == sample.channels else Sample()
    if sample.layout == JOINED:
        walk.rows(walk.path, sample, 0, layer)  # which refuses it
    width = sample.width or 0
    others = math.prod(n for n in shape if n > 0)
    if shape[-1] == -1 and others:
        shape = (*shape[:-1], width // others)
    if shape[-1] < 1:
        return Sample()
    if abs(math.prod(shape)) != width and not (-1 in shape and width % others == 0):
        sample = Sample(certain=sample.certain)  # not rows of these features: nothing is reordered
    table = sample._replace(layout=PAIR, channels=shape[-1])
    return walk.settled(table) if len(shape) > 2 else table


RULES: dict[type[Layer], Rule] = {
    **dict.fromkeys((layers.Conv, layers.ConvTranspose), _conv),
    **dict.fromkeys((layers.BatchNorm, layers.GroupNorm, layers.InstanceNorm), _channel_norm),
    **dict.fromkeys((layers.LayerNorm, layers.RMSNorm), _last_axes_norm),
    layers.Linear: _linear,
    layers.PReLU: _prelu,
    **dict.fromkeys(
        (layers.MaxPool, layers.AvgPool, layers.AdaptiveAvgPool, layers.Upsample, layers.Pad), _pool
    ),
    **dict.fromkeys((layers.GlobalAvgPool, layers.GlobalMaxPool), _global_pool),
    layers.GLU: _glu,
    layers.Flatten: _flatten,
    layers.Reshape: _reshape,
    **dict.fromkeys((layers.Embedding, layers.RNN, layers.LSTM, layers.GRU), _same),
    **dict.fromkeys((layers.MultiHeadAttention, layers.TransformerEncoderLayer), _same),
    **dict.fromkeys((layers.LearnedPositions, layers.SinusoidalPositions, layers.RotaryPositions), _same),
    **dict.fromkeys((layers.Dropout, layers.Identity), _kept),
    **dict.fromkeys(
        (layers.ReLU, layers.LeakyReLU, layers.ReLU6, layers.ELU, layers.CELU, layers.SELU), _kept
    ),
    **dict.fromkeys((layers.GELU, layers.SiLU, layers.Mish, layers.Softplus, layers.Softsign), _kept),
    **dict.fromkeys((layers.Sigmoid, layers.HardSigmoid, layers.HardSwish, layers.HardTanh), _kept),
    **dict.fromkeys((layers.Tanh, layers.Softmax, layers.Softmin, layers.LogSoftmax), _kept),
}
