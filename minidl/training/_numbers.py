"""Single numbers as they come out of a training step: on the device, where nobody waits for them."""

from typing import Any

from minidl.backend import Array, to_numpy, xp
from minidl.ops._options import read_number
from minidl.tensor import Tensor


def one_number(value: Any, name: str, owner: str) -> Array | float:
    """Return a number of the host as a float, and one of the device as a float64 copy that stays there.

    Raises:
        TypeError: it is no real number.
        ValueError: it is an array of more than one.
    """
    if isinstance(value, Tensor):
        value = value.data
    if not isinstance(value, xp.ndarray):
        return read_number(value, name, owner)
    if value.shape:
        raise ValueError(
            f"{owner}: expected {name} as one number, got an array of shape {value.shape}; "
            f"take its mean, or the loss with reduction='mean'"
        )
    if value.dtype.kind not in "biuf":
        raise TypeError(f"{owner}: expected {name} as a real number, got {value.dtype}")
    return value.astype(xp.float64)


def as_float(value: Array | float) -> float:
    """Return what `one_number` returned as a Python float; this waits for the GPU."""
    return float(to_numpy(value))
