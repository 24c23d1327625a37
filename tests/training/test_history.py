"""A history holds what was recorded, and what it makes of an epoch, and survives in files."""

import csv
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import Tensor
from minidl.training import Checkpoints
from minidl.training import history as module
from minidl.training.history import History
from tests.either import np

LOSSES = [3.0, 2.5, 1.0, 0.25, 0.125]


def filled() -> History:
    history = History()
    for step, loss in enumerate(LOSSES[:3], start=1):
        history.record(step, loss=np.asarray(loss, "float32"), lr=0.5)
    history.end_epoch(accuracy=0.75)
    for step, loss in enumerate(LOSSES[3:], start=4):
        history.record(step, loss=np.asarray(loss, "float32"))
    history.end_epoch(accuracy=math.nan)
    return history


def test_it_holds_what_was_recorded_in_order():
    history = filled()
    assert history.names == ["loss", "lr", "accuracy"]
    assert history["loss"] == LOSSES
    assert history["lr"] == [0.5] * 3
    assert history.steps("loss") == [1, 2, 3, 4, 5]
    assert history.steps("accuracy") == [3, 5]
    assert "lr" in history
    assert "moment" not in history
    assert repr(history) == "History(loss: 5, lr: 3, accuracy: 2)"


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.sampled_from("hd")), max_size=50), st.integers(1, 7))
def test_numbers_of_the_host_and_of_the_device_keep_their_order(numbers, chunk):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", chunk)
        history = History()
        for step, (number, place) in enumerate(numbers):
            history.record(step, x=number if place == "h" else np.asarray(number))
            if step == 20:
                assert history["x"] == [number for number, _ in numbers[:21]]
        assert not numbers or history["x"] == [number for number, _ in numbers]


def test_a_number_that_is_written_to_later_was_copied():
    history, loss = History(), np.asarray(1.0)
    history.record(1, loss=loss)
    loss += 1
    assert history["loss"] == [1.0]
    history["loss"].append(2.0)
    history.steps("loss").append(2)
    assert history["loss"] == [1.0]
    assert history.steps("loss") == [1]


def test_means_are_those_of_the_epoch():
    first, second = filled().epochs
    assert first == {"epoch": 1, "step": 3, "loss": 6.5 / 3, "lr": 0.5, "accuracy": 0.75}
    assert second == pytest.approx(
        {"epoch": 2, "step": 5, "loss": 0.1875, "accuracy": math.nan}, nan_ok=True, rel=1e-15
    )


def test_means_weigh_the_batches():
    history = History()
    history.record(1, count=64, loss=3.0)
    history.record(2, count=32, loss=0.0)
    assert history.end_epoch()["loss"] == 2.0
    history.record(3, count=0, loss=1.0)
    assert math.isnan(history.end_epoch()["loss"])


def test_a_batch_of_no_rows_counts_nothing():
    history = History()
    history.record(1, loss=math.nan, count=0)
    history.record(2, loss=3.0, count=2)
    assert history.end_epoch()["loss"] == 3.0


def test_a_row_of_the_epochs_is_the_callers_own():
    history = History()
    history.record(1, loss=1.0)
    history.end_epoch()["loss"] = 7.0
    assert history.epochs == [{"epoch": 1, "step": 1, "loss": 1.0}]


def test_it_takes_tensors_and_counts_of_numpy():
    history = History()
    history.record(np.int64(1), loss=Tensor(np.asarray(2.0), requires_grad=True), hits=np.int32(3))
    assert history.to_dict() == {
        "series": {"loss": {"steps": [1], "values": [2.0]}, "hits": {"steps": [1], "values": [3.0]}},
        "epochs": [],
    }


def test_a_csv_file_has_a_row_for_each_step(tmp_path):
    filled().to_csv(tmp_path / "run.csv")
    with (tmp_path / "run.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["step", "loss", "lr", "accuracy"]
    assert rows[2:4] == [["2", "2.5", "0.5", ""], ["3", "1.0", "0.5", "0.75"]]
    assert rows[5] == ["5", "0.125", "", "nan"]
    assert len(rows) == 6


def test_a_json_file_is_json_even_of_nan(tmp_path):
    history = filled()
    history.record(6, loss=math.inf)
    history.to_json(tmp_path / "run.json")

    def refuse(constant):
        raise AssertionError(constant)

    read = json.loads((tmp_path / "run.json").read_text(), parse_constant=refuse)
    assert read["series"]["loss"] == {"steps": [1, 2, 3, 4, 5, 6], "values": [*LOSSES, None]}
    assert read["epochs"][1]["accuracy"] is None


def test_a_history_goes_on_from_a_checkpoint(tmp_path):
    history, other = filled(), History()
    Checkpoints(tmp_path).save(5, history=history)
    other.record(1, else_where=1.0)
    Checkpoints(tmp_path).restore(history=other)
    for each in (history, other):
        each.record(6, count=3, loss=1.0)
        each.end_epoch()
    np.testing.assert_equal(other.to_dict(), history.to_dict())


def test_an_empty_history_can_be_saved_and_written(tmp_path):
    Checkpoints(tmp_path).save(0, history=History())
    Checkpoints(tmp_path).restore(history=History())
    History().to_csv(tmp_path / "empty.csv")
    assert (tmp_path / "empty.csv").read_text() == "step\n"


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda h: h.record(5, loss=1.0), ValueError, "expected steps that grow, got step 5 of loss after 5"),
        (lambda h: h.record(4, new=1.0, loss=1.0), ValueError, "expected steps that grow"),
        (lambda h: h.record(1.5, loss=1.0), TypeError, "History: expected step as an int, got float"),
        (lambda h: h.record(9, loss="1"), TypeError, "History: expected loss as a number, got str"),
        (lambda h: h.record(9, loss=None), TypeError, "History: expected loss as a number, got NoneType"),
        (
            lambda h: h.record(9, new=1.0, loss=np.ones(3)),
            ValueError,
            r"History: expected loss as one number, got an array of shape \(3,\); take its mean",
        ),
        (lambda h: h.record(9, count=-1, loss=1.0), ValueError, "count as a number of at least 0, got -1"),
        (lambda h: h.record(9, epoch=3), ValueError, "expected names other than epoch and step, got 'epoch'"),
        (lambda h: h.end_epoch(), RuntimeError, "History: end_epoch without a step"),
        (lambda h: History().end_epoch(x=1.0), RuntimeError, "History: end_epoch without a step"),
        (lambda h: h["los"], KeyError, "'los' was not recorded; there are loss, lr, accuracy"),
        (lambda h: History().steps("loss"), KeyError, "there are no names yet"),
        (lambda h: h.load_state({}), ValueError, "History: expected the state of a History, got"),
        (
            lambda h: h.load_state(h.state() | {"loss.values": np.ones(2)}),
            ValueError,
            "expected a number for each step, got other lengths for loss",
        ),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(wrong, error, message):
    history = filled()
    with pytest.raises(error, match=message):
        wrong(history)
    np.testing.assert_equal(history.to_dict(), filled().to_dict())
