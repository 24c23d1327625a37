"""One step of `fit`: a batch forward and back, a look at its numbers, and the update."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from minidl.backend import Array, asarray, check_int, xp
from minidl.layers.base import Layer
from minidl.layers.parameter import Buffer
from minidl.optim.base import Optimizer
from minidl.training.accumulation import micro_batches
from minidl.training.evaluation import split, weight
from minidl.training.mixed_precision import MixedPrecision
from minidl.training.nonfinite import NonFinite, find_nonfinite, finite_gradients

Before = list[tuple[Buffer, Array]]

EMPTY = "the batch has no samples, of which there is no mean; leave it out"
UNFOUND = (
    "run again, the batch gives finite numbers: it depends on something random, or the sum of its gradients "
    "is too large; lower the learning rate"
)


class Steps:
    """Takes one step after another, as the loop that every page shows.

    Args:
        model: in training mode.
        loss: with ``forward`` and ``backward``.
        optimizers: that share the parameters.
        mixed: whether, or by what, to compute in float16.
        parts: in which each batch goes through the model.
        check_every: look after so many steps for infinite and NaN numbers, 0 for never.
        metrics: told of every prediction.
    """

    def __init__(
        self,
        model: Layer,
        loss: Any,
        optimizers: Sequence[Optimizer],
        mixed: bool | MixedPrecision,
        parts: int,
        check_every: int,
        metrics: Mapping[str, Any],
    ) -> None:
        self.model = model
        self.loss = loss
        self.optimizers = optimizers
        self.mixed = MixedPrecision(model, *optimizers) if mixed is True else mixed or None
        if self.mixed and (self.mixed.model is not model or set(self.mixed.optimizers) != set(optimizers)):
            raise ValueError("fit: expected mixed_precision over the same model and optimizers, got others")
        self.parts = check_int(parts, "fit", "micro_batches")
        self.check_every = check_int(check_every, "fit", "check_every")
        if self.parts < 1 or self.check_every < 0:
            raise ValueError(
                f"fit: expected micro_batches >= 1 and check_every >= 0, got {parts} and {check_every}"
            )
        self.metrics = metrics
        self.net: Any = self.mixed or model
        self.value = asarray(math.nan)  # of the latest loss
        self._buffers: list[Buffer] = [buffer for _, buffer in model.buffers()]
        self._parameters = [p for optimizer in optimizers for p in optimizer.parameters]
        updated = {id(p) for p in self._parameters}
        self._others = [p for p in model.parameters() if id(p) not in updated]

    def take(self, batch: Any, number: int, between: Callable[[], None]) -> int:
        """Take one step and return what it counts in a mean; call ``between`` with the gradients at hand.

        Raises:
            FloatingPointError: the loss or a gradient is not finite; the model is as it was before.
        """
        before = [(buffer, buffer.data) for buffer in self._buffers]
        x, targets = split(batch, "fit")
        self.value = self._add_gradients(x, targets)
        if self.check_every and number % self.check_every == 0:
            self._check_finite(x, targets, number, before)
        between()
        if self.mixed is not None:
            self.mixed.step()
        else:
            for optimizer in self.optimizers:
                optimizer.step()
        self.zero_grad()
        return weight(self.loss, x)

    def zero_grad(self) -> None:
        """Set all gradients to zero."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        for p in self._others:  # a norm over the whole model would grow with each step
            p.zero_grad()

    def _add_gradients(self, x: Any, targets: tuple[Any, ...]) -> Array:
        """Take a batch forward and back, in parts if asked to; return its loss."""
        total: Any = None
        for part, part_targets, share in self._cut(x, targets):
            prediction = self.net.forward(part)
            value = self.loss.forward(prediction, *part_targets)
            dy = self.loss.backward() if share is None else self.loss.backward(share)
            self.net.backward(dy, input_grad=False)
            value = value if share is None else value * share
            total = value if total is None else total + value
            for metric in self.metrics.values():
                metric.update(prediction, *part_targets)
        return xp.asarray(total)

    def _cut(self, x: Any, targets: tuple[Any, ...]) -> Iterator[tuple[Any, tuple[Any, ...], Any]]:
        """Yield the parts of a batch, their targets, and what their loss counts; None is a 1."""
        parts = [] if self.parts == 1 else list(micro_batches((x, *targets), self.parts))
        if not parts:  # nor are there any of a batch without samples
            yield x, targets, None
            return
        mean = getattr(self.loss, "reduction", "mean") == "mean"
        for (part, *part_targets), share in parts:
            yield part, tuple(part_targets), share if mean else None

    def _check_finite(self, x: Any, targets: tuple[Any, ...], number: int, before: Before) -> None:
        """Raise if the loss or the gradients are no finite numbers; this waits for the GPU."""
        finite = xp.isfinite(self.value)
        if self.mixed is None:  # which has a way of its own with infinite gradients
            finite = finite & finite_gradients(self._parameters)
        if finite:
            return
        self.zero_grad()
        found = self._find(x, targets, before) if weight(self.loss, x) else EMPTY
        value = float(self.value)
        what = "a gradient is not finite" if math.isfinite(value) else f"the loss is {value}"
        raise FloatingPointError(f"fit: in step {number} {what}: {found or UNFOUND}")

    def _find(self, x: Any, targets: tuple[Any, ...], before: Before) -> NonFinite | None:
        """Run the batch again, from the statistics and counters of before, which are put back in the end."""
        _rewind(before)
        try:
            for part, part_targets, _ in self._cut(x, targets):
                if found := find_nonfinite(self.net, self.loss, part, *part_targets):
                    return found
                self.net.forward(part)
            return None
        finally:
            _rewind(before)


def _rewind(before: Before) -> None:
    for buffer, data in before:
        buffer.data = data
