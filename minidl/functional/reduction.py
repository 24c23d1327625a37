"""Reductions: sums, means and extremes over one axis, several, or all."""

from typing import Any

from minidl import ops
from minidl.backend import Array
from minidl.ops.reduction import Axis
from minidl.tensor import Tensor, apply


def sum(x: Array | Tensor, axis: Axis = None, keepdims: bool = False) -> Any:
    """Add up along axes.

    ``y = sum_i x_i``; the gradient is repeated along the axes.

    Args:
        x: any shape, floating-point.
        axis: an axis, several, or ``None`` for all.
        keepdims: keep the reduced axes, with length 1.

    Returns:
        The shape of ``x`` without the reduced axes.

    Raises:
        TypeError: not an array, or not of floating-point numbers.
        ValueError: an axis out of range, or named twice.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.sum(minidl.asarray([[1.0, 2.0], [3.0, 4.0]]), axis=0)
        array([4., 6.], dtype=float32)
    """
    return apply(ops.sum, x, axis=axis, keepdims=keepdims)


def mean(x: Array | Tensor, axis: Axis = None, keepdims: bool = False) -> Any:
    """Average along axes.

    ``y = (sum_i x_i) / count``; of no numbers at all, NaN.

    Args:
        x: any shape, floating-point.
        axis: an axis, several, or ``None`` for all.
        keepdims: keep the reduced axes, with length 1.

    Returns:
        The shape of ``x`` without the reduced axes.

    Raises:
        TypeError: not an array, or not of floating-point numbers.
        ValueError: an axis out of range, or named twice.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.mean(minidl.asarray([[1.0, 2.0], [3.0, 4.0]]), axis=0)
        array([2., 3.], dtype=float32)
    """
    return apply(ops.mean, x, axis=axis, keepdims=keepdims)


def max(x: Array | Tensor, axis: Axis = None, keepdims: bool = False) -> Any:
    """Take the largest along axes.

    ``y = max_i x_i``; of equal ones the first, in C order, takes the whole gradient.

    Args:
        x: any shape, floating-point.
        axis: an axis, several, or ``None`` for all.
        keepdims: keep the reduced axes, with length 1.

    Returns:
        The shape of ``x`` without the reduced axes.

    Raises:
        TypeError: not an array, or not of floating-point numbers.
        ValueError: an axis out of range, or named twice.
        ValueError: nothing along the axes.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.max(minidl.asarray([[1.0, 4.0], [3.0, 2.0]]), axis=0)
        array([3., 4.], dtype=float32)
    """
    return apply(ops.max, x, axis=axis, keepdims=keepdims)


def min(x: Array | Tensor, axis: Axis = None, keepdims: bool = False) -> Any:
    """Take the smallest along axes.

    ``y = min_i x_i``; of equal ones the first, in C order, takes the whole gradient.

    Args:
        x: any shape, floating-point.
        axis: an axis, several, or ``None`` for all.
        keepdims: keep the reduced axes, with length 1.

    Returns:
        The shape of ``x`` without the reduced axes.

    Raises:
        TypeError: not an array, or not of floating-point numbers.
        ValueError: an axis out of range, or named twice.
        ValueError: nothing along the axes.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.min(minidl.asarray([[1.0, 4.0], [3.0, 2.0]]), axis=0)
        array([1., 2.], dtype=float32)
    """
    return apply(ops.min, x, axis=axis, keepdims=keepdims)
