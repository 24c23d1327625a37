"""Run all that needs a GPU on one: the suite, the stand-in against CuPy, every kernel, and the benchmark.

Prints Markdown: what it ran on, what passed, and step times beside those of PyTorch on the same GPU. It uses
one GPU, the first of CUDA_VISIBLE_DEVICES or else the one with the most free memory, and half of that.
"""

import argparse
import json
import os
import subprocess
import sys
from typing import Any

import _venv
from _bench import gpu_report

PARTS = {
    "suite": ["tests", "minidl", "--ignore=tests/cuda", "--ignore=tests/standin"],
    "standin": ["tests/standin"],
    "kernels": ["tests/cuda"],
}
PROBE = """
import json, cupy
devices = []
for i in range(cupy.cuda.runtime.getDeviceCount()):
    with cupy.cuda.Device(i):
        free, total = cupy.cuda.runtime.memGetInfo()
    name = cupy.cuda.runtime.getDeviceProperties(i)["name"].decode()
    devices.append({"name": name, "free": free, "total": total})
print(json.dumps({"devices": devices, "driver": cupy.cuda.runtime.driverGetVersion(),
                  "runtime": cupy.cuda.runtime.runtimeGetVersion(), "cupy": cupy.__version__}))
"""
NOTHING_FOUND = (3, 4, 5)  # pytest: an internal error, a wrong usage, no test collected


class NoGPUError(Exception):
    """One sentence for the user: why nothing can be run here."""


def main() -> int:
    """Run what the command line asks for; return 1 if a part failed."""
    parser = argparse.ArgumentParser(
        prog="scripts/gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=[*PARTS, "bench"], default=[*PARTS, "bench"])
    parser.add_argument("--memory", type=float, metavar="GIB", help="the most memory to use on the GPU")
    parser.add_argument("--full", action="store_true", help="the large counts of the tests")
    parser.add_argument("--quick", action="store_true", help="few steps: shows that the benchmark runs")
    parser.add_argument("--tf32", action="store_true", help="TF32 products, in both libraries")
    parser.add_argument("--here", action="store_true", help="use this Python as it is, make no .venv")
    options = parser.parse_args()
    try:
        cuda = driver_supports(os.environ)
        python = sys.executable if options.here else _venv.enter("scripts/gpu", extras(cuda, options.parts))
        found = probe(python)
        chosen = choose(found["devices"], os.environ.get("CUDA_VISIBLE_DEVICES"))
    except NoGPUError as error:
        sys.exit(f"scripts/gpu: {error}")
    device = found["devices"][chosen]
    limit = int(options.memory * 2**30) if options.memory else device["free"] // 2
    environment = settings(os.environ, chosen, limit, options.full, options.tf32)
    print(gpu_report.machine(found, device, limit, options.tf32), flush=True)
    failed = [part for part in PARTS if part in options.parts and not passed(python, part, environment)]
    if "bench" in options.parts:
        print(benchmark(python, environment, options.quick), flush=True)
    return 1 if failed else 0


def driver_supports(environment: Any) -> int:
    """Return the major version of CUDA up to which the driver goes; refuse a machine without a GPU."""
    if environment.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        raise NoGPUError("CUDA_VISIBLE_DEVICES hides all GPUs; unset it or name one")
    try:
        done = subprocess.run(["nvidia-smi"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        done = None
    if done is None or done.returncode:
        raise NoGPUError("there is no NVIDIA GPU here, or no driver (nvidia-smi lists none); nothing was run")
    version = done.stdout.partition("CUDA Version:")[2].split(".")[0].strip()
    return int(version) if version.isdecimal() else 12


def extras(cuda: int, parts: list[str]) -> list[str]:
    """Return the optional dependencies that the parts need with a driver for this version of CUDA."""
    wanted = ["check", "data", "onnx", "plots", "testing", "cuda13" if cuda >= 13 else "cuda12"]
    return wanted + ["torch"] * ("bench" in parts)


def probe(python: str) -> Any:
    """Return what CuPy sees in a process of its own."""
    done = subprocess.run([python, "-c", PROBE], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise NoGPUError(f"CuPy finds no usable GPU ({last}); nothing was run")
    return json.loads(done.stdout.strip().splitlines()[-1])


def choose(devices: list[Any], visible: str | None) -> int:
    """Return the GPU to use, of those that CuPy sees: the first if the user has chosen, else the freest."""
    if not devices:
        raise NoGPUError("CuPy finds no GPU; nothing was run")
    return 0 if visible else max(range(len(devices)), key=lambda i: (devices[i]["free"], -i))


def settings(environment: Any, chosen: int, limit: int, full: bool, tf32: bool) -> dict[str, str]:
    """Return the environment of the parts: one GPU, a limit to its memory, and the switches."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    out = {
        **environment,
        "CUDA_VISIBLE_DEVICES": visible.split(",")[0].strip() if visible else str(chosen),
        "CUDA_DEVICE_ORDER": environment.get("CUDA_DEVICE_ORDER", "FASTEST_FIRST"),  # that of the probe
        "MINIDL_BACKEND": "cupy",
        "CUPY_GPU_MEMORY_LIMIT": str(limit),
        "MINIDL_GPU_MEMORY": str(limit),  # for PyTorch, which has a switch but no variable
        "CUPY_TF32": "1" if tf32 else "0",
    }
    if full:
        out["MINIDL_TEST_PROFILE"] = "full"
    return out


def passed(python: str, part: str, environment: dict[str, str]) -> bool:
    """Run the tests of one part and print how they ended."""
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *PARTS[part]]
    done = subprocess.run(command, cwd=_venv.ROOT, env=environment, capture_output=True, text=True)
    print(gpu_report.tests(part, done.returncode, done.stdout), flush=True)
    if done.returncode in NOTHING_FOUND:
        print(done.stderr, file=sys.stderr)
    return done.returncode == 0


def benchmark(python: str, environment: dict[str, str], quick: bool) -> str:
    """Time every workload in both libraries, in turns and in fresh processes; return the table."""
    environment = {
        **environment,
        "PYTHONPATH": os.pathsep.join([str(_venv.ROOT / "scripts"), str(_venv.ROOT)]),
    }
    results: dict[tuple[str, str], Any] = {}
    for turn in range(1 if quick else 3):
        for name in gpu_report.BARS:
            for contender in ("minidl", "torch")[:: -1 if turn % 2 else 1]:
                command = [python, "-m", "_bench.gpu_worker", contender, name, "quick" if quick else "full"]
                done = subprocess.run(command, env=environment, capture_output=True, text=True)
                if done.returncode:
                    print(f"{contender}, {name}: {done.stderr[-1000:]}", file=sys.stderr)
                    continue
                row = json.loads(done.stdout.strip().splitlines()[-1])
                results.setdefault((name, contender), []).append(row)
    return gpu_report.table(results, quick)


if __name__ == "__main__":
    sys.exit(main())
