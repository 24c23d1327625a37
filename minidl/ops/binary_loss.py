"""Losses of yes-or-no questions, each answered by one logit or one probability."""

import numbers
from collections.abc import Callable
from typing import TypeAlias

from minidl.backend import Array, check_array, check_shape, xp
from minidl.ops._losses import check_probabilities, log, narrowed, read_target, reciprocal, reduced
from minidl.ops._options import read_number
from minidl.ops._precision import widen

Result: TypeAlias = "tuple[Array, Callable[[Array], Array]]"


def binary_cross_entropy_with_logits(
    logits: Array, *, target: Array, pos_weight: Array | float = 1.0, reduction: str = "mean"
) -> Result:
    """loss = -c t log s(x) - (1 - t) log s(-x) with s the sigmoid, t the target and c the positive weight."""
    owner = "binary_cross_entropy_with_logits"
    t = read_target(logits, target, reduction, owner)
    c = _positive_weight(pos_weight, t, owner)
    x = widen(logits)
    yes, no = _softplus(x)
    value, spread = reduced(xp.asarray(c * t * no + (1 - t) * yes), reduction)

    def pullback(dy: Array) -> Array:
        # dx = ((1 - t) s(x) - c t s(-x)) dloss
        p, q = _sigmoids(x)
        return xp.asarray(((1 - t) * p - c * t * q) * spread(dy), dtype=logits.dtype)

    return value, pullback


def binary_cross_entropy(
    probabilities: Array, *, target: Array, pos_weight: Array | float = 1.0, reduction: str = "mean"
) -> Result:
    """loss = -c t log p - (1 - t) log(1 - p), with neither a clip nor an eps."""
    owner = "binary_cross_entropy"
    t = read_target(probabilities, target, reduction, owner)
    c = _positive_weight(pos_weight, t, owner)
    p = widen(probabilities)
    remedy = "binary_cross_entropy_with_logits, or BinaryCrossEntropy(from_logits=True)"
    p = xp.where(check_probabilities(p, owner, remedy), p, xp.nan)
    yes, no = xp.where(t == 0, 1, p), xp.where(t == 1, 1, 1 - p)  # 0 log 0 = 0
    value, spread = reduced(xp.asarray(0 - c * t * log(yes) - (1 - t) * log(no)), reduction)

    def pullback(dy: Array) -> Array:
        # dp = ((1 - t) / (1 - p) - c t / p) dloss
        dp = ((1 - t) * reciprocal(no) - c * t * reciprocal(yes)) * spread(dy)
        return narrowed(dp, probabilities.dtype)

    return value, pullback


def focal_loss(
    logits: Array, *, target: Array, alpha: float | None = 0.25, gamma: float = 2.0, reduction: str = "mean"
) -> Result:
    """loss = a q^gamma h: h is the binary cross-entropy, q the probability missing, a alpha or 1 - alpha."""
    t = read_target(logits, target, reduction, "focal_loss")
    alpha, gamma = check_focal(alpha, gamma, "focal_loss")
    a = 1.0 if alpha is None else alpha * t + (1 - alpha) * (1 - t)
    x = widen(logits)
    yes, no = _softplus(x)
    h = t * no + (1 - t) * yes
    p, not_p = _sigmoids(x)
    q = (1 - t) * p + t * not_p
    scale = a * q**gamma
    value, spread = reduced(xp.asarray(scale * h), reduction)

    def pullback(dy: Array) -> Array:
        # dx = a q^gamma (gamma h (1 - 2 t) s(x) s(-x) / q + (1 - t) s(x) - t s(-x)) dloss
        share = p * not_p / xp.where(q == 0, 1, q)
        slope = gamma * h * (1 - 2 * t) * share + (1 - t) * p - t * not_p
        return xp.asarray(scale * slope * spread(dy), dtype=logits.dtype)

    return value, pullback


def _softplus(x: Array) -> tuple[Array, Array]:
    """Return log(1 + e^x) and log(1 + e^-x), neither of which overflows."""
    tail = xp.log1p(xp.exp(-abs(x)))
    return xp.maximum(x, 0) + tail, xp.maximum(-x, 0) + tail


def _sigmoids(x: Array) -> tuple[Array, Array]:
    """Return the sigmoid of x and of -x, each to full relative precision."""
    small = xp.exp(-abs(x))
    large, small = 1 / (1 + small), small / (1 + small)
    return xp.where(x < 0, small, large), xp.where(x < 0, large, small)


def _positive_weight(weight: Array | float, target: Array, owner: str) -> Array | float:
    """Return the weight of the positive answers: one number, or one for each place on the last axis."""
    weight = check_positive_weight(weight, owner)
    if isinstance(weight, float):
        return weight
    check_shape(weight, target.shape[-1:], f"{owner}: pos_weight")
    return weight.astype(target.dtype, copy=False)


def check_positive_weight(weight: Array | float, owner: str) -> Array | float:
    """Return the weight of the positive answers: an array as it is, a number as a Python float."""
    if isinstance(weight, numbers.Real):
        return read_number(weight, "pos_weight", owner)
    check_array(weight, f"{owner}: pos_weight", "a number or an array")
    return weight


def check_focal(alpha: float | None, gamma: float, owner: str) -> tuple[float | None, float]:
    """Return both options of the focal loss as Python floats."""
    share = None if alpha is None else read_number(alpha, "alpha", owner)
    if share is not None and not 0 <= share <= 1:
        raise ValueError(f"{owner}: expected alpha in [0, 1] or None, got {alpha}")
    power = read_number(gamma, "gamma", owner)
    if not power >= 0:
        raise ValueError(f"{owner}: expected gamma >= 0, got {gamma}")
    return share, power
