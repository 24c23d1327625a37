"""Tensor: every operator and method is its op, for tensors, arrays and numbers on either side."""

import copy
import operator

import pytest

import minidl
from minidl import Tensor, ops
from minidl import functional as F
from tests.either import np

RNG = np.random.default_rng(0)
X, W = RNG.uniform(0.5, 2.0, size=(2, 3, 3))
BINARY = {
    operator.add: ops.add,
    operator.sub: ops.subtract,
    operator.mul: ops.multiply,
    operator.truediv: ops.divide,
    operator.pow: ops.power,
    operator.matmul: ops.matmul,
}
METHODS = {  # the method, the op
    "-": (lambda t: -t, ops.negative),
    "abs": (abs, ops.absolute),
    "T": (lambda t: t.T, ops.transpose),
    "index": (lambda t: t[1:, [0, 0]], lambda x: ops.getitem(x, index=(slice(1, None), [0, 0]))),
    "sum": (lambda t: t.sum(), ops.sum),
    "sum of an axis": (lambda t: t.sum(0, True), lambda x: ops.sum(x, axis=0, keepdims=True)),
    "mean": (lambda t: t.mean(axis=(0, 1)), lambda x: ops.mean(x, axis=(0, 1))),
    "reshape": (lambda t: t.reshape(9), lambda x: ops.reshape(x, shape=(9,))),
    "reshape by lengths": (lambda t: t.reshape(3, -1, 1), lambda x: ops.reshape(x, shape=(3, -1, 1))),
    "reshape by a tuple": (lambda t: t.reshape((1, 9)), lambda x: ops.reshape(x, shape=(1, 9))),
    "transpose": (lambda t: t.transpose(), ops.transpose),
    "transpose by axes": (lambda t: t.transpose(1, 0), lambda x: ops.transpose(x, axes=(1, 0))),
    "transpose by a tuple": (lambda t: t.transpose((0, 1)), lambda x: ops.transpose(x, axes=(0, 1))),
}


def leaf(x) -> Tensor:
    return Tensor(x, requires_grad=True)


def upstream(y) -> np.ndarray:
    return np.asarray(np.random.default_rng(1).normal(size=y.shape))


@pytest.mark.parametrize(("symbol", "op"), BINARY.items(), ids=[f.__name__ for f in BINARY])
@pytest.mark.parametrize(("left", "right"), [("t", "t"), ("t", "a"), ("a", "t"), ("t", "n"), ("n", "t")])
def test_an_operator_is_its_op_with_tensors_arrays_and_numbers_on_either_side(symbol, op, left, right):
    if symbol is operator.matmul and "n" in (left, right):
        with pytest.raises(TypeError, match="matmul: expected an array, got float"):
            symbol(leaf(X), 2.0) if left == "t" else symbol(2.0, leaf(X))
        return
    kinds = {"t": leaf, "a": lambda x: x, "n": lambda x: 2.5}
    operands = [kinds[kind](x) for kind, x in ((left, X), (right, W))]
    arrays = [2.5 if kind == "n" else x for kind, x in ((left, X), (right, W))]
    y, pullback = op(*arrays)
    t = symbol(*operands)
    assert type(t) is Tensor  # a NumPy array on the left defers
    np.testing.assert_array_equal(t.data, y)
    t.backward(upstream(y))
    for x, g in zip(operands, pullback(upstream(y)), strict=True):
        if isinstance(x, Tensor):
            np.testing.assert_array_equal(x.grad, g)


@pytest.mark.parametrize(("method", "op"), METHODS.values(), ids=METHODS)
def test_a_method_is_its_op(method, op):
    x = leaf(X)
    t, (y, pullback) = method(x), op(X)
    np.testing.assert_array_equal(t.data, y)
    t.backward(upstream(y))
    np.testing.assert_array_equal(x.grad, pullback(upstream(y)))


@pytest.mark.parametrize("number", [np.float32(2), np.float64(2), np.int64(2), 2, True])
def test_m17_numbers_of_any_kind_keep_float32(number):
    x = leaf([1.0, 2.0])
    for y in (x * number, number * x, x**number, x + number, number - x, x / number):
        assert y.dtype == "float32"
        x.grad = None
        y.backward(np.ones(2))
        assert x.grad.dtype == "float32"


@pytest.mark.skipif(minidl.backend.name == "cupy", reason="CuPy's arrays do not become NumPy's unasked")
def test_numpy_takes_it_for_its_array():
    t = leaf(X)
    assert np.asarray(t).tolist() == X.tolist()
    assert np.asarray(t, "float32").dtype == "float32"


def test_what_it_says_about_its_array():
    t = leaf(X)
    assert (t.shape, t.ndim, t.size, t.dtype, len(t)) == ((3, 3), 2, 9, "float64", 3)
    assert t[0, 0].item() == X[0, 0]
    assert [row.shape for row in t] == [(3,)] * 3
    assert repr(Tensor([1.0])) == "Tensor(array([1.], dtype=float32))"
    assert repr(leaf([1.0])) == "Tensor(array([1.], dtype=float32), requires_grad=True)"
    np.testing.assert_array_equal(t.data, X)
    assert Tensor(t).data is t.data
    assert t.detach().requires_grad is False
    assert len({t, leaf(X)}) == 2


def test_data_and_grad_can_be_assigned():
    t = leaf([1.0, 2.0])
    t.data = np.array([3.0, 4.0], "float32")
    t.grad = [1.0, 1.0]
    (t * t).sum().backward()
    assert t.grad.tolist() == [7, 9]
    with pytest.raises(ValueError, match=r"grad: expected shape \(2,\), got \(3,\)"):
        t.grad = np.ones(3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda t: (t * 2).backward(),
            ValueError,
            r"backward: expected an upstream gradient of shape \(3, 3\), got none; only a scalar",
        ),
        (
            lambda t: t.sum(axis=0).backward(X),
            ValueError,
            r"backward: gradient: expected shape \(3,\), got \(3, 3\)",
        ),
        (lambda t: t.backward([1.0]), TypeError, "backward: gradient: expected an array, got list"),
        (lambda t: t.detach().sum().backward(), RuntimeError, "depends on nothing that requires a gradient"),
        (lambda t: leaf([1, 2]), TypeError, "only floating-point data can require a gradient, got int64"),
        (
            lambda t: minidl.Parameter([True]),
            TypeError,
            "only floating-point data can require a gradient, got b",
        ),
        (lambda t: t + None, TypeError, "add: expected an array or a number, got NoneType"),
        (lambda t: t * [1.0], TypeError, "multiply: expected an array or a number, got list"),
        (lambda t: t[7], IndexError, "out of bounds"),
        (lambda t: t.reshape(2, 2), ValueError, "reshape: expected a shape of 9 numbers"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_collected(call, error, message):
    t = leaf(X)
    with pytest.raises(error, match=message):
        call(t)
    assert t.grad is None


def test_an_upstream_may_be_a_tensor_and_takes_the_dtype_of_the_result():
    x = leaf([1.0, 2.0])
    F.relu(x * 2).backward(Tensor(np.array([1.0, 10.0])))
    assert (x.grad.tolist(), x.grad.dtype) == ([2, 20], "float32")
    y = leaf([1.0, 2.0])
    y.backward(np.array([1.0, 10.0]))
    assert y.grad.dtype == "float32"


def test_a_function_of_numpy_does_not_run_on_a_tensor_behind_its_back():
    with pytest.raises(TypeError, match="does not support ufuncs"):
        np.exp(leaf(X))


def test_integers_take_part_as_constants():
    x = leaf([1.0, 2.0])
    (x * Tensor([3, 4])).sum().backward()
    assert x.grad.tolist() == [3, 4]
    assert (Tensor([1, 2]) + 1).data.tolist() == [2, 3]


def test_a_parameter_can_be_copied_with_its_gradient():
    p = minidl.Parameter([1.0], name="w")
    p.grad = np.array([2.0], "float32")
    q = copy.deepcopy(p)
    q.data[...] = 5
    assert (p.data.tolist(), q.grad.tolist(), q.name, q.requires_grad) == ([1], [2], "w", True)
