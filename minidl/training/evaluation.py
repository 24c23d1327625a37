"""Evaluation: the loss and the metrics of a model over a data set, with nothing of the model changed."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from minidl.layers.base import Layer
from minidl.training.metrics import Mean


def evaluate(
    model: Layer, loss: Any, batches: Iterable[Any], metrics: Mapping[str, Any] | None = None
) -> dict[str, float]:
    """Return the mean of the loss over all samples, under ``"loss"``, and the metrics by their names.

    Layers are in evaluation mode meanwhile, and then in the one that each had before.

    Args:
        model: whose ``predict`` is taken.
        loss: with ``forward``; where its reduction is not ``"mean"``, its mean over the batches is returned.
        batches: tuples ``(x, target)``, such as those of a `DataLoader`.
        metrics: by name; what they have seen before is forgotten.

    Raises:
        TypeError: a batch is no such tuple.

    Example:
        >>> import minidl
        >>> from minidl.backend import xp
        >>> from minidl.training import Accuracy
        >>> model = minidl.Linear(2, 3, seed=0)
        >>> data = minidl.data.DataLoader((xp.ones((5, 2), "float32"), xp.zeros(5, "int64")), batch_size=2)
        >>> evaluate(model, minidl.CrossEntropy(), data, {"accuracy": Accuracy()})
        {'loss': 1.4736, 'accuracy': 0.0}
    """
    metrics, mean = metrics or {}, Mean()
    for metric in metrics.values():
        metric.reset()
    with _evaluating(model):
        for batch in batches:
            x, targets = split(batch, "evaluate")
            prediction = model.predict(x)
            mean.update(loss.forward(prediction, *targets), count=weight(loss, x))
            for metric in metrics.values():
                metric.update(prediction, *targets)
    return {"loss": mean.compute(), **{name: metric.compute() for name, metric in metrics.items()}}


def split(batch: Any, owner: str) -> tuple[Any, tuple[Any, ...]]:
    """Return the input of a batch, and what the loss takes beside the prediction."""
    if not isinstance(batch, (tuple, list)) or len(batch) < 2:
        raise TypeError(
            f"{owner}: expected batches (x, target), got {type(batch).__name__}; for (x, target) pass "
            "DataLoader((x, target), batch_size=...), and without targets batches (x, x)"
        )
    return batch[0], tuple(batch[1:])


def weight(loss: Any, x: Any) -> int:
    """Return what the loss of a batch counts in a mean: its samples, if it is a mean itself."""
    first = x
    while isinstance(first, tuple):
        first = first[0]
    return len(first) if getattr(loss, "reduction", "mean") == "mean" else 1


@contextmanager
def _evaluating(model: Layer) -> Iterator[None]:
    modes = [(layer, layer.training) for _, layer in model.named_layers()]
    model.eval()
    try:
        yield
    finally:
        for layer, training in modes:
            layer.training = training
