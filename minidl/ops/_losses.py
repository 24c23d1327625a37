"""What the losses share: the target of a classifier, and the reduction to the value reported."""

import math
import numbers
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from minidl import backend
from minidl.backend import Array, check_array, check_float, check_labels, check_shape, violated, xp
from minidl.ops._options import read_number

Result: TypeAlias = "tuple[Array, Callable[[Array], Array]]"

REDUCTIONS = ("mean", "sum", "none")


def reduced(losses: Array, reduction: str, divisor: Array | float | None = None) -> Result:
    """Return the value that a loss reports, and the map from its gradient to that of every single loss.

    Args:
        losses: the single losses, of any shape.
        reduction: "mean", "sum" or "none".
        divisor: what a mean divides by, if not the number of losses; NaN where there is nothing.
    """
    if reduction == "none":
        return xp.asarray(losses), lambda dy: dy
    total = losses.sum()
    if reduction == "sum":
        return xp.asarray(total), lambda dy: xp.broadcast_to(dy, losses.shape)
    count = (losses.size or math.nan) if divisor is None else divisor
    return xp.asarray(total / count), lambda dy: xp.broadcast_to(dy / count, losses.shape)


def wide_dtype(prediction: Array) -> Any:
    """Return the dtype that a loss is computed and reported in: single precision or more."""
    return xp.result_type(prediction.dtype, xp.float32)


def check_reduction(reduction: str, owner: str) -> None:
    """Refuse everything but the three reductions."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"{owner}: expected a reduction of {', '.join(REDUCTIONS)}, got {reduction!r}")


def read_target(prediction: Array, target: Array, reduction: str, owner: str) -> Array:
    """Return a target of the shape of the prediction in the dtype that the loss computes in."""
    check_float(prediction, owner)
    check_array(target, owner, "the target as an array")
    if target.shape != prediction.shape:
        raise ValueError(
            f"{owner}: expected a target of shape {prediction.shape} like the prediction, got {target.shape}"
        )
    check_reduction(reduction, owner)
    return target.astype(wide_dtype(prediction), copy=False)


class Classes(NamedTuple):
    """What a classification loss is asked for, row by row: a class each, or weights of all classes."""

    labels: Array | None  # (n,), the class of each row
    weights: Array  # (n,), of each row's label; or (n, k), of the log-probability of each class
    divisor: Array | float  # what the mean divides by: NaN in place of zero
    ignores: bool  # whether there may be rows that count for nothing

    def of(self, rows: slice) -> "Classes":
        """Return what some of the rows are asked for."""
        labels = None if self.labels is None else self.labels[rows]
        return Classes(labels, self.weights[rows], self.divisor, self.ignores)


def read_classes(
    scores: Array,
    target: Array,
    weight: Array | None,
    ignore_index: int | None,
    label_smoothing: float,
    owner: str,
) -> Classes:
    """Bring labels or a distribution, class weights and smoothing into one form.

    Raises:
        TypeError: scores or weights that are not floating-point, labels that are not integers.
        ValueError: shapes that do not agree, labels out of range, a smoothing outside of [0, 1].
    """
    label_smoothing = check_smoothing(label_smoothing, owner)
    labelled = _check_classes(scores, target, weight, ignore_index, owner)
    classes = scores.shape[-1]
    dtype = wide_dtype(scores)
    by_class = xp.ones(classes, dtype=dtype) if weight is None else weight.astype(dtype, copy=False)
    if not labelled:
        wanted = target.reshape(-1, classes).astype(dtype, copy=False)
        return Classes(None, _smoothed(wanted, label_smoothing) * by_class, len(wanted) or math.nan, False)

    labels, counts = _read_labels(target, classes, ignore_index, dtype, owner)
    by_row = counts if weight is None else by_class[labels] * counts
    divisor: Array | float = len(labels) or math.nan
    if weight is not None or ignore_index is not None:
        total = xp.nansum(by_row)  # over the rows that were looked at
        divisor = xp.where(total == 0, math.nan, total)
    if not label_smoothing:
        return Classes(labels, by_row, divisor, ignore_index is not None)
    one_hot = (labels[:, None] == xp.arange(classes)).astype(dtype)
    weights = _smoothed(one_hot, label_smoothing) * by_class * counts[:, None]
    return Classes(None, weights, divisor, ignore_index is not None)


def _read_labels(
    target: Array, classes: int, ignore_index: int | None, dtype: Any, owner: str
) -> tuple[Array, Array]:
    """Return the label of each row, and how much it counts: 1, 0 where ignored, NaN where nobody looked."""
    labels = target.reshape(-1)
    if labels.dtype != xp.uint64:
        labels = labels.astype(xp.int64, copy=False)  # wide enough for any ignore_index
    counts = xp.ones(labels.shape, dtype)
    if ignore_index is not None:
        kept = labels != ignore_index
        labels, counts = xp.where(kept, labels, 0), kept.astype(dtype)
    inside = check_labels(labels, classes, owner)
    if not backend.CORES:  # which would have raised
        labels, counts = xp.where(inside, labels, 0), xp.where(inside, counts, math.nan)
    return labels.astype(xp.int64, copy=False), counts


def _smoothed(distribution: Array, label_smoothing: float) -> Array:
    """Move a share of the probability to all classes evenly (Szegedy et al., 2016)."""
    if not label_smoothing:
        return distribution
    return xp.asarray(distribution * (1 - label_smoothing) + label_smoothing / distribution.shape[-1])


def _check_classes(
    scores: Array,
    target: Array,
    weight: Array | None,
    ignore_index: int | None,
    owner: str,
) -> bool:
    """Refuse what does not fit together; tell whether the target is labels."""
    check_float(scores, owner)
    check_array(target, owner, "the target as an array")
    if not scores.ndim or not scores.shape[-1]:
        raise ValueError(f"{owner}: expected scores (..., classes), got {scores.shape}")
    labelled = target.shape == scores.shape[:-1]
    if not labelled and target.shape != scores.shape:
        raise ValueError(
            f"{owner}: expected labels of shape {scores.shape[:-1]} or a distribution of shape "
            f"{scores.shape}, got a target of shape {target.shape}"
        )
    if labelled and target.dtype.kind not in "iu":
        raise TypeError(f'{owner}: expected integer labels, got {target.dtype}; use labels.astype("int64")')
    if not labelled and ignore_index is not None:
        raise ValueError(f"{owner}: ignore_index is for labels, got a distribution of shape {target.shape}")
    check_ignored(ignore_index, owner)
    if weight is not None:
        check_class_weight(weight, owner)
        check_shape(weight, scores.shape[-1:], f"{owner}: weight")
    return labelled


def check_smoothing(label_smoothing: float, owner: str) -> float:
    """Return the share that goes to all classes, as a Python float."""
    share = read_number(label_smoothing, "label_smoothing", owner)
    if not 0 <= share <= 1:
        raise ValueError(f"{owner}: expected label_smoothing in [0, 1], got {label_smoothing}")
    return share


def check_ignored(ignore_index: int | None, owner: str) -> None:
    """Refuse everything but an int or nothing."""
    if ignore_index is not None and not isinstance(ignore_index, numbers.Integral):
        raise TypeError(f"{owner}: expected ignore_index as an int or None, got {ignore_index!r}")


def check_class_weight(weight: Array | None, owner: str) -> None:
    """Refuse everything but one floating-point number for each class, or nothing."""
    if weight is not None:
        check_float(weight, f"{owner}: weight")
        check_shape(weight, (weight.size,), f"{owner}: weight")


def check_probabilities(p: Array, owner: str, remedy: str) -> Array:
    """Tell which numbers lie in [0, 1], or are NaN, as an array of booleans; see ``violated``."""
    inside = xp.asarray(~((p < 0) | (p > 1)))
    if violated(inside):
        raise ValueError(
            f"{owner}: expected probabilities in [0, 1], got {p[~inside][0]}; for logits use {remedy}"
        )
    return inside


def decided(scores: Array) -> tuple[Array, Array]:
    """Return the class of the largest score of each row, and whether there is one: not where one is NaN.

    It is written in methods and operators alone, for arrays of the host and of the device.
    """
    best = scores.max(axis=-1)
    return scores.argmax(axis=-1), best == best


def narrowed(dp: Array, dtype: Any) -> Array:
    """Return a gradient in the dtype wanted, silently infinite where that is too small for it."""
    if dp.dtype != dtype:
        limit = float(xp.finfo(dtype).max)
        dp = xp.where(abs(dp) > limit, xp.copysign(math.inf, dp), dp)
    return xp.asarray(dp, dtype=dtype)


def log(p: Array) -> Array:
    """Return log p, silently -inf at zero and NaN below."""
    logs = xp.asarray(xp.log(xp.where(p > 0, p, 1)))
    logs[p == 0] = -math.inf
    logs[~(p >= 0)] = math.nan
    return logs


def reciprocal(p: Array) -> Array:
    """Return 1 / p, silently infinite where that is too large for the dtype and NaN below zero."""
    least = 1 / float(xp.finfo(p.dtype).max)
    ratios = xp.asarray(1 / xp.where(p > least, p, 1))
    ratios[p <= least] = math.inf
    ratios[~(p >= 0)] = math.nan
    return ratios
