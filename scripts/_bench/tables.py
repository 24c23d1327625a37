"""Tables of single layers: the roofline of each, and the cost of a convolution as it grows."""

from typing import Any

from _bench.layers import GROWTH, NETWORKS
from _bench.report import Result, Table, Timings, limits, milliseconds, ratio


def tables(results: list[Result], parts: list[str]) -> list[Table]:
    """Return the tables of the parts that ran."""
    out = [_layers(results, name) for name in NETWORKS if "layers" in parts]
    out += [_growth(results, series) for series in GROWTH if "growth" in parts]
    return [table for table in out if table.rows]


def notes(parts: list[str]) -> list[str]:
    """Return what a reader must know of these tables."""
    share = (
        "A layer's limit is that of products on all cores or of a copy of 64 MiB by one: arrays that stay in "
        "a cache, or are worked on by several cores, may go beyond it."
    )
    return [share] if "layers" in parts else []


def _facts(results: list[Result], name: str) -> dict[str, Result]:
    """Return for each row of one comparison what minidl's side tells of its arithmetic and its bytes."""
    prefix = f"{name}: "
    return {
        row["name"]: row
        for row in results
        if row["name"].startswith(prefix) and row["contender"] == "minidl" and row["round"] == 0
    }


def _marks(timings: Timings, *names: str) -> str:
    """Return why figures are not to be trusted, if they are not."""
    differ = not all(timings.agree(name) for name in names)
    disturbed = any(timings.disturbed(name, "minidl", "torch") for name in names)
    return " **(the numbers differ)**" * differ + " (disturbed)" * disturbed


def _layers(results: list[Result], network: str) -> Table:
    head = ["layer (ms)", "million multiply-adds", "MB moved at least", "limit", "bound by", "minidl"]
    workload = NETWORKS[network]
    title = f"layers of the {network} network, batch {workload.shape[0]}, each by itself"
    table = Table(title, [*head, "share reached", "PyTorch", "ratio"])
    timings, best = Timings(results), limits(results)
    sums: list[list[float | None]] = []
    for name, facts in _facts(results, f"{network} layers").items():
        bounds = (2 * facts["macs"] / best[0], facts["traffic"] / best[1]) if best else (None, None)
        limit = max(bounds) if best else None
        ours, theirs = timings.median(name, "minidl"), timings.median(name, "torch")
        bound_by = "-" if limit is None else "arithmetic" if limit == bounds[0] else "memory"
        sums.append([facts["macs"], facts["traffic"], limit, ours, theirs])
        label = f"{facts['label']}, {name.rpartition(', ')[2]}{_marks(timings, name)}"
        table.rows.append([label, *_cells(*sums[-1], bound_by)])
    if sums:
        total = [None if None in column else sum(column) for column in zip(*sums, strict=True)]
        table.rows.append(["sum of all layers", *_cells(*total, "-")])
    return table


def _cells(macs: Any, traffic: Any, limit: Any, ours: Any, theirs: Any, bound_by: str) -> list[str]:
    share = f"{100 * limit / ours:.0f} %" if limit is not None and ours else "-"
    counts = [f"{macs / 1e6:.3g}" if macs < 1e8 else f"{macs / 1e6:.0f}", f"{traffic / 1e6:.3g}"]
    times = [milliseconds(ours), share, milliseconds(theirs), ratio(ours, theirs)]
    return [*counts, milliseconds(limit), bound_by, *times]


def _growth(results: list[Result], series: str) -> Table:
    head = [f"3 x 3 convolution by {series} (ms)", "shape", "million multiply-adds", "minidl", "PyTorch"]
    per = "ns per 1000 multiply-adds"
    table = Table(f"growth with {series}", [*head, "ratio", f"minidl, {per}", f"PyTorch, {per}"])
    timings = Timings(results)
    facts = _facts(results, f"growth with {series}")
    for label, (n, size, c_in, c_out) in GROWTH[series].items():
        names = [f"growth with {series}: {label}, {direction}" for direction in ("forward", "backward")]
        if not all(name in facts for name in names):
            continue
        macs = sum(facts[name]["macs"] for name in names)
        ours, theirs = (_sum(timings, names, contender) for contender in ("minidl", "torch"))
        shape = f"({n}, {size}, {size}, {c_in}) to {c_out}"
        times = [milliseconds(ours), milliseconds(theirs), ratio(ours, theirs)]
        each = ["-" if seconds is None else f"{1e12 * seconds / macs:.3g}" for seconds in (ours, theirs)]
        table.rows.append([label + _marks(timings, *names), shape, f"{macs / 1e6:.4g}", *times, *each])
    return table


def _sum(timings: Timings, names: list[str], contender: str) -> float | None:
    """Return the seconds of forward and backward together, each the best of the rounds' medians."""
    seconds = [timings.median(name, contender) for name in names]
    return None if None in seconds else sum(seconds)  # type: ignore[arg-type]
