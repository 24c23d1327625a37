"""Batches travel to the GPU beside the work on the batch before; a device that takes notes plays the GPU."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minidl.data import DataLoader, _transfer, loader


class Log(list[str]):
    """What was asked of the device, in order; the host never waits, so there is no way to ask for that."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def stream(self, label: str) -> Any:
        def record() -> Any:
            event = SimpleNamespace(done=False, label=f"{label} {len(self.events)}")
            self.events.append(event)
            return event

        def wait_event(event: Any) -> None:
            self.append(f"{label} waits for {event.label}")

        return SimpleNamespace(record=record, wait_event=wait_event, label=label)


class Device(np.ndarray):
    """An array that a copy goes to."""

    log: Log

    def set(self, host: Any, stream: Any) -> None:
        self.log.append(f"{stream.label}: copy")
        self[...] = host


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    log = Log()
    compute = log.stream("compute")

    def empty(shape: Any, dtype: Any) -> Any:
        array = np.zeros(shape, dtype).view(Device)
        array.log = log
        return array

    cuda = SimpleNamespace(
        Stream=lambda non_blocking: log.stream("copies"),
        get_current_stream=lambda: compute,
        alloc_pinned_memory=bytearray,
        Device=lambda: SimpleNamespace(id=0),
    )
    monkeypatch.setattr(_transfer, "xp", SimpleNamespace(cuda=cuda, empty=empty, ndarray=np.ndarray))
    monkeypatch.setattr(_transfer, "name", "cupy")
    monkeypatch.setattr(loader, "name", "cupy")
    _transfer._sender_of.cache_clear()
    yield log
    _transfer._sender_of.cache_clear()


X = np.arange(6, dtype=np.float32)


def test_the_next_batch_is_on_its_way_before_one_is_handed_out(log: Log) -> None:
    batches = iter(DataLoader(X, batch_size=2))
    first = next(batches)
    assert first.tolist() == [0, 1]
    assert log == [
        "copies waits for compute 0",
        "copies: copy",
        "copies waits for compute 3",
        "copies: copy",
        "compute waits for copies 2",
    ]
    assert [batch.tolist() for batch in batches] == [[2, 3], [4, 5]]
    assert "compute waits for copies 8" in log


def test_the_place_in_the_data_is_that_of_what_was_handed_out(log: Log) -> None:
    batches = DataLoader(X, batch_size=2)
    next(iter(batches))
    assert batches.state()["position"] == 1


def test_a_stream_is_not_read_before_its_time(log: Log) -> None:
    read: list[int] = []

    def samples() -> Any:
        for i in range(6):
            read.append(i)
            yield X[i : i + 1]

    batches = iter(DataLoader(samples(), batch_size=2))
    assert next(batches).tolist() == [[0], [1]]
    assert read == [0, 1]


def test_what_follows_a_loop_that_was_left_waits_for_the_copy_that_nobody_took(log: Log) -> None:
    for _ in DataLoader(X, batch_size=2):
        break
    assert log[-1] == f"compute waits for copies {len(log.events) - 1}"
    assert len(log.events) > 6  # recorded after the copy


def test_pinned_memory_is_kept_until_it_was_read(log: Log) -> None:
    list(DataLoader(X, batch_size=2))
    sender = _transfer._sender()
    assert len(sender._read) == 3
    for event in log.events:
        event.done = True
    list(DataLoader(X, batch_size=6))
    assert len(sender._read) == 1


def test_labels_and_images_in_a_new_order_arrive_together(log: Log) -> None:
    whole = DataLoader((X, X.astype(np.int64)), batch_size=4, shuffle=True, seed=0)
    for x, y in whole:
        assert x.tolist() == y.tolist()
        assert (x.dtype, y.dtype) == (np.float32, np.int64)


def test_an_empty_batch_needs_no_copy(log: Log) -> None:
    assert _transfer.put(X[:0]).shape == (0,)
    assert log == []


def test_on_numpy_nothing_of_this_happens() -> None:
    if _transfer.name == "numpy":
        batches = iter([X])
        assert _transfer.ahead(batches, 1) is batches
        assert _transfer.put(X) is X
