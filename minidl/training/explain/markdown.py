"""The page as Markdown."""

from collections.abc import Iterator, Sequence

from minidl.training.explain import tables
from minidl.training.explain.losses import LossRecord
from minidl.training.explain.notation import in_unicode
from minidl.training.explain.records import Record
from minidl.training.explain.tables import Table
from minidl.training.explain.worked import Worked

LETTERS = (
    "x goes into a layer and y comes out. dy, the upstream gradient, is the slope of the loss for each "
    "number of y; it comes back from the layer behind, and the pullback makes dx of it, and the gradients "
    "of the parameters. Multiply-adds are those of matrix products; bytes are those of the output."
)


def page(title: str, intro: Sequence[str], records: Sequence[Record], loss: LossRecord) -> str:
    """Return the whole page."""
    lines = [f"# {_plain(title)}", *map(_plain, intro), _plain(in_unicode(LETTERS)), "## Overview"]
    lines += [table(tables.overview(records))]
    for record in records:
        lines += [f"{'#' * min(2 + record.depth, 5)} {_plain(record.title)}", *_section(record)]
    return "\n\n".join([*lines, f"## {_plain(loss.loss)}", *_of_loss(loss)]) + "\n"


def _section(record: Record) -> Iterator[str]:
    mode = "training" if record.training else "evaluation"
    yield f"`{tables.brief(record).replace('`', '')}`, in {mode}"
    yield formulas(record.forward, record.pullback)
    if record.names:
        yield _plain(in_unicode(record.names)) + "."
    yield (
        f"{record.parameters:,} parameters ({record.parameter_bytes:,} bytes), {record.multiply_adds:,} "
        f"multiply-adds, {record.activation_bytes:,} bytes of output."
    )
    yield table(tables.statistics(record.statistics))
    for worked in filter(None, (record.output, record.gradient)):
        yield from _example(worked)
    if record.remark:
        yield f"*{_plain(record.remark)}*"


def _of_loss(loss: LossRecord) -> Iterator[str]:
    yield formulas(loss.forward, loss.pullback)
    yield f"The loss of the batch is {', '.join(f'{value:.6g}' for value in loss.value)}."
    yield table(tables.statistics(loss.statistics))
    if loss.gradient:
        yield from _example(loss.gradient)


def formulas(forward: str, pullback: str) -> str:
    """Return both formulas as a block of text."""
    lines = [("forward", line) for line in forward.splitlines()]
    lines += [("pullback", line) for line in pullback.splitlines()]
    named = [
        f"{'' if i and lines[i - 1][0] == kind else kind:<9} {line}" for i, (kind, line) in enumerate(lines)
    ]
    return "```text\n" + "\n".join(map(in_unicode, named)) + "\n```"


def _example(worked: Worked) -> Iterator[str]:
    yield f"**One number: `{worked.target}`**"
    if made := tables.parts(worked):
        yield table(made)
    yield "\n".join(f"- {_plain(in_unicode(step))}" for step in [*worked.steps, tables.verdict(worked)])


def table(of: Table) -> str:
    """Return a table, numbers to the right."""
    ruler = [":---" if i in of.words else "---:" for i in range(len(of.head))]
    lines = [" | ".join(_plain(cell) for cell in row) for row in (of.head, *of.rows)]
    text = "\n".join(f"| {line} |" for line in [lines[0], " | ".join(ruler), *lines[1:]])
    return text + (f"\n\n{of.below}" if of.below else "")


def _plain(text: str) -> str:
    """Return text in which nothing is markup."""
    for letter in "\\`*_|<":
        text = text.replace(letter, f"\\{letter}")
    return text.replace("](", "]\\(").replace("\n", " ")
