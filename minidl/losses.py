"""Losses as objects with a ``forward`` and a ``backward``, and the accuracy of a classifier.

Each is a thin surface over one operation; the formulas stand in ``minidl.functional``.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

from minidl import ops
from minidl.backend import Array, to_numpy, xp
from minidl.functional.loss import as_constant
from minidl.ops._losses import check_reduction
from minidl.tensor import Tensor, apply, check_upstream

Result: TypeAlias = "tuple[Array, Callable[[Array], Any]]"


class Loss:
    """What all losses have in common; a subclass writes ``vjp`` and, for its repr, ``extra_repr``.

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

    def __init__(self, reduction: str = "mean") -> None:
        check_reduction(reduction, type(self).__name__)
        self.reduction = reduction
        self._step: Result | None = None

    def vjp(self, *inputs: Any, **named: Any) -> Result:
        """Return the value and its pullback, which gives the gradient of the prediction, or of each one."""
        raise NotImplementedError(f"{type(self).__name__}: a loss defines vjp(prediction, target)")

    def forward(self, *inputs: Array) -> Array:
        """Return the loss of a prediction and a target, and keep what ``backward`` needs."""
        self._step = None
        try:
            self._step = self.vjp(*inputs)
        except (TypeError, ValueError) as error:
            error.add_note(f"in {self!r}")
            raise
        return self._step[0]

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
        dy = check_upstream(xp.ones_like(value) if dy is None else dy, value, repr(self))
        self._step = None
        return pullback(dy)

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
        """Return the arguments of the constructor, as written."""
        return "" if self.reduction == "mean" else f"reduction={self.reduction!r}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"


class CrossEntropy(Loss):
    """Cross-entropy with integer labels or a distribution, of logits or of probabilities.

    See ``minidl.functional.cross_entropy`` and ``cross_entropy_probabilities``. The first prediction that a
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
        self.from_logits = from_logits
        self.weight = weight
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
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
        """Warn of a softmax that would be applied twice: the gradient is wrong then, without a word."""
        rows = to_numpy(prediction)
        within = rows.ndim and rows.size and rows.min() >= 0 and rows.max() <= 1
        if within and abs(rows.sum(axis=-1, dtype="float64") - 1).max() <= 1e-3:
            warnings.warn(
                f"{self!r}: the prediction looks like probabilities, and this loss applies a softmax to it; "
                "drop the Softmax layer, or use CrossEntropy(from_logits=False)",
                UserWarning,
                stacklevel=4,
            )

    def extra_repr(self) -> str:
        given = [] if self.from_logits else ["from_logits=False"]
        if self.weight is not None:
            given.append(f"weight=<{self.weight.size} classes>")
        if self.ignore_index is not None:
            given.append(f"ignore_index={self.ignore_index}")
        if self.label_smoothing:
            given.append(f"label_smoothing={self.label_smoothing}")
        if self.reduction != "mean":
            given.append(super().extra_repr())
        return ", ".join(given)


class MeanSquaredError(Loss):
    """Squared error: see ``minidl.functional.mse_loss``.

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


def accuracy(prediction: Array, labels: Array) -> float:
    """Return the share of rows whose largest score is that of their label; NaN of no rows.

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
    hits = scores.argmax(axis=-1) == wanted
    return float(hits.mean()) if hits.size else math.nan
