"""Two and three real processes: they compute as one does, and end together whatever happens to one."""

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.distributed import program

ROOT = Path(__file__).resolve().parents[2]
MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent))
SECONDS = 60

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("mpi4py") is None, reason="mpi4py is not installed"),
    pytest.mark.skipif(MPIEXEC is None, reason="no mpiexec beside this Python: pip install mpich"),
]


def launch(size: int, *command: object, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a Python program on so many ranks; a deadlock fails the test and leaves no process behind."""
    process = subprocess.Popen(
        [str(MPIEXEC), "-n", str(size), sys.executable, "-W", "error", *map(str, command)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "MINIDL_NUM_THREADS": "1", "MINIDL_BACKEND": "numpy"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        out, error = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.terminate()  # mpiexec ends its ranks
        out, error = process.communicate(timeout=SECONDS)
        pytest.fail(f"not done after {SECONDS} s\n{out}\n{error}")
    return subprocess.CompletedProcess(command, process.returncode, out, error)


@pytest.mark.parametrize("size", [2, 3])
def test_the_gradients_of_all_steps_are_those_of_one_process(size, tmp_path):
    done = launch(size, program.__file__, "compare", tmp_path)
    assert done.returncode == 0, done.stderr
    _, ranks, _, worst, _, same = done.stdout.split()
    assert (ranks, same) == (str(size), "True")
    assert float(worst) < 1e-6
    assert (tmp_path / "weights.safetensors").exists()


def test_an_exception_on_one_rank_ends_all_and_is_shown():
    done = launch(2, program.__file__, "fail_on_rank_1")
    assert done.returncode != 0
    assert "minidl.distributed: rank 1 of 2 failed; all end\nTraceback" in done.stderr
    assert "ValueError: the label of sample 17 is a pear" in done.stderr
    assert done.stderr.count("Traceback") == 1


def test_fit_on_two_ranks_ends_with_the_same_weights():
    done = launch(2, program.__file__, "fit_with_nan_on_rank_1", "healthy")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["same", "True"] * 2


def test_a_number_that_is_not_finite_in_the_fit_of_one_rank_ends_all_with_its_message():
    start = time.monotonic()
    done = launch(2, program.__file__, "fit_with_nan_on_rank_1")
    assert time.monotonic() - start < 30
    assert done.returncode != 0
    assert "minidl.distributed: rank 1 of 2 failed; all end\nTraceback" in done.stderr
    assert "fit: in step 1 the loss is nan" in done.stderr
    assert done.stderr.count("Traceback") == 1


def test_a_rank_that_is_killed_ends_all_within_seconds_with_a_message(tmp_path):
    start = time.monotonic()
    done = launch(2, program.__file__, "kill_rank_1", tmp_path)
    assert time.monotonic() - start < 30
    assert done.returncode != 0
    assert "signal 9" in (done.stdout + done.stderr).lower().replace(":", "")  # the word of mpiexec
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid0").read_text()), 0)


@pytest.mark.parametrize("way", ["leave_on_rank_1", "exit_on_rank_1"])
def test_a_rank_that_waits_for_one_whose_program_has_ended_says_so(way):
    done = launch(2, program.__file__, way)
    assert done.returncode != 0
    assert "rank 0 waits for rank 1, whose program has ended" in done.stderr
    assert "group.shard(loader)" in done.stderr


def test_the_example_shows_its_progress_and_its_result_once(tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("tqdm")
    done = launch(2, ROOT / "examples" / "digits_mpi.py", "--steps", "25", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test accuracy") == 1
    assert float(done.stdout.split()[-2]) > 70
    assert done.stderr.count("25/25") <= 2  # the last state of one bar, with and without the loss
    assert done.stderr.count("25/25") >= 1


@pytest.mark.full
def test_the_digits_end_as_well_with_two_processes_as_with_one(tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("tqdm")
    found = []
    for size in (1, 2):
        done = launch(size, ROOT / "examples" / "digits_mpi.py", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        found.append(float(done.stdout.split()[-2]))
    assert found[0] == pytest.approx(found[1], abs=0.5)
    assert min(found) > 98.5
