"""Element by element: arithmetic with broadcasting, and simple functions of one number."""

from typing import Any

from minidl import ops
from minidl.backend import Array
from minidl.tensor import Tensor, apply


def add(x: Array | Tensor | float, other: Array | Tensor | float) -> Any:
    """Add, with broadcasting.

    ``y = x + other``

    Args:
        x: any shape, or a number.
        other: any shape that broadcasts with that of ``x``, or a number.

    Returns:
        The broadcast shape; gradients are summed back to the shapes of the arguments.

    Raises:
        TypeError: neither an array nor a number.
        ValueError: shapes that do not broadcast.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.add(minidl.asarray([1.0, 2.0]), 3.0)
        array([4., 5.], dtype=float32)
    """
    return apply(ops.add, x, other)


def subtract(x: Array | Tensor | float, other: Array | Tensor | float) -> Any:
    """Subtract, with broadcasting.

    ``y = x - other``

    Args:
        x: any shape, or a number.
        other: any shape that broadcasts with that of ``x``, or a number.

    Returns:
        The broadcast shape; gradients are summed back to the shapes of the arguments.

    Raises:
        TypeError: neither an array nor a number.
        ValueError: shapes that do not broadcast.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.subtract(minidl.asarray([1.0, 2.0]), 3.0)
        array([-2., -1.], dtype=float32)
    """
    return apply(ops.subtract, x, other)


def multiply(x: Array | Tensor | float, other: Array | Tensor | float) -> Any:
    """Multiply element by element, with broadcasting.

    ``y = x other``

    Args:
        x: any shape, or a number.
        other: any shape that broadcasts with that of ``x``, or a number.

    Returns:
        The broadcast shape; gradients are summed back to the shapes of the arguments.

    Raises:
        TypeError: neither an array nor a number.
        ValueError: shapes that do not broadcast.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.multiply(minidl.asarray([1.0, 2.0]), 3.0)
        array([3., 6.], dtype=float32)
    """
    return apply(ops.multiply, x, other)


def divide(x: Array | Tensor | float, other: Array | Tensor | float) -> Any:
    """Divide element by element, with broadcasting.

    ``y = x / other``

    Args:
        x: any shape, or a number.
        other: any shape that broadcasts with that of ``x``, or a number.

    Returns:
        The broadcast shape; gradients are summed back to the shapes of the arguments.

    Raises:
        TypeError: neither an array nor a number.
        ValueError: shapes that do not broadcast.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.divide(minidl.asarray([1.0, 2.0]), 4.0)
        array([0.25, 0.5 ], dtype=float32)
    """
    return apply(ops.divide, x, other)


def power(x: Array | Tensor | float, other: Array | Tensor | float) -> Any:
    """Raise to a power, with broadcasting.

    ``y = x ^ other``; with an array as the exponent x must be positive, at x = 0 its gradient is 0.

    Args:
        x: any shape, or a number.
        other: any shape that broadcasts with that of ``x``, or a number.

    Returns:
        The broadcast shape; gradients are summed back to the shapes of the arguments.

    Raises:
        TypeError: neither an array nor a number.
        ValueError: shapes that do not broadcast.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.power(minidl.asarray([1.0, 2.0]), 3.0)
        array([1., 8.], dtype=float32)
    """
    return apply(ops.power, x, other)


def maximum(x: Array | Tensor | float, other: Array | Tensor | float) -> Any:
    """Take the larger of two, element by element.

    ``y = max(x, other)``; where both are equal, ``x`` takes the whole gradient.

    Args:
        x: any shape, or a number.
        other: any shape that broadcasts with that of ``x``, or a number.

    Returns:
        The broadcast shape; gradients are summed back to the shapes of the arguments.

    Raises:
        TypeError: neither an array nor a number.
        ValueError: shapes that do not broadcast.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.maximum(minidl.asarray([1.0, 5.0]), 3.0)
        array([3., 5.], dtype=float32)
    """
    return apply(ops.maximum, x, other)


def minimum(x: Array | Tensor | float, other: Array | Tensor | float) -> Any:
    """Take the smaller of two, element by element.

    ``y = min(x, other)``; where both are equal, ``x`` takes the whole gradient.

    Args:
        x: any shape, or a number.
        other: any shape that broadcasts with that of ``x``, or a number.

    Returns:
        The broadcast shape; gradients are summed back to the shapes of the arguments.

    Raises:
        TypeError: neither an array nor a number.
        ValueError: shapes that do not broadcast.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.minimum(minidl.asarray([1.0, 5.0]), 3.0)
        array([1., 3.], dtype=float32)
    """
    return apply(ops.minimum, x, other)


def where(condition: Array, x: Array | Tensor | float, other: Array | Tensor | float) -> Any:
    """Choose between two, element by element.

    ``y = x`` where the condition holds, ``other`` elsewhere; the part not chosen gets gradient 0.

    Args:
        condition: booleans, of a shape that broadcasts; it has no gradient.
        x: any shape, or a number.
        other: any shape that broadcasts with that of ``x``, or a number.

    Returns:
        The broadcast shape; gradients are summed back to the shapes of the arguments.

    Raises:
        TypeError: neither an array nor a number.
        ValueError: shapes that do not broadcast.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> x = minidl.asarray([1.0, -2.0])
        >>> F.where(x > 0, x, 0.1 * x)
        array([ 1. , -0.2], dtype=float32)
    """
    return apply(ops.where, x, other, condition=condition)


def clip(x: Array | Tensor, low: float | None = None, high: float | None = None) -> Any:
    """Hold values between two bounds.

    ``y = min(max(x, low), high)``, with derivative 1 on the bounds and 0 outside.

    Args:
        x: any shape, floating-point.
        low: the lower bound, or ``None`` for none.
        high: the upper bound, or ``None`` for none.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, or not of floating-point numbers.
        ValueError: ``low`` above ``high``.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.clip(minidl.asarray([-2.0, 0.5, 3.0]), 0.0, 1.0)
        array([0. , 0.5, 1. ], dtype=float32)
    """
    return apply(ops.clip, x, low=low, high=high)


def negative(x: Array | Tensor) -> Any:
    """Change the sign.

    ``y = -x``

    Args:
        x: any shape, floating-point.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, or not of floating-point numbers.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.negative(minidl.asarray([1.0, -2.0]))
        array([-1.,  2.], dtype=float32)
    """
    return apply(ops.negative, x)


def absolute(x: Array | Tensor) -> Any:
    """Take the absolute value.

    ``y = |x|``, with derivative 0 at 0, and NaN for a NaN (where PyTorch has 0).

    Args:
        x: any shape, floating-point.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, or not of floating-point numbers.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.absolute(minidl.asarray([1.0, -2.0]))
        array([1., 2.], dtype=float32)
    """
    return apply(ops.absolute, x)


def exp(x: Array | Tensor) -> Any:
    """Raise e to a power.

    ``y = e^x``

    Args:
        x: any shape, floating-point.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, or not of floating-point numbers.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.exp(minidl.asarray([0.0, 1.0]))
        array([1. , 2.71828], dtype=float32)
    """
    return apply(ops.exp, x)


def log(x: Array | Tensor) -> Any:
    """Take the natural logarithm.

    ``y = ln x``

    Args:
        x: any shape, floating-point.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, or not of floating-point numbers.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.log(minidl.asarray([1.0, 2.0]))
        array([0. , 0.6931472], dtype=float32)
    """
    return apply(ops.log, x)


def sqrt(x: Array | Tensor) -> Any:
    """Take the square root.

    ``y = x^(1/2)``

    Args:
        x: any shape, floating-point.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, or not of floating-point numbers.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.sqrt(minidl.asarray([1.0, 4.0]))
        array([1., 2.], dtype=float32)
    """
    return apply(ops.sqrt, x)
