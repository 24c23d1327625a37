"""Element by element: against Python's own arithmetic, with broadcasting, ties, and the dtypes that go in."""

import functools
import math
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from minidl import functional as F
from minidl import ops
from minidl.testing import check_gradients
from tests.either import np

RNG = np.random.default_rng(0)
BINARY = {  # the op, Python's own formula
    "add": (ops.add, lambda a, b: a + b),
    "subtract": (ops.subtract, lambda a, b: a - b),
    "multiply": (ops.multiply, lambda a, b: a * b),
    "divide": (ops.divide, lambda a, b: a / b),
    "power": (ops.power, lambda a, b: a**b),
    "maximum": (ops.maximum, max),
    "minimum": (ops.minimum, min),
}
UNARY = {
    "negative": (ops.negative, lambda a: -a),
    "absolute": (ops.absolute, abs),
    "clip": (functools.partial(ops.clip, low=0.5, high=1.5), lambda a: min(max(a, 0.5), 1.5)),
    "clip below": (functools.partial(ops.clip, low=0.5), lambda a: max(a, 0.5)),
    "clip above": (functools.partial(ops.clip, high=1.5), lambda a: min(a, 1.5)),
    "exp": (ops.exp, math.exp),
    "log": (ops.log, math.log),
    "sqrt": (ops.sqrt, math.sqrt),
    "relu": (ops.relu, lambda a: max(a, 0)),
    "sigmoid": (ops.sigmoid, lambda a: 1 / (1 + math.exp(-a))),
    "tanh": (ops.tanh, math.tanh),
}
EACH_BINARY = pytest.mark.parametrize(("op", "formula"), BINARY.values(), ids=BINARY)
EACH_UNARY = pytest.mark.parametrize(("op", "formula"), UNARY.values(), ids=UNARY)
DTYPES = pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
PAIRS = mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0, max_side=3)


def positive(shape) -> np.ndarray:
    return np.asarray(RNG.uniform(0.2, 2.0, size=shape))


def naive(formula, *arrays) -> np.ndarray:
    """The formula, one number at a time."""
    spread = np.broadcast_arrays(*arrays)
    y = np.empty(spread[0].shape)
    for at in np.ndindex(y.shape):
        y[at] = formula(*(float(a[at]) for a in spread))
    return y


@EACH_BINARY
@given(shapes=PAIRS)
def test_of_two_arrays_equals_loops_and_has_its_gradient(op, formula, shapes):
    x, w = (positive(shape) for shape in shapes.input_shapes)
    y = op(x, w)[0]
    assert type(y) is np.ndarray
    np.testing.assert_allclose(y, naive(formula, x, w), rtol=1e-14)
    check_gradients(op, x, w)


@EACH_UNARY
@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (4, 5), (2, 1, 3)])
def test_of_one_array_equals_loops_and_has_its_gradient(op, formula, shape):
    x = positive(shape)
    y = op(x)[0]
    assert type(y) is np.ndarray
    np.testing.assert_allclose(y, naive(formula, x), rtol=1e-14)
    check_gradients(op, x)
    if op not in (ops.log, ops.sqrt):
        check_gradients(op, np.asarray(-x))


@given(shapes=PAIRS)
def test_where_chooses_by_a_condition_that_broadcasts(shapes):
    x, w = (np.asarray(RNG.normal(size=shape)) for shape in shapes.input_shapes)
    condition = np.asarray(RNG.normal(size=shapes.result_shape) > 0)
    op = functools.partial(ops.where, condition=condition)
    np.testing.assert_array_equal(
        op(x, w)[0], naive(lambda c, a, b: a if c else b, condition, x, w).reshape(shapes.result_shape)
    )
    check_gradients(op, x, w)


@EACH_BINARY
@DTYPES
@pytest.mark.parametrize("number", [2, 0.5, np.float64(0.5), np.float32(0.5), np.int64(2)])
def test_m17_a_number_does_not_widen_an_array_nor_have_a_gradient(op, formula, dtype, number):
    x = positive((2, 3)).astype(dtype)
    for arguments, (i, j) in (((x, number), (0, 1)), ((number, x), (1, 0))):
        y, pullback = op(*arguments)
        gradients = pullback(np.ones_like(y))
        assert y.dtype == gradients[i].dtype == dtype
        assert gradients[j] is None
        np.testing.assert_allclose(y, naive(formula, *arguments), rtol=2e-3 if dtype == "float16" else 1e-6)


@EACH_BINARY
@DTYPES
@pytest.mark.parametrize("shapes", [((2, 3), (3,)), ((), (2,)), ((1, 3), (2, 1))])
def test_m17_two_arrays_keep_their_dtype_also_where_they_broadcast(op, formula, dtype, shapes):
    x, w = (positive(shape).astype(dtype) for shape in shapes)
    y, pullback = op(x, w)
    for array, like in zip((y, *pullback(np.ones_like(y))), (y, x, w), strict=True):
        assert type(array) is np.ndarray
        assert (array.dtype, array.shape) == (dtype, like.shape)


@EACH_UNARY
@DTYPES
def test_m17_one_array_keeps_its_dtype(op, formula, dtype):
    for shape in ((), (3, 2)):
        x = positive(shape).astype(dtype)
        y, pullback = op(x)
        dx = pullback(y)
        assert type(dx) is type(y) is np.ndarray
        assert (dx.dtype, dx.shape) == (y.dtype, y.shape) == (dtype, shape)


def test_integers_are_computed_with_where_no_derivative_is_needed():
    x = np.arange(3)
    for op in (ops.add, ops.subtract, ops.multiply, ops.power, ops.maximum, ops.minimum):
        assert op(x, 2)[0].dtype == x.dtype
    assert ops.negative(x)[0].tolist() == [0, -1, -2]
    assert F.divide(x, 2).tolist() == [0.0, 0.5, 1.0]
    y, pullback = ops.multiply(x, np.ones(3, "float32") / 2)
    assert pullback(np.ones_like(y))[1].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("op", "first", "second"), [(ops.maximum, [1, 0, 0], [0, 1, 0]), (ops.minimum, [0, 1, 0], [1, 0, 0])]
)
def test_of_equal_numbers_the_first_takes_the_gradient(op, first, second):
    dx, dw = op(np.array([2.0, 1.0, 3.0]), np.array([1.0, 2.0, 3.0]))[1](np.ones(3))
    assert dx.tolist() == [first[0], first[1], 1]
    assert dw.tolist() == [second[0], second[1], 0]


@pytest.mark.parametrize(
    ("op", "x", "expected"),
    [
        (ops.relu, [-1.0, 0.0, 1.0], [0, 0, 1]),
        (ops.absolute, [-1.0, 0.0, 1.0], [-1, 0, 1]),
        (functools.partial(ops.clip, low=0.0, high=1.0), [-1.0, 0.0, 0.5, 1.0, 2.0], [0, 1, 1, 1, 0]),
        (lambda x: (ops.power(x, 2)[0], lambda dy: ops.power(x, 2)[1](dy)[0]), [-1.5, 0.0], [-3, 0]),
        (lambda x: (ops.power(x, 1)[0], lambda dy: ops.power(x, 1)[1](dy)[0]), [0.0, 2.0], [1, 1]),
        (lambda x: (ops.power(x, 0)[0], lambda dy: ops.power(x, 0)[1](dy)[0]), [0.0, 2.0], [0, 0]),
    ],
    ids=["relu", "absolute", "clip", "square", "x^1", "x^0"],
)
def test_derivatives_at_kinks_and_at_zero(op, x, expected):
    y, pullback = op(np.array(x))
    assert pullback(np.ones_like(y)).tolist() == expected


def test_the_exponent_of_zero_has_no_gradient_and_its_power_of_zero_none_for_the_base():
    dx, dw = ops.power(np.array([0.0, 0.0]), np.array([0.0, 2.0]))[1](np.ones(2))
    assert dx.tolist() == dw.tolist() == [0, 0]


def test_m27_the_sigmoid_has_its_sign_right_and_never_overflows():
    y, pullback = ops.sigmoid(np.array([2.0, -2.0, 0.0, 1000.0, -1000.0]))
    np.testing.assert_allclose(y, [0.8807970779778823, 0.11920292202211755, 0.5, 1, 0], rtol=1e-15)
    np.testing.assert_allclose(pullback(np.ones(5)), [0.10499358540350652] * 2 + [0.25, 0, 0], rtol=1e-13)
    for dtype in ("float16", "float32"):
        assert ops.sigmoid(np.array([-60000, 60000], dtype))[0].tolist() == [0, 1]


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "relu", "sigmoid", "tanh", "absolute"])
def test_nan_and_inf_pass_through_as_in_pytorch(torch, name):
    values = [math.nan, math.inf, -math.inf, 0.0]
    leaf = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    expected = getattr(torch, name)(leaf)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        y, pullback = getattr(ops, name)(np.array(values))
        dx = pullback(np.ones(4))
    expected.backward(torch.ones(4, dtype=torch.float64))
    np.testing.assert_array_equal(y, expected.detach().numpy())
    np.testing.assert_array_equal(dx[1:], leaf.grad.numpy()[1:])


@pytest.mark.parametrize("op", [ops.maximum, ops.minimum])
def test_a_nan_wins_any_comparison(op):
    assert np.isnan(op(np.array([1.0, math.nan]), np.array([math.nan, 1.0]))[0]).all()


@given(st.sampled_from(sorted(UNARY)))
def test_a_view_with_strides_gives_what_its_copy_gives(name):
    x = positive((6, 8))[::2, ::-3].T
    y, pullback = UNARY[name][0](x)
    z, other = UNARY[name][0](x.copy())
    np.testing.assert_array_equal(y, z)
    np.testing.assert_array_equal(pullback(y), other(z))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.add([1.0], np.ones(1)), TypeError, "add: expected an array or a number, got list"),
        (
            lambda: ops.power(np.ones(1), None),
            TypeError,
            "power: expected an array or a number, got None",
        ),
        (lambda: ops.multiply(np.ones(2), np.ones(3)), ValueError, "broadcast"),
        (lambda: ops.negative(2.0), TypeError, r"negative: expected an array, got float; convert it"),
        (lambda: ops.where(1.0, np.ones(1), condition=True), TypeError, "where: expected the condition as"),
        (lambda: ops.clip(np.ones(1), low=2, high=1), ValueError, "clip: expected low <= high, got low=2"),
        *(
            (
                functools.partial(op, np.arange(3)),
                TypeError,
                "expected a floating-point array, got int64",
            )
            for op in (ops.absolute, ops.exp, ops.log, ops.sqrt, ops.relu, ops.sigmoid, ops.tanh, ops.clip)
        ),
        *(
            (functools.partial(op, [1.0]), TypeError, r"got list; convert it with minidl.asarray\(x\)")
            for op in (ops.absolute, ops.exp, ops.log, ops.sqrt, ops.relu, ops.sigmoid, ops.tanh, ops.clip)
        ),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
