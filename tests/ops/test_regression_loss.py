"""Losses of a difference: squared, absolute, Huber's and the smooth absolute one."""

import functools
import math

import pytest

from minidl.ops.regression_loss import huber_loss, l1_loss, mse_loss, smooth_l1_loss
from tests.either import np
from tests.numerics import assert_pullback

REDUCTIONS = ("mean", "sum", "none")
RNG = np.random.default_rng(0)
X, T = RNG.normal(size=(2, 4, 3)) * 2


def huber(d, delta):
    return d * d / 2 if abs(d) <= delta else delta * (abs(d) - delta / 2)


# operation, options, the loss of one difference, the name in torch
CASES = [
    (mse_loss, {}, lambda d: d * d, "mse_loss"),
    (l1_loss, {}, abs, "l1_loss"),
    (huber_loss, {}, lambda d: huber(d, 1), "huber_loss"),
    (huber_loss, {"delta": 0.3}, lambda d: huber(d, 0.3), "huber_loss"),
    (smooth_l1_loss, {}, lambda d: huber(d, 1), "smooth_l1_loss"),
    (smooth_l1_loss, {"beta": 0.3}, lambda d: huber(d, 0.3) / 0.3, "smooth_l1_loss"),
]
OPS = (mse_loss, l1_loss, huber_loss, smooth_l1_loss)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("op", "options", "single", "name"), CASES)
class TestEachLoss:
    def test_equals_loops(self, op, options, single, name, reduction):
        losses = [single(float(a - b)) for a, b in zip(X.ravel(), T.ravel(), strict=True)]
        expected = {"mean": sum(losses) / 12, "sum": sum(losses), "none": np.reshape(losses, (4, 3))}[
            reduction
        ]
        np.testing.assert_allclose(op(X, target=T, reduction=reduction, **options)[0], expected, rtol=1e-14)

    def test_m12_the_gradient_is_of_what_is_reported(self, op, options, single, name, reduction):
        assert_pullback(functools.partial(op, target=T, reduction=reduction, **options), X)

    def test_agrees_with_torch(self, op, options, single, name, reduction, torch):
        y, pullback = op(X, target=T, reduction=reduction, **options)
        leaf = torch.tensor(X, requires_grad=True)
        theirs = getattr(torch.nn.functional, name)(leaf, torch.tensor(T), reduction=reduction, **options)
        dy = np.asarray(RNG.normal(size=y.shape))
        theirs.backward(torch.tensor(dy))
        np.testing.assert_allclose(y, theirs.detach(), rtol=1e-14)
        np.testing.assert_allclose(pullback(dy), leaf.grad, rtol=1e-14)

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_m17_dtypes(self, op, options, single, name, reduction, dtype):
        for target in (T, np.ones((4, 3), dtype=int)):
            y, pullback = op(X.astype(dtype), target=target, reduction=reduction, **options)
            assert type(y) is np.ndarray
            assert y.dtype == np.result_type(dtype, "float32")
            assert pullback(y).dtype == dtype


@pytest.mark.parametrize("op", OPS)
class TestCorners:
    def test_of_nothing(self, op):
        y, pullback = op(np.zeros((0, 3)), target=np.zeros((0, 3)))
        assert np.isnan(y)
        assert pullback(y).shape == (0, 3)
        assert op(np.zeros((0, 3)), target=np.zeros((0, 3)), reduction="sum")[0] == 0

    @pytest.mark.parametrize("reduction", REDUCTIONS)
    def test_of_one_number(self, op, reduction):
        y, pullback = op(np.asarray(3.0), target=np.asarray(1.0), reduction=reduction)
        assert y.shape == pullback(y).shape == ()
        assert type(y) is type(pullback(y)) is np.ndarray

    def test_no_difference_has_no_gradient(self, op):
        y, pullback = op(X, target=X)
        assert y == 0
        np.testing.assert_array_equal(pullback(np.ones_like(y)), np.zeros_like(X))

    def test_nan_passes(self, op):
        y, _ = op(np.array([1.0, math.nan]), target=np.zeros(2), reduction="none")
        np.testing.assert_array_equal(np.isnan(y), [False, True])

    def test_half_precision_does_not_overflow(self, op):
        x = np.full((100, 10), 200, dtype="float16")
        assert np.isfinite(op(x, target=-x, reduction="sum")[0])

    @pytest.mark.parametrize("shape", [(3,), (4, 1), (1, 3), (3, 4)])
    def test_the_target_is_never_broadcast(self, op, shape):
        message = rf"{op.__name__}: expected a target of shape \(4, 3\) like the prediction, got"
        with pytest.raises(ValueError, match=message):
            op(np.zeros((4, 3)), target=np.zeros(shape))

    def test_bad_input(self, op):
        with pytest.raises(
            ValueError, match=f"{op.__name__}: expected a reduction of mean, sum, none, got 'avg'"
        ):
            op(X, target=T, reduction="avg")
        with pytest.raises(TypeError, match=f"{op.__name__}: expected an array, got list"):
            op([1.0], target=T)
        with pytest.raises(TypeError, match=f"{op.__name__}: expected the target as an array, got float"):
            op(X, target=1.0)
        with pytest.raises(TypeError, match=f"{op.__name__}: expected a floating-point array, got int64"):
            op(np.zeros(3, dtype=int), target=np.zeros(3))


@pytest.mark.parametrize("bad", [0, -1.0, math.nan])
def test_the_bend(bad):
    with pytest.raises(ValueError, match="huber_loss: expected delta > 0, got"):
        huber_loss(X, target=T, delta=bad)
    with pytest.raises(ValueError, match=r"smooth_l1_loss: expected beta > 0, got .* use l1_loss"):
        smooth_l1_loss(X, target=T, beta=bad)
