"""Losses: cross-entropy, fused with the softmax or from probabilities, and the mean squared error."""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

from minidl.backend import Array, xp
from minidl.ops._losses import Classes, check_reduction, read_classes, read_target, reduced
from minidl.ops._precision import widen

Result: TypeAlias = "tuple[Array, Callable[[Array], Array]]"


def mse_loss(prediction: Array, *, target: Array, reduction: str = "mean") -> Result:
    """loss = (prediction - target)^2, element by element."""
    target = read_target(prediction, target, reduction, "mse_loss")
    difference = widen(prediction) - target
    value, spread = reduced(difference * difference, reduction)

    def pullback(dy: Array) -> Array:
        # dprediction = 2 (prediction - target) dloss
        return xp.asarray(2 * difference * spread(dy), dtype=prediction.dtype)

    return value, pullback


def cross_entropy(
    logits: Array,
    *,
    target: Array,
    weight: Array | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Result:
    """loss = -sum_k q_k log softmax(logits)_k, q being the distribution asked for times the class weights."""
    check_reduction(reduction, "cross_entropy")
    wanted = read_classes(logits, target, weight, ignore_index, label_smoothing, "cross_entropy")
    shifted = widen(logits).reshape(-1, logits.shape[-1])
    shifted = shifted - shifted.max(axis=-1, keepdims=True)
    aligned = _aligned(shifted, wanted)
    exponentials = xp.exp(shifted, out=shifted)
    sums = exponentials.sum(axis=-1)
    totals = wanted.weights if wanted.labels is not None else wanted.weights.sum(axis=-1)
    losses = totals * xp.log(sums) - aligned
    if wanted.ignores:
        losses = xp.where(totals == 0, 0, losses)
    value, spread = reduced(losses.reshape(logits.shape[:-1]), reduction, wanted.divisor)

    def pullback(dy: Array) -> Array:
        # dlogits = (softmax(logits) sum_k q_k - q) dloss
        dlosses = spread(dy).reshape(-1)
        dlogits = exponentials * (dlosses * totals / sums)[:, None]
        _subtract(dlogits, dlosses, wanted)
        if wanted.ignores:
            dlogits[totals == 0] = 0
        return xp.asarray(dlogits.reshape(logits.shape), dtype=logits.dtype)

    return value, pullback


def cross_entropy_probabilities(
    probabilities: Array,
    *,
    target: Array,
    weight: Array | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Result:
    """loss = -sum_k q_k log p_k: infinite where p_k = 0 is asked for, with neither a clip nor an eps."""
    owner = "cross_entropy_probabilities"
    check_reduction(reduction, owner)
    wanted = read_classes(probabilities, target, weight, ignore_index, label_smoothing, owner)
    p = widen(probabilities).reshape(-1, probabilities.shape[-1])
    q = _dense(wanted, p.shape)
    asked = xp.where(q == 0, 1, p)  # 0 log 0 = 0
    losses = 0 - (q * _log(asked)).sum(axis=-1)  # a bare minus would report a perfect answer as -0
    value, spread = reduced(losses.reshape(probabilities.shape[:-1]), reduction, wanted.divisor)

    def pullback(dy: Array) -> Array:
        # dp = -q / p dloss
        dp = xp.where(q == 0, 0, -q * _reciprocal(asked) * spread(dy).reshape(-1, 1))
        return _narrowed(dp.reshape(probabilities.shape), probabilities.dtype)

    return value, pullback


def _aligned(scores: Array, wanted: Classes) -> Array:
    """Return sum_k q_k scores_k for each row; what is not asked for may be infinite."""
    q = wanted.weights
    if wanted.labels is not None:
        return q * scores[xp.arange(len(scores)), wanted.labels]
    return xp.asarray((q * xp.where(q == 0, 0, scores)).sum(axis=-1))


def _subtract(dlogits: Array, dlosses: Array, wanted: Classes) -> None:
    """Subtract q_k dloss from each row, in place."""
    if wanted.labels is not None:
        dlogits[xp.arange(len(dlogits)), wanted.labels] -= wanted.weights * dlosses
    else:
        dlogits -= wanted.weights * dlosses[:, None]


def _dense(wanted: Classes, shape: tuple[int, ...]) -> Array:
    """Return what is asked for as one weight for each row and class."""
    if wanted.labels is None:
        return wanted.weights
    q = xp.zeros(shape, dtype=wanted.weights.dtype)
    q[xp.arange(len(q)), wanted.labels] = wanted.weights
    return q


def _narrowed(dp: Array, dtype: Any) -> Array:
    """Return a gradient in the dtype wanted, silently infinite where that is too small for 1 / p."""
    if dp.dtype != dtype:
        limit = float(xp.finfo(dtype).max)
        dp = xp.where(abs(dp) > limit, xp.copysign(math.inf, dp), dp)
    return dp.astype(dtype, copy=False)


def _log(p: Array) -> Array:
    """Return log p, silently -inf at zero and NaN below."""
    logs = xp.log(xp.where(p > 0, p, 1))
    logs[p == 0] = -math.inf
    logs[~(p >= 0)] = math.nan
    return logs


def _reciprocal(p: Array) -> Array:
    """Return 1 / p, silently infinite where that is too large for the dtype and NaN below zero."""
    least = 1 / float(xp.finfo(p.dtype).max)
    ratios = 1 / xp.where(p > least, p, 1)
    ratios[p <= least] = math.inf
    ratios[~(p >= 0)] = math.nan
    return ratios
