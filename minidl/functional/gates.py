"""Activations that weigh the input by how large it is, and other smooth relatives of ReLU."""

from typing import Any

from minidl import ops
from minidl.backend import Array
from minidl.tensor import Tensor, apply


def gelu(x: Array | Tensor, approximate: str = "none") -> Any:
    """Weigh the input by the probability that a standard normal number is smaller.

    ``y = x (1 + erf(x / sqrt 2)) / 2``; with ``approximate="tanh"``
    ``y = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2``, which differs by less than 5e-4.
    At plus infinity it is infinite, with slope 1; PyTorch has NaN there.

    Args:
        x: any shape, floating-point.
        approximate: ``"none"`` or ``"tanh"``.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, or not of floating-point numbers.
        ValueError: any other ``approximate``.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.gelu(minidl.asarray([-1.0, 0.0, 2.0])).tolist()
        [-0.158655, 0.0, 1.954500]

    Source: Hendrycks and Gimpel, Gaussian error linear units, 2016.
    """
    return apply(ops.gelu, x, approximate=approximate)


def silu(x: Array | Tensor) -> Any:
    """Weigh the input by its sigmoid.

    ``y = x / (1 + e^-x)``; also known as swish.

    Args:
        x: any shape, floating-point.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, or not of floating-point numbers.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.silu(minidl.asarray([-1.0, 0.0, 2.0])).tolist()
        [-0.268941, 0.0, 1.761594]

    Source: Elfwing, Uchibe and Doya, Sigmoid-weighted linear units, 2018; Ramachandran, Zoph and Le, 2017.
    """
    return apply(ops.silu, x)


def mish(x: Array | Tensor) -> Any:
    """Weigh the input by the tanh of its softplus.

    ``y = x tanh(log(1 + e^x))``

    Args:
        x: any shape, floating-point.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, or not of floating-point numbers.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.mish(minidl.asarray([-1.0, 0.0, 2.0])).tolist()
        [-0.303401, 0.0, 1.943959]

    Source: Misra, Mish: a self regularized non-monotonic activation function, 2020.
    """
    return apply(ops.mish, x)


def softplus(x: Array | Tensor, beta: float = 1.0) -> Any:
    """Smooth the corner of ReLU.

    ``y = log(1 + e^(beta x)) / beta``, without overflow for any x and without a threshold.

    Args:
        x: any shape, floating-point.
        beta: how sharp the corner is; positive.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, or not of floating-point numbers.
        ValueError: beta is not positive and finite.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.softplus(minidl.asarray([-1.0, 0.0, 800.0])).tolist()
        [0.313262, 0.693147, 800.0]

    Source: Dugas et al., Incorporating second-order functional knowledge for better option pricing, 2001.
    """
    return apply(ops.softplus, x, beta=beta)


def softsign(x: Array | Tensor) -> Any:
    """Squash to between -1 and 1, more slowly than tanh.

    ``y = x / (1 + |x|)``

    Args:
        x: any shape, floating-point.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, or not of floating-point numbers.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.softsign(minidl.asarray([-1.0, 0.0, 3.0])).tolist()
        [-0.5, 0.0, 0.75]

    Source: Turian, Bergstra and Bengio, Quadratic features and deep architectures for chunking, 2009.
    """
    return apply(ops.softsign, x)


def glu(x: Array | Tensor, axis: int = -1) -> Any:
    """Gate one half of the input by the other.

    ``y = a sigmoid(b)``, where a is the first half of x along the axis and b the second.

    Args:
        x: any shape, floating-point.
        axis: the axis that is halved, of even length.

    Returns:
        The shape and dtype of ``x``, with half the length along the axis.

    Raises:
        TypeError: not an array, or not of floating-point numbers.
        ValueError: the axis is out of range, or of odd length.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.glu(minidl.asarray([[4.0, 6.0, 0.0, 2.0]])).tolist()
        [[2.0, 5.284782]]

    Source: Dauphin et al., Language modeling with gated convolutional networks, 2017.
    """
    return apply(ops.glu, x, axis=axis)
