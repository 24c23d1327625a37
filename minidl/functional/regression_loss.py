"""Losses of a difference: squared, absolute, and in between."""

from typing import Any

from minidl import ops
from minidl.backend import Array
from minidl.functional.loss import as_constant
from minidl.tensor import Tensor, apply


def mse_loss(prediction: Array | Tensor, target: Array | Tensor, reduction: str = "mean") -> Any:
    """Squared error, ``loss = (prediction - target)^2``, element by element.

    Args:
        prediction: an array of any shape.
        target: of the same shape: it is never broadcast. It takes no gradient.
        reduction: ``"mean"`` over all elements, ``"sum"`` or ``"none"``.

    Returns:
        a 0-d array, or one of the shape of the prediction for ``"none"``; float32 for half precision,
        otherwise of the dtype of the prediction.

    Raises:
        TypeError: not arrays, or a prediction that is not floating-point.
        ValueError: a target of another shape, or an unknown reduction.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.mse_loss(minidl.asarray([1.0, 2.0]), minidl.asarray([0.0, 4.0]))
        array(2.5, dtype=float32)

    Source: Legendre, 1805.
    """
    return apply(ops.mse_loss, prediction, target=as_constant(target, "mse_loss"), reduction=reduction)


def l1_loss(prediction: Array | Tensor, target: Array | Tensor, reduction: str = "mean") -> Any:
    """Absolute error, ``loss = |prediction - target|``, element by element; its slope at 0 is 0.

    Args:
        prediction: an array of any shape.
        target: of the same shape: it is never broadcast. It takes no gradient.
        reduction: ``"mean"`` over all elements, ``"sum"`` or ``"none"``.

    Returns:
        a 0-d array, or one of the shape of the prediction for ``"none"``; float32 for half precision,
        otherwise of the dtype of the prediction.

    Raises:
        TypeError: not arrays, or a prediction that is not floating-point.
        ValueError: a target of another shape, or an unknown reduction.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.l1_loss(minidl.asarray([1.0, 2.0]), minidl.asarray([0.0, 4.0]))
        array(1.5, dtype=float32)

    Source: Boscovich, 1757; Laplace, 1793.
    """
    return apply(ops.l1_loss, prediction, target=as_constant(target, "l1_loss"), reduction=reduction)


def huber_loss(
    prediction: Array | Tensor, target: Array | Tensor, delta: float = 1.0, reduction: str = "mean"
) -> Any:
    """Squared for small differences and absolute for large ones: no outlier pulls harder than ``delta``.

    ``loss = d^2 / 2`` up to ``|d| = delta`` with ``d = prediction - target``, then
    ``delta (|d| - delta / 2)``.

    Args:
        prediction: an array of any shape.
        target: of the same shape: it is never broadcast. It takes no gradient.
        delta: the difference at which the loss becomes a straight line.
        reduction: ``"mean"`` over all elements, ``"sum"`` or ``"none"``.

    Returns:
        a 0-d array, or one of the shape of the prediction for ``"none"``; float32 for half precision,
        otherwise of the dtype of the prediction.

    Raises:
        TypeError: not arrays, or a prediction that is not floating-point.
        ValueError: a target of another shape, ``delta <= 0``, or an unknown reduction.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.huber_loss(minidl.asarray([0.5, 5.0]), minidl.asarray([0.0, 1.0]), reduction="none")
        array([0.125, 3.5  ], dtype=float32)

    Source: Huber, Robust estimation of a location parameter, 1964.
    """
    return apply(
        ops.huber_loss, prediction, target=as_constant(target, "huber_loss"), delta=delta, reduction=reduction
    )


def smooth_l1_loss(
    prediction: Array | Tensor, target: Array | Tensor, beta: float = 1.0, reduction: str = "mean"
) -> Any:
    """Absolute error, rounded off around 0: the Huber loss divided by its bend.

    ``loss = d^2 / (2 beta)`` up to ``|d| = beta`` with ``d = prediction - target``, then ``|d| - beta / 2``.

    Args:
        prediction: an array of any shape.
        target: of the same shape: it is never broadcast. It takes no gradient.
        beta: the difference at which the loss becomes a straight line.
        reduction: ``"mean"`` over all elements, ``"sum"`` or ``"none"``.

    Returns:
        a 0-d array, or one of the shape of the prediction for ``"none"``; float32 for half precision,
        otherwise of the dtype of the prediction.

    Raises:
        TypeError: not arrays, or a prediction that is not floating-point.
        ValueError: a target of another shape, ``beta <= 0``, or an unknown reduction.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.smooth_l1_loss(minidl.asarray([0.5, 5.0]), minidl.asarray([0.0, 1.0]), reduction="none")
        array([0.125, 3.5  ], dtype=float32)

    Source: Girshick, Fast R-CNN, 2015.
    """
    return apply(
        ops.smooth_l1_loss,
        prediction,
        target=as_constant(target, "smooth_l1_loss"),
        beta=beta,
        reduction=reduction,
    )
