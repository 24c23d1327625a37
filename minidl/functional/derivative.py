"""Derivatives of whole functions: the pullback of any composition, and its Jacobian."""

from collections.abc import Callable
from typing import Any

from minidl.backend import Array, check_float, xp
from minidl.tensor import vjp as vjp


def jacobian(f: Callable[[Any], Any], x: Array, per_sample: bool = False) -> Array:
    """Return the matrix of all first derivatives of a function built from ``minidl.functional`` and layers.

    It is put together row by row, one pullback for each element of the result (of one sample,
    ``per_sample``).

    Args:
        f: takes a Tensor and returns a Tensor.
        x: floating-point; ``(N, ...)`` where ``per_sample``.
        per_sample: the function treats each sample alone: give the derivatives within each one.

    Returns:
        ``y.shape + x.shape``; where ``per_sample``, ``(N, *y.shape[1:], *x.shape[1:])``.

    Raises:
        TypeError: ``x`` is not an array of floating-point numbers.
        ValueError: ``per_sample``, and the result does not have N rows.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> jacobian(F.softmax, minidl.asarray([1.0, 2.0]))
        array([[ 0.19661193, -0.19661193],
               [-0.19661193,  0.19661193]], dtype=float32)
    """
    check_float(x, "jacobian")
    y, pullback = vjp(f, x)
    if per_sample and (not x.ndim or not y.ndim or len(y) != len(x)):
        raise ValueError(
            f"jacobian: expected (N, ...) to (N, ...) for per_sample, got {x.shape} to {y.shape}"
        )
    inner = y.shape[1:] if per_sample else y.shape
    rows = []
    for index in xp.ndindex(*inner):
        dy = xp.zeros_like(y)
        dy[(slice(None), *index) if per_sample else index] = 1
        rows.append(pullback(dy))
    if not rows:
        return xp.zeros((*y.shape, *(x.shape[1:] if per_sample else x.shape)), dtype=x.dtype)
    table = xp.stack(rows, axis=1 if per_sample else 0)
    return table.reshape(*y.shape, *(x.shape[1:] if per_sample else x.shape))
