import contextvars
import gc
import math
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minidl import threads


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """More threads than this machine may have, so that tasks really are shared out."""
    monkeypatch.setenv("MINIDL_NUM_THREADS", "4")


def in_new_process(code: str, **environment: str) -> str:
    """Run a script with warnings as errors and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


class TestCores:
    @pytest.mark.parametrize(("text", "expected"), [("1", 1), (" 3 ", 3), ("007", 7), ("1024", 1024)])
    def test_the_environment_decides(self, monkeypatch: pytest.MonkeyPatch, text: str, expected: int) -> None:
        monkeypatch.setenv("MINIDL_NUM_THREADS", text)
        assert threads.cores() == expected

    @pytest.mark.parametrize(
        "text", ["0", "-1", "two", "1.5", "+2", "1_0", "1e2", "1025", "\u0662", "9" * 5000]
    )
    def test_anything_but_a_whole_number_is_refused(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        monkeypatch.setenv("MINIDL_NUM_THREADS", text)
        with pytest.raises(
            ValueError, match=r"MINIDL_NUM_THREADS=.*whole number from 1 to 1024; unset"
        ) as caught:
            threads.cores()
        assert str(caught.value).isascii()

    @pytest.mark.parametrize("text", ["", "   "])
    def test_empty_means_unset(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        monkeypatch.setenv("MINIDL_NUM_THREADS", text)
        assert threads.cores() == threads._available()
        monkeypatch.delenv("MINIDL_NUM_THREADS")
        assert threads.cores() == threads._available()


class TestAvailable:
    """The default: the process's own cores, capped by the control groups' quota."""

    @pytest.fixture
    def system(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
        """An operating system with 64 cores, none of them taken away; its calls can be replaced."""
        fake = SimpleNamespace(cpu_count=lambda: 64)
        monkeypatch.setattr(threads, "os", fake)
        monkeypatch.setattr(threads, "_quota", lambda: math.inf)
        threads._available.cache_clear()
        yield fake
        threads._available.cache_clear()

    def test_all_cores_where_nothing_else_is_known(self, system: SimpleNamespace) -> None:
        assert threads._available() == 64

    def test_affinity_comes_before_the_machine(self, system: SimpleNamespace) -> None:
        system.sched_getaffinity = lambda _: {0, 5, 9}
        assert threads._available() == 3

    def test_process_cpu_count_comes_first(self, system: SimpleNamespace) -> None:
        system.sched_getaffinity = lambda _: {0, 5, 9}
        system.process_cpu_count = lambda: 2
        assert threads._available() == 2

    def test_an_unknown_count_means_one(self, system: SimpleNamespace) -> None:
        system.cpu_count = lambda: None
        assert threads._available() == 1

    @pytest.mark.parametrize(("quota", "expected"), [(2.9, 2), (0.25, 1), (500.0, 64)])
    def test_a_quota_caps_rounded_down(
        self, system: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, quota: float, expected: int
    ) -> None:
        monkeypatch.setattr(threads, "_quota", lambda: quota)
        assert threads._available() == expected


class TestQuota:
    """Control groups, read from folders made to look like the system's."""

    @staticmethod
    def quota(tmp_path: Path, memberships: str, **files: str) -> float:
        for name, text in files.items():
            path = tmp_path / "mount" / name.replace("__", "/").replace("_DOT_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (tmp_path / "cgroup").write_text(memberships)
        return threads._quota(str(tmp_path / "mount"), str(tmp_path / "cgroup"))

    def test_version_2(self, tmp_path: Path) -> None:
        assert self.quota(tmp_path, "0::/job\n", job__cpu_DOT_max="150000 100000\n") == 1.5

    def test_version_2_without_a_limit(self, tmp_path: Path) -> None:
        assert self.quota(tmp_path, "0::/job\n", job__cpu_DOT_max="max 100000\n") == math.inf

    def test_the_tightest_ancestor_binds(self, tmp_path: Path) -> None:
        outer = {"a__cpu_DOT_max": "200000 100000", "a__b__cpu_DOT_max": "400000 100000"}
        assert self.quota(tmp_path, "0::/a/b\n", **outer) == 2.0

    def test_a_container_sees_its_own_group_as_the_root(self, tmp_path: Path) -> None:
        assert self.quota(tmp_path, "0::/docker/123\n", cpu_DOT_max="300000 100000") == 3.0

    @pytest.mark.parametrize("folder", ["cpu", "cpu,cpuacct"])
    def test_version_1(self, tmp_path: Path, folder: str) -> None:
        files = {
            f"{folder}__job__cpu_DOT_cfs_quota_us": "50000",
            f"{folder}__job__cpu_DOT_cfs_period_us": "100000",
        }
        memberships = "5:memory:/job\n4:cpu,cpuacct:/job\n0::/\n"
        assert self.quota(tmp_path, memberships, **files) == 0.5

    def test_version_1_without_a_limit(self, tmp_path: Path) -> None:
        files = {"cpu__cpu_DOT_cfs_quota_us": "-1", "cpu__cpu_DOT_cfs_period_us": "100000"}
        assert self.quota(tmp_path, "4:cpu:/\n", **files) == math.inf

    def test_no_control_groups(self, tmp_path: Path) -> None:
        assert threads._quota(str(tmp_path / "none"), str(tmp_path / "nothing")) == math.inf

    @pytest.mark.parametrize("text", ["", "garbage", "0 100000", "100000 0", "1 2 3"])
    def test_an_unreadable_limit_is_none(self, tmp_path: Path, text: str) -> None:
        assert self.quota(tmp_path, "0::/\n", cpu_DOT_max=text) == math.inf


class TestRun:
    @pytest.mark.parametrize("cores", ["1", "2", "4", "9"])
    @pytest.mark.parametrize("count", [0, 1, 2, 3, 100])
    def test_equals_a_loop(self, monkeypatch: pytest.MonkeyPatch, cores: str, count: int) -> None:
        monkeypatch.setenv("MINIDL_NUM_THREADS", cores)
        assert threads.run(lambda i: i * i, count) == [i * i for i in range(count)]

    def test_tasks_overlap_on_as_many_threads_as_cores(self) -> None:
        together = threading.Barrier(4, timeout=30)  # breaks unless four tasks wait at the same time

        def task(_: int) -> str:
            together.wait()
            return threading.current_thread().name

        names = threads.run(task, 4)
        assert len(set(names)) == 4
        assert {name for name in names if name.startswith("minidl-")} == {"minidl-1", "minidl-2", "minidl-3"}
        assert threading.current_thread().name in names

    def test_one_core_uses_the_calling_thread_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MINIDL_NUM_THREADS", "1")
        assert set(threads.run(lambda _: threading.get_ident(), 20)) == {threading.get_ident()}

    def test_the_pool_is_made_once(self) -> None:
        threads.run(lambda i: i, 8)
        before = {thread for thread in threading.enumerate() if thread.name.startswith("minidl-")}
        for _ in range(50):
            threads.run(lambda i: i, 8)
        assert before == {thread for thread in threading.enumerate() if thread.name.startswith("minidl-")}

    def test_another_number_of_cores_replaces_the_pool(self, monkeypatch: pytest.MonkeyPatch) -> None:
        threads.run(lambda i: i, 8)
        old = [thread for thread in threading.enumerate() if thread.name.startswith("minidl-")]
        monkeypatch.setenv("MINIDL_NUM_THREADS", "3")
        assert threads.run(lambda i: i, 8) == list(range(8))
        for thread in old:
            thread.join(timeout=30)
        assert sum(thread.name.startswith("minidl-") for thread in threading.enumerate()) == 2

    def test_nested_work_runs_inline_on_the_thread_of_its_task(self) -> None:
        def task(_: int) -> set[int]:
            return set(threads.run(lambda _: (time.sleep(0.001), threading.get_ident())[1], 20))

        for idents in threads.run(task, 2):  # two of the four threads have nothing to do, and stay idle
            assert len(idents) == 1

    def test_a_thread_started_by_a_task_may_run_work_of_its_own(self) -> None:
        def task(i: int) -> list[int]:
            out: list[list[int]] = []
            thread = threading.Thread(target=lambda: out.append(threads.run(lambda j: i + j, 6)))
            thread.start()
            thread.join(timeout=30)
            return out[0]

        assert threads.run(task, 8) == [[i + j for j in range(6)] for i in range(8)]

    def test_concurrent_callers_get_their_own_results(self) -> None:
        results: dict[int, list[int]] = {}

        def call(k: int) -> None:
            for _ in range(20):
                results[k] = threads.run(lambda i: 1000 * k + i, 30)

        callers = [threading.Thread(target=call, args=(k,)) for k in range(6)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(timeout=60)
        assert results == {k: [1000 * k + i for i in range(30)] for k in range(6)}

    def test_a_busy_pool_does_not_hold_up_another_caller(self) -> None:
        released, busy = threading.Event(), threading.Barrier(5, timeout=30)

        def block(_: int) -> bool:
            busy.wait()
            return released.wait(timeout=30)

        other = threading.Thread(target=threads.run, args=(block, 4))
        other.start()
        busy.wait()  # now every thread of the pool waits inside a task
        assert threads.run(lambda i: i, 10) == list(range(10))
        released.set()
        other.join(timeout=30)

    def test_tasks_see_the_context_of_the_caller(self) -> None:
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="default")
        token = variable.set("of the caller")
        try:
            assert set(threads.run(lambda _: (time.sleep(0.001), variable.get())[1], 12)) == {"of the caller"}
        finally:
            variable.reset(token)

    def test_what_a_task_sets_stays_in_the_task(self) -> None:
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="default")
        threads.run(lambda i: variable.set(f"task {i}"), 12)
        assert variable.get() == "default"

    def test_the_callers_errstate_reaches_the_tasks(self) -> None:
        with np.errstate(over="ignore"):
            out = threads.run(lambda _: np.exp(np.full(3, 1000.0)), 12)
        assert np.isinf(out).all()

    def test_idle_threads_keep_nothing_alive(self) -> None:
        array = np.zeros(3)
        reference = weakref.ref(array)
        results = threads.run(lambda _, array=array: array, 8)
        del array, results
        deadline = time.monotonic() + 30
        while reference() is not None and time.monotonic() < deadline:
            time.sleep(0.001)  # a thread that came too late for any task may still be letting go
        assert reference() is None


class TestExceptions:
    @pytest.mark.parametrize("cores", ["1", "2", "4"])
    def test_the_lowest_task_is_the_one_that_raises(
        self, monkeypatch: pytest.MonkeyPatch, cores: str
    ) -> None:
        monkeypatch.setenv("MINIDL_NUM_THREADS", cores)

        def task(i: int) -> None:
            time.sleep(0.002 if i == 3 else 0)  # the lowest is not the first to fail
            if i >= 3:
                raise ValueError(f"task {i}")

        for _ in range(20):
            with pytest.raises(ValueError, match="task 3"):
                threads.run(task, 40)

    def test_type_and_notes_are_kept(self) -> None:
        class OwnError(Exception):
            pass

        def task(i: int) -> None:
            error = OwnError(i)
            error.add_note("layer 2: ReLU()")
            raise error

        with pytest.raises(OwnError) as caught:
            threads.run(task, 8)
        assert caught.value.args == (0,)
        assert caught.value.__notes__ == ["layer 2: ReLU()"]

    def test_no_task_runs_any_longer_when_it_is_raised(self) -> None:
        running, lock = [], threading.Lock()
        together = threading.Barrier(4, timeout=30)

        def task(i: int) -> None:
            with lock:
                running.append(i)
            together.wait()
            if i == 0:
                raise ValueError("early")
            time.sleep(0.02)
            with lock:
                running.remove(i)

        with pytest.raises(ValueError, match="early"):
            threads.run(task, 4)
        assert running == [0]

    def test_tasks_after_a_failure_are_skipped(self) -> None:
        started = []

        def task(i: int) -> None:
            started.append(i)
            time.sleep(0.001)
            raise ValueError(i)

        with pytest.raises(ValueError, match="0"):
            threads.run(task, 1000)
        assert len(started) <= 4

    def test_the_pool_survives(self) -> None:
        with pytest.raises(ZeroDivisionError):
            threads.run(lambda i: 1 // i, 20)
        assert threads.run(lambda i: i, 20) == list(range(20))

    def test_an_exception_does_not_keep_itself_alive(self) -> None:
        class Witness:
            pass

        def fail() -> weakref.ref[Witness]:
            witness = Witness()

            def task(i: int, witness: Witness = witness) -> None:
                raise ValueError(i)

            with pytest.raises(ValueError, match="0"):
                threads.run(task, 8)
            return weakref.ref(witness)

        gc.collect()
        gc.disable()
        try:
            reference = fail()
            deadline = time.monotonic() + 30
            while reference() is not None and time.monotonic() < deadline:
                time.sleep(0.001)
            assert reference() is None
        finally:
            gc.enable()


def blas_threads() -> list[int]:
    return [library.get_num_threads() for library in threads._libraries()]


needs_blas = pytest.mark.skipif(not threads.can_limit_blas(), reason="no BLAS here that can be limited")


@needs_blas
class TestBlasGuard:
    @pytest.fixture(autouse=True)
    def three_blas_threads(self) -> Iterator[None]:
        """A number that is neither one nor any default, so that a wrong restore shows."""
        before = blas_threads()
        threads._set_blas_threads([3] * len(before))
        yield
        threads._set_blas_threads(before)

    def three(self) -> list[int]:
        return [3] * len(threads._libraries())

    def one(self) -> list[int]:
        return [1] * len(threads._libraries())

    def test_one_inside_and_restored_outside(self) -> None:
        assert blas_threads() == self.three()
        with threads.single_threaded_blas():
            assert blas_threads() == self.one()
        assert blas_threads() == self.three()

    def test_nested_guards_restore_at_the_last(self) -> None:
        with threads.single_threaded_blas():
            with threads.single_threaded_blas():
                assert blas_threads() == self.one()
            assert blas_threads() == self.one()
        assert blas_threads() == self.three()

    def test_an_exception_restores(self) -> None:
        with pytest.raises(ValueError, match="inside"), threads.single_threaded_blas():
            raise ValueError("inside")
        assert blas_threads() == self.three()

    def test_the_last_one_out_may_be_another_thread_than_the_first_one_in(self) -> None:
        entered, leave, seen = threading.Event(), threading.Event(), []

        def second() -> None:
            with threads.single_threaded_blas():
                entered.set()
                leave.wait(timeout=30)
                seen.append(blas_threads())
            seen.append(blas_threads())

        other = threading.Thread(target=second)
        with threads.single_threaded_blas():
            other.start()
            entered.wait(timeout=30)
        assert blas_threads() == self.one()
        leave.set()
        other.join(timeout=30)
        assert seen == [self.one(), self.three()]

    def test_many_threads_at_once(self) -> None:
        wrong: list[list[int]] = []

        def call() -> None:
            for _ in range(200):
                with threads.single_threaded_blas():
                    if blas_threads() != self.one():
                        wrong.append(blas_threads())

        callers = [threading.Thread(target=call) for _ in range(6)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(timeout=60)
        assert wrong == []
        assert blas_threads() == self.three()

    def test_it_holds_on_every_thread_of_the_pool(self) -> None:
        with threads.single_threaded_blas():
            assert threads.run(lambda _: blas_threads(), 8) == [self.one()] * 8

    def test_a_limit_set_by_another_thread_is_put_back(self) -> None:
        from threadpoolctl import threadpool_limits

        limited, leave = threading.Event(), threading.Event()

        def user() -> None:
            with threadpool_limits(2, user_api="blas"):
                limited.set()
                leave.wait(timeout=30)

        other = threading.Thread(target=user)
        other.start()
        limited.wait(timeout=30)
        with threads.single_threaded_blas():
            assert blas_threads() == self.one()
        assert blas_threads() == [2] * len(self.three())
        leave.set()
        other.join(timeout=30)
        assert blas_threads() == self.three()


class TestCanLimitBlas:
    @pytest.fixture(autouse=True)
    def forget(self) -> Iterator[None]:
        threads.can_limit_blas.cache_clear()
        yield
        threads.can_limit_blas.cache_clear()

    def pretend(self, monkeypatch: pytest.MonkeyPatch, name: str, *layers: str) -> bool:
        libraries = [SimpleNamespace(threading_layer=layer) for layer in layers]
        monkeypatch.setattr(threads, "_libraries", lambda: libraries)
        config = {"Build Dependencies": {"blas": {"name": name}}}
        monkeypatch.setattr(np, "show_config", lambda mode: config)
        return threads.can_limit_blas()

    def test_openblas_with_its_own_threads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.pretend(monkeypatch, "scipy-openblas", "pthreads")

    def test_openblas_over_openmp_has_a_limit_per_thread(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert not self.pretend(monkeypatch, "openblas", "openmp")

    def test_accelerate_has_no_switch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert not self.pretend(monkeypatch, "accelerate")

    def test_an_openblas_beside_accelerate_does_not_count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert not self.pretend(monkeypatch, "accelerate", "pthreads")

    def test_without_a_library_the_guard_does_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert not self.pretend(monkeypatch, "accelerate")
        with threads.single_threaded_blas(), threads.single_threaded_blas():
            pass

    def test_older_threadpoolctl_has_no_controlling_thread(self, monkeypatch: pytest.MonkeyPatch) -> None:
        counts = [5]

        class Library:
            def get_num_threads(self) -> int:
                return counts[-1]

            def set_num_threads(self, count: int) -> None:
                counts.append(count)

        monkeypatch.setattr(threads, "_libraries", lambda: [Library()])
        with threads.single_threaded_blas():
            assert counts == [5, 1]
        assert counts == [5, 1, 5]


class TestProcess:
    def test_importing_starts_nothing_and_loads_nothing(self) -> None:
        printed = in_new_process(
            """
            import sys, threading
            import minidl.threads
            print(threading.active_count(), "threadpoolctl" in sys.modules)
            """
        )
        assert printed.split() == ["1", "False"]

    def test_the_interpreter_ends_with_the_pool_idle(self) -> None:
        printed = in_new_process(
            """
            import atexit
            from minidl import threads
            atexit.register(lambda: print(threads.run(lambda i: i, 4)))
            print(threads.run(lambda i: i, 8)[-1])
            """
        )
        assert printed.split("\n")[:2] == ["7", "[0, 1, 2, 3]"]

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX only")
    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_a_fork_gets_a_pool_of_its_own(self) -> None:
        printed = in_new_process(
            """
            import os, sys, threading, warnings
            from minidl import threads
            def names():
                barrier = threading.Barrier(4, timeout=20)
                task = lambda _: (barrier.wait(), threading.current_thread().name)[1]
                return sorted(set(threads.run(task, 4)))
            before = names()
            warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork, from 3.12 on
            child = os.fork()
            if not child:
                good = not threads._inboxes and names() == before
                print("child", good, flush=True)
                os._exit(0)
            os.waitpid(child, 0)
            print("parent", names() == before)
            """
        )
        assert printed.split() == ["child", "True", "parent", "True"]

    @needs_blas
    @pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX only")
    @pytest.mark.parametrize("owner", ["another thread", "the forking thread"])
    def test_a_fork_while_guarded_leaves_no_lock_and_no_limit_behind(self, owner: str) -> None:
        printed = in_new_process(
            """
            import contextlib, os, sys, threading, warnings
            from minidl import threads
            warnings.simplefilter("ignore", DeprecationWarning)
            def blas(): return [library.get_num_threads() for library in threads._libraries()]
            threads._set_blas_threads([2] * len(blas()))
            inside, leave = threading.Event(), threading.Event()
            def guarded():
                with threads.single_threaded_blas():
                    inside.set()
                    leave.wait(30)
            other = threading.Thread(target=guarded)
            if OTHER:
                other.start()
                inside.wait(30)
            with contextlib.nullcontext() if OTHER else threads.single_threaded_blas():
                child = os.fork()
            if not child:
                before = set(blas())
                with threads.single_threaded_blas():
                    within = set(blas())
                print(before, within, set(blas()), flush=True)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            leave.set()
            if OTHER:
                other.join(30)
            print(status, set(blas()))
            """.replace("OTHER", str(owner == "another thread"))
        )
        assert printed.split() == ["{2}", "{1}", "{2}", "0", "{2}"]

    def test_a_wrong_environment_is_named_at_first_use(self) -> None:
        printed = in_new_process(
            """
            from minidl import threads
            try:
                threads.run(lambda i: i, 4)
            except ValueError as error:
                print(error)
            """,
            MINIDL_NUM_THREADS="many",
        )
        assert printed.startswith("MINIDL_NUM_THREADS='many': expected a whole number")


@pytest.mark.parametrize("cores", ["1", "2", "4"])
def test_a_task_knows_that_it_is_one_of_several_on_any_number_of_cores(
    monkeypatch: pytest.MonkeyPatch, cores: str
) -> None:
    monkeypatch.setenv("MINIDL_NUM_THREADS", cores)
    assert threads.run(lambda i: threads.inside(), 3) == [True] * 3
    assert threads.run(lambda i: threads.inside(), 1) == [False]
    assert not threads.inside()
