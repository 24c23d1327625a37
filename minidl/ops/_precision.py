"""How half precision is computed: float16 in and out, float32 in between."""

from minidl.backend import Array, xp


def widen(x: Array) -> Array:
    """Return a float16 array as float32, and any other array as it is."""
    return x.astype(xp.float32) if x.dtype == xp.float16 else x
