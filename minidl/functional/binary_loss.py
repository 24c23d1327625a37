"""Losses of yes-or-no questions, each answered by one logit or one probability."""

from typing import Any

from minidl import ops
from minidl.backend import Array
from minidl.functional.loss import as_constant
from minidl.tensor import Tensor, apply


def binary_cross_entropy_with_logits(
    logits: Array | Tensor,
    target: Array | Tensor,
    pos_weight: Array | float = 1.0,
    reduction: str = "mean",
) -> Any:
    """Cross-entropy between the sigmoid of logits and targets in ``[0, 1]``, each a question of its own.

    ``loss = c t log(1 + e^-x) + (1 - t) log(1 + e^x)``, which no logit makes overflow.

    Args:
        logits: an array of any shape.
        target: of the same shape, 0 for no and 1 for yes, or in between. It takes no gradient.
        pos_weight: ``c``, the weight of the positive answers: a number, or one for each place on the last
            axis.
        reduction: ``"mean"`` over all elements, ``"sum"`` or ``"none"``.

    Returns:
        a 0-d array, or one of the shape of the logits for ``"none"``; float32 for half precision, otherwise
        of the dtype of the logits.

    Raises:
        TypeError: not arrays, or logits that are not floating-point.
        ValueError: a target or weight of another shape, or an unknown reduction.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> x = minidl.asarray([0.0, 80.0])
        >>> F.binary_cross_entropy_with_logits(x, minidl.asarray([1.0, 0.0]), reduction="none")
        array([ 0.6931, 80.    ], dtype=float32)

    Source: Good, Rational decisions, 1952.
    """
    return apply(
        ops.binary_cross_entropy_with_logits,
        logits,
        target=as_constant(target, "binary_cross_entropy_with_logits"),
        pos_weight=pos_weight,
        reduction=reduction,
    )


def binary_cross_entropy(
    probabilities: Array | Tensor,
    target: Array | Tensor,
    pos_weight: Array | float = 1.0,
    reduction: str = "mean",
) -> Any:
    """Cross-entropy between probabilities, as they come from a sigmoid, and targets in ``[0, 1]``.

    ``loss = -c t log p - (1 - t) log(1 - p)``, with ``0 log 0 = 0``. There is neither a clip nor an eps: a
    certain answer that is wrong costs infinity. ``binary_cross_entropy_with_logits`` has no such limit.

    Args:
        probabilities: an array of any shape.
        target: of the same shape, 0 for no and 1 for yes, or in between. It takes no gradient.
        pos_weight: ``c``, the weight of the positive answers: a number, or one for each place on the last
            axis.
        reduction: ``"mean"`` over all elements, ``"sum"`` or ``"none"``.

    Returns:
        a 0-d array, or one of the shape of the probabilities for ``"none"``; float32 for half precision,
        otherwise of the dtype given.

    Raises:
        TypeError: not arrays, or probabilities that are not floating-point.
        ValueError: numbers outside ``[0, 1]`` (on CuPy their losses are NaN instead), a target or weight of
            another shape, or an unknown reduction.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> p = minidl.asarray([0.25, 1.0])
        >>> F.binary_cross_entropy(p, minidl.asarray([1.0, 0.0]), reduction="none")
        array([1.3863,    inf], dtype=float32)

    Source: Good, Rational decisions, 1952.
    """
    return apply(
        ops.binary_cross_entropy,
        probabilities,
        target=as_constant(target, "binary_cross_entropy"),
        pos_weight=pos_weight,
        reduction=reduction,
    )


def focal_loss(
    logits: Array | Tensor,
    target: Array | Tensor,
    alpha: float | None = 0.25,
    gamma: float = 2.0,
    reduction: str = "mean",
) -> Any:
    """Binary cross-entropy that turns away from what is answered well already.

    ``loss = a q^gamma h``, where ``h`` is the binary cross-entropy from logits, ``q`` one minus the
    probability given to the target, and ``a = alpha t + (1 - alpha) (1 - t)``.

    Args:
        logits: an array of any shape.
        target: of the same shape, 0 for no and 1 for yes, or in between. It takes no gradient.
        alpha: the share of the positive answers, in ``[0, 1]``; ``None`` weighs all alike.
        gamma: how strongly to turn away; 0 not at all.
        reduction: ``"mean"`` over all elements, ``"sum"`` or ``"none"``.

    Returns:
        a 0-d array, or one of the shape of the logits for ``"none"``; float32 for half precision, otherwise
        of the dtype of the logits.

    Raises:
        TypeError: not arrays, or logits that are not floating-point.
        ValueError: a target of another shape, ``alpha`` or ``gamma`` out of range, or an unknown reduction.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> x = minidl.asarray([-4.0, 0.0])
        >>> F.focal_loss(x, minidl.asarray([1.0, 1.0]), alpha=None, reduction="none").round(4)
        array([3.8749, 0.1733], dtype=float32)

    Source: Lin et al., Focal loss for dense object detection, 2017.
    """
    return apply(
        ops.focal_loss,
        logits,
        target=as_constant(target, "focal_loss"),
        alpha=alpha,
        gamma=gamma,
        reduction=reduction,
    )
