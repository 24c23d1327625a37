"""Metrics over batches are those of all rows at once, and those of scikit-learn."""

import math
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import Tensor, backend
from minidl.training import Checkpoints
from minidl.training.metrics import R2, Accuracy, Mean, Metric, TopK
from tests.either import Namespace, np, on_host

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(100, 5)).astype("float32")
LABELS = RNG.integers(0, 5, 100)
Y = RNG.normal(size=(60, 3)) * np.array([1, 10, 0.1]) + np.array([0, 100, 5])
T = Y + RNG.normal(size=(60, 3)) * np.array([0.5, 3, 0.2])

CUTS = st.lists(st.integers(0, 60), max_size=6).map(sorted)


ON_NUMPY = pytest.mark.skipif(backend.name != "numpy", reason="on CuPy nobody looks before compute()")


def sklearn() -> Namespace:
    """The oracle, which takes arrays of either backend."""
    return Namespace(pytest.importorskip("sklearn.metrics"))


def over_batches(metric: Metric, cuts, *arrays, **named):
    """The metric after updates with the batches between the cuts; some of them may be empty."""
    for begin, end in zip([0, *cuts], [*cuts, len(arrays[0])], strict=True):
        metric.update(*(a[begin:end] for a in arrays), **{name: a[begin:end] for name, a in named.items()})
    return metric.compute()


class TestAccuracy:
    @given(CUTS)
    def test_is_that_of_one_batch_exactly(self, cuts):
        assert over_batches(Accuracy(), cuts, SCORES, LABELS) == minidl.accuracy(SCORES, LABELS)

    def test_equals_scikit_learn(self):
        metrics = sklearn()
        expected = metrics.accuracy_score(LABELS, SCORES.argmax(axis=1))
        assert over_batches(Accuracy(), [30, 31], SCORES, LABELS) == expected

    def test_takes_predicted_classes_and_answers(self):
        assert over_batches(Accuracy(), [7], SCORES.argmax(-1), LABELS) == minidl.accuracy(SCORES, LABELS)
        logits, yes = np.array([0.3, -0.2, 0.9, -4.0]), np.array([1, 1, 1, 0])
        assert over_batches(Accuracy(), [1], logits > 0, yes) == 0.75
        assert over_batches(Accuracy(), [1], logits > 0, yes.astype(bool)) == 0.75

    def test_counts_every_position(self):
        labels = LABELS.reshape(5, 4, 5)
        assert over_batches(Accuracy(), [2], SCORES.reshape(5, 4, 5, 5), labels) == minidl.accuracy(
            SCORES, LABELS
        )

    @pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64"])
    def test_leaves_out_what_is_ignored_or_masked(self, dtype):
        ignored = np.where(np.arange(100) % 3, LABELS, 99).astype(dtype)
        mask = np.arange(100) % 7 != 0
        kept = mask & (ignored != 99)
        expected = minidl.accuracy(SCORES[kept], LABELS[kept])
        assert over_batches(Accuracy(ignore_index=99), [50], SCORES, ignored, mask=mask) == expected

    def test_takes_any_labels_where_the_mask_is_false(self):
        labels = np.where(np.arange(100) < 40, LABELS, -100)
        mask = np.arange(100) < 40
        assert over_batches(Accuracy(), [10], SCORES, labels, mask=mask) == minidl.accuracy(
            SCORES[:40], LABELS[:40]
        )
        assert over_batches(Accuracy(-100), [10], SCORES, labels) == minidl.accuracy(SCORES[:40], LABELS[:40])

    def test_a_row_with_a_nan_is_wrong(self):
        scores = np.eye(3)
        scores[1, 0] = math.nan
        assert over_batches(Accuracy(), [], scores, np.arange(3)) == 2 / 3
        assert over_batches(TopK(3), [], scores, np.arange(3)) == 2 / 3

    def test_of_nothing_is_nan(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert math.isnan(Accuracy().compute())
            assert math.isnan(over_batches(Accuracy(), [], SCORES[:0], LABELS[:0]))
            assert math.isnan(over_batches(Accuracy(3), [], SCORES[:4], np.full(4, 3)))

    def test_takes_tensors(self):
        assert over_batches(Accuracy(), [], Tensor(SCORES, requires_grad=True), LABELS) == minidl.accuracy(
            SCORES, LABELS
        )

    def test_begins_anew_after_a_reset(self):
        metric = Accuracy()
        over_batches(metric, [3], SCORES, LABELS)
        metric.reset()
        assert over_batches(metric, [], np.eye(2), np.array([0, 0])) == 0.5


class TestTopK:
    @pytest.mark.parametrize("k", [1, 2, 3, 5])
    def test_equals_scikit_learn(self, k):
        metrics = sklearn()
        expected = metrics.top_k_accuracy_score(LABELS, SCORES, k=k, labels=range(5)) if k < 5 else 1
        assert over_batches(TopK(k), [1, 50], SCORES, LABELS) == pytest.approx(expected, abs=1e-15)

    @given(st.integers(0, 2**32))
    def test_of_one_is_the_accuracy_with_ties_too(self, seed):
        rng = np.random.default_rng(seed)
        scores, labels = rng.integers(0, 3, (40, 4)).astype("float32"), rng.integers(0, 4, 40)
        assert over_batches(TopK(1), [9], scores, labels) == minidl.accuracy(scores, labels)

    def test_gives_ties_to_the_first(self):
        found = [over_batches(TopK(2), [], np.zeros((1, 4)), np.array([label])) for label in range(4)]
        assert found == [1, 1, 0, 0]

    def test_leaves_out_what_is_ignored(self):
        labels = np.where(np.arange(100) % 3, LABELS, -1)
        expected = over_batches(TopK(2), [], SCORES[labels >= 0], LABELS[labels >= 0])
        assert over_batches(TopK(2, ignore_index=-1), [20], SCORES, labels) == expected


class TestMean:
    @given(CUTS)
    def test_weighs_batches_by_their_size(self, cuts):
        metric = Mean()
        for begin, end in zip([0, *cuts], [*cuts, 60], strict=True):
            if end > begin:
                metric.update(np.asarray(T[begin:end, 0].mean()), count=end - begin)
        assert metric.compute() == pytest.approx(float(T[:, 0].mean()), rel=1e-12)

    def test_sums_in_double_precision(self):
        metric = Mean()
        for _ in range(1000):
            metric.update(np.asarray(0.1, "float16"))
        assert metric.compute() == pytest.approx(float(np.float16(0.1)), rel=1e-12)

    def test_takes_numbers_and_tensors(self):
        metric = Mean()
        metric.update(1)
        metric.update(np.float32(2))
        metric.update(Tensor(np.asarray(6.0)))
        assert metric.compute() == 3
        assert math.isnan(Mean().compute())


class TestR2:
    @given(CUTS)
    def test_equals_scikit_learn_over_any_batches(self, cuts):
        metrics = sklearn()
        found = over_batches(R2(average="none"), cuts, Y, T)
        expected = on_host(metrics.r2_score(T, Y, multioutput="raw_values")).tolist()
        assert found == pytest.approx(expected, rel=1e-12)
        assert over_batches(R2(), cuts, Y, T) == pytest.approx(metrics.r2_score(T, Y), rel=1e-12)
        one = over_batches(R2(), cuts, Y[:, 0], T[:, 0])
        assert one == pytest.approx(metrics.r2_score(T[:, 0], Y[:, 0]), rel=1e-12)

    def test_keeps_its_digits_far_from_zero(self):
        metrics = sklearn()
        y, t = Y[:, 0] + 1e9, T[:, 0] + 1e9
        assert over_batches(R2(), [7, 20], y, t) == pytest.approx(metrics.r2_score(t, y), rel=1e-7)

    def test_takes_the_outputs_of_every_position(self):
        found = over_batches(R2(average="none"), [3], Y.reshape(10, 6, 3), T.reshape(10, 6, 3))
        assert found == pytest.approx(over_batches(R2(average="none"), [], Y, T), rel=1e-12)

    def test_leaves_out_what_is_masked(self):
        mask = np.arange(60) % 4 != 0
        y, t = np.where(mask[:, None], Y, math.nan), np.where(mask[:, None], T, math.inf)
        expected = over_batches(R2(), [], Y[mask], T[mask])
        assert over_batches(R2(), [1, 30], y, t, mask=mask) == pytest.approx(expected, rel=1e-12)

    def test_of_a_constant_target_and_of_fewer_than_two_rows(self):
        ones = np.ones(4)
        assert over_batches(R2(), [2], ones, ones) == 1
        assert over_batches(R2(), [2], ones * 2, ones) == 0
        assert math.isnan(over_batches(R2(), [], ones[:1], ones[:1]))
        assert math.isnan(R2().compute())


@pytest.mark.parametrize(
    ("update", "error", "message"),
    [
        (
            lambda: Accuracy().update(SCORES, LABELS[:9]),
            ValueError,
            r"Accuracy\(\): expected scores \(..., K\) and labels \(...\), or .* got float32 \(100, 5\) and",
        ),
        (lambda: Accuracy().update(SCORES, np.eye(5)[LABELS]), ValueError, "one-hot labels. use labels.arg"),
        (lambda: Accuracy().update(SCORES, LABELS * 1.0), TypeError, "expected integer labels, got float64"),
        (lambda: Accuracy().update(SCORES[:, 0], LABELS), ValueError, "expected scores"),
        (lambda: Accuracy().update(SCORES[:, :0], LABELS), ValueError, "at least one class, got"),
        (lambda: Accuracy().update(SCORES.tolist(), LABELS), TypeError, "expected the prediction as an arr"),
        (lambda: Accuracy().update(SCORES, LABELS.tolist()), TypeError, "expected the labels as an array"),
        (
            lambda: Accuracy().update(SCORES, LABELS, mask=np.ones(100)),
            ValueError,
            r"expected a mask of booleans \(100,\), got float64 \(100,\)",
        ),
        (lambda: Accuracy(ignore_index=1.5), TypeError, "Accuracy: expected ignore_index as an int or None"),
        (lambda: TopK(0), ValueError, "TopK: expected k >= 1, got 0"),
        (lambda: TopK(2.0), TypeError, "TopK: expected k as an int, got float"),
        (lambda: TopK(6).update(SCORES, LABELS), ValueError, r"TopK\(6\): expected scores of at least 6 cl"),
        (lambda: TopK(1).update(LABELS, LABELS), ValueError, r"at least 1 classes, got classes"),
        (lambda: Mean().update(SCORES), ValueError, r"Mean: expected value as one number, got an array of"),
        (lambda: Mean().update("1"), TypeError, "Mean: expected value as a number, got str"),
        (lambda: Mean().update(np.asarray(1j)), TypeError, "Mean: expected value as a real number, got comp"),
        (lambda: Mean().update(1.0, count=-1), ValueError, "count as a number of at least 0, got -1"),
        (lambda: R2().update(Y, T[:, 0]), ValueError, r"R2: expected a prediction and a target of one shape"),
        (lambda: R2().update(1.0, T[:, 0]), TypeError, "R2: expected the prediction as an array"),
        (lambda: over_batches(R2(), [], Y, T, mask=np.ones((60, 3), bool)), ValueError, "expected a mask of"),
        (lambda: R2(average="mean"), ValueError, "R2: expected average as 'uniform' or 'none', got 'mean'"),
    ],
)
def test_what_does_not_fit_is_refused(update, error, message):
    with pytest.raises(error, match=message):
        update()


def test_a_mean_of_no_rows_counts_nothing():
    mean = Mean()
    mean.update(math.nan, count=0)
    assert math.isnan(mean.compute())
    mean.update(3.0, count=2)
    assert mean.compute() == 3.0


@pytest.mark.parametrize("metric", [Accuracy(), TopK(1)], ids=str)
@pytest.mark.parametrize("shape", [(4,), (4, 1)], ids=str)
def test_scores_of_yes_or_no_are_told_from_one_hot_labels(metric, shape):
    yes = np.zeros(shape, "float32")
    with pytest.raises(ValueError, match=r"one score for yes or no\? use prediction > 0"):
        metric.update(yes, np.zeros(shape, "int64"))


def test_r2_refuses_another_number_of_outputs_than_before():
    metric = R2()
    metric.update(Y, T)
    before = metric.compute()
    with pytest.raises(ValueError, match=r"of one shape \(N,\) or \(..., \(3,\)\), got \(60, 1\) and"):
        metric.update(Y[:, :1], T[:, :1])
    assert metric.compute() == before


def test_where_nobody_looks_at_labels_compute_says_that_some_were_no_class(monkeypatch):
    metric = Accuracy()
    monkeypatch.setattr(backend, "name", "cupy")
    metric.update(SCORES, np.where(np.arange(100) < 3, 5, LABELS))
    with pytest.raises(ValueError, match=r"Accuracy\(\): expected labels .* of the classes, got 3 outside"):
        metric.compute()


@pytest.mark.parametrize("make", [Accuracy, lambda: TopK(2), Mean, R2])
def test_a_metric_goes_on_from_a_checkpoint(make, tmp_path):
    batches = [(SCORES, LABELS)] * 2
    if make is Mean:
        batches = [(1.5, 2), (7.0, 3)]
    if make is R2:
        batches = [(Y[:20], T[:20]), (Y[20:], T[20:])]
    straight, first, second = make(), make(), make()
    for batch in batches:
        straight.update(*batch)
    first.update(*batches[0])
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, metric=None, test=first)
    first.update(*batches[1])
    checkpoints.restore(test=second)
    second.update(*batches[1])
    assert second.compute() == first.compute() == straight.compute()


def test_a_state_of_something_else_is_refused():
    metric = Accuracy()
    metric.update(SCORES, LABELS)
    before = metric.compute()
    for state in (Mean().state(), {**metric.state(), "hits": np.zeros(2)} | {"more": np.zeros(())}):
        with pytest.raises(
            ValueError, match=r"Accuracy\(\): expected the state of such a metric, sums named"
        ):
            metric.load_state(state)
    assert metric.compute() == before
    metric.state()["hits"] += 1
    assert metric.compute() == before


@ON_NUMPY
@pytest.mark.parametrize(
    ("shift", "message"),
    [(1, "expected labels from 0 to 4, got 5"), (-1, "got -1; labels to leave out are marked")],
)
def test_a_label_that_is_no_class_is_refused_and_changes_nothing(shift, message):
    metric = Accuracy()
    metric.update(SCORES, LABELS)
    before = metric.compute()
    with pytest.raises(ValueError, match=message):
        metric.update(SCORES, LABELS + shift)
    assert metric.compute() == before
