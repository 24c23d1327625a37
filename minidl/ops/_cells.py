"""The cells of recurrent networks: one step in time, after the products with the weights.

A cell takes the products ``a = x w_ih + b_ih`` and ``b = h w_hh + b_hh`` and the state before. It returns the
state after and its pullback, which gives the gradients of a, b, and the state where it is used directly.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from minidl.backend import Array, xp
from minidl.ops.activation import sigmoid

State: TypeAlias = tuple[Array, ...]
Cell: TypeAlias = Callable[..., "tuple[State, Callable[[State], tuple[Any, ...]]]"]


def tanh_cell(a: Array, b: Array, h: Array) -> Any:
    """h' = tanh(a + b)."""
    new = xp.tanh(a + b)

    def pullback(dstate: State) -> tuple[Any, ...]:
        # da = db = dh' (1 - h'^2)
        da = dstate[0] * (1 - new * new)
        return da, da, (0.0,)

    return (new,), pullback


def relu_cell(a: Array, b: Array, h: Array) -> Any:
    """h' = max(a + b, 0)."""
    new = xp.maximum(a + b, 0)

    def pullback(dstate: State) -> tuple[Any, ...]:
        # da = db = dh' [h' > 0]
        da = dstate[0] * (new > 0)
        return da, da, (0.0,)

    return (new,), pullback


def lstm_cell(a: Array, b: Array, h: Array, c: Array) -> Any:
    """c' = f c + i g, h' = o tanh(c') with i, f, g, o = a + b, through tanh for g, else sigmoid."""
    i, f, g, o = _split(a + b, 4)
    i, f, o = (sigmoid(gate)[0] for gate in (i, f, o))
    g = xp.tanh(g)
    new = f * c + i * g
    t = xp.tanh(new)

    def pullback(dstate: State) -> tuple[Any, ...]:
        # dc' += dh' o (1 - t^2) with t = tanh(c'); then each gate s by s (1 - s), g by 1 - g^2; dc = dc' f
        dh, dc = dstate
        dnew = dc + dh * o * (1 - t * t)
        di, df, do = dnew * g * i * (1 - i), dnew * c * f * (1 - f), dh * t * o * (1 - o)
        da = xp.concatenate([di, df, dnew * i * (1 - g * g), do], axis=-1)
        return da, da, (0.0, dnew * f)

    return (o * t, new), pullback


def gru_cell(a: Array, b: Array, h: Array) -> Any:
    """h' = (1 - z) n + z h, with gates r, z = sigmoid(a + b) and n = tanh(a_n + r b_n)."""
    (ar, az, an), (br, bz, bn) = _split(a, 3), _split(b, 3)
    r, z = sigmoid(ar + br)[0], sigmoid(az + bz)[0]
    n = xp.tanh(an + r * bn)

    def pullback(dstate: State) -> tuple[Any, ...]:
        # dn = dh' (1 - z) (1 - n^2), dz = dh' (h - n) z (1 - z), dr = dn b_n r (1 - r); dh = dh' z
        dh = dstate[0]
        dn = dh * (1 - z) * (1 - n * n)
        dz, dr = dh * (h - n) * z * (1 - z), dn * bn * r * (1 - r)
        return xp.concatenate([dr, dz, dn], axis=-1), xp.concatenate([dr, dz, dn * r], axis=-1), (dh * z,)

    return ((1 - z) * n + z * h,), pullback


def _split(gates: Array, count: int) -> list[Array]:
    width = gates.shape[-1] // count
    return [gates[..., i * width : (i + 1) * width] for i in range(count)]
