"""The program of `test_kill`: save without end in a forked process, and kill that with signal 9.

In each checkpoint every number is the step, so that one made of two would be seen.
"""

import os
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from minidl.files import tensors
from minidl.training import Checkpoints

CALLS = ["write", "fsync", "replace", "unlink"]
WRITES = 5  # four windows of data, and the head
EXPECTED = {  # the step restored after a death before and after each call, while step 3 is saved
    "write": ["2", "2"] * WRITES,
    "fsync": ["2", "2"],
    "replace": ["2", "3"],
    "unlink": ["3", "3"],
}


tensors.WINDOW = 2**18  # so that a save has several writes


class Numbers:
    """A part of a megabyte, in which every number is the step."""

    def __init__(self, step: int) -> None:
        self.array = np.full(2**18, step, np.float32)

    def state(self) -> dict[str, Any]:
        return {"array": self.array}

    def load_state(self, state: dict[str, Any]) -> None:
        self.array = state["array"]


def forked(work: Callable[[int], None]) -> tuple[int, int]:
    """Run ``work(pipe)`` in a child; return its number and the end of the pipe to read from."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.environ["MINIDL_NUM_THREADS"] = "2"  # the parent has no threads, as it forks
        try:
            work(writing)
        finally:
            os._exit(3)
    os.close(writing)
    return child, reading


def intact(folder: Path) -> int:
    """Restore the newest checkpoint, of which no damaged one may be passed over, and check its numbers."""
    numbers = Numbers(-1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        step = Checkpoints(folder, keep=2).restore(numbers=numbers) or 0
    assert step == 0 or (numbers.array == step).all()
    return step


def save_without_end(folder: Path, first: int, pipe: int) -> None:
    """Save step after step, and tell of each one that is complete."""
    checkpoints = Checkpoints(folder, keep=2)
    step = first
    while True:
        checkpoints.save(step, numbers=Numbers(step))
        os.write(pipe, step.to_bytes(8, "little"))
        step += 1


def moments(folder: Path, count: str) -> None:
    """Kill at random moments, again and again in one folder; print the step, and whether a half was left."""
    rng = random.Random(0)
    reached = 0
    for _ in range(int(count)):
        child, pipe = forked(lambda pipe, first=reached + 1: save_without_end(folder, first, pipe))
        os.read(pipe, 8)  # it is at work
        time.sleep(rng.uniform(0, 0.05))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        told = b""
        while piece := os.read(pipe, 65536):
            told += piece
        os.close(pipe)
        complete = int.from_bytes(told[-8:], "little") if told else reached + 1
        reached = intact(folder)
        assert reached >= complete
        print(reached, sum(path.name.endswith(".tmp") for path in folder.iterdir()))


def calls(folder: Path, name: str) -> None:
    """Die before and after a system call of the third save; print what is restored each time."""
    for number in range(WRITES if name == "write" else 1):
        for after in (False, True):
            place = folder / f"{number}-{after}"
            checkpoints = Checkpoints(place, keep=1)
            checkpoints.save(1, numbers=Numbers(1))
            checkpoints.save(2, numbers=Numbers(2))
            death = (checkpoints, name, number, after)
            child, _ = forked(lambda pipe, death=death: _third(*death))
            assert os.waitpid(child, 0)[1] == signal.SIGKILL
            print(intact(place))


class Dying:
    """A file whose writer dies in one of the writes, leaving half of it, or all."""

    def __init__(self, file: Any, number: int, after: bool) -> None:
        self.file, self.left, self.after = file, number, after
        self.seek = file.seek

    def write(self, content: Any) -> None:
        if self.left:
            self.left -= 1
            self.file.write(content)
        else:
            self.file.write(content if self.after else content[: len(content) // 2])
            self.file.flush()
            os.kill(os.getpid(), signal.SIGKILL)


def _third(checkpoints: Checkpoints, name: str, number: int, after: bool) -> None:
    """Save step 3 and die in the call of this name and number."""

    def deadly(*arguments: Any, **options: Any) -> None:
        if after:
            real(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def replacing(path: Any) -> Iterator[Any]:
        with real(path) as file:
            yield Dying(file, number, after)

    owner: Any = {"write": tensors, "unlink": Path}.get(name, os)
    name = "replacing" if name == "write" else name
    real = getattr(owner, name)
    setattr(owner, name, replacing if owner is tensors else deadly)
    checkpoints.save(3, numbers=Numbers(3))


if __name__ == "__main__":
    {"moments": moments, "calls": calls}[sys.argv[1]](Path(sys.argv[2]), sys.argv[3])
