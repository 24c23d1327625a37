"""Normalisation: each number relative to the mean and the spread of those that share them."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl.training.explain.seen import Call
from minidl.training.explain.worked import Index, Working, at, number, signed

Shared = Callable[[Call, Index], tuple[Any, ...]]


def over_batch(call: Call, index: Index) -> tuple[Any, ...]:
    """All samples and positions of the channel."""
    return (..., index[-1])


def over_features(call: Call, index: Index) -> tuple[Any, ...]:
    """The last axes of the sample."""
    return (*index[: len(index) - call.layer.weight.ndim], ...)


def over_group(call: Call, index: Index) -> tuple[Any, ...]:
    """All positions of the sample in the channels of the group."""
    size = call.x.shape[-1] // call.layer.num_groups
    first = index[-1] // size * size
    return (index[0], ..., slice(first, first + size))


def over_positions(call: Call, index: Index) -> tuple[Any, ...]:
    """All positions of the sample in the channel."""
    return (index[0], ..., index[-1])


def output(shared: Shared, centred: bool = True) -> Callable[[Call, Index], Working]:
    """y = w (x - mean) / sqrt(var + eps) + b; without a mean, divided by the root mean square."""

    def worked(call: Call, index: Index) -> Working:
        x, eps = float(call.host("x")[index]), call.layer.eps
        mean, var, steps = _statistics(call, index, shared, centred)
        w, b = _affine(call, "weight", index), _affine(call, "bias", index)
        root = math.sqrt(var + eps)
        z = (x - mean) / root
        above = f"({number(x)} - {signed(mean)})" if centred else number(x)
        steps.append(f"z = {above} / sqrt({number(var)} + {number(eps)}) = {number(z)}")
        plus = "" if b is None else f" + {signed(b)}"
        value = (w or 0.0) * z + (b or 0.0)
        steps.append(f"{at('y', index)} = {number(w or 0.0)} * {signed(z)}{plus} = {number(value)}")
        scale = (abs(x) + abs(mean)) / root * abs(w or 0.0) + abs(b or 0.0)
        return Working(value, scale, steps)

    return worked


def gradient(shared: Shared, centred: bool = True) -> Callable[[Call, Index], Working]:
    """dx = (dz - mean(dz) - z mean(dz z)) / sqrt(var + eps) with dz = dy w."""

    def worked(call: Call, index: Index) -> Working:
        x, eps = call.host("x"), call.layer.eps
        mean, var, steps = _statistics(call, index, shared, centred)
        root, here = math.sqrt(var + eps), shared(call, index)
        w = np.broadcast_to(call.host("weight"), x.shape)
        dz = call.host("dy")[here].astype(np.float64) * w[here]
        z = (x[here].astype(np.float64) - mean) / root
        own = float(call.host("dy")[index]) * float(w[index])
        z_own = (float(x[index]) - mean) / root
        first, second = (float(dz.mean()) if centred else 0.0), float((dz * z).mean())
        value = (own - first - z_own * second) / root
        steps.append(
            f"z = {number(z_own)}, dz = dy * w = {number(own)}, sqrt(var + epsilon) = {number(root)}"
        )
        steps.append(
            (f"mean of dz = {number(first)}, " if centred else "") + f"mean of dz * z = {number(second)}"
        )
        less = f" - {signed(first)}" if centred else ""
        steps.append(
            f"{at('dx', index)} = ({number(own)}{less} - {signed(z_own)} * {signed(second)}) / {number(root)}"
            f" = {number(value)}"
        )
        means = float(abs(dz).mean()) + abs(z_own) * float(abs(dz * z).mean())
        spread = 1 + (abs(float(x[index])) + abs(mean)) / root
        return Working(value, (abs(own) + means) / root * spread, steps)

    return worked


def batch_output(call: Call, index: Index) -> Working:
    """In training by the statistics of the batch, in evaluation by the running ones."""
    _check_alone(call)
    return output(over_batch)(call, index)


def batch_gradient(call: Call, index: Index) -> Working:
    """In evaluation the statistics are constants: dx = dy w / sqrt(var + eps)."""
    _check_alone(call)
    if call.training:
        return gradient(over_batch)(call, index)
    _, var, steps = _statistics(call, index, over_batch, True)
    eps, dy = call.layer.eps, float(call.host("dy")[index])
    w = float(call.host("weight")[index[-1]])
    value = dy * w / math.sqrt(var + eps)
    steps.append(
        f"{at('dx', index)} = {number(dy)} * {signed(w)} / sqrt({number(var)} + {number(eps)}) "
        f"= {number(value)}"
    )
    return Working(value, abs(value), steps)


def _check_alone(call: Call) -> None:
    """Refuse statistics over batches that are on other processes."""
    if call.training and call.layer.peers is not None:
        raise ValueError("its mean and variance are those of the batches of all processes")


def _statistics(call: Call, index: Index, shared: Shared, centred: bool) -> tuple[float, float, list[str]]:
    """Return the mean and the variance that count for an element, and the line that says them."""
    if "running_mean" in call.state and not call.training:
        mean, var = (float(call.host(name)[index[-1]]) for name in ("running_mean", "running_var"))
        return mean, var, [f"running mean = {number(mean)}, running variance = {number(var)}"]
    x = call.host("x")[shared(call, index)].astype(np.float64)
    mean = float(x.mean()) if centred else 0.0
    var = float(((x - mean) ** 2).mean())
    what = f"of the {x.size} numbers that share it: "
    names = f"mean = {number(mean)}, variance = " if centred else "mean square = "
    return mean, var, [f"{what}{names}{number(var)}"]


def _affine(call: Call, name: str, index: Index) -> float | None:
    """Return the entry of the scale or the shift that an element meets; None where there is none."""
    if not hasattr(call.layer, name):
        return None
    array = call.host(name)
    return float(array[index[len(index) - array.ndim :]])
