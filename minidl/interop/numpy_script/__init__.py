"""Models written out as scripts that need NumPy alone."""

import contextlib
import keyword
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minidl import layers
from minidl.backend import Array, asarray, to_numpy
from minidl.files import PathLike, replacing
from minidl.interop.numpy_script.script import assemble
from minidl.interop.numpy_script.writer import Value, Writer, shape_of
from minidl.layers.base import Layer

TOLERANCES = {"float32": 1e-4, "float64": 1e-9}
STEPS = 6  # of an example that is a sequence
SAMPLES = 4  # that are compared: of very many numbers, one may lie so close to a bend that rounding decides


def eject(model: Layer, path: PathLike, example: Any = None, *, backward: bool = False) -> None:
    """Write a model as a readable script that needs NumPy alone, and its weights beside it.

    ``python script.py`` compares what the script computes with an example that is stored with the weights,
    prints the largest difference, and exits with 1 where it is too large; before anything is written the
    comparison is made here. The model is written as it evaluates: dropout does nothing, and batch
    normalisation uses its running statistics.

    Args:
        model: made of the layers that the page on interoperation lists, in float32 or float64.
        path: the script, ``*.py``; the weights are written to the same name with ``.npz``, without pickle.
        example: a batch of inputs, of which four are kept; drawn where the first layer tells their shape.
        backward: write the backward and two updates too, SGD and Adam. Recurrent and attention layers have
            no backward here.

    Raises:
        TypeError: the model is no layer.
        ValueError: a layer that cannot be written, with the list of those that can; an example is needed; or
            the path is not ``*.py``, or hides a module of Python's.
        OSError: a file could not be written.

    Example:
        >>> import minidl, tempfile
        >>> from minidl.interop import eject
        >>> model = minidl.Sequential(minidl.Linear(4, 8), minidl.ReLU(), minidl.Linear(8, 3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     eject(model, f"{folder}/model.py")
        ...     sorted(os.listdir(folder))
        ['model.npz', 'model.py']
    """
    if not isinstance(model, Layer):
        raise TypeError(f"eject: expected a layer, got {type(model).__name__}")
    script = _script(path)
    with _evaluating(model):
        x = asarray(_drawn(model) if example is None else example)
        if not x.ndim or not len(x):
            raise ValueError(f"eject: expected an example of one sample at least, got {x.shape}")
        text, stored = _written(model, x[:SAMPLES], backward, script)
    _compare(text, stored, script)
    with replacing(script) as file:
        file.write(text.encode())
        with replacing(script.with_suffix(".npz")) as weights:
            np.savez(weights, **stored)


def _script(path: PathLike) -> Path:
    """Return the path of a script, whose name must be one that other scripts can import."""
    script = Path(os.fspath(path))
    expected = f"eject: expected a path such as model.py, which can be imported, got {script.name}"
    if script.suffix != ".py" or not script.stem.isidentifier() or keyword.iskeyword(script.stem):
        raise ValueError(expected)
    if script.stem in {*sys.stdlib_module_names, "numpy"}:  # Python looks into the script's own folder first
        raise ValueError(f"{expected}, which would hide Python's module of that name")
    return script


def _written(model: Layer, x: Array, backward: bool, script: Path) -> tuple[str, dict[str, Any]]:
    """Return the text of the script, and the arrays to lie beside it."""
    arrays = {name: to_numpy(p.data) for name, p in model.named_parameters()}
    arrays |= {name: to_numpy(buffer.data) for name, buffer in model.buffers()}
    writer = Writer(model, backward)
    y, write_backward = writer.write(model, Value("x", x))
    stored, dx = {"x": to_numpy(x), "y": to_numpy(model.predict(x))}, None
    if stored["y"].dtype.name not in TOLERANCES:
        raise ValueError(f"eject: expected a model that gives float32 or float64, got {stored['y'].dtype}")
    if backward:
        dx = write_backward("dy")
        stored |= _gradients(model, x, dx)
    facts = {
        "version": model_version(),
        "file": script.name,
        "module": script.stem,
        "weights": script.with_suffix(".npz").name,
        "x_shape": shape_of(x),
        "x_dtype": x.dtype,
        "y_shape": shape_of(stored["y"]),
        "y_dtype": stored["y"].dtype,
        "count": len(arrays),
        "tolerance": TOLERANCES[stored["y"].dtype.name],
    }
    return assemble(writer, y.name, dx, facts), {f"p/{n}": a for n, a in arrays.items()} | stored


def _gradients(model: Layer, x: Array, dx: str) -> dict[str, Any]:
    """Return a gradient of the output, and the gradients that follow from it."""
    y, pullback = model.vjp(x)
    dy = asarray(np.random.default_rng(0).standard_normal(y.shape), y.dtype)
    found, pairs = pullback(dy, input_grad=dx != "None")
    paths = {id(parameter): path for path, parameter in model.named_parameters()}
    out: dict[str, Any] = {"dy": to_numpy(dy)} | ({} if found is None else {"dx": to_numpy(found)})
    for parameter, gradient in pairs:
        name = f"g/{paths[id(parameter)]}"
        out[name] = out.get(name, 0) + to_numpy(gradient)
    return out


def _compare(text: str, stored: dict[str, Any], script: Path) -> None:
    """Run the script's own comparison, so that none is written that would fail."""
    namespace: dict[str, Any] = {"__name__": "ejected", "__file__": str(script)}
    exec(compile(text, script.name, "exec"), namespace)
    p = {name[2:]: array for name, array in stored.items() if name.startswith("p/")}
    example = {name: array for name, array in stored.items() if not name.startswith("p/")}
    gaps = namespace["differences"](p, example)
    wrong = {name: gap for name, gap in gaps.items() if not gap <= namespace["TOLERANCE"]}
    if wrong:
        raise ValueError(
            f"eject: nothing was written, as the script would differ from the model: {wrong}; "
            "are there numbers near an overflow or on a bend in the example? pass another one; or is "
            "all of it the rounding of zeros, such as the mean over what InstanceNorm has centred?"
        )


def model_version() -> str:
    """Return the version that the head of a script names."""
    return str(sys.modules["minidl"].__version__)  # stated once, on the top floor


@contextlib.contextmanager
def _evaluating(model: Layer) -> Iterator[None]:
    """Let a model evaluate, and every layer be as it was afterwards."""
    modes = [(layer, layer.training) for _, layer in model.named_layers()]
    model.eval()
    try:
        yield
    finally:
        for layer, training in modes:
            layer.training = training


def _drawn(model: Layer) -> Any:
    """Return random inputs of the shape that the first layer asks for."""
    first = _first(model)
    rng = np.random.default_rng(0)
    match first:
        case layers.Embedding():
            return rng.integers(0, len(first.weight.data), (4, STEPS))
        case layers.Linear():
            shape: tuple[int, ...] = (4, first.weight.shape[0])
        case layers.RNN() | layers.LSTM() | layers.GRU():
            shape = (4, STEPS, first.input_size)
        case layers.MultiHeadAttention():
            shape = (4, STEPS, first.in_weight.shape[0])
        case layers.TransformerEncoderLayer():
            shape = (4, STEPS, first.attention.in_weight.shape[0])
        case _:
            name = type(first).__name__
            raise ValueError(
                f"eject: expected an example, as {name} does not tell the shape of its input; "
                "eject(model, path, example=x)"
            )
    return rng.standard_normal(shape).astype(model.parameters()[0].dtype)


def _first(layer: Any) -> Any:
    """Return the layer that the input goes to first."""
    match layer:
        case layers.Residual():
            return _first(layer.layer)
        case layers.Sequential() | layers.Parallel() if len(layer):
            return _first(layer.layers[0])
    return layer
