"""A progress bar shows the loop on a terminal, and elsewhere counts in silence; it hides no exception."""

import io
import itertools
import os
import re
import sys

import pytest

from minidl.data import DataLoader
from minidl.training import progress as module
from minidl.training.progress import Progress
from tests.either import np


class Terminal(io.StringIO):
    """A text that says it is a terminal."""

    def isatty(self) -> bool:
        return True

    def last(self) -> str:
        return self.getvalue().split("\r")[-1].strip()


@pytest.fixture
def terminal() -> Terminal:
    pytest.importorskip("tqdm")
    return Terminal()


def test_it_hands_out_the_items_and_counts_them_in_silence(capsys):
    progress = Progress("abc")
    assert [(progress.count, item) for item in progress] == [(1, "a"), (2, "b"), (3, "c")]
    assert progress.count == len(progress) == 3
    assert capsys.readouterr() == ("", "")


def test_where_nothing_is_drawn_tqdm_is_not_needed(monkeypatch):
    monkeypatch.setattr(module, "_load_tqdm", None)
    assert list(Progress([1, 2], file=io.StringIO())) == [1, 2]


def test_without_tqdm_an_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ImportError, match=r'Progress: tqdm is not installed; pip install "minidl\[plots\]"'):
        Progress([1], visible=True)


def test_a_terminal_sees_the_share_the_loss_the_rate_and_the_time_left(terminal, monkeypatch):
    monkeypatch.setattr(module, "INTERVAL", 0)
    progress = Progress(range(4), description="epoch 1", file=terminal)
    for step in progress:
        progress.show(loss=np.asarray(0.123456 + step), lr=1e-3, phase="warm-up", seen=step)
        if step == 2:
            middle = terminal.last()
    assert re.match(
        r"epoch 1:  50%.*\| 2/4 \[\d\d:\d\d<\d\d:\d\d, +\S+ ?step/s, loss=1\.123, lr=0\.001", middle
    )
    assert re.search(r"100%.*\| 4/4 \[.*loss=3\.123, lr=0\.001, phase=warm-up, seen=3\]$", terminal.last())


def test_a_terminal_that_knows_no_width_sees_the_bar_too(terminal, monkeypatch):
    monkeypatch.setattr(terminal, "fileno", lambda: 2)
    monkeypatch.setattr(module.os, "get_terminal_size", lambda _: os.terminal_size((0, 0)))
    assert list(Progress("ab", file=terminal)) == ["a", "b"]
    assert "2/2" in terminal.last()
    assert len(terminal.last()) == 80


def test_without_a_length_there_is_no_time_left(terminal):
    progress = Progress(itertools.islice(itertools.count(), 3), file=terminal)
    for _ in progress:
        progress.show(loss=1.0)
    assert re.match(r"3step \[00:00, .*loss=1\]$", terminal.last())
    with pytest.raises(TypeError, match="has no length; pass total="):
        len(progress)


def test_a_loader_of_a_stream_has_no_length_either(terminal):
    stream = DataLoader(({"x": 1}["x"] for _ in range(4)), batch_size=2)
    assert len(list(Progress(stream, file=terminal))) == 2
    assert terminal.last().startswith("2step")


def test_a_total_may_be_named(terminal):
    assert len(list(Progress(iter(range(3)), total=3, file=terminal))) == 3
    assert terminal.last().startswith("100%")


def test_what_is_shown_is_read_only_when_it_is_drawn(terminal, monkeypatch):
    reads = []
    monkeypatch.setattr(module, "as_float", lambda value: reads.append(value) or 0.0)
    for file in (io.StringIO(), terminal):
        progress = Progress(range(1000), file=file)
        for _ in progress:
            progress.show(loss=np.asarray(1.0))
        assert len(reads) <= (0 if file is not terminal else 20)


@pytest.mark.parametrize("visible", [False, True])
def test_a_break_ends_the_bar_where_it_is(terminal, visible):
    progress = Progress(range(10), file=terminal, visible=visible)
    for item in progress:
        if item == 4:
            break
    assert progress.count == 5
    assert progress._bar is None
    assert ("5/10" in terminal.last()) == visible
    assert terminal.getvalue().endswith("\n") == visible


def test_an_exception_passes_through_and_the_bar_ends(terminal, monkeypatch):
    def failing(value):
        raise OSError("the device is gone")

    progress = Progress(range(10), file=terminal)

    def loop():
        for item in progress:
            progress.show(loss=np.asarray(1.0))
            monkeypatch.setattr(module, "as_float", failing)
            1 / (3 - item)

    with pytest.raises(ZeroDivisionError):
        loop()
    assert progress._bar is None
    assert "4/10" in terminal.last()


def test_an_exception_of_the_items_passes_through(terminal):
    def items():
        yield 1
        raise KeyError("lost")

    progress = Progress(items(), file=terminal)
    with pytest.raises(KeyError, match="lost"):
        list(progress)
    assert progress._bar is None


def test_the_items_are_taken_one_by_one_and_let_go():
    taken, closed = [], []

    def items():
        try:
            for item in range(5):
                taken.append(item)
                yield item
        finally:
            closed.append(True)

    for item in Progress(items()):
        assert taken == list(range(item + 1))
        if item == 2:
            break
    assert closed == [True]


def test_each_loop_counts_from_the_start(terminal):
    progress = Progress([1, 2], file=terminal)
    assert [list(progress), list(progress)] == [[1, 2]] * 2
    assert progress.count == 2


def test_a_line_stands_above_the_bar(terminal, capsys):
    for file, visible in ((terminal, True), (io.StringIO(), False)):
        progress = Progress([1], file=file, visible=visible)
        for _ in progress:
            progress.write("epoch 1: 97 %")
        assert capsys.readouterr().out == "epoch 1: 97 %\n"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Progress(5), TypeError, "Progress: expected something to loop over, got int"),
        (lambda: Progress([1], total=1.0), TypeError, "Progress: expected total as an int, got float"),
        (lambda: Progress([1]).show(loss=np.ones(3)), ValueError, "Progress: expected loss as one number"),
        (lambda: Progress([1]).show(loss=None), TypeError, "Progress: expected loss as a number, got NoneT"),
    ],
)
def test_what_cannot_be_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
