"""Losses: cross-entropy, fused with the softmax or from probabilities, and the mean squared error."""

from typing import Any

from minidl import ops
from minidl.backend import Array
from minidl.tensor import Tensor, apply


def as_constant(x: Array | Tensor | None, owner: str) -> Array | None:
    """Return a target or a weight as an array; one that waits for a gradient would wait in vain."""
    if not isinstance(x, Tensor):
        return x
    if x.requires_grad:
        raise ValueError(
            f"{owner}: targets and weights take no gradient, got one that requires it; detach() it"
        )
    return x.data


def cross_entropy(
    logits: Array | Tensor,
    target: Array | Tensor,
    weight: Array | Tensor | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    """Cross-entropy between the softmax of logits and labels, or a distribution over the classes.

    ``loss = -sum_k q_k log softmax(logits)_k`` for each row, computed by log-sum-exp, so that no logit is too
    large. A label ``c`` stands for ``q_k = [k = c]``; smoothing makes ``(1 - s) q + s / K`` of any ``q``;
    class weights multiply it. The gradient is ``softmax(logits) sum_k q_k - q``.

    Args:
        logits: ``(..., K)``, the classes on the last axis.
        target: integer labels ``(...)``, or a distribution ``(..., K)`` (soft or one-hot, of any number
            dtype).
        weight: one weight for each class, ``(K,)``.
        ignore_index: rows with this label count for nothing.
        label_smoothing: the share ``s`` of the probability that goes to all classes evenly, in ``[0, 1]``.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``. The mean over labels divides by the summed weights of
            the rows that count (of none it is NaN); the mean over distributions divides by the number of
            rows.

    Returns:
        a 0-d array, or ``(...)`` for ``"none"``; float32 for half-precision logits, otherwise of their dtype.

    Raises:
        TypeError: not arrays, logits or weights that are not floating-point, labels that are not integers.
        ValueError: shapes that do not agree, a label out of range, an unknown reduction, a smoothing outside
            of ``[0, 1]``. On CuPy a label out of range makes the loss and that row's gradient NaN instead.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> logits = minidl.asarray([[2.0, 1.0, 0.1], [0.0, 80.0, 0.0]])
        >>> F.cross_entropy(logits, minidl.asarray([0, 2]), reduction="none")
        array([ 0.4170, 80.    ], dtype=float32)

    Source: Szegedy et al., Rethinking the Inception architecture, 2016 (label smoothing).
    """
    return apply(
        ops.cross_entropy,
        logits,
        target=as_constant(target, "cross_entropy"),
        weight=as_constant(weight, "cross_entropy"),
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
    )


def cross_entropy_probabilities(
    probabilities: Array | Tensor,
    target: Array | Tensor,
    weight: Array | Tensor | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    """Cross-entropy between probabilities, as they come from a softmax, and labels or a distribution.

    ``loss = -sum_k q_k log p_k`` for each row, with ``0 log 0 = 0``. There is neither a clip nor an eps:
    where ``p_k = 0`` is asked for, the loss is infinite. ``cross_entropy`` on logits has no such limit.

    Args:
        probabilities: ``(..., K)``, the classes on the last axis.
        target: integer labels ``(...)``, or a distribution ``(..., K)``.
        weight: one weight for each class, ``(K,)``.
        ignore_index: rows with this label count for nothing.
        label_smoothing: the share of the probability that goes to all classes evenly, in ``[0, 1]``.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``, as in ``cross_entropy``.

    Returns:
        a 0-d array, or ``(...)`` for ``"none"``; float32 for half precision, otherwise of the dtype given.

    Raises:
        TypeError: not arrays, probabilities that are not floating-point, labels that are not integers.
        ValueError: shapes that do not agree, a label out of range, an unknown reduction.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> p = minidl.asarray([[0.25, 0.75], [1.0, 0.0]])
        >>> F.cross_entropy_probabilities(p, minidl.asarray([0, 1]), reduction="none")
        array([1.3863,    inf], dtype=float32)

    Source: Shannon, A mathematical theory of communication, 1948.
    """
    return apply(
        ops.cross_entropy_probabilities,
        probabilities,
        target=as_constant(target, "cross_entropy_probabilities"),
        weight=as_constant(weight, "cross_entropy_probabilities"),
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
    )


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
