"""The cores of the CPU: one pool of threads that shares out numbered tasks, and one guard over BLAS threads.

NumPy releases the interpreter lock in its loops and products, so tasks on large arrays overlap. Results do
not depend on the number of threads: task i fills slot i, and whoever adds results up does it in that order.
"""

import contextlib
import contextvars
import functools
import math
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

Result = TypeVar("Result")

MOST_CORES = 1024

_lock = (
    threading.Lock()
)  # over the pool and the guard; held during a fork, so that no child inherits it locked
_inside: contextvars.ContextVar[bool] = contextvars.ContextVar("minidl_inside_task", default=False)


def cores() -> int:
    """Return how many threads to use: ``MINIDL_NUM_THREADS``, or else all cores this process may use.

    Raises:
        ValueError: if ``MINIDL_NUM_THREADS`` is not a whole number between 1 and 1024.

    Example:
        >>> cores() >= 1
        True
    """
    text = os.environ.get("MINIDL_NUM_THREADS", "").strip()
    if not text:
        return _available()
    if not (text.isascii() and text.isdecimal() and len(text) <= 4 and 1 <= int(text) <= MOST_CORES):
        raise ValueError(
            f"MINIDL_NUM_THREADS={text!a}: expected a whole number from 1 to {MOST_CORES}; "
            "unset it to use all available cores"
        )
    return int(text)


@functools.cache
def _available() -> int:
    """Return the cores that the system, the process's affinity and its control groups leave to it."""
    if hasattr(os, "process_cpu_count"):
        count = os.process_cpu_count()
    elif hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count()
    # Rounded down: beyond its quota a group is stopped for the rest of the period, and a phase waits for
    # the slowest of its threads.
    return max(1, math.floor(min(count or 1, _quota())))


def _quota(mount: str = "/sys/fs/cgroup", memberships: str = "/proc/self/cgroup") -> float:
    """Return the cores that the control groups of this process may use at most, infinity without a limit.

    A group is bound by its ancestors too, and in a container only part of the path may be visible: every
    folder from the mount down to the group is asked, those that are missing say nothing.
    """
    lowest = math.inf
    for line in _read(memberships).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for root in (f"{mount}/{controllers}", f"{mount}/cpu") if controllers else (mount,):
            parts = [part for part in path.split("/") if part]
            for depth in range(len(parts) + 1):
                lowest = min(lowest, _limit_of("/".join([root, *parts[:depth]])))
    return lowest


def _limit_of(folder: str) -> float:
    """Return quota over period of a control group: one file in version 2, two in version 1."""
    texts = _read(f"{folder}/cpu.max").split() or [
        *_read(f"{folder}/cpu.cfs_quota_us").split(),
        *_read(f"{folder}/cpu.cfs_period_us").split(),
    ]
    if len(texts) != 2 or not all(text.isdecimal() and int(text) for text in texts):
        return math.inf  # "max" and -1 mean no limit
    return int(texts[0]) / int(texts[1])


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def run(task: Callable[[int], Result], count: int) -> list[Result]:
    """Return ``[task(0), ..., task(count - 1)]``, worked off by the caller and the pool's threads together.

    Tasks start in the order of their numbers, see the caller's context variables, and may run on any thread.
    Called from within a task it runs everything inline, so nesting neither waits nor multiplies threads.
    If tasks raise, no further ones start, those that run are waited for, and the exception of the lowest
    task is raised: the one a loop would have met.

    Example:
        >>> run(lambda i: i * i, 5)
        [0, 1, 4, 9, 16]
    """
    if count < 2 or _inside.get():
        return [task(i) for i in range(count)]
    context = contextvars.copy_context()
    context.run(_inside.set, True)
    helpers = min(cores(), count) - 1
    if helpers < 1:
        return context.run(lambda: [task(i) for i in range(count)])
    phase = _Phase(task, count, context)
    for inbox in _helpers(cores() - 1)[:helpers]:
        inbox.put(phase)
    unsettled = count - phase.work()
    while unsettled:
        unsettled -= phase.settled.get()
    if phase.errors:
        try:
            raise min(phase.errors)[1]
        finally:
            phase.errors.clear()  # or the exception would keep itself alive through its own traceback
    return phase.results


def inside() -> bool:
    """Tell whether the caller is one of several tasks, so that there is nothing more to share out.

    It is so on any number of cores, one included.
    """
    return _inside.get()


class _Phase(Generic[Result]):
    """Numbered tasks drawn by any number of threads, each result in the slot of its number."""

    def __init__(self, task: Callable[[int], Result], count: int, context: contextvars.Context) -> None:
        self.task = task
        self.context = context
        self.pending = deque(range(count))  # popleft is atomic: the counter that tasks are drawn from
        self.results: list[Any] = [None] * count
        self.errors: list[tuple[int, BaseException]] = []
        self.settled: queue.SimpleQueue[int] = queue.SimpleQueue()  # how many tasks each helper settled

    def work(self) -> int:
        """Settle tasks in a context of this thread's own until none is left; return how many they were."""
        return self.context.copy().run(self._drain)

    def _drain(self) -> int:
        drawn = 0
        while True:
            try:
                i = self.pending.popleft()
            except IndexError:
                return drawn
            drawn += 1
            if self.errors:
                continue  # every task below the failing one has been drawn before: none is skipped here
            try:
                self.results[i] = self.task(i)
            except BaseException as error:
                self.errors.append((i, error))


_Inbox = queue.SimpleQueue["_Phase[Any] | None"]
_inboxes: list[_Inbox] = []


def _helpers(count: int) -> list[_Inbox]:
    """Return the inboxes of the pool, made at first use and again when the number of cores changes."""
    global _inboxes
    with _lock:
        if len(_inboxes) != count:
            for inbox in _inboxes:
                inbox.put(None)
            _inboxes = [_start_helper(number) for number in range(1, count + 1)]
        return _inboxes


def _start_helper(number: int) -> _Inbox:
    inbox: _Inbox = queue.SimpleQueue()
    threading.Thread(target=_help, args=(inbox,), name=f"minidl-{number}", daemon=True).start()
    return inbox


def _help(inbox: _Inbox) -> None:
    """Take part in one phase after another, until told to stop."""
    while (phase := inbox.get()) is not None:
        phase.settled.put(phase.work())
        del phase  # while it waits, an idle thread keeps no arrays alive


_guards = 0  # how many callers are inside single_threaded_blas
_restore: list[int] = []


@contextlib.contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Let every product use one BLAS thread: the first caller in sets it, the last one out restores.

    A product split over BLAS threads adds up in another order, and the idle workers of OpenBLAS spin for
    milliseconds on the cores that the pool needs.

    Example:
        >>> with single_threaded_blas():
        ...     y = np.ones((2, 2)) @ np.ones((2, 2))
    """
    global _guards, _restore
    with _lock:
        if not _guards:
            _restore = [library.get_num_threads() for library in _libraries()]
            _set_blas_threads([1] * len(_restore))
        _guards += 1
    try:
        yield
    finally:
        with _lock:
            _guards = max(0, _guards - 1)  # a child forked inside the guard has been through the reset below
            if not _guards:
                _set_blas_threads(_restore)


def _set_blas_threads(counts: Sequence[int]) -> None:
    for library, count in zip(_libraries(), counts, strict=True):
        # From 3.8 on threadpoolctl lets one Python thread at a time change OpenBLAS and silently ignores the
        # others; here the last one out need not be the first one in, and the lock has put them in order.
        release = getattr(library, "clear_controlling_thread", lambda force: None)
        release(force=True)
        library.set_num_threads(count)
        release(force=True)


@functools.cache
def _libraries() -> list[Any]:
    """Return threadpoolctl's handles of the BLAS libraries, found once: preparing them takes milliseconds."""
    from threadpoolctl import ThreadpoolController  # late, because it would double the time of the import

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


@functools.cache
def can_limit_blas() -> bool:
    """Return whether the guard reaches NumPy's products on every thread.

    It cannot with Accelerate on macOS, which has no such switch, nor with an OpenBLAS on OpenMP, where each
    thread has a limit of its own.
    """
    dependencies = np.show_config(mode="dicts").get("Build Dependencies", {})
    name = str(dependencies.get("blas", {}).get("name", ""))
    layers = [getattr(library, "threading_layer", "") for library in _libraries()]
    return bool(layers) and "openmp" not in layers and "accelerate" not in name.lower()


def _reset_in_child() -> None:
    """Forget the threads, which a fork does not copy, and the guards that they were in."""
    global _inboxes, _guards
    _inboxes = []
    if _guards:
        _guards = 0
        _set_blas_threads(_restore)
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_reset_in_child)
