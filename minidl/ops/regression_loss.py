"""Losses of a difference: squared, absolute, and in between; each is given with its slope."""

from collections.abc import Callable
from typing import TypeAlias

from minidl.backend import Array, xp
from minidl.ops._losses import read_target, reduced
from minidl.ops._options import read_number

Result: TypeAlias = "tuple[Array, Callable[[Array], Array]]"
Map: TypeAlias = "Callable[[Array], Array]"


def mse_loss(prediction: Array, *, target: Array, reduction: str = "mean") -> Result:
    """loss = d^2 with d = prediction - target, element by element."""
    return _of_difference(prediction, target, reduction, "mse_loss", lambda d: d * d, lambda d: 2 * d)


def l1_loss(prediction: Array, *, target: Array, reduction: str = "mean") -> Result:
    """loss = |d| with d = prediction - target, with slope 0 at 0."""
    return _of_difference(prediction, target, reduction, "l1_loss", abs, xp.sign)


def huber_loss(prediction: Array, *, target: Array, delta: float = 1.0, reduction: str = "mean") -> Result:
    """loss = d^2 / 2 up to |d| = delta, and from there delta (|d| - delta / 2)."""
    delta = check_delta(delta, "huber_loss")
    return _of_difference(
        prediction,
        target,
        reduction,
        "huber_loss",
        lambda d: _huber(d, delta),
        lambda d: xp.clip(d, -delta, delta),
    )


def smooth_l1_loss(prediction: Array, *, target: Array, beta: float = 1.0, reduction: str = "mean") -> Result:
    """loss = d^2 / (2 beta) up to |d| = beta, and from there |d| - beta / 2."""
    beta = check_beta(beta, "smooth_l1_loss")
    return _of_difference(
        prediction,
        target,
        reduction,
        "smooth_l1_loss",
        lambda d: _huber(d, beta) / beta,
        lambda d: xp.clip(d / beta, -1, 1),
    )


def check_delta(delta: float, owner: str) -> float:
    """Return the difference at which Huber's loss becomes a straight line."""
    number = read_number(delta, "delta", owner)
    if not number > 0:
        raise ValueError(f"{owner}: expected delta > 0, got {delta}")
    return number


def check_beta(beta: float, owner: str) -> float:
    """Return the difference at which the smooth loss becomes a straight line."""
    number = read_number(beta, "beta", owner)
    if not number > 0:
        raise ValueError(f"{owner}: expected beta > 0, got {beta}; with none of it, use l1_loss")
    return number


def _huber(d: Array, delta: float) -> Array:
    bounded = xp.minimum(abs(d), delta)
    return xp.asarray(bounded * (abs(d) - bounded / 2))


def _of_difference(
    prediction: Array, target: Array, reduction: str, owner: str, loss: Map, slope: Map
) -> Result:
    """Report ``loss(prediction - target)``; ``slope`` is its derivative."""
    target = read_target(prediction, target, reduction, owner)
    difference = xp.asarray(prediction - target)
    value, spread = reduced(xp.asarray(loss(difference)), reduction)

    def pullback(dy: Array) -> Array:
        # dprediction = slope(prediction - target) dloss
        return xp.asarray(slope(difference) * spread(dy), dtype=prediction.dtype)

    return value, pullback
