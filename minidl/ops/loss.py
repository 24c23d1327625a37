"""Losses over classes: cross-entropy, of logits, probabilities or their logarithms, and the KL divergence."""

from collections.abc import Callable
from typing import TypeAlias

from minidl.backend import Array, silent_overflow, xp
from minidl.ops._blocks import in_blocks
from minidl.ops._kernels._choice import fused
from minidl.ops._losses import (
    Classes,
    check_probabilities,
    check_reduction,
    log,
    narrowed,
    read_classes,
    read_target,
    reciprocal,
    reduced,
)
from minidl.ops._precision import widen
from minidl.ops._rows import maxima, sums

Result: TypeAlias = "tuple[Array, Callable[[Array], Array]]"


@fused("loss:cross_entropy")
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
    rows = widen(logits).reshape(-1, logits.shape[-1])
    exponentials = xp.empty(rows.shape, rows.dtype)
    aligned, denominators = xp.empty((2, len(rows)), rows.dtype)

    def exponentiate(block: slice) -> None:
        part = exponentials[block]
        with silent_overflow():
            xp.subtract(rows[block], maxima(rows[block]), out=part)
        aligned[block] = _aligned(part, wanted.of(block))
        denominators[block] = sums(xp.exp(part, out=part))[:, 0]

    in_blocks(rows, exponentiate)
    totals = wanted.weights if wanted.labels is not None else wanted.weights.sum(axis=-1)
    losses = totals * xp.log(denominators) - aligned
    if wanted.ignores:
        losses = xp.where(totals == 0, 0, losses)
    value, spread = reduced(losses.reshape(logits.shape[:-1]), reduction, wanted.divisor)

    def pullback(dy: Array) -> Array:
        # dlogits = (softmax(logits) sum_k q_k - q) dloss
        dlosses = spread(dy).reshape(-1)
        slopes, dlogits = (dlosses * totals / denominators)[:, None], xp.empty_like(exponentials)

        def differentiate(block: slice) -> None:
            part = xp.multiply(exponentials[block], slopes[block], out=dlogits[block])
            _subtract(part, dlosses[block], wanted.of(block))
            if wanted.ignores:
                part[totals[block] == 0] = 0

        in_blocks(rows, differentiate)
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
    counted = xp.where((q != 0).any(axis=-1, keepdims=True), p, 0)  # an ignored row may hold anything
    inside = check_probabilities(counted, owner, "cross_entropy, or CrossEntropy(from_logits=True)")
    q = xp.where(inside.all(axis=-1, keepdims=True), q, xp.nan)
    asked = xp.where(q == 0, 1, p)  # 0 log 0 = 0
    losses = 0 - (q * log(asked)).sum(axis=-1)  # a bare minus would report a perfect answer as -0
    value, spread = reduced(losses.reshape(probabilities.shape[:-1]), reduction, wanted.divisor)

    def pullback(dy: Array) -> Array:
        # dp = -q / p dloss
        dp = xp.where(q == 0, 0, -q * reciprocal(asked) * spread(dy).reshape(-1, 1))
        return narrowed(dp.reshape(probabilities.shape), probabilities.dtype)

    return value, pullback


def nll_loss(
    log_probabilities: Array,
    *,
    target: Array,
    weight: Array | None = None,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Result:
    """loss = -sum_k q_k x_k for log-probabilities x, as they come from log_softmax."""
    check_reduction(reduction, "nll_loss")
    wanted = read_classes(log_probabilities, target, weight, ignore_index, 0.0, "nll_loss")
    x = widen(log_probabilities).reshape(-1, log_probabilities.shape[-1])
    q = _dense(wanted, x.shape)
    losses = 0 - (q * xp.where(q == 0, 0, x)).sum(axis=-1)
    value, spread = reduced(losses.reshape(log_probabilities.shape[:-1]), reduction, wanted.divisor)

    def pullback(dy: Array) -> Array:
        # dx = -q dloss
        dx = xp.where(q == 0, 0, -q * spread(dy).reshape(-1, 1))
        return xp.asarray(dx.reshape(log_probabilities.shape), dtype=log_probabilities.dtype)

    return value, pullback


def kl_div(
    log_probabilities: Array, *, target: Array, log_target: bool = False, reduction: str = "mean"
) -> Result:
    """loss = sum_k t_k (log t_k - x_k) for log-probabilities x; with ``log_target`` the target is log t."""
    t = read_target(log_probabilities, target, reduction, "kl_div")
    if not t.ndim:
        raise ValueError("kl_div: expected log-probabilities (..., classes), got shape ()")
    x = widen(log_probabilities)
    t, log_t = (xp.exp(t), t) if log_target else (t, log(xp.where(t == 0, 1, t)))
    gaps = xp.where(t == 0, 0, log_t) - xp.where(t == 0, 0, x)  # 0 log 0 = 0
    value, spread = reduced((t * gaps).sum(axis=-1), reduction)

    def pullback(dy: Array) -> Array:
        # dx = -t dloss
        return xp.asarray(-t * spread(dy)[..., None], dtype=log_probabilities.dtype)

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
