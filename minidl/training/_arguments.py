"""What `fit` is given: refused at once, in the words of `fit`, where it would fail later and elsewhere."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from minidl.layers.base import Layer
from minidl.optim.base import Optimizer
from minidl.training.checkpoints import Checkpoints
from minidl.training.early_stopping import EarlyStopping
from minidl.training.history import RESERVED
from minidl.training.mixed_precision import MixedPrecision


def check_model(model: object, loss: object) -> None:
    """Refuse what is no model in training mode, and what is no loss."""
    if not isinstance(model, Layer):
        raise TypeError(f"fit: expected a layer as the model, got {type(model).__name__}")
    if not model.training:
        raise ValueError("fit: expected a model in training mode, got one after eval(); call model.train()")
    if isinstance(loss, type) or not (hasattr(loss, "forward") and hasattr(loss, "backward")):
        raise TypeError(
            f"fit: expected a loss with forward and backward, got {type(loss).__name__}; "
            "minidl.losses has one for each function"
        )


def as_optimizers(optimizer: Any, model: Layer) -> tuple[Optimizer, ...]:
    """Return one or several optimizers as a tuple; refuse others, and those of another model."""
    several = isinstance(optimizer, Iterable) and not isinstance(optimizer, str)
    optimizers = tuple(optimizer) if several else (optimizer,)
    if not optimizers:
        raise TypeError("fit: expected an optimizer, got none")
    for each in optimizers:
        if not isinstance(each, Optimizer):
            raise TypeError(f"fit: expected an optimizer, or several, got {type(each).__name__}")
    updated = {id(p) for each in optimizers for p in each.parameters}
    if updated.isdisjoint(map(id, model.parameters())):
        raise ValueError(
            "fit: expected optimizers of the model's parameters, got none of these; "
            "make them after the model, with model.parameters()"
        )
    return optimizers


def check_kinds(
    train: object,
    validation: object,
    callbacks: object,
    mixed_precision: object,
    stopping: object,
    checkpoints: object,
    parts: object,
) -> None:
    """Refuse arguments of another kind than `fit` describes."""
    for name, batches in (("train", train), ("validation", validation)):
        if not isinstance(batches, Iterable) and not (name == "validation" and batches is None):
            raise TypeError(
                f"fit: expected {name} as batches, got {type(batches).__name__}; pass a DataLoader or a list"
            )
    if callable(callbacks) or not isinstance(callbacks, Iterable):
        got = "a function; put it between brackets" if callable(callbacks) else type(callbacks).__name__
        raise TypeError(f"fit: expected a list of callbacks, got {got}")
    if not isinstance(mixed_precision, bool | MixedPrecision):
        _refuse("mixed_precision as True, False or a MixedPrecision", mixed_precision)
    if not isinstance(stopping, EarlyStopping | None):
        _refuse("stopping as an EarlyStopping", stopping)
    if not isinstance(checkpoints, Checkpoints | None):
        _refuse("checkpoints as Checkpoints(folder)", checkpoints)
    if not isinstance(parts, Mapping | None):
        _refuse("parts as a dict", parts)


def check_metrics(metrics: object) -> None:
    """Refuse what are no metrics by name."""
    if metrics is None:
        return
    if not isinstance(metrics, Mapping):
        raise TypeError(
            f"fit: expected metrics as a dict, got {type(metrics).__name__}; "
            'give each a name: {"accuracy": Accuracy()}'
        )
    for name, metric in metrics.items():
        taken = name in ("loss", *RESERVED)
        if not (isinstance(name, str) and name.isidentifier()) or taken or name.startswith("val_"):
            raise ValueError(f"fit: expected names for metrics such as 'accuracy', got {name!r}")
        if isinstance(metric, type) or not (hasattr(metric, "update") and hasattr(metric, "compute")):
            raise TypeError(f"fit: expected metrics such as Accuracy(), got {type(metric).__name__}")


def check_monitor(monitor: str, metrics: Mapping[str, Any], has_validation: bool) -> None:
    """Refuse a number that no epoch will have."""
    names: Sequence[str] = ["loss", *metrics]
    names = [*names, *(f"val_{name}" for name in names if has_validation)]
    if monitor not in names:
        raise ValueError(f"fit: expected monitor as one of {', '.join(names)}, got {monitor!r}")


def _refuse(expected: str, got: object) -> None:
    raise TypeError(f"fit: expected {expected}, got {type(got).__name__}")
