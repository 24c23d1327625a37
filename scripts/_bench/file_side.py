"""Saving and loading a model of 1 GiB: minidl with checksums and fsync, and safetensors' own functions."""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _bench import machine

MATRICES, WIDTH = 64, 2048  # 64 float32 matrices of 16 MiB
QUICK_WIDTH = 64
REPEATS = 5


def run(contender: str, name: str, quick: bool) -> dict[str, Any]:
    """Time one of the tasks; ``bytes`` is the growth of the peak over the model, in files."""
    width = QUICK_WIDTH if quick else WIDTH
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        step = TASKS[contender, name.partition(" ")[0]](path, _arrays(width))
        before = machine.peak_memory()
        times = []
        for _ in range(2 if quick else REPEATS):
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
        after = machine.peak_memory()
        size = path.stat().st_size
    growth = None if before is None or after is None else (after - before) / size
    return {"times": times, "files": growth}


def _arrays(width: int) -> dict[str, Any]:
    import numpy as np

    generator = np.random.default_rng(0)
    shape = (width, width)
    return {f"{i}": generator.standard_normal(shape, dtype=np.float32) for i in range(MATRICES)}


def _model(arrays: dict[str, Any]) -> Any:
    """Return a layer with these parameters, which takes the arrays over."""
    import minidl

    class Matrices(minidl.Layer):
        def __init__(self) -> None:
            self.matrices = [minidl.Parameter([[0.0]]) for _ in arrays]
            for parameter, name in zip(self.matrices, list(arrays), strict=True):
                parameter.rebind(arrays.pop(name), None)

    return Matrices()


def _minidl_save(path: Path, arrays: dict[str, Any]) -> Callable[[], Any]:
    import minidl

    model = _model(arrays)
    return lambda: minidl.save_weights(model, path)


def _minidl_load(path: Path, arrays: dict[str, Any]) -> Callable[[], Any]:
    import minidl

    model = _model(arrays)
    minidl.save_weights(model, path)
    return lambda: minidl.load_weights(model, path)


def _their_save(path: Path, arrays: dict[str, Any]) -> Callable[[], Any]:
    from safetensors.numpy import save_file

    return lambda: save_file(arrays, path)


def _their_save_and_sync(path: Path, arrays: dict[str, Any]) -> Callable[[], Any]:
    save = _their_save(path, arrays)

    def save_and_sync() -> None:
        save()
        with path.open("r+b") as file:
            os.fsync(file.fileno())

    return save_and_sync


def _their_load(path: Path, arrays: dict[str, Any]) -> Callable[[], Any]:
    from safetensors.numpy import load_file

    _their_save(path, arrays)()
    return lambda: load_file(path)


TASKS = {
    ("minidl", "save"): _minidl_save,
    ("minidl", "load"): _minidl_load,
    ("safetensors", "save"): _their_save,
    ("safetensors", "load"): _their_load,
    ("safetensors+fsync", "save"): _their_save_and_sync,
}
