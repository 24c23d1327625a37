"""Matrix products."""

from typing import Any

from minidl import ops
from minidl.backend import Array
from minidl.tensor import Tensor, apply


def linear(x: Array | Tensor, weight: Array | Tensor, bias: Array | Tensor | None = None) -> Any:
    """Map the last axis by a matrix, and add a bias.

    ``y = x weight + bias``

    Args:
        x: ``(..., in)``.
        weight: ``(in, out)``.
        bias: ``(out,)``, or nothing.

    Returns:
        ``(..., out)`` in the dtype of ``x``.

    Raises:
        TypeError: not an array, not floating-point, or weights of another dtype.
        ValueError: shapes that do not fit.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> weight = minidl.asarray([[1.0, 0.0], [0.0, 2.0]])
        >>> F.linear(minidl.asarray([[1.0, 1.0]]), weight, minidl.asarray([0.0, 1.0]))
        array([[1., 3.]], dtype=float32)
    """
    return apply(ops.linear, x, weight, bias)


def matmul(x: Array | Tensor, other: Array | Tensor) -> Any:
    """Multiply matrices, or stacks of them.

    ``y = x @ other``, with the broadcasting of NumPy; the gradient is summed over repeated stacks.

    Args:
        x: ``(..., n, k)``, or a vector ``(k,)``.
        other: ``(..., k, m)``, or a vector ``(k,)``.

    Returns:
        ``(..., n, m)``, without the axis that a vector does not have.

    Raises:
        TypeError: not an array, or not of floating-point numbers.
        ValueError: shapes that do not fit.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.matmul(minidl.asarray([[1.0, 2.0]]), minidl.asarray([[3.0], [4.0]]))
        array([[11.]], dtype=float32)
    """
    return apply(ops.matmul, x, other)
