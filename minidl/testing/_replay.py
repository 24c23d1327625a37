"""Every call of every layer, recorded on one backend and repeated by NumPy in float64 in another process."""

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from minidl import tiling
from minidl.backend import Array, asarray, copy_into, to_numpy, xp
from minidl.files.tensors import read_tensors, write_tensors
from minidl.layers.base import Layer
from minidl.testing.subject import as_float64, as_parts


@dataclass
class Call:
    """What one layer was given and gave back in one forward pass and its backward pass."""

    path: str
    x: Any
    buffers: dict[str, Array]
    y: Any = None
    dy: Any = None
    gradients: dict[str, Array] = field(default_factory=dict)


@dataclass
class Recording:
    """All calls, in the order in which they ended, and the order in which their backward passes did."""

    forward: list[Call] = field(default_factory=list)
    backward: list[Call] = field(default_factory=list)


def made(factory: str, seed: int) -> Layer:
    """Import ``module:function``, call it with a seeded default generator, and return its layer."""
    from minidl import backend

    module, _, function = factory.partition(":")
    backend.seed(seed)
    model = getattr(importlib.import_module(module), function)()
    if not isinstance(model, Layer):
        raise TypeError(f"compare_backends: expected a layer from {factory}, got {type(model).__name__}")
    return model


def recorded(model: Layer) -> Recording:
    """Put a recorder around the ``vjp`` of every layer; the model computes as before, but piece by piece."""
    recording = Recording()
    for path, layer in list(model.named_layers()):
        layer.__dict__["vjp"] = _recorder(recording, path, layer, layer.vjp)
    return recording


def _recorder(recording: Recording, path: str, layer: Layer, original: Callable[..., Any]) -> Any:
    names = {id(p): name for name, p in layer.named_parameters()}

    def vjp(x: Any) -> Any:
        call = Call(path, x, {name: buffer.data.copy() for name, buffer in layer.buffers()})
        with tiling.whole():  # every layer sees the whole batch, and is called once
            call.y, pullback = original(x)
        recording.forward.append(call)

        def noted(dy: Any, input_grad: bool = True) -> Any:
            call.dy = dy
            dx, pairs = pullback(dy, input_grad=input_grad)
            recording.backward.append(call)
            call.gradients = _named(dx, [(names[id(p)], g) for p, g in pairs])
            return dx, pairs

        return call.y, noted

    return vjp


def _named(dx: Any, pairs: Sequence[tuple[str, Array]]) -> dict[str, Array]:
    """Return the gradients by what they are of; those of a shared parameter are added up."""
    found = {f"the input[{i}]" if i else "the input": g for i, g in enumerate(as_parts(dx)) if g is not None}
    for name, gradient in pairs:
        found[name] = found[name] + gradient if name in found else gradient
    return found


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Array]]:
    """Name the arrays of a value that is one array or a tuple with gaps."""
    parts = as_parts(value)
    yield from ((f"{prefix}.{i}", part) for i, part in enumerate(parts) if part is not None)


def write_calls(path: str, model: Layer, recording: Recording) -> None:
    """Write the weights and what each layer was given."""
    tensors = {f"weight.{name}": p.data for name, p in model.named_parameters()}
    calls = []
    for i, call in enumerate(recording.forward):
        tensors.update(_flat(f"{i}.x", call.x))
        tensors.update(_flat(f"{i}.dy", call.dy))
        tensors.update((f"{i}.buffer.{name}", data) for name, data in call.buffers.items())
        parts = [len(v) if isinstance(v, tuple) else 0 for v in (call.x, call.dy)]
        calls.append({"path": call.path, "x": parts[0], "dy": parts[1]})
    write_tensors(path, tensors, {"calls": calls})


def _value(tensors: dict[str, Any], prefix: str, parts: int) -> Any:
    """Return a value as it was written: one array, or a tuple of so many parts."""
    found = [_wide(tensors.get(f"{prefix}.{i}")) for i in range(max(1, parts))]
    return tuple(found) if parts else found[0]


def _wide(array: Any) -> Any:
    return None if array is None else as_float64(asarray(array))


def replay(given: str, answer: str, factory: str, seed: int) -> None:
    """Repeat every recorded call in float64, each with exactly what it was given, and write what it gives."""
    tensors, extra = read_tensors(given)
    model = made(factory, seed)
    for name, parameter in model.named_parameters():
        copy_into(parameter.data, tensors[f"weight.{name}"].astype(to_numpy(parameter.data).dtype))
    model = model.astype(xp.float64)
    for name, parameter in model.named_parameters():
        copy_into(parameter.data, tensors[f"weight.{name}"])
    layers = dict(model.named_layers())
    results: dict[str, Any] = {}
    for i, call in enumerate(extra["calls"]):
        layer = layers[call["path"]]
        for name, buffer in layer.buffers():
            buffer.data = tensors[f"{i}.buffer.{name}"]
        y, pullback = layer.vjp(_value(tensors, f"{i}.x", call["x"]))
        results.update(_flat(f"{i}.y", y))
        names = {id(p): name for name, p in layer.named_parameters()}
        dx, pairs = pullback(_value(tensors, f"{i}.dy", call["dy"]))
        gradients = _named(dx, [(names[id(p)], g) for p, g in pairs])
        results.update((f"{i}.gradient.{name}", g) for name, g in gradients.items())
    write_tensors(answer, {name: to_numpy(array) for name, array in results.items()})


if __name__ == "__main__":
    replay(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
