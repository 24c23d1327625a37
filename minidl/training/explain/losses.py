"""The end of the forward pass and the beginning of the backward one: the loss, and its gradient."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from minidl import losses
from minidl.backend import to_numpy
from minidl.training.explain.by_hand.pointwise import exp
from minidl.training.explain.records import Statistics, arrays_of, statistics_of
from minidl.training.explain.seen import Batch
from minidl.training.explain.worked import Index, Worked, Working, at, close, number


class LossRecord(NamedTuple):
    """The loss of the batch: its formula, its value, its gradient, and an element of it worked through."""

    loss: str
    """Its repr."""
    value: list[float]
    forward: str
    pullback: str
    statistics: list[Statistics]
    gradient: Worked | None


class _Formulas(NamedTuple):
    forward: str
    pullback: str
    plain: dict[str, Any]  # the options with which the number is worked through
    hand: Callable[[Any, Any, Index], Working]


def _cross_entropy(y: Any, target: Any, index: Index) -> Working:
    """dy_k = (softmax(y)_k - [k is the label]) / N."""
    *row, k = index
    scores = [float(v) for v in y[tuple(row)]]
    top, count, label = max(scores), math.prod(y.shape[:-1]), int(target[tuple(row)])
    powers = [exp(v - top) for v in scores]
    share = powers[k] / sum(powers)
    value = (share - (k == label)) / count
    rows = [
        (at("y", (*row, j)), v, e / sum(powers)) for j, (v, e) in enumerate(zip(scores, powers, strict=True))
    ]
    steps = [f"the label is {label}; the softmax gives its class {number(powers[label] / sum(powers))}"]
    steps.append(
        f"the loss of this row: -log {number(powers[label] / sum(powers))} = {_log_loss(powers, label)}"
    )
    steps.append(f"{at('dy', index)} = ({number(share)} - {int(k == label)}) / {count} = {number(value)}")
    scale = (1 + abs(top)) / count
    return Working(value, scale, steps, ("logit", "value", "softmax"), rows)


def _log_loss(powers: list[float], label: int) -> str:
    share = powers[label] / sum(powers)
    return number(-math.log(share)) if share > 0 else number(math.inf)


def _squares(y: Any, target: Any, index: Index) -> Working:
    """dy = 2 (y - t) / (count of the numbers)."""
    a, t, count = float(y[index]), float(target[index]), y.size
    value = 2 * (a - t) / count
    steps = [f"{at('dy', index)} = 2 * ({number(a)} - {number(t)}) / {count} = {number(value)}"]
    return Working(value, 2 * (abs(a) + abs(t)) / count, steps)


TABLE: dict[type, _Formulas] = {
    losses.CrossEntropy: _Formulas(
        "L = mean_n (log sum_k e^{y_{n, k}} - y_{n, t_n}), t_n the label",
        "dy_{n, k} = (softmax(y_n)_k - [k = t_n]) / N",
        {
            "from_logits": True,
            "weight": None,
            "ignore_index": None,
            "label_smoothing": 0.0,
            "reduction": "mean",
        },
        _cross_entropy,
    ),
    losses.MeanSquaredError: _Formulas(
        "L = mean (y - t)^2", "dy = 2 (y - t) / (how many numbers)", {"reduction": "mean"}, _squares
    ),
}


def loss_record(batch: Batch, targets: tuple[Any, ...], sample: int) -> LossRecord:
    """Return what the page says about the loss."""
    call, loss = batch.root, batch.loss
    formulas = TABLE.get(type(loss))
    arrays = [*arrays_of("t", targets[0] if len(targets) == 1 else targets), *arrays_of("dy", call.dy)]
    return LossRecord(
        repr(loss),
        to_numpy(batch.value).reshape(-1).tolist(),
        formulas.forward if formulas else f"L = {type(loss).__name__}(y, t)",
        formulas.pullback if formulas else "dy = the slopes of L",
        [statistics_of(name, array) for name, array in arrays if hasattr(array, "dtype")],
        _worked(call, loss, formulas, targets, sample),
    )


def _worked(call: Any, loss: Any, formulas: _Formulas | None, targets: tuple[Any, ...], sample: int) -> Any:
    """Work through the gradient at the label, or at the first number, of the sample."""
    if formulas is None or any(getattr(loss, name) != value for name, value in formulas.plain.items()):
        return None
    y, target, dy = to_numpy(call.y), to_numpy(targets[0]), to_numpy(call.dy)
    labels = formulas.hand is _cross_entropy
    if labels and target.shape != y.shape[:-1]:
        return None
    index = (sample, *(0,) * (y.ndim - 1))
    if labels:
        label = int(target[index[:-1]])
        if not 0 <= label < y.shape[-1]:  # on CuPy this has not raised, but given NaN
            return None
        index = (*index[:-1], label)
    working = formulas.hand(y, target, index)
    found = float(dy[index])
    agrees = close(working.value, found, working.scale, dy.dtype)
    rows = [list(row) for row in working.rows]
    return Worked(
        at("dy", index), working.value, found, agrees, list(working.steps), list(working.columns), rows
    )
