"""The functional norms: arrays in, array out; Tensors in, Tensor out with its gradients."""

import pytest

from minidl import functional as F
from minidl import ops
from minidl.tensor import Tensor
from tests.either import np

RNG = np.random.default_rng(0)
X, W, B, DY = (
    RNG.normal(2, 3, size=(6, 4, 3)),
    RNG.normal(size=3),
    RNG.normal(size=3),
    RNG.normal(size=(6, 4, 3)),
)


def gradients(f, *arrays):
    """The gradients that reach the leaves of ``f``."""
    leaves = [Tensor(a, requires_grad=True) for a in arrays]
    f(*leaves).backward(DY)
    return [leaf.grad for leaf in leaves]


def test_batch_norm_of_the_batch():
    (y, _, _), pullback = ops.batch_norm(X, W, B, eps=1e-3)
    np.testing.assert_array_equal(F.batch_norm(X, W, B, eps=1e-3), y)
    for found, expected in zip(
        gradients(lambda *a: F.batch_norm(*a, eps=1e-3), X, W, B), pullback(DY), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_batch_norm_by_given_statistics():
    mean, var = RNG.normal(size=3), RNG.random(3)
    y, pullback = ops.batch_norm_inference(X, W, B, mean=mean, var=var)
    np.testing.assert_array_equal(F.batch_norm(X, W, B, mean, var), y)
    for found, expected in zip(
        gradients(lambda *a: F.batch_norm(*a, mean, var), X, W, B), pullback(DY), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("given", [{"mean": np.zeros(3)}, {"var": np.ones(3)}])
def test_half_of_the_statistics(given):
    with pytest.raises(ValueError, match="batch_norm: expected both mean and var, or neither"):
        F.batch_norm(X, **given)


def test_layer_norm():
    y, pullback = ops.layer_norm(X, W, B, normalized_shape=(3,))
    np.testing.assert_array_equal(F.layer_norm(X, W, B), y)
    for found, expected in zip(gradients(F.layer_norm, X, W, B), pullback(DY), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_layer_norm_takes_its_axes_from_the_weight_or_the_last_one():
    weight = RNG.normal(size=(4, 3))
    expected = ops.layer_norm(X, weight, normalized_shape=(4, 3))[0]
    np.testing.assert_array_equal(F.layer_norm(X, weight), expected)
    np.testing.assert_array_equal(F.layer_norm(X), ops.layer_norm(X, normalized_shape=(3,))[0])
    np.testing.assert_array_equal(
        F.layer_norm(X, normalized_shape=(4, 3)), ops.layer_norm(X, normalized_shape=(4, 3))[0]
    )


def test_an_input_that_needs_no_gradient_gets_none():
    x, w = Tensor(X), Tensor(W, requires_grad=True)
    F.layer_norm(x, w).backward(DY)
    assert x.grad is None
    np.testing.assert_array_equal(w.grad, ops.layer_norm(X, W, normalized_shape=(3,))[1](DY)[1])


@pytest.mark.parametrize(
    ("function", "op", "arrays", "options"),
    [
        (lambda x, w, b: F.group_norm(x, 3, w, b), ops.group_norm, (X, W, B), {"groups": 3}),
        (F.instance_norm, ops.instance_norm, (X, W, B), {}),
        (F.rms_norm, ops.rms_norm, (X, W), {"normalized_shape": (3,)}),
    ],
)
def test_a_function_is_its_operation(function, op, arrays, options):
    y, pullback = op(*arrays, **options)
    np.testing.assert_array_equal(function(*arrays), y)
    for found, expected in zip(gradients(function, *arrays), pullback(DY), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_rms_norm_takes_its_axes_from_the_weight_or_the_last_one():
    weight = RNG.normal(size=(4, 3))
    np.testing.assert_array_equal(F.rms_norm(X, weight), ops.rms_norm(X, weight, normalized_shape=(4, 3))[0])
    np.testing.assert_array_equal(F.rms_norm(X), ops.rms_norm(X, normalized_shape=(3,))[0])
    np.testing.assert_array_equal(F.rms_norm(X, None, (4, 3)), ops.rms_norm(X, normalized_shape=(4, 3))[0])
