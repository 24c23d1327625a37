"""Softmax: against loops along any axis, at the edges of every dtype, and the mistakes that others made."""

import functools
import math
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import functional as F
from minidl import ops
from minidl.testing import check_gradients
from tests.either import np

RNG = np.random.default_rng(0)
SIGN = {"softmax": 1, "softmin": -1, "log_softmax": 1}
EACH = pytest.mark.parametrize("name", SIGN)
PLACES = st.lists(st.integers(0, 4), min_size=1, max_size=4).flatmap(
    lambda shape: st.tuples(st.just(tuple(shape)), st.integers(-len(shape), len(shape) - 1))
)
EDGES = [("float16", 12), ("float32", 89), ("float64", 710)]  # e to this power is inf


def naive(name, x, axis) -> np.ndarray:
    y = np.empty(x.shape)
    rows = np.moveaxis(y, axis, -1)  # a view
    for at in np.ndindex(rows.shape[:-1]):
        row = [SIGN[name] * float(v) for v in np.moveaxis(x, axis, -1)[at]]
        total = math.fsum(math.exp(v) for v in row)
        rows[at] = np.array([v - math.log(total) if "log" in name else math.exp(v) / total for v in row])
    return y


@EACH
@given(place=PLACES)
def test_m7_m8_any_axis_equals_loops_and_has_its_gradient(name, place):
    shape, axis = place
    x = RNG.normal(size=shape)
    op = functools.partial(getattr(ops, name), axis=axis)
    np.testing.assert_allclose(op(x)[0], naive(name, x, axis), rtol=1e-13, atol=1e-14)
    check_gradients(op, x)


@given(place=PLACES, shift=st.floats(-100, 100))
def test_is_shift_invariant_and_sums_to_one(place, shift):
    shape, axis = place
    x = RNG.normal(size=shape)
    y, pullback = ops.softmax(x, axis=axis)
    np.testing.assert_allclose(ops.softmax(x + shift, axis=axis)[0], y, rtol=1e-12)
    np.testing.assert_allclose(y.sum(axis=axis), 1 if shape[axis] else 0, rtol=1e-14)
    np.testing.assert_allclose(pullback(np.ones(shape)), 0, atol=1e-15)
    np.testing.assert_allclose(pullback(RNG.normal(size=shape)).sum(axis=axis), 0, atol=1e-14)


@EACH
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_m17_keeps_the_dtype(name, dtype):
    y, pullback = getattr(ops, name)(np.ones((2, 3), dtype))
    dx = pullback(np.ones_like(y))
    assert (y.dtype, dx.dtype, type(dx)) == (dtype, dtype, np.ndarray)


@pytest.mark.parametrize(("dtype", "gap"), EDGES)
def test_m1_a_row_wider_than_the_exponent_is_not_shifted_by_its_minimum(dtype, gap):
    assert ops.softmax(np.array([0, gap], dtype))[0].tolist() == pytest.approx([0, 1], abs=1e-5)


@pytest.mark.parametrize(("dtype", "gap"), [("float16", 8), ("float32", 45), ("float64", 355)])
def test_m2_the_backward_pass_multiplies_no_exponentials(dtype, gap):
    pullback = ops.softmax(np.array([0, gap], dtype))[1]
    dx = pullback(np.array([1, 0], dtype))
    p = 1 / (1 + math.exp(gap))
    np.testing.assert_allclose(dx, [p, -p], rtol=1e-2 if dtype == "float16" else 1e-5)


@pytest.mark.parametrize(("dtype", "gap"), EDGES)
def test_m3_there_is_a_shift(dtype, gap):
    for name in SIGN:
        x = np.array([gap, 0], dtype)
        y, pullback = getattr(ops, name)(x)
        assert np.isfinite(y).all()
        assert np.isfinite(pullback(np.ones_like(y))).all()
    assert ops.log_softmax(np.array([800.0, 0.0]))[0].tolist() == [0, -800]


def test_m4_each_row_sums_to_one():
    assert ops.softmax(np.array([[1.0, 2.0], [3.0, 4.0]]))[0].sum(axis=1).tolist() == pytest.approx([1, 1])


def test_m5_m6_the_whole_jacobian_whatever_the_loss():
    x, target = RNG.normal(size=(3, 4)), RNG.normal(size=(3, 4))
    y, pullback = ops.softmax(x)
    dx = pullback(2 * (y - target))  # of the squared error
    for row, gradient, p, t in zip(x, dx, y, target, strict=True):
        jacobian = np.diag(p) - np.outer(p, p)
        np.testing.assert_allclose(gradient, jacobian @ (2 * (p - t)), rtol=1e-12, atol=1e-15)
        assert row.shape == gradient.shape
    check_gradients(lambda x: ((F.softmax(x) - target) ** 2).sum(), x)


def test_m7_the_axis_is_used():
    x = np.array([[2.0, 1.0, 0.1], [1.0, 3.0, 0.2]])
    y = ops.softmax(x, axis=0)[0]
    np.testing.assert_allclose(y[:, 2], [0.47502081, 0.52497919], atol=5e-9)
    np.testing.assert_allclose(y.sum(axis=0), 1, rtol=1e-15)


def test_m8_the_backward_pass_uses_it_too():
    check_gradients(functools.partial(ops.softmax, axis=1), RNG.normal(size=(2, 3, 4)))


def test_m9_a_batch_of_one_stays_a_batch():
    for name in SIGN:
        y, pullback = getattr(ops, name)(np.ones((1, 5)))
        assert y.shape == pullback(y).shape == (1, 5)


def test_m26_the_upstream_gradient_counts():
    _, pullback = ops.softmax(np.array([2.0, 1.0, 0.1]))
    np.testing.assert_allclose(
        pullback(np.array([1.0, 0, 0])), [0.22471864, -0.15976360, -0.06495503], atol=5e-9
    )
    np.testing.assert_allclose(pullback(np.ones(3)), 0, atol=1e-16)


@EACH
@pytest.mark.parametrize(
    "row", [[-math.inf, 0], [-math.inf, -math.inf], [math.nan, 0], [math.inf, 0], [math.inf, math.inf]]
)
def test_nan_and_inf_pass_through_as_in_pytorch(torch, name, row):
    leaf = torch.tensor(row, dtype=torch.float64, requires_grad=True)
    expected = getattr(torch.nn.functional, name)(leaf, dim=0)
    dy = np.array([1.0, 2.0])
    expected.backward(torch.tensor(dy))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        y, pullback = getattr(ops, name)(np.array(row))
        dx = pullback(dy)
    np.testing.assert_array_equal(y, expected.detach().numpy())
    np.testing.assert_array_equal(dx, leaf.grad.numpy())


@EACH
def test_bad_input_is_refused(name):
    op = getattr(ops, name)
    for x, axis, error, message in (
        ([1.0], -1, TypeError, r"expected an array, got list; convert it with minidl.asarray\(x\)"),
        (
            np.arange(3),
            -1,
            TypeError,
            r'expected a floating-point array, got int64; use minidl.asarray\(x, "',
        ),
        (np.ones((2, 3)), 2, ValueError, "expected axis between -2 and 1, got 2"),
        (np.ones((2, 3)), -3, ValueError, "expected axis between -2 and 1, got -3"),
        (np.ones((2, 3)), "0", TypeError, "expected axis as an int, got str"),
        (np.array(1.0), -1, ValueError, r"expected axis of an array with axes \(this one is 0-d\), got -1"),
    ):
        with pytest.raises(error, match=f"{name}: {message}"):
            op(x, axis=axis)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_largest_numbers_do_not_warn(dtype):
    most = np.finfo(dtype).max
    x = np.array([[most, -most], [-most, -most]], dtype)
    y, pullback = ops.softmax(x)
    np.testing.assert_array_equal(y, [[1, 0], [0.5, 0.5]])
    np.testing.assert_array_equal(pullback(np.ones_like(y)), np.zeros((2, 2)))
    y, pullback = ops.log_softmax(x)
    np.testing.assert_allclose(y, [[0, -math.inf], [-math.log(2)] * 2], rtol=1e-3)
    np.testing.assert_array_equal(pullback(np.ones_like(y)), [[-1, 1], [0, 0]])
    wide = np.result_type(dtype, "float32").type
    loss, pullback = ops.cross_entropy(x, target=np.array([1, 0]), reduction="none")
    np.testing.assert_allclose(
        loss, [2 * wide(most) if dtype == "float16" else math.inf, math.log(2)], rtol=1e-6
    )
    np.testing.assert_array_equal(pullback(np.ones_like(loss)), [[1, -1], [-0.5, 0.5]])
    assert np.isfinite(ops.selu(-x)[0][0, 0])
    assert ops.selu(x)[0][0, 0] == math.inf
