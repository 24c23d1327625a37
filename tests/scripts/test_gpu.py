"""What scripts/gpu decides and prints; no GPU is needed for that, and none is used."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
GIB = 2**30
SMI = "| NVIDIA-SMI 580.1    Driver Version: 580.1    CUDA Version: {}     |"
FOUND = {
    "devices": [
        {"name": "Small", "free": 2 * GIB, "total": 8 * GIB},
        {"name": "Large", "free": 60 * GIB, "total": 80 * GIB},
    ],
    "driver": 12080,
    "runtime": 12090,
    "cupy": "14.2.0",
}


@pytest.fixture(autouse=True)
def scripts_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def gpu() -> ModuleType:
    return importlib.import_module("gpu")


@pytest.fixture
def report() -> ModuleType:
    return importlib.import_module("_bench.gpu_report")


def answering(monkeypatch: Any, gpu: ModuleType, answers: dict[str, Any]) -> list[Any]:
    """Let subprocesses answer by what their command contains; return the calls."""
    calls: list[Any] = []

    def run(command: Any, **options: Any) -> Any:
        calls.append((command, options.get("env")))
        for key, (status, out) in answers.items():
            if any(key in part for part in command):
                return subprocess.CompletedProcess(command, status, out, "")
        raise FileNotFoundError(command[0])

    monkeypatch.setattr(gpu.subprocess, "run", run)
    return calls


@pytest.mark.parametrize("answers", [{}, {"nvidia-smi": (9, "")}])
def test_a_machine_without_a_gpu_is_refused_in_one_sentence(
    gpu: ModuleType, monkeypatch: Any, answers: Any
) -> None:
    answering(monkeypatch, gpu, answers)
    monkeypatch.setattr(sys, "argv", ["gpu", "--here"])
    with pytest.raises(SystemExit, match=r"^scripts/gpu: there is no NVIDIA GPU here.*nothing was run$"):
        gpu.main()


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_hidden_gpus_stay_hidden(gpu: ModuleType, monkeypatch: Any, hidden: str) -> None:
    calls = answering(monkeypatch, gpu, {"nvidia-smi": (0, SMI.format("13.0"))})
    with pytest.raises(gpu.NoGPUError, match="hides all GPUs"):
        gpu.driver_supports({"CUDA_VISIBLE_DEVICES": hidden})
    assert calls == []


def test_a_gpu_that_cupy_cannot_use_is_refused_with_its_words(gpu: ModuleType, monkeypatch: Any) -> None:
    broken = subprocess.CompletedProcess([], 1, "", "Traceback\nImportError: libcuda.so.1 is missing")
    monkeypatch.setattr(gpu.subprocess, "run", lambda *_, **__: broken)
    with pytest.raises(gpu.NoGPUError, match=r"\(ImportError: libcuda.so.1 is missing\); nothing was run"):
        gpu.probe("python")


@pytest.mark.parametrize(
    ("version", "extra"), [("12.8", "cuda12"), ("13.0", "cuda13"), ("unknown", "cuda12")]
)
def test_the_wheel_of_cupy_follows_the_driver(
    gpu: ModuleType, monkeypatch: Any, version: str, extra: str
) -> None:
    answering(monkeypatch, gpu, {"nvidia-smi": (0, SMI.format(version))})
    wanted = gpu.extras(gpu.driver_supports({}), ["suite"])
    assert extra in wanted
    assert "torch" not in wanted
    assert "torch" in gpu.extras(12, ["bench"])


def test_the_freest_gpu_is_used_unless_the_user_has_chosen(gpu: ModuleType) -> None:
    assert gpu.choose(FOUND["devices"], None) == 1
    assert gpu.choose(FOUND["devices"], "3,1") == 0  # of those that are visible
    with pytest.raises(gpu.NoGPUError):
        gpu.choose([], None)


@pytest.mark.parametrize(
    ("before", "after"),
    [({}, "1"), ({"CUDA_VISIBLE_DEVICES": "3, 1"}, "3"), ({"CUDA_VISIBLE_DEVICES": "MIG-a"}, "MIG-a")],
)
def test_the_parts_see_one_gpu_and_a_limit_to_its_memory(gpu: ModuleType, before: Any, after: str) -> None:
    out = gpu.settings(before, 1, 5 * GIB, full=False, tf32=False)
    assert out["CUDA_VISIBLE_DEVICES"] == after
    assert out["CUPY_GPU_MEMORY_LIMIT"] == out["MINIDL_GPU_MEMORY"] == str(5 * GIB)
    assert (out["MINIDL_BACKEND"], out["CUPY_TF32"]) == ("cupy", "0")
    assert "MINIDL_TEST_PROFILE" not in out
    assert gpu.settings({}, 0, 1, full=True, tf32=True)["MINIDL_TEST_PROFILE"] == "full"


def run_all(gpu: ModuleType, monkeypatch: Any, suite: tuple[int, str]) -> tuple[int, list[Any]]:
    row = json.dumps({"median": 2.0, "check": 2.3, "version": "a library"})
    calls = answering(
        monkeypatch,
        gpu,
        {
            "nvidia-smi": (0, SMI.format("12.8")),
            "import json, cupy": (0, json.dumps(FOUND)),
            "_bench.gpu_worker": (0, f"a warning\n{row}\n"),
            "--ignore": suite,
            "tests": (0, "== 5 passed in 1s =="),
        },
    )
    monkeypatch.setattr(sys, "argv", ["gpu", "--here", "--quick"])
    return gpu.main(), calls


def test_everything_runs_on_the_chosen_gpu_in_one_command(
    gpu: ModuleType, monkeypatch: Any, capsys: Any
) -> None:
    status, calls = run_all(gpu, monkeypatch, (0, "== 900 passed in 60s =="))
    printed = capsys.readouterr().out
    assert status == 0
    assert "| GPU | Large, 80.0 GiB |" in printed
    assert "| memory limit | 30.0 GiB of 60.0 GiB free |" in printed
    assert "| driver | CUDA 12.8 |" in printed
    assert "- suite: passed: 900 passed in 60s" in printed
    assert "- standin: passed: 5 passed in 1s" in printed
    assert "| LeNet train, batch 1024 | 2.000 | 2.000 | 1.00 | 1.2 | - |" in printed
    started = [environment for _, environment in calls if environment]
    assert len(started) == 3 + 2 * 7
    assert {environment["CUDA_VISIBLE_DEVICES"] for environment in started} == {"1"}


def test_what_failed_is_named_and_ends_in_an_error(gpu: ModuleType, monkeypatch: Any, capsys: Any) -> None:
    output = "FAILED tests/ops/test_conv.py::test_it - AssertionError\n== 1 failed, 899 passed in 60s =="
    status, _ = run_all(gpu, monkeypatch, (1, output))
    printed = capsys.readouterr().out
    assert status == 1
    assert (
        "- suite: **failed**: 1 failed, 899 passed in 60s\n  - `FAILED tests/ops/test_conv.py::test_it"
        in printed
    )


def test_the_table_holds_ratios_against_the_bars(report: ModuleType) -> None:
    def rows(median: float, check: float = 1.0) -> list[Any]:
        return [{"median": m, "check": check, "version": "v"} for m in (median + 1, median)]

    lenet, vgg, mlp = "LeNet train, batch 64", "VGG-like train, batch 1024", "MLP train, batch 32"
    results = {
        (lenet, "minidl"): rows(3.0),
        (lenet, "torch"): rows(2.0),
        (vgg, "minidl"): rows(3.0),
        (vgg, "torch"): rows(2.0),
        (mlp, "minidl"): rows(1.0),
        (mlp, "torch"): rows(2.0, check=1.1),
    }
    table = report.table(results, quick=False)
    assert f"| {lenet} | 3.000 | 2.000 | 1.50 | 1.5 | met |" in table
    assert f"| {vgg} | 3.000 | 2.000 | 1.50 | 1.2 | missed |" in table
    assert f"| {mlp} | 1.000 | 2.000 | 0.50 | 1 | **the losses differ** |" in table
    assert "| MLP train, batch 128 | - | - | - | 1 | - |" in table


def test_every_bar_is_of_a_known_workload(report: ModuleType) -> None:
    for name in report.BARS:
        work = report.workload(name)
        assert work.part == "train"
        assert work.shape[0] == int(name.rpartition(" ")[2])


def test_a_step_is_timed_between_events_with_the_host_ahead() -> None:
    worker = importlib.import_module("_bench.gpu_worker")
    steps: list[int] = []
    events: list[int] = []

    def event() -> int:
        events.append(len(steps))
        return len(steps)

    def elapsed(start: int, stop: int) -> float:
        return 5.0 * (stop - start)

    assert worker.measure(lambda: steps.append(1), event, elapsed, quick=False) == 5.0
    assert events[0] == worker.WARM_UP
    assert len(steps) == worker.WARM_UP + worker.STRETCH * worker.STRETCHES
