"""Shape: the same numbers elsewhere. Values are NumPy's own, gradients go back to where they came from."""

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from minidl import functional as F
from minidl import ops
from minidl.testing import check_gradients
from tests.either import np

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 4))


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (functools.partial(ops.reshape, shape=(4, 6)), X.reshape(4, 6)),
        (functools.partial(ops.reshape, shape=(-1, 2, 1)), X.reshape(12, 2, 1)),
        (functools.partial(ops.reshape, shape=(24,)), X.reshape(24)),
        (functools.partial(ops.reshape_samples, shape=(6, -1)), X.reshape(2, 6, 2)),
        (functools.partial(ops.reshape_samples, shape=(12,)), X.reshape(2, 12)),
        (ops.flatten, X.reshape(2, 12)),
        (ops.transpose, X.T),
        (functools.partial(ops.transpose, axes=(1, 2, 0)), X.transpose(1, 2, 0)),
        (functools.partial(ops.transpose, axes=(-1, 0, 1)), X.transpose(2, 0, 1)),
        (functools.partial(ops.broadcast_to, shape=(5, 2, 3, 4)), np.broadcast_to(X, (5, 2, 3, 4))),
    ],
)
def test_values_are_numpys_and_the_gradient_finds_back(op, expected):
    np.testing.assert_array_equal(op(X)[0], expected)
    check_gradients(op, X)


INDICES = {
    "int": 1,
    "slice": slice(None, None, -1),
    "tuple": (0, slice(1, None), -1),
    "ellipsis": (..., 2),
    "new axis": (None, 0, None),
    "list twice": [0, 0, 1],
    "array twice": (slice(None), np.array([2, 2, 2])),
    "tuple twice": ((0, 0, 1),),
    "both": (np.array([1, 1]), np.array([0, 0])),
    "mask": X > 0,
    "one number": (0, 0, 0),
    "nothing": (),
    "none chosen": (np.array([], int),),
}


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_indexing_is_numpys_and_what_is_taken_twice_gets_both_gradients(index):
    op = functools.partial(ops.getitem, index=index)
    y, pullback = op(X)
    assert type(y) is np.ndarray
    np.testing.assert_array_equal(y, X[index])
    counts = np.zeros_like(X)
    np.add.at(counts, index, 1)
    np.testing.assert_array_equal(pullback(np.ones_like(y)), counts)
    check_gradients(op, X)


@given(index=arrays.basic_indices((2, 3, 4)))
def test_any_basic_index(index):
    check_gradients(functools.partial(ops.getitem, index=index), X)


@given(index=arrays.integer_array_indices((2, 3, 4)))
def test_any_index_by_arrays(index):
    check_gradients(functools.partial(ops.getitem, index=index), X)


@pytest.mark.parametrize("axis", [0, 1, -1])
@given(lengths=st.lists(st.integers(0, 3), min_size=1, max_size=4))
def test_concatenate(axis, lengths):
    shapes = [[n if i == axis % 3 else m for i, m in enumerate((2, 3, 4))] for n in lengths]
    parts = [RNG.normal(size=shape) for shape in shapes]
    op = functools.partial(ops.concatenate, axis=axis)
    np.testing.assert_array_equal(op(*parts)[0], np.concatenate(parts, axis))
    check_gradients(op, *parts) if len(parts) > 1 else op(*parts)[1](op(*parts)[0])


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
@pytest.mark.parametrize("count", [2, 3])
def test_stack(axis, count):
    parts = [RNG.normal(size=(2, 3)) for _ in range(count)]
    op = functools.partial(ops.stack, axis=axis)
    np.testing.assert_array_equal(op(*parts)[0], np.stack(parts, axis))
    check_gradients(op, *parts)


def test_numbers_are_stacked_to_a_vector_and_their_gradients_are_arrays():
    y, pullback = ops.stack(np.array(1.0), np.array(2.0))
    assert y.tolist() == [1, 2]
    for gradient, expected in zip(pullback(np.array([3.0, 4.0])), (3, 4), strict=True):
        assert type(gradient) is np.ndarray
        assert gradient == expected


@pytest.mark.parametrize("join", [ops.concatenate, ops.stack])
def test_each_part_gets_its_gradient_in_its_own_dtype(join):
    parts = np.ones(2, "float32"), np.ones(2, "float64")
    y, pullback = join(*parts)
    assert [g.dtype for g in pullback(y)] == ["float32", "float64"]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64"])
def test_m17_keeps_the_dtype(dtype):
    x = np.ones((2, 3), dtype)
    for y, pullback in (
        ops.reshape(x, shape=(6,)),
        ops.flatten(x),
        ops.transpose(x),
        ops.getitem(x, index=[0, 0]),
        ops.broadcast_to(x, shape=(4, 2, 3)),
    ):
        assert y.dtype == pullback(y).dtype == dtype
    for y, pullback in (ops.stack(x, x), ops.concatenate(x, x)):
        assert [y.dtype, *(g.dtype for g in pullback(y))] == [dtype] * 3


def test_m9_a_batch_of_one_stays_a_batch_and_an_empty_one_too():
    for n in (0, 1):
        x = np.ones((n, 3, 4))
        assert ops.flatten(x)[0].shape == (n, 12)
        y, pullback = ops.reshape_samples(x, shape=(2, -1))
        assert y.shape == (n, 2, 6)
        assert pullback(y).shape == x.shape


def test_functions_take_lists_of_tensors_and_arrays():
    assert F.concatenate([X, X], axis=1).shape == (2, 6, 4)
    assert F.stack((X, X)).shape == (2, 2, 3, 4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: ops.reshape(X, shape=(5, 5)),
            ValueError,
            r"reshape: expected a shape of 24 numbers, got \(5",
        ),
        (
            lambda: ops.reshape(X, shape=(-1, -1)),
            ValueError,
            r"reshape: expected a shape of 24 numbers, got \(-",
        ),
        (
            lambda: ops.reshape(X, shape=(-4, -6)),
            ValueError,
            r"reshape: expected a shape of 24 numbers, got \(-",
        ),
        (lambda: ops.reshape(X, shape=(-1, 7)), ValueError, "reshape: expected a shape of 24 numbers"),
        (lambda: ops.reshape(X, shape=(-1, 0)), ValueError, "reshape: expected a shape of 24 numbers"),
        (lambda: ops.reshape([1], shape=(1,)), TypeError, "reshape: expected an array, got list"),
        (lambda: ops.flatten(np.array(1.0)), ValueError, r"flatten: expected \(N, \.\.\.\), got a 0-d array"),
        (
            lambda: ops.reshape_samples(np.array(1.0), shape=()),
            ValueError,
            r"reshape: expected \(N, \.\.\.\)",
        ),
        (
            lambda: ops.reshape_samples(X, shape=(5,)),
            ValueError,
            r"reshape: expected samples of 5 numbers for \(5,\), got shape \(2, 3, 4\)",
        ),
        (lambda: ops.reshape_samples(X, shape=(-1, -1)), ValueError, "reshape: expected samples"),
        (lambda: ops.transpose(X, axes=(0, 1)), ValueError, r"transpose: expected each of the 3 axes once"),
        (lambda: ops.transpose(X, axes=(0, 0, 1)), ValueError, r"got \(0, 0, 1\)"),
        (
            lambda: ops.transpose(X, axes=(0, 1, 3)),
            ValueError,
            "transpose: expected axis between -3 and 2, got 3",
        ),
        (lambda: ops.getitem(X, index=2), IndexError, "out of bounds"),
        (lambda: ops.broadcast_to(X, shape=(2, 3)), ValueError, "broadcast"),
        (ops.concatenate, ValueError, "concatenate: expected at least one array, got none"),
        (ops.stack, ValueError, "stack: expected at least one array, got none"),
        (lambda: ops.stack(X, X[0]), ValueError, r"stack: expected equal shapes, got \(2, 3, 4\), \(3, 4\)"),
        (
            lambda: ops.concatenate(X, X[:, :2]),
            ValueError,
            r"concatenate: expected equal shapes outside axis 0, got \(2, 3, 4\), \(2, 2, 4\)",
        ),
        (lambda: ops.concatenate(X, X[0]), ValueError, "concatenate: expected equal shapes"),
        (
            lambda: ops.concatenate(X, axis=3),
            ValueError,
            "concatenate: expected axis between -3 and 2, got 3",
        ),
        (lambda: ops.concatenate(np.array(1.0)), ValueError, "of an array with axes"),
        (lambda: ops.stack(X, [1.0]), TypeError, "stack: expected an array, got list"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
