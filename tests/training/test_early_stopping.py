"""Early stopping ends a training after so many reports without a new best, and goes back to the best."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import BatchNorm, Linear, Sequential, Tensor
from minidl.training import Checkpoints
from minidl.training.early_stopping import EarlyStopping
from tests.either import np


def stops_at(losses, **options) -> int | None:
    """The number of the report after which it says to stop."""
    stopping = EarlyStopping(**options)
    return next((n for n, loss in enumerate(losses, start=1) if stopping.report(loss)), None)


def test_it_stops_after_so_many_reports_without_a_new_best():
    losses = [5, 4, 4, 4, 3, 3, 3, 3, 1]
    assert [stops_at(losses, patience=p) for p in (1, 2, 3, 4)] == [3, 4, 8, None]


def test_the_largest_may_be_the_best():
    assert stops_at([0.1, 0.5, 0.4, 0.3], patience=2, mode="max") == 4
    assert stops_at([0.1, 0.5, 0.4, 0.3], patience=2) == 3


def test_too_small_a_gain_is_none():
    assert stops_at([1.0, 0.875, 0.75], patience=1, min_delta=0.125) == 2
    assert stops_at([1.0, 0.75, 0.5], patience=1, min_delta=0.125) is None
    assert stops_at([-1.0, -1.25, -1.5, -1.375], patience=1, min_delta=0.125) == 4


@given(st.lists(st.floats(allow_nan=True) | st.integers(-3, 3), max_size=20), st.integers(1, 4))
def test_it_is_what_a_naive_reader_finds(losses, patience):
    expected = None
    for n in range(1, len(losses) + 1):
        seen = [math.inf if math.isnan(x) else x for x in losses[:n]]
        best = min((i for i in range(n) if not math.isnan(losses[i])), key=seen.__getitem__, default=-1)
        if n - 1 - best >= patience:
            expected = n
            break
    assert stops_at(losses, patience=patience) == expected


def test_nan_is_never_better_not_even_the_first():
    assert stops_at([math.nan, math.nan, 1.0], patience=2) == 2
    stopping = EarlyStopping(patience=5)
    for loss in (math.nan, 2.0, math.nan, 3.0):
        stopping.report(loss)
    assert (stopping.best, stopping.best_report, stopping.bad_reports, stopping.stopped) == (2, 2, 2, False)


def test_the_best_weights_and_statistics_come_back():
    model = Sequential(Linear(2, 2, seed=0), BatchNorm(2))
    stopping = EarlyStopping(model, patience=2)
    states = []
    for loss in (2.0, 1.0, 1.5, 1.5):
        model.forward(np.random.default_rng(len(states)).normal(size=(8, 2)).astype("float32"))
        model[0].weight.data += 1
        states.append(model.state())
        stopping.report(Tensor(np.asarray(loss)))
    assert stopping.stopped
    stopping.restore()
    for name, value in model.state().items():
        np.testing.assert_array_equal(value, states[1][name])
    assert not np.array_equal(states[1]["1.running_mean"], states[3]["1.running_mean"])


def test_it_goes_on_from_a_checkpoint(tmp_path):
    first, second = Linear(2, 1, seed=0), Linear(2, 1, seed=1)
    stopping, other = (EarlyStopping(model, patience=2) for model in (first, second))
    checkpoints = Checkpoints(tmp_path)
    for fresh in (True, False):
        checkpoints.save(1, stopping=stopping)
        checkpoints.restore(stopping=other)
        assert other.best == stopping.best
        if fresh:
            stopping.report(1.0)
            best = first.state()
    first.weight.data += 1
    assert [other.report(2.0), other.report(2.0)] == [False, True]
    other.restore()
    for name, value in second.state().items():
        np.testing.assert_array_equal(value, best[name])


def test_its_state_is_a_copy():
    model = Linear(2, 1, seed=0)
    stopping = EarlyStopping(model, patience=1)
    stopping.report(1.0)
    before = model.state()
    stopping.state()["weights.weight"] += 1
    stopping.restore()
    np.testing.assert_array_equal(model.weight.data, before["weight"])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: EarlyStopping(patience=0), ValueError, "EarlyStopping: expected patience >= 1, got 0"),
        (lambda: EarlyStopping(patience=1.5), TypeError, "expected patience as an int, got float"),
        (lambda: EarlyStopping(patience=1, min_delta=-1), ValueError, "expected min_delta >= 0 and fin"),
        (lambda: EarlyStopping(patience=1, mode="low"), ValueError, "mode as 'min' or 'max', got 'low'"),
        (lambda: EarlyStopping(3, patience=1), TypeError, "expected a layer or None, got int"),
        (lambda: EarlyStopping(patience=1).report(np.ones(2)), ValueError, "expected value as one number"),
        (lambda: EarlyStopping(patience=1).restore(), RuntimeError, "there is no model to restore"),
        (lambda: EarlyStopping(Linear(1, 1), patience=1).restore(), RuntimeError, "no weights to restore"),
        (
            lambda: EarlyStopping(patience=1).load_state({"best": 1}),
            ValueError,
            "expected a state of bad_rep",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_weights_of_another_model_are_refused_and_nothing_changes():
    stopping, other = (EarlyStopping(Linear(n, 1), patience=1) for n in (2, 3))
    for each in (stopping, other):
        each.report(1.0)
    stopping.report(2.0)
    with pytest.raises(ValueError, match="with weights of the shapes of the model"):
        stopping.load_state(other.state())
    assert stopping.stopped
    assert not other.stopped
