"""Gradient clipping, over the flat buffers where the parameters lie in them."""

from collections.abc import Iterable

from minidl.backend import Array, xp
from minidl.layers.parameter import Parameter
from minidl.ops._precision import widen
from minidl.optim.flat import blocks, gradients
from minidl.optim.groups import collect


def clip_grad_norm(parameters: Iterable[Parameter], max_norm: float) -> Array:
    """Scale all gradients by one factor so that their joint norm is at most ``max_norm``.

    The factor is ``min(1, max_norm / (norm + 1e-6))``. Frozen parameters do not count.

    Args:
        parameters: ``model.parameters()``.
        max_norm: the largest norm allowed.

    Returns:
        The L2 norm before, a 0-d array: reading it as a number waits for the GPU.

    Raises:
        ValueError: ``max_norm`` is negative or NaN.

    Source: Pascanu, Mikolov and Bengio, 2013.

    Example:
        >>> p = Parameter([1.0, 1.0])
        >>> p.grad = [3.0, 4.0]
        >>> print(clip_grad_norm([p], max_norm=1.0), p.grad)
        5.0 [0.6 0.8]
    """
    if not max_norm >= 0:
        raise ValueError(f"clip_grad_norm: expected max_norm >= 0, got {max_norm}")
    parts = [
        g[block] for g in gradients(collect(parameters, "clip_grad_norm")) for block in blocks(0, len(g))
    ]
    if not parts:
        return xp.zeros((), xp.float32)
    squares = [xp.vdot(wide, wide) for wide in map(widen, parts)]
    norm = xp.sqrt(sum(square.astype(xp.float64) for square in squares)).astype(squares[0].dtype)
    factor = xp.minimum(max_norm / (norm + 1e-6), 1.0)
    for part in parts:
        part *= factor
    return xp.asarray(norm)


def clip_grad_value(parameters: Iterable[Parameter], max_value: float) -> None:
    """Bring each element of all gradients into ``[-max_value, max_value]``.

    Raises:
        ValueError: ``max_value`` is negative or NaN.

    Example:
        >>> p = Parameter([1.0, 1.0])
        >>> p.grad = [3.0, -0.25]
        >>> clip_grad_value([p], max_value=0.5)
        >>> p.grad
        array([ 0.5 , -0.25], dtype=float32)
    """
    if not max_value >= 0:
        raise ValueError(f"clip_grad_value: expected max_value >= 0, got {max_value}")
    for g in gradients(collect(parameters, "clip_grad_value")):
        xp.clip(g, -max_value, max_value, out=g)
