"""Dropout: a mask that depends on nothing but the seed and the counter."""

import functools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.ops.dropout import dropout
from tests.either import np
from tests.numerics import assert_pullback


def lanes(seed, counter, size):
    """The 16-bit lanes of Philox, taken apart by hand."""
    words = np.random.Philox(key=np.array([seed, counter], dtype=np.uint64)).random_raw(size // 4 + 1)
    packed = b"".join(struct.pack("<Q", int(word)) for word in words)
    return [lane for (lane,) in struct.iter_unpack("<H", packed)][:size]


@given(p=st.floats(0.01, 0.99), seed=st.integers(0, 2**63 - 1), counter=st.integers(0, 2**40))
def test_equals_a_loop_over_the_lanes(p, seed, counter):
    x = np.random.default_rng(0).normal(size=(3, 7))
    k = max(1, round((1 - p) * 65536))
    expected = [
        v * 65536 / k if lane < k else 0 for v, lane in zip(x.ravel(), lanes(seed, counter, 21), strict=True)
    ]
    np.testing.assert_allclose(dropout(x, p=p, seed=seed, counter=counter)[0].ravel(), expected, rtol=1e-15)


def test_the_first_mask_is_pinned():
    kept = dropout(np.ones((2, 6)), p=0.5, seed=5, counter=7)[0] > 0
    expected = [[False, False, False, True, False, True], [False, False, False, False, True, False]]
    np.testing.assert_array_equal(kept, expected)


def test_gradient():
    x = np.random.default_rng(0).normal(size=(4, 5))
    assert_pullback(functools.partial(dropout, p=0.3, seed=1), x)


def test_m14_the_backward_has_the_mask_and_the_scale_of_the_forward():
    x = np.random.default_rng(0).normal(size=(6, 7))
    y, pullback = dropout(x, p=0.4, seed=3)
    np.testing.assert_array_equal(pullback(x), y)
    np.testing.assert_array_equal(np.unique(pullback(np.ones((6, 7)))), [0, 65536 / round(0.6 * 65536)])


@pytest.mark.parametrize("p", [0, 0.0, 1e-9])
def test_nothing_dropped_is_the_identity(p):
    x = np.random.default_rng(0).normal(size=(3, 4))
    y, pullback = dropout(x, p=p, seed=0)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(pullback(x), x)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_keeps_the_share_and_the_expectation(p):
    y = dropout(np.ones(100_000, "float32"), p=p, seed=2)[0]
    assert abs((y > 0).mean() - (1 - p)) < 0.01
    assert abs(y.mean() - 1) < 0.03


def test_the_mask_depends_on_seed_and_counter_alone():
    ones = np.ones((8, 8))
    masks = [dropout(ones, seed=s, counter=c)[0] for s, c in [(0, 0), (0, 1), (1, 0)]]
    assert not np.array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[0], masks[2])
    np.testing.assert_array_equal(masks[0], dropout(ones.astype("float32"), seed=0, counter=0)[0])
    np.testing.assert_array_equal(masks[0], dropout(np.asfortranarray(ones), seed=0, counter=0)[0])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("p", [0.5, 0.999999])
def test_m17_keeps_the_dtype(dtype, p):
    x = np.full((50,), 0.5, dtype=dtype)
    y, pullback = dropout(x, p=p, seed=0)
    assert y.dtype == pullback(y).dtype == dtype
    assert np.isfinite(y).all()


@pytest.mark.parametrize("shape", [(), (0, 3), (1,)])
def test_small_shapes(shape):
    y, pullback = dropout(np.ones(shape), p=0.5, seed=0)
    assert type(y) is np.ndarray
    assert y.shape == pullback(y).shape == shape


@pytest.mark.parametrize("p", [-0.1, 1, 1.0, 1.5, float("nan")])
def test_p_out_of_range(p):
    with pytest.raises(ValueError, match="dropout: expected 0 <= p < 1, got"):
        dropout(np.ones(3), p=p, seed=0)


def test_bad_types():
    with pytest.raises(TypeError, match="dropout: expected p as a number, got str"):
        dropout(np.ones(3), p="half", seed=0)
    with pytest.raises(TypeError, match=r"dropout: expected an array, got list; .* minidl.asarray"):
        dropout([1.0], seed=0)
    with pytest.raises(TypeError, match="dropout: expected a floating-point array, got int64"):
        dropout(np.ones(3, dtype=np.int64), seed=0)
