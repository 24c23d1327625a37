"""The data of the page: statistics and worked numbers of each call, as plain Python numbers."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from minidl.backend import Array, to_numpy, xp
from minidl.layers.base import Layer
from minidl.training.explain.entry import Entry
from minidl.training.explain.seen import Batch, Call
from minidl.training.explain.table import entry_of
from minidl.training.explain.worked import Hand, Index, Worked, work_through


class Statistics(NamedTuple):
    """One array: its shape and what its finite numbers are like; None where there are none."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    mean: float | None
    std: float | None
    least: float | None
    largest: float | None
    zeros: float
    """The share of zeros, 0 to 1."""
    nans: int
    infinities: int


class Record(NamedTuple):
    """One call of one layer: what it computes, what went through it, and numbers worked through."""

    path: str
    """Empty for the model itself."""
    layer: str
    """Its repr, in one line."""
    kind: str
    depth: int
    use: int
    """Of a shared layer, which of its calls this is."""
    uses: int
    training: bool
    forward: str
    pullback: str
    names: str
    parameters: int
    parameter_bytes: int
    multiply_adds: int
    """Of the matrix products, for the whole batch."""
    activation_bytes: int
    """Of the output, for the whole batch."""
    statistics: list[Statistics]
    output: Worked | None
    gradient: Worked | None
    remark: str
    """Why a number is not worked through; empty where all are."""

    @property
    def title(self) -> str:
        """The path and the name of the layer, and which use it is."""
        again = f", use {self.use} of {self.uses}" if self.uses > 1 else ""
        return f"{self.path or 'the model'}: {self.kind}{again}"

    def named(self, name: str) -> Statistics | None:
        """Return the statistics of an array, such as ``"y"`` or ``"dx"``."""
        return next((s for s in self.statistics if s.name == name), None)


def records_of(
    batch: Batch, own: Mapping[type[Layer], Entry], sample: int, elements: Mapping[str, Index]
) -> list[Record]:
    """Return a record for each call, each before those inside it."""
    return [_record(call, own, sample, elements.get(call.path)) for call in batch.calls()]


def statistics_of(name: str, a: Array) -> Statistics:
    """Look at an array; this waits for the GPU."""
    if a.dtype.kind not in "fiub":
        raise TypeError(f"explain: expected {name} as an array of real numbers, got {a.dtype}")
    wide = a.astype(xp.float64)
    finite = wide[xp.isfinite(wide)]
    numbers: tuple[Any, Any, Any, Any] = (None,) * 4
    if finite.size:
        low, high = float(finite.min()), float(finite.max())
        mean = min(max(float(finite.mean()), low), high)
        numbers = (mean, float(finite.std()) if high > low else 0.0, low, high)
    zeros = float((wide == 0).mean()) if a.size else 0.0
    nans = int(xp.isnan(wide).sum())
    return Statistics(name, a.shape, str(a.dtype), *numbers, zeros, nans, int(a.size - finite.size) - nans)


def arrays_of(name: str, value: Any) -> Iterator[tuple[str, Array]]:
    """Yield the arrays of a value under their names: one, or those of a tuple."""
    if isinstance(value, tuple):
        for i, part in enumerate(value):
            yield from arrays_of(f"{name}.{i}", part)
    elif value is not None:
        yield name, value


def _record(call: Call, own: Mapping[type[Layer], Entry], sample: int, element: Index | None) -> Record:
    entry = entry_of(call.layer, own)
    parameters = call.layer.parameters()
    outputs = [array for _, array in arrays_of("y", call.y)]
    output, gradient, remark = _worked(call, entry, sample, element)
    return Record(
        path=call.path,
        layer=" ".join(repr(call.layer).split()),
        kind=type(call.layer).__name__,
        depth=call.depth,
        use=call.use,
        uses=call.uses,
        training=call.training,
        forward=entry.forward,
        pullback=entry.pullback,
        names=entry.names,
        parameters=sum(p.size for p in parameters),
        parameter_bytes=sum(p.data.nbytes for p in parameters),
        multiply_adds=_multiply_adds(call, own),
        activation_bytes=sum(array.nbytes for array in outputs),
        statistics=list(_statistics(call)),
        output=output,
        gradient=gradient,
        remark=remark,
    )


def _multiply_adds(call: Call, own: Mapping[type[Layer], Entry]) -> int:
    count = entry_of(call.layer, own).multiply_adds
    return count(call) if count else sum(_multiply_adds(child, own) for child in call.children)


def _statistics(call: Call) -> Iterator[Statistics]:
    for name in ("x", "y", "dy", "dx"):
        for part, array in arrays_of(name, getattr(call, name)):
            yield statistics_of(part, array)
    if call.children:  # its parameters are theirs
        return
    gradients = {id(parameter): g for parameter, g in call.gradients}
    for path, parameter in call.layer.named_parameters():
        yield statistics_of(path, parameter.data)
        if id(parameter) in gradients:
            yield statistics_of(f"d {path}", gradients[id(parameter)])


def _worked(call: Call, entry: Entry, sample: int, element: Index | None) -> tuple[Any, Any, str]:
    """Work out an element of the output and one of the gradient; say why where that cannot be done."""
    several = any(isinstance(value, tuple) for value in (call.x, call.y, call.dx))
    if several or any(value is not None for value in call.more):
        what = "several inputs or outputs" if several else "a mask"
        return None, None, f"with {what} no number is worked through"
    y, remarks = to_numpy(call.y), []
    dy = None if call.dy is None else to_numpy(call.dy)
    index = _chosen(y, dy, sample) if element is None else element
    output, remark = _tried(call, "y", y, index, entry.output)
    remarks.append(remark)
    array, name = (call.gradient(entry.of), f"d {entry.of}") if entry.of else (call.dx, "dx")
    if array is None:
        return output, None, "; ".join(filter(None, [*remarks, f"there is no gradient {name}"]))
    array = to_numpy(array)
    index = _chosen(array, None, None if entry.of else sample)
    gradient, remark = _tried(call, name, array, index, entry.gradient)
    return output, gradient, "; ".join(filter(None, [*remarks, remark]))


def _tried(call: Call, name: str, array: Any, index: Index | None, hand: Hand) -> tuple[Worked | None, str]:
    """Work a number through; a layer of somebody else's may refuse what that takes."""
    if index is None:
        return None, f"{name} has no element"
    try:
        return work_through(call, name, array, index, hand), ""
    except Exception as error:
        return None, f"{name} could not be worked through: {type(error).__name__}: {error}"


def _chosen(array: Any, weight: Any, sample: int | None) -> Index | None:
    """Return the first element that is not finite, else the one with the largest weight, or itself."""
    first = sample if sample is not None and array.ndim and sample < len(array) else None
    part = array if first is None else array[first]
    if not part.size:
        return None
    score = (
        part if weight is None or weight.shape != array.shape else weight if first is None else weight[first]
    )
    bad = (part != part) | (abs(part) == float("inf"))  # NaN is not equal to itself
    score = abs(score) if score.any() else abs(part)
    rank = int(bad.argmax()) if bad.any() else int((score == score[score == score].max(initial=0)).argmax())
    place: list[int] = []
    for n in reversed(part.shape):
        rank, i = divmod(rank, n)
        place.insert(0, i)
    return (*(() if first is None else (first,)), *place)
