"""Cross-entropy from logits, probabilities and their logarithms, and the KL divergence."""

import functools
import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import backend
from minidl.ops.loss import cross_entropy, cross_entropy_probabilities, kl_div, nll_loss
from minidl.ops.softmax import log_softmax, softmax
from tests.either import np
from tests.numerics import assert_pullback

REDUCTIONS = ("mean", "sum", "none")
BOTH = (cross_entropy, cross_entropy_probabilities)


def loop_cross_entropy(logits, target, weight=None, ignore_index=None, smoothing=0.0, reduction="mean"):
    """The definition, row by row and class by class, on Python floats."""
    k = logits.shape[-1]
    w = np.ones(k) if weight is None else weight
    losses, divisor = [], 0.0
    for row, wanted in zip(logits.tolist(), target.tolist(), strict=True):
        if ignore_index is not None and wanted == ignore_index:
            losses.append(0.0)
            continue
        log_sum = max(row) + math.log(sum(math.exp(v - max(row)) for v in row))
        q = wanted if isinstance(wanted, list) else [float(j == wanted) for j in range(k)]
        q = [(1 - smoothing) * v + smoothing / k for v in q]
        losses.append(sum(w[j] * q[j] * (log_sum - row[j]) for j in range(k)))
        divisor += 1.0 if isinstance(wanted, list) else w[wanted]
    total = sum(losses)
    return {"none": losses, "sum": total, "mean": total / divisor if divisor else math.nan}[reduction]


def drawn(n=6, k=4, seed=0):
    """Logits, labels, a distribution for each row, and class weights."""
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(n, k)) * 3,
        rng.integers(0, k, n),
        rng.dirichlet(np.ones(k), n),
        rng.random(k) + 0.1,
    )


def _options():
    """Every combination of what a cross-entropy can be asked for."""
    for soft, weighted, ignored, smoothing, reduction in itertools.product(
        (False, True), (False, True), (None, 2, -100), (0.0, 0.1, 1.0), REDUCTIONS
    ):
        if not (soft and ignored):
            yield soft, weighted, ignored, smoothing, reduction


OPTIONS = list(_options())


def case(soft, weighted, ignored, smoothing, reduction):
    logits, labels, distribution, weight = drawn()
    if ignored is not None:
        labels[1:3] = ignored
    return logits, {
        "target": distribution if soft else labels,
        "weight": weight if weighted else None,
        "ignore_index": ignored,
        "label_smoothing": smoothing,
        "reduction": reduction,
    }


class TestCrossEntropy:
    @pytest.mark.parametrize("choice", OPTIONS)
    def test_equals_loops(self, choice):
        logits, asked = case(*choice)
        expected = loop_cross_entropy(logits, *asked.values())
        np.testing.assert_allclose(cross_entropy(logits, **asked)[0], expected, rtol=1e-12)
        found = cross_entropy_probabilities(softmax(logits)[0], **asked)[0]
        np.testing.assert_allclose(found, expected, rtol=1e-12)

    @pytest.mark.parametrize("choice", OPTIONS)
    def test_m12_the_gradient_is_of_what_is_reported(self, choice):
        logits, asked = case(*choice)
        assert_pullback(functools.partial(cross_entropy, **asked), logits)
        inner = 0.8 * softmax(logits)[0] + 0.1
        assert_pullback(functools.partial(cross_entropy_probabilities, **asked), inner)

    @pytest.mark.parametrize("choice", OPTIONS)
    def test_agrees_with_torch(self, choice, torch):
        logits, asked = case(*choice)
        y, pullback = cross_entropy(logits, **asked)
        leaf = torch.tensor(logits, requires_grad=True)
        ours = {
            k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in asked.items() if v is not None
        }
        theirs = torch.nn.functional.cross_entropy(leaf, **ours)
        dy = np.asarray(np.random.default_rng(1).normal(size=y.shape))
        theirs.backward(torch.tensor(dy))
        np.testing.assert_allclose(y, theirs.detach(), rtol=1e-12)
        np.testing.assert_allclose(pullback(dy), leaf.grad, atol=1e-14)

    def test_the_fused_gradient_is_the_chain_of_softmax_and_probabilities(self):
        logits, labels, _, weight = drawn()
        p, softmax_pullback = softmax(logits)
        _, pullback = cross_entropy_probabilities(p, target=labels, weight=weight)
        fused = cross_entropy(logits, target=labels, weight=weight)[1](np.asarray(0.7))
        np.testing.assert_allclose(softmax_pullback(pullback(np.asarray(0.7))), fused, atol=1e-14)

    @given(st.floats(-1e3, 1e3))
    def test_does_not_see_a_shift_of_the_logits(self, shift):
        logits, labels, _, _ = drawn()
        np.testing.assert_allclose(
            cross_entropy(logits + shift, target=labels)[0],
            cross_entropy(logits, target=labels)[0],
            rtol=1e-9,
        )

    @pytest.mark.parametrize("op", BOTH)
    def test_labels_one_hot_rows_and_integer_one_hot_rows_are_the_same(self, op):
        _, labels, p, _ = drawn()
        one_hot = labels[:, None] == np.arange(4)
        expected, pullback = op(p, target=labels)
        for same in (one_hot, one_hot.astype("int64"), one_hot.astype("float64")):
            y, other = op(p, target=same)
            np.testing.assert_allclose(y, expected, rtol=1e-15)
            np.testing.assert_allclose(other(y), pullback(y), rtol=1e-14)

    @pytest.mark.parametrize("op", BOTH)
    def test_any_number_of_leading_axes(self, op):
        rng = np.random.default_rng(0)
        p, labels = rng.dirichlet(np.ones(4), (2, 3, 5)), rng.integers(0, 4, (2, 3, 5))
        y, pullback = op(p, target=labels, reduction="none")
        assert y.shape == (2, 3, 5)
        flat, flat_pullback = op(p.reshape(30, 4), target=labels.ravel(), reduction="none")
        np.testing.assert_array_equal(y.ravel(), flat)
        np.testing.assert_array_equal(pullback(y).reshape(30, 4), flat_pullback(flat))
        one, _ = op(p[0, 0, 0], target=labels[0, 0, 0:1].reshape(()), reduction="none")
        np.testing.assert_array_equal(one, y[0, 0, 0])

    def test_with_weights_the_mean_divides_by_their_sum(self):
        logits, labels, distribution, weight = drawn()
        losses = cross_entropy(logits, target=labels, weight=weight, reduction="none")[0]
        mean = cross_entropy(logits, target=labels, weight=weight)[0]
        np.testing.assert_allclose(mean, losses.sum() / weight[labels].sum())
        losses = cross_entropy(logits, target=distribution, weight=weight, reduction="none")[0]
        np.testing.assert_allclose(
            cross_entropy(logits, target=distribution, weight=weight)[0], losses.mean()
        )


class TestExtremes:
    def test_a_gap_of_800_costs_800(self):
        logits = np.array([[800.0, 0.0]], dtype="float32")
        y, pullback = cross_entropy(logits, target=np.array([1]))
        assert y == 800
        np.testing.assert_array_equal(pullback(np.ones_like(y)), [[1, -1]])
        y, pullback = cross_entropy(logits, target=np.array([[0.0, 1.0]]))
        assert y == 800
        np.testing.assert_array_equal(pullback(np.ones_like(y)), [[1, -1]])

    def test_m10_no_eps_a_perfect_answer_costs_nothing_and_a_wrong_one_has_its_whole_gradient(self):
        y, pullback = cross_entropy(np.array([[60.0, 0.0]]), target=np.array([0]))
        assert y == 0
        assert str(cross_entropy_probabilities(np.array([[1.0, 0.0]]), target=np.array([0]))[0]) == "0.0"
        for gap in (14.0, 20.0, 30.0):
            logits = np.array([[gap, 0.0]])
            y, pullback = cross_entropy(logits, target=np.array([1]))
            np.testing.assert_allclose(y, gap + math.log1p(math.exp(-gap)))
            np.testing.assert_allclose(pullback(np.ones_like(y))[0, 1], -1 / (1 + math.exp(-gap)))
            p, softmax_pullback = softmax(logits)
            y, pullback = cross_entropy_probabilities(p, target=np.array([1]))
            np.testing.assert_allclose(
                softmax_pullback(pullback(np.ones_like(y)))[0, 1], -1 / (1 + math.exp(-gap))
            )

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_m10_probability_zero_at_the_label_is_infinite_without_a_warning(self, dtype):
        p = np.array([[0, 1], [0.5, 0.5]], dtype=dtype)
        for target in (np.array([0, 0]), np.array([[1.0, 0.0], [1.0, 0.0]])):
            y, pullback = cross_entropy_probabilities(p, target=target)
            assert y == math.inf
            np.testing.assert_array_equal(pullback(np.ones_like(y)), np.array([[-math.inf, 0], [-1, 0]]))

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_the_smallest_probabilities_do_not_warn(self, dtype):
        least = np.nextafter(np.zeros((1, 2), dtype), np.ones((1, 2), dtype))
        y, pullback = cross_entropy_probabilities(least, target=np.array([0]))
        np.testing.assert_allclose(y, -math.log(float(least[0, 0])), rtol=1e-6)
        np.testing.assert_array_equal(pullback(np.ones_like(y)), [[-math.inf, 0]])

    @pytest.mark.parametrize("bad", [-0.5, 3.0, math.inf])
    @pytest.mark.parametrize("target", [np.array([1, 0]), np.array([[0.0, 1.0], [1.0, 0.0]])])
    @pytest.mark.usefixtures("costly_checks")
    def test_what_is_no_probability_is_refused(self, bad, target, monkeypatch):
        p = np.array([[bad, 0.5], [0.5, 0.5]])
        with pytest.raises(
            ValueError, match=rf"cross_entropy_probabilities: .* in \[0, 1\], got {bad}; for logits use"
        ):
            cross_entropy_probabilities(p, target=target)
        monkeypatch.setattr(backend, "name", "cupy")
        monkeypatch.setattr(backend, "DEBUG", False)
        y, pullback = cross_entropy_probabilities(p, target=target, reduction="none")
        np.testing.assert_array_equal(np.isnan(y), [True, False])
        np.testing.assert_array_equal(np.isnan(pullback(np.ones(2))).all(axis=1), [True, False])

    def test_minus_infinity_is_probability_zero(self):
        logits = np.array([[-math.inf, 0.0]])
        for target in (np.array([1]), np.array([[0.0, 1.0]])):
            y, pullback = cross_entropy(logits, target=target)
            assert y == 0
            np.testing.assert_array_equal(pullback(np.ones_like(y)), [[0, 0]])
        assert cross_entropy(logits, target=np.array([0]))[0] == math.inf

    @pytest.mark.filterwarnings("ignore:invalid value")
    def test_a_row_of_minus_infinity_and_a_nan_give_nan_in_their_rows(self):
        logits = np.array([[-math.inf, -math.inf], [math.nan, 0], [0, 0]])
        y, pullback = cross_entropy(logits, target=np.array([0, 0, 0]), reduction="none")
        np.testing.assert_allclose(y, [math.nan, math.nan, math.log(2)])
        np.testing.assert_array_equal(
            np.isnan(pullback(np.ones(3))), [[True, True], [True, True], [False, False]]
        )

    @pytest.mark.filterwarnings("ignore:invalid value")
    @pytest.mark.parametrize("smoothing", [0.0, 0.1])
    @pytest.mark.parametrize("op", BOTH)
    def test_what_an_ignored_row_holds_does_not_matter(self, op, smoothing):
        rows, labels = np.array([[math.nan, 0.5], [math.inf, 0.2], [0.25, 0.75]]), np.array([-1, -1, 1])
        y, pullback = op(rows, target=labels, ignore_index=-1, label_smoothing=smoothing)
        alone, its_pullback = op(rows[2:], target=labels[2:], label_smoothing=smoothing)
        np.testing.assert_array_equal(y, alone)
        expected = np.concatenate([np.zeros((2, 2)), its_pullback(np.ones_like(y))])
        np.testing.assert_array_equal(pullback(np.ones_like(y)), expected)

    @pytest.mark.parametrize("smoothing", [0.0, 0.1])
    @pytest.mark.parametrize("op", BOTH)
    def test_all_ignored_gives_nan_and_no_gradient(self, op, smoothing):
        p = np.full((3, 4), 0.25)
        asked = {"target": np.full(3, -100), "ignore_index": -100, "label_smoothing": smoothing}
        y, pullback = op(p, **asked)
        assert np.isnan(y)
        np.testing.assert_array_equal(pullback(np.ones_like(y)), np.zeros((3, 4)))
        assert op(p, **asked, reduction="sum")[0] == 0
        np.testing.assert_array_equal(op(p, **asked, reduction="none")[0], np.zeros(3))

    @pytest.mark.parametrize("op", BOTH)
    @pytest.mark.parametrize("soft", [False, True])
    def test_no_samples(self, op, soft):
        target = np.zeros((0, 3)) if soft else np.zeros(0, dtype=int)
        for reduction, expected in (("mean", math.nan), ("sum", 0.0), ("none", np.zeros(0))):
            y, pullback = op(np.zeros((0, 3)), target=target, reduction=reduction)
            np.testing.assert_array_equal(y, expected)
            assert pullback(y).shape == (0, 3)

    @pytest.mark.parametrize("op", BOTH)
    def test_one_class_is_certain(self, op):
        y, pullback = op(np.ones((3, 1)), target=np.zeros(3, dtype=int))
        assert y == 0
        assert pullback(np.ones_like(y)).shape == (3, 1)


class TestLabels:
    @pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "uint64"])
    @pytest.mark.parametrize("op", BOTH)
    def test_m11_narrow_labels_address_more_rows_than_they_can_count(self, op, dtype):
        p, labels, _, _ = drawn(n=300, k=5)
        p = softmax(p)[0]
        y, pullback = op(p, target=labels.astype(dtype), ignore_index=-100)
        expected, its_pullback = op(p, target=labels)
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(pullback(y), its_pullback(y))

    @pytest.mark.parametrize("op", BOTH)
    def test_m23_a_batch_of_one_class_is_a_batch(self, op):
        y, _ = op(np.full((8, 4), 0.25), target=np.full(8, 2))
        assert np.isfinite(y)

    @pytest.mark.parametrize("op", BOTH)
    @pytest.mark.parametrize("bad", [-1, 4, 200])
    @pytest.mark.usefixtures("costly_checks")
    def test_out_of_range(self, op, bad):
        with pytest.raises(
            ValueError, match=rf"{op.__name__}: expected labels from 0 to 3, got {bad}; .*ignore_index"
        ):
            op(np.full((3, 4), 0.25), target=np.array([0, bad, 3]))

    @pytest.mark.usefixtures("costly_checks")
    def test_of_64_bits_without_a_sign(self):
        labels, rows = np.array([0, 2**64 - 1, 1], np.uint64), np.full((3, 4), 0.25)
        with pytest.raises(ValueError, match=f"expected labels from 0 to 3, got {2**64 - 1}"):
            cross_entropy(rows, target=labels)
        with pytest.raises(ValueError, match=f"expected labels from 0 to 3, got {2**64 - 1}"):
            cross_entropy(rows, target=labels, ignore_index=-1)
        assert cross_entropy(rows, target=labels, ignore_index=2**64 - 1)[0] == math.log(4)

    @pytest.mark.parametrize("op", BOTH)
    @pytest.mark.parametrize("smoothing", [0.0, 0.1])
    def test_out_of_range_on_the_gpu_makes_the_loss_and_its_row_nan(self, op, smoothing, monkeypatch):
        monkeypatch.setattr(backend, "name", "cupy")
        monkeypatch.setattr(backend, "CORES", False)
        monkeypatch.setattr(backend, "DEBUG", False)
        p, labels = np.full((3, 4), 0.25), np.array([0, 7, 3])
        y, pullback = op(p, target=labels, label_smoothing=smoothing)
        assert np.isnan(y)
        np.testing.assert_array_equal(np.isnan(pullback(np.ones_like(y))).any(axis=1), [False, True, False])
        monkeypatch.setattr(backend, "DEBUG", True)
        with pytest.raises(ValueError, match="expected labels from 0 to 3, got 7"):
            op(p, target=labels)

    @pytest.mark.parametrize("op", BOTH)
    def test_floats_are_not_labels(self, op):
        with pytest.raises(
            TypeError, match=rf"{op.__name__}: expected integer labels, got float64; use labels.astype"
        ):
            op(np.zeros((3, 4)), target=np.zeros(3))

    @pytest.mark.parametrize("op", BOTH)
    @pytest.mark.parametrize("shape", [(2,), (3, 1), (4, 3), (1, 3)])
    def test_of_the_wrong_length(self, op, shape):
        with pytest.raises(
            ValueError, match=r"expected labels of shape \(3,\) or a distribution of shape \(3, 4\), got"
        ):
            op(np.zeros((3, 4)), target=np.zeros(shape, dtype=int))


class TestPrecision:
    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    @pytest.mark.parametrize("choice", OPTIONS)
    def test_m17_a_loss_is_at_least_single_and_a_gradient_like_its_argument(self, dtype, choice):
        logits, asked = case(*choice)
        for op, x in ((cross_entropy, logits), (cross_entropy_probabilities, softmax(logits)[0])):
            y, pullback = op(x.astype(dtype), **asked)
            assert type(y) is np.ndarray
            assert y.dtype == np.result_type(dtype, "float32")
            assert pullback(y).dtype == dtype

    def test_half_precision_sums_do_not_overflow(self):
        logits = np.tile(np.array([60_000, -60_000], dtype="float16"), (100, 1))
        assert cross_entropy(logits, target=np.ones(100, dtype=int), reduction="sum")[0] == np.float32(
            100 * 120_000
        )


class TestNegativeLogLikelihood:
    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize("ignored", [None, 2, -100])
    @pytest.mark.parametrize("reduction", REDUCTIONS)
    def test_after_a_log_softmax_is_the_cross_entropy(self, weighted, ignored, reduction):
        logits, asked = case(False, weighted, ignored, 0.0, reduction)
        del asked["label_smoothing"]
        x, log_softmax_pullback = log_softmax(logits)
        y, pullback = nll_loss(x, **asked)
        expected, fused = cross_entropy(logits, **asked)
        np.testing.assert_allclose(y, expected, rtol=1e-12)
        dy = np.asarray(np.random.default_rng(1).normal(size=y.shape))
        np.testing.assert_allclose(log_softmax_pullback(pullback(dy)), fused(dy), atol=1e-14)
        assert_pullback(functools.partial(nll_loss, **asked), x)

    @pytest.mark.parametrize("reduction", REDUCTIONS)
    def test_agrees_with_torch(self, reduction, torch):
        x, labels, _, weight = drawn()
        y, pullback = nll_loss(x, target=labels, weight=weight, ignore_index=1, reduction=reduction)
        leaf = torch.tensor(x, requires_grad=True)
        theirs = torch.nn.functional.nll_loss(
            leaf, torch.tensor(labels), torch.tensor(weight), ignore_index=1, reduction=reduction
        )
        dy = np.asarray(np.random.default_rng(1).normal(size=y.shape))
        theirs.backward(torch.tensor(dy))
        np.testing.assert_allclose(y, theirs.detach(), rtol=1e-12)
        np.testing.assert_allclose(pullback(dy), leaf.grad, rtol=1e-12)

    def test_takes_distributions_and_any_leading_axes(self):
        x, _, distribution, _ = drawn()
        found, _ = nll_loss(x.reshape(2, 3, 4), target=distribution.reshape(2, 3, 4), reduction="none")
        np.testing.assert_allclose(found.ravel(), -(x * distribution).sum(axis=-1), rtol=1e-12)

    def test_infinity_counts_only_where_it_is_asked_for(self):
        x = np.array([[-math.inf, 0.0]])
        y, pullback = nll_loss(x, target=np.array([1]))
        assert y == 0
        np.testing.assert_array_equal(pullback(np.ones_like(y)), [[0, -1]])
        assert nll_loss(x, target=np.array([0]))[0] == math.inf

    def test_all_ignored_gives_nan_and_no_gradient(self):
        y, pullback = nll_loss(np.zeros((2, 3)), target=np.full(2, -1), ignore_index=-1)
        assert np.isnan(y)
        np.testing.assert_array_equal(pullback(np.ones_like(y)), np.zeros((2, 3)))


class TestKullbackLeibler:
    @pytest.mark.parametrize("log_target", [False, True])
    @pytest.mark.parametrize("reduction", REDUCTIONS)
    def test_equals_loops_over_rows(self, log_target, reduction):
        _, _, t, _ = drawn()
        x = np.log(drawn(seed=1)[2])
        rows = [
            sum(b * (math.log(b) - a) for a, b in zip(*pair, strict=True)) for pair in zip(x, t, strict=True)
        ]
        expected = {"none": rows, "sum": sum(rows), "mean": sum(rows) / 6}[reduction]
        asked = {"target": np.log(t) if log_target else t, "log_target": log_target, "reduction": reduction}
        np.testing.assert_allclose(kl_div(x, **asked)[0], expected, rtol=1e-12)
        assert_pullback(functools.partial(kl_div, **asked), x)

    @pytest.mark.parametrize("log_target", [False, True])
    def test_the_mean_is_what_torch_calls_batchmean(self, log_target, torch):
        _, _, t, _ = drawn()
        x, t = np.log(drawn(seed=1)[2]), np.log(t) if log_target else t
        y, pullback = kl_div(x, target=t, log_target=log_target)
        leaf = torch.tensor(x, requires_grad=True)
        theirs = torch.nn.functional.kl_div(
            leaf, torch.tensor(t), reduction="batchmean", log_target=log_target
        )
        theirs.backward()
        np.testing.assert_allclose(y, theirs.detach(), rtol=1e-12)
        np.testing.assert_allclose(pullback(np.ones_like(y)), leaf.grad, rtol=1e-12)

    def test_is_the_cross_entropy_less_the_entropy_of_the_target(self):
        logits, _, t, _ = drawn()
        entropy = -(t * np.log(t)).sum(axis=-1).mean()
        found = kl_div(log_softmax(logits)[0], target=t)[0]
        np.testing.assert_allclose(found, cross_entropy(logits, target=t)[0] - entropy, rtol=1e-10)

    def test_of_a_distribution_and_itself_is_nothing(self):
        p = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
        x = np.array([[math.log(0.5), math.log(0.5), -math.inf], [0.0, -math.inf, -math.inf]])
        for asked in ({"target": p}, {"target": x, "log_target": True}):
            y, pullback = kl_div(x, **asked)
            np.testing.assert_allclose(y, 0, atol=1e-16)
            np.testing.assert_allclose(pullback(np.ones_like(y)), -p / 2)

    def test_what_the_prediction_excludes_costs_infinity(self):
        assert kl_div(np.array([[-math.inf, 0.0]]), target=np.array([[0.5, 0.5]]))[0] == math.inf

    def test_needs_classes(self):
        with pytest.raises(
            ValueError, match=r"kl_div: expected log-probabilities \(..., classes\), got shape \(\)"
        ):
            kl_div(np.asarray(0.0), target=np.asarray(1.0))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("op", [nll_loss, kl_div])
def test_m17_losses_of_log_probabilities(op, dtype):
    _, _, t, _ = drawn()
    for reduction in REDUCTIONS:
        y, pullback = op(np.log(t).astype(dtype), target=t, reduction=reduction)
        assert type(y) is np.ndarray
        assert y.dtype == np.result_type(dtype, "float32")
        assert pullback(y).dtype == dtype


class TestBadInput:
    @pytest.mark.parametrize("op", BOTH)
    def test_reduction(self, op):
        with pytest.raises(
            ValueError, match=f"{op.__name__}: expected a reduction of mean, sum, none, got 'average'"
        ):
            op(np.zeros((3, 4)), target=np.zeros((3, 4)), reduction="average")

    @pytest.mark.parametrize("op", BOTH)
    def test_types(self, op):
        with pytest.raises(TypeError, match=f"{op.__name__}: expected an array, got list; .* minidl.asarray"):
            op([[1.0, 2.0]], target=np.array([1]))
        with pytest.raises(TypeError, match=f"{op.__name__}: expected the target as an array, got list"):
            op(np.zeros((1, 2)), target=[1])
        with pytest.raises(TypeError, match=f"{op.__name__}: expected a floating-point array, got int64"):
            op(np.zeros((1, 2), dtype=int), target=np.array([1]))

    @pytest.mark.parametrize("op", BOTH)
    def test_scores_without_classes(self, op):
        for x in (np.asarray(1.0), np.zeros((3, 0))):
            with pytest.raises(ValueError, match=r"expected scores \(..., classes\), got"):
                op(x, target=np.zeros(x.shape[:-1], dtype=int))

    @pytest.mark.parametrize("op", BOTH)
    def test_weight(self, op):
        x, labels = np.zeros((3, 4)), np.zeros(3, dtype=int)
        with pytest.raises(TypeError, match="weight: expected an array, got list"):
            op(x, target=labels, weight=[1.0] * 4)
        with pytest.raises(TypeError, match="weight: expected a floating-point array"):
            op(x, target=labels, weight=np.ones(4, dtype=int))
        with pytest.raises(ValueError, match=r"weight: expected shape \(4,\), got \(3,\)"):
            op(x, target=labels, weight=np.ones(3))

    @pytest.mark.parametrize("op", BOTH)
    @pytest.mark.parametrize("smoothing", [-0.1, 1.1, math.nan])
    def test_label_smoothing(self, op, smoothing):
        with pytest.raises(ValueError, match=r"expected label_smoothing in \[0, 1\], got"):
            op(np.zeros((3, 4)), target=np.zeros(3, dtype=int), label_smoothing=smoothing)

    @pytest.mark.parametrize("op", BOTH)
    def test_a_distribution_has_nothing_to_ignore(self, op):
        with pytest.raises(
            ValueError, match=r"ignore_index is for labels, got a distribution of shape \(3, 4\)"
        ):
            op(np.zeros((3, 4)), target=np.zeros((3, 4)), ignore_index=0)
