"""The Markdown of scripts/gpu: the machine, the parts, the step times and their bars."""

from typing import Any

from _bench.workloads import BY_NAME, Workload

BARS = {  # of the ratio to PyTorch's eager mode on the same GPU
    "MLP train, batch 32": 1.0,
    "MLP train, batch 128": 1.0,
    "MLP train, batch 1024": 1.0,
    "LeNet train, batch 64": 1.5,
    "LeNet train, batch 1024": 1.2,
    "VGG-like train, batch 64": 1.5,
    "VGG-like train, batch 1024": 1.2,
}
AGREE = 1e-2  # relative difference of the losses up to which both have computed the same


def workload(name: str) -> Workload:
    """Return the workload of a name, which may ask for another batch than the one on the CPU."""
    if name in BY_NAME:
        return BY_NAME[name]
    start, _, size = name.rpartition(" ")
    known = next(w for known, w in BY_NAME.items() if known.startswith(start))
    return known.of_batch(int(size))


def machine(found: Any, device: Any, limit: int, tf32: bool) -> str:
    """Return what everything below ran on."""
    rows = [
        ("GPU", f"{device['name']}, {device['total'] / 2**30:.1f} GiB"),
        ("memory limit", f"{limit / 2**30:.1f} GiB of {device['free'] / 2**30:.1f} GiB free"),
        ("driver", _cuda(found["driver"])),
        ("CUDA runtime", _cuda(found["runtime"])),
        ("CuPy", found["cupy"]),
        ("TF32", "on" if tf32 else "off"),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows), ""])


def _cuda(version: int) -> str:
    return f"CUDA {version // 1000}.{version % 1000 // 10}"


def tests(part: str, status: int, output: str) -> str:
    """Return how the tests of a part ended: pytest's own last line, and what failed."""
    lines = output.strip().splitlines() or ["no output"]
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    verdict = "passed" if status == 0 else "**failed**"
    return "\n".join([f"- {part}: {verdict}: {lines[-1].strip('= ')}", *(f"  - `{line}`" for line in failed)])


def table(results: dict[tuple[str, str], list[Any]], quick: bool) -> str:
    """Return step times in milliseconds, best of the rounds' medians, with their ratios and bars."""
    lines = ["", "| training step (ms) | minidl | PyTorch | ratio | bar | |", "|---|---:|---:|---:|---:|---|"]
    for name, bar in BARS.items():
        ours, theirs = results.get((name, "minidl")), results.get((name, "torch"))
        times = [
            min((row["median"] for row in rows), default=None) if rows else None for rows in (ours, theirs)
        ]
        ratio = times[0] / times[1] if None not in times else None
        cells = [name, *(("-" if t is None else f"{t:.3f}") for t in times)]
        cells += ["-" if ratio is None else f"{ratio:.2f}", f"{bar:g}", verdict(ratio, bar, quick)]
        if ours and theirs and not _agree(ours[0]["check"], theirs[0]["check"]):
            cells[-1] = "**the losses differ**"
        lines.append(f"| {' | '.join(cells)} |")
    versions = {row["version"] for rows in results.values() for row in rows}
    return "\n".join([*lines, "", f"Timed with CUDA events: {', '.join(sorted(versions)) or 'nothing'}.", ""])


def verdict(ratio: float | None, bar: float, quick: bool) -> str:
    """Return whether a ratio meets its bar; of a quick run, and of nothing, there is none."""
    if ratio is None or quick:
        return "-"
    return "met" if ratio <= bar else "missed"


def _agree(a: float, b: float) -> bool:
    return abs(a - b) <= AGREE * max(abs(a), abs(b))
