"""After a real Ctrl-C a new process goes on with `fit` as if nothing had happened."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from minidl.files import read_tensors
from minidl.training import Checkpoints
from tests.training import fitting

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGINT goes to a whole console there")


def start(folder: Path, out: Path, pause: float, seed: int) -> subprocess.Popen:
    command = [sys.executable, "-W", "error", fitting.__file__, folder, out, str(pause), str(seed)]
    return subprocess.Popen(
        list(map(str, command)),
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen) -> list[int]:
    """The steps that the process has done, which has to end by itself and without a word."""
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    return [int(line) for line in out.split()]


def press(process: subprocess.Popen, step: int) -> None:
    """Send SIGINT once the process has done so many steps."""
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == step:
            break
    process.send_signal(signal.SIGINT)


def test_a_run_that_was_interrupted_twice_ends_with_the_same_bits(tmp_path) -> None:
    steps = finish(start(tmp_path / "whole", tmp_path / "straight", 0.0, seed=1))
    assert steps == list(range(1, 43))
    for step, seed in ((5, 1), (16, 2)):  # in the first epoch and in the third
        process = start(tmp_path / "cut", tmp_path / "interrupted", 0.1, seed)
        press(process, step)
        finish(process)
        _, extra = read_tensors(tmp_path / "interrupted")
        assert extra["end"] == ["interrupt"]
        done = int(Checkpoints(tmp_path / "cut").latest().stem.rpartition("-")[2])
        assert step <= done < steps[-1]
        assert len(extra["history"]["series"]["loss"]["values"]) == done
    assert finish(start(tmp_path / "cut", tmp_path / "resumed", 0.0, seed=3)) == steps[done:]
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "straight").read_bytes()
    _, extra = read_tensors(tmp_path / "straight")
    assert extra["end"] == ["epochs"]
    assert extra["best"][0] == min(row["val_loss"] for row in extra["history"]["epochs"])


def test_a_second_ctrl_c_kills_at_once(tmp_path) -> None:
    process = start(tmp_path / "runs", tmp_path / "out", 30.0, seed=1)  # it sleeps in its first step
    press(process, 1)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in err
    assert not (tmp_path / "out").exists()
