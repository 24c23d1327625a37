"""Activations: the nonlinear functions between layers."""

from typing import Any

from minidl import ops
from minidl.backend import Array
from minidl.tensor import Tensor, apply


def relu(x: Array | Tensor) -> Any:
    """Cut off what is negative.

    ``y = max(x, 0)``, with derivative 0 at 0.

    Args:
        x: any shape, floating-point.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, or not of floating-point numbers.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.relu(minidl.asarray([-1.0, 2.0]))
        array([0., 2.], dtype=float32)

    Source: Nair and Hinton, Rectified linear units improve restricted Boltzmann machines, 2010.
    """
    return apply(ops.relu, x)


def sigmoid(x: Array | Tensor) -> Any:
    """Squash to between 0 and 1.

    ``y = 1 / (1 + e^-x)``, without overflow for any x.

    Args:
        x: any shape, floating-point.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, or not of floating-point numbers.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.sigmoid(minidl.asarray([0.0, 2.0]))
        array([0.5 , 0.8807971], dtype=float32)
    """
    return apply(ops.sigmoid, x)


def tanh(x: Array | Tensor) -> Any:
    """Squash to between -1 and 1.

    ``y = (e^x - e^-x) / (e^x + e^-x)``

    Args:
        x: any shape, floating-point.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, or not of floating-point numbers.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.tanh(minidl.asarray([0.0, 1.0]))
        array([0. , 0.7615942], dtype=float32)
    """
    return apply(ops.tanh, x)
