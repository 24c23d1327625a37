"""Softmax and its logarithm, along any axis."""

from typing import Any

from minidl import ops
from minidl.backend import Array
from minidl.tensor import Tensor, apply


def softmax(x: Array | Tensor, axis: int = -1) -> Any:
    """Turn scores into probabilities along an axis.

    ``y_i = e^(x_i) / sum_j e^(x_j)``; the gradient is ``dx = y (dy - sum_j dy_j y_j)``, exact and without a
    Jacobian in memory. Extreme scores neither overflow nor divide zero by zero.

    Args:
        x: any shape, floating-point.
        axis: the axis along which to normalise, counted from the front or, negative, from the back.

    Returns:
        The shape and dtype of ``x``. Along the axis it sums to 1.

    Raises:
        TypeError: not an array, or not of floating-point numbers.
        ValueError: the axis is out of range.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.softmax(minidl.asarray([1.0, 2.0]))
        array([0.268941, 0.731059], dtype=float32)
        >>> x = minidl.Tensor([2.0, 1.0, 0.1], requires_grad=True)
        >>> y = F.softmax(x)
        >>> y.data.tolist()
        [0.659001, 0.242433, 0.098566]
        >>> y.backward(minidl.asarray([1.0, 0.0, 0.0]))
        >>> x.grad.tolist()
        [0.224719, -0.159764, -0.064955]

    Source: Bridle, Training stochastic model recognition algorithms as networks, 1989.
    """
    return apply(ops.softmax, x, axis=axis)


def softmin(x: Array | Tensor, axis: int = -1) -> Any:
    """Turn costs into probabilities along an axis: the smallest gets the largest share.

    ``y_i = e^(-x_i) / sum_j e^(-x_j)``

    Args:
        x: any shape, floating-point.
        axis: the axis along which to normalise, counted from the front or, negative, from the back.

    Returns:
        The shape and dtype of ``x``. Along the axis it sums to 1.

    Raises:
        TypeError: not an array, or not of floating-point numbers.
        ValueError: the axis is out of range.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.softmin(minidl.asarray([1.0, 2.0])).tolist()
        [0.731059, 0.268941]
    """
    return apply(ops.softmin, x, axis=axis)


def log_softmax(x: Array | Tensor, axis: int = -1) -> Any:
    """Take the logarithm of softmax, in one stable step.

    ``y_i = x_i - log sum_j e^(x_j)``

    Args:
        x: any shape, floating-point.
        axis: the axis along which to normalise, counted from the front or, negative, from the back.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, or not of floating-point numbers.
        ValueError: the axis is out of range.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.log_softmax(minidl.asarray([0.0, 800.0]))
        array([-800.,    0.], dtype=float32)
    """
    return apply(ops.log_softmax, x, axis=axis)
