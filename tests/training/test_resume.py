"""N + M steps equal N steps, a kill, a new process and M steps, bit for bit."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import minidl
from minidl import optim
from minidl.files import read_tensors
from minidl.optim import schedules
from tests.training import resuming

ROOT = Path(__file__).resolve().parents[2]


def start(mode: str, folder: Path) -> subprocess.CompletedProcess:
    """Run the program in a process of its own."""
    command = [sys.executable, "-W", "error", resuming.__file__, mode, str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """The folder with what the uninterrupted and the resumed runs ended with."""
    folder = tmp_path_factory.mktemp("runs")
    for mode in ("straight", "first", "second"):
        result = start(mode, folder)
        assert (result.returncode != 0) == (mode == "first"), result.stderr
        assert result.stderr == ""
    return folder


def test_every_optimizer_and_every_schedule_has_a_case() -> None:
    optimizers = {
        name
        for name, value in vars(optim).items()
        if inspect.isclass(value) and issubclass(value, optim.Optimizer) and value is not optim.Optimizer
    }
    public = {
        name
        for name, value in vars(schedules).items()
        if getattr(value, "__module__", "") == schedules.__name__ and not name.startswith("_")
    }
    assert resuming.OPTIMIZERS.keys() == optimizers
    assert resuming.SCHEDULES.keys() == public - {"as_schedule"}


@pytest.mark.parametrize("case", resuming.CASES)
def test_a_resumed_run_ends_with_the_same_bits(runs, case) -> None:
    assert (runs / f"{case}.resumed").read_bytes() == (runs / f"{case}.straight").read_bytes()


def test_the_runs_differ_from_each_other_and_train(runs) -> None:
    ends = {case: (runs / f"{case}.straight").read_bytes() for case in resuming.CASES}
    assert len(set(ends.values())) == len(ends)
    tensors, extra = read_tensors(runs / "SGD.straight")
    assert extra["loader"] == {"seed": extra["loader"]["seed"], "epoch": 4, "position": 1}
    assert tensors["optimizer.step"] == 13
    assert tensors["model.3.stream"][1] == 13


@pytest.mark.parametrize("lost", ["nothing", "model", "optimizer", "ema", "loader", "rng", "stream"])
def test_without_any_one_of_the_parts_the_bits_differ(runs, lost) -> None:
    parts, other = resuming.parts_of("SGD", seed=200), resuming.parts_of("SGD", seed=201)
    resuming.Checkpoints(runs / "SGD").restore(**parts | {n: p for n, p in other.items() if n == lost})
    if lost == "stream":
        minidl.seed(200)
    resuming.finish(parts, resuming.train(parts, resuming.SECOND), runs / "SGD.lost")
    same = (runs / "SGD.lost").read_bytes() == (runs / "SGD.straight").read_bytes()
    assert same == (lost == "nothing")
