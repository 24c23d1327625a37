"""One run of `fit`: its epochs, where it is, and all that has to be saved for it to go on."""

import copy
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from minidl.backend import check_int
from minidl.training._arguments import check_monitor
from minidl.training.checkpoints import Checkpoints
from minidl.training.early_stopping import EarlyStopping
from minidl.training.evaluation import evaluate
from minidl.training.events import Event
from minidl.training.history import History
from minidl.training.interrupt import Interrupt
from minidl.training.progress import Progress
from minidl.training.steps import Steps

PLACE = ("epoch", "step", "validating")


class Run:
    """The epochs of a training run, and how far they have come; the arguments are those of `fit`."""

    def __init__(
        self,
        steps: Steps,
        train: Iterable[Any],
        validation: Iterable[Any] | None,
        callbacks: Iterable[Callable[[Event], object]],
        stopping: EarlyStopping | None,
        monitor: str | None,
        checkpoints: Checkpoints | None,
        parts: Mapping[str, Any],
        save_every: int,
        progress: bool | None,
    ) -> None:
        self.steps, self.train, self.validation = steps, train, validation
        self.callbacks = tuple(callbacks)
        self.stopping = stopping
        self.monitor = monitor or ("loss" if validation is None else "val_loss")
        self.checkpoints = checkpoints
        self.extra = dict(parts)
        self.save_every = check_int(save_every, "fit", "save_every")
        self.visible = False if progress is None and importlib.util.find_spec("tqdm") is None else progress
        self.val_metrics = copy.deepcopy(dict(steps.metrics))
        self.history = History()
        self.interrupt = Interrupt()
        self.epoch = self.step = self.epochs = 0  # how many are done, and are to be done
        self.validating = False  # the steps of an epoch are done, its validation is not
        self.reason = "epochs"
        self._check()

    def go(self, epochs: int) -> None:
        """Begin, or go on from the latest checkpoint, until so many epochs are done, or something ends it."""
        self.epochs = check_int(epochs, "fit", "epochs")
        if epochs < 0:
            raise ValueError(f"fit: expected epochs of at least 0, got {epochs}")
        self._restore()
        self.steps.zero_grad()
        with self.interrupt:
            while self.epoch < self.epochs and not self._is_over():
                if not self.validating:
                    self._train_epoch()
                if self.validating:
                    self._end_epoch()

    def _restore(self) -> None:
        if self.checkpoints is None:
            return
        try:
            self.checkpoints.restore(**self._parts())
        except ValueError as error:
            error.add_note(
                "fit: a run goes on with the same model, optimizers, metrics, validation and parts; "
                "name another folder to begin anew"
            )
            raise

    def tell(self, kind: str, values: Mapping[str, float] | None = None) -> None:
        """Call the callbacks."""
        for callback in self.callbacks:
            event = Event(
                kind=kind,
                epoch=min(self.epoch + 1, self.epochs),
                step=self.step,
                loss=self.steps.value,
                values=values or {},
                reason=self.reason if kind == "end" else "",
                model=self.steps.model,
                optimizers=self.steps.optimizers,
                history=self.history,
                stop=self._stop,
            )
            callback(event)

    def state(self) -> dict[str, Any]:
        """Return the place in the run."""
        return {name: getattr(self, name) for name in PLACE}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a place in a run."""
        if state.keys() != set(PLACE):
            raise ValueError(f"fit: expected a place in a run, got {', '.join(sorted(state))}")
        self.epoch, self.step = int(state["epoch"]), int(state["step"])
        self.validating = bool(state["validating"])

    def _train_epoch(self) -> None:
        """Do what is left of the steps of an epoch."""
        description = f"epoch {self.epoch + 1}/{self.epochs}"
        bar = Progress(self.train, description=description, visible=self.visible)
        for batch in bar:
            self._take_step(batch)
            bar.show(loss=self.steps.value)
            if self._is_over() or (self.save_every and self.step % self.save_every == 0):
                self._save()
            if self._is_over():
                return
        if self.step == (self.history.epochs[-1]["step"] if self.history.epochs else 0):
            raise ValueError(
                f"fit: expected batches to train on, got none in epoch {self.epoch + 1}; an iterator that "
                "was used up? pass a DataLoader or a list"
            )
        self.validating = True

    def _take_step(self, batch: Any) -> None:
        count = self.steps.take(batch, self.step + 1, self._between)
        self.history.record(self.step, loss=self.steps.value, count=count)
        self.tell("step")

    def _between(self) -> None:
        self.step += 1
        self.tell("gradients")

    def _end_epoch(self) -> None:
        """Validate, write down, tell, and save; or nothing of it, if there is a Ctrl-C meanwhile."""
        values = {name: metric.compute() for name, metric in self.steps.metrics.items()}
        if self.validation is not None:
            scores = self._validate(self.validation)
            if scores is None:
                self._save()
                return
            values |= {f"val_{name}": value for name, value in scores.items()}
        row = self.history.end_epoch(**values)
        for metric in self.steps.metrics.values():
            metric.reset()
        if self.stopping is not None:
            self.stopping.report(row[self.monitor])
        self.tell("epoch", row)
        self.epoch, self.validating = self.epoch + 1, False
        self._save(row[self.monitor])

    def _validate(self, batches: Any) -> dict[str, float] | None:
        """Return the loss and the metrics of the validation, or None if Ctrl-C has cut it short."""
        place = batches.state() if _is_stateful(batches) else None
        count, cut = 0, False

        def until_pressed() -> Iterator[Any]:
            nonlocal count, cut
            for batch in batches:
                if self.interrupt.pressed:
                    cut = True
                    return
                count += 1
                yield batch

        scores = evaluate(self.steps.model, self.steps.loss, until_pressed(), self.val_metrics)
        if cut and place is not None:
            batches.load_state(place)
        if not count and not cut:
            raise ValueError("fit: expected batches to validate on, got none; an iterator that was used up?")
        return None if cut else scores

    def _is_over(self) -> bool:
        """Tell whether something ends the run before all epochs are done, and note what."""
        if self.interrupt.pressed:
            self.reason = "interrupt"
        elif self.stopping is not None and self.stopping.stopped:
            self.reason = "patience"
        return self.reason != "epochs"

    def _stop(self) -> None:
        self.reason = "callback"

    def _save(self, metric: float | None = None) -> None:
        if self.checkpoints is not None:
            self.checkpoints.save(self.step, metric=metric, **self._parts())

    def _parts(self) -> dict[str, Any]:
        """Return all that the next step depends on, by the names it has in a checkpoint."""
        steps = self.steps
        parts = {"model": steps.model, "train": self.train, "history": self.history, "run": self}
        parts |= {f"optimizer{i or ''}": optimizer for i, optimizer in enumerate(steps.optimizers)}
        parts |= {f"metric_{name}": metric for name, metric in steps.metrics.items()}
        parts |= {"scaler": steps.mixed, "stopping": self.stopping}
        parts |= {"validation": self.validation if _is_stateful(self.validation) else None}
        if taken := parts.keys() & self.extra.keys():
            raise ValueError(f"fit: expected other names in parts than {', '.join(sorted(taken))}")
        return {name: part for name, part in parts.items() if part is not None} | self.extra

    def _check(self) -> None:
        """Refuse now what would otherwise come to light after an epoch."""
        check_monitor(self.monitor, self.steps.metrics, self.validation is not None)
        if self.save_every < 0:
            raise ValueError(f"fit: expected save_every of at least 0, got {self.save_every}")
        if self.save_every and self.checkpoints is None:
            raise ValueError("fit: expected checkpoints beside save_every, to say where to; got None")
        for callback in self.callbacks:
            if not callable(callback):
                raise TypeError(f"fit: expected functions as callbacks, got {type(callback).__name__}")
        self._parts()
        if self.checkpoints is not None and not _is_stateful(self.train):
            raise TypeError(
                "fit: expected train with state() and load_state(), such as a DataLoader, for checkpoints, "
                f"got {type(self.train).__name__}"
            )


def best_keeper(model: Any, monitor: str | None) -> EarlyStopping:
    """Return what keeps the best weights where nothing is to stop the training."""
    if monitor not in (None, "val_loss", "loss"):
        raise ValueError(
            f"fit: expected stopping beside monitor={monitor!r}, to say whether small or large is good: "
            "stopping=EarlyStopping(model, patience=..., mode='max')"
        )
    return EarlyStopping(model, patience=sys.maxsize)


def _is_stateful(value: object) -> bool:
    return hasattr(value, "state") and hasattr(value, "load_state")
