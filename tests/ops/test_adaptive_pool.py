"""Adaptive pooling: against loops, PyTorch and plain average pooling."""

import functools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import ops
from minidl.ops.adaptive_pool import adaptive_avg_pool
from tests.either import np
from tests.numerics import assert_pullback

RNG = np.random.default_rng(0)
SIZES = st.lists(st.tuples(st.integers(1, 7), st.integers(1, 5)), min_size=1, max_size=3)


@given(sizes=SIZES)
def test_equals_loops_and_has_their_gradient(sizes):
    x, out = RNG.normal(size=(2, *(n for n, _ in sizes), 2)), tuple(m for _, m in sizes)
    y = adaptive_avg_pool(x, output_size=out)[0]
    for at in np.ndindex(*out):
        region = [
            slice(math.floor(i * n / m), math.ceil((i + 1) * n / m))
            for i, (n, m) in zip(at, sizes, strict=True)
        ]
        part = x[(slice(None), *region)].reshape(2, -1, 2)
        np.testing.assert_allclose(y[(slice(None), *at)], part.mean(axis=1), rtol=1e-12, atol=1e-14)
    assert_pullback(functools.partial(adaptive_avg_pool, output_size=out), x)


@pytest.mark.parametrize("size", [1, 3, (5, 2), (7, 9)])
def test_equals_pytorch(torch, size):
    x = RNG.normal(size=(2, 7, 5, 3))
    leaf = torch.tensor(np.moveaxis(x, -1, 1).copy(), requires_grad=True)
    expected = torch.nn.functional.adaptive_avg_pool2d(leaf, size)
    y, pullback = adaptive_avg_pool(x, output_size=size)
    np.testing.assert_allclose(y, np.moveaxis(expected.detach().numpy(), 1, -1), rtol=1e-12, atol=1e-14)
    dy = RNG.normal(size=y.shape)
    expected.backward(torch.tensor(np.moveaxis(dy, -1, 1).copy()))
    np.testing.assert_allclose(pullback(dy), np.moveaxis(leaf.grad.numpy(), 1, -1), rtol=1e-12, atol=1e-14)


def test_one_region_is_the_global_mean_and_dividing_sizes_are_plain_pooling():
    x = RNG.normal(size=(2, 6, 4, 3))
    one = adaptive_avg_pool(x, output_size=1)[0][:, 0, 0]
    np.testing.assert_allclose(one, ops.global_avg_pool(x)[0], rtol=1e-12)
    plain = ops.avg_pool(x, kernel_size=(3, 2))[0]
    np.testing.assert_allclose(adaptive_avg_pool(x, output_size=2)[0], plain, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_m17_keeps_the_dtype(dtype):
    y, pullback = adaptive_avg_pool(np.full((2, 70, 2), 2000, dtype), output_size=3)
    assert y.dtype == pullback(y).dtype == dtype
    assert (y == 2000).all()


def test_an_empty_batch():
    y, pullback = adaptive_avg_pool(np.ones((0, 5, 2)), output_size=2)
    assert (y.shape, pullback(y).shape) == ((0, 2, 2), (0, 5, 2))


@pytest.mark.parametrize(
    ("shape", "size", "error", "message"),
    [
        ((1, 4, 4, 1), 0, ValueError, "expected output_size of at least 1, got 0"),
        ((1, 4, 4, 1), (1, 2, 3), ValueError, "expected output_size of 2 entries"),
        ((1, 4, 0, 1), 2, ValueError, r"expected at least one pixel, got shape \(1, 4, 0, 1\)"),
        ((4, 1), 2, ValueError, r"expected \(N, T, C\) or"),
        ((1, 4, 4, 1), 1.5, TypeError, "expected output_size as an int or one for each axis"),
    ],
)
def test_bad_values(shape, size, error, message):
    with pytest.raises(error, match=f"adaptive_avg_pool: {message}"):
        adaptive_avg_pool(np.ones(shape), output_size=size)
