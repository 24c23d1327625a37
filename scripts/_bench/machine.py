"""The machine: what it can do at most, and whether other processes are using it."""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

try:
    import resource
except ImportError:  # Windows
    resource = None

ALLOWED = 0.1  # cores that other processes may use on average before a stretch is dropped
BUSY = (0, 1, 2, 5, 6, 7)  # the columns of /proc/stat: user, nice, system, interrupts, steal


def foreign_load(work: Callable[[], Any]) -> tuple[float | None, Any]:
    """Run some work; return how many cores other processes (or other virtual machines) took meanwhile.

    The load is None where the system does not tell (it is read from Linux's /proc/stat).
    """
    busy, own, start = _busy_seconds(), _own_seconds(), time.perf_counter()
    out = work()
    wall, own_after, busy_after = time.perf_counter() - start, _own_seconds(), _busy_seconds()
    if busy is None or busy_after is None:
        return None, out
    return max(0.0, busy_after - busy - (own_after - own)) / wall, out


def _own_seconds() -> float:
    """Return the processor time of this process and of the children that have ended."""
    if resource is None:
        return time.process_time()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _busy_seconds() -> float | None:
    """Return how long the cores that this process may use have been busy, whoever used them."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
        names = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    except (OSError, AttributeError):
        return None
    columns = [line.split()[1:] for line in lines if line.partition(" ")[0] in names]
    ticks = sum(int(line[i]) for line in columns for i in BUSY if i < len(line))
    return ticks / os.sysconf("SC_CLK_TCK") if columns else None


def peak_memory() -> int | None:
    """Return the most bytes this process has ever had resident; None where the system does not tell."""
    try:  # getrusage counts the parent's memory too, inherited through exec
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])
    except (OSError, IndexError):
        pass
    if resource is None:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def product_step() -> Callable[[], Any]:
    """Return a single-precision product of 768 by 768 matrices on all of NumPy's BLAS threads."""
    import numpy as np

    a = np.random.default_rng(0).standard_normal((768, 768), dtype=np.float32)
    out = np.empty_like(a)
    return lambda: np.matmul(a, a, out=out)


def copy_step() -> Callable[[], Any]:
    """Return a copy of 64 MiB by one thread."""
    import numpy as np

    source = np.ones(16 << 20, dtype=np.float32)
    out = np.empty_like(source)
    return lambda: np.copyto(out, source)


PROBES = {"product": product_step, "copy": copy_step}
PRODUCT_FLOPS = 2 * 768**3
COPY_BYTES = 2 * 4 * (16 << 20)
SETTINGS = ("OPENBLAS_", "OMP_", "MKL_", "MALLOC_", "GLIBC_TUNABLES")  # of the speed, told where they are set


def describe() -> dict[str, Any]:
    """Return what a reader needs to know of this machine and its Python."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "system": platform.platform(),
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "BLAS": _blas(),
        "MINIDL_NUM_THREADS": os.environ.get("MINIDL_NUM_THREADS", "unset"),
        **{name: value for name, value in sorted(os.environ.items()) if name.startswith(SETTINGS)},
    }


def _blas() -> str:
    """Return the library behind NumPy's products, its version, and for which processors its kernels are."""
    import numpy as np
    from threadpoolctl import threadpool_info

    np.ones((2, 2)) @ np.ones((2, 2))  # some load the library at the first product
    found = [library for library in threadpool_info() if library["user_api"] == "blas"]
    if not found:  # such as Accelerate, which threadpoolctl does not know
        built = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
        return f"{built.get('name', 'unknown')} {built.get('version', '')}".strip()
    return ", ".join(
        f"{library['internal_api']} {library['version']} for {library.get('architecture', 'any processor')}, "
        f"threads {library['num_threads']}"
        for library in found
    )
