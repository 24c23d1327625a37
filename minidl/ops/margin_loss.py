"""Losses with a margin: what is right by more than the margin costs nothing and has no gradient."""

import math
from collections.abc import Callable
from typing import TypeAlias

from minidl.backend import Array, check_array, check_float, check_shape, silent_overflow, violated, xp
from minidl.ops._losses import check_reduction, read_classes, read_target, reciprocal, reduced, wide_dtype
from minidl.ops._options import read_number
from minidl.ops._precision import widen

Result: TypeAlias = "tuple[Array, Callable[[Array], Array]]"


def hinge_loss(prediction: Array, *, target: Array, margin: float = 1.0, reduction: str = "mean") -> Result:
    """loss = max(0, margin - t x) for targets t of -1 and 1."""
    t = _signs(read_target(prediction, target, reduction, "hinge_loss"), "hinge_loss")
    margin = read_number(margin, "margin", "hinge_loss")
    short = xp.asarray(margin - t * widen(prediction))
    value, spread = reduced(xp.maximum(short, 0), reduction)

    def pullback(dy: Array) -> Array:
        # dx = -t dloss where the margin is not reached
        return xp.asarray(-t * (short > 0) * spread(dy), dtype=prediction.dtype)

    return value, pullback


def multi_margin_loss(
    scores: Array,
    *,
    target: Array,
    p: int = 1,
    margin: float = 1.0,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Result:
    """loss = w_t sum_(k != t) max(0, margin - x_t + x_k)^p / K for the label t of each row."""
    owner = "multi_margin_loss"
    check_reduction(reduction, owner)
    p, margin = check_power(p, owner), read_number(margin, "margin", owner)
    wanted = read_classes(scores, target, weight, None, 0.0, owner)
    if wanted.labels is None:
        raise ValueError(
            f"{owner}: expected labels of shape {scores.shape[:-1]}, got a target of {target.shape}"
        )
    classes = scores.shape[-1]
    x = widen(scores).reshape(-1, classes)
    place = (xp.arange(len(x)), wanted.labels)
    short = xp.maximum(x - (x[place] - margin)[:, None], 0)
    short[place] = 0
    scale = wanted.weights / classes
    value, spread = reduced((scale * (short**p).sum(axis=-1)).reshape(scores.shape[:-1]), reduction)

    def pullback(dy: Array) -> Array:
        # dx_k = w_t p max(0, margin - x_t + x_k)^(p - 1) / K dloss, dx_t = -sum_(k != t) dx_k
        slope = 2 * short if p == 2 else (short > 0).astype(short.dtype)
        dx = slope * (scale * spread(dy).reshape(-1))[:, None]
        dx[place] = -dx.sum(axis=-1)
        return xp.asarray(dx.reshape(scores.shape), dtype=scores.dtype)

    return value, pullback


def cosine_embedding_loss(
    first: Array, second: Array, *, target: Array, margin: float = 0.0, reduction: str = "mean"
) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    """loss = 1 - cos for pairs that belong together (t = 1), max(0, cos - margin) for others (t = -1)."""
    owner = "cosine_embedding_loss"
    _check_vectors((first, second), reduction, owner)
    margin = read_number(margin, "margin", owner)
    check_array(target, owner, "the target as an array")
    check_shape(target, first.shape[:-1], f"{owner}: target")
    together = _signs(target.astype(wide_dtype(first), copy=False), owner)
    (unit_a, inverse_a), (unit_b, inverse_b) = _unit(widen(first)), _unit(widen(second))
    cosine = (unit_a * unit_b).sum(axis=-1)
    apart = xp.maximum(cosine - margin, 0) * xp.abs(together)  # keeps the NaN of a target that is no sign
    value, spread = reduced(xp.where(together > 0, 1 - cosine, apart), reduction)

    def pullback(dy: Array) -> tuple[Array, Array]:
        # dcos = -dloss or dloss, da = dcos (b / |b| - cos a / |a|) / |a|, and db alike
        dcosine = xp.where(together > 0, -1, (cosine > margin) * xp.abs(together)) * spread(dy)
        da = (unit_b - cosine[..., None] * unit_a) * (dcosine * inverse_a)[..., None]
        db = (unit_a - cosine[..., None] * unit_b) * (dcosine * inverse_b)[..., None]
        return da.astype(first.dtype, copy=False), db.astype(second.dtype, copy=False)

    return value, pullback


def triplet_margin_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    *,
    margin: float = 1.0,
    p: float = 2.0,
    reduction: str = "mean",
) -> tuple[Array, Callable[[Array], tuple[Array, Array, Array]]]:
    """loss = max(0, |anchor - positive| - |anchor - negative| + margin), p-norms over the last axis."""
    owner = "triplet_margin_loss"
    _check_vectors((anchor, positive, negative), reduction, owner)
    p, margin = check_norm(p, owner), read_number(margin, "margin", owner)
    near, near_slope = _distance(anchor, positive, p)
    far, far_slope = _distance(anchor, negative, p)
    short = xp.asarray(near - far + margin)
    value, spread = reduced(xp.maximum(short, 0), reduction)

    def pullback(dy: Array) -> tuple[Array, Array, Array]:
        # danchor = (near' - far') dloss, dpositive = -near' dloss, dnegative = far' dloss
        g = ((short > 0) * spread(dy))[..., None]
        dnear, dfar = near_slope() * g, far_slope() * g
        dtype = anchor.dtype
        return (
            (dnear - dfar).astype(dtype, copy=False),
            (-dnear).astype(dtype, copy=False),
            dfar.astype(dtype, copy=False),
        )

    return value, pullback


def check_power(p: int, owner: str) -> int:
    """Return 1 or 2; refuse all else."""
    if p not in (1, 2):
        raise ValueError(f"{owner}: expected p as 1 or 2, got {p}")
    return int(p)


def check_norm(p: float, owner: str) -> float:
    """Return the p of a p-norm as a Python float."""
    number = read_number(p, "p", owner)
    if not 1 <= number < math.inf:
        raise ValueError(f"{owner}: expected p >= 1 and finite, got {p}")
    return number


def _distance(a: Array, b: Array, p: float) -> tuple[Array, Callable[[], Array]]:
    """Return |a - b| in the p-norm over the last axis, and its derivative by a: 0 where both are equal."""
    difference = widen(a) - widen(b)
    distance = (abs(difference) ** p).sum(axis=-1) ** (1 / p)

    def slope() -> Array:
        # |d|' = sign(d) (|d| / distance)^(p - 1)
        length = xp.where(distance == 0, 1, distance)[..., None]
        return xp.asarray(xp.sign(difference) * (abs(difference) / length) ** (p - 1))

    return xp.asarray(distance), slope


def _unit(a: Array) -> tuple[Array, Array]:
    """Return a / |a| and 1 / |a| over the last axis; 0 for a vector of zeros: its cosine with anything is 0.

    The largest entry is divided out first, so that no square is too large or too small for its dtype.
    """
    if not a.size:
        return a, xp.zeros(a.shape[:-1], dtype=a.dtype)
    largest = abs(a).max(axis=-1, keepdims=True)
    a = a / xp.where(largest == 0, 1, largest)
    length = xp.sqrt((a * a).sum(axis=-1, keepdims=True))
    with silent_overflow():
        inverse = xp.where(largest == 0, 0, reciprocal(largest * length))
    return a / xp.where(length == 0, 1, length), inverse[..., 0]


def _signs(target: Array, owner: str) -> Array:
    """Refuse targets other than -1 and 1; see ``violated`` for the GPU, where they become NaN."""
    inside = xp.asarray(abs(target) == 1)
    if violated(inside):
        raise ValueError(
            f"{owner}: expected targets of -1 and 1, got {target[~inside][0]}; "
            "of labels 0 and 1 make 2 * labels - 1"
        )
    return xp.where(inside, target, xp.nan)


def _check_vectors(arrays: tuple[Array, ...], reduction: str, owner: str) -> None:
    """Refuse arrays that are not vectors of one shape and dtype."""
    check_reduction(reduction, owner)
    for array in arrays:
        check_float(array, owner)
        if not array.ndim:
            raise ValueError(f"{owner}: expected vectors (..., D), got shape ()")
        check_shape(array, arrays[0].shape, owner)
        if array.dtype != arrays[0].dtype:
            raise TypeError(f"{owner}: expected {arrays[0].dtype} like the first argument, got {array.dtype}")
