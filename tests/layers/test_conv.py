"""The convolution layer: its parameters, and the op it binds them to."""

import math
from typing import Any

import pytest

from minidl import init, ops
from minidl.layers.conv import Conv
from minidl.layers.conv_transpose import ConvTranspose
from tests.either import np

OPTIONS = {"stride": 2, "padding": ((1, 0), 2), "dilation": (1, 2), "groups": 2}


def normal(*shape: int, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("options", [{}, {"padding": "same"}, OPTIONS, {"bias": False}], ids=str)
def test_it_is_the_op_with_its_own_weights(options: dict[str, Any]) -> None:
    layer = Conv(4, 6, 3, seed=0, weight_init=init.he_normal, **options)
    x = normal(2, 9, 8, 4)
    bias = options.get("bias", True)
    if bias:
        layer.bias.data = normal(6, seed=1)
    arrays = [x, layer.weight.data, layer.bias.data if bias else None]
    y, pullback = ops.conv(*arrays, **{k: v for k, v in options.items() if k != "bias"})
    np.testing.assert_array_equal(layer.forward(x), y)
    np.testing.assert_array_equal(layer.predict(x), y)
    dy = normal(*y.shape, seed=2)
    dx, dw, db = pullback(dy)
    np.testing.assert_array_equal(layer.backward(dy), dx)
    np.testing.assert_array_equal(layer.weight.grad, dw)
    if bias:
        np.testing.assert_array_equal(layer.bias.grad, db)
    assert len(layer.parameters()) == 1 + bias


@pytest.mark.parametrize("kernel_size", [3, (3, 3), (5,), (1, 2, 3)])
def test_the_length_of_the_kernel_says_how_many_axes_there_are(kernel_size: Any) -> None:
    layer = Conv(4, 6, kernel_size, groups=2, seed=0)
    kernel = (3, 3) if kernel_size == 3 else kernel_size
    assert layer.weight.shape == (*kernel, 2, 6)
    assert layer.forward(normal(2, *kernel, 4)).shape == (2, *(1 for _ in kernel), 6)


def test_the_weights_are_drawn_for_the_inputs_that_one_output_sums() -> None:  # not for all channels
    layer = Conv(64, 128, 3, groups=4, seed=0)
    bound = 1 / math.sqrt(3 * 3 * 64 / 4)
    assert 0.99 * bound < abs(layer.weight.data).max() <= bound
    assert not layer.bias.data.any()
    np.testing.assert_array_equal(Conv(64, 128, 3, groups=4, seed=0).weight.data, layer.weight.data)
    assert (Conv(64, 128, 3, groups=4, seed=1).weight.data != layer.weight.data).any()


def test_weight_init_and_dtype_are_those_asked_for() -> None:
    layer = Conv(2, 3, 3, dtype="float64", weight_init=init.constant(0.5))
    assert (layer.weight.data == 0.5).all()
    assert layer.weight.data.dtype == layer.bias.data.dtype == np.float64
    assert Conv(2, 3, 3).weight.data.dtype == np.float32
    with pytest.raises(TypeError, match="conv: expected float64 like the weights, got float32"):
        layer.forward(normal(1, 4, 4, 2))


@pytest.mark.parametrize(
    ("layer", "spelled"),
    [
        (Conv(3, 16, 3), "Conv(3, 16, kernel_size=3)"),
        (Conv(3, 16, kernel_size=(5,), stride=2), "Conv(3, 16, kernel_size=(5,), stride=2)"),
        (
            Conv(4, 16, 3, padding="same", dilation=2, groups=4, bias=False),
            "Conv(4, 16, kernel_size=3, padding='same', dilation=2, groups=4, bias=False)",
        ),
    ],
)
def test_it_is_spelled_as_it_is_made(layer: Conv, spelled: str) -> None:
    assert repr(layer) == spelled
    assert repr(eval(spelled)) == spelled


def test_an_error_names_the_layer() -> None:
    layer = Conv(3, 16, 3)
    with pytest.raises(ValueError, match=r"channels-first input\? use minidl.channels_last\(x\)") as caught:
        layer.forward(normal(2, 3, 32, 32))
    assert caught.value.__notes__ == ["in Conv(3, 16, kernel_size=3)"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 4, 3), ValueError, "Conv: expected in_channels of at least 1, got 0"),
        ((4, 2.0, 3), TypeError, "Conv: expected out_channels as an int, got float"),
        ((4, 4, 3, 1, 0, 1, 0), ValueError, "Conv: expected groups of at least 1, got 0"),
        ((4, 6, 3, 1, 0, 1, 4), ValueError, "Conv: expected groups that divide 4 and 6 channels, got 4"),
        ((6, 4, 3, 1, 0, 1, 4), ValueError, "Conv: expected groups that divide 6 and 4 channels, got 4"),
        ((4, 4, (3, 0)), ValueError, r"Conv: expected kernel_size of at least 1, got \(3, 0\)"),
        ((4, 4, 1.5), TypeError, r"Conv: expected kernel_size as an int or one for each axis, got 1\.5"),
        ((4, 4, ()), ValueError, "Conv: expected kernel_size of one to three entries"),
        ((4, 4, (1, 1, 1, 1)), ValueError, "Conv: expected kernel_size of one to three entries"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        Conv(*arguments)


@pytest.mark.parametrize("layer", [Conv, ConvTranspose])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"stride": 0}, ValueError, "expected stride of at least 1, got 0"),
        ({"stride": (1, 2, 3)}, ValueError, "expected stride of 2 entries, one for each axis"),
        ({"dilation": "2"}, TypeError, "expected dilation as an int or one for each axis, got '2'"),
        ({"padding": -1}, ValueError, "expected padding of at least 0, got -1"),
        ({"padding": "full"}, ValueError, 'expected padding as "same", "valid" or numbers'),
    ],
)
def test_options_that_fit_no_image_are_refused_at_once(
    layer: Any, options: Any, error: Any, message: str
) -> None:
    with pytest.raises(error, match=f"{layer.__name__}: {message}"):
        layer(3, 4, 3, **options)
