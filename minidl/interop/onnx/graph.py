"""A graph of ONNX operators while it grows: its nodes, its constants, and the layout of each value.

Nothing here needs the package onnx; `minidl.interop.onnx.model` turns a graph into ONNX's own structures.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from minidl.backend import Array, asarray, to_numpy, xp
from minidl.files import HostArray
from minidl.layers import Buffer, Layer, Parameter

FLOAT, INT64, FLOAT16 = 1, 7, 10  # the numbers that these types have in ONNX

# How a writer wants its input: as the model has it, channels last; with the channels on axis 1, as ONNX's
# convolutions have them; in either of the two; or, in a container, with whatever its parts want.
Layout: TypeAlias = Literal["last", "first", "either", "parts"]
Writer: TypeAlias = "Callable[[Graph, Any, Any], Any]"


class Row(NamedTuple):
    """How a kind of layer is written."""

    layout: Layout
    write: Writer


class Node(NamedTuple):
    """One operator; an absent input has the empty name."""

    op_type: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Value:
    """An array of the graph: its name, what it holds for the example, and whether its channels come first."""

    name: str
    array: Array  # as the model has it, channels last
    first: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape for the example, channels last; the first length is that of the batch."""
        return self.array.shape

    def axis(self, axis: int) -> int:
        """Return where an axis of the model lies in the graph."""
        axis %= self.array.ndim
        moved = 1 if axis == self.array.ndim - 1 else axis + (axis > 0)
        return moved if self.first else axis


class Graph:
    """The nodes and constants written so far; what the writer of a layer is handed to add its own.

    Args:
        model: names its layers and parameters by their paths.
        writers: how each kind of layer is written.
    """

    def __init__(self, model: Layer, writers: Mapping[type[Layer], Row]) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, HostArray] = {}
        self._writers = writers
        self._paths = {id(part): path for path, part in _named_parts(model)}
        self._place = ""  # the path of the layer that is being written, and the layout that it wants
        self._layout: Layout = "parts"
        self._taken: set[str] = set()
        self._arranged: dict[tuple[str, bool], str] = {}

    def add(self, op_type: str, *inputs: Value | str | None, **attributes: Any) -> str:
        """Add a node of one output and return its name."""
        return self.add_several(1, op_type, *inputs, **attributes)[0]

    def add_several(
        self, count: int, op_type: str, *inputs: Value | str | None, **attributes: Any
    ) -> list[str]:
        """Add a node of several outputs and return their names.

        Args:
            count: how many outputs.
            op_type: the name of an operator of ONNX.
            *inputs: values or their names; ``None`` where one is absent.
            **attributes: of the operator; an array becomes a tensor.
        """
        outputs = [self.fresh(".".join(filter(None, [self._place, op_type]))) for _ in range(count)]
        names = ["" if x is None else x.name if isinstance(x, Value) else x for x in inputs]
        self.nodes.append(Node(op_type, outputs[0], names, outputs, attributes))
        return outputs

    def fresh(self, name: str) -> str:
        """Return a name that nothing has yet: this one, or with a number after it."""
        found, count = name, 0
        while found in self._taken:
            count += 1
            found = f"{name}_{count}"
        self._taken.add(found)
        return found

    def constant(self, array: Any, name: str = "constant") -> str:
        """Return the name of numbers that belong to the graph; the same ones under one name are kept once."""
        host = to_numpy(asarray(array))
        found, count = name, 0
        while found in self._taken:
            if found in self.constants and _same(self.constants[found], host):
                return found
            count += 1
            found = f"{name}_{count}"
        self._taken.add(found)
        self.constants[found] = host
        return found

    def ints(self, numbers: Iterable[int]) -> str:
        """Return the name of a list of whole numbers, as operators take shapes, axes and paddings."""
        return self.constant(xp.asarray(list(numbers), dtype=xp.int64), "ints")

    def number(self, number: float, like: Value) -> str:
        """Return the name of a single number of the dtype of a value."""
        return self.constant(xp.asarray(number, dtype=like.array.dtype), "number")

    def parameter(self, parameter: Parameter | Buffer, array: Array | None = None) -> str:
        """Return the name of a parameter or buffer of the model, in the arrangement of an array if given."""
        name = self._paths.get(id(parameter), "parameter")
        return self.constant(parameter.data if array is None else array, name)

    def layer(self, layer: Layer, x: Any) -> Any:
        """Write a layer and return its output: a value, or a tuple of them, as the input may be."""
        row, before = self._find(layer), len(self.nodes)
        outer = self._place, self._layout
        self._place, self._layout = self._paths.get(id(layer), ""), row.layout
        x = self._as_wanted(x)
        written = row.write(self, layer, x)
        if not _is_values(written):
            written = self._outputs(layer, x, written)
            self._refuse_double(layer, x, self.nodes[before:])
        self._place, self._layout = outer
        return self._as_wanted(written)

    def _as_wanted(self, x: Any) -> Any:
        """Return a value, or a tuple of them, in the layout that the layer which is being written wants."""
        if self._layout in ("either", "parts"):
            return x
        return each(x, lambda value: self.arranged(value, first=self._layout == "first"))

    def arranged(self, x: Value, first: bool) -> Value:
        """Return a value with its channels on axis 1, or last: itself, or transposed once for all who ask."""
        if x.first == first or x.array.ndim < 3:
            return x
        if (x.name, first) not in self._arranged:
            last = x.array.ndim - 1
            perm = [0, last, *range(1, last)] if first else [0, *range(2, last + 1), 1]
            name = self.add("Transpose", x, perm=perm)
            self._arranged[x.name, first] = name
            self._arranged[name, not first] = x.name
        return Value(self._arranged[x.name, first], x.array, first)

    def alike(self, values: Sequence[Value]) -> list[Value]:
        """Return values in one layout: channels first where one of them has it."""
        first = any(x.first for x in values)
        return [self.arranged(x, first) for x in values]

    def prune(self, outputs: Sequence[Value]) -> None:
        """Drop the nodes and constants that lead to no output."""
        needed, kept = {x.name for x in outputs}, []
        for node in reversed(self.nodes):
            if not needed.isdisjoint(node.outputs):
                needed.update(node.inputs)
                kept.append(node)
        self.nodes = kept[::-1]
        self.constants = {name: array for name, array in self.constants.items() if name in needed}

    def _find(self, layer: Layer) -> Row:
        """Return how a layer is written: as its class, or as a base that computes what it does."""
        own = type(layer)
        for kind in own.__mro__:
            same = issubclass(kind, Layer) and (own.vjp, own.predict) == (kind.vjp, kind.predict)
            if same and kind in self._writers:
                return self._writers[kind]
        raise TypeError(
            f"to_onnx: expected layers that have a writer, got {self._named(layer)}; give it one by "
            f"writers={{{own.__name__}: f}}, f(graph, layer, x) returning the name of what graph.add gave"
        )

    def _named(self, layer: Layer) -> str:
        path = self._paths.get(id(layer))
        return f"{layer!r}" + (f" at {path}" if path else "")

    def _outputs(self, layer: Layer, x: Any, names: Any) -> Any:
        """Return the values under the names that a writer returned."""
        arrays = layer.predict(each(x, lambda value: value.array))
        several = isinstance(arrays, tuple)
        listed = names if isinstance(names, (tuple, list)) else [names]
        if not all(isinstance(name, str) for name in listed) or len(listed) != (
            len(arrays) if several else 1
        ):
            expected = f"{len(arrays)} names of outputs" if several else "the name of its output"
            raise TypeError(
                f"to_onnx: expected the writer of {self._named(layer)} to return {expected}, got {names!r}"
            )
        first = self._layout == "first" or (self._layout == "either" and x.first)
        values = [
            Value(name, a, first) for name, a in zip(listed, arrays if several else [arrays], strict=True)
        ]
        return tuple(values) if several else values[0]

    def _refuse_double(self, layer: Layer, x: Any, nodes: Sequence[Node]) -> None:
        """Refuse what onnxruntime could not run."""
        single = [node.op_type for node in nodes if node.op_type in SINGLE_ONLY]
        if single and parts(x)[0].array.dtype == xp.float64:
            raise TypeError(
                f"to_onnx: expected float32 or float16 for {self._named(layer)}, got float64, for which "
                f'onnxruntime has no {single[0]}; export copy.deepcopy(model).astype("float32")'
            )


# The operators used here that ONNX has in double precision and onnxruntime has not.
SINGLE_ONLY = {
    "Conv",
    "ConvTranspose",
    "Elu",
    "GRU",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "InstanceNormalization",
    "LSTM",
    "LeakyRelu",
    "Mish",
    "PRelu",
    "RNN",
    "Selu",
    "Softplus",
    "Softsign",
}


def _same(a: HostArray, b: HostArray) -> bool:
    """Say whether two arrays are equal to the bit, NaN and the sign of zeros included."""
    return (a.dtype, a.shape) == (b.dtype, b.shape) and a.tobytes() == b.tobytes()


def each(x: Any, f: Callable[[Any], Any]) -> Any:
    """Apply a function to a value, or to each of a tuple."""
    return tuple(map(f, x)) if isinstance(x, tuple) else f(x)


def parts(x: Any) -> tuple[Any, ...]:
    """Return a tuple as it is, and anything else as a tuple of one."""
    return x if isinstance(x, tuple) else (x,)


def _is_values(written: Any) -> bool:
    return all(isinstance(part, Value) for part in parts(written))


def _named_parts(model: Layer) -> Iterable[tuple[str, object]]:
    yield from model.named_layers()
    yield from model.named_parameters()
    yield from model.buffers()
