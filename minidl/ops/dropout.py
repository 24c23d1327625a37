"""Dropout: random elements become zero, the others grow so that the expectation stays."""

from collections.abc import Callable
from typing import TypeAlias

from minidl.backend import Array, check_float, random_lanes, xp
from minidl.ops._kernels._choice import fused
from minidl.ops._options import read_number
from minidl.ops._precision import widen

Result: TypeAlias = "tuple[Array, Callable[[Array], Array]]"

LEVELS = 65536  # a mask compares 16-bit numbers, so p is rounded to a multiple of 1 / 65536


@fused("dropout:dropout")
def dropout(x: Array, *, p: float = 0.5, seed: int, counter: int = 0) -> Result:
    """y = x / (1 - p) with probability 1 - p, else 0; the mask depends on the seed and the counter alone."""
    check_float(x, "dropout")
    p = check_probability(p, "dropout")
    levels = max(
        1, round((1 - p) * LEVELS)
    )  # how many of the 16-bit numbers stand for an element that is kept
    if levels == LEVELS:
        return x, lambda dy: dy
    kept = (random_lanes(seed, counter, x.size) < levels).reshape(x.shape)
    scale = LEVELS / levels

    def masked(a: Array) -> Array:
        return xp.asarray(widen(a) * kept * scale, dtype=a.dtype)

    def pullback(dy: Array) -> Array:
        # dx = dy / (1 - p) where x was kept, 0 elsewhere
        return masked(dy)

    return masked(x), pullback


def check_probability(p: float, owner: str) -> float:
    """Return a probability as a Python float; refuse everything but a number from 0 to below 1."""
    number = read_number(p, "p", owner)
    if not 0 <= number < 1:
        raise ValueError(f"{owner}: expected 0 <= p < 1, got {p}")
    return number
