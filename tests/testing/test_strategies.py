"""The strategies draw what they promise, and shrink to what can be read."""

import pytest
from hypothesis import find, given
from hypothesis import strategies as st

from minidl.testing import strategies
from tests.either import np


@given(strategies.shapes(2, 3, 0, 4))
def test_shapes_keep_to_their_bounds(shape):
    assert 2 <= len(shape) <= 3
    assert all(0 <= n <= 4 for n in shape)


@given(st.data(), strategies.shapes(0, 4, 0, 5))
def test_arrays_have_no_ties_and_stay_away_from_kinks(data, shape):
    x = data.draw(strategies.arrays(shape, low=-3, high=5, away_from=(0.0, 1.0)))
    assert x.shape == shape
    assert x.dtype == np.float64
    assert len(np.unique(x)) == x.size
    assert all(-3 <= v <= 5 and abs(v) >= 1 / 16 and abs(v - 1) >= 1 / 16 for v in x.flat)


def test_arrays_shrink_to_round_numbers():
    found = find(strategies.arrays(strategies.shapes()), lambda x: x.size >= 2)
    np.testing.assert_array_equal(found, [-0.125, 0.125])


def test_arrays_take_a_dtype():
    assert find(strategies.arrays((2,), dtype="float16"), lambda x: True).dtype == np.float16


def test_arrays_say_where_there_is_no_room():
    with pytest.raises(ValueError, match="expected room for 3 numbers between 0 and 0"):
        find(strategies.arrays((3,), low=0, high=0), lambda x: True)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_extreme_logits_overflow_an_exponential(dtype):
    found = find(strategies.extreme_logits((2,), dtype=dtype), lambda x: float(abs(x).max()) > 10)
    with np.errstate(over="ignore"):
        assert np.isinf(np.exp(abs(found))).any() or abs(found).max() > 10
    assert found.dtype == dtype
    assert np.isfinite(found).all()


@given(strategies.labels((3, 2), classes=4))
def test_labels_are_in_range(target):
    assert target.shape == (3, 2)
    assert target.dtype == np.int64
    assert ((target >= 0) & (target < 4)).all()


@given(st.data(), strategies.shapes(1, 3, 1, 3))
def test_views_have_the_same_values(data, shape):
    x = data.draw(strategies.arrays(shape))
    np.testing.assert_array_equal(data.draw(strategies.views(x)), x)


def test_a_strided_view_is_not_contiguous():
    assert not strategies.strided(np.ones((2, 3))).flags.forc


def test_a_read_only_array_refuses_to_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        strategies.read_only(np.ones(2))[0] = 1


@given(strategies.geometries(ceil=True))
def test_kernels_fit_their_image(g):
    for n, k, (before, after), d in zip(g.size, g.kernel_size, g.padding, g.dilation, strict=True):
        assert n + before + after >= (k - 1) * d + 1
        assert max(before, after) <= (k - 1) * d
    assert set(g.options("dilation")) == {"kernel_size", "stride", "padding"}
