"""Sums, maxima and broadcasting of large arrays, against plain NumPy and whole numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import backend
from minidl.backend import asarray, to_numpy, xp
from minidl.ops._rows import RUN_LIMIT, _joined, column_sums, maxima, on_rows, sums

shapes = st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple)


@given(n=st.integers(0, 300), columns=st.integers(0, 70), both=st.booleans())
def test_column_sums_are_exact_for_whole_numbers(n: int, columns: int, both: bool) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.integers(-9, 9, (2, n, columns)).astype(np.float32)
    found = to_numpy(column_sums(asarray(a), asarray(b)) if both else column_sums(asarray(a)))
    np.testing.assert_array_equal(found, (a * b if both else a).sum(axis=0))
    assert found.dtype == np.float32


def test_column_sums_of_many_rows_lose_next_to_nothing() -> None:
    x = np.full((1 << 20, 2), 0.1, np.float32)
    exact = float(np.float32(0.1)) * len(x)
    assert float(column_sums(asarray(x))[0]) == pytest.approx(exact, rel=1e-4)  # one running sum: 4e-2
    both = float(column_sums(asarray(x), asarray(x))[0])
    assert both == pytest.approx(exact * float(np.float32(0.1)), rel=1e-4)


def arranged(a: np.ndarray, layout: str) -> np.ndarray:
    layouts: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "C": np.ascontiguousarray,
        "F": np.asfortranarray,
        "reversed": lambda a: a[..., ::-1].copy()[..., ::-1],
    }
    return layouts[layout](a)


@given(
    shape=shapes,
    data=st.data(),
    dtype=st.sampled_from(["float32", "float64"]),
    layout=st.sampled_from(["C", "F", "reversed"]),
)
def test_sums_and_maxima_along_any_axis(
    shape: tuple[int, ...], data: st.DataObject, dtype: str, layout: str
) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    axes = tuple(data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    a, b = rng.integers(-9, 9, (2, *shape)).astype(dtype)
    x, other = asarray(arranged(a, layout)), asarray(arranged(b, layout))
    for found, wanted in (
        (sums(x, axis=axis), a.sum(axis=axis, keepdims=True)),
        (sums(x, other, axis=axis), (a * b).sum(axis=axis, keepdims=True)),
        (sums(x, axis=axes), a.sum(axis=axes, keepdims=True)),
        (sums(x, other, axis=axes), (a * b).sum(axis=axes, keepdims=True)),
        (maxima(x, axis=axis), a.max(axis=axis, keepdims=True)),
    ):
        np.testing.assert_array_equal(to_numpy(found), wanted)
        assert found.dtype == dtype


@pytest.mark.parametrize("place", [0, 3, 6])
def test_a_nan_is_the_maximum_and_so_is_infinity(place: int) -> None:
    x = np.zeros((2, 7), np.float32)
    x[0, place], x[1, place] = np.nan, np.inf
    np.testing.assert_array_equal(to_numpy(maxima(asarray(x))), [[np.nan], [np.inf]])
    np.testing.assert_array_equal(to_numpy(maxima(asarray(np.full((2, 3), -np.inf)))), [[-np.inf]] * 2)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0, 3)])
def test_without_rows_there_is_nothing_to_find(shape: tuple[int, ...]) -> None:
    x = asarray(np.zeros(shape, np.float32))
    assert maxima(x).shape == sums(x).shape == sums(x, x).shape == (*shape[:-1], 1)


def test_a_sum_of_nothing_is_zero_and_there_is_no_maximum_of_nothing() -> None:
    x = asarray(np.zeros((2, 0), np.float32))
    np.testing.assert_array_equal(to_numpy(sums(x)), [[0], [0]])
    with pytest.raises(ValueError, match="zero-size"):
        maxima(x)


@pytest.mark.parametrize("length", [1000, RUN_LIMIT, RUN_LIMIT + 1, 1 << 20])
def test_long_sums_lose_next_to_nothing(length: int) -> None:
    x = np.random.default_rng(length).uniform(0, 1, (2, length)).astype(np.float32)
    for found, wanted in (
        (sums(asarray(x)), x.astype(np.float64).sum(axis=1)),
        (sums(asarray(x), asarray(x)), (x.astype(np.float64) ** 2).sum(axis=1)),
    ):
        np.testing.assert_allclose(to_numpy(found)[:, 0], wanted, rtol=1e-6)


@given(
    n=st.sampled_from([1, 7, 256, 1024, 2048, 4099, 10816]),
    columns=st.sampled_from([1, 3, 32, 64, 100, 8191, 8192]),
    op=st.sampled_from([np.add, np.subtract, np.multiply]),
    layouts=st.tuples(*[st.sampled_from(["C", "F"])] * 2),
    in_place=st.booleans(),
)
def test_what_is_done_to_rows_is_what_broadcasting_does(
    n: int, columns: int, op: Any, layouts: tuple[str, str], in_place: bool
) -> None:
    n = min(n, max(1, (1 << 18) // columns))
    rng = np.random.default_rng(n + columns)
    a, v = rng.normal(size=(n, columns)).astype(np.float32), rng.normal(size=columns).astype(np.float32)
    rows, wanted = asarray(arranged(a, layouts[0])), op(a, v)
    out = rows if in_place else asarray(arranged(np.zeros_like(a), layouts[1]))
    found = on_rows(getattr(xp, op.__name__), rows, asarray(v), out)
    assert found is out
    np.testing.assert_array_equal(to_numpy(found), wanted)


@pytest.mark.skipif(not backend.CORES, reason="a GPU takes rows as they are")
def test_rows_are_joined_where_it_pays_and_where_they_can_be() -> None:
    assert _joined(8192, 32) == 256  # 8192 numbers
    assert _joined(16 * 26 * 26, 32) == 338  # the least divisor from 256 on
    assert _joined(100, 32) == 1  # too little to pay
    assert _joined(4099, 32) == 1  # a prime
    assert _joined(100, 8192) == 1  # long enough


@pytest.mark.skipif(not backend.CORES, reason="a GPU takes rows as they are")
def test_joined_rows_are_one_long_loop() -> None:
    seen = []

    def op(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
        seen.append((a.shape, b.shape, out.shape))

    x = np.zeros((8192, 32), np.float32)
    on_rows(op, x, x[0], x)
    assert seen == [((32, 8192), (8192,), (32, 8192))]


@pytest.mark.skipif(not backend.CORES, reason="a GPU reduces all axes alike")
def test_where_plain_numpy_is_faster_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.arange(12.0).reshape(3, 4)
    monkeypatch.setattr(xp, "arange", None)  # which the places of maxima need
    monkeypatch.setattr(xp, "einsum", None)
    assert maxima(np.asfortranarray(x)).tolist() == [[3], [7], [11]]
    assert column_sums(x).tolist() == [12, 15, 18, 21]  # of few rows
    assert sums(np.ones((1, RUN_LIMIT + 1))).tolist() == [[RUN_LIMIT + 1]]
