"""Precision, recall and F1 are those of scikit-learn, over batches of any size, and so is their table."""

import math
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import backend
from minidl.training.confusion import AVERAGES, F1, ConfusionMatrix, Precision, Recall
from tests.either import np, on_host
from tests.training.test_metrics import ON_NUMPY, over_batches, sklearn

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(80, 4))
LABELS = RNG.integers(0, 4, 80)

NAMES = {Precision: "precision_score", Recall: "recall_score", F1: "f1_score"}
CLASSES = st.integers(2, 5)


@st.composite
def tables(draw):
    """Labels and predictions of few rows, so that classes are missing among the ones or the others."""
    classes = draw(CLASSES)
    rows = draw(st.lists(st.tuples(*[st.integers(0, classes - 1)] * 2), min_size=1, max_size=12))
    labels, predicted = np.array(rows).T
    return classes, labels, predicted, draw(st.lists(st.integers(0, len(rows)), max_size=3).map(sorted))


@given(tables())
def test_the_table_equals_that_of_scikit_learn(table):
    metrics = sklearn()
    classes, labels, predicted, cuts = table
    found = over_batches(ConfusionMatrix(classes), cuts, predicted, labels)
    assert found.dtype == "int64"
    np.testing.assert_array_equal(found, metrics.confusion_matrix(labels, predicted, labels=range(classes)))


@pytest.mark.parametrize("metric", NAMES)
@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
@given(tables())
def test_averages_equal_those_of_scikit_learn(metric, average, table):
    metrics = sklearn()
    classes, labels, predicted, cuts = table
    expected = getattr(metrics, NAMES[metric])(labels, predicted, average=average, zero_division=0)
    found = over_batches(metric(classes, average=average), cuts, predicted, labels)
    assert found == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("metric", NAMES)
@given(tables())
def test_classes_one_by_one_equal_those_of_scikit_learn(metric, table):
    metrics = sklearn()
    classes, labels, predicted, cuts = table
    expected = getattr(metrics, NAMES[metric])(
        labels, predicted, average=None, labels=range(classes), zero_division=0
    )
    found = over_batches(metric(classes, average="none"), cuts, predicted, labels)
    seen = {*on_host(labels).tolist(), *on_host(predicted).tolist()}
    for of_class, (mine, theirs) in enumerate(zip(found, on_host(expected), strict=True)):
        if of_class in seen:
            assert mine == pytest.approx(theirs, abs=1e-14)
        else:
            assert math.isnan(mine)


@pytest.mark.parametrize("metric", NAMES)
def test_binary_is_that_of_the_second_class(metric):
    metrics = sklearn()
    labels = LABELS % 2
    expected = getattr(metrics, NAMES[metric])(labels, SCORES[:, 0] > 0)
    found = over_batches(metric(2, average="binary"), [11], SCORES[:, 0] > 0, labels)
    assert found == pytest.approx(expected, abs=1e-15)


def test_scores_are_taken_by_the_largest():
    predicted = over_batches(ConfusionMatrix(4), [9], SCORES.argmax(-1), LABELS)
    np.testing.assert_array_equal(over_batches(ConfusionMatrix(4), [9, 70], SCORES, LABELS), predicted)


def test_ignored_and_masked_rows_count_for_nothing():
    labels, mask = np.where(np.arange(80) % 5, LABELS, 255), np.arange(80) % 3 != 0
    kept = mask & (labels != 255)
    expected = over_batches(ConfusionMatrix(4), [], SCORES[kept], LABELS[kept])
    found = over_batches(ConfusionMatrix(4, ignore_index=255), [31], SCORES, labels, mask=mask)
    np.testing.assert_array_equal(found, expected)


def test_predictions_may_be_anything_where_rows_are_ignored():
    labels, predicted = np.array([0, 1, -1, -1]), np.array([0, 0, 77, -5])
    found = over_batches(ConfusionMatrix(2, ignore_index=-1), [], predicted, labels)
    assert found.tolist() == [[1, 0], [1, 0]]


def test_a_row_with_a_nan_is_in_no_column_with_a_warning_and_is_a_miss():
    scores = np.eye(3)
    scores[1, 2] = math.nan
    matrix = ConfusionMatrix(3)
    matrix.update(scores, np.arange(3))
    with pytest.warns(UserWarning, match=r"ConfusionMatrix\(3\): 1 rows have a NaN among their scores"):
        assert matrix.compute().tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert over_batches(Recall(3, average="none"), [], scores, np.arange(3)) == [1, 0, 1]
    assert over_batches(Recall(3, average="micro"), [], scores, np.arange(3)) == 2 / 3
    assert over_batches(Precision(3, average="micro"), [], scores, np.arange(3)) == 1


@pytest.mark.parametrize("metric", NAMES)
@pytest.mark.parametrize("average", AVERAGES)
def test_of_nothing_is_nan(metric, average):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = metric(2, average=average).compute()
    assert all(map(math.isnan, found if average == "none" else [found]))


def test_the_matrix_of_nothing_is_zero():
    assert ConfusionMatrix(2).compute().tolist() == [[0, 0], [0, 0]]


def test_a_matrix_goes_on_from_its_state():
    first, second = ConfusionMatrix(4), ConfusionMatrix(4)
    first.update(SCORES, LABELS)
    state = first.state()
    second.load_state(state)
    first.update(SCORES, LABELS)
    second.update(SCORES, LABELS)
    np.testing.assert_array_equal(first.compute(), second.compute())
    assert state["counts"].sum() == 80
    with pytest.raises(ValueError, match=r"ConfusionMatrix\(3\): expected the state of such a metric"):
        ConfusionMatrix(3).load_state(state)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ConfusionMatrix(1), ValueError, "ConfusionMatrix: expected classes >= 2, got 1; yes or no"),
        (lambda: ConfusionMatrix(2.0), TypeError, "ConfusionMatrix: expected classes as an int, got float"),
        (
            lambda: Recall(3, average="mean"),
            ValueError,
            "Recall: expected an average of macro, micro, .*'mean'",
        ),
        (lambda: F1(3, average="binary"), ValueError, r"F1\(3\): expected two classes for average='binary'"),
        (
            lambda: ConfusionMatrix(3).update(SCORES, LABELS),
            ValueError,
            r"ConfusionMatrix\(3\): expected scores \(..., 3\) and labels .* got float64 \(80, 4\) and int64",
        ),
        (lambda: Precision(2).update(SCORES[:, 0], LABELS), ValueError, "predicted classes .* as whole num"),
    ],
)
def test_what_does_not_fit_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@ON_NUMPY
def test_labels_and_predictions_that_are_no_class_are_refused():
    with pytest.raises(ValueError, match=r"ConfusionMatrix\(3\): expected labels from 0 to 2, got 3"):
        ConfusionMatrix(3).update(LABELS, LABELS)
    with pytest.raises(ValueError, match=r"\(3\): prediction: expected labels from 0 to 2, got 3"):
        ConfusionMatrix(3).update(LABELS, LABELS * 0)


def test_where_nobody_looks_compute_says_that_some_predictions_were_no_class(monkeypatch):
    matrix = ConfusionMatrix(3)
    monkeypatch.setattr(backend, "name", "cupy")
    matrix.update(np.array([0, 7, 2, 1]), np.array([0, 1, -2, 1]))
    with pytest.raises(ValueError, match="in the range of the classes, got 2 outside of it"):
        matrix.compute()
