"""Gradient clipping, over the flat buffers where the parameters lie in them."""

from collections.abc import Iterable
from numbers import Real

from minidl import backend, threads
from minidl.backend import Array, xp
from minidl.layers.parameter import Parameter
from minidl.ops._precision import widen
from minidl.ops._rows import sums
from minidl.optim.flat import blocks, gradients, share
from minidl.optim.groups import collect

FEWEST_SHARED = 24  # blocks for which it pays to wake the other cores, with a pass over each
RUN = 1024  # squares that are added up in single precision
SAFE_SUMS = (1e-20, 1e30)  # of squares, in which single precision lost none that counts


def clip_grad_norm(parameters: Iterable[Parameter], max_norm: float) -> Array:
    """Scale all gradients by one factor so that their joint norm is at most ``max_norm``.

    The factor is ``min(1, max_norm / (norm + 1e-6))``. Frozen parameters do not count.

    Args:
        parameters: ``model.parameters()``.
        max_norm: the largest norm allowed.

    Returns:
        The L2 norm before, a 0-d array: reading it as a number waits for the GPU.

    Raises:
        TypeError: ``max_norm`` is no number.
        ValueError: it is negative or NaN.

    Source: Pascanu, Mikolov and Bengio, 2013.

    Example:
        >>> p = Parameter([1.0, 1.0])
        >>> p.grad = [3.0, 4.0]
        >>> print(clip_grad_norm([p], max_norm=1.0), p.grad)
        5.0 [0.6 0.8]
    """
    max_norm = _limit(max_norm, "clip_grad_norm", "max_norm")
    parts = [
        g[block] for g in gradients(collect(parameters, "clip_grad_norm")) for block in blocks(0, len(g))
    ]
    if not parts:
        return xp.zeros((), xp.float32)
    with threads.single_threaded_blas():  # its workers would spin on the cores that the next step needs
        norm = xp.sqrt(sum(share(_sum_of_squares, parts, FEWEST_SHARED)))
    factor = xp.minimum(max_norm / (norm + 1e-6), 1.0)

    def scale(part: Array) -> None:
        part *= factor.astype(widen(part[:0]).dtype)

    share(scale, parts, FEWEST_SHARED)
    dtype = widen(parts[0][:0]).dtype
    return xp.asarray(xp.where(norm > xp.finfo(dtype).max, xp.inf, norm), dtype=dtype)


def _sum_of_squares(part: Array) -> Array:
    """Add up runs in single precision, and these in double; all in double where a square may overflow."""
    if backend.CORES and part.dtype == xp.float32:  # a GPU would have to be waited for
        line = part.reshape(-1)
        runs, rest = line[: line.size // RUN * RUN].reshape(-1, RUN), line[line.size // RUN * RUN :]
        total = xp.asarray(sums(runs, runs).sum(dtype=xp.float64) + xp.vdot(rest, rest))
        if SAFE_SUMS[0] < total < SAFE_SUMS[1]:
            return total
    wide = part.astype(xp.float64)
    return xp.asarray(xp.vdot(wide, wide))


def _limit(limit: float, owner: str, name: str) -> float:
    if isinstance(limit, bool) or not isinstance(limit, Real):
        raise TypeError(f"{owner}: expected {name} as a number, got {type(limit).__name__}")
    if not limit >= 0:
        raise ValueError(f"{owner}: expected {name} >= 0, got {limit}")
    return float(limit)


def clip_grad_value(parameters: Iterable[Parameter], max_value: float) -> None:
    """Bring each element of all gradients into ``[-max_value, max_value]``.

    Raises:
        TypeError: ``max_value`` is no number.
        ValueError: it is negative or NaN.

    Example:
        >>> p = Parameter([1.0, 1.0])
        >>> p.grad = [3.0, -0.25]
        >>> clip_grad_value([p], max_value=0.5)
        >>> p.grad
        array([ 0.5 , -0.25], dtype=float32)
    """
    max_value = _limit(max_value, "clip_grad_value", "max_value")
    for g in gradients(collect(parameters, "clip_grad_value")):
        xp.clip(g, -max_value, max_value, out=g)
