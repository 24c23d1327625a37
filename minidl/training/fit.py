"""fit: the training loop that every page shows, with what one usually writes around it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from minidl.layers.base import Layer
from minidl.optim.base import Optimizer
from minidl.training._arguments import as_optimizers, check_kinds, check_metrics, check_model
from minidl.training.checkpoints import Checkpoints
from minidl.training.early_stopping import EarlyStopping
from minidl.training.events import Event
from minidl.training.history import History
from minidl.training.mixed_precision import MixedPrecision
from minidl.training.run import Run, best_keeper
from minidl.training.steps import Steps


def fit(
    model: Layer,
    loss: Any,
    optimizer: Optimizer | Sequence[Optimizer],
    train: Iterable[Any],
    validation: Iterable[Any] | None = None,
    epochs: int = 1,
    *,
    metrics: Mapping[str, Any] | None = None,
    callbacks: Iterable[Callable[[Event], object]] = (),
    micro_batches: int = 1,
    mixed_precision: bool | MixedPrecision = False,
    stopping: EarlyStopping | None = None,
    monitor: str | None = None,
    keep_best: bool = True,
    checkpoints: Checkpoints | None = None,
    parts: Mapping[str, Any] | None = None,
    save_every: int = 0,
    check_every: int = 1,
    progress: bool | None = None,
) -> History:
    """Train a model, and return the history of its losses.

    It does what this loop does, to the bit, and nothing that is not public:

        for x, target in train:
            loss.forward(model.forward(x), target)
            model.backward(loss.backward(), input_grad=False)
            optimizer.step()
            optimizer.zero_grad()

    Ctrl-C ends it after the step at hand as if it were over, a second one at once. A loss or a gradient that
    is infinite or NaN ends it by an error, before the weights are touched.

    Args:
        model: in training mode.
        loss: with ``forward(prediction, target)`` and ``backward()``.
        optimizer: one, or several that share the parameters.
        train: batches ``(x, target)``, to be looped over once an epoch, such as a `DataLoader`.
        validation: batches to be evaluated after each epoch: ``"val_loss"``.
        epochs: how many in all, those before a resumption included.
        metrics: by name, for the training and the validation: ``"accuracy"`` and ``"val_accuracy"``.
        callbacks: functions that are called with an `Event`, to clip gradients, update an average, or stop.
        micro_batches: the parts in which each batch goes through the model, see `micro_batches`.
        mixed_precision: compute in float16, see `MixedPrecision`.
        stopping: told of the monitored number after each epoch; it may end the training.
        monitor: the number that tells how good the model is; by default ``"val_loss"``, or ``"loss"`` where
            there is no validation. The least is the best, unless ``stopping`` says otherwise.
        keep_best: with a validation or a ``stopping`` with a model, end with the best weights, not the last.
        checkpoints: where the run is saved after each epoch and at Ctrl-C, and from where it goes on, bit for
            bit, if something is there. ``train`` then has to have ``state()``, as a `DataLoader` has.
        parts: what else is to be saved, by name: ``{"ema": ema}``.
        save_every: save after so many steps as well; 0 for not.
        check_every: look after so many steps whether loss and gradients are finite; 0 for never. On a GPU
            each look is a wait; in between, an error may be noticed late, and its layer no longer be found.
        progress: draw a bar; by default on a terminal, if tqdm is there.

    Raises:
        FloatingPointError: a loss or a gradient is infinite or NaN. It says at which step, in which layer,
            and what to try. The model is as it was before that step.
        TypeError, ValueError: something is not as described above.

    Example:
        >>> import minidl
        >>> from minidl.backend import xp
        >>> from minidl.data import DataLoader
        >>> from minidl.optim import AdamW
        >>> x, labels = xp.eye(4, dtype="float32"), xp.arange(4)
        >>> model = minidl.Linear(4, 4, seed=0)
        >>> optimizer = AdamW(model.parameters(), lr=0.1)
        >>> batches = DataLoader((x, labels), batch_size=2, shuffle=True, seed=0)
        >>> history = fit(model, minidl.CrossEntropy(), optimizer, batches, epochs=20, progress=False)
        >>> history.epochs[-1]["loss"] < 0.1 < history.epochs[0]["loss"]
        True
    """
    check_model(model, loss)
    check_kinds(train, validation, callbacks, mixed_precision, stopping, checkpoints, parts)
    check_metrics(metrics)
    optimizers = as_optimizers(optimizer, model)
    steps = Steps(model, loss, optimizers, mixed_precision, micro_batches, check_every, metrics or {})
    if stopping is None and validation is not None and keep_best:
        stopping = best_keeper(model, monitor)
    run = Run(
        steps, train, validation, callbacks, stopping, monitor, checkpoints, parts or {}, save_every, progress
    )
    run.go(epochs)
    if keep_best and stopping is not None and stopping.model is not None and stopping.best is not None:
        stopping.restore()
    run.tell("end")
    return run.history
