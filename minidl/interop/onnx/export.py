"""A model as an ONNX file, for every program that runs one."""

from collections.abc import Mapping
from typing import Any

from minidl.backend import Array, asarray, xp
from minidl.files import PathLike, replacing
from minidl.interop.onnx import activations, attention, containers, dense, images, norms, pools, recurrent
from minidl.interop.onnx.graph import Graph, Row, Value, Writer, each, parts
from minidl.interop.onnx.model import load_onnx, to_bytes
from minidl.layers import Layer

# How every layer of minidl is written.
WRITERS: dict[type[Layer], Row] = {
    **activations.ROWS,
    **attention.ROWS,
    **containers.ROWS,
    **dense.ROWS,
    **images.ROWS,
    **norms.ROWS,
    **pools.ROWS,
    **recurrent.ROWS,
}


def to_onnx(
    model: Layer, path: PathLike, example: Any, writers: Mapping[type[Layer], Writer] | None = None
) -> None:
    """Write a model as it is in evaluation to an ONNX file, all or nothing.

    The graph takes and returns what ``model.predict`` does, channels last, in the dtype of the example. The
    batch may have any size; all other lengths are those of the example. Sequences have no mask: every step
    counts. The model stays as it is.

    Args:
        model: any layer, of minidl's layers and of those that ``writers`` knows.
        path: the file, conventionally ``*.onnx``; an existing one is replaced.
        example: an input (N, ...), one sample is enough; a tuple of arrays for a layer that takes several.
            The inputs of the graph are named ``x``, or ``x0``, ``x1`` and so on; the outputs ``y``, likewise.
        writers: for layers of one's own, by their class, a function ``f(graph, layer, x)`` that adds nodes by
            ``graph.add`` and returns the name of its output; docs/interop.md shows one.

    Raises:
        ImportError: the package onnx is not installed.
        TypeError: a layer has no writer, or onnxruntime could not run it in the dtype of the example.
        ValueError: the model does not take the example or batches of other sizes, or is too large for a file.
        OSError: the file could not be written; what was there is still there.

    Example:
        >>> import tempfile
        >>> from minidl.backend import xp
        >>> from minidl.layers import Conv, Flatten, Linear, ReLU, Sequential
        >>> model = Sequential(Conv(1, 4, 3), ReLU(), Flatten(), Linear(144, 10))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     to_onnx(model, f"{folder}/model.onnx", xp.zeros((1, 8, 8, 1), xp.float32))
    """
    if not isinstance(model, Layer):
        raise TypeError(f"to_onnx: expected a layer, got {type(model).__name__}")
    load_onnx()
    arrays = each(example, asarray)
    expected = _check_batch(model, arrays)
    graph = Graph(model, {**WRITERS, **_rows(writers or {})})
    inputs = [Value(graph.fresh(name), array) for name, array in _numbered("x", arrays)]
    names = [graph.fresh(name) for name, _ in _numbered("y", expected)]
    found = graph.layer(model, tuple(inputs) if isinstance(example, tuple) else inputs[0])
    outputs = [graph.arranged(value, first=False) for value in parts(found)]
    graph.prune(outputs)
    content = to_bytes(graph, inputs, outputs, names)
    with replacing(path) as file:
        file.write(content)


def _numbered(letter: str, arrays: Any) -> list[tuple[str, Array]]:
    """Return arrays with their names: numbered if there is a tuple of them."""
    return (
        [(f"{letter}{i}", a) for i, a in enumerate(arrays)]
        if isinstance(arrays, tuple)
        else [(letter, arrays)]
    )


def _rows(writers: Mapping[Any, Any]) -> dict[type[Layer], Row]:
    """Return the writers of a user as rows of the table."""
    expected = "to_onnx: expected writers as {a class of layers: a function}, got"
    if not isinstance(writers, Mapping):
        raise TypeError(f"{expected} {writers!r:.100}")
    for kind, write in writers.items():
        if not (isinstance(kind, type) and issubclass(kind, Layer) and callable(write)):
            raise TypeError(f"{expected} {kind!r}: {write!r}")
    return {kind: Row("last", write) for kind, write in writers.items()}


def _check_batch(model: Layer, arrays: Any) -> Any:
    """Return what a model makes of the example; refuse one that takes no batch of another size."""
    for array in parts(arrays):
        if not (array.ndim and array.size):
            raise ValueError(
                f"to_onnx: expected an example (N, ...) of at least one number, got shape {array.shape}"
            )
    expected = model.predict(arrays)
    try:
        doubled = model.predict(each(arrays, lambda array: xp.concatenate([array, array])))
    except Exception as error:
        raise ValueError(
            f"to_onnx: expected a model for batches of any size, which takes the example twice, but {error}"
        ) from error
    for array, more in zip(parts(expected), parts(doubled), strict=True):
        n = len(parts(arrays)[0])
        if more.shape != (2 * n, *array.shape[1:]):
            raise ValueError(
                "to_onnx: expected outputs (N, ...) for batches of any size N, "
                f"got {array.shape} for N = {n} and {more.shape} for N = {2 * n}"
            )
    return expected
