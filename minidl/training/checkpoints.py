"""Checkpoints: all that the next step depends on, in one file that is there whole or not at all."""

import json
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from minidl.backend import generator_state, load_generator_state
from minidl.files import PathLike, TensorFile, opened, read_extra, write_tensors

NAME = "checkpoint-{serial:06d}-step-{step}.safetensors"
PATTERN = re.compile(r"checkpoint-(\d+)-step-(\d+)\.safetensors")
HALF_WRITTEN = ".checkpoint-*.safetensors.*.tmp"
RANDOM = ""  # among the parts, the stream behind `minidl.seed`; they have Python names


class Stateful(Protocol):
    """What a checkpoint can keep: a model, an optimizer, a loader, an average, or an object of one's own."""

    def state(self) -> Any:
        """Return a dict of arrays, and of what else JSON can say."""

    def load_state(self, state: Any) -> Any:
        """Go on from where ``state`` was taken, or raise and change nothing."""


class _DefaultStream:
    """The random stream behind `minidl.seed`, as a part."""

    def state(self) -> dict[str, Any]:
        return generator_state()

    def load_state(self, state: dict[str, Any]) -> None:
        load_generator_state(state)


class Checkpoints:
    """The checkpoints of one training run, in a folder of their own.

    Each is a safetensors file with checksums. It appears under its name once it is complete, so a crash or a
    full disk at any moment costs no earlier one. One process at a time may save to a folder.

    A part is anything with ``state()`` and ``load_state(state)``, under a name of your choice, or a
    ``numpy.random.Generator``. The stream behind `minidl.seed` is always included. Hyper-parameters that are
    plain numbers stay with the program that sets them.

    Args:
        folder: where they are; made by the first `save`.
        keep: how many of the latest stay, ``None`` for all. The best one stays as well.
        best: whether the smallest (``"min"``) or the largest (``"max"``) ``metric`` is the best.

    Example:
        >>> import minidl, tempfile
        >>> from minidl.optim import SGD
        >>> model = minidl.Linear(2, 1)
        >>> optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     checkpoints = Checkpoints(folder, keep=3)
        ...     path = checkpoints.save(100, model=model, optimizer=optimizer, metric=0.25)
        ...     checkpoints.restore(model=model, optimizer=optimizer)
        100
    """

    def __init__(self, folder: PathLike, keep: int | None = 3, best: Literal["min", "max"] = "min") -> None:
        if keep is not None and (type(keep) is not int or keep < 1):
            raise ValueError(f"Checkpoints: expected keep as an int of at least 1, or None, got {keep!r}")
        if best not in ("min", "max"):
            raise ValueError(f"Checkpoints: expected best as 'min' or 'max', got {best!r}")
        self.folder = Path(folder)
        self.keep = keep
        self.best_is = best

    def save(self, step: int, *, metric: float | None = None, **parts: Any) -> Path:
        """Write a checkpoint, remove those that need not be kept any longer, and return its path.

        Args:
            step: the number of steps done.
            metric: how good the model is, such as its validation loss; the best checkpoint is kept.
            **parts: what to keep, by name: ``model=model, optimizer=optimizer, loader=loader``.

        Raises:
            OSError: the file could not be written; the earlier checkpoints are as they were.
            TypeError: a part has no ``state()``, or one with something else than arrays and JSON in it.
        """
        if type(step) is not int or step < 0:
            raise ValueError(f"Checkpoints: expected step as an int of at least 0, got {step!r}")
        metric = None if metric is None else float(metric)
        tensors, plain = _split({name: _state(name, part) for name, part in parts.items()})
        extra = {"step": step, "metric": metric, "parts": plain, "random": generator_state()}
        path = self.folder / NAME.format(serial=self._next_serial(), step=step)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._remove(self.folder.glob(HALF_WRITTEN))
            write_tensors(path, tensors, extra)
        except OSError as error:
            reason = f"the checkpoint of step {step} was not written ({error.strerror or error})"
            raise OSError(error.errno, f"{reason}; earlier ones are intact", str(path)) from error
        self._remove(self._superfluous())
        return path

    def latest(self) -> Path | None:
        """Return the path of the newest intact checkpoint, or ``None`` if there is none at all.

        Raises:
            ValueError: there are checkpoints, and all of them are damaged.
        """
        return self._first_intact(self.paths()[::-1])

    def best(self) -> Path | None:
        """Return the path of the intact checkpoint with the best metric, or ``None`` if none has one.

        Raises:
            ValueError: there are checkpoints with a metric, and all of them are damaged.
        """
        return self._first_intact(self._by_metric())

    def restore(self, path: "PathLike | None" = None, /, *, strict: bool = True, **parts: Any) -> int | None:
        """Load a checkpoint into the parts, all or nothing, and return its step.

        Args:
            path: which one; by default the newest that is intact, with a warning for each damaged one
                that is passed over.
            strict: refuse a checkpoint that has other parts than these, and restore the stream behind
                `minidl.seed` too. Otherwise load what is asked for, as one does for evaluation.
            **parts: what to load into, under the names they were saved by.

        Returns:
            The step, or ``None`` if there is no checkpoint; then nothing has changed.

        Raises:
            ValueError: the file, or every file, is damaged, or the parts do not fit; nothing has changed.
        """
        if path is None:
            path = self._first_intact(self.paths()[::-1])
        else:
            _verify(path)
        if path is None:
            return None
        with opened(path, foreign=False) as file:
            _check_names(path, parts, file.extra["parts"], strict)
            try:
                _load_all(parts | {RANDOM: _DefaultStream()} if strict else parts, file)
            except (ValueError, KeyError) as error:
                error.add_note(f"while restoring {path}; nothing was loaded")
                raise
            return int(file.extra["step"])

    def paths(self) -> list[Path]:
        """Return the checkpoints in the order in which they were written, intact or not."""
        found = [path for path in self.folder.glob("checkpoint-*") if PATTERN.fullmatch(path.name)]
        return sorted(found, key=_serial)

    def _next_serial(self) -> int:
        return max(map(_serial, self.paths()), default=0) + 1

    def _by_metric(self) -> list[Path]:
        """Return the checkpoints that have a metric, the best first, the newest first among equals."""
        sign = 1 if self.best_is == "min" else -1
        ranked = [(sign * metric, -_serial(path), path) for path, metric in self._metrics()]
        return [path for *_, path in sorted(ranked)]

    def _metrics(self) -> Iterator[tuple[Path, float]]:
        for path in self.paths():
            try:
                metric = read_extra(path).get("metric")
            except (ValueError, OSError):
                continue
            if isinstance(metric, float) and not math.isnan(metric):
                yield path, metric

    def _superfluous(self) -> list[Path]:
        """Return all but the latest and the best one."""
        if self.keep is None:
            return []
        best = self._by_metric()[:1]
        return [path for path in self.paths()[: -self.keep] if path not in best]

    def _remove(self, paths: "Iterator[Path] | list[Path]") -> None:
        for path in paths:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                warnings.warn(f"Checkpoints: {path} could not be removed ({error.strerror})", stacklevel=3)

    def _first_intact(self, paths: list[Path]) -> Path | None:
        """Return the first file that is intact, with a warning for each one before it."""
        for path in paths:
            try:
                _verify(path)
                return path
            except (ValueError, OSError) as error:
                warnings.warn(f"Checkpoints: passed over a damaged file: {error}", stacklevel=3)
        if paths:
            raise ValueError(
                f"{self.folder}: expected an intact checkpoint, got {len(paths)} damaged; begin anew"
            )
        return None


def _serial(path: Path) -> int:
    match = PATTERN.fullmatch(path.name)
    return int(match[1]) if match else 0


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _is_generator(part: Any) -> bool:
    return hasattr(part, "bit_generator")


def _state(name: str, part: Any) -> dict[str, Any]:
    """Return the state of a part, or say what is wrong with it."""
    if not name.isidentifier() and name != RANDOM:
        raise ValueError(f"Checkpoints: expected a Python name for each part, got {name!r}")
    if _is_generator(part):
        return generator_state(part)
    if not (hasattr(part, "state") and hasattr(part, "load_state")):
        raise TypeError(
            f"Checkpoints: expected {name} with state() and load_state(state), got {type(part).__name__}"
        )
    state = part.state()
    if not isinstance(state, Mapping):
        raise TypeError(
            f"Checkpoints: expected {name}.state() to return a dict, got {type(state).__name__}; "
            "return arrays and what JSON can say by name"
        )
    return dict(state)


def _load(part: Any, state: dict[str, Any]) -> None:
    if _is_generator(part):
        load_generator_state(state, part)
    else:
        part.load_state(state)


def _load_all(parts: Mapping[str, Any], file: TensorFile) -> None:
    """Load each part; where one refuses, put back those before it.

    The largest comes last: nothing after it can refuse, so that no copy of it as it was is needed.
    """
    order = sorted(parts, key=lambda name: _bytes_of(file, name))
    before: list[tuple[Any, dict[str, Any]]] = []
    try:
        for name in order:
            state = None if name == order[-1] else _state(name, parts[name])
            _load(parts[name], _read_state(file, name))
            if state is not None:
                before.append((parts[name], state))
    except BaseException:
        for part, state in reversed(before):  # backwards, as a later state may tell of an earlier part
            _load(part, state)
        raise


def _bytes_of(file: TensorFile, part: str) -> int:
    return sum(entry.end - entry.begin for entry in file.entries if entry.name.startswith(f"{part}."))


def _read_state(file: TensorFile, part: str) -> dict[str, Any]:
    """Return the state of one part, as it was saved."""
    if part == RANDOM:
        return dict(file.extra["random"])
    arrays = {name.partition(".")[2]: array for name, array in file.read(f"{part}.").items()}
    return dict(file.extra["parts"][part]) | arrays


def _split(states: Mapping[str, dict[str, Any]]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Separate arrays, named ``part.name``, from what goes into the manifest."""
    tensors: dict[str, Any] = {}
    plain: dict[str, dict[str, Any]] = {}
    for part, state in states.items():
        plain[part] = {name: value for name, value in state.items() if not hasattr(value, "dtype")}
        tensors |= {f"{part}.{name}": value for name, value in state.items() if name not in plain[part]}
        try:
            json.dumps(plain[part])
        except (TypeError, ValueError) as error:
            error.add_note(f"in the state of {part}, of which arrays and what JSON can say are kept")
            raise
    return tensors, plain


def _verify(path: PathLike) -> None:
    """Check a checkpoint from end to end."""
    with opened(path, foreign=False) as file:
        if not (
            isinstance(file.extra.get("parts"), dict) and "step" in file.extra and "random" in file.extra
        ):
            raise ValueError(f"{path}: expected a checkpoint, got a file of weights; see minidl.load_weights")
        file.verify()


def _check_names(path: PathLike, parts: Mapping[str, Any], saved: Mapping[str, Any], strict: bool) -> None:
    """Refuse parts that were not saved, and where it is strict also saved ones that are not named."""
    if parts.keys() - saved.keys() or (strict and saved.keys() - parts.keys()):
        raise ValueError(
            f"{path}: expected a checkpoint of {_listed(parts)}, got one of {_listed(saved)}; "
            "name the same parts, or pass strict=False to load some of them"
        )
