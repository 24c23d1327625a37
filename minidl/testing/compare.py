"""compare_backends: which layer is the first that computes something else than NumPy does in float64?"""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minidl import backend
from minidl.backend import Array, check_array, to_numpy, xp
from minidl.files.tensors import read_tensors
from minidl.layers.base import Layer
from minidl.testing._replay import Call, Recording, made, recorded, write_calls
from minidl.testing.subject import as_parts

BOUNDS = {"float16": 1e-2, "float32": 2e-5, "float64": 1e-11}
CHAINED = 100.0  # times that for a layer made of layers, whose errors add up and whose kinks may tip over
SHARE = 0.1  # of the largest number given: what gradients that cancel are measured against


class BackendDifference(AssertionError):  # noqa: N818  # as GradientError, it is what a test asserts
    """Two backends disagree about a layer.

    Args:
        message: all of it.
        layer: the path of the first layer out of bounds, empty for the whole model.
        direction: "forward" or "backward".
    """

    def __init__(self, message: str, layer: str, direction: str) -> None:
        super().__init__(message)
        self.layer = layer
        self.direction = direction


@dataclass(frozen=True)
class BackendReport:
    """What was compared, with the largest error of each layer; printing it shows them.

    Args:
        backend: what was held against NumPy.
        rows: the path and name of each layer, and its errors forward and backward, relative.
    """

    backend: str
    rows: list[tuple[str, float, float]] = field(default_factory=list)

    def __str__(self) -> str:
        width = max((len(name) for name, _, _ in self.rows), default=0)
        lines = [f"{self.backend} agrees with NumPy in float64 on {len(self.rows)} calls of layers"]
        lines += [f"  {name:<{width}}  forward {y:.1e}  backward {g:.1e}" for name, y, g in self.rows]
        return "\n".join(lines)


def compare_backends(factory: str, batch: Any, *, seed: int = 0) -> BackendReport:
    """Hold every layer on the active backend against NumPy in float64, forward and backward.

    The model is made here and runs forward and backward once, with a random upstream. Another process, with
    ``MINIDL_BACKEND=numpy``, makes it too, loads the weights and everything that each layer was given from a
    file, and repeats each call in float64: an error of one layer is not seen in those behind it. Layers run
    one by one and on whole batches, also those that CuPy would run fused and NumPy tile by tile.

    An error is the largest difference, relative to the largest number of the result, for gradients at least
    to a tenth of the largest number in the upstream (they may cancel). Its bound follows from the narrowest
    dtype of the call: 1e-2 for float16, 2e-5 for float32, 1e-11 for float64; a hundred times that for layers
    made of layers.

    Args:
        factory: ``"module:function"``; the function takes nothing and returns a layer, the same each time
            up to its weights.
        batch: ``(N, ...)``, what the model takes: an array of the active backend or a tuple of them.
        seed: of the default generator before the model is made, and of the upstream.

    Returns:
        A report of the errors.

    Raises:
        BackendDifference: an AssertionError that names the first layer and direction out of bounds.
        TypeError: the factory returns no layer, or the batch is no array.
        ValueError: the factory is not written ``"module:function"``.
        RuntimeError: the other process failed; the message ends with what it said.

    Example:
        >>> from minidl.backend import xp
        >>> compare_backends("minidl:ReLU", xp.ones((2, 3), dtype="float32")).rows[0][0]
        'ReLU()'
    """
    if not all(factory.partition(":")):
        raise ValueError(f'compare_backends: expected a factory as "module:function", got {factory!r}')
    for array in as_parts(batch):
        check_array(array, "compare_backends", "a batch")
    model = made(factory, seed)
    recording = recorded(model)
    _run(model, batch, seed)
    with tempfile.TemporaryDirectory() as folder:
        given, answer = str(Path(folder, "given")), str(Path(folder, "answer"))
        write_calls(given, model, recording)
        _start(given, answer, factory, str(seed))
        wanted, _ = read_tensors(answer)
    return _judged(recording, wanted, dict(model.named_layers()))


def _run(model: Layer, batch: Any, seed: int) -> None:
    """Run forward and backward with an upstream drawn on the host."""
    y, pullback = model.vjp(batch)
    rng = np.random.default_rng([16_180, seed])
    dy = tuple(xp.asarray(rng.normal(size=part.shape), dtype=part.dtype) for part in as_parts(y))
    pullback(dy if isinstance(y, tuple) else dy[0])


def _start(*arguments: str) -> None:
    """Repeat the calls on NumPy in a process that finds the same modules."""
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    environment = {**os.environ, "MINIDL_BACKEND": "numpy", "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-m", "minidl.testing._replay", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"compare_backends: the process on NumPy failed:\n{done.stderr.strip()}")


def _judged(recording: Recording, wanted: dict[str, Any], layers: dict[str, Layer]) -> BackendReport:
    """Compare all calls forward, then all backward, in the order in which they ended."""
    number = {id(call): i for i, call in enumerate(recording.forward)}
    errors: dict[int, list[float]] = {i: [0.0, 0.0] for i in number.values()}
    for call in recording.forward:
        i = number[id(call)]
        for k, y in enumerate(as_parts(call.y)):
            error = _check(call, layers, "forward", "", y, wanted[f"{i}.y.{k}"], 0.0)
            errors[i][0] = max(errors[i][0], error)
    for call in recording.backward:
        i = number[id(call)]
        floor = SHARE * max((_largest(to_numpy(d)) for d in as_parts(call.dy) if d is not None), default=0.0)
        for name, g in call.gradients.items():
            error = _check(call, layers, "backward", name, g, wanted[f"{i}.gradient.{name}"], floor)
            errors[i][1] = max(errors[i][1], error)
    rows = [
        (_title(call.path, layers), errors[i][0], errors[i][1]) for i, call in enumerate(recording.forward)
    ]
    return BackendReport(backend.name, rows)


def _check(
    call: Call, layers: dict[str, Layer], direction: str, of: str, got: Array, wanted: Any, floor: float
) -> float:
    """Return the error of one array; raise if it is out of bounds."""
    inside = len(list(layers[call.path].named_layers())) == 1
    bound = BOUNDS[_narrowest(call)] * (1.0 if inside else CHAINED)
    error = _error(to_numpy(got).astype(np.float64), wanted, floor)
    if error <= bound:
        return error
    what = "output" if direction == "forward" else f"gradient of {of}"
    raise BackendDifference(
        f"{_title(call.path, layers)}, {direction}: its {what} on {backend.name} differs from "
        f"NumPy's in float64 by {error:.1e}, more than {bound:.0e}; all before it is within bounds",
        call.path,
        direction,
    )


def _title(path: str, layers: dict[str, Layer]) -> str:
    text = repr(layers[path])
    name = text if "\n" not in text else type(layers[path]).__name__
    return f"{path}: {name}" if path else name


def _narrowest(call: Call) -> str:
    """Return the floating-point dtype of a call that says least."""
    found = {part.dtype.name for part in (*as_parts(call.x), *as_parts(call.y)) if part is not None}
    return next((name for name in BOUNDS if name in found), "float64")


def _largest(array: Any) -> float:
    finite = np.abs(array[np.isfinite(array)]) if array.dtype.kind == "f" else np.zeros(0)
    return float(finite.max()) if finite.size else 0.0


def _error(got: Any, wanted: Any, floor: float) -> float:
    """Return the largest difference relative to the largest number; infinite where only one is finite."""
    if got.shape != wanted.shape:
        return float("inf")
    finite = np.isfinite(wanted)
    same = np.array_equal(got[~finite], wanted[~finite], equal_nan=True)
    if not same or not np.isfinite(got[finite]).all():
        return float("inf")
    gap = _largest(np.where(finite, got, 0.0) - np.where(finite, wanted, 0.0))
    return gap / max(_largest(wanted), floor) if gap else 0.0
