"""A process killed while it saves loses no checkpoint that was complete, and leaves no half of one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training import killing

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
ROOT = Path(__file__).resolve().parents[2]


def start(mode: str, folder: Path, *arguments: object) -> str:
    command = [sys.executable, "-W", "error", killing.__file__, mode, str(folder), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MINIDL_NUM_THREADS": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_killed_at_random_moments_the_newest_complete_one_loads(tmp_path, full) -> None:
    count = 200 if full else 20
    lines = start("moments", tmp_path, count).splitlines()
    assert len(lines) == count
    halves = sum(int(line.split()[1]) for line in lines)
    assert halves > 0, "no kill fell into a save: the test proves nothing"


@pytest.mark.parametrize("call", killing.CALLS)
def test_killed_just_before_or_after_each_call_the_newest_complete_one_loads(tmp_path, call) -> None:
    assert start("calls", tmp_path, call).split() == killing.EXPECTED[call]
