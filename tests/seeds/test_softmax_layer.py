"""Seed 0: a softmax layer along any axis of an array of any rank, with its exact vector-Jacobian product."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import functional as F


def naive(x: np.ndarray, axis: int) -> np.ndarray:
    """Softmax of every row along the axis, one number at a time."""
    rows = np.moveaxis(x.astype("float64"), axis, -1)
    out = np.empty_like(rows)
    for index in np.ndindex(rows.shape[:-1]):
        e = [np.exp(v - max(rows[index])) for v in rows[index]]
        out[index] = [v / sum(e) for v in e]
    return np.moveaxis(out, -1, axis)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_any_axis_of_any_rank(shape, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=shape) * 5
    layer = minidl.Softmax(axis=axis)
    y = layer.forward(minidl.asarray(x))
    np.testing.assert_allclose(minidl.to_numpy(y), naive(x, axis), rtol=1e-12)

    dy = np.random.default_rng(1).normal(size=shape)
    dx = minidl.to_numpy(layer.backward(minidl.asarray(dy)))
    expected = naive(x, axis) * (dy - (dy * naive(x, axis)).sum(axis=axis, keepdims=True))
    np.testing.assert_allclose(dx, expected, atol=1e-14)


def test_the_default_is_the_last_axis():
    x = minidl.asarray([[2.0, 1.0, 0.1], [1.0, 3.0, 0.2]])
    assert (minidl.Softmax().forward(x) == minidl.Softmax(axis=1).forward(x)).all()


def test_the_pullback_needs_memory_of_the_size_of_its_input():
    import tracemalloc

    x = minidl.asarray(np.random.default_rng(0).normal(size=(4, 20_000)))
    y, pullback = minidl.vjp(F.softmax, x)
    tracemalloc.start()
    pullback(y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * x.nbytes  # a Jacobian of one row alone would be 20,000 times a row


def test_a_list_is_refused():
    with pytest.raises(
        TypeError, match=r"softmax: expected an array, got list; convert it with minidl.asarray"
    ):
        minidl.Softmax().forward([1.0, 2.0])


@pytest.mark.parametrize("axis", [2, -3])
def test_an_axis_out_of_range_is_refused(axis):
    with pytest.raises(ValueError, match=rf"softmax: expected axis between -2 and 1, got {axis}"):
        minidl.Softmax(axis=axis).forward(minidl.asarray([[1.0, 2.0]]))


def test_a_gradient_of_the_wrong_shape_is_refused_with_both_shapes():
    layer = minidl.Softmax()
    layer.forward(minidl.asarray([[1.0, 2.0, 3.0]]))
    with pytest.raises(ValueError, match=r"Softmax\(\): gradient: expected shape \(1, 3\), got \(3, 1\)"):
        layer.backward(minidl.asarray([[1.0], [2.0], [3.0]]))
