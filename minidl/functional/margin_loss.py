"""Losses with a margin: what is right by more than the margin costs nothing and has no gradient."""

from typing import Any

from minidl import ops
from minidl.backend import Array
from minidl.functional.loss import as_constant
from minidl.tensor import Tensor, apply


def hinge_loss(
    prediction: Array | Tensor, target: Array | Tensor, margin: float = 1.0, reduction: str = "mean"
) -> Any:
    """Cost of a score on the wrong side of the margin, ``loss = max(0, margin - t x)``, element by element.

    Args:
        prediction: an array of any shape.
        target: of the same shape, -1 or 1. It takes no gradient.
        margin: how far on the right side a score has to be.
        reduction: ``"mean"`` over all elements, ``"sum"`` or ``"none"``.

    Returns:
        a 0-d array, or one of the shape of the prediction for ``"none"``; float32 for half precision,
        otherwise of the dtype of the prediction.

    Raises:
        TypeError: not arrays, or a prediction that is not floating-point.
        ValueError: targets other than -1 and 1 (on CuPy their losses are NaN instead), a target of another
            shape, or an unknown reduction.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.hinge_loss(minidl.asarray([2.0, 0.5, 0.5]), minidl.asarray([1, 1, -1]), reduction="none")
        array([0. , 0.5, 1.5], dtype=float32)

    Source: Cortes and Vapnik, Support-vector networks, 1995.
    """
    return apply(
        ops.hinge_loss,
        prediction,
        target=as_constant(target, "hinge_loss"),
        margin=margin,
        reduction=reduction,
    )


def multi_margin_loss(
    scores: Array | Tensor,
    target: Array | Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Array | Tensor | None = None,
    reduction: str = "mean",
) -> Any:
    """Cost of every class whose score comes within the margin of that of the label.

    ``loss = w_t sum_(k != t) max(0, margin - x_t + x_k)^p / K`` for each row.

    Args:
        scores: ``(..., K)``, the classes on the last axis.
        target: integer labels ``(...)``.
        p: 1 or 2.
        margin: how far above all others the score of the label has to be.
        weight: one weight for each class, ``(K,)``.
        reduction: ``"mean"`` over the rows (weights do not change the divisor), ``"sum"`` or ``"none"``.

    Returns:
        a 0-d array, or ``(...)`` for ``"none"``; float32 for half precision, otherwise of the dtype of the
        scores.

    Raises:
        TypeError: not arrays, scores that are not floating-point, labels that are not integers.
        ValueError: shapes that do not agree, a label out of range (on CuPy its loss is NaN instead), another
            ``p``, or an unknown reduction.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.multi_margin_loss(minidl.asarray([[3.0, 2.5, 0.0, 0.0]]), minidl.asarray([0]))
        array(0.125, dtype=float32)

    Source: Crammer and Singer, 2001; Weston and Watkins, 1999.
    """
    return apply(
        ops.multi_margin_loss,
        scores,
        target=as_constant(target, "multi_margin_loss"),
        p=p,
        margin=margin,
        weight=as_constant(weight, "multi_margin_loss"),
        reduction=reduction,
    )


def cosine_embedding_loss(
    first: Array | Tensor,
    second: Array | Tensor,
    target: Array | Tensor,
    margin: float = 0.0,
    reduction: str = "mean",
) -> Any:
    """Turn pairs that belong together towards each other, and others apart.

    ``loss = 1 - cos(a, b)`` where the target is 1, and ``max(0, cos(a, b) - margin)`` where it is -1. The
    cosine with a vector of zeros is 0, without a gradient.

    Args:
        first: vectors ``(..., D)``.
        second: vectors of the same shape.
        target: -1 or 1 for each pair, ``(...)``. It takes no gradient.
        margin: the cosine up to which vectors are apart enough.
        reduction: ``"mean"`` over the pairs, ``"sum"`` or ``"none"``.

    Returns:
        a 0-d array, or ``(...)`` for ``"none"``; float32 for half precision, otherwise of the dtype of the
        vectors.

    Raises:
        TypeError: not arrays, not floating-point, or of different dtypes.
        ValueError: targets other than -1 and 1 (on CuPy their losses are NaN instead), shapes that do not
            agree, or an unknown reduction.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> a, b = minidl.asarray([[1.0, 0.0], [1.0, 0.0]]), minidl.asarray([[0.0, 2.0], [3.0, 0.0]])
        >>> F.cosine_embedding_loss(a, b, minidl.asarray([1, -1]), reduction="none")
        array([1., 1.], dtype=float32)

    Source: Hadsell, Chopra and LeCun, 2006, with the cosine for the distance.
    """
    return apply(
        ops.cosine_embedding_loss,
        first,
        second,
        target=as_constant(target, "cosine_embedding_loss"),
        margin=margin,
        reduction=reduction,
    )


def triplet_margin_loss(
    anchor: Array | Tensor,
    positive: Array | Tensor,
    negative: Array | Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    reduction: str = "mean",
) -> Any:
    """Bring an anchor closer to what belongs to it than to what does not, by a margin.

    ``loss = max(0, |anchor - positive| - |anchor - negative| + margin)`` in the p-norm. Equal vectors have no
    direction and no gradient.

    Args:
        anchor: vectors ``(..., D)``.
        positive: vectors of the same shape that belong to the anchors.
        negative: vectors of the same shape that do not.
        margin: how much farther the negatives have to be.
        p: of the norm, at least 1.
        reduction: ``"mean"`` over the triplets, ``"sum"`` or ``"none"``.

    Returns:
        a 0-d array, or ``(...)`` for ``"none"``; float32 for half precision, otherwise of the dtype of the
        vectors.

    Raises:
        TypeError: not arrays, not floating-point, or of different dtypes.
        ValueError: shapes that do not agree, ``p < 1``, or an unknown reduction.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> anchor, near, far = (minidl.asarray([v]) for v in ([0.0, 0.0], [3.0, 4.0], [0.0, 5.5]))
        >>> F.triplet_margin_loss(anchor, near, far)
        array(0.5, dtype=float32)

    Source: Balntas et al., 2016; Schroff, Kalenichenko and Philbin, FaceNet, 2015.
    """
    return apply(ops.triplet_margin_loss, anchor, positive, negative, margin=margin, p=p, reduction=reduction)
