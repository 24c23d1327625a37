"""EMA: a running average of the weights, which often does better than the last of them."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from minidl.backend import Array, asarray, copy_into
from minidl.layers.parameter import Parameter
from minidl.ops._precision import widen
from minidl.optim.flat import blocks
from minidl.optim.groups import Hyper, check, collect, read_state, resolve


class EMA:
    """An exponential moving average of parameters (Polyak and Juditsky, 1992).

    Args:
        parameters: ``model.parameters()``. Buffers, such as those of BatchNorm, are averages already.
        decay: how much of the average is kept at each update, a number or a schedule.

    Example:
        >>> p = Parameter([0.0])
        >>> ema = EMA([p], decay=0.75)
        >>> p.data = [1.0]
        >>> ema.update()
        >>> with ema.applied():
        ...     print(p.data)
        [0.25]
        >>> print(p.data)
        [1.]
    """

    def __init__(self, parameters: Iterable[Parameter], decay: Hyper = 0.999) -> None:
        check("EMA", {"decay": decay}, {"decay": 0})
        self.decay = decay
        self.parameters = collect(parameters, "EMA")
        self.averages = [widen(p.data).copy() for p in self.parameters]
        self.step_count = 0

    def update(self) -> None:
        """Take the parameters as they are now into the average."""
        share = 1.0 - resolve("EMA", {"decay": self.decay}, self.step_count, {"decay": 0})["decay"]
        for p, average in zip(self.parameters, self.averages, strict=True):
            flat, values = average.reshape(-1), p.data.reshape(-1)
            for block in blocks(0, flat.size):
                flat[block] += share * (values[block] - flat[block])
        self.step_count += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averages in place of the parameters while the ``with`` block runs."""
        kept = [p.data.copy() for p in self.parameters]
        self._assign(self.averages)
        try:
            yield
        finally:
            self._assign(kept)

    def state(self) -> dict[str, Array]:
        """Return copies of the averages by position, and the number of updates."""
        return {"step": asarray(self.step_count)} | {str(i): a.copy() for i, a in enumerate(self.averages)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state` was taken, over parameters of the same shapes.

        Raises:
            ValueError: names are missing or unexpected, or shapes differ; all are listed, nothing is loaded.
        """
        shapes = {"step": ()} | {str(i): average.shape for i, average in enumerate(self.averages)}
        arrays = read_state("EMA", state, shapes)
        self.step_count = int(arrays["step"])
        for i, average in enumerate(self.averages):
            copy_into(average, arrays[str(i)])

    def _assign(self, values: Iterable[Array]) -> None:
        for p, value in zip(self.parameters, values, strict=True):
            p.data = value
