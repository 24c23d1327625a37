"""A table of a model: what each layer makes of one sample, and what it costs."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from minidl.backend import Array, xp
from minidl.layers.base import Layer
from minidl.layers.containers import Parallel, Residual, Sequential
from minidl.layers.conv import Conv
from minidl.layers.linear import Linear

HEADINGS = ("layer", "output shape", "parameters", "multiply-adds", "activation bytes")


class Row(NamedTuple):
    """One layer, with the shape, cost and memory of one sample."""

    path: str
    layer: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    activation_bytes: int


class Summary:
    """The rows of a model in the order of execution; printing it shows the table."""

    def __init__(self, rows: list[Row], parameters: int) -> None:
        self.rows = rows
        self.parameters = parameters

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the matrix products for one sample."""
        return sum(row.multiply_adds for row in self.rows)

    @property
    def activation_bytes(self) -> int:
        """Bytes of all outputs for one sample."""
        return sum(row.activation_bytes for row in self.rows)

    def __str__(self) -> str:
        """Return the table as text."""
        cells = [
            [f"{r.path} {r.layer}".strip(), _shape(r.output_shape), *map(_number, r[3:])] for r in self.rows
        ]
        total = ["total", "", *map(_number, (self.parameters, self.multiply_adds, self.activation_bytes))]
        widths = [max(len(line[i]) for line in [HEADINGS, *cells, total]) for i in range(len(HEADINGS))]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        lines = [_aligned(line, widths) for line in [HEADINGS, *cells, total]]
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])

    def __repr__(self) -> str:
        return str(self)


def summary(model: Layer, input_shape: tuple[int, ...], dtype: Any = None) -> Summary:
    """Run one sample of zeros through a model and return the table of its layers.

    Multiply-adds count the matrix products of `Linear` and `Conv`; a shared parameter counts once in the
    total. The model stays as it was.

    Args:
        model: any layer.
        input_shape: the shape of one sample, without N.
        dtype: of the sample; by default that of the parameters.

    Raises:
        TypeError, ValueError: ``model`` is no layer or ``input_shape`` no shape; or as ``model.predict`` does
            for an input that does not fit.

    Example:
        >>> from minidl.layers import Conv, Flatten, Linear, MaxPool, ReLU, Sequential
        >>> model = Sequential(Conv(1, 4, 3), ReLU(), MaxPool(2), Flatten(), Linear(36, 10))
        >>> print(summary(model, (8, 8, 1)))
        layer                        output shape  parameters  multiply-adds  activation bytes
        --------------------------------------------------------------------------------------
        0 Conv(1, 4, kernel_size=3)  (N, 6, 6, 4)          40          1,296               576
        1 ReLU()                     (N, 6, 6, 4)           0              0               576
        2 MaxPool(2)                 (N, 3, 3, 4)           0              0               144
        3 Flatten()                  (N, 36)                0              0               144
        4 Linear(36, 10)             (N, 10)              370            360                40
        --------------------------------------------------------------------------------------
        total                                             410          1,656             1,480
    """
    if not isinstance(model, Layer):
        raise TypeError(f"summary: expected a layer, got {type(model).__name__}")
    parameters = model.parameters()
    sample = xp.zeros(
        (1, *_lengths(input_shape)), dtype or (parameters[0].dtype if parameters else xp.float32)
    )
    return Summary([row for row, _ in _rows("", model, sample)], sum(p.size for p in parameters))


def _lengths(shape: Any) -> tuple[int, ...]:
    """Return the shape of a sample as ints."""
    whole = isinstance(shape, (tuple, list)) and all(isinstance(n, (int, xp.integer)) for n in shape)
    if not whole or min(shape, default=0) < 0:
        raise (ValueError if whole else TypeError)(
            f"summary: expected input_shape as a tuple of lengths, without that of the batch, got {shape!r}"
        )
    return tuple(map(int, shape))


def _rows(path: str, layer: Layer, x: Array) -> Iterator[tuple[Row, Array]]:
    """Yield a row and the output for every layer below a known container, in the order of execution."""
    if isinstance(layer, Sequential):
        for i, child in enumerate(layer):
            for row, x in _rows(_joined(path, str(i)), child, x):  # noqa: B020 - the output is the next input
                yield row, x
        return
    if isinstance(layer, (Residual, Parallel)):
        for name, child in layer.children():
            if isinstance(child, Layer):
                yield from _rows(_joined(path, name), child, x)
        title, own = type(layer).__name__, 0
    else:
        title, own = repr(layer), sum(p.size for p in layer.parameters())
    y = layer.predict(x)
    work = MULTIPLY_ADDS[type(layer)](layer, y) if type(layer) in MULTIPLY_ADDS else 0
    yield Row(path, title, y.shape[1:], own, work, y.nbytes), y


MULTIPLY_ADDS: dict[type, Callable[[Any, Array], int]] = {
    Linear: lambda layer, y: math.prod(y.shape[1:-1]) * layer.weight.size,
    Conv: lambda layer, y: math.prod(y.shape[1:-1]) * layer.weight.size,
}


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(['N', *map(str, shape)])})"


def _number(count: int) -> str:
    return f"{count:,}"


def _aligned(cells: Any, widths: list[int]) -> str:
    left = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
    right = [cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)]
    return "  ".join([*left, *right]).rstrip()
