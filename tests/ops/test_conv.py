"""Convolution: four nested loops, its exact derivative, and PyTorch's answer."""

import itertools
import math
import sys
import tracemalloc
from types import ModuleType
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.ops import _lowering
from minidl.ops.conv import conv
from tests.either import np
from tests.numerics import assert_pullback
from tests.windows import Geometry, geometries, naive_conv


def normal(*shape: int, seed: int = 0, dtype: Any = np.float64) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def operands(g: Geometry, n: int, groups: int, each: int, outputs: int) -> tuple[np.ndarray, ...]:
    x = normal(n, *g.size, groups * each)
    return x, normal(*g.kernel_size, each, groups * outputs, seed=1), normal(groups * outputs, seed=2)


def torch_conv(
    torch: ModuleType, arrays: list[np.ndarray], dy: np.ndarray, **options: Any
) -> list[np.ndarray]:
    """The value and the three gradients by PyTorch, brought back to channels last."""
    x, w, b = (torch.tensor(a) for a in arrays)
    x, w = x.movedim(-1, 1).requires_grad_(), w.movedim((-1, -2), (0, 1)).requires_grad_()
    b.requires_grad_()
    y = getattr(torch.nn.functional, f"conv{x.ndim - 2}d")(x, w, b, **options)
    y.backward(torch.tensor(dy).movedim(-1, 1))
    parts = y.movedim(1, -1), x.grad.movedim(1, -1), w.grad.movedim((0, 1), (-1, -2)), b.grad
    return [part.detach().numpy() for part in parts]


def tiles_of(size: float) -> Any:
    """Let the lowering have tiles of so many bytes."""
    return mock.patch.object(_lowering, "TILE", size)


small = st.integers(1, 2)
tile_sizes = st.sampled_from([1, 1000, math.inf])


@given(geometries(), st.integers(0, 3), st.integers(1, 3), st.integers(1, 5), small, tile_sizes)
def test_a_convolution_is_nested_loops(
    g: Geometry, n: int, groups: int, each: int, outputs: int, tile: float
) -> None:
    x, w, b = operands(g, n, groups, each, outputs)
    with tiles_of(tile):
        y, _ = conv(x, w, b, groups=groups, **g.options("kernel_size"))
    np.testing.assert_allclose(y, naive_conv(x, w, b, g, groups), rtol=1e-12, atol=1e-12)
    assert y.dtype == np.float64


@given(geometries(), st.integers(1, 3), st.integers(1, 3), st.integers(1, 5), small, tile_sizes)
def test_the_gradients_are_the_derivatives(
    g: Geometry, n: int, groups: int, each: int, outputs: int, tile: float
) -> None:
    arrays = operands(g, n, groups, each, outputs)
    with tiles_of(tile):
        assert_pullback(lambda x, w, b: conv(x, w, b, groups=groups, **g.options("kernel_size")), *arrays)


@given(geometries(), st.integers(1, 2), small, small)
def test_pixels_may_gather_their_gradient_or_windows_scatter_it(
    g: Geometry, groups: int, each: int, outputs: int
) -> None:
    x, w, _ = (np.rint(3 * a) for a in operands(g, 2, groups, each, outputs))
    y, pullback = conv(x, w, groups=groups, **g.options("kernel_size"))
    dy = np.rint(3 * normal(*y.shape, seed=3))
    answers = []
    for gathers in (True, False):
        with mock.patch.object(sys.modules["minidl.ops.conv"], "_pays_to_gather", lambda *_, g=gathers: g):
            answers.append(pullback(dy)[:2])
    for gathered, scattered in zip(*answers, strict=True):
        np.testing.assert_array_equal(gathered, scattered)


@pytest.mark.parametrize(
    ("images", "size", "channels", "outputs", "expected"),
    [
        (64, (24, 24), 32, 64, (3, 24)),  # whole images fit
        (2, (24, 24), 32, 64, (2, 24)),  # more than there are
        (64, (224, 224), 32, 64, (1, 8)),  # part of an image
        (64, (7, 7), 512, 512, (10, 7)),  # small images, large weights
        (1, (3, 5000), 512, 1, (1, 1)),  # not even a line
    ],
)
def test_a_tile_fits_the_cache_but_is_worth_reading_the_weights(
    images: int, size: tuple[int, int], channels: int, outputs: int, expected: tuple[int, int]
) -> None:
    window = _lowering.make_window(size, 3, 1, "same", 1, "op")
    with tiles_of(1 << 21):
        tiles = _lowering.tiles(images, window, 9 * channels * 4, outputs)
    largest = tiles[0]
    assert (largest.images.stop, largest.window.output[0]) == expected
    seen = [i for tile in tiles for i in range(images * math.prod(size))[tile.windows]]
    assert seen == list(range(images * math.prod(size)))
    with tiles_of(math.inf):
        assert len(_lowering.tiles(images, window, 9 * channels * 4, outputs)) == 1


def test_without_a_limit_to_tiles_there_is_one_product_for_each_gradient() -> None:
    x, w = normal(5, 9, 9, 6), normal(3, 3, 6, 7, seed=1)
    with tiles_of(math.inf), mock.patch.object(np, "matmul", wraps=np.matmul) as matmul:
        y, pullback = conv(x, w, padding=1)
        assert matmul.call_count == 1
        pullback(y)
        assert matmul.call_count == 3
    assert all(a.ndim == 2 for call in matmul.call_args_list for a in call.args)


def test_memory_does_not_grow_with_the_kernel() -> None:
    peaks = []
    for kernel in (3, 7):
        x, w = (
            normal(256, 16, 16, 8, dtype=np.float32),
            normal(kernel, kernel, 8, 8, seed=1, dtype=np.float32),
        )
        tracemalloc.start()
        y, pullback = conv(x, w, padding="same")
        pullback(y)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    small_kernel, large_kernel = peaks
    assert large_kernel < 1.1 * small_kernel
    assert large_kernel < 5 * x.nbytes  # a lowering of the whole batch would be 49 times as large


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")  # PyTorch's, of speed
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1},
        {"dilation": 2, "padding": 2},
        {"padding": 3},
        {"groups": 2},
        {"groups": 4, "padding": 1},
        {"stride": 3, "groups": 2, "dilation": 2, "padding": 3},
        {"padding": "same"},
        {"padding": "same", "dilation": 2},
        {"padding": "valid", "stride": 2},
    ],
    ids=str,
)
def test_pytorch_agrees(torch: ModuleType, rank: int, options: dict[str, Any]) -> None:
    x, b = normal(2, *(9, 8, 7)[:rank], 4), normal(8, seed=2)
    w = normal(*(3, 2, 3)[:rank], 4 // options.get("groups", 1), 8, seed=1)
    y, pullback = conv(x, w, b, **options)
    dy = normal(*y.shape, seed=3)
    expected = torch_conv(torch, [x, w, b], dy, **options)
    for ours, theirs in zip((y, *pullback(dy)), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def test_same_padding_with_a_stride_is_that_of_keras() -> None:
    x = normal(1, 6, 6, 2)
    w = normal(3, 3, 2, 3, seed=1)
    y, _ = conv(x, w, stride=2, padding="same")
    padded = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))  # the odd pixel comes after
    np.testing.assert_allclose(y, conv(padded, w, stride=2)[0], rtol=1e-12)
    assert y.shape == (1, 3, 3, 3)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float16, 3e-3), (np.float32, 1e-5), (np.float64, 1e-12)]
)
def test_the_dtype_that_goes_in_comes_out(dtype: Any, tolerance: float) -> None:
    x, w, b = normal(2, 6, 6, 3), normal(3, 3, 3, 4, seed=1) / 5, normal(4, seed=2)
    y, pullback = conv(*(a.astype(dtype) for a in (x, w, b)), padding=1)
    dy = normal(*y.shape, seed=3)
    exact, exact_pullback = conv(x, w, b, padding=1)
    results = zip((y, *pullback(dy.astype(dtype))), (exact, *exact_pullback(dy)), strict=True)
    for ours, reference in results:
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, reference, rtol=tolerance, atol=tolerance * abs(reference).max())


def test_half_precision_is_added_up_in_single() -> None:
    x, w = np.ones((1, 70, 70, 1), np.float16), np.ones((70, 70, 1, 1), np.float16)
    y, pullback = conv(x, w)
    assert y.ravel().tolist() == [4900]  # counting in float16 stops at 2048
    assert pullback(np.ones_like(y))[1].max() == 1


def test_half_precision_gradients_are_added_up_in_single() -> None:
    x, w, b = np.ones((1, 70, 70, 1), np.float16), np.ones((1, 1, 1, 1), np.float16), np.zeros(1, np.float16)
    y, pullback = conv(x, w, b)
    dy = np.full_like(y, 1 / 3)
    _, dw, db = pullback(dy)
    assert dw.ravel().tolist() == db.tolist() == [np.float16(4900 * float(dy[0, 0, 0, 0]))]


@pytest.mark.parametrize("n", [0, 1, 2, 129, 300])
def test_a_batch_is_its_rows(n: int) -> None:
    w = normal(3, 3, 2, 4)
    x = normal(n, 5, 5, 2)
    y, pullback = conv(x, w, padding=1)
    assert y.shape == (n, 5, 5, 4)
    dy = normal(*y.shape, seed=3)
    dx, dw, _ = pullback(dy)
    assert dx.shape == x.shape
    total = np.zeros_like(w)
    for i in range(n):
        one, one_pullback = conv(x[i : i + 1], w, padding=1)
        one_dx, one_dw, _ = one_pullback(dy[i : i + 1])
        np.testing.assert_allclose(y[i : i + 1], one, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(dx[i : i + 1], one_dx, rtol=1e-10, atol=1e-12)
        total += one_dw
    np.testing.assert_allclose(dw, total, rtol=1e-10, atol=1e-11)


def test_gradients_of_parameters_are_sums_over_the_batch() -> None:  # not means
    x, w, b = normal(1, 4, 4, 2), normal(2, 2, 2, 3, seed=1), normal(3, seed=2)
    y, pullback = conv(x, w, b)
    dy = normal(*y.shape, seed=3)
    _, dw, db = pullback(dy)
    _, pullback_twice = conv(np.concatenate([x, x]), w, b)
    _, dw_twice, db_twice = pullback_twice(np.concatenate([dy, dy]))
    np.testing.assert_allclose(dw_twice, 2 * dw, rtol=1e-12)
    np.testing.assert_allclose(db_twice, 2 * db, rtol=1e-12)


def test_the_layout_in_memory_makes_no_difference() -> None:
    x, w, b = normal(2, 6, 5, 3), normal(3, 2, 3, 4, seed=1), normal(4, seed=2)
    y, pullback = conv(x, w, b, padding=1, stride=2)
    dy = normal(*y.shape, seed=3)
    expected = (y, *pullback(dy))
    fortran = [np.asfortranarray(a) for a in (x, w, b)]
    strided = [np.repeat(a, 2, axis=-1)[..., ::2] for a in (x, w, b)]
    for arrays, upstream in ((fortran, np.asfortranarray(dy)), (strided, np.repeat(dy, 2, axis=0)[::2])):
        for a in (*arrays, upstream):
            a.flags.writeable = False
        y, pullback = conv(*arrays, padding=1, stride=2)
        for ours, reference in zip((y, *pullback(upstream)), expected, strict=True):
            np.testing.assert_allclose(ours, reference, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 7, 1, 1), (3, 1, 7, 1), (1, 7, 7, 1), (5, 1, 1, 3)])
def test_axes_of_length_one_are_nothing_special(shape: tuple[int, ...]) -> None:
    g = Geometry(shape[1:-1], (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
    x = normal(*shape[:-1], 4)[..., : shape[-1]]  # a slice keeps the strides of its base
    w, b = normal(3, 3, shape[-1], 2, seed=1), normal(2, seed=2)
    for a in (x, x.copy(), np.swapaxes(np.swapaxes(x, 0, 3).copy(), 0, 3)):
        np.testing.assert_allclose(
            conv(a, w, b, padding=1)[0], naive_conv(x, w, b, g), rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize("shape", [(1, 0, 3), (2, 4, 0, 3), (2, 0, 4, 3), (2, 0, 0, 3)])
@pytest.mark.parametrize("outputs", [0, 2, 64])
def test_an_image_without_pixels_is_all_padding(shape: tuple[int, ...], outputs: int) -> None:
    x, w = normal(*shape), normal(*(2 for _ in shape[1:-1]), 3, outputs, seed=1)
    y, pullback = conv(x, w, np.arange(1.0, outputs + 1), padding=1)
    np.testing.assert_array_equal(y, np.broadcast_to(np.arange(1.0, outputs + 1), y.shape))
    dx, dw, db = pullback(np.ones_like(y))
    assert dx.shape == shape
    assert dw.shape == w.shape
    assert not dw.any()
    assert db.tolist() == [y[..., 0].size if outputs else 0] * outputs


def test_a_kernel_of_one_pixel_is_a_dense_layer() -> None:
    x, w, b = normal(2, 4, 5, 3), normal(1, 1, 3, 6, seed=1), normal(6, seed=2)
    np.testing.assert_allclose(conv(x, w, b)[0], x @ w[0, 0] + b, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(conv(x, w, stride=2)[0], x[:, ::2, ::2] @ w[0, 0], rtol=1e-12, atol=1e-12)


def test_groups_see_their_own_channels_alone() -> None:
    x, w = normal(2, 5, 5, 6), normal(3, 3, 2, 9, seed=1)
    y, _ = conv(x, w, groups=3)
    parts = [conv(x[..., 2 * i : 2 * i + 2], w[..., 3 * i : 3 * i + 3])[0] for i in range(3)]
    np.testing.assert_allclose(y, np.concatenate(parts, axis=-1), rtol=1e-12, atol=1e-12)


def test_the_input_gradient_can_be_refused() -> None:
    x, w = normal(2, 5, 5, 2), normal(3, 3, 2, 3, seed=1)
    y, pullback = conv(x, w)
    dx, dw, db = pullback(y, input_grad=False)
    assert dx is None
    assert db is None
    np.testing.assert_array_equal(dw, pullback(y)[1])


def test_pixels_that_no_window_sees_have_no_gradient() -> None:
    x, w = normal(1, 6, 6, 1), normal(2, 2, 1, 1, seed=1)
    y, pullback = conv(x, w, stride=3)
    seen = pullback(np.ones_like(y))[0] != 0
    assert np.flatnonzero(seen.any(axis=(0, 2, 3))).tolist() == [0, 1, 3, 4]


def test_nan_and_inf_pass_through() -> None:
    x, w = normal(1, 5, 5, 1), np.ones((3, 3, 1, 1))
    x[0, 0, 0, 0], x[0, 4, 4, 0] = np.nan, np.inf
    y, _ = conv(x, w)
    assert np.isnan(y[0, 0, 0, 0])
    assert y[0, 2, 2, 0] == np.inf
    assert np.isfinite(y).sum() == 7


def test_what_comes_out_is_an_array_of_its_own() -> None:
    x, w = normal(2, 3, 3, 2), np.eye(2).reshape(1, 1, 2, 2)
    y, pullback = conv(x, w)
    dx, *_ = pullback(y)
    assert not np.shares_memory(y, x)
    assert not np.shares_memory(dx, y)


@pytest.mark.parametrize(
    ("x", "w", "message"),
    [
        ((2, 8, 8, 4), (3, 3, 3, 5), r"^conv: expected \(N, H, W, 3\), got \(2, 8, 8, 4\)$"),
        (
            (2, 3, 8, 8),
            (3, 3, 3, 5),
            r"^conv: expected \(N, H, W, 3\), got \(2, 3, 8, 8\); "
            r"channels-first input\? use minidl.channels_last\(x\)$",
        ),
        ((2, 3, 8), (5, 3, 5), r"expected \(N, T, 3\), got \(2, 3, 8\); channels-first input\?"),
        ((2, 4, 4, 4), (3, 3, 3, 3, 5), r"conv: expected \(N, D, H, W, 3\), got \(2, 4, 4, 4\)$"),
        ((8, 8, 3), (3, 3, 3, 5), r"conv: expected \(N, H, W, 3\), got \(8, 8, 3\)$"),
        ((2, 3), (3, 5), r"conv: expected a weight \(\*kernel, C / groups, O\), got \(3, 5\)"),
        ((2, 2, 4, 3), (3, 3, 3, 5), r"no larger than its padded input \(2, 4\), got kernel_size=\(3, 3\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(x: tuple[int, ...], w: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        conv(np.zeros(x), np.zeros(w))


@pytest.mark.parametrize("groups", [0, -1, 2, 7])
def test_groups_that_do_not_divide_the_outputs_are_refused(groups: int) -> None:
    with pytest.raises(
        ValueError, match=f"conv: expected groups that divide the 5 output channels, got groups={groups}"
    ):
        conv(np.zeros((1, 4, 4, 3 * abs(groups))), np.zeros((3, 3, 3, 5)), groups=groups)


def test_other_bad_options_are_refused_by_name() -> None:
    x, w = np.zeros((1, 4, 4, 3)), np.zeros((3, 3, 3, 5))
    with pytest.raises(ValueError, match="conv: expected stride of at least 1, got 0"):
        conv(x, w, stride=0)
    with pytest.raises(ValueError, match="conv: expected padding of at least 0, got -1"):
        conv(x, w, padding=-1)
    with pytest.raises(ValueError, match=r"conv: bias: expected shape \(5,\), got \(3,\)"):
        conv(x, w, np.zeros(3))
    with pytest.raises(TypeError, match=r"conv: expected groups as an int, got float"):
        conv(x, w, groups=1.0)


def test_dtypes_that_do_not_fit_are_refused() -> None:
    x, w = np.zeros((1, 4, 4, 3)), np.zeros((3, 3, 3, 5))
    with pytest.raises(TypeError, match="conv: expected a floating-point array, got int64"):
        conv(x.astype(np.int64), w)
    with pytest.raises(TypeError, match="conv: expected float64 like the weights, got float32"):
        conv(x.astype(np.float32), w)
    with pytest.raises(TypeError, match="conv: expected an array, got list"):
        conv(x.tolist(), w)


def test_pullbacks_may_be_outstanding_in_any_order() -> None:
    w = normal(3, 3, 2, 3)
    inputs = [normal(2, 5, 5, 2, seed=s) for s in range(3)]
    steps = [conv(x, w) for x in inputs]
    alone = [conv(x, w)[1](y) for x, (y, _) in zip(inputs, steps, strict=True)]
    for i in (2, 0, 1, 2):
        for ours, reference in itertools.islice(zip(steps[i][1](steps[i][0]), alone[i], strict=True), 2):
            np.testing.assert_array_equal(ours, reference)
