"""Activations that weigh the input by how large it is, and other smooth relatives of ReLU."""

import math
from collections.abc import Callable
from typing import TypeAlias

from minidl.backend import Array, check_axis, check_float, erf, xp
from minidl.ops._options import check_number
from minidl.ops._precision import exponent_reach, widen
from minidl.ops.activation import sigmoid

Result: TypeAlias = "tuple[Array, Callable[[Array], Array]]"

# Beyond this both forms of GELU are 0 or x in every dtype; squares and cubes of larger ones may overflow.
GELU_REACH = 40.0


def gelu(x: Array, *, approximate: str = "none") -> Result:
    """y = x P(z < x) for a standard normal z; ``approximate="tanh"`` replaces P by a tanh."""
    check_float(x, "gelu")
    check_approximate(approximate, "gelu")
    wide = widen(x)
    share, rise = _normal_share(wide) if approximate == "none" else _tanh_share(wide)

    def pullback(dy: Array) -> Array:
        # dx = dy (P + x P')
        dx = rise()
        dx += share
        dx *= dy
        return dx.astype(x.dtype, copy=False)

    return xp.asarray(wide * share, dtype=x.dtype), pullback


def check_approximate(approximate: str, owner: str) -> None:
    """Refuse any form of GELU that does not exist."""
    if approximate not in ("none", "tanh"):
        raise ValueError(f'{owner}: expected approximate as "none" or "tanh", got {approximate!r}')


def _normal_share(x: Array) -> tuple[Array, Callable[[], Array]]:
    """Return P = (1 + erf(x / sqrt 2)) / 2, and the function that gives x P', a new array."""
    share = erf(x * math.sqrt(0.5))
    share += 1
    share *= 0.5

    def rise() -> Array:
        near = xp.clip(x, -GELU_REACH, GELU_REACH)
        y = xp.asarray(near * near)
        y *= -0.5
        xp.exp(y, out=y)
        y *= 1 / math.sqrt(2 * math.pi)
        y *= near
        return y

    return share, rise


def _tanh_share(x: Array) -> tuple[Array, Callable[[], Array]]:
    """Return P = (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, and what gives x P'."""
    scale, near = math.sqrt(2 / math.pi), xp.clip(x, -GELU_REACH, GELU_REACH)
    t = xp.tanh(scale * near * (1 + 0.044715 * near * near))

    def rise() -> Array:
        return xp.asarray((1 - t * t) / 2 * scale * near * (1 + 3 * 0.044715 * near * near))

    return (1 + t) / 2, rise


def silu(x: Array) -> Result:
    """y = x sigmoid(x)."""
    check_float(x, "silu")
    wide = widen(x)
    share = sigmoid(wide)[0]

    def pullback(dy: Array) -> Array:
        # dx = dy s (1 + x (1 - s)) with s = sigmoid(x)
        return xp.asarray(dy * (share * (1 + wide * (1 - share))), dtype=x.dtype)

    return xp.asarray(wide * share, dtype=x.dtype), pullback


def mish(x: Array) -> Result:
    """y = x tanh(softplus(x))."""
    check_float(x, "mish")
    wide = widen(x)
    t = xp.tanh(softplus(wide)[0])

    def pullback(dy: Array) -> Array:
        # dx = dy (t + x (1 - t^2) sigmoid(x)) with t = tanh(softplus(x))
        return xp.asarray(dy * (t + wide * (1 - t * t) * sigmoid(wide)[0]), dtype=x.dtype)

    return xp.asarray(wide * t, dtype=x.dtype), pullback


def softplus(x: Array, *, beta: float = 1.0) -> Result:
    """y = log(1 + e^(beta x)) / beta, which is close to x or to 0 where e^(beta x) would overflow."""
    check_float(x, "softplus")
    beta = check_number(beta, "beta", "softplus", above=0)
    wide = widen(x)
    reach = exponent_reach(1 / beta, wide)
    steep = xp.asarray(beta * xp.minimum(xp.maximum(wide, -reach), reach))
    y = xp.maximum(wide, 0) + xp.log1p(xp.exp(-abs(steep))) / beta

    def pullback(dy: Array) -> Array:
        # dx = dy sigmoid(beta x)
        return xp.asarray(dy * sigmoid(steep)[0], dtype=x.dtype)

    return xp.asarray(y, dtype=x.dtype), pullback


def softsign(x: Array) -> Result:
    """y = x / (1 + |x|)."""
    check_float(x, "softsign")
    wide = widen(x)
    shrink = 1 / (1 + abs(wide))

    def pullback(dy: Array) -> Array:
        # dx = dy / (1 + |x|)^2
        return xp.asarray(dy * shrink * shrink, dtype=x.dtype)

    return xp.asarray(wide * shrink, dtype=x.dtype), pullback


def glu(x: Array, *, axis: int = -1) -> Result:
    """y = a sigmoid(b), where a and b are the two halves of x along the axis."""
    check_float(x, "glu")
    axis = check_axis(axis, x.ndim, "glu")
    length = x.shape[axis]
    if length % 2:
        raise ValueError(f"glu: expected an even length along axis {axis}, got shape {x.shape}")
    before = (slice(None),) * axis
    a, b = x[(*before, slice(length // 2))], x[(*before, slice(length // 2, None))]
    gate = sigmoid(b)[0]

    def pullback(dy: Array) -> Array:
        # da = dy s, db = dy a s (1 - s) with s = sigmoid(b)
        da = dy * gate
        return xp.concatenate([da, da * a * (1 - gate)], axis=axis)

    return a * gate, pullback
