"""Activations that are put together from straight lines, and their relatives by the exponential function."""

from typing import Any

from minidl import ops
from minidl.backend import Array
from minidl.tensor import Tensor, apply


def leaky_relu(x: Array | Tensor, negative_slope: float = 0.01) -> Any:
    """Let a little of what is negative through.

    ``y = x`` where x > 0, else ``negative_slope x``; the derivative at 0 is the slope.

    Args:
        x: any shape, floating-point.
        negative_slope: what the negative part is multiplied by.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, or not of floating-point numbers.
        ValueError: the slope is not finite.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.leaky_relu(minidl.asarray([-1.0, 2.0])).tolist()
        [-0.01, 2.0]

    Source: Maas, Hannun and Ng, Rectifier nonlinearities improve neural network acoustic models, 2013.
    """
    return apply(ops.leaky_relu, x, negative_slope=negative_slope)


def prelu(x: Array | Tensor, weight: Array | Tensor) -> Any:
    """Let a share of what is negative through, with slopes that are learned.

    ``y = x`` where x > 0, else ``weight x``; the derivative at 0 is the slope.

    Args:
        x: any shape ``(..., C)``, floating-point.
        weight: ``(1,)`` for one slope, or ``(C,)`` for one for each entry of the last axis.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, not of floating-point numbers, or weights of another dtype.
        ValueError: a weight of another shape.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.prelu(minidl.asarray([[-1.0, 2.0], [3.0, -4.0]]), minidl.asarray([0.5, 0.25])).tolist()
        [[-0.5, 2.0], [3.0, -1.0]]

    Source: He et al., Delving deep into rectifiers, 2015.
    """
    return apply(ops.prelu, x, weight)


def relu6(x: Array | Tensor) -> Any:
    """Cut off what is negative or larger than 6.

    ``y = min(max(x, 0), 6)``, with derivative 0 at 0 and at 6.

    Args:
        x: any shape, floating-point.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, or not of floating-point numbers.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.relu6(minidl.asarray([-1.0, 2.0, 9.0])).tolist()
        [0.0, 2.0, 6.0]

    Source: Krizhevsky, Convolutional deep belief networks on CIFAR-10, 2010.
    """
    return apply(ops.relu6, x)


def hard_tanh(x: Array | Tensor, low: float = -1.0, high: float = 1.0) -> Any:
    """Cut off what lies outside two bounds.

    ``y = min(max(x, low), high)``, with derivative 0 on the bounds.

    Args:
        x: any shape, floating-point.
        low: the smallest value.
        high: the largest value, above ``low``.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, or not of floating-point numbers.
        ValueError: the bounds are not finite, or not in order.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.hard_tanh(minidl.asarray([-2.0, 0.5, 3.0])).tolist()
        [-1.0, 0.5, 1.0]

    Source: Collobert, Large scale machine learning, 2004.
    """
    return apply(ops.hard_tanh, x, low=low, high=high)


def hard_sigmoid(x: Array | Tensor) -> Any:
    """Approximate the sigmoid by three straight lines.

    ``y = min(max(x / 6 + 1/2, 0), 1)``, with derivative 0 at -3 and at 3.

    Args:
        x: any shape, floating-point.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, or not of floating-point numbers.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.hard_sigmoid(minidl.asarray([-4.0, 0.0, 1.5])).tolist()
        [0.0, 0.5, 0.75]

    Source: Courbariaux, Bengio and David, BinaryConnect, 2015; in this form Howard et al., MobileNetV3, 2019.
    """
    return apply(ops.hard_sigmoid, x)


def hard_swish(x: Array | Tensor) -> Any:
    """Weigh the input by its hard sigmoid: SiLU from straight lines.

    ``y = x min(max(x / 6 + 1/2, 0), 1)``, with derivative 0 at -3 and 1 at 3.

    Args:
        x: any shape, floating-point.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, or not of floating-point numbers.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.hard_swish(minidl.asarray([-4.0, 1.5, 6.0])).tolist()
        [-0.0, 1.125, 6.0]

    Source: Howard et al., Searching for MobileNetV3, 2019.
    """
    return apply(ops.hard_swish, x)


def elu(x: Array | Tensor, alpha: float = 1.0) -> Any:
    """Bend what is negative towards a floor.

    ``y = x`` where x > 0, else ``alpha (e^x - 1)``; the derivative at 0 is alpha.

    Args:
        x: any shape, floating-point.
        alpha: the floor is at -alpha.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, or not of floating-point numbers.
        ValueError: alpha is not finite.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.elu(minidl.asarray([-1.0, 2.0])).tolist()
        [-0.632121, 2.0]

    Source: Clevert, Unterthiner and Hochreiter, Exponential linear units, 2016.
    """
    return apply(ops.elu, x, alpha=alpha)


def celu(x: Array | Tensor, alpha: float = 1.0) -> Any:
    """Bend what is negative towards a floor, with a continuous derivative for every alpha.

    ``y = x`` where x > 0, else ``alpha (e^(x / alpha) - 1)``.

    Args:
        x: any shape, floating-point.
        alpha: the floor is at -alpha; positive.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, or not of floating-point numbers.
        ValueError: alpha is not positive and finite.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.celu(minidl.asarray([-1.0, 2.0]), alpha=0.5).tolist()
        [-0.432332, 2.0]

    Source: Barron, Continuously differentiable exponential linear units, 2017.
    """
    return apply(ops.celu, x, alpha=alpha)


def selu(x: Array | Tensor) -> Any:
    """Bend what is negative, scaled so that activations normalise themselves.

    ``y = s x`` where x > 0, else ``s a (e^x - 1)``, with s = 1.0507... and a = 1.6732..., for which mean 0
    and variance 1 are a fixed point of layers with weights by `minidl.init.lecun_normal`.

    Args:
        x: any shape, floating-point.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, or not of floating-point numbers.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.selu(minidl.asarray([-1.0, 2.0])).tolist()
        [-1.111331, 2.101402]

    Source: Klambauer et al., Self-normalizing neural networks, 2017.
    """
    return apply(ops.selu, x)
