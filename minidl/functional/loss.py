"""Losses over classes: cross-entropy, of logits, probabilities or their logarithms, and the KL divergence."""

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
        ValueError: shapes that do not agree, a label out of range, numbers that are no probabilities, or an
            unknown reduction.

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


def nll_loss(
    log_probabilities: Array | Tensor,
    target: Array | Tensor,
    weight: Array | Tensor | None = None,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Any:
    """Negative log-likelihood of labels, or of a distribution, under log-probabilities.

    ``loss = -sum_k q_k x_k`` for each row: after ``log_softmax`` it is the cross-entropy of the logits. As in
    PyTorch any numbers may stand for x; those above 0 are the logarithm of no probability.

    Args:
        log_probabilities: ``(..., K)``, the classes on the last axis.
        target: integer labels ``(...)``, or a distribution ``(..., K)``.
        weight: one weight for each class, ``(K,)``.
        ignore_index: rows with this label count for nothing.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``, as in ``cross_entropy``.

    Returns:
        a 0-d array, or ``(...)`` for ``"none"``; float32 for half precision, otherwise of the dtype given.

    Raises:
        TypeError: not arrays, log-probabilities that are not floating-point, labels that are not integers.
        ValueError: shapes that do not agree, a label out of range, an unknown reduction.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> x = F.log_softmax(minidl.asarray([[2.0, 1.0, 0.1]]))
        >>> F.nll_loss(x, minidl.asarray([0]))
        array(0.4170, dtype=float32)

    Source: Fisher, 1912.
    """
    return apply(
        ops.nll_loss,
        log_probabilities,
        target=as_constant(target, "nll_loss"),
        weight=as_constant(weight, "nll_loss"),
        ignore_index=ignore_index,
        reduction=reduction,
    )


def kl_div(
    log_probabilities: Array | Tensor,
    target: Array | Tensor,
    log_target: bool = False,
    reduction: str = "mean",
) -> Any:
    """Kullback-Leibler divergence of a distribution from the one that is predicted.

    ``loss = sum_k t_k (log t_k - x_k)`` for each row, with ``0 log 0 = 0``. The mean is over the rows, as a
    divergence has it: PyTorch calls that ``"batchmean"``.

    Args:
        log_probabilities: ``(..., K)``, the classes on the last axis, as they come from ``log_softmax``;
            whether they are logarithms of probabilities is not checked.
        target: a distribution of the same shape. It takes no gradient.
        log_target: whether the target is given by its logarithms.
        reduction: ``"mean"`` over the rows, ``"sum"`` or ``"none"``.

    Returns:
        a 0-d array, or ``(...)`` for ``"none"``; float32 for half precision, otherwise of the dtype given.

    Raises:
        TypeError: not arrays, or log-probabilities that are not floating-point.
        ValueError: a target of another shape, or an unknown reduction.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> x = F.log_softmax(minidl.asarray([[0.0, 0.0]]))
        >>> F.kl_div(x, minidl.asarray([[1.0, 0.0]]))
        array(0.6931, dtype=float32)

    Source: Kullback and Leibler, On information and sufficiency, 1951.
    """
    return apply(
        ops.kl_div,
        log_probabilities,
        target=as_constant(target, "kl_div"),
        log_target=log_target,
        reduction=reduction,
    )
