"""Events: what happens in `fit`, for callbacks, which are plain functions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from minidl.backend import Array
from minidl.layers.base import Layer
from minidl.optim.base import Optimizer
from minidl.training.history import History


@dataclass(frozen=True)
class Event:
    """What a callback of `fit` is told."""

    kind: str
    """``"gradients"``: they are there, and the update is not done yet; ``"step"``: it is; ``"epoch"``: the
    epoch is over, validated and written down; ``"end"``: nothing follows."""
    epoch: int
    """The number of the epoch, from 1."""
    step: int
    """The number of the step, from 1 at the beginning of the first epoch."""
    loss: Array
    """Of the latest batch, a 0-d array: reading it as a number waits for the GPU."""
    values: Mapping[str, float]
    """With ``"epoch"``: its row of the history, such as ``{"loss": 0.3, "val_loss": 0.4}``."""
    reason: str
    """With ``"end"``: ``"epochs"`` (all are done), ``"patience"``, ``"callback"`` or ``"interrupt"``."""
    model: Layer
    optimizers: Sequence[Optimizer]
    history: History
    stop: Callable[[], None]
    """Call it to end the training after this."""
