"""Resizing: against loops, PyTorch, and the adjoint in integers."""

import functools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.ops.upsample import upsample
from tests.either import np
from tests.numerics import assert_pullback

RNG = np.random.default_rng(0)
SIZES = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 9)), min_size=1, max_size=3)


def tap(i, n, m, mode):
    """The pixels that output i of m looks at, with their shares."""
    if mode == "nearest":
        return [(math.floor(i * n / m), 1.0)]
    place = min(max((i + 0.5) * n / m - 0.5, 0), n - 1)
    low = math.floor(place)
    return [(low, 1 - (place - low)), (min(low + 1, n - 1), place - low)]


def naive(x, size, mode):
    y = np.zeros((len(x), *size, x.shape[-1]))
    for at in np.ndindex(*size):
        taps = [tap(i, n, m, mode) for i, n, m in zip(at, x.shape[1:-1], size, strict=True)]
        for choice in np.ndindex(*map(len, taps)):
            picked = [t[c] for t, c in zip(taps, choice, strict=True)]
            share = math.prod(s for _, s in picked)
            y[(slice(None), *at)] += share * x[(slice(None), *(p for p, _ in picked))]
    return y


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@given(sizes=SIZES)
def test_equals_loops(mode, sizes):
    x = RNG.normal(size=(2, *(n for n, _ in sizes), 3))
    size = tuple(m for _, m in sizes)
    np.testing.assert_allclose(
        upsample(x, size=size, mode=mode)[0], naive(x, size, mode), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@given(sizes=SIZES)
def test_gradient(mode, sizes):
    x = RNG.normal(size=(2, *(n for n, _ in sizes), 2))
    assert_pullback(functools.partial(upsample, size=tuple(m for _, m in sizes), mode=mode), x)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize(
    "options", [{"scale_factor": 2}, {"scale_factor": (3, 1)}, {"size": (3, 11)}, {"size": 4}]
)
def test_equals_pytorch(torch, mode, options):
    x = RNG.normal(size=(2, 5, 7, 3))
    leaf = torch.tensor(np.moveaxis(x, -1, 1).copy(), requires_grad=True)
    expected = torch.nn.functional.interpolate(leaf, **options, mode=mode)
    y, pullback = upsample(x, **options, mode=mode)
    np.testing.assert_allclose(y, np.moveaxis(expected.detach().numpy(), 1, -1), rtol=1e-12, atol=1e-14)
    dy = RNG.normal(size=y.shape)
    expected.backward(torch.tensor(np.moveaxis(dy, -1, 1).copy()))
    np.testing.assert_allclose(pullback(dy), np.moveaxis(leaf.grad.numpy(), 1, -1), rtol=1e-12, atol=1e-13)


def test_nearest_repeats_pixels_and_its_gradient_sums_them_exactly():
    x = RNG.integers(-9, 9, size=(2, 3, 4, 2)).astype(float)
    y, pullback = upsample(x, scale_factor=(2, 3))
    np.testing.assert_array_equal(y, x.repeat(2, axis=1).repeat(3, axis=2))
    dy = RNG.integers(-9, 9, size=y.shape).astype(float)
    assert (pullback(dy) * x).sum() == (dy * y).sum()


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_the_same_size_is_the_identity_and_a_constant_stays_one(mode):
    x = RNG.normal(size=(2, 3, 4, 2))
    np.testing.assert_array_equal(upsample(x, scale_factor=1, mode=mode)[0], x)
    np.testing.assert_allclose(upsample(np.ones((1, 3, 4, 1)), size=(7, 9), mode=mode)[0], 1, rtol=1e-15)


def test_a_nan_stays_where_it_is():
    x = np.zeros((1, 4, 1))
    x[0, 0] = np.nan
    assert np.isnan(upsample(x, scale_factor=2)[0]).ravel().tolist() == [True] * 2 + [False] * 6


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_m17_keeps_the_dtype(mode, dtype):
    y, pullback = upsample(np.ones((2, 3, 2), dtype), scale_factor=2, mode=mode)
    assert y.dtype == pullback(y).dtype == dtype
    assert upsample(np.ones((0, 3, 2), dtype), scale_factor=2, mode=mode)[1](
        np.ones((0, 6, 2), dtype)
    ).shape == (0, 3, 2)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((1, 3, 3, 1), {}, "expected either scale_factor or size, got scale_factor=None, size=None"),
        ((1, 3, 3, 1), {"scale_factor": 2, "size": 6}, "expected either scale_factor or size"),
        ((1, 3, 3, 1), {"scale_factor": 0}, "expected scale_factor of at least 1, got 0"),
        ((1, 3, 3, 1), {"size": (3,)}, "expected size of 2 entries, one for each axis"),
        (
            (1, 3, 3, 1),
            {"size": 3, "mode": "cubic"},
            'expected mode as "nearest" or "bilinear", got \'cubic\'',
        ),
        ((1, 0, 3, 1), {"size": 3}, r"expected at least one pixel, got shape \(1, 0, 3, 1\)"),
        ((3, 3), {"size": 3}, r"expected \(N, T, C\) or"),
    ],
)
def test_bad_values(shape, options, message):
    with pytest.raises(ValueError, match=f"upsample: {message}"):
        upsample(np.ones(shape), **options)


def test_bad_types():
    with pytest.raises(TypeError, match="upsample: expected a floating-point array, got int64"):
        upsample(np.ones((1, 3, 1), dtype=int), scale_factor=2)
    with pytest.raises(
        TypeError, match=r"upsample: expected scale_factor as an int or one for each axis, got 1\.5"
    ):
        upsample(np.ones((1, 3, 1)), scale_factor=1.5)
