"""Losses as objects with a ``forward`` and a ``backward``, and the accuracy of a classifier.

Each is a thin surface over one operation; the formulas stand in ``minidl.functional``.
"""

import inspect
import math
import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

from minidl import ops
from minidl.backend import Array, to_numpy, xp
from minidl.functional.loss import as_constant
from minidl.ops._losses import check_class_weight, check_ignored, check_reduction, check_smoothing, decided
from minidl.ops._options import check_flag, read_number
from minidl.ops.binary_loss import check_focal, check_positive_weight
from minidl.ops.margin_loss import check_norm, check_power
from minidl.ops.regression_loss import check_beta, check_delta
from minidl.tensor import Tensor, apply, check_upstream

Result: TypeAlias = "tuple[Array, Callable[[Array], Any]]"


class Loss:
    """What all losses have in common; a subclass writes ``vjp``, and keeps its options under their names.

    A loss is called as ``forward(prediction, target)``. The last ``targets`` of its arguments take no
    gradient.

    Args:
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> from minidl.backend import asarray
        >>> class Cubed(Loss):
        ...     def vjp(self, prediction, target):
        ...         difference = prediction - target
        ...         return asarray((difference**3).sum()), lambda dy: 3 * difference**2 * dy
        >>> loss = Cubed()
        >>> loss.forward(asarray([3.0, 1.0]), asarray([1.0, 1.0]))
        array(8., dtype=float32)
        >>> loss.backward()
        array([12.,  0.], dtype=float32)
    """

    targets = 1
    _step: "Result | None" = None

    def __init__(self, reduction: str = "mean") -> None:
        check_reduction(reduction, type(self).__name__)
        self.reduction = reduction

    def vjp(self, *inputs: Any, **named: Any) -> Result:
        """Return the value and its pullback, which gives the gradient of the prediction, or of each one."""
        raise NotImplementedError(f"{type(self).__name__}: a loss defines vjp(prediction, target)")

    def forward(self, *inputs: Array) -> Array:
        """Return the loss of a prediction and a target, and keep what ``backward`` needs."""
        self._step = None
        try:
            value, pullback = self.vjp(*inputs)
        except (TypeError, ValueError) as error:
            error.add_note(f"in {self!r}")
            raise
        if not isinstance(value, xp.ndarray):
            raise TypeError(
                f"{self!r}: expected vjp to return an array and its pullback, "
                f"got a value of type {type(value).__name__}; wrap it by minidl.asarray"
            )
        self._step = value, pullback
        return value

    def backward(self, dy: Array | None = None) -> Any:
        """Return the gradient of the last loss with respect to its prediction.

        Args:
            dy: the upstream gradient, of the shape of the loss; 1 for a single number.

        Raises:
            RuntimeError: there was no forward, or it had its backward already.
            ValueError: an upstream gradient of another shape, or none for ``reduction="none"``.
        """
        if self._step is None:
            raise RuntimeError(
                f"{self!r}: backward without a forward; call forward once before each backward"
            )
        value, pullback = self._step
        if dy is None and value.shape:
            raise ValueError(
                f"{self!r}: expected an upstream gradient of shape {value.shape}, got none; "
                "call backward(dy), or reduce to one number by reduction='mean'"
            )
        dy = check_upstream(xp.ones_like(value) if dy is None else dy, value, self)
        self._step = None
        gradients = pullback(dy)
        for gradient in gradients if isinstance(gradients, tuple) else (gradients,):
            if not isinstance(gradient, xp.ndarray):
                raise TypeError(
                    f"{self!r}: expected the pullback to return an array for each prediction, "
                    f"got {type(gradient).__name__}"
                )
        return gradients

    def __call__(self, *inputs: Any) -> Any:
        """Compute ``forward`` of arrays; of Tensors, a Tensor to call ``backward()`` on."""
        if not any(isinstance(x, Tensor) for x in inputs):
            return self.forward(*inputs)
        count = len(inputs) - self.targets
        constants = [as_constant(target, repr(self)) for target in inputs[count:]]

        def step(*predictions: Array) -> Result:
            return self.vjp(*predictions, *constants)

        step.__name__ = repr(self)
        return apply(step, *inputs[:count])

    def extra_repr(self) -> str:
        """Return the arguments of the constructor that are not the default, as written."""
        given = []
        for name, parameter in inspect.signature(type(self)).parameters.items():
            value = getattr(self, name, parameter.default)
            if isinstance(value, xp.ndarray):
                given.append(f"{name}=<array {value.shape}>")
            elif value != parameter.default:
                given.append(f"{name}={value!r}")
        return ", ".join(given)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_step"}


class CrossEntropy(Loss):
    """Cross-entropy with integer labels or a distribution, of logits or of probabilities.

    See `functional.cross_entropy` and `functional.cross_entropy_probabilities`. The first prediction that a
    loss from logits sees is looked at: where it is probabilities, the softmax would be applied twice, and a
    warning says so.

    Args:
        from_logits: whether the prediction is logits; ``False`` is for a network that ends with
            ``Softmax()``.
        weight: one weight for each class, ``(K,)``.
        ignore_index: rows with this label count for nothing.
        label_smoothing: the share of the probability that goes to all classes evenly.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> from minidl.backend import asarray
        >>> loss = CrossEntropy()
        >>> loss.forward(asarray([[0.0, 0.0]]), asarray([0]))
        array(0.6931, dtype=float32)
        >>> loss.backward()
        array([[-0.5,  0.5]], dtype=float32)
    """

    def __init__(
        self,
        from_logits: bool = True,
        weight: Array | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        check_class_weight(weight, "CrossEntropy")
        check_ignored(ignore_index, "CrossEntropy")
        self.from_logits = check_flag(from_logits, "from_logits", "CrossEntropy")
        self.weight = weight
        self.ignore_index = ignore_index
        self.label_smoothing = check_smoothing(label_smoothing, "CrossEntropy")
        self._looked = not from_logits

    def vjp(self, prediction: Array, target: Array) -> Result:
        if not self._looked:
            self._looked = True
            self._look_for_probabilities(prediction)
        op = ops.cross_entropy if self.from_logits else ops.cross_entropy_probabilities
        return op(
            prediction,
            target=target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction=self.reduction,
        )

    def _look_for_probabilities(self, prediction: Array) -> None:
        """Warn of a softmax that would be applied twice: the gradient is wrong then, without a word.

        On a GPU this waits for the prediction: once for each loss object, at its first forward.
        """
        rows = to_numpy(prediction)
        within = rows.ndim and rows.size and rows.min() >= 0 and rows.max() <= 1
        if within and abs(rows.sum(axis=-1, dtype="float64") - 1).max() <= 1e-3:
            warnings.warn(
                f"{self!r}: the prediction looks like probabilities, and this loss applies a softmax to it; "
                "drop the Softmax layer, or use CrossEntropy(from_logits=False)",
                UserWarning,
                stacklevel=4,
            )


class NegativeLogLikelihood(Loss):
    """Negative log-likelihood, for a network that ends with ``LogSoftmax()``: see `functional.nll_loss`.

    Args:
        weight: one weight for each class, ``(K,)``.
        ignore_index: rows with this label count for nothing.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
    """

    def __init__(
        self, weight: Array | None = None, ignore_index: int | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        check_class_weight(weight, "NegativeLogLikelihood")
        check_ignored(ignore_index, "NegativeLogLikelihood")
        self.weight = weight
        self.ignore_index = ignore_index

    def vjp(self, prediction: Array, target: Array) -> Result:
        return ops.nll_loss(
            prediction,
            target=target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class KLDivergence(Loss):
    """Divergence of a distribution from log-probabilities: see `functional.kl_div`.

    Args:
        log_target: whether the target is given by its logarithms.
        reduction: ``"mean"`` over the rows, ``"sum"`` or ``"none"``.
    """

    def __init__(self, log_target: bool = False, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.log_target = check_flag(log_target, "log_target", "KLDivergence")

    def vjp(self, prediction: Array, target: Array) -> Result:
        return ops.kl_div(prediction, target=target, log_target=self.log_target, reduction=self.reduction)


class BinaryCrossEntropy(Loss):
    """Cross-entropy of independent yes-or-no questions.

    See `functional.binary_cross_entropy_with_logits` and `functional.binary_cross_entropy`.

    Args:
        from_logits: whether the prediction is logits; ``False`` is for a network that ends with
            ``Sigmoid()``.
        pos_weight: the weight of the positive answers: a number, or one for each place on the last axis.
        reduction: ``"mean"`` over all elements, ``"sum"`` or ``"none"``.

    Example:
        >>> from minidl.backend import asarray
        >>> loss = BinaryCrossEntropy()
        >>> loss.forward(asarray([0.0, 0.0]), asarray([1.0, 0.0]))
        array(0.6931, dtype=float32)
        >>> loss.backward()
        array([-0.25,  0.25], dtype=float32)
    """

    def __init__(
        self, from_logits: bool = True, pos_weight: Array | float = 1.0, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.from_logits = check_flag(from_logits, "from_logits", "BinaryCrossEntropy")
        self.pos_weight = check_positive_weight(pos_weight, "BinaryCrossEntropy")

    def vjp(self, prediction: Array, target: Array) -> Result:
        op = ops.binary_cross_entropy_with_logits if self.from_logits else ops.binary_cross_entropy
        return op(prediction, target=target, pos_weight=self.pos_weight, reduction=self.reduction)


class Focal(Loss):
    """Binary cross-entropy from logits that turns away from easy questions: see `functional.focal_loss`.

    Args:
        alpha: the share of the positive answers, in ``[0, 1]``; ``None`` weighs all alike.
        gamma: how strongly to turn away; 0 not at all.
        reduction: ``"mean"`` over all elements, ``"sum"`` or ``"none"``.
    """

    def __init__(self, alpha: float | None = 0.25, gamma: float = 2.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.alpha, self.gamma = check_focal(alpha, gamma, "Focal")

    def vjp(self, prediction: Array, target: Array) -> Result:
        return ops.focal_loss(
            prediction, target=target, alpha=self.alpha, gamma=self.gamma, reduction=self.reduction
        )


class MeanSquaredError(Loss):
    """Squared error: see `functional.mse_loss`.

    Args:
        reduction: ``"mean"`` over all elements, ``"sum"`` or ``"none"``.

    Example:
        >>> from minidl.backend import asarray
        >>> loss = MeanSquaredError()
        >>> loss.forward(asarray([1.0, 2.0]), asarray([0.0, 4.0]))
        array(2.5, dtype=float32)
        >>> loss.backward()
        array([ 1., -2.], dtype=float32)
    """

    def vjp(self, prediction: Array, target: Array) -> Result:
        return ops.mse_loss(prediction, target=target, reduction=self.reduction)


class L1(Loss):
    """Absolute error: see `functional.l1_loss`.

    Args:
        reduction: ``"mean"`` over all elements, ``"sum"`` or ``"none"``.
    """

    def vjp(self, prediction: Array, target: Array) -> Result:
        return ops.l1_loss(prediction, target=target, reduction=self.reduction)


class SmoothL1(Loss):
    """Absolute error, rounded off around 0: see `functional.smooth_l1_loss`.

    Args:
        beta: the difference at which the loss becomes a straight line.
        reduction: ``"mean"`` over all elements, ``"sum"`` or ``"none"``.
    """

    def __init__(self, beta: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.beta = check_beta(beta, "SmoothL1")

    def vjp(self, prediction: Array, target: Array) -> Result:
        return ops.smooth_l1_loss(prediction, target=target, beta=self.beta, reduction=self.reduction)


class Huber(Loss):
    """Squared for small differences, absolute for large ones: see `functional.huber_loss`.

    Args:
        delta: the difference at which the loss becomes a straight line.
        reduction: ``"mean"`` over all elements, ``"sum"`` or ``"none"``.
    """

    def __init__(self, delta: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.delta = check_delta(delta, "Huber")

    def vjp(self, prediction: Array, target: Array) -> Result:
        return ops.huber_loss(prediction, target=target, delta=self.delta, reduction=self.reduction)


class Hinge(Loss):
    """Cost of scores on the wrong side of a margin, for targets -1 and 1: see `functional.hinge_loss`.

    Args:
        margin: how far on the right side a score has to be.
        reduction: ``"mean"`` over all elements, ``"sum"`` or ``"none"``.
    """

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = read_number(margin, "margin", "Hinge")

    def vjp(self, prediction: Array, target: Array) -> Result:
        return ops.hinge_loss(prediction, target=target, margin=self.margin, reduction=self.reduction)


class MultiMargin(Loss):
    """Cost of classes that come within a margin of the label: see `functional.multi_margin_loss`.

    Args:
        p: 1 or 2.
        margin: how far above all others the score of the label has to be.
        weight: one weight for each class, ``(K,)``.
        reduction: ``"mean"`` over the rows, ``"sum"`` or ``"none"``.
    """

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: Array | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        check_class_weight(weight, "MultiMargin")
        self.p = check_power(p, "MultiMargin")
        self.margin = read_number(margin, "margin", "MultiMargin")
        self.weight = weight

    def vjp(self, prediction: Array, target: Array) -> Result:
        return ops.multi_margin_loss(
            prediction,
            target=target,
            p=self.p,
            margin=self.margin,
            weight=self.weight,
            reduction=self.reduction,
        )


class CosineEmbedding(Loss):
    """Pairs turned towards each other or apart: see `functional.cosine_embedding_loss`.

    It is called as ``forward(first, second, target)``, and ``backward`` returns two gradients.

    Args:
        margin: the cosine up to which vectors are apart enough.
        reduction: ``"mean"`` over the pairs, ``"sum"`` or ``"none"``.
    """

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = read_number(margin, "margin", "CosineEmbedding")

    def vjp(self, first: Array, second: Array, target: Array) -> Result:
        return ops.cosine_embedding_loss(
            first, second, target=target, margin=self.margin, reduction=self.reduction
        )


class Triplet(Loss):
    """Anchors closer to what belongs to them than to what does not: see `functional.triplet_margin_loss`.

    It is called as ``forward(anchor, positive, negative)``, and ``backward`` returns three gradients.

    Args:
        margin: how much farther the negatives have to be.
        p: of the norm, at least 1.
        reduction: ``"mean"`` over the triplets, ``"sum"`` or ``"none"``.
    """

    targets = 0

    def __init__(self, margin: float = 1.0, p: float = 2.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = read_number(margin, "margin", "Triplet")
        self.p = check_norm(p, "Triplet")

    def vjp(self, anchor: Array, positive: Array, negative: Array) -> Result:
        return ops.triplet_margin_loss(
            anchor, positive, negative, margin=self.margin, p=self.p, reduction=self.reduction
        )


def accuracy(prediction: Array, labels: Array) -> float:
    """Return the share of rows whose largest score is that of their label; NaN of no rows.

    A row with a NaN is wrong.

    Args:
        prediction: scores ``(..., K)``: logits or probabilities.
        labels: integer labels ``(...)``.

    Raises:
        ValueError: shapes that do not agree.

    Example:
        >>> from minidl.backend import asarray
        >>> accuracy(asarray([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), asarray([0, 1, 1]))
        0.6667
    """
    scores, wanted = to_numpy(prediction), to_numpy(labels)
    if not scores.ndim or not scores.shape[-1] or scores.shape[:-1] != wanted.shape:
        raise ValueError(
            f"accuracy: expected scores (..., K) and labels (...), got {scores.shape} and {wanted.shape}"
        )
    classes, certain = decided(scores)
    hits = (classes == wanted) & certain
    return float(hits.mean()) if hits.size else math.nan
