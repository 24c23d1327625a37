"""What is under test, brought into one form: a function of arrays that returns its outputs and a pullback."""

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from minidl.backend import Array, check_array, xp
from minidl.functional import vjp
from minidl.layers.base import Layer

Arrays: TypeAlias = "tuple[Array, ...]"
Gradients: TypeAlias = "tuple[Array | None, ...]"
Run: TypeAlias = "Callable[[Sequence[Array]], tuple[Arrays, Callable[[Arrays], Gradients]]]"


class Subject(NamedTuple):
    """A function of float64 arrays: ``run(arrays)`` returns its outputs and the pullback of these."""

    name: str
    arguments: tuple[str, ...]
    arrays: Arrays
    run: Run


def as_subject(f: Any, arrays: Sequence[Array]) -> Subject:
    """Bring an op, a layer, or a function built from ``minidl.functional`` into one form, in float64.

    A layer is copied and stays as it is; its parameters become arguments, and each run starts from the same
    buffers. Arrays of integers stay as they are and have no gradient.

    Raises:
        TypeError: ``f`` cannot be called, or something else than an array is given.
    """
    if not arrays or not callable(f):
        raise TypeError(
            f"check_gradients: expected a function and its arrays, got {f!r} and {len(arrays)} arrays"
        )
    for array in arrays:
        check_array(array, "check_gradients")
    values = tuple(as_float64(array) for array in arrays)
    if isinstance(f, Layer):
        return _of_layer(f, values)
    name = getattr(f, "__name__", None) or repr(f)
    run = _of_op(f) if _returns_pullback(f, values) else _of_op(lambda *a: vjp(f, *a))
    return Subject(name, _names(f, len(values)), values, run)


def as_float64(array: Array) -> Array:
    """Return a copy in float64; of integers, as they are."""
    return array.astype(xp.float64 if array.dtype.kind == "f" else array.dtype)


def as_parts(value: Any) -> tuple[Any, ...]:
    """Return one array, or a tuple of them, as a tuple."""
    return value if isinstance(value, tuple) else (value,)


def _returns_pullback(f: Callable[..., Any], arrays: Arrays) -> bool:
    """Tell an op, which returns its pullback, from a function of Tensors."""
    try:
        result = f(*arrays)
    except (AttributeError, TypeError) as error:  # something that only a Tensor has, or a mistake
        try:
            vjp(f, *arrays)
        except Exception:
            raise error from None
        return False
    return isinstance(result, tuple) and len(result) == 2 and callable(result[1])


def _names(f: Callable[..., Any], count: int) -> tuple[str, ...]:
    """Return the names of the first arguments of a function, where it has any."""
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        parameters = ()  # type: ignore[assignment]  # as empty as the view it stands for
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    known = [p.name for p in parameters if p.kind in kinds][:count]
    return tuple(known + [f"argument {i}" for i in range(len(known), count)])


def _of_op(op: Callable[..., Any]) -> Run:
    def run(arrays: Sequence[Array]) -> tuple[Arrays, Callable[[Arrays], Gradients]]:
        y, pullback = op(*arrays)

        def pull(dy: Arrays) -> Gradients:
            return as_parts(pullback(dy if isinstance(y, tuple) else dy[0]))

        return as_parts(y), pull

    return run


def _of_layer(layer: Layer, inputs: Arrays) -> Subject:
    """Make the trained parameters of a copy of the layer arguments, after its inputs."""
    layer = copy.deepcopy(layer).astype(xp.float64)
    named = [(name, p) for name, p in layer.named_parameters() if p.requires_grad]
    buffers = [(buffer, buffer.data.copy()) for _, buffer in layer.buffers()]
    count = len(inputs)

    def run(arrays: Sequence[Array]) -> tuple[Arrays, Callable[[Arrays], Gradients]]:
        for buffer, data in buffers:
            buffer.data = data.copy()
        for (_, parameter), data in zip(named, arrays[count:], strict=True):
            parameter.rebind(data, None)
        y, pullback = layer.vjp(tuple(arrays[:count]) if count > 1 else arrays[0])

        def pull(dy: Arrays) -> Gradients:
            dx, pairs = pullback(dy if isinstance(y, tuple) else dy[0])
            return (*as_parts(dx), *(_total(pairs, parameter) for _, parameter in named))

        return as_parts(y), pull

    names = ("x",) if count == 1 else tuple(f"x[{i}]" for i in range(count))
    values = (*inputs, *(parameter.data for _, parameter in named))
    name = repr(layer) if "\n" not in repr(layer) else type(layer).__name__
    return Subject(name, (*names, *(name for name, _ in named)), values, run)


def _total(pairs: Sequence[tuple[Any, Array]], parameter: object) -> Array | None:
    """Add up the gradients of one parameter; ``None`` if there is none."""
    found = [gradient for owner, gradient in pairs if owner is parameter]
    return sum(found[1:], start=found[0]) if found else None
