"""The page as HTML that needs nothing else: no script, no font, no network."""

import html
from collections.abc import Iterator, Sequence

from minidl.training.explain import tables
from minidl.training.explain.losses import LossRecord
from minidl.training.explain.markdown import LETTERS
from minidl.training.explain.notation import in_html
from minidl.training.explain.records import Record
from minidl.training.explain.tables import Table
from minidl.training.explain.worked import Worked

STYLE = """
.explain { --ink: #1c2430; --soft: #5b6675; --line: #dde3ea; --paper: #ffffff; --wash: #f5f7fa;
  --forward: #1f6f5c; --back: #a2451c; --bad: #b3261e; --shade: rgb(28 36 48 / .22);
  color: var(--ink); background: var(--paper);
  font: 16px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  max-width: 70rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; overflow-wrap: anywhere; }
.explain h1 { font-size: 1.75rem; line-height: 1.2; margin: .5rem 0 1rem; }
.explain h2 { font-size: 1.25rem; margin: 0 0 .35rem; }
.explain h2 .path { color: var(--soft); font-weight: 500; margin-right: .35em; }
.explain section { border-top: 2px solid var(--line); margin-top: 2.25rem; padding-top: 1.25rem; }
.explain section.inside { margin-left: calc(var(--depth) * 1rem); padding-left: 1rem;
  border-left: 3px solid var(--line); }
.explain p { margin: .5rem 0; max-width: 48rem; }
.explain .soft, .explain caption, .explain .below { color: var(--soft); font-size: .9rem; }
.explain code { font: .88em ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.explain .formulas { display: grid; grid-template-columns: max-content 1fr; gap: .3rem .9rem; margin: .9rem 0;
  padding: .8rem 1rem; background: var(--wash); border-radius: 8px; }
.explain .formulas dt { font-size: .8rem; padding-top: .2rem; font-weight: 600; }
.explain .formulas dd { margin: 0; font: 1.08rem/1.6 Cambria, "STIX Two Text", Georgia, serif; }
.explain dt.forward { color: var(--forward); }
.explain dt.back { color: var(--back); }
.explain sub, .explain sup { font-size: .72em; line-height: 0; }
.explain .wide { overflow-x: auto; margin: .9rem 0; width: fit-content; max-width: 100%; background:
  linear-gradient(to left, var(--paper) 40%, transparent) right / 2.5rem 100% no-repeat local,
  linear-gradient(to left, var(--shade), transparent) right / 1rem 100% no-repeat scroll; }
.explain table { border-collapse: separate; border-spacing: 0; font-size: .88rem;
  font-variant-numeric: tabular-nums; }
.explain th, .explain td { padding: .28rem .7rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; overflow-wrap: normal; }
.explain th { color: var(--soft); font-weight: 600; }
.explain .word { text-align: left; }
.explain tr > :first-child { padding-left: 0; position: sticky; left: 0; background: var(--paper); }
.explain td:first-child { font-weight: 600; }
.explain td.bad, .explain .no { color: var(--bad); font-weight: 700; }
.explain .examples { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 29rem), 1fr));
  gap: 1rem; margin-top: 1rem; align-items: start; }
.explain .example { border: 1px solid var(--line); border-left: 4px solid var(--forward); border-radius: 8px;
  padding: .7rem 1rem; min-width: 0; }
.explain .example.back { border-left-color: var(--back); }
.explain .example table { font-size: .8rem; }
.explain .example th, .explain .example td { padding: .2rem .4rem; }
.explain .example tr > :first-child { padding-left: 0; }
.explain .example h3 { margin: 0 0 .3rem; font-size: .95rem; }
.explain .example p { margin: .25rem 0; font-size: .93rem; }
.explain .yes { color: var(--forward); font-weight: 600; }
.explain .warning { border-left: 4px solid var(--bad); background: var(--wash); padding: .7rem 1rem;
  border-radius: 8px; }
.explain a { color: inherit; text-decoration-color: var(--line); }
@media (max-width: 34rem) {
  .explain { padding: 1rem .8rem 3rem; font-size: 15px; }
  .explain .formulas { grid-template-columns: 1fr; gap: .1rem; }
  .explain .formulas dd { margin-bottom: .4rem; }
  .explain section.inside { margin-left: 0; padding-left: .5rem; }
  .explain th, .explain td { padding: .25rem .45rem; }
  .explain .overview td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 10rem; }
  .explain .example { padding: .6rem .5rem; }
  .explain .example table { font-size: .72rem; }
  .explain .example th, .explain .example td { padding: .2rem .15rem; }
}
@media (prefers-color-scheme: dark) {
  .explain { --ink: #e6eaf0; --soft: #9aa6b5; --line: #333c48; --paper: #14181e; --wash: #1c222b;
    --forward: #5cc4a6; --back: #f0986b; --bad: #ff8a80; --shade: rgb(0 0 0 / .6); }
  body.explained { background: #14181e; }
}
@media print { .explain section { break-inside: avoid; } }
"""


def page(title: str, intro: Sequence[str], records: Sequence[Record], loss: LossRecord) -> str:
    """Return the whole page."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n</head>\n"
        '<body class="explained" style="margin: 0">\n'
        f"{fragment(title, intro, records, loss)}</body>\n</html>\n"
    )


def fragment(title: str, intro: Sequence[str], records: Sequence[Record], loss: LossRecord) -> str:
    """Return the page as one element, to be put into another."""
    first, *warnings = intro
    lines = [f"<h1>{html.escape(title)}</h1>", f"<p>{html.escape(first)}</p>"]
    lines += [f'<p class="warning">{html.escape(warning)}</p>' for warning in warnings]
    lines += [f'<p class="soft">{in_html(LETTERS)}</p>', table(tables.overview(records), links=True)]
    for number, record in enumerate(records):
        depth = f' class="inside" style="--depth: {min(record.depth - 1, 4)}"' if record.depth else ""
        lines += [f'<section id="call-{number}"{depth}>', *_section(record), "</section>"]
    lines += ['<section id="loss">', *_of_loss(loss), "</section>"]
    return f'<style>{STYLE}</style>\n<div class="explain">\n' + "\n".join(lines) + "\n</div>\n"


def _section(record: Record) -> Iterator[str]:
    path, kind = record.title.split(": ", 1)
    yield f'<h2><span class="path">{html.escape(path)}</span> {html.escape(kind)}</h2>'
    mode = "training" if record.training else "evaluation"
    yield (
        f'<p class="soft"><code>{html.escape(tables.brief(record))}</code>, in {mode}: '
        f"{record.parameters:,} parameters ({record.parameter_bytes:,} bytes), "
        f"{record.multiply_adds:,} multiply-adds, {record.activation_bytes:,} bytes of output</p>"
    )
    yield formulas(record.forward, record.pullback)
    if record.names:
        yield f'<p class="soft">{in_html(record.names)}.</p>'
    yield table(tables.statistics(record.statistics))
    yield _examples([(record.output, ""), (record.gradient, " back")])
    if record.remark:
        yield f'<p class="soft">{html.escape(record.remark)}.</p>'


def _of_loss(loss: LossRecord) -> Iterator[str]:
    yield f'<h2><span class="path">the loss</span> {html.escape(loss.loss)}</h2>'
    yield formulas(loss.forward, loss.pullback)
    yield f"<p>The loss of the batch is {', '.join(f'{value:.6g}' for value in loss.value)}.</p>"
    yield table(tables.statistics(loss.statistics))
    yield _examples([(loss.gradient, " back")])


def formulas(forward: str, pullback: str) -> str:
    """Return both formulas, one above the other."""
    pairs = [("forward", "forward", forward), ("back", "pullback", pullback)]
    rows = [
        f'<dt class="{kind}">{name}</dt><dd>{"<br>".join(map(in_html, text.splitlines()))}</dd>'
        for kind, name, text in pairs
    ]
    return f'<dl class="formulas">{"".join(rows)}</dl>'


def _examples(examples: Sequence[tuple[Worked | None, str]]) -> str:
    boxes = [f'<div class="example{kind}">{_example(worked)}</div>' for worked, kind in examples if worked]
    return f'<div class="examples">{"".join(boxes)}</div>' if boxes else ""


def _example(worked: Worked) -> str:
    made = tables.parts(worked)
    lines = [f"<h3>One number: <code>{html.escape(worked.target)}</code></h3>", table(made) if made else ""]
    lines += [f"<p>{in_html(step)}</p>" for step in worked.steps]
    kind = "yes" if worked.agrees else "no"
    return "".join([*lines, f'<p class="{kind}">{html.escape(tables.verdict(worked))}</p>'])


def table(of: Table, links: bool = False) -> str:
    """Return a table that scrolls sideways where the window is too narrow for it."""
    head = "".join(f"<th{_word(of, i)}>{html.escape(cell)}</th>" for i, cell in enumerate(of.head))
    rows = []
    for n, row in enumerate(of.rows):
        cells = [_cell(of, i, cell) for i, cell in enumerate(row)]
        if links:
            cells[0] = f'<td class="word"><a href="#call-{n}">{html.escape(row[0])}</a></td>'
        rows.append(f"<tr>{''.join(cells)}</tr>")
    below = f'<p class="below">{html.escape(of.below)}</p>' if of.below else ""
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    kind = "wide overview" if links else "wide"
    return f'<div class="{kind}" tabindex="0"><table>{body}</table></div>{below}'


def _word(of: Table, i: int) -> str:
    return ' class="word"' if i in of.words else ""


def _cell(of: Table, i: int, cell: str) -> str:
    bad = of.head[i] in ("NaN", "inf", "not finite") and cell != "0"
    return f"<td{' class=bad' if bad else _word(of, i)}>{html.escape(cell)}</td>"
