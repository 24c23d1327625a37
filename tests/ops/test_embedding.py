"""Embedding: rows looked up, and gradients summed in a fixed order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import functional as F
from minidl import init
from minidl.layers import Embedding, Linear, Sequential
from minidl.ops.embedding import embedding
from minidl.tensor import Tensor
from tests.either import np
from tests.numerics import assert_pullback

RNG = np.random.default_rng(0)


def naive_gradient(indices, dy, rows, padding_idx=None):
    dw = np.zeros((rows, dy.shape[-1]))
    for i, g in zip(indices.ravel(), dy.reshape(-1, dy.shape[-1]), strict=True):
        if int(i) != padding_idx:
            dw[i] += g
    return dw


@given(
    shape=st.lists(st.integers(0, 4), max_size=3),
    rows=st.integers(1, 6),
    padding=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_equals_loops(shape, rows, padding, seed):
    rng = np.random.default_rng(seed)
    indices, w = rng.integers(0, rows, shape), rng.integers(-9, 9, (rows, 3)).astype(float)
    padding_idx = rows - 1 if padding else None
    y, pullback = embedding(np.asarray(indices), w, padding_idx=padding_idx)
    assert y.shape == (*shape, 3)
    for at in np.ndindex(*shape):
        assert y[at].tolist() == w[np.asarray(indices)[at]].tolist()
    dy = rng.integers(-9, 9, y.shape).astype(float)
    none, dw = pullback(dy)
    assert none is None
    np.testing.assert_array_equal(dw, naive_gradient(np.asarray(indices), dy, rows, padding_idx))


def test_gradient():
    def of_weight(w):
        y, pullback = embedding(np.array([[2, 0, 2], [2, 1, 0]]), w)
        return y, lambda dy: pullback(dy)[1]

    assert_pullback(of_weight, RNG.normal(size=(5, 4)))


@pytest.mark.parametrize("padding_idx", [None, 3, -1])
def test_equals_pytorch(torch, padding_idx):
    indices, w, dy = RNG.integers(0, 10, (6, 7)), RNG.normal(size=(10, 4)), RNG.normal(size=(6, 7, 4))
    leaf = torch.tensor(w, requires_grad=True)
    expected = torch.nn.functional.embedding(torch.tensor(indices), leaf, padding_idx=padding_idx)
    expected.backward(torch.tensor(dy))
    y, pullback = embedding(indices, w, padding_idx=padding_idx)
    np.testing.assert_array_equal(y, expected.detach().numpy())
    np.testing.assert_allclose(pullback(dy)[1], leaf.grad.numpy(), rtol=1e-13, atol=1e-14)


def test_the_gradient_is_the_same_to_the_last_bit():
    indices, w = RNG.integers(0, 5, 5000), np.zeros((5, 2), "float32")
    dy = RNG.normal(size=(5000, 2)).astype("float32")
    pullback = embedding(indices, w)[1]
    np.testing.assert_array_equal(pullback(dy)[1], pullback(dy)[1])


def test_m11_narrow_indices_reach_all_rows():
    w = RNG.normal(size=(300, 2))
    indices = np.arange(200, dtype=np.uint8)
    np.testing.assert_array_equal(embedding(indices, w)[0], w[:200])
    np.testing.assert_array_equal(embedding(indices, w)[1](w[:200])[1][:200], w[:200])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_m17_keeps_the_dtype(dtype):
    y, pullback = embedding(np.zeros(4096, int), np.ones((2, 1), dtype))
    dw = pullback(y)[1]
    assert y.dtype == dw.dtype == dtype
    assert dw.tolist() == [[4096], [0]]  # half precision alone would stop at 2048


def test_a_nan_in_one_gradient_stays_with_its_row():
    dw = embedding(np.array([0, 2]), np.ones((4, 1)))[1](np.array([[np.nan], [1.0]]))[1]
    np.testing.assert_array_equal(dw, [[np.nan], [0], [1], [0]])


@pytest.mark.parametrize(
    ("indices", "shape", "options", "error", "message"),
    [
        ([0, 5], (5, 2), {}, ValueError, "expected indices from 0 to 4, got 5"),
        ([-1], (5, 2), {}, ValueError, "expected indices from 0 to 4, got -1"),
        ([0], (5, 2), {"padding_idx": 5}, ValueError, "expected padding_idx from -5 to 4, got 5"),
        ([0], (5, 2), {"padding_idx": -6}, ValueError, "expected padding_idx from -5 to 4, got -6"),
        ([0], (5, 2), {"padding_idx": 1.0}, TypeError, "expected padding_idx as an int or None, got float"),
        ([0], (5,), {}, ValueError, r"expected a weight \(V, D\) with at least one row, got \(5,\)"),
        ([0], (0, 2), {}, ValueError, r"at least one row, got \(0, 2\)"),
        ([0.0], (5, 2), {}, TypeError, "expected indices as whole numbers, got float64; use minidl.asarray"),
    ],
)
@pytest.mark.usefixtures("costly_checks")
def test_bad_input(indices, shape, options, error, message):
    with pytest.raises(error, match=message):
        embedding(np.array(indices), np.ones(shape), **options)
    with pytest.raises(TypeError, match="embedding: expected indices as an array, got list"):
        embedding([0], np.ones((5, 2)))


def test_the_layer_is_the_op():
    layer = Embedding(7, 3, padding_idx=-2, seed=0)
    assert layer.weight.data[5].tolist() == [0, 0, 0]
    assert 0.5 < abs(layer.weight.data).max() <= 1
    indices, dy = RNG.integers(0, 7, (2, 4)), RNG.normal(size=(2, 4, 3)).astype("float32")
    y, pullback = embedding(indices, layer.weight.data, padding_idx=5)
    np.testing.assert_array_equal(layer.forward(indices), y)
    assert layer.backward(dy) is None
    np.testing.assert_array_equal(layer.weight.grad, pullback(dy)[1])
    assert repr(layer) == "Embedding(7, 3, padding_idx=5)"
    assert repr(Embedding(7, 3)) == "Embedding(7, 3)"
    half = Embedding(7, 3, dtype="float64", weight_init=init.constant(0.5))
    assert (half.weight.data == 0.5).all()
    assert half.weight.data.dtype == np.float64


def test_the_function_gives_gradients_to_the_table():
    table = Tensor(RNG.normal(size=(5, 3)), requires_grad=True)
    indices, dy = np.array([1, 1, 4]), RNG.normal(size=(3, 3))
    F.embedding(indices, table).backward(dy)
    np.testing.assert_allclose(table.grad, naive_gradient(indices, dy, 5), rtol=1e-14)


def test_it_opens_a_chain():
    model = Sequential(Embedding(7, 3, seed=0), Linear(3, 2, seed=1))
    y = model.forward(np.array([[1, 2], [3, 4]]))
    assert model.backward(np.ones_like(y)) is None
    assert all(p.grad is not None for p in model.parameters())


def test_it_is_recorded_on_the_tape():
    layer = Embedding(7, 3, seed=0)
    layer(Tensor(np.array([1, 2]))).sum().backward()
    np.testing.assert_array_equal(layer.weight.grad.sum(axis=1), [0, 3, 3, 0, 0, 0, 0])


@pytest.mark.usefixtures("costly_checks")
def test_a_layer_with_a_padding_index_out_of_range():
    with pytest.raises(ValueError, match="Embedding: expected padding_idx from -7 to 6, got 7"):
        Embedding(7, 3, padding_idx=7)
