"""Transposed convolution: exactly the adjoint of convolution, in integers."""

import functools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import ops
from minidl.ops.conv_transpose import conv_transpose
from tests.either import np
from tests.numerics import assert_pullback
from tests.windows import Geometry, geometries, output_size

RNG = np.random.default_rng(0)


def integers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-8, 9, size=shape).astype(float)


def left_over(g: Geometry, out: tuple[int, ...]) -> tuple[int, ...]:
    """How many pixels at the end of the image no window reaches."""
    return tuple(
        n + before + after - ((m - 1) * s + (k - 1) * d + 1)
        for n, k, s, (before, after), d, m in zip(*g, out, strict=True)
    )


@given(
    g=geometries(),
    groups=st.integers(1, 2),
    channels=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    images=st.integers(0, 2),
)
def test_it_is_exactly_the_adjoint_of_conv(
    g: Geometry, groups: int, channels: tuple[int, int], images: int
) -> None:
    out = output_size(g)
    w = integers(*g.kernel_size, channels[0], channels[1] * groups)
    u = integers(images, *g.size, channels[0] * groups, seed=1)
    x = integers(images, *out, channels[1] * groups, seed=2)
    options = {**g.options("kernel_size"), "groups": groups}
    y, pullback = conv_transpose(x, w, output_padding=left_over(g, out), **options)
    assert y.shape == u.shape
    forward, conv_pullback = ops.conv(u, w, **options)
    assert (forward * x).sum() == (u * y).sum()
    dx, dw, db = pullback(u)
    np.testing.assert_array_equal(dx, forward)
    conv_dx, conv_dw, _ = conv_pullback(x)
    np.testing.assert_array_equal(y, conv_dx)
    np.testing.assert_array_equal(dw, conv_dw)
    assert db is None


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_padding_is_the_adjoint_too(stride: int) -> None:
    x, w = integers(2, 4, 5, 3), integers(3, 2, 2, 3, seed=1)
    y, _ = conv_transpose(x, w, stride=stride, padding="same")
    assert y.shape == (2, 4 * stride, 5 * stride, 2)
    u = integers(*y.shape, seed=2)
    assert (ops.conv(u, w, stride=stride, padding="same")[0] * x).sum() == (u * y).sum()


def test_every_pixel_spreads_its_kernel() -> None:
    x, w, b = RNG.normal(size=(2, 3, 4, 4)), RNG.normal(size=(3, 2, 3, 4)), RNG.normal(size=6)
    expected = np.zeros((2, 7, 8, 6)) + b
    for n, i, j, p, q, c, o in np.ndindex(2, 3, 4, 3, 2, 4, 3):
        group = c // 2
        expected[n, 2 * i + p, 2 * j + q, group * 3 + o] += x[n, i, j, c] * w[p, q, o, c]
    np.testing.assert_allclose(conv_transpose(x, w, b, stride=2, groups=2)[0], expected, rtol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1, "output_padding": 1},
        {"stride": (3, 2), "padding": (1, 0), "output_padding": (2, 0)},
        {"dilation": 2, "groups": 2},
        {"stride": 2, "dilation": (1, 3), "groups": 4},
    ],
    ids=str,
)
def test_equals_pytorch(torch: Any, options: dict[str, Any]) -> None:
    groups = options.get("groups", 1)
    x, w, b = RNG.normal(size=(2, 5, 4, 4)), RNG.normal(size=(3, 2, 8 // groups, 4)), RNG.normal(size=8)
    first = [np.moveaxis(x, -1, 1), w.transpose(3, 2, 0, 1), b]
    leaves = [torch.tensor(a.copy(), requires_grad=True) for a in first]
    expected = torch.nn.functional.conv_transpose2d(*leaves, **options)
    y, pullback = conv_transpose(x, w, b, **options)
    np.testing.assert_allclose(y, np.moveaxis(expected.detach().numpy(), 1, -1), rtol=1e-10, atol=1e-12)
    dy = RNG.normal(size=y.shape)
    expected.backward(torch.tensor(np.moveaxis(dy, -1, 1).copy()))
    dx, dw, db = pullback(dy)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-12)
    close(dx, np.moveaxis(leaves[0].grad.numpy(), 1, -1))
    close(dw, leaves[1].grad.numpy().transpose(2, 3, 1, 0))
    close(db, leaves[2].grad.numpy())


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_gradient(rank: int) -> None:
    x, w = RNG.normal(size=(2, *(3,) * rank, 4)), RNG.normal(size=(*(2,) * rank, 3, 4))
    op = functools.partial(conv_transpose, stride=2, padding=1, output_padding=1, groups=2)
    assert_pullback(op, x, w, RNG.normal(size=6))


def test_the_input_gradient_can_be_left_out() -> None:
    x, w, dy = integers(1, 2, 2, 2), integers(2, 2, 3, 2), integers(1, 3, 3, 3)
    _, pullback = conv_transpose(x, w)
    dx, dw, _ = pullback(dy, input_grad=False)
    assert dx is None
    np.testing.assert_array_equal(dw, pullback(dy)[1])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_m17_keeps_the_dtype(dtype: str) -> None:
    x, w, b = (a.astype(dtype) for a in (integers(2, 3, 3, 2), integers(2, 2, 3, 2), integers(3)))
    y, pullback = conv_transpose(x, w, b, stride=2)
    assert {y.dtype, *(g.dtype for g in pullback(y))} == {np.dtype(dtype)}


def test_half_precision_is_summed_in_single() -> None:
    x, w = np.full((1, 1, 1, 4096), 1.0, "float16"), np.full((1, 1, 1, 4096), 0.5, "float16")
    assert conv_transpose(x, w)[0].tolist() == [[[[2048.0]]]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_padding": 1}, r"expected output_padding smaller than the stride \(1, 1\), got 1"),
        (
            {"stride": 2, "output_padding": (0, 2)},
            r"expected output_padding smaller than the stride \(2, 2\), got \(0, 2\)",
        ),
        ({"output_padding": -1}, "expected output_padding of at least 0, got -1"),
        ({"padding": 2}, r"expected an output of at least one pixel along each axis, got \(0, 0\)"),
        ({"stride": 2, "padding": "same", "output_padding": 1}, "expected no output_padding with padding="),
        ({"padding": "full"}, 'expected padding as "same", "valid" or numbers, got \'full\''),
        ({"stride": 0}, "expected stride of at least 1, got 0"),
        ({"groups": 3}, "expected groups that divide the 4 input channels, got 3"),
        ({"groups": 0}, "expected groups that divide the 4 input channels, got 0"),
    ],
    ids=str,
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"conv_transpose: {message}"):
        conv_transpose(integers(1, 2, 2, 4), integers(3, 3, 2, 4), **options)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((1, 4, 3, 3), (3, 3, 2, 4)), r"expected \(N, H, W, 4\), got \(1, 4, 3, 3\); channels-first input"),
        (((1, 3, 4), (3, 3, 2, 4)), r"expected \(N, H, W, 4\), got \(1, 3, 4\)"),
        (((1, 3), (3, 4)), r"expected a weight \(\*kernel, O / groups, C\), got \(3, 4\)"),
        (((1, 3, 3, 4), (3, 3, 2, 4), (4,)), r"bias: expected shape \(2,\), got \(4,\)"),
    ],
)
def test_shapes_that_do_not_fit(shapes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"conv_transpose:? ?{message}"):
        conv_transpose(*(np.ones(shape) for shape in shapes))


def test_wrong_types() -> None:
    with pytest.raises(TypeError, match="conv_transpose: expected groups as an int"):
        conv_transpose(np.ones((1, 2, 2, 4)), np.ones((1, 1, 2, 4)), groups=2.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="conv_transpose: expected float32 like the weights, got float64"):
        conv_transpose(np.ones((1, 2, 2, 4)), np.ones((1, 1, 2, 4), "float32"))
