"""How mixed and half precision are computed: float16 in and out, float32 in between."""

from minidl.backend import Array, check_float, xp


def widen(x: Array) -> Array:
    """Return a float16 array as float32, and any other array as it is."""
    return x.astype(xp.float32) if x.dtype == xp.float16 else x


def exponent_reach(width: float, x: Array) -> float:
    """Return the r from which on e^(-r / width) is 0 in every dtype: no quotient needs an x beyond."""
    return min(1000 * width, float(xp.finfo(x.dtype).max))


def check_operands(x: Array, w: Array, owner: str) -> None:
    """Refuse an input whose dtype is not that of the weights it meets."""
    check_float(x, owner)
    check_float(w, owner)
    if x.dtype != w.dtype:
        raise TypeError(
            f"{owner}: expected {w.dtype} like the weights, got {x.dtype}; "
            f'use minidl.asarray(x, "{w.dtype}") or model.astype("{x.dtype}")'
        )
