"""One batch, forward and back, with every call of every layer looked at."""

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from minidl import tiling
from minidl.backend import (
    Array,
    generator_state,
    load_generator_state,
    silent_overflow,
    to_numpy,
)
from minidl.layers.base import Layer
from minidl.layers.parameter import Parameter


class Call:
    """What one call of one layer took and gave; the calls of the layers inside it are its children.

    The arrays are those of the batch, on the device; `host` returns them on the host.
    """

    dy: Any = None
    dx: Any = None
    gradients: "list[tuple[Parameter, Array]]"

    def __init__(self, path: str, layer: Layer, x: Any, more: tuple[Any, ...], depth: int) -> None:
        self.layer: Any = layer  # of a kind that the table knows, with attributes of its own
        self.path, self.x, self.more, self.depth = path, x, more, depth
        self.training = layer.training
        self.state = {name: buffer.data.copy() for name, buffer in layer.buffers()}
        self.stream = generator_state()
        self.y: Any = None
        self.children: list[Call] = []
        self.gradients = []
        self.use, self.uses = 1, 1

    def host(self, name: str) -> Any:
        """Return ``x``, ``y``, ``dy``, ``dx``, a parameter, or a buffer as it was before, on the host."""
        if name in ("x", "y", "dy", "dx"):
            return to_numpy(getattr(self, name))
        if name in self.state:
            return to_numpy(self.state[name])
        parameter = getattr(self.layer, name)
        return None if parameter is None else to_numpy(parameter.data)

    def gradient(self, name: str) -> Any:
        """Return the gradient of the parameter under this attribute on the host; None where there is none."""
        wanted = getattr(self.layer, name, None)
        found = [g for parameter, g in self.gradients if parameter is wanted]
        return to_numpy(found[0]) if found else None


class Batch:
    """The calls of one batch in the order of execution, the loss and its gradient."""

    def __init__(self, root: Call, value: Array, loss: Any) -> None:
        self.root, self.value, self.loss = root, value, loss

    def calls(self) -> Iterator[Call]:
        """Yield each call before those inside it."""
        stack = [self.root]
        while stack:
            call = stack.pop()
            yield call
            stack.extend(reversed(call.children))


def look_at(model: Layer, loss: Any, x: Any, targets: tuple[Any, ...]) -> Batch:
    """Run a batch forward and back, and leave the model and the random streams as they were."""
    loss = copy.copy(loss)  # it keeps its last step
    with restored(model), _watched(model) as root, tiling.whole(), silent_overflow(invalid=True):
        y, pullback = model.vjp(x)
        value = loss.forward(y, *targets)
        pullback(loss.backward())
    batch = Batch(root[0], value, loss)
    calls = list(batch.calls())
    uses, seen = Counter(id(call.layer) for call in calls), Counter[int]()
    for call in calls:
        seen[id(call.layer)] += 1
        call.use, call.uses = seen[id(call.layer)], uses[id(call.layer)]
    return batch


@contextmanager
def restored(model: Layer) -> Iterator[None]:
    """Put back buffers and the default generator; parameters and gradients are not written to."""
    buffers = [(buffer, buffer.data, buffer.data.copy()) for _, buffer in model.buffers()]
    modes = [(layer, layer.training) for _, layer in model.named_layers()]
    stream = generator_state()
    try:
        yield
    finally:
        load_generator_state(stream)
        for buffer, array, before in buffers:
            array[...] = before  # should somebody have written into it
            buffer.data = array
        for layer, mode in modes:
            if layer.training is not mode:
                layer.training = mode


@contextmanager
def _watched(model: Layer) -> Iterator[list[Call]]:
    """While it is on, each layer notes its calls; the list holds the outermost one."""
    layers = list(model.named_layers())
    own = [(layer, vars(layer)["vjp"]) for _, layer in layers if "vjp" in vars(layer)]
    roots: list[Call] = []
    stack: list[Call] = []
    try:
        for path, layer in layers:
            vars(layer)["vjp"] = _noting(path, layer, layer.vjp, roots, stack)
        yield roots
    finally:
        for _, layer in layers:
            vars(layer).pop("vjp", None)
        for layer, vjp in own:
            vars(layer)["vjp"] = vjp


def _noting(
    path: str, layer: Layer, vjp: Callable[..., Any], roots: list[Call], stack: list[Call]
) -> Callable[..., Any]:
    def noting(x: Any, *further: Any, **options: Any) -> Any:
        call = Call(path, layer, x, (*further, *options.values()), len(stack))
        (stack[-1].children if stack else roots).append(call)
        stack.append(call)
        try:
            call.y, pullback = vjp(x, *further, **options)
        finally:
            stack.pop()

        def noted(dy: Any, input_grad: bool = True) -> Any:
            dx, pairs = pullback(dy, input_grad=input_grad)
            call.dy, call.dx, call.gradients = dy, dx, list(pairs)
            return dx, pairs

        return call.y, noted

    return noting
