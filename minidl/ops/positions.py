"""Positions: what tells the steps of a sequence apart."""

import math
from collections.abc import Callable
from typing import TypeAlias

from minidl.backend import Array, check_float, xp
from minidl.ops._options import check_number
from minidl.ops._precision import check_operands, widen

Result: TypeAlias = "tuple[Array, Callable[[Array], Array]]"


def learned_positions(x: Array, w: Array) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    """y_t = x_t + w_t: (N, T, C) with weights (L, C), T of which are used."""
    check_operands(x, w, "learned_positions")
    if w.ndim != 2 or x.ndim != 3 or x.shape[2] != w.shape[1]:
        raise ValueError(f"learned_positions: expected (N, T, C) and (L, C), got {x.shape} and {w.shape}")
    steps = x.shape[1]
    if steps > len(w):
        raise ValueError(f"learned_positions: expected at most {len(w)} steps, got {x.shape}")

    def pullback(dy: Array) -> tuple[Array, Array]:
        # dx = dy, dw_t = sum of dy_t over the samples
        dw = xp.zeros(w.shape, dtype=w.dtype)
        dw[:steps] = widen(dy).sum(axis=0)
        return dy, dw

    return x + w[:steps], pullback


def sinusoidal_positions(x: Array, *, base: float = 10000.0) -> Result:
    """y_(t, 2i) = x + sin(t / base^(2i / C)), y_(t, 2i + 1) = x + cos(t / base^(2i / C))."""
    steps, features = _check_features(x, base, "sinusoidal_positions")
    angles = _angles(steps, features, base)
    table = xp.stack([xp.sin(angles), xp.cos(angles)], axis=-1).reshape(steps, features)

    def pullback(dy: Array) -> Array:
        # dx = dy
        return dy

    return x + table.astype(x.dtype), pullback


def rotary_positions(x: Array, *, base: float = 10000.0) -> Result:
    """y_t = x_t with each pair (i, i + D / 2) of the last axis turned by t / base^(2i / D)."""
    steps, features = _check_features(x, base, "rotary_positions")
    angles = _angles(steps, features, base)
    wide = widen(x)
    cos, sin = xp.cos(angles).astype(wide.dtype), xp.sin(angles).astype(wide.dtype)

    def turned(a: Array, sin: Array) -> Array:
        first, second = a[..., : features // 2], a[..., features // 2 :]
        both = [first * cos - second * sin, second * cos + first * sin]
        return xp.concatenate(both, axis=-1).astype(x.dtype, copy=False)

    def pullback(dy: Array) -> Array:
        # dx = dy turned back
        return turned(widen(dy), -sin)

    return turned(wide, sin), pullback


def _angles(steps: int, features: int, base: float) -> Array:
    """Return t / base^(2i / D) for each step and each pair, in double precision: t may be large."""
    rates = xp.exp(xp.arange(features // 2) * (-2 * math.log(base) / max(1, features)))
    return xp.asarray(xp.arange(steps)[:, None] * rates)


def _check_features(x: Array, base: float, owner: str) -> tuple[int, int]:
    """Refuse what has no steps of pairs; return how many steps and features there are."""
    check_float(x, owner)
    check_number(base, "base", owner, above=0)
    if x.ndim < 2 or x.shape[-1] % 2:
        raise ValueError(f"{owner}: expected (..., T, D) with an even D, got {x.shape}")
    return x.shape[-2], x.shape[-1]
