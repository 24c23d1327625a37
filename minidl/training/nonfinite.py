"""Numbers that are infinite or NaN: whether a step has made any, and which layer made the first."""

from collections.abc import Iterable

from minidl.backend import Array, xp
from minidl.layers.parameter import Parameter
from minidl.optim.flat import blocks, gradients


def finite_gradients(parameters: Iterable[Parameter]) -> Array:
    """Tell whether all gradients are finite numbers, those of frozen parameters aside.

    Returns:
        A 0-d array of a boolean: looking at it waits for the GPU.

    Example:
        >>> p = Parameter([1.0, 1.0])
        >>> p.grad = [0.5, float("inf")]
        >>> bool(finite_gradients([p]))
        False
    """
    parts = [g[block] for g in gradients(parameters) for block in blocks(0, len(g))]
    flags = [xp.isfinite(part).all() for part in parts]
    return xp.asarray(xp.stack(flags).all() if flags else True)
