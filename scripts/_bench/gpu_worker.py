"""One contender with one training step, timed on the GPU by CUDA events; prints one line of JSON.

Called by scripts/gpu.py: python -m _bench.gpu_worker minidl|torch NAME quick|full
"""

import json
import os
import statistics
import sys
from collections.abc import Callable
from typing import Any

from _bench.gpu_report import workload
from _bench.workloads import Workload, batch

STRETCH = 20  # steps between two events: the host may run ahead, as in training
STRETCHES = 30
WARM_UP = 20


def measure(
    step: Callable[[], Any], event: Callable[[], Any], elapsed: Callable[[Any, Any], float], quick: bool
) -> Any:
    """Return the median milliseconds of a step, over stretches of some."""
    count, length = (2, 2) if quick else (STRETCHES, STRETCH)
    for _ in range(2 if quick else WARM_UP):
        step()
    times = []
    for _ in range(count):
        start = event()
        for _ in range(length):
            step()
        times.append(elapsed(start, event()) / length)
    return statistics.median(times)


def run_minidl(work: Workload, quick: bool) -> dict[str, Any]:
    """Time minidl on CuPy."""
    import cupy

    import minidl
    from _bench import minidl_side

    x, labels = map(minidl.asarray, batch(work.shape, classes=10))
    model, criterion = minidl_side.network(work.model), minidl.CrossEntropy()
    update = minidl_side.optimizer(work.model, model)

    def step() -> Any:
        loss = criterion.forward(model.forward(x), labels)
        model.backward(criterion.backward(), input_grad=False)
        update.step()
        update.zero_grad()
        return loss

    def event() -> Any:
        return cupy.cuda.get_current_stream().record()

    def elapsed(start: Any, stop: Any) -> float:
        stop.synchronize()
        return float(cupy.cuda.get_elapsed_time(start, stop))

    check = float(step())
    version = f"minidl {minidl.__version__} on CuPy {cupy.__version__}"
    return {"check": check, "version": version, "median": measure(step, event, elapsed, quick)}


def run_torch(work: Workload, quick: bool) -> dict[str, Any]:
    """Time PyTorch's eager mode, with as much memory and the same precision of products."""
    import torch

    from _bench import torch_side

    tf32 = os.environ.get("CUPY_TF32") == "1"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    limit = float(os.environ.get("MINIDL_GPU_MEMORY", "inf"))
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total))
    x, labels = (t.cuda() for t in torch_side._tensors(work.shape, classes=10))
    model = torch_side.network(work.model).cuda()
    update = torch_side.optimizer(work.model, model)

    def step() -> Any:
        update.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        update.step()
        return loss.detach()

    def event() -> Any:
        mark = torch.cuda.Event(enable_timing=True)
        mark.record()
        return mark

    def elapsed(start: Any, stop: Any) -> float:
        stop.synchronize()
        return float(start.elapsed_time(stop))

    check = float(step())
    return {
        "check": check,
        "version": f"torch {torch.__version__}",
        "median": measure(step, event, elapsed, quick),
    }


def main(arguments: list[str]) -> None:
    """Run what the command line names and print the result."""
    contender, name, quick = arguments
    run = {"minidl": run_minidl, "torch": run_torch}[contender]
    print(json.dumps(run(workload(name), quick == "quick")))


if __name__ == "__main__":
    main(sys.argv[1:])
