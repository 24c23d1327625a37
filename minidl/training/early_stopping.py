"""EarlyStopping: end a training that gets no better, and go back to where it was best."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from minidl.backend import Array, asarray, check_int
from minidl.layers.base import Layer
from minidl.ops._options import read_number
from minidl.training._numbers import as_float, one_number

WEIGHTS = "weights."
COUNTERS = ("reports", "bad_reports", "best_report")


class EarlyStopping:
    """Say when a reported number has stopped getting better, and keep the best weights.

    Args:
        model: whose weights and statistics are kept, as copies, or ``None`` to keep none.
        patience: stop after so many reports in a row without a new best.
        min_delta: by how much more than this a new best has to be better; it is a difference, not a share.
        mode: whether small (``"min"``) or large numbers (``"max"``) are good.

    Example:
        >>> from minidl import Linear
        >>> model = Linear(2, 1)
        >>> stopping = EarlyStopping(model, patience=2)
        >>> for loss in (0.9, 0.5, 0.6, 0.7, 0.1):
        ...     if stopping.report(loss):
        ...         break
        >>> stopping.best, stopping.best_report, stopping.reports
        (0.5, 2, 4)
        >>> stopping.restore()
    """

    def __init__(
        self,
        model: Layer | None = None,
        *,
        patience: int,
        min_delta: float = 0.0,
        mode: Literal["min", "max"] = "min",
    ) -> None:
        if not (model is None or isinstance(model, Layer)):
            raise TypeError(f"EarlyStopping: expected a layer or None, got {type(model).__name__}")
        self.model = model
        self.patience = check_int(patience, "EarlyStopping", "patience")
        self.min_delta = read_number(min_delta, "min_delta", "EarlyStopping")
        if self.patience < 1:
            raise ValueError(f"EarlyStopping: expected patience >= 1, got {patience}")
        if not 0 <= self.min_delta < math.inf:
            raise ValueError(f"EarlyStopping: expected min_delta >= 0 and finite, got {min_delta}")
        if mode not in ("min", "max"):
            raise ValueError(f"EarlyStopping: expected mode as 'min' or 'max', got {mode!r}")
        self.mode = mode
        self.best: float | None = None
        self.reports = self.bad_reports = self.best_report = 0
        self._weights: dict[str, Array] = {}

    @property
    def stopped(self) -> bool:
        """Whether the patience is used up."""
        return self.bad_reports >= self.patience

    def report(self, value: Any) -> bool:
        """Take note of a number, say the loss of a validation, and return whether to stop.

        NaN is never better. This waits for the GPU, as what comes next depends on it.
        """
        number = as_float(one_number(value, "value", "EarlyStopping"))
        self.reports += 1
        if not self._is_better(number):
            self.bad_reports += 1
            return self.stopped
        self.best, self.best_report, self.bad_reports = number, self.reports, 0
        self._weights = self.model.state() if self.model is not None else {}
        return False

    def restore(self) -> None:
        """Put the best weights back into the model.

        Raises:
            RuntimeError: there is no model, or there was no report better than NaN.
        """
        if self.model is None:
            raise RuntimeError(
                "EarlyStopping: there is no model to restore; EarlyStopping(model, ...) keeps it"
            )
        if self.best is None:
            raise RuntimeError(
                "EarlyStopping: no weights to restore; report a number, which is no NaN, first"
            )
        self.model.load_state(self._weights)

    def state(self) -> dict[str, Any]:
        """Return what `load_state` needs to go on from here, the best weights included."""
        weights = {f"{WEIGHTS}{name}": value.copy() for name, value in self._weights.items()}
        return {"best": self.best, **{name: getattr(self, name) for name in COUNTERS}, **weights}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state` was taken, or raise and change nothing."""
        weights = {
            name.removeprefix(WEIGHTS): asarray(value)
            for name, value in state.items()
            if name.startswith(WEIGHTS)
        }
        own = {} if self.model is None or state.get("best") is None else self.model.state()
        names = {"best", *COUNTERS, *(f"{WEIGHTS}{name}" for name in own)}
        if state.keys() != names or any(own[name].shape != value.shape for name, value in weights.items()):
            raise ValueError(
                f"EarlyStopping: expected a state of {', '.join(sorted(names))}, with weights of the shapes "
                f"of the model, got {', '.join(sorted(state))}"
            )
        self.best = None if state["best"] is None else float(state["best"])
        self.reports, self.bad_reports, self.best_report = (int(state[name]) for name in COUNTERS)
        self._weights = {name: value.copy() for name, value in weights.items()}

    def _is_better(self, number: float) -> bool:
        if math.isnan(number) or self.best is None:
            return not math.isnan(number)
        gain = self.best - number if self.mode == "min" else number - self.best
        return gain > self.min_delta
