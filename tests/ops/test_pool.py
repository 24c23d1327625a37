"""Pooling: nested loops, its exact derivative, and PyTorch's answer."""

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minidl import ops
from minidl.ops._lowering import make_window, row2im
from minidl.ops.pool import _is_partition, avg_pool, global_avg_pool, global_max_pool, max_pool
from tests.either import np
from tests.numerics import assert_pullback
from tests.windows import (
    Geometry,
    ceil_output_size,
    geometries,
    naive_avg_pool,
    naive_max_pool,
    output_size,
)

POOLS = [max_pool, avg_pool]
GLOBAL_POOLS = [global_max_pool, global_avg_pool]


def normal(*shape: int, seed: int = 0, dtype: Any = np.float64) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def distinct(*shape: int, seed: int = 0) -> np.ndarray:
    """Numbers at least 1 apart, so that no finite difference changes which is the largest."""
    return np.random.default_rng(seed).permutation(np.prod(shape, dtype=int)).reshape(shape).astype(float)


@given(geometries(ceil=True), st.integers(0, 2), st.integers(1, 3), st.booleans())
def test_max_pooling_is_nested_loops(g: Geometry, n: int, c: int, ceil_mode: bool) -> None:
    x = normal(n, *g.size, c)
    y, _ = max_pool(x, ceil_mode=ceil_mode, **g.options())
    out = ceil_output_size(g) if ceil_mode else output_size(g)
    np.testing.assert_array_equal(y, naive_max_pool(x, g, out))


@given(geometries(ceil=True), st.integers(0, 2), st.integers(1, 3), st.booleans(), st.booleans())
def test_average_pooling_is_nested_loops(
    g: Geometry, n: int, c: int, ceil_mode: bool, include_pad: bool
) -> None:
    x = normal(n, *g.size, c)
    y, _ = avg_pool(x, ceil_mode=ceil_mode, count_include_pad=include_pad, **g.options())
    out = ceil_output_size(g) if ceil_mode else output_size(g)
    np.testing.assert_allclose(y, naive_avg_pool(x, g, out, include_pad), rtol=1e-12, atol=1e-12)


@given(geometries(ceil=True), st.booleans(), st.booleans())
def test_the_gradients_are_the_derivatives(g: Geometry, ceil_mode: bool, include_pad: bool) -> None:
    options = {"ceil_mode": ceil_mode, **g.options()}
    x = distinct(2, *g.size, 3)
    assume(np.isfinite(max_pool(x, **options)[0]).all())  # a dilated window may jump over a narrow image
    assert_pullback(lambda x: max_pool(x, **options), x)
    assert_pullback(lambda x: avg_pool(x, count_include_pad=include_pad, **options), x)


@given(geometries(ceil=True))
def test_the_pullbacks_are_exact_adjoints(g: Geometry) -> None:
    # Max pooling picks entries: it is linear where the picks stay the same, and <y, dy> = <x, dx>.
    x = np.rint(5 * normal(2, *g.size, 3))
    y, pullback = max_pool(x, **g.options())
    dy = np.rint(5 * normal(*y.shape, seed=1)) * np.isfinite(y)
    assert (np.where(np.isfinite(y), y, 0) * dy).sum() == (x * pullback(dy)).sum()


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 2},
        {"kernel_size": 3, "stride": 2},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
        {"kernel_size": 2, "stride": 3, "ceil_mode": True},
        {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True},
        {"kernel_size": 3, "stride": 1, "padding": 1},
        {"kernel_size": 4, "stride": 4, "ceil_mode": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [7, 8, 10])
def test_pytorch_agrees(torch: ModuleType, rank: int, size: int, options: dict[str, Any]) -> None:
    F = torch.nn.functional  # noqa: N806
    x = np.rint(2 * normal(2, *(size, size - 1, size - 2)[:rank], 3))  # many ties
    of_torch = [
        (max_pool, getattr(F, f"max_pool{rank}d"), {}),
        (avg_pool, getattr(F, f"avg_pool{rank}d"), {"count_include_pad": True}),
        (avg_pool, getattr(F, f"avg_pool{rank}d"), {"count_include_pad": False}),
    ]
    for ours, theirs, extra in of_torch:
        first = torch.tensor(x).movedim(-1, 1).contiguous().requires_grad_()
        expected = theirs(first, **options, **extra)
        y, pullback = ours(x, **options, **extra)
        np.testing.assert_allclose(y, expected.movedim(1, -1).detach().numpy(), rtol=1e-12)
        dy = normal(*y.shape, seed=1)
        expected.backward(torch.tensor(dy).movedim(-1, 1))
        np.testing.assert_allclose(pullback(dy), first.grad.movedim(1, -1).numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dilation", [2, (1, 3)])
def test_pytorch_agrees_on_dilation(torch: ModuleType, dilation: Any) -> None:
    x = normal(2, 9, 10, 3)
    options = {"kernel_size": (3, 2), "stride": (1, 2), "padding": 1, "dilation": dilation, "ceil_mode": True}
    expected = torch.nn.functional.max_pool2d(torch.tensor(x).movedim(-1, 1), **options).movedim(1, -1)
    np.testing.assert_array_equal(max_pool(x, **options)[0], expected.numpy())


def test_the_padding_of_max_pooling_is_minus_infinity() -> None:  # not zero
    y, pullback = max_pool(np.full((1, 3, 3, 1), -5.0), kernel_size=3, stride=1, padding=1)
    assert np.unique(y).tolist() == [-5]
    assert pullback(np.ones_like(y)).sum() == 9  # nothing was sent into the padding


def test_the_first_of_equal_entries_takes_the_gradient() -> None:
    _, pullback = max_pool(np.zeros((1, 4, 4, 1)), kernel_size=2)
    dx = pullback(np.arange(1.0, 5).reshape(1, 2, 2, 1))[0, :, :, 0]
    assert dx.tolist() == [[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]]


def test_overlapping_windows_add_their_gradients() -> None:
    x = np.array([0.0, 9, 1, 2]).reshape(1, 4, 1)
    y, pullback = max_pool(x, kernel_size=2, stride=1)
    assert y.ravel().tolist() == [9, 9, 2]
    assert pullback(np.array([1.0, 10, 100]).reshape(1, 3, 1)).ravel().tolist() == [0, 11, 0, 100]


def test_windows_of_minus_infinity_send_their_gradient_into_the_image() -> None:
    y, pullback = max_pool(np.full((1, 2, 2, 1), -np.inf), kernel_size=3, stride=1, padding=1)
    assert np.all(y == -np.inf)
    assert pullback(np.ones_like(y)).ravel().tolist() == [4, 0, 0, 0]


def test_nan_wins_over_every_number() -> None:
    x = np.array([[1, np.nan, 3, np.inf], [5, 6, 7, 8]]).reshape(1, 2, 4, 1)
    y, pullback = max_pool(x, kernel_size=2)
    np.testing.assert_array_equal(y.ravel(), [np.nan, np.inf])
    assert pullback(np.array([10.0, 20]).reshape(y.shape)).ravel().tolist() == [0, 10, 0, 20, 0, 0, 0, 0]
    np.testing.assert_array_equal(avg_pool(x, kernel_size=2)[0].ravel(), [np.nan, np.inf])


def test_an_infinite_gradient_stays_where_it_belongs() -> None:
    x = np.array([1.0, 2, 4, 3]).reshape(1, 4, 1)
    _, pullback = max_pool(x, kernel_size=2)
    assert pullback(np.array([np.inf, 1]).reshape(1, 2, 1)).ravel().tolist() == [0, np.inf, 1, 0]


@given(geometries(ceil=True), st.booleans())
def test_a_partition_has_one_window_for_each_pixel(g: Geometry, ceil_mode: bool) -> None:
    window = make_window(g.size, **g.options(), owner="max_pool", ceil_mode=ceil_mode)
    seen = row2im(np.ones((math.prod(window.kernel), 1, *window.output, 1)), window)
    assert bool((seen == 1).all()) or not _is_partition(window)


@pytest.mark.parametrize(
    ("size", "options", "expected"),
    [
        ((4, 6), {"kernel_size": 2}, True),
        ((4, 6), {"kernel_size": (4, 3)}, True),
        ((5, 6), {"kernel_size": 2}, False),
        ((4,), {"kernel_size": 2, "padding": ((1, 0),)}, False),
        ((4,), {"kernel_size": 3, "stride": 2, "padding": 1}, False),
        ((4,), {"kernel_size": 2, "dilation": 2}, False),
        ((6,), {"kernel_size": 2, "stride": 3}, False),
    ],
)
def test_what_is_a_partition(size: tuple[int, ...], options: dict[str, Any], expected: bool) -> None:
    given = {"stride": options["kernel_size"], "padding": 0, "dilation": 1, **options}
    assert _is_partition(make_window(size, **given, owner="max_pool")) is expected


def test_rows_behind_the_last_full_window_have_no_gradient() -> None:
    x = distinct(1, 5, 5, 1)
    for pool in POOLS:
        y, pullback = pool(x, kernel_size=2)
        assert y.shape == (1, 2, 2, 1)
        dx = pullback(np.ones_like(y))
        assert not dx[:, 4].any()
        assert not dx[:, :, 4].any()


def test_what_lies_behind_the_padding_never_counts() -> None:
    x = np.ones((1, 4, 1))
    y, _ = avg_pool(x, kernel_size=3, stride=2, ceil_mode=True)
    assert y.ravel().tolist() == [1, 1]  # the second window has two entries
    y, _ = avg_pool(x, kernel_size=3, stride=3, padding=1, ceil_mode=True)
    np.testing.assert_allclose(y.ravel(), [2 / 3, 2 / 3])


def test_a_window_that_jumps_over_the_image_sees_nothing() -> None:
    options = {"kernel_size": 2, "dilation": 2, "padding": 1}
    x = np.ones((1, 1, 1))
    for pool, extra, value in ((max_pool, {}, -np.inf), (avg_pool, {"count_include_pad": False}, 0)):
        y, pullback = pool(x, **options, **extra)
        assert y.ravel().tolist() == [value]
        assert pullback(np.ones_like(y)).ravel().tolist() == [0]


@pytest.mark.parametrize("pool", POOLS)
def test_an_int_kernel_takes_its_rank_from_the_input(pool: Callable[..., Any]) -> None:
    for rank in (1, 2, 3):
        x = normal(2, *(4, 5, 6)[:rank], 3)
        y, _ = pool(x, kernel_size=2)
        np.testing.assert_array_equal(y, pool(x, kernel_size=(2,) * rank, stride=(2,) * rank)[0])
        assert y.shape == (2, *(2, 2, 3)[:rank], 3)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("n", [0, 1, 3, 130])
def test_a_batch_is_its_rows(pool: Callable[..., Any], n: int) -> None:
    x = normal(n, 5, 6, 2)
    options = {"kernel_size": 3, "stride": 2, "padding": 1}
    y, pullback = pool(x, **options)
    assert y.shape == (n, 3, 3, 2)
    dy = normal(*y.shape, seed=1)
    dx = pullback(dy)
    assert dx.shape == x.shape
    for i in range(n):
        one, one_pullback = pool(x[i : i + 1], **options)
        np.testing.assert_array_equal(y[i : i + 1], one)
        np.testing.assert_array_equal(dx[i : i + 1], one_pullback(dy[i : i + 1]))


@pytest.mark.parametrize("pool", POOLS)
def test_the_layout_in_memory_makes_no_difference(pool: Callable[..., Any]) -> None:
    x = normal(2, 6, 5, 3)
    y, pullback = pool(x, kernel_size=2)
    dy = normal(*y.shape, seed=1)
    for layout in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=-1)[..., ::2]):
        other, upstream = layout(x), layout(dy)
        other.flags.writeable = upstream.flags.writeable = False
        other_y, other_pullback = pool(other, kernel_size=2)
        np.testing.assert_array_equal(other_y, y)
        np.testing.assert_array_equal(other_pullback(upstream), pullback(dy))


@pytest.mark.parametrize("pool", [*POOLS, *GLOBAL_POOLS])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_dtype_that_goes_in_comes_out(pool: Callable[..., Any], dtype: Any) -> None:
    x = normal(2, 4, 4, 3, dtype=dtype)
    y, pullback = pool(x) if pool in GLOBAL_POOLS else pool(x, kernel_size=3, padding=1, stride=2)
    assert y.dtype == dtype
    assert pullback(y).dtype == dtype


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_an_upstream_gradient_may_have_another_dtype(
    pool: Callable[..., Any], stride: int, dtype: Any
) -> None:
    x = normal(2, 4, 4, 3, dtype=np.float32)
    y, pullback = pool(x, kernel_size=2, stride=stride)
    dy = np.round(normal(*y.shape, seed=1))
    dx = pullback(dy.astype(dtype))
    assert dx.dtype == np.float32
    np.testing.assert_array_equal(dx, pullback(dy.astype(np.float32)))


def test_half_precision_is_added_up_in_single() -> None:
    x = np.full((1, 4096, 1), 1.5, np.float16)
    assert avg_pool(x, kernel_size=4096)[0].ravel().tolist() == [1.5]
    y, pullback = avg_pool(np.ones((1, 300, 1), np.float16), kernel_size=1500, stride=1, padding=1499)
    assert pullback(np.full_like(y, 1500))[0, 0, 0].item() == pytest.approx(1500, rel=1e-3)


@given(st.sampled_from([1, 2, 3]), st.integers(0, 3), st.integers(1, 3))
def test_global_pooling_is_pooling_over_the_whole_image(rank: int, n: int, c: int) -> None:
    x = distinct(n, *(2, 3, 2)[:rank], c)
    size = x.shape[1:-1]
    for pool, whole in ((max_pool, global_max_pool), (avg_pool, global_avg_pool)):
        (windows, pullback), (y, global_pullback) = pool(x, kernel_size=size), whole(x)
        np.testing.assert_allclose(y, windows.reshape(n, c), rtol=1e-12)
        dy = normal(n, c, seed=1)
        expected = pullback(dy.reshape(windows.shape))
        np.testing.assert_allclose(global_pullback(dy), expected, rtol=1e-12)


@pytest.mark.parametrize("pool", GLOBAL_POOLS)
def test_global_pooling_has_the_right_gradient(pool: Callable[..., Any]) -> None:
    assert_pullback(pool, distinct(2, 3, 4, 2))


def test_global_max_pooling_gives_ties_to_the_first() -> None:
    y, pullback = global_max_pool(np.zeros((2, 2, 2, 1)))
    assert y.shape == (2, 1)
    assert pullback(np.ones_like(y))[..., 0].tolist() == [[[1, 0], [0, 0]]] * 2


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"stride": 0}, ValueError, "expected stride of at least 1, got 0"),
        ({"padding": -1}, ValueError, "expected padding of at least 0, got -1"),
        (
            {"padding": 2},
            ValueError,
            r"expected padding smaller than the kernel, which reaches over \(2, 2\)",
        ),
        ({"kernel_size": 0}, ValueError, "expected kernel_size of at least 1, got 0"),
        ({"kernel_size": (2, 2, 2)}, ValueError, "expected kernel_size of 2 entries, one for each axis"),
        (
            {"kernel_size": 6},
            ValueError,
            r"no larger than its padded input \(4, 5\), got kernel_size=\(6, 6\)",
        ),
        ({"kernel_size": 2.5}, TypeError, "expected kernel_size as an int"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    pool: Callable[..., Any], options: dict[str, Any], error: type, message: str
) -> None:
    with pytest.raises(error, match=f"^{pool.__name__}: .*{message}"):
        pool(np.zeros((1, 4, 5, 2)), **({"kernel_size": 2} | options))


@pytest.mark.parametrize("pool", [*POOLS, *GLOBAL_POOLS])
def test_what_is_no_image_is_refused(pool: Callable[..., Any]) -> None:
    options = {} if pool in GLOBAL_POOLS else {"kernel_size": 1}
    with pytest.raises(
        ValueError, match=rf"^{pool.__name__}: expected \(N, T, C\) or .*, got shape \(3, 4\)"
    ):
        pool(np.zeros((3, 4)), **options)
    with pytest.raises(TypeError, match=f"^{pool.__name__}: expected a floating-point array, got int64"):
        pool(np.zeros((1, 3, 4), np.int64), **options)
    with pytest.raises(TypeError, match=f"^{pool.__name__}: expected an array, got list"):
        pool([[[1.0]]], **options)


@pytest.mark.parametrize("pool", GLOBAL_POOLS)
def test_an_image_without_pixels_is_refused(pool: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=f"^{pool.__name__}: expected at least one pixel"):
        pool(np.zeros((2, 0, 4, 3)))


def test_a_half_precision_mean_of_a_large_image_still_has_a_gradient():
    x = np.ones((1, 320, 320, 1), np.float16)
    share = np.float16(1 / 320**2)
    for op, options in ((global_avg_pool, {}), (avg_pool, {"kernel_size": 320})):
        y, pullback = op(x, **options)
        assert np.array_equal(pullback(np.ones_like(y)), np.full(x.shape, share))
    y, pullback = ops.mean(x)
    assert np.array_equal(pullback(np.ones_like(y)), np.full(x.shape, share))
