"""Sums of runs of rows, each on its own."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.backend import segment_sums
from tests.either import np


@given(lengths=st.lists(st.integers(0, 4), min_size=1, max_size=8), columns=st.integers(0, 3))
def test_equals_loops(lengths, columns):
    starts = np.cumsum([0, *lengths])
    rows = np.random.default_rng(0).normal(size=(sum(lengths), columns))
    expected = [rows[a:b].sum(axis=0) for a, b in pairwise(starts.tolist())]
    np.testing.assert_allclose(segment_sums(rows, starts), expected, rtol=1e-13, atol=1e-15)


def test_no_sum_sees_the_rows_of_another():
    rows = np.array([[np.nan], [1.0], [1e300], [1.0]])
    np.testing.assert_array_equal(
        segment_sums(rows, np.array([0, 1, 1, 2, 3, 4])), [[np.nan], [0], [1], [1e300], [1]]
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_keeps_the_dtype(dtype):
    assert segment_sums(np.ones((3, 2), dtype), np.array([0, 1, 3])).dtype == dtype
