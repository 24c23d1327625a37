"""Matrix products: against loops, with every number of axes, empty batches and the dtypes that go in."""

import functools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import ops
from minidl.testing import check_gradients
from tests.either import np

RNG = np.random.default_rng(0)
DTYPES = pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])


def naive(x, w, b) -> np.ndarray:
    y = np.empty((*x.shape[:-1], w.shape[1]))
    for at in np.ndindex(y.shape):
        row, j = x[at[:-1]], at[-1]
        y[at] = math.fsum(
            [*(float(row[k] * w[k, j]) for k in range(len(row))), *([] if b is None else [b[j]])]
        )
    return y


@pytest.mark.parametrize("bias", [True, False])
@given(batch=st.lists(st.integers(0, 3), max_size=3), sizes=st.tuples(st.integers(0, 4), st.integers(0, 4)))
def test_linear_equals_loops_and_has_its_gradient(bias, batch, sizes):
    arrays = [RNG.normal(size=(*batch, sizes[0])), RNG.normal(size=sizes), RNG.normal(size=sizes[1])]
    x, w, b = arrays[0], arrays[1], arrays[2] if bias else None
    np.testing.assert_allclose(ops.linear(x, w, b)[0], naive(x, w, b), rtol=1e-13, atol=1e-14)
    if bias:
        check_gradients(ops.linear, x, w, b)
    else:
        check_gradients(lambda x, w: (ops.linear(x, w)[0], lambda dy: ops.linear(x, w)[1](dy)[:2]), x, w)
        assert ops.linear(x, w)[1](ops.linear(x, w)[0])[2] is None


def test_m13_the_bias_gradient_is_summed_over_the_rows():
    x, w, b = np.ones((4, 5, 2)), np.ones((2, 3)), np.ones(3)
    _, dw, db = ops.linear(x, w, b)[1](np.ones((4, 5, 3)))
    assert db.tolist() == [20] * 3
    assert dw.tolist() == [[20] * 3] * 2


def test_the_gradient_of_the_input_can_be_refused():
    arrays = RNG.normal(size=(4, 2)), RNG.normal(size=(2, 3)), RNG.normal(size=3)
    y, pullback = ops.linear(*arrays)
    dx, *rest = pullback(y, input_grad=False)
    assert dx is None
    for g, expected in zip(rest, pullback(y)[1:], strict=True):
        np.testing.assert_array_equal(g, expected)


@DTYPES
def test_m17_linear_keeps_the_dtype(dtype):
    x, w, b = (RNG.normal(size=s).astype(dtype) for s in ((4, 2), (2, 3), (3,)))
    y, pullback = ops.linear(x, w, b)
    assert [a.dtype for a in (y, *pullback(y))] == [dtype] * 4


@DTYPES
def test_linear_keeps_its_dtype_for_an_upstream_gradient_of_another(dtype):
    x, w, b = (np.round(RNG.normal(size=s)).astype(np.float32) for s in ((4, 2), (2, 3), (3,)))
    y, pullback = ops.linear(x, w, b)
    dy = np.full(y.shape, 2049 if dtype != "float16" else 2048)
    gradients = pullback(dy.astype(dtype))
    assert [g.dtype for g in gradients] == [np.float32] * 3
    for g, expected in zip(gradients, pullback(dy.astype(np.float32)), strict=True):
        np.testing.assert_array_equal(g, expected)


def test_half_precision_is_summed_in_single():
    ones = np.ones((5000, 2), "float16")  # added up in half precision they stop at 2048
    assert (ops.linear(ones.T, ones)[0] == 5000).all()
    _, dw, db = ops.linear(ones, ones[:2], ones[0])[1](ones)
    assert (dw == 5000).all()
    assert (db == 5000).all()


def test_a_batch_equals_its_rows_and_views_equal_copies():
    x, w = RNG.normal(size=(7, 6))[:, ::2], RNG.normal(size=(4, 3)).T
    y, pullback = ops.linear(x, w)
    np.testing.assert_allclose(y, np.concatenate([ops.linear(row[None], w)[0] for row in x]), rtol=1e-12)
    for a, b in zip(pullback(y)[:2], ops.linear(x.copy(), w.copy())[1](y)[:2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


MATMULS = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 1, 2, 3), (6, 3, 4)),
    ((5, 2, 3), (1, 3, 4)),
    ((5, 2, 3), (3,)),
    ((3,), (5, 3, 4)),
    ((0, 3), (3, 4)),
    ((2, 0), (0, 4)),
]


@pytest.mark.parametrize(("left", "right"), MATMULS)
def test_matmul_is_numpys_and_has_its_gradient(left, right):
    x, w = RNG.normal(size=left), RNG.normal(size=right)
    y = ops.matmul(x, w)[0]
    assert type(y) is np.ndarray
    np.testing.assert_allclose(y, np.matmul(x, w), rtol=1e-12, atol=1e-14)
    check_gradients(ops.matmul, x, w)


@DTYPES
@pytest.mark.parametrize(("left", "right"), MATMULS)
def test_m17_matmul_keeps_the_dtype(dtype, left, right):
    x, w = RNG.normal(size=left).astype(dtype), RNG.normal(size=right).astype(dtype)
    y, pullback = ops.matmul(x, w)
    for array, shape in zip((y, *pullback(y)), (np.matmul(x, w).shape, left, right), strict=True):
        assert type(array) is np.ndarray
        assert (array.dtype, array.shape) == (dtype, shape)


def test_nan_and_inf_stay_in_their_row():
    x = np.array([[math.nan, 1.0], [math.inf, 1.0], [1.0, 2.0]])
    y = ops.linear(x, np.ones((2, 1)))[0]
    np.testing.assert_array_equal(y, [[math.nan], [math.inf], [3.0]])


def linear(x, w, b=None):
    return functools.partial(ops.linear, *(a if isinstance(a, list) else np.ones(a) for a in (x, w)), b)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (linear((2, 3), (4, 5)), ValueError, r"linear: expected \(\.\.\., 4\), got \(2, 3\)$"),
        (
            linear((8, 4, 4, 3), (48, 5)),
            ValueError,
            r"linear: expected \(\.\.\., 48\), got \(8, 4, 4, 3\); flatten it first: Flatten\(\)",
        ),
        (linear((), (4, 5)), ValueError, r"linear: expected \(\.\.\., 4\), got \(\)"),
        (linear((2, 3), (3,)), ValueError, r"linear: expected a weight \(in, out\), got \(3,\)"),
        (
            linear((2, 3), (3, 4), np.ones(3)),
            ValueError,
            r"linear: bias: expected shape \(4,\), got \(3,\)",
        ),
        (linear([1.0], (3, 4)), TypeError, r"linear: expected an array, got list; convert it with minidl"),
        (
            lambda: ops.linear(np.ones((2, 3), int), np.ones((3, 4))),
            TypeError,
            r'linear: expected a floating-point array, got int64; use minidl.asarray\(x, "float32"\)',
        ),
        (
            lambda: ops.linear(np.ones((2, 3)), np.ones((3, 4), "float32")),
            TypeError,
            r"linear: expected float32 like the weights, got float64; "
            r'use minidl.asarray\(x, "float32"\) or model.astype\("float64"\)',
        ),
        (
            lambda: ops.matmul(np.ones((2, 3)), np.ones((4, 5))),
            ValueError,
            r"matmul: expected \(\.\.\., n, k\) @ \(\.\.\., k, m\), got \(2, 3\) @ \(4, 5\)",
        ),
        (
            lambda: ops.matmul(np.array(1.0), np.ones(1)),
            ValueError,
            r"matmul: expected .*, got \(\) @ \(1,\)",
        ),
        (
            lambda: ops.matmul(np.ones(1), np.ones(1, int)),
            TypeError,
            "matmul: expected a floating-point array",
        ),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
