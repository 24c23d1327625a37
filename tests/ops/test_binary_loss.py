"""Binary cross-entropy of logits and of probabilities, and the focal loss."""

import functools
import math

import pytest

from minidl import backend
from minidl.ops.activation import sigmoid
from minidl.ops.binary_loss import binary_cross_entropy, binary_cross_entropy_with_logits, focal_loss
from tests.either import np
from tests.numerics import assert_pullback

REDUCTIONS = ("mean", "sum", "none")
RNG = np.random.default_rng(0)
X, SOFT = RNG.normal(size=(5, 4)) * 3, RNG.random((5, 4))
HARD = (RNG.random((5, 4)) < 0.5).astype("float64")
WEIGHT = RNG.random(4) + 0.5
OPS = (binary_cross_entropy_with_logits, binary_cross_entropy, focal_loss)


def reported(losses, reduction):
    return {"none": losses, "sum": np.sum(losses), "mean": np.mean(losses)}[reduction]


def loop(x, t, single):
    """The loss of each logit, on Python floats."""
    return np.reshape(
        [single(float(a), float(b), i % 4) for i, (a, b) in enumerate(zip(x.flat, t.flat, strict=True))],
        x.shape,
    )


@pytest.mark.parametrize("target", [SOFT, HARD])
@pytest.mark.parametrize("weight", [1.0, 2.5, WEIGHT])
@pytest.mark.parametrize("reduction", REDUCTIONS)
class TestBinaryCrossEntropy:
    def test_equals_loops(self, target, weight, reduction):
        c = np.broadcast_to(weight, 4)

        def single(x, t, i):
            p = 1 / (1 + math.exp(-x))
            return -c[i] * t * math.log(p) - (1 - t) * math.log(1 - p)

        expected = reported(loop(X, target, single), reduction)
        asked = {"target": target, "pos_weight": weight, "reduction": reduction}
        np.testing.assert_allclose(binary_cross_entropy_with_logits(X, **asked)[0], expected, rtol=1e-11)
        np.testing.assert_allclose(binary_cross_entropy(sigmoid(X)[0], **asked)[0], expected, rtol=1e-11)

    def test_m12_the_gradient_is_of_what_is_reported(self, target, weight, reduction):
        asked = {"target": target, "pos_weight": weight, "reduction": reduction}
        assert_pullback(functools.partial(binary_cross_entropy_with_logits, **asked), X)
        assert_pullback(functools.partial(binary_cross_entropy, **asked), 0.1 + 0.8 * sigmoid(X)[0])

    def test_agrees_with_torch(self, target, weight, reduction, torch):
        y, pullback = binary_cross_entropy_with_logits(
            X, target=target, pos_weight=weight, reduction=reduction
        )
        leaf = torch.tensor(X, requires_grad=True)
        theirs = torch.nn.functional.binary_cross_entropy_with_logits(
            leaf, torch.tensor(target), pos_weight=torch.tensor(weight), reduction=reduction
        )
        dy = np.asarray(RNG.normal(size=y.shape))
        theirs.backward(torch.tensor(dy))
        np.testing.assert_allclose(y, theirs.detach(), rtol=1e-12)
        np.testing.assert_allclose(pullback(dy), leaf.grad, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_of_probabilities_agrees_with_torch(reduction, torch):
    p = sigmoid(X)[0]
    y, pullback = binary_cross_entropy(p, target=SOFT, reduction=reduction)
    leaf = torch.tensor(p, requires_grad=True)
    theirs = torch.nn.functional.binary_cross_entropy(leaf, torch.tensor(SOFT), reduction=reduction)
    dy = np.asarray(RNG.normal(size=y.shape))
    theirs.backward(torch.tensor(dy))
    np.testing.assert_allclose(y, theirs.detach(), rtol=1e-12)
    np.testing.assert_allclose(pullback(dy), leaf.grad, rtol=1e-9)


def test_the_fused_gradient_is_the_chain_of_sigmoid_and_probabilities():
    p, sigmoid_pullback = sigmoid(X)
    chain = sigmoid_pullback(binary_cross_entropy(p, target=SOFT)[1](np.asarray(0.7)))
    fused = binary_cross_entropy_with_logits(X, target=SOFT)[1](np.asarray(0.7))
    np.testing.assert_allclose(chain, fused, rtol=1e-10)


class TestFocalLoss:
    @pytest.mark.parametrize("target", [SOFT, HARD])
    @pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (None, 0.5), (0.9, 0.0), (None, 1.0)])
    @pytest.mark.parametrize("reduction", REDUCTIONS)
    def test_equals_loops_and_torch_and_has_its_gradient(self, target, alpha, gamma, reduction, torch):
        def single(x, t, _):
            p = 1 / (1 + math.exp(-x))
            h = -t * math.log(p) - (1 - t) * math.log(1 - p)
            a = 1 if alpha is None else alpha * t + (1 - alpha) * (1 - t)
            return a * (1 - (p * t + (1 - p) * (1 - t))) ** gamma * h

        asked = {"target": target, "alpha": alpha, "gamma": gamma, "reduction": reduction}
        y, pullback = focal_loss(X, **asked)
        np.testing.assert_allclose(y, reported(loop(X, target, single), reduction), rtol=1e-11)
        assert_pullback(functools.partial(focal_loss, **asked), X)
        assert pullback(y).shape == X.shape

    def test_agrees_with_the_formula_in_torch(self, torch):
        y, pullback = focal_loss(X, target=SOFT)
        leaf, t = torch.tensor(X, requires_grad=True), torch.tensor(SOFT)
        p = torch.sigmoid(leaf)
        h = torch.nn.functional.binary_cross_entropy_with_logits(leaf, t, reduction="none")
        theirs = ((0.25 * t + 0.75 * (1 - t)) * (1 - p * t - (1 - p) * (1 - t)) ** 2 * h).mean()
        theirs.backward()
        np.testing.assert_allclose(y, theirs.detach(), rtol=1e-12)
        np.testing.assert_allclose(pullback(np.ones_like(y)), leaf.grad, rtol=1e-9)

    def test_without_focus_is_the_binary_cross_entropy(self):
        y, pullback = focal_loss(X, target=SOFT, alpha=None, gamma=0)
        expected, its_pullback = binary_cross_entropy_with_logits(X, target=SOFT)
        np.testing.assert_allclose(y, expected, rtol=1e-14)
        np.testing.assert_allclose(pullback(y), its_pullback(y), rtol=1e-12)

    @pytest.mark.parametrize("gamma", [0, 0.3, 1, 2])
    def test_certain_answers_have_finite_gradients(self, gamma):
        x = np.array([[800.0, -800.0], [-800.0, 800.0]])
        y, pullback = focal_loss(
            x, target=np.array([[1.0, 0.0], [1.0, 0.0]]), alpha=None, gamma=gamma, reduction="none"
        )
        np.testing.assert_array_equal(y, [[0, 0], [800, 800]])
        np.testing.assert_array_equal(pullback(np.ones_like(y)), [[0, 0], [-1, 1]])

    @pytest.mark.parametrize("alpha", [-0.1, 1.1, math.nan])
    def test_alpha(self, alpha):
        with pytest.raises(ValueError, match=r"focal_loss: expected alpha in \[0, 1\] or None, got"):
            focal_loss(X, target=HARD, alpha=alpha)

    @pytest.mark.parametrize("gamma", [-1, math.nan])
    def test_gamma(self, gamma):
        with pytest.raises(ValueError, match="focal_loss: expected gamma >= 0, got"):
            focal_loss(X, target=HARD, gamma=gamma)


class TestExtremes:
    def test_m10_a_logit_of_800_costs_800(self):
        y, pullback = binary_cross_entropy_with_logits(
            np.array([800.0, -800.0, 800.0], dtype="float32"), target=np.array([0, 1, 1]), reduction="none"
        )
        np.testing.assert_array_equal(y, [800, 800, 0])
        np.testing.assert_array_equal(pullback(np.ones_like(y)), [1, -1, 0])

    def test_small_losses_and_gradients_keep_their_precision(self):
        x = np.array([-30.0, 30.0], dtype="float32")
        y, pullback = binary_cross_entropy_with_logits(x, target=np.array([0, 1]), reduction="sum")
        exact = math.exp(-30)
        np.testing.assert_allclose(y, 2 * exact, rtol=1e-6)
        np.testing.assert_allclose(pullback(np.ones((), "float32")), [exact, -exact], rtol=1e-6)

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_m10_probability_zero_is_infinite_without_a_warning(self, dtype):
        p = np.array([0, 1, 0, 1], dtype=dtype)
        y, pullback = binary_cross_entropy(p, target=np.array([1, 0, 0, 1]), reduction="none")
        np.testing.assert_array_equal(y, [math.inf, math.inf, 0, 0])
        np.testing.assert_array_equal(pullback(np.ones_like(y)), [-math.inf, math.inf, 1, -1])

    @pytest.mark.parametrize("op", OPS)
    def test_nan_passes(self, op):
        y, pullback = op(np.array([math.nan, 0.5]), target=np.ones(2), reduction="none")
        np.testing.assert_array_equal(np.isnan(y), [True, False])
        np.testing.assert_array_equal(np.isnan(pullback(np.ones(2))), [True, False])

    @pytest.mark.parametrize("op", OPS)
    @pytest.mark.parametrize("reduction", REDUCTIONS)
    def test_of_one_number(self, op, reduction):
        y, pullback = op(np.asarray(0.5), target=np.asarray(1.0), reduction=reduction)
        whole, its_pullback = op(np.array([0.5]), target=np.array([1.0]))
        assert type(y) is type(pullback(y)) is np.ndarray
        np.testing.assert_allclose(y, whole, rtol=1e-15)
        np.testing.assert_allclose(
            pullback(np.ones_like(y)), its_pullback(np.ones_like(whole))[0], rtol=1e-15
        )

    @pytest.mark.parametrize("op", OPS)
    def test_of_nothing(self, op):
        y, pullback = op(np.zeros((0, 4)), target=np.zeros((0, 4)))
        assert np.isnan(y)
        assert pullback(y).shape == (0, 4)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("op", OPS)
def test_m17_dtypes(op, reduction, dtype):
    weight = {} if op is focal_loss else {"pos_weight": WEIGHT}
    for target in (SOFT, HARD.astype(int), HARD.astype(bool)):
        y, pullback = op(sigmoid(X)[0].astype(dtype), target=target, reduction=reduction, **weight)
        assert type(y) is np.ndarray
        assert y.dtype == np.result_type(dtype, "float32")
        assert pullback(y).dtype == dtype


class TestBadInput:
    @pytest.mark.parametrize("bad", [-0.5, 1.5, math.inf])
    @pytest.mark.usefixtures("costly_checks")
    def test_no_probabilities(self, bad, monkeypatch):
        p = np.array([0.5, bad])
        with pytest.raises(
            ValueError, match=rf"expected probabilities in \[0, 1\], got {bad}; for logits use"
        ):
            binary_cross_entropy(p, target=np.ones(2))
        monkeypatch.setattr(backend, "name", "cupy")
        monkeypatch.setattr(backend, "DEBUG", False)
        y, pullback = binary_cross_entropy(p, target=np.ones(2), reduction="none")
        np.testing.assert_array_equal(np.isnan(y), [False, True])
        np.testing.assert_array_equal(np.isnan(pullback(np.ones(2))), [False, True])

    @pytest.mark.parametrize("op", OPS)
    def test_shapes_and_types(self, op):
        with pytest.raises(
            ValueError, match=rf"{op.__name__}: expected a target of shape \(5, 4\) like the prediction"
        ):
            op(X, target=HARD[:, :1])
        with pytest.raises(TypeError, match=f"{op.__name__}: expected an array, got list"):
            op([0.5], target=HARD)
        with pytest.raises(
            ValueError, match=f"{op.__name__}: expected a reduction of mean, sum, none, got 'avg'"
        ):
            op(X, target=HARD, reduction="avg")

    @pytest.mark.parametrize("op", OPS[:2])
    def test_positive_weight(self, op):
        with pytest.raises(
            ValueError, match=rf"{op.__name__}: pos_weight: expected shape \(4,\), got \(5,\)"
        ):
            op(SOFT, target=HARD, pos_weight=np.ones(5))
        with pytest.raises(
            TypeError, match=f"{op.__name__}: pos_weight: expected a number or an array, got list"
        ):
            op(SOFT, target=HARD, pos_weight=[1.0] * 4)
