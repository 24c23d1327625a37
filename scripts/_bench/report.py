"""From raw timings to tables: the best of the rounds' medians, ratios, the share of the machine's limit."""

import statistics
from dataclasses import dataclass, field
from typing import Any

from _bench import machine
from _bench.workloads import (
    FILE_MEMORY_BAR,
    FILE_SPEED_BAR,
    FILES,
    IMPORT_BAR,
    KERNEL_BAR,
    MEMORY_BARS,
    OVERHEAD_BARS,
    WORKLOADS,
    Workload,
)

TIE = 0.1  # ratios closer than this are not told apart
AGREE = {"check": 1e-4, "exact": 1e-9}  # relative differences up to which contenders have computed the same
Result = dict[str, Any]  # what a worker printed, with kind, name, contender and round


@dataclass
class Table:
    """A titled table whose first row is its head."""

    title: str
    head: list[str]
    rows: list[list[str]] = field(default_factory=list)

    def withhold_verdicts(self) -> None:
        """Leave open what the figures do not bear out."""
        if "verdict" in self.head:
            for row in self.rows:
                row[self.head.index("verdict")] = "-"

    def markdown(self) -> str:
        """Return the table as Markdown: names to the left, figures to the right."""
        rule = ["---", *["---:"] * (len(self.head) - 1)]
        lines = [f"| {' | '.join(cells)} |" for cells in [self.head, rule, *self.rows]]
        return "\n".join([f"### {self.title}", "", *lines, ""])


class Timings:
    """All timings of one run, looked up by name and contender."""

    def __init__(self, results: list[Result]) -> None:
        self.results = results

    def of(self, name: str, contender: str) -> list[Result]:
        """Return what the undisturbed rounds measured, or all of them where every round was disturbed."""
        rows = [row for row in self.results if (row["name"], row["contender"]) == (name, contender)]
        return [row for row in rows if not row.get("disturbed")] or rows

    def disturbed(self, name: str, *contenders: str) -> bool:
        """Whether one of the contenders has no undisturbed round, so that no verdict can be given."""
        return any(row.get("disturbed") for contender in contenders for row in self.of(name, contender))

    def median(self, name: str, contender: str) -> float | None:
        """Return the best of the rounds' medians in seconds."""
        return min((statistics.median(row["times"]) for row in self.of(name, contender)), default=None)

    def minimum(self, name: str, contender: str) -> float | None:
        """Return the shortest single step in seconds."""
        return min((min(row["times"]) for row in self.of(name, contender)), default=None)

    def agree(self, name: str) -> bool:
        """Whether all contenders computed the same numbers."""
        for kind, allowed in AGREE.items():
            found = [row[kind] for row in self.results if row["name"] == name and kind in row]
            if found and not max(found) - min(found) <= allowed * max(map(abs, found)):
                return False
        return True


def tables(results: list[Result], parts: list[str]) -> list[Table]:
    """Return the tables of the parts that ran."""
    timings = Timings(results)
    out = [_workloads(timings, part) for part in ("train", "infer", "ops") if part in parts]
    makers = {"overhead": _overhead, "memory": _memory, "files": _files, "import": _import}
    out += [make(timings) for part, make in makers.items() if part in parts]
    return [table for table in out if table.rows]


def limits(results: list[Result]) -> tuple[float, float] | None:
    """Return the machine's product rate (flop/s) and copy bandwidth (B/s), the best that any step showed."""
    timings = Timings(results)
    product, copy = timings.minimum("product", "numpy"), timings.minimum("copy", "numpy")
    return (machine.PRODUCT_FLOPS / product, machine.COPY_BYTES / copy) if product and copy else None


def _workloads(timings: Timings, part: str) -> Table:
    head = ["workload (ms)", "minidl", "min", "PyTorch", "min", "ratio", "to PyTorch's min"]
    table = Table(part, [*head, "must", "goal", "verdict", "limit", "share reached"])
    best = limits(timings.results)
    for workload in WORKLOADS:
        ours = timings.median(workload.name, "minidl")
        if workload.part == part and ours is not None:
            table.rows.append(_row(timings, workload, ours, best))
    return table


def _row(timings: Timings, workload: Workload, ours: float, best: tuple[float, float] | None) -> list[str]:
    name = workload.name
    theirs, fastest = timings.median(name, "torch"), timings.minimum(name, "torch")
    limit = max(workload.flops / best[0], workload.traffic / best[1]) if best else None
    measured = [ours, timings.minimum(name, "minidl"), theirs, fastest]
    judgement = verdict(ours / theirs, workload.must, workload.goal) if theirs else "-"
    if timings.disturbed(name, "minidl", "torch"):
        judgement = "disturbed"
    return [
        name if timings.agree(name) else f"{name} **(the numbers differ)**",
        *[milliseconds(seconds) for seconds in measured],
        ratio(ours, theirs),
        ratio(ours, fastest),
        f"{workload.must:g}",
        f"{workload.goal:g}",
        judgement,
        milliseconds(limit),
        f"{100 * limit / ours:.0f} %" if limit else "-",
    ]


def verdict(found: float, must: float, goal: float) -> str:
    """Return where a ratio stands between its bars.

    Example:
        >>> [verdict(found, must=1.25, goal=0.95) for found in (0.9, 1.2, 1.3, 1.4)]
        ['goal', 'must', 'tie with must', 'missed']
    """
    if found <= goal:
        return "goal"
    if found <= must:
        return "must"
    return "tie with must" if found < must + TIE else "missed"


def _overhead(timings: Timings) -> Table:
    table = Table("overhead of relu on (8, 8), float32", ["call", "us", "ratio", "bar", "verdict"])
    name = "overhead"
    raw = timings.median(name, "numpy")
    if raw is None:
        return table
    table.rows.append(["np.maximum(x, 0)", f"{1e6 * raw:.2f}", "1.00", "-", "-"])
    for contender, bar in OVERHEAD_BARS.items():
        ours = timings.median(name, contender)
        if ours is not None:
            met = "met" if ours <= bar * raw else "missed"
            if timings.disturbed(name, "numpy", contender):
                met = "disturbed"
            table.rows.append([contender, f"{1e6 * ours:.2f}", ratio(ours, raw), f"{bar:g}", met])
    return table


def _memory(timings: Timings) -> Table:
    def growth(name: str, contender: str) -> float | None:
        sizes = [row["bytes"] for row in timings.of(name, contender) if row["bytes"] is not None]
        return statistics.median(sizes) / 2**20 if sizes else None

    head = ["growth of peak resident memory (MiB)", "minidl", "compared with", "ratio", "bar", "verdict"]
    table = Table("memory", head)
    pairs = [
        ("VGG-like step, batch 256", growth("VGG-like step, batch 256", "torch"), "PyTorch"),
        ("convolution, kernel 7", growth("convolution, kernel 3", "minidl"), "kernel 3"),
    ]
    for name, other, what in pairs:
        ours = growth(name, "minidl")
        cells = [name, _number(ours), f"{what}: {_number(other)}", ratio(ours, other)]
        if what == "PyTorch":
            bar, result = (
                f"{MEMORY_BARS[0]:g}",
                verdict(ours / other, *MEMORY_BARS) if ours and other else "-",
            )
        else:
            bar = f"{1 / KERNEL_BAR:.2f} to {KERNEL_BAR:g}"
            near = ours and other and 1 / KERNEL_BAR <= ours / other <= KERNEL_BAR
            result = "met" if near else "missed"
        table.rows.append([*cells, bar, result])
    return table


def _files(timings: Timings) -> Table:
    head = ["file (ms)", "minidl", "safetensors", "with fsync", "speed", "speed with fsync", "bar"]
    table = Table("files", [*head, "peak, in files", "bar of the peak", "verdict"])
    for name in FILES:
        ours, theirs = timings.median(name, "minidl"), timings.median(name, "safetensors")
        synced = timings.median(name, "safetensors+fsync")
        if ours is None:
            continue
        growth = max(
            (row["files"] for row in timings.of(name, "minidl") if row["files"] is not None), default=0
        )
        peak = 1 + growth  # with the model itself
        met = theirs and theirs / ours >= FILE_SPEED_BAR and peak <= FILE_MEMORY_BAR + TIE
        table.rows.append(
            [
                name,
                *[milliseconds(seconds) for seconds in (ours, theirs, synced)],
                *[ratio(theirs, ours), ratio(synced, ours), f"{FILE_SPEED_BAR:g}"],
                *[f"{peak:.2f}", f"{FILE_MEMORY_BAR:g}", "met" if met else "missed" if theirs else "-"],
            ]
        )
    return table


def _import(timings: Timings) -> Table:
    table = Table("import", ["module", "ms", "min", "ratio", "bar", "verdict"])
    base = timings.median("import", "numpy")
    for contender in ("numpy", "minidl", "torch"):
        ours = timings.median("import", contender)
        if base is None or ours is None:
            continue
        bar, result = "-", "-"
        if contender == "minidl":
            bar, result = f"{IMPORT_BAR:g}", "met" if ours <= IMPORT_BAR * base else "missed"
            if timings.disturbed("import", "numpy", "minidl"):
                result = "disturbed"
        times = [milliseconds(ours), milliseconds(timings.minimum("import", contender))]
        table.rows.append([contender, *times, ratio(ours, base), bar, result])
    return table


def notes(results: list[Result], torch_version: str | None, quick: bool, rounds: int) -> list[str]:
    """Return what a reader must know before trusting the tables, one sentence each."""
    out = []
    if quick:
        out.append("Quick run: a round of two steps shows that everything runs; the figures mean nothing.")
    else:
        out.append(f"Best of {rounds} interleaved rounds' medians, each contender in fresh processes.")
    if torch_version is None:
        out.append("PyTorch: absent, so no ratios (pip install torch).")
    best = limits(results)
    if best:
        rate, bandwidth = best[0] / 1e9, best[1] / 1e9
        out.append(
            f"The machine's limit: sgemm {rate:.0f} GF/s, copy {bandwidth:.1f} GB/s (reads and writes)."
        )
    dropped = sum(row.get("dropped", 0) for row in results)
    out.append(f"Stretches dropped and repeated because of other processes: {dropped}.")
    timings = Timings(results)
    pairs = sorted({(row["name"], row["contender"]) for row in results})
    disturbed = [f"{name} ({contender})" for name, contender in pairs if timings.disturbed(name, contender)]
    if disturbed:
        out.append(f"Disturbed in every round, so without a verdict: {'; '.join(disturbed)}.")
    if not all(row.get("watched", True) for row in results):
        out.append("This system does not tell what other processes use: disturbances went unnoticed.")
    return out


def milliseconds(seconds: float | None) -> str:
    """Return milliseconds to three digits, or a dash."""
    return "-" if seconds is None else f"{1e3 * seconds:#.3g}".rstrip(".")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def ratio(ours: float | None, theirs: float | None) -> str:
    """Return how many times theirs ours is, or a dash."""
    return f"{ours / theirs:.2f}" if ours is not None and theirs else "-"
