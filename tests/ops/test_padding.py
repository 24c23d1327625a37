"""Padding: against NumPy's, with the exact adjoint."""

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.ops.padding import pad, pad_spatial
from tests.either import np
from tests.numerics import assert_pullback

RNG = np.random.default_rng(0)
MODES = pytest.mark.parametrize("mode", ["constant", "edge", "reflect"])


@MODES
@given(
    axes=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=3)
)
def test_equals_numpy_and_its_pullback_is_the_adjoint(mode, axes):
    shape = tuple(max(n, before + 1, after + 1) for n, before, after in axes)
    width = [(before, after) for _, before, after in axes]
    x = RNG.integers(-9, 9, size=shape).astype(float)
    y, pullback = pad(x, width=width, mode=mode)
    np.testing.assert_array_equal(y, np.pad(x, width, mode=mode))
    dy = RNG.integers(-9, 9, size=y.shape).astype(float)
    assert (y * dy).sum() == (x * pullback(dy)).sum()


@MODES
def test_gradient(mode):
    op = functools.partial(pad, width=[(1, 2), (0, 0), (2, 0)], mode=mode)
    assert_pullback(op, RNG.normal(size=(3, 2, 3)))


@pytest.mark.parametrize(
    ("mode", "theirs"), [("constant", "constant"), ("edge", "replicate"), ("reflect", "reflect")]
)
def test_images_equal_pytorch(torch, mode, theirs):
    x = RNG.normal(size=(2, 5, 4, 3))
    leaf = torch.tensor(np.moveaxis(x, -1, 1).copy(), requires_grad=True)
    expected = torch.nn.functional.pad(leaf, (2, 0, 1, 3), mode=theirs)
    y, pullback = pad_spatial(x, padding=((1, 3), (2, 0)), mode=mode)
    np.testing.assert_array_equal(y, np.moveaxis(expected.detach().numpy(), 1, -1))
    dy = RNG.normal(size=y.shape)
    expected.backward(torch.tensor(np.moveaxis(dy, -1, 1).copy()))
    np.testing.assert_allclose(pullback(dy), np.moveaxis(leaf.grad.numpy(), 1, -1), rtol=1e-12, atol=1e-14)


def test_the_constant_is_the_one_asked_for():
    assert pad(np.ones(1), width=[(1, 2)], value=-3.0)[0].tolist() == [-3, 1, -3, -3]


def test_edges_go_any_distance():
    y, pullback = pad(np.array([1.0, 2.0]), width=[(3, 4)], mode="edge")
    assert y.tolist() == [1, 1, 1, 1, 2, 2, 2, 2, 2]
    assert pullback(np.arange(9.0)).tolist() == [0 + 1 + 2 + 3, 4 + 5 + 6 + 7 + 8]


@pytest.mark.parametrize(
    ("padding", "shape"), [(1, (2, 5, 6, 3)), ((2, 0), (2, 7, 4, 3)), (((1, 0), 2), (2, 4, 8, 3))]
)
def test_only_the_spatial_axes_grow(padding, shape):
    assert pad_spatial(np.ones((2, 3, 4, 3)), padding=padding)[0].shape == shape


@MODES
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_m17_keeps_the_dtype(mode, dtype):
    y, pullback = pad(np.ones((3, 4), dtype), width=[(2, 1), (0, 3)], value=2.0, mode=mode)
    assert y.dtype == pullback(y).dtype == dtype


@MODES
def test_an_empty_batch(mode):
    y, pullback = pad(np.ones((0, 3)), width=[(0, 0), (1, 1)], mode=mode)
    assert (y.shape, pullback(y).shape) == ((0, 5), (0, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: pad(x, width=[(1, 1)]), r"expected a pair \(before, after\) >= 0 for each of the 3 axes"),
        (lambda x: pad(x, width=[(0, 0), (0, -1), (0, 0)]), "expected a pair"),
        (
            lambda x: pad(x, width=[(0, 0)] * 3, mode="wrap"),
            "expected mode as one of constant, reflect, edge, got",
        ),
        (
            lambda x: pad(x, width=[(0, 0), (0, 3), (0, 0)], mode="reflect"),
            r"expected a length of at least 4 along axis 1 for the width \(0, 3\) in mode 'reflect'",
        ),
        (
            lambda x: pad(x[:, :0], width=[(0, 0), (1, 0), (0, 0)], mode="edge"),
            "expected a length of at least 1 along axis 1",
        ),
        (
            lambda x: pad_spatial(x, padding=(1, 1)),
            "expected padding of 1 entries, one for each spatial axis",
        ),
        (lambda x: pad_spatial(x, padding=-1), "expected padding of at least 0"),
        (lambda x: pad_spatial(x[0], padding=1), r"expected \(N, T, C\) or"),
    ],
)
def test_bad_values(call, message):
    with pytest.raises(ValueError, match=f"pad: {message}"):
        call(np.ones((2, 3, 4)))


def test_bad_types():
    with pytest.raises(TypeError, match="pad: expected an array, got list"):
        pad([1.0], width=[(1, 1)])
