"""Lowering and pooling: the kernels give the bits of the formulas over drawn windows."""

import importlib
import math
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minidl import ops
from minidl.backend import xp
from minidl.ops import _lowering
from minidl.ops._kernels import pool, windows
from minidl.ops._kernels._choice import replaced
from minidl.ops._lowering import make_window
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

conv = importlib.import_module("minidl.ops.conv")  # whose name the function has too


@st.composite
def settings(draw: Any, most_padding: bool = False) -> tuple[tuple[int, ...], dict[str, Any]]:
    """The shape of some images, and a window that fits them."""
    rank = draw(st.integers(1, 3))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    size, kernel, stride, dilation = each(1, 6), each(1, 3), each(1, 3), each(1, 2)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    most = [r - 1 if most_padding else 3 for r in reach]
    padding = tuple(tuple(draw(st.integers(0, m)) for _ in range(2)) for m in most)
    assume(all(n + sum(p) >= r for n, p, r in zip(size, padding, reach, strict=True)))
    shape = (draw(st.integers(1, 3)), *size, draw(st.integers(1, 6)))
    return shape, {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}


@given(setting=settings(), groups=st.integers(1, 2), dtype=dtypes, mode=modes, seed=seeds)
def test_windows_to_rows(setting: Any, groups: int, dtype: str, mode: Any, seed: int) -> None:
    shape, options = setting
    shape = (*shape[:-1], groups * shape[-1])
    x = Draws(seed, dtype)(*shape)
    window = make_window(shape[1:-1], owner="test", **options)
    with running(mode):
        equal(windows.im2row(x, window), formula(_lowering.im2row)(x, window))
        got = windows.lowered(x, window, groups, 4)
        if got is not NotImplemented:
            for (seen, rows), (want_seen, want) in zip(
                got, formula(_lowering.lowered)(x, window, groups, 4), strict=True
            ):
                assert seen == want_seen
                equal(rows, want)


@pytest.mark.parametrize("tile", [1, 300, 5000])
def test_windows_to_rows_in_tiles_of_lines_and_of_images(tile: int) -> None:
    x = Draws(0, "float32")(3, 9, 4, 2)
    window = make_window((9, 4), 3, 2, 1, 1, "test")
    with mock.patch.object(_lowering, "TILE", tile), running("forward"):
        want = list(formula(_lowering.lowered)(x, window, 1, 1))
        got = [(seen, rows.copy()) for seen, rows in windows.lowered(x, window, 1, 1)]
    assert [seen for seen, _ in got] == [seen for seen, _ in want]
    equal(
        xp.concatenate([rows for _, rows in got], axis=1),
        formula(_lowering.im2row)(x, window).reshape(1, -1, 18),
    )


@given(setting=settings(), behind=st.booleans(), dtype=dtypes, mode=modes, seed=seeds)
def test_rows_to_windows(setting: Any, behind: bool, dtype: str, mode: Any, seed: int) -> None:
    shape, options = setting
    draw, window = Draws(seed, dtype), make_window(shape[1:-1], owner="test", **options)
    entries = (shape[0], *window.output, math.prod(window.kernel), shape[-1])
    rows = xp.moveaxis(draw(*entries), -2, 0)
    rows = rows if behind else xp.ascontiguousarray(rows)
    x = draw(*shape)
    want = x.copy()
    formula(_lowering.scatter)(rows, want, window)
    with running(mode):
        assert windows.scatter(rows, x, window) is None
        equal(windows.row2im(rows, window), formula(_lowering.row2im)(rows, window))
    equal(x, want)


@given(setting=settings(), outputs=st.integers(1, 5), mode=modes, seed=seeds)
def test_the_gradients_of_a_convolution(setting: Any, outputs: int, mode: Any, seed: int) -> None:
    shape, options = setting
    draw, window = Draws(seed, "float64"), make_window(shape[1:-1], owner="test", **options)
    dy, w = draw(shape[0], *window.output, outputs), draw(*window.kernel, shape[-1], outputs)
    x, drows = draw(*shape), dy.reshape(1, -1, outputs)
    tile = [1, 100, _lowering.TILE][seed % 3]
    with running(mode), mock.patch.object(_lowering, "TILE", tile):
        got = windows.input_gradient(dy, w, window, 1)
        dw = windows.weight_gradient(x, drows, window)
    close(got, formula(conv._input_gradient)(dy, w, window, 1), "float64", beside=(dy,))
    close(dw, formula(conv._weight_gradient)(x, drows, window), "float64", beside=(dy,))


def test_a_convolution_and_its_gradients_are_one_product_each() -> None:
    draw = Draws(1, "float32")
    x, w, b = draw(3, 8, 8, 5), draw(3, 3, 5, 4), draw(4)
    y, back = formula(ops.conv)(x, w, b, padding=1)
    want = back(y)
    products = []

    def matmul(left: Any, right: Any, **out: Any) -> Any:
        products.append((left.ndim, right.ndim))
        return product(left, right, **out)

    product = xp.matmul
    with running(None), mock.patch.object(xp, "matmul", matmul), _kernels_in_place():
        got, back = formula(ops.conv)(x, w, b, padding=1)
        close(got, y, "float32")
        close(back(y), want, "float32", bound=1e-4)
    assert products == [(2, 2)] * 3


def _kernels_in_place() -> Any:
    """Let convolutions run the kernels of windows."""
    chosen = {
        "lowered": replaced(formula(_lowering.lowered), "windows:lowered"),
        "_input_gradient": replaced(formula(conv._input_gradient), "windows:input_gradient"),
        "_weight_gradient": replaced(formula(conv._weight_gradient), "windows:weight_gradient"),
    }
    return mock.patch.multiple(conv, **chosen)


@given(
    setting=settings(most_padding=True),
    ceil=st.booleans(),
    ties=st.booleans(),
    dtype=dtypes,
    mode=modes,
    seed=seeds,
)
def test_max_pool(setting: Any, ceil: bool, ties: bool, dtype: str, mode: Any, seed: int) -> None:
    shape, options = setting
    draw = Draws(seed, dtype)
    x = draw.whole(*shape) if ties else draw(*shape)
    agree(ops.max_pool, pool.max_pool, (x,), mode, {**options, "ceil_mode": ceil}, draw.strided, bound=0.0)


@given(mode=modes, seed=seeds, kernel=st.integers(1, 3), stride=st.integers(1, 3))
def test_max_pool_of_numbers_without_bounds(mode: Any, seed: int, kernel: int, stride: int) -> None:
    draw = Draws(seed, "float32")
    x = xp.asarray(draw.generator.choice([np.nan, np.inf, -np.inf, 0.0, 1.0], (2, 7, 2)).astype("float32"))
    options = {"kernel_size": kernel, "stride": stride}
    agree(ops.max_pool, pool.max_pool, (x,), mode, options, draw, bound=0.0)


@given(
    setting=settings(most_padding=True),
    ceil=st.booleans(),
    counted=st.booleans(),
    dtype=dtypes,
    mode=modes,
    seed=seeds,
)
def test_avg_pool(setting: Any, ceil: bool, counted: bool, dtype: str, mode: Any, seed: int) -> None:
    shape, options = setting
    draw = Draws(seed, dtype)
    options = {**options, "ceil_mode": ceil, "count_include_pad": counted}
    agree(ops.avg_pool, pool.avg_pool, (draw(*shape),), mode, options, draw.strided, bound=0.0)


@pytest.mark.parametrize(
    ("kernel", "arguments", "options"),
    [
        (pool.max_pool, (xp.zeros((0, 3, 3, 1)),), {"kernel_size": 2}),
        (pool.max_pool, (xp.zeros((1, 3)),), {"kernel_size": 2}),
        (pool.max_pool, (xp.zeros((1, 3, 3, 1)),), {"kernel_size": 2, "padding": 2}),
        (pool.avg_pool, (xp.zeros((1, 3, 3, 1), dtype="int64"),), {"kernel_size": 2}),
    ],
)
def test_what_a_kernel_does_not_take_is_left_to_the_formula(
    kernel: Any, arguments: Any, options: Any
) -> None:
    assert kernel(*arguments, **options) is NotImplemented
