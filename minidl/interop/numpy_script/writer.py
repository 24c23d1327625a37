"""From a model to the statements of its forward and backward: `Layer.vjp` on names in place of arrays."""

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from minidl import layers
from minidl.backend import Array
from minidl.interop.numpy_script.sources import FUNCTIONS
from minidl.interop.numpy_script.table import RECURRENT, Rule, known, rule_of
from minidl.layers.base import Layer

WIDTH = 88  # of a call, beside the variables that it is assigned to


class Value(NamedTuple):
    """A variable of the script, and the array that it holds for the example."""

    name: str
    array: Array


Backward = Callable[[str], str]  # from the name of dy to that of dx, writing statements on the way


class Writer:
    """The statements of one model.

    Args:
        model: what is written; its paths name the weights.
        backward: whether statements of a backward are wanted.
    """

    def __init__(self, model: Layer, backward: bool) -> None:
        owned = [*model.named_parameters(), *model.buffers()]
        self.paths = {id(value): path for path, value in owned}
        self.places = {id(layer): path for path, layer in model.named_layers()}
        self.wants_backward = backward
        self.forward: list[str] = []
        self.backward: list[str] = []
        self.functions: list[str] = []
        self.kept: list[str] = []  # the variables that the backward needs
        self._counts: dict[str, int] = {}
        self._graded: set[str] = set()

    def write(self, layer: Layer, x: Value) -> tuple[Value, Backward]:
        """Write a layer; return its output, and what writes its backward."""
        kind = known(layer)
        if kind in WRITERS:
            return WRITERS[kind](self, layer, x)
        rule = rule_of(layer)
        if rule is None:
            return self._recurrent(layer, RECURRENT[kind], x)
        if rule.function is None:
            self._comment(layer, x.array, x.array, ", as it is")
            return x, lambda dy: dy
        return self._call(layer, rule, x)

    def variable(self, kind: str) -> str:
        """Return a new name: linear1, linear2, ..."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        return f"{kind}{self._counts[kind]}"

    def keep(self, name: str) -> str:
        """Return the name of a variable of the forward, which the backward is to see."""
        if name not in self.kept:
            self.kept.append(name)
        return name

    def use(self, name: str) -> str:
        """Return the name of a function, which the script is to contain."""
        if name not in self.functions:
            self.functions.append(name)
        return name

    def _call(self, layer: Layer, rule: Rule, x: Value) -> tuple[Value, Backward]:
        options = rule.options(layer, x.array)
        y = Value(self.variable(rule.name), layer.predict(x.array))
        arrays = [self._weight(layer, name) for name in rule.arrays]
        while arrays and arrays[-1] == "None" and rule.function == "linear":
            arrays.pop()
        self._comment(layer, x.array, y.array)
        self.forward.append(f"{y.name} = {self._call_of(str(rule.function), [x.name, *arrays], options)}")
        if not self.wants_backward:
            return y, lambda dy: dy
        if rule.needs is None:
            raise ValueError(f"eject: {layer!r} can be written without a backward only: backward=False")
        return y, lambda dy: self._back(layer, rule, x, y, dy, options)

    def _back(self, layer: Any, rule: Rule, x: Value, y: Value, dy: str, options: Mapping[str, Any]) -> str:
        values = {"x": x.name, "y": y.name}
        needs = [
            self.keep(values[need]) if need in values else self._weight(layer, need)
            for need in rule.needs or ()
        ]
        call = self._call_of(rule.backward or f"{rule.function}_backward", [dy, *needs], options)
        dx = self.variable(f"d_{x.name}_") if f"d_{x.name}" in self._counts else f"d_{x.name}"
        self._counts.setdefault(dx, 0)
        targets = [dx] if rule.input_grad else []
        sums = []
        for name in rule.gradients:
            target, later = self._gradient(getattr(layer, name))
            targets.append(target)
            sums += later
        place = self.places.get(id(layer), "")
        self.backward += [f"# {place + ': ' if place else ''}{type(layer).__name__}"]
        self.backward += [f"{', '.join(targets)} = {call}", *sums]
        return dx if rule.input_grad else "None"

    def _gradient(self, parameter: Any) -> tuple[str, list[str]]:
        """Return where the gradient of a parameter goes, and the sum where it is one of several."""
        if parameter is None or not parameter.requires_grad:
            return "_", []
        place = f"g[{_literal(self.paths[id(parameter)])}]"
        if place not in self._graded:
            self._graded.add(place)
            return place, []
        more = self.variable("more")
        return more, [f"{place} = {place} + {more}  # shared"]

    def _recurrent(self, layer: Any, name: str, x: Value) -> tuple[Value, Backward]:
        if self.wants_backward:
            raise ValueError(f"eject: {layer!r} can be written without a backward only: backward=False")
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        suffixes = ("", "_reverse") if layer.bidirectional else ("",)
        runs = [f"l{i}{suffix}" for i in range(layer.num_layers) for suffix in suffixes]
        y = Value(self.variable("states"), layer.predict(x.array))
        self._comment(layer, x.array, y.array)
        weights = self.variable("weights")
        self.forward.append(f"{weights} = [")
        for run in runs:
            row = ", ".join(self._weight(layer, f"{kind}_{run}") for kind in kinds)
            self.forward.append(f"    ({row}),")
        self.forward.append("]")
        options = {
            "bidirectional": layer.bidirectional,
            "nonlinearity": getattr(layer, "nonlinearity", "tanh"),
        }
        self.forward.append(f"{y.name} = {self._call_of(name, [x.name, weights], options)}")
        return y, lambda dy: dy

    def _weight(self, layer: Any, name: str) -> str:
        value = getattr(layer, name, None)
        return "None" if value is None else f"p[{_literal(self.paths[id(value)])}]"

    def _call_of(self, name: str, arguments: list[str], options: Mapping[str, Any]) -> str:
        """Return a call, with those options that the function has and that are not its defaults."""
        accepted = inspect.signature(FUNCTIONS[self.use(name)]).parameters
        chosen = [
            f"{option}={_literal(value)}"
            for option, value in options.items()
            if option in accepted and accepted[option].default != value
        ]
        return _wrapped(name, [*arguments, *chosen])

    def _comment(self, layer: Layer, x: Array, y: Array, more: str = "") -> None:
        """Say which layer comes now, and what shapes go in and out."""
        place = self.places.get(id(layer), "")
        shapes = "" if more else f": {shape_of(x)} to {shape_of(y)}"
        words = ascii(" ".join(repr(layer).split()))[1:-1]
        self.forward.append(f"# {place + ': ' if place else ''}{words}{shapes}{more}")


def _literal(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _wrapped(name: str, arguments: list[str]) -> str:
    """Return a call, on several lines where it is long."""
    call = f"{name}({', '.join(arguments)})"
    if len(call) <= WIDTH:
        return call
    rows = [""]
    for argument in arguments:
        if len(rows[-1]) + len(argument) > WIDTH:
            rows.append("")
        rows[-1] += f" {argument},"
    return "\n   ".join([f"{name}(", *rows]) + "\n)"


def shape_of(array: Array) -> str:
    """Return a shape with N for the batch."""
    return "(" + ", ".join(["N", *map(str, array.shape[1:])]) + ("" if array.ndim > 1 else ",") + ")"


def _sequential(writer: Writer, layer: Any, x: Value) -> tuple[Value, Backward]:
    backwards: list[Backward] = []
    for child in layer:
        x, back = writer.write(child, x)
        backwards.append(back)

    def backward(dy: str) -> str:
        for back in reversed(backwards):
            dy = back(dy)
        return dy

    return x, backward


def _residual(writer: Writer, layer: Any, x: Value) -> tuple[Value, Backward]:
    y, back = writer.write(layer.layer, x)
    short, short_back = (x, None) if layer.shortcut is None else writer.write(layer.shortcut, x)
    out = _added(writer, [y, short])

    def backward(dy: str) -> str:
        return _sum(writer, [back(dy), short_back(dy) if short_back else dy], x)

    return out, backward


def _added(writer: Writer, parts: list[Value]) -> Value:
    total = sum((part.array for part in parts[1:]), start=parts[0].array)
    out = Value(writer.variable("added"), total)
    writer.forward.append(f"{out.name} = {' + '.join(part.name for part in parts)}")
    return out


def _sum(writer: Writer, gradients: list[str], x: Value) -> str:
    """Write the sum of the gradients of one variable that was used several times."""
    if "None" in gradients:
        return "None"
    total = writer.variable(f"d_{x.name}_sum")
    writer.backward.append(f"{total} = {' + '.join(gradients)}")
    return total


def _parallel(writer: Writer, layer: Any, x: Value) -> tuple[Value, Backward]:
    found = [writer.write(child, x) for child in layer]
    parts = [part for part, _ in found]
    if layer.merge == "add":
        out = _added(writer, parts)
        return out, lambda dy: _sum(writer, [back(dy) for _, back in found], x)
    out = Value(writer.variable("joined"), layer.predict(x.array))
    writer.forward.append(f"{out.name} = np.concatenate([{', '.join(p.name for p in parts)}], axis=-1)")
    ends = [sum(p.array.shape[-1] for p in parts[: i + 1]) for i in range(len(parts) - 1)]

    def backward(dy: str) -> str:
        pieces = [writer.variable(f"d_{part.name}_part") for part in parts]
        writer.backward.append(f"{', '.join(pieces)}, = np.split({dy}, {ends}, axis=-1)")
        return _sum(writer, [back(piece) for (_, back), piece in zip(found, pieces, strict=True)], x)

    return out, backward


def _transformer(writer: Writer, layer: Any, x: Value) -> tuple[Value, Backward]:
    if layer.norm_first:
        blocks = [[layer.norm1, layer.attention], [layer.norm2, layer.feed_forward]]
    else:
        blocks = [[layer.attention], [layer.feed_forward]]
    for block, norm in zip(blocks, (layer.norm1, layer.norm2), strict=True):
        y, _ = _sequential(writer, block, x)
        x = _added(writer, [x, y])
        if not layer.norm_first:
            x, _ = writer.write(norm, x)
    return x, lambda dy: dy


WRITERS: dict[type[Layer], Callable[[Writer, Any, Value], tuple[Value, Backward]]] = {
    layers.Sequential: _sequential,
    layers.Residual: _residual,
    layers.Parallel: _parallel,
    layers.TransformerEncoderLayer: _transformer,
}
