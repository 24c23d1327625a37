"""The error function: our own polynomials against Python's, which are correct to the last digits."""

import math
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.backend import erf
from tests.either import np


def reference(x):
    return np.array([math.erf(v) for v in x.ravel().tolist()]).reshape(x.shape)


@given(st.floats(-8, 8))
def test_within_1e_15_of_the_truth(v):
    x = np.array([v])
    np.testing.assert_allclose(erf(x), reference(x), rtol=1e-15, atol=0)


def test_the_two_polynomials_are_exact_all_along_their_ranges():
    x = np.concatenate(
        [np.linspace(-7, 7, 20_001), 10.0 ** np.arange(-300, 300, 7), [1, 6, np.nextafter(1, 0)]]
    )
    np.testing.assert_allclose(erf(x), reference(x), rtol=1e-15, atol=0)


@pytest.mark.parametrize(("dtype", "rtol"), [("float16", 1e-3), ("float32", 3e-7), ("float64", 1e-15)])
def test_keeps_the_dtype_and_its_precision(dtype, rtol):
    x = np.random.default_rng(0).normal(size=(50, 4)).astype(dtype)
    y = erf(x)
    assert (type(y), y.dtype, y.shape) == (np.ndarray, x.dtype, x.shape)
    np.testing.assert_allclose(y, reference(x.astype(float)), rtol=rtol)


def test_single_precision_is_within_3e_7_all_along_its_range():
    x = np.concatenate([np.linspace(-6, 6, 120_000), 10.0 ** np.arange(-37, 37)]).astype(np.float32)
    y = erf(x.reshape(2, -1)).reshape(-1)
    np.testing.assert_allclose(y, reference(x), rtol=3e-7, atol=0)
    np.testing.assert_array_equal(erf(-x), -y)
    np.testing.assert_array_equal(y[abs(x) >= 4.2], np.sign(x[abs(x) >= 4.2]))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_largest_numbers_give_one_without_a_warning(dtype):
    top = np.finfo(dtype).max
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = erf(np.array([-top, top, -np.inf, np.inf], dtype=dtype))
    np.testing.assert_array_equal(y, [-1, 1, -1, 1])


def test_is_odd_and_keeps_nan_and_the_sign_of_zero():
    x = np.random.default_rng(1).normal(size=1000) * 3
    np.testing.assert_array_equal(erf(-x), -erf(x))
    assert np.isnan(erf(np.array([np.nan]))).all()
    np.testing.assert_array_equal(np.signbit(erf(np.array([-0.0, 0.0]))), [True, False])


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3)])
def test_small_shapes(shape):
    y = erf(np.zeros(shape, dtype="float32"))
    assert (type(y), y.shape, y.dtype) == (np.ndarray, shape, np.float32)
