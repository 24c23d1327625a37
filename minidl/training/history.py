"""History: what a training run has reached, step by step, written down without waiting for the GPU.

for epoch in range(epochs):
    for x, labels in batches:
        ...
        history.record(optimizer.step_count, loss=loss)
    print(history.end_epoch(test_accuracy=test_accuracy.compute()))
"""

import csv
import io
import json
import math
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from minidl.backend import Array, check_int, to_numpy, xp
from minidl.files import PathLike, replacing
from minidl.ops._options import read_number
from minidl.training._numbers import one_number

CHUNK = 1024  # numbers on the device are gathered in arrays of this length: each alone would take 512 bytes
KEYS = ("steps", "values", "counts")
RESERVED = ("epoch", "step")  # columns of the tables


class History:
    """Numbers by name, each with the step it belongs to, and their means over every epoch.

    A number that is on the device stays there until somebody asks for it.

    Example:
        >>> history = History()
        >>> for step, loss in enumerate([2.0, 1.0, 0.5, 0.1], start=1):
        ...     history.record(step, loss=loss)
        ...     if step % 2 == 0:
        ...         print(history.end_epoch(test_accuracy=0.7))
        {'epoch': 1, 'step': 2, 'loss': 1.5, 'test_accuracy': 0.7}
        {'epoch': 2, 'step': 4, 'loss': 0.3, 'test_accuracy': 0.7}
        >>> history["loss"]
        [2.0, 1.0, 0.5, 0.1]
        >>> history.steps("test_accuracy")
        [2, 4]
    """

    epochs: list[dict[str, float]]

    def __init__(self) -> None:
        self._series: dict[str, _Series] = {}
        self.epochs = []

    def record(self, step: int, /, *, count: float = 1, **values: Any) -> None:
        """Write down numbers of a step; this does not wait for the GPU.

        Args:
            step: the number of the step; for each name it has to grow.
            count: the weight of these numbers in the mean of the epoch, such as the rows of the batch.
            **values: numbers by name, of the host or of the device: ``loss=loss, lr=optimizer.lr``.

        Raises:
            TypeError: something is no number.
            ValueError: a name has this step, or a later one, already; or an array has more than one number.
        """
        weight = read_number(count, "count", "History")
        if not 0 <= weight < math.inf:
            raise ValueError(f"History: expected count as a number of at least 0, got {count}")
        self._write(check_int(step, "History", "step"), weight, values)

    def end_epoch(self, **values: Any) -> dict[str, float]:
        """Close an epoch and return its row: its number, its last step, and the mean of every name in it.

        Args:
            **values: numbers of the epoch as a whole, such as those of a validation; they are recorded at its
                last step.

        Raises:
            RuntimeError: nothing was recorded since the last epoch.
        """
        begin = self.epochs[-1]["step"] if self.epochs else -math.inf
        end = max((series.steps[-1] for series in self._series.values()), default=-math.inf)
        if end <= begin:
            raise RuntimeError("History: end_epoch without a step; record(step, loss=loss) in the loop first")
        self._write(int(end), 1.0, values)
        means = {name: series.mean_after(begin) for name, series in self._series.items()}
        row = {"epoch": len(self.epochs) + 1, "step": int(end)}
        self.epochs.append(row | {name: mean for name, mean in means.items() if mean is not None})
        return dict(self.epochs[-1])

    @property
    def names(self) -> list[str]:
        """The names in the order in which they first came."""
        return list(self._series)

    def __getitem__(self, name: str) -> list[float]:
        """Return the numbers of a name, in the order of their steps; this waits for the GPU."""
        return list(self._named(name).read())

    def __contains__(self, name: object) -> bool:
        return name in self._series

    def steps(self, name: str) -> list[int]:
        """Return the steps at which the numbers of a name were recorded."""
        return list(self._named(name).steps)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as lists: steps and values by name, and the epochs."""
        series = {name: {"steps": self.steps(name), "values": self[name]} for name in self.names}
        return {"series": series, "epochs": [dict(row) for row in self.epochs]}

    def to_json(self, path: PathLike) -> None:
        """Write `to_dict` to a file, all or nothing; NaN and infinite numbers become null, as JSON has none.

        Raises:
            OSError: the file could not be written; what was there is still there.
        """
        with replacing(path) as file:
            file.write((json.dumps(_finite(self.to_dict()), indent=1, allow_nan=False) + "\n").encode())

    def to_csv(self, path: PathLike) -> None:
        """Write a table to a file, all or nothing: a row for each step, a column for each name.

        A place is empty where nothing was recorded.

        Raises:
            OSError: the file could not be written; what was there is still there.
        """
        columns = {
            name: dict(zip(series.steps, series.read(), strict=True)) for name, series in self._series.items()
        }
        text = io.StringIO(newline="")
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["step", *columns])
        for step in sorted({step for column in columns.values() for step in column}):
            rows.writerow([step, *(column.get(step, "") for column in columns.values())])
        with replacing(path) as file:
            file.write(text.getvalue().encode())

    def state(self) -> dict[str, Any]:
        """Return everything as arrays, for a checkpoint."""
        state: dict[str, Any] = {"names": self.names, "epochs": [dict(row) for row in self.epochs]}
        for name, series in self._series.items():
            columns = (series.steps, series.read(), series.counts)
            state |= {
                f"{name}.{key}": xp.asarray(column, dtype=xp.int64 if key == "steps" else xp.float64)
                for key, column in zip(KEYS, columns, strict=True)
            }
        return state

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state` was taken, or raise and change nothing."""
        names = state.get("names")
        expected = {"names", "epochs"} | {f"{name}.{key}" for name in names or () for key in KEYS}
        if not isinstance(names, list) or state.keys() != expected:
            raise ValueError(f"History: expected the state of a History, got {sorted(state)}")
        series = {
            name: _Series(*(to_numpy(state[f"{name}.{key}"]).tolist() for key in KEYS)) for name in names
        }
        if uneven := [
            name for name, s in series.items() if not len(s.steps) == len(s.read()) == len(s.counts)
        ]:
            raise ValueError(f"History: expected a number for each step, got other lengths for {uneven[0]}")
        self._series, self.epochs = series, [dict(row) for row in state["epochs"]]

    def __repr__(self) -> str:
        held = ", ".join(f"{name}: {len(series.steps)}" for name, series in self._series.items())
        return f"History({held})"

    def _named(self, name: str) -> "_Series":
        if name not in self._series:
            raise KeyError(f"{name!r} was not recorded; there are {', '.join(self.names) or 'no names yet'}")
        return self._series[name]

    def _write(self, step: int, count: float, values: Mapping[str, Any]) -> None:
        """Append each number to the series of its name, once all of them are checked."""
        numbers = {name: one_number(value, name, "History") for name, value in values.items()}
        for name in numbers:
            if name in RESERVED:
                raise ValueError(f"History: expected names other than {' and '.join(RESERVED)}, got {name!r}")
            if name in self._series and step <= (last := self._series[name].steps[-1]):
                raise ValueError(
                    f"History: expected steps that grow, got step {step} of {name} after {last}; a new run "
                    "has a new History, a resumed one load_state"
                )
        for name, number in numbers.items():
            self._series.setdefault(name, _Series()).append(step, number, count)


class _Series:
    """The numbers of one name: those that were read, and those still on the device, which come after them."""

    def __init__(
        self,
        steps: list[int] | None = None,
        values: list[float] | None = None,
        counts: list[float] | None = None,
    ) -> None:
        self.steps = steps or []
        self.counts = counts or []
        self._values = values or []
        self._waiting: list[Array] = []  # each with at least one number
        self._loose = 0  # how many of the last of these have only one

    def append(self, step: int, number: Array | float, count: float) -> None:
        self.steps.append(step)
        self.counts.append(count)
        if isinstance(number, float) and not self._waiting:
            self._values.append(number)
            return
        self._waiting.append(xp.asarray(number, dtype=xp.float64).reshape(1))
        self._loose += 1
        if self._loose == CHUNK:
            self._waiting[-CHUNK:] = [xp.concatenate(self._waiting[-CHUNK:])]
            self._loose = 0

    def read(self) -> list[float]:
        """Return all numbers; this waits for the GPU."""
        if self._waiting:
            self._values += to_numpy(xp.concatenate(self._waiting)).tolist()
            self._waiting, self._loose = [], 0
        return self._values

    def mean_after(self, step: float) -> float | None:
        """Return the weighted mean of the numbers after a step, None where there are none."""
        begin = bisect_right(self.steps, step)
        values, counts = self.read()[begin:], self.counts[begin:]
        if not values:
            return None
        total = sum(counts)
        return sum(v * c for v, c in zip(values, counts, strict=True) if c) / total if total else math.nan


def _finite(value: Any) -> Any:
    """Return nested lists and dicts with None in place of NaN and infinity."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
