"""Layers by themselves: each of two networks, and one convolution as it grows; forward and backward apart."""

import importlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from _bench import machine
from _bench.workloads import BY_NAME, VGG

NETWORKS = {"LeNet": BY_NAME["LeNet train, batch 64"], "VGG-like": VGG}
Growth = tuple[int, int, int, int]  # samples, height and width, channels in, channels out
GROWTH: dict[str, dict[str, Growth]] = {
    "batch": {f"batch {n}": (n, 32, 16, 32) for n in (8, 32, 128, 512)},
    "channels": {f"channels {c}": (32, 16, c, c) for c in (8, 16, 32, 64, 128)},
    "image size": {f"image {size} x {size}": (8, size, 16, 16) for size in (8, 16, 32, 64, 128)},
}
QUICK_BATCH = 4
WARM_UP = 0.15  # seconds
STRETCH = 0.3  # seconds: long against the ticks in which the system counts
FEWEST = 5  # steps
TRIES = 3  # stretches, of which the least disturbed is taken
PAUSE = 0.1  # seconds, for others to finish


@dataclass(frozen=True)
class Case:
    """A layer with an input and an upstream gradient, to be run forward and then backward.

    ``macs`` and ``traffic`` are, for either direction, the multiply-adds and the least bytes to be moved.
    """

    name: str
    forward: Callable[[], Any]
    backward: Callable[[], Any]
    reset: Callable[[], Any]
    macs: tuple[int, int] = (0, 0)
    traffic: tuple[int, int] = (0, 0)
    label: str = ""  # what a table calls it


def costs(x: int, y: int, parameters: int, macs: int, input_grad: bool) -> dict[str, tuple[int, int]]:
    """Return the multiply-adds and the least bytes, forward and backward, of a layer in single precision.

    Each array counts once: forward the input, the parameters and the output; backward the upstream gradient,
    the input and the gradients of the parameters, and, where its gradient is wanted, the parameters and the
    gradient of the input.

    Example:
        >>> costs(x=6, y=4, parameters=10, macs=12, input_grad=False)
        {'macs': (12, 12), 'traffic': (80, 80)}
    """
    arrays = y + x + parameters, y + x + parameters + input_grad * (x + parameters)
    return {"macs": (macs, macs * (1 + input_grad)), "traffic": (4 * arrays[0], 4 * arrays[1])}


def network(contender: str, name: str, quick: bool) -> dict[str, Any]:
    """Time the layers of a network one after the other; one row for each direction of each."""
    side = importlib.import_module(f"_bench.{contender}_side")
    workload = NETWORKS[name.partition(" ")[0]]
    cases = side.layers(workload.of_batch(QUICK_BATCH) if quick else workload)
    return {"rows": [row for case in cases for row in _rows(name, case, quick)]}


def growth(contender: str, name: str, quick: bool) -> dict[str, Any]:
    """Time one convolution at all the sizes of a series, smaller ones in a quick run."""
    side = importlib.import_module(f"_bench.{contender}_side")
    rows = []
    for label, (n, *sizes) in GROWTH[name.removeprefix("growth with ")].items():
        case = side.grown(label, (min(n, QUICK_BATCH) if quick else n, *sizes))
        rows += _rows(name, case, quick)
    return {"rows": rows}


def _rows(name: str, case: Case, quick: bool) -> Iterator[dict[str, Any]]:
    checks = [float(abs(case.forward()).sum()), float(abs(case.backward()).sum())]
    forward, backward, facts = measure(case, quick)
    for i, times in enumerate([forward, backward]):
        direction = ("forward", "backward")[i]
        row = {"name": f"{name}: {case.name}, {direction}", "times": times, "check": checks[i], **facts}
        yield {**row, "label": case.label, "macs": case.macs[i], "traffic": case.traffic[i]}


def measure(case: Case, quick: bool) -> tuple[list[float], list[float], dict[str, Any]]:
    """Return the seconds of each forward and each backward, of the least disturbed of some stretches."""
    if quick:
        return *_stretch(case, 2, 0.0), {"dropped": 0, "disturbed": False}
    _stretch(case, 2, WARM_UP)
    stretches: list[tuple[float | None, Any]] = []
    while len(stretches) < TRIES:
        stretches.append(machine.foreign_load(lambda: _stretch(case, FEWEST, STRETCH)))
        if (stretches[-1][0] or 0.0) <= machine.ALLOWED:
            break
        time.sleep(PAUSE)
    load, times = min(stretches, key=lambda stretch: stretch[0] or 0.0)
    disturbed = (load or 0.0) > machine.ALLOWED
    return *times, {"dropped": len(stretches) - 1, "disturbed": disturbed, "watched": load is not None}


def _stretch(case: Case, count: int, seconds: float) -> tuple[list[float], list[float]]:
    forward: list[float] = []
    backward: list[float] = []
    begin = time.perf_counter()
    while len(forward) < count or time.perf_counter() - begin < seconds:
        case.reset()
        start = time.perf_counter()
        case.forward()
        middle = time.perf_counter()
        case.backward()
        forward.append(middle - start)
        backward.append(time.perf_counter() - middle)
    return forward, backward
