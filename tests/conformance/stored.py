"""Golden files: cases of the table and PyTorch's results for them, in one compact file.

Inputs are exact in half precision, as the table draws them; results are kept in single precision.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from minidl.backend import to_numpy
from tests.conformance import sides
from tests.conformance.layer_rows import LAYERS
from tests.conformance.loss_rows import LOSSES
from tests.conformance.optimizer_rows import OPTIMIZERS
from tests.conformance.rows import Arrays, Row, Settings
from tests.either import np

PATH = Path(__file__).parent / "golden" / "torch.npz"
DTYPES = {"f": "float16", "i": "int16"}  # of what goes in
TOLERANCE = 1e-6


class Record(NamedTuple):
    """A case, and what came out: for a row alone, or after twenty steps of an optimizer."""

    name: str  # of a layer or a loss
    optimizer: str  # empty for one forward and one backward
    options: Settings
    case: sides.Case
    results: Arrays


def row_of(name: str) -> Row:
    return (LAYERS | LOSSES)[name]


def ours(record: Record) -> Arrays:
    row = row_of(record.name)
    if record.optimizer:
        return sides.our_training(row, record.case, record.optimizer, record.options)
    return (sides.our_layer if record.name in LAYERS else sides.our_loss)(row, record.case)


def theirs(torch: Any, record: Record) -> Arrays:
    row = row_of(record.name)
    if record.optimizer:
        return sides.their_training(torch, row, record.case, record.optimizer, record.options)
    return (sides.their_layer if record.name in LAYERS else sides.their_loss)(torch, row, record.case)


def drawn(torch: Any, count: int) -> Iterator[Record]:
    """Draw cases for every layer, loss and optimizer, the same ones each time, and have PyTorch compute."""
    for name, row in (LAYERS | LOSSES).items():
        for number, (config, shape) in enumerate(examples(row.drawn, count)):
            training = row.training[number % len(row.training)]
            yield computed(
                torch, Record(name, "", {}, sides.make_case(row, config, shape, number, training), {})
            )
    row = row_of("Sequential")
    for name, strategy in OPTIMIZERS.items():
        for number, options in enumerate(examples(strategy, count)):
            case = sides.make_case(row, {}, (4, 3), number)
            yield computed(torch, Record("Sequential", name, options, case, {}))


def computed(torch: Any, record: Record) -> Record:
    return record._replace(results=theirs(torch, record))


def examples(strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    """Draw from a strategy, the same values each time."""
    found = []

    @settings(max_examples=4 * count, derandomize=True, database=None, deadline=None, phases=[Phase.generate])
    @given(strategy)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return found[-count:]  # the first ones are the simplest


def write(records: list[Record], path: Path = PATH) -> None:
    index, inputs, results = [], [], []
    for name, optimizer, options, case, found in records:
        state = {key: a for key, a in case.state.items() if a.dtype.kind == "f"}
        values = [*case.inputs, *state.values(), *case.dy]
        entry = {
            "row": [name, optimizer, options, case.settings, case.training],
            "inputs": [[a.dtype.kind, a.shape] for a in values],
            "state": list(state),
            "outputs": len(case.dy),
            "results": [[key, a.shape] for key, a in found.items()],
        }
        index.append(entry)
        for a in values:
            narrow = a.astype(DTYPES[a.dtype.kind])
            if not (narrow == a).all():
                raise ValueError(f"{name}: expected inputs that are exact in half precision, got {a}")
            inputs.append(narrow.ravel().view(np.int16))
        results += [a.ravel().astype(np.float32) for a in found.values()]
    text = np.frombuffer(json.dumps(index, separators=(",", ":")).encode(), np.uint8)
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, index=text, inputs=np.concatenate(inputs), results=np.concatenate(results))


def read(path: Path = PATH) -> list[Record]:
    with np.load(path) as file:
        index, inputs, results = json.loads(file["index"].tobytes()), file["inputs"], file["results"]
    records, place, end = [], 0, 0
    for entry in index:
        name, optimizer, options, config, training = entry["row"]
        values = []
        for kind, shape in entry["inputs"]:
            size = int(np.prod(shape))
            raw, place = inputs[place : place + size].copy().view(DTYPES[kind]), place + size
            values.append(raw.reshape(shape).astype("float64" if kind == "f" else "int64"))
        found = {}
        for key, shape in entry["results"]:
            size = int(np.prod(shape))
            found[key], end = results[end : end + size].reshape(shape), end + size
        config = tupled(config)
        state = initial_state(name, config)
        last = len(values) - entry["outputs"]
        count = last - len(entry["state"])
        state |= dict(zip(entry["state"], values[count:last], strict=True))
        case = sides.Case(config, training, values[:count], state, values[last:])
        records.append(Record(name, optimizer, tupled(options), case, found))
    return records


def initial_state(name: str, config: Settings) -> Arrays:
    """What a new layer starts with: counters, which are not stored."""
    if name not in LAYERS:
        return {}
    return {key: to_numpy(a) for key, a in row_of(name).ours(**config).state().items()}


def tupled(value: Any) -> Any:
    """What was a tuple before it became JSON."""
    if isinstance(value, dict):
        return {key: tupled(v) for key, v in value.items()}
    return tuple(tupled(v) for v in value) if isinstance(value, list) else value
