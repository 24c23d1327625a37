"""Reductions: against loops over one axis, several or all, with ties, empty axes and dtypes kept."""

import functools
import itertools
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
OPS = {"sum": math.fsum, "mean": lambda v: math.fsum(v) / len(v), "max": max, "min": min}
EACH = pytest.mark.parametrize("name", OPS)
SHAPES = st.lists(st.integers(1, 4), max_size=3).map(tuple)
AXES = [None, 0, -1, 1, (0, 2), (2, 0), (-1, 1), (0, 1, 2), ()]


def naive(f, x, axis, keepdims) -> np.ndarray:
    """Collect the numbers of each result one by one."""
    axes = range(x.ndim) if axis is None else [a % x.ndim for a in np.atleast_1d(axis).astype(int)]
    y = np.empty([1 if i in axes else n for i, n in enumerate(x.shape)])
    for at in np.ndindex(y.shape):
        spans = [range(n) if i in axes else [at[i]] for i, n in enumerate(x.shape)]
        y[at] = f([float(x[place]) for place in itertools.product(*spans)])
    return y if keepdims else y.reshape([n for i, n in enumerate(x.shape) if i not in axes])


@EACH
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("keepdims", [False, True])
def test_equals_loops_and_has_its_gradient(name, axis, keepdims):
    x = RNG.normal(size=(2, 3, 4))
    op = functools.partial(getattr(ops, name), axis=axis, keepdims=keepdims)
    y = op(x)[0]
    assert type(y) is np.ndarray
    np.testing.assert_allclose(y, naive(OPS[name], x, axis, keepdims), rtol=1e-13, atol=1e-15)
    check_gradients(op, x)


@EACH
@given(shape=SHAPES)
def test_any_shape_down_to_a_single_number(name, shape):
    x = np.asarray(RNG.normal(size=shape))
    np.testing.assert_allclose(getattr(ops, name)(x)[0], OPS[name](x.ravel().tolist()), rtol=1e-12)
    check_gradients(getattr(ops, name), x)


@EACH
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("axis", [None, 1])
def test_m17_keeps_the_dtype_and_gives_arrays(name, dtype, axis):
    y, pullback = getattr(ops, name)(np.ones((2, 3), dtype), axis=axis)
    dx = pullback(np.ones_like(y))
    assert type(y) is type(dx) is np.ndarray
    assert (y.dtype, dx.dtype, dx.shape) == (dtype, dtype, (2, 3))


def test_half_precision_is_summed_in_single():
    x = np.ones((5000, 2), "float16")
    assert ops.sum(x, axis=0)[0].tolist() == [5000, 5000]  # added up in half precision they stop at 2048
    assert ops.mean(np.full(10_000, 100, "float16"))[0] == 100  # the sum alone does not fit


@pytest.mark.parametrize("name", ["max", "min"])
@pytest.mark.parametrize(
    ("x", "axis", "expected"),
    [
        ([[1.0, 1.0], [1.0, 1.0]], None, [[1, 0], [0, 0]]),
        ([[1.0, 1.0], [1.0, 1.0]], 0, [[1, 1], [0, 0]]),
        ([[1.0, 1.0], [1.0, 1.0]], 1, [[1, 0], [1, 0]]),
        ([[[0.0, 0.0]], [[0.0, 0.0]]], (0, 2), [[[1, 0]], [[0, 0]]]),
        (0.5, None, 1),
    ],
)
def test_of_equal_numbers_the_first_takes_the_gradient(name, x, axis, expected):
    y, pullback = getattr(ops, name)(np.array(x), axis=axis)
    np.testing.assert_array_equal(pullback(np.ones_like(y)), expected, strict=False)


@pytest.mark.parametrize("name", ["max", "min"])
def test_a_nan_is_extreme_and_takes_the_gradient(name):
    y, pullback = getattr(ops, name)(np.array([1.0, math.nan, 3.0]))
    assert np.isnan(y)
    assert pullback(np.array(1.0)).tolist() == [0, 1, 0]


def test_empty_axes():
    empty = np.empty((0, 3))
    assert ops.sum(empty, axis=0)[0].tolist() == [0, 0, 0]
    assert np.isnan(ops.mean(empty, axis=0)[0]).all()  # of no numbers, as in PyTorch; without a warning
    for name in OPS:  # no samples, each with three numbers
        y, pullback = getattr(ops, name)(empty, axis=1)
        assert y.shape == (0,)
        assert pullback(y).shape == (0, 3)


def test_the_mean_of_infinities_is_as_in_pytorch():
    assert ops.mean(np.array([math.inf, 1.0]))[0] == math.inf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert np.isnan(ops.mean(np.array([math.inf, -math.inf]))[0])


def test_integers_have_sums():
    assert ops.sum(np.arange(4))[0].tolist() == 6
    assert F.sum(np.array([True, True])).tolist() == 2


@EACH
@pytest.mark.parametrize(
    ("axis", "error", "message"),
    [
        (2, ValueError, "expected axis between -2 and 1, got 2"),
        ((0, -3), ValueError, "expected axis between -2 and 1, got -3"),
        ((0, -2), ValueError, r"expected different axes, got \(0, -2\)"),
        (1.0, TypeError, "expected axis as an int, got float"),
    ],
)
def test_axes_that_are_none_are_refused(name, axis, error, message):
    with pytest.raises(error, match=f"{name}: {message}"):
        getattr(ops, name)(np.ones((2, 3)), axis=axis)


@pytest.mark.parametrize("name", ["max", "min"])
def test_no_numbers_have_no_extreme(name):
    with pytest.raises(
        ValueError, match=rf"{name}: expected at least one number along axis 0, got shape \(0,"
    ):
        getattr(ops, name)(np.empty((0, 3)), axis=0)


@pytest.mark.parametrize("name", ["mean", "max", "min"])
def test_integers_have_no_derivative(name):
    with pytest.raises(TypeError, match=f"{name}: expected a floating-point array, got int64"):
        getattr(ops, name)(np.arange(3))
