"""One contender with one workload, timed in a process of its own; prints one line of JSON.

Called by scripts/bench.py: python -m _bench.worker KIND CONTENDER NAME quick|full
"""

import importlib
import json
import sys
import time
import timeit
from collections.abc import Callable
from typing import Any

from _bench import file_side, layers, machine
from _bench.workloads import BY_NAME, VGG, batch

STRETCH = 0.4  # seconds: long against the ticks in which the system counts
KEPT = 2.0  # seconds of undisturbed measuring
PATIENCE = 4  # times KEPT, after which the least disturbed stretches are taken
FEWEST = 5  # steps, however long they take
QUICK_BATCH = 4


def measure(step: Callable[[], Any], quick: bool) -> dict[str, Any]:
    """Time a step again and again, leaving out the stretches in which other processes took the cores."""
    if quick:
        return {"times": _stretch(step, count=2), "dropped": 0, "disturbed": False}
    _stretch(step, count=3, seconds=STRETCH)  # the first steps pay for caches, pages and threads
    stretches: list[tuple[float, list[float]]] = []
    begin = time.perf_counter()
    while True:
        load, times = machine.foreign_load(lambda: _stretch(step, count=1, seconds=STRETCH))
        stretches.append((load or 0.0, times))
        clean = [times for load, times in stretches if load <= machine.ALLOWED]
        if _enough(clean):
            break
        if time.perf_counter() - begin > PATIENCE * KEPT and _enough([times for _, times in stretches]):
            break
        if stretches[-1][0] > machine.ALLOWED:
            time.sleep(STRETCH)  # let the others finish
    kept: list[list[float]] = []
    for _, times in sorted(stretches, key=lambda stretch: max(stretch[0], machine.ALLOWED)):
        if not _enough(kept):
            kept.append(times)
    return {
        "times": [t for times in kept for t in times],
        "dropped": len(stretches) - len(kept),
        "disturbed": not _enough(clean),
        "watched": load is not None,
    }


def _enough(stretches: list[list[float]]) -> bool:
    times = [t for stretch in stretches for t in stretch]
    return sum(times) >= KEPT and len(times) >= FEWEST


def _stretch(step: Callable[[], Any], count: int, seconds: float = 0.0) -> list[float]:
    """Return the seconds of each step: at least so many steps, and so many seconds."""
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < count or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return times


def workload(contender: str, name: str, quick: bool) -> dict[str, Any]:
    """Time one workload; on ``check`` and ``exact`` every contender must agree."""
    side = importlib.import_module(f"_bench.{contender}_side")
    chosen = BY_NAME[name].of_batch(QUICK_BATCH) if quick else BY_NAME[name]
    step = side.step(chosen)
    check = float(abs(step()).sum())  # before any update, see _later
    step()
    out = measure(step, quick)
    return {"check": check, "exact": _later(side.step(chosen, "float64")), **out}


def _later(step: Callable[[], Any]) -> float:
    """Return what a step gives after two others, in double precision.

    In single precision that number means little: rounding puts one of many thousand activations on the other
    side of the rectifier's kink, and Adam, whose first updates are signs, passes the difference on enlarged.
    """
    for _ in range(2):
        step()
    return float(abs(step()).sum())


def probe(contender: str, name: str, quick: bool) -> dict[str, Any]:
    """Time a product or a copy: what the machine can do at most."""
    return measure(machine.PROBES[name](), quick)


def overhead(contender: str, name: str, quick: bool) -> dict[str, Any]:
    """Time one way to take the rectifier of an 8x8 array; a step is the mean of many calls."""
    import numpy as np

    import minidl
    from minidl import functional

    x = batch((8, 8), classes=2)[0]
    names = {"np": np, "F": functional, "x": x, "relu": minidl.ReLU()}
    names["tensor"] = minidl.Tensor(x, requires_grad=True)
    statements = {
        "numpy": "np.maximum(x, 0)",
        "functional": "F.relu(x)",
        "layer": "relu(x)",
        "Tensor": "F.relu(tensor)",
    }
    timer, calls = timeit.Timer(statements[contender], globals=names), 10 if quick else 2000
    out = measure(lambda: timer.timeit(calls), quick)
    return {**out, "times": [t / calls for t in out["times"]]}


def memory(contender: str, name: str, quick: bool) -> dict[str, Any]:
    """Return by how much the peak of resident memory grows in three steps, over import and model building."""
    side = importlib.import_module(f"_bench.{contender}_side")
    if name == "VGG-like step, batch 256":
        step = side.step(VGG.of_batch(QUICK_BATCH if quick else 256))
    else:
        step = side.convolution(int(name.rpartition(" ")[2]), QUICK_BATCH if quick else 64)
    before = machine.peak_memory()
    for _ in range(3):
        step()
    after = machine.peak_memory()
    return {"bytes": None if before is None or after is None else after - before}


def version(contender: str, name: str, quick: bool) -> dict[str, Any]:
    """Return the version and the threads of one contender."""
    module = importlib.import_module(contender)
    count = module.get_num_threads() if contender == "torch" else None
    return {"version": module.__version__, "threads": count}


def main(arguments: list[str]) -> None:
    """Run what the command line names and print the result."""
    kind, contender, name, quick = arguments
    kinds = {
        "time": workload,
        "probe": probe,
        "overhead": overhead,
        "memory": memory,
        "files": file_side.run,
        "layers": layers.network,
        "growth": layers.growth,
        "version": version,
    }
    print(json.dumps(kinds[kind](contender, name, quick == "quick")))


if __name__ == "__main__":
    main(sys.argv[1:])
