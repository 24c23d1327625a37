"""Whatever a file holds: what was written, or a ValueError that names it; no crash, no hang, no waste."""

import os
import pickle
import random
import re
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl import files
from minidl.files import header
from minidl.training import Checkpoints
from tests.training import spoiling

PARSED = 40  # so many times its text may a header take as Python's objects
REST = 200_000  # bytes that reading takes whatever the size: buffers, the error


class Kept:
    """A part that shows what it was given."""

    def __init__(self, **state) -> None:
        self.given = state

    def state(self) -> dict:
        return self.given

    def load_state(self, state) -> None:
        self.given = state


def model() -> minidl.Sequential:
    return minidl.Sequential(
        minidl.Linear(3, 3, seed=1),
        minidl.BatchNorm(3, momentum=None),
        minidl.Dropout(seed=1),
        minidl.Linear(3, 2),
    )


def identical(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(
        np.asarray(a[name]).dtype == np.asarray(b[name]).dtype and np.array_equal(a[name], b[name])
        for name in b
    )


class Weights:
    """A file of weights, loaded into another model."""

    def __init__(self, folder: Path) -> None:
        self.path, self.source, self.target = folder / "w.safetensors", model(), model()
        for parameter in self.source.parameters():
            parameter.data = np.random.default_rng(0).standard_normal(parameter.shape)
        minidl.save_weights(self.source, self.path)
        self.content = self.path.read_bytes()
        self.blank = self.target.state()

    def load(self) -> None:
        minidl.load_weights(self.target, self.path)

    def is_loaded(self) -> bool:
        return identical(self.target.state(), self.source.state())

    def is_untouched(self) -> bool:
        return identical(self.target.state(), self.blank)

    def reset(self) -> None:
        self.target.load_state(self.blank)


class Checkpoint:
    """A checkpoint of arrays, empty and 0-d ones too, and plain values, loaded into a part that takes all."""

    def __init__(self, folder: Path) -> None:
        arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.zeros((0, 4), np.float16), "c": np.array(3)}
        self.source = arrays | {"d": np.array([True, False]), "words": ["x", "y"], "inf": float("inf")}
        minidl.seed(1)
        self.checkpoints = Checkpoints(folder)
        self.path = self.checkpoints.save(5, metric=0.5, part=Kept(**self.source))
        self.content = self.path.read_bytes()
        self.reset()

    def load(self) -> None:
        assert self.checkpoints.restore(self.path, part=self.target) == 5

    def is_loaded(self) -> bool:
        return identical(self.target.given, self.source)

    def is_untouched(self) -> bool:
        return self.target.given == {}

    def reset(self) -> None:
        self.target = Kept()


@pytest.fixture(params=[Weights, Checkpoint])
def subject(request, tmp_path) -> Weights | Checkpoint:
    return request.param(tmp_path)


@contextmanager
def bounded(content: bytes) -> Iterator[None]:
    """Watch the memory where it is traced: twice the data, and what becomes of a header that may be one."""
    if not tracemalloc.is_tracing():
        yield
        return
    claimed = int.from_bytes(content[:8], "little")
    header = claimed if claimed <= len(content) - 8 else 0
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    try:
        yield
    finally:
        peak = tracemalloc.get_traced_memory()[1] - before
        assert peak < 2 * (len(content) - header) + PARSED * header + REST


def try_to_load(subject, content: bytes) -> bool:
    """Tell whether a spoilt file loads, which it may only do with what was written, and what it takes."""
    subject.path.write_bytes(content)
    start = time.process_time()
    try:
        with bounded(content):
            subject.load()
    except ValueError as error:
        told = [str(error), *getattr(error, "__notes__", [])]
        assert any(str(subject.path) in text for text in told), told
        assert all(len(text) < 3000 for text in told)
        assert subject.is_untouched()
        return False
    finally:
        assert time.process_time() - start < 10, "a hang"
    assert subject.is_loaded()
    subject.reset()
    return True


@pytest.fixture
def traced() -> Iterator[None]:
    """Trace memory, which takes several times as long."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


def test_the_file_as_written_loads(subject) -> None:
    assert subject.is_untouched()
    assert not subject.is_loaded()
    assert try_to_load(subject, subject.content)


HOPELESS = (spoiling.cut, spoiling.lengthened, spoiling.length_changed, spoiling.duplicated, spoiling.foreign)


def fuzz(subject, numbers: range) -> None:
    for number in numbers:
        way = spoiling.WAYS[number % len(spoiling.WAYS)]
        content = way(subject.content, random.Random(number))
        try:
            loaded = try_to_load(subject, content)
        except BaseException as error:
            error.add_note(f"{way.__name__}, number {number}")
            raise
        assert not (loaded and way in HOPELESS), f"{way.__name__}, number {number}"


def test_hundreds_of_spoilt_files(subject, traced) -> None:
    fuzz(subject, range(300))


@pytest.mark.full
def test_ten_thousand_spoilt_files(subject, traced) -> None:
    fuzz(subject, range(300, 10_300))


def test_cut_at_every_length(subject) -> None:
    assert not any(try_to_load(subject, subject.content[:n]) for n in range(len(subject.content)))


def test_a_flipped_bit_in_every_byte(subject, full) -> None:
    rng = random.Random(0)
    for place in range(len(subject.content)):
        for bit in range(8) if full else [rng.randrange(8)]:
            content = bytearray(subject.content)
            content[place] ^= 1 << bit
            try:
                assert not try_to_load(subject, bytes(content)) or content[place : place + 1].isspace()
            except BaseException as error:
                error.add_note(f"bit {bit} of byte {place}")
                raise


def test_a_pickle_is_never_run(subject) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(subject.path) + ".sprung",)

    assert not try_to_load(subject, pickle.dumps(Trap()))
    assert not os.path.exists(str(subject.path) + ".sprung")


def test_a_folder_under_the_name_is_an_error(subject) -> None:
    subject.path.unlink()
    subject.path.mkdir()
    with pytest.raises(
        ValueError, match=re.escape(f"{subject.path}: expected a safetensors file, got a folder")
    ):
        subject.load()


@pytest.mark.parametrize("last", [None, 0])
def test_memory_stays_below_twice_the_file(tmp_path, traced, last) -> None:
    path = Checkpoints(tmp_path).save(1, part=Kept(a=np.ones(2_000_000), b=np.ones(10)))
    content = path.read_bytes() if last is None else path.read_bytes()[:-1] + bytes([last])
    path.write_bytes(content)
    with bounded(content), nullcontext() if last is None else pytest.raises(ValueError, match=r"'part\.b'"):
        Checkpoints(tmp_path).restore(path, part=Kept())


def test_saving_and_restoring_take_no_more_memory_than_the_parts_themselves(
    tmp_path, traced, monkeypatch
) -> None:
    monkeypatch.setattr(files.tensors, "WINDOW", 2**15)
    monkeypatch.setenv("MINIDL_NUM_THREADS", "1")  # a thread lets go of an array some milliseconds late
    net = minidl.Linear(500, 400)
    parts = {"optimizer": minidl.optim.Adam(net.parameters()), "model": net}
    net.forward(np.ones((1, 500), np.float32))
    net.backward(np.ones((1, 400), np.float32))
    parts["optimizer"].step()
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, **parts)  # the first one imports modules
    size = checkpoints.paths()[0].stat().st_size
    for use in (lambda: checkpoints.save(1, **parts), lambda: checkpoints.restore(**parts)):
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        use()
        assert tracemalloc.get_traced_memory()[1] - before < size + REST


def test_a_header_beyond_its_limit_is_neither_read_nor_written(tmp_path, monkeypatch) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(spoiling.joined(b" " * (header.MAX_HEADER + 1), b""))
    with pytest.raises(ValueError, match="truncated or of another format"):
        files.read_tensors(path)
    monkeypatch.setattr(header, "MAX_HEADER", 1000)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"w\.safetensors: expected a header of at most 1000 bytes, got \d+"):
        files.write_tensors(path, {str(n): np.zeros(1) for n in range(9)})
    assert path.read_bytes() == before
