"""The tables of the page as cells, which Markdown and HTML only have to set."""

from collections.abc import Sequence
from typing import NamedTuple

from minidl.training.explain.records import Record, Statistics
from minidl.training.explain.worked import Worked, number

SHOWN = 10
"""How many parts of a number are shown; of more, the largest."""


class Table(NamedTuple):
    """Headings and rows of text; the first column names the row, those in ``words`` are no numbers."""

    head: list[str]
    rows: list[list[str]]
    words: tuple[int, ...] = (0,)
    below: str = ""


def overview(records: Sequence[Record]) -> Table:
    """Return one line for each layer."""
    head = [
        "layer",
        "output",
        "parameters",
        "multiply-adds",
        "bytes out",
        "std y",
        "std dx",
        "zeros",
        "not finite",
    ]
    return Table(head, [_line(record) for record in records], (0, 1))


def _line(record: Record) -> list[str]:
    y = [s for s in record.statistics if s.name.partition(".")[0] == "y"]
    dx = record.named("dx")
    bad = sum(s.nans + s.infinities for s in record.statistics)
    return [
        record.title,
        " ".join(_shape(s.shape) for s in y),
        f"{record.parameters:,}",
        f"{record.multiply_adds:,}",
        f"{record.activation_bytes:,}",
        _short(y[0].std) if y else "",
        _short(dx.std) if dx else "",
        _share(y[0].zeros) if y else "",
        f"{bad:,}",
    ]


def statistics(of: Sequence[Statistics]) -> Table:
    """Return one line for each array of a layer."""
    head = ["array", "shape", "mean", "std", "min", "max", "zeros", "NaN", "inf"]
    rows = [
        [
            s.name,
            _shape(s.shape),
            *map(_short, (s.mean, s.std, s.least, s.largest)),
            _share(s.zeros),
            f"{s.nans:,}",
            f"{s.infinities:,}",
        ]
        for s in of
    ]
    return Table(head, rows, (0, 1))


def parts(worked: Worked) -> Table | None:
    """Return what a number is made of, the largest parts first where there are many."""
    if not worked.rows:
        return None
    rows, below = worked.rows, ""
    if len(rows) > SHOWN:
        rows = sorted(rows, key=lambda row: -_size(row[-1]))[:SHOWN]
        left = [row[-1] for row in worked.rows if not any(row is shown for shown in rows)]
        below = f"the {SHOWN} largest of {len(worked.rows)}"
        if all(isinstance(cell, (int, float)) for cell in left) and "product" in worked.columns[-1:]:
            below += f"; the other {len(left)} add up to {number(sum(float(cell) for cell in left))}"
    cells = [[cell if isinstance(cell, str) else _cell(cell) for cell in row] for row in rows]
    kept = [i for i, name in enumerate(worked.columns) if name or any(row[i] for row in cells)]
    words = [i for i, cell in enumerate(worked.rows[0]) if isinstance(cell, str)]
    return Table(
        [worked.columns[i] for i in kept],
        [[row[i] for i in kept] for row in cells],
        tuple(kept.index(i) for i in words if i in kept),
        below,
    )


def brief(record: Record) -> str:
    """Return the repr of a layer, without what is inside it where that is long."""
    return record.layer if len(record.layer) <= 90 else f"{record.kind}(...)"


def verdict(worked: Worked) -> str:
    """Say how the number by hand and the layer's own compare."""
    if worked.agrees:
        return f"the layer says {number(worked.found)}: the same"
    return f"the layer says {number(worked.found)}, which is NOT the same"


def _size(cell: object) -> float:
    return abs(cell) if isinstance(cell, (int, float)) and cell == cell else float("inf")


def _cell(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value + 0.0:.5g}"  # which is never -0


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _share(value: float) -> str:
    return "0" if value == 0 else f"{100 * value:.3g} %"


def _shape(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
