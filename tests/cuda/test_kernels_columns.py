"""Sums over columns and batch norm: the kernels agree with the formulas over drawn shapes and dtypes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import ops
from minidl.backend import to_numpy, xp
from minidl.ops import _rows, norm
from minidl.ops._kernels import batch_norm as norms
from minidl.ops._kernels import columns as sums
from tests.cuda.kernels import (
    Draws,
    agree,
    close,
    dtypes,
    equal,
    formula,
    modes,
    needs_kernels,
    running,
    seeds,
)

pytestmark = needs_kernels

shapes = st.tuples(st.lists(st.integers(1, 6), min_size=1, max_size=3), st.integers(1, 9)).map(
    lambda s: (*s[0], s[1])
)


@given(
    rows=st.integers(1, 70),
    columns=st.integers(1, 40),
    both=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]),
    mode=modes,
    seed=seeds,
)
def test_column_sums(rows: int, columns: int, both: bool, dtype: str, mode: Any, seed: int) -> None:
    draw = Draws(seed, dtype)
    arrays = (draw.strided(rows, columns), draw(rows, columns)) if both else (draw.strided(rows, columns),)
    with running(mode):
        got = sums.column_sums(*arrays)
    close(got, formula(_rows.column_sums)(*arrays), dtype, bound=1e-4 if dtype == "float32" else None)


@pytest.mark.parametrize("shape", [(5000, 3), (300, 70), (1, 600), (130, 257), (9, 1)])
def test_column_sums_of_whole_numbers_are_exact(shape: Any) -> None:
    x = Draws(0, "float32").whole(*shape)
    with running("shuffled"):
        equal(sums.column_sums(x), x.sum(axis=0))
        equal(sums.column_sums(x, x), (x * x).sum(axis=0))


@given(shape=shapes, w=st.booleans(), b=st.booleans(), dtype=dtypes, mode=modes, seed=seeds)
def test_batch_norm(shape: Any, w: bool, b: bool, dtype: str, mode: Any, seed: int) -> None:
    if len(shape) < 2 or np.prod(shape[:-1]) < 2:
        shape = (2, 3, shape[-1])
    draw = Draws(seed, dtype)
    arrays = _arrays(draw, shape, w, b)
    bound = 2e-4 if dtype == "float32" else None
    agree(ops.batch_norm, norms.batch_norm, arrays, mode, {"eps": 1e-2}, draw.strided, bound=bound)


@given(shape=shapes, w=st.booleans(), b=st.booleans(), dtype=dtypes, mode=modes, seed=seeds)
def test_batch_norm_in_evaluation(shape: Any, w: bool, b: bool, dtype: str, mode: Any, seed: int) -> None:
    draw = Draws(seed, dtype)
    wide = Draws(seed + 1, "float64" if dtype == "float64" else "float32")
    options = {"mean": wide(shape[-1]), "var": abs(wide(shape[-1])) + 0.1, "eps": 1e-3}
    arrays = _arrays(draw, shape, w, b)
    bound = 1e-4 if dtype == "float32" else None
    agree(
        ops.batch_norm_inference, norms.batch_norm_inference, arrays, mode, options, draw.strided, bound=bound
    )


@pytest.mark.parametrize("shape", [(2000, 3), (65, 130), (3, 300)])
def test_batch_norm_of_many_rows_or_columns(shape: Any) -> None:
    draw = Draws(1, "float64")
    agree(ops.batch_norm, norms.batch_norm, _arrays(draw, shape, True, True), "shuffled", {}, draw)


def test_a_variance_is_not_lost_beside_a_large_mean() -> None:
    x = Draws(2, "float32")(4000, 2, offset=1e3)
    exact = to_numpy(x).astype(np.float64).var(axis=0)
    for mode in (None, "forward"):
        with running(mode):
            (_, _, var), _ = norms.batch_norm(x)
        np.testing.assert_allclose(to_numpy(var), exact, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_running_statistics_move_by_the_bits_of_the_formula(dtype: str) -> None:
    draw = Draws(4, dtype)
    running_mean, new = draw(300), draw(300)
    with running("forward"):
        equal(norms.moved(running_mean, new, 0.1), formula(norm.moved)(running_mean, new, 0.1))


def test_a_gradient_that_nobody_wants_is_not_computed() -> None:
    draw = Draws(3, "float32")
    with running(None):
        _, back = norms.batch_norm(*_arrays(draw, (4, 3), True, True))
        dx, dw, db = back(draw(4, 3), input_grad=False)
    assert dx is None
    assert dw.shape == db.shape == (3,)


@pytest.mark.parametrize(
    ("kernel", "arguments", "options"),
    [
        (norms.batch_norm, (xp.zeros((1, 3)),), {}),
        (norms.batch_norm, (xp.zeros((0, 3)),), {}),
        (norms.batch_norm, (xp.zeros((2, 3)), xp.zeros(2)), {}),
        (norms.batch_norm, (xp.zeros((2, 3)), xp.zeros(3, dtype="float32")), {}),
        (norms.batch_norm_inference, (xp.zeros((2, 3)),), {"mean": xp.zeros(2), "var": xp.zeros(3)}),
        (sums.column_sums, (xp.zeros((0, 3)),), {}),
        (sums.column_sums, (xp.zeros((2, 3), dtype="int64"),), {}),
    ],
)
def test_what_a_kernel_does_not_take_is_left_to_the_formula(
    kernel: Any, arguments: Any, options: Any
) -> None:
    assert kernel(*arguments, **options) is NotImplemented


def _arrays(draw: Draws, shape: Any, w: bool, b: bool) -> tuple[Any, ...]:
    return draw(*shape, offset=1), draw(shape[-1]) if w else None, draw(shape[-1]) if b else None
