"""The layers that change the size of images: each is its op with the options it was made with."""

import math

import pytest

from minidl import functional as F
from minidl import init, layers, ops
from minidl.tensor import Tensor
from tests.either import np

X = np.random.default_rng(0).normal(size=(2, 6, 5, 4)).astype("float32")
OPTIONS = {"stride": 2, "padding": (1, (0, 1)), "output_padding": 1, "dilation": (1, 2), "groups": 2}


def check(layer, op, options, function, function_options, *weights):
    """The layer and the function are the op."""
    y, pullback = op(X, *weights, **options)
    dy = np.random.default_rng(1).normal(size=y.shape).astype("float32")
    gradients = pullback(dy)
    dx = gradients[0] if weights else gradients
    np.testing.assert_array_equal(layer.forward(X), y)
    np.testing.assert_array_equal(layer.predict(X), y)
    np.testing.assert_array_equal(layer.backward(dy), dx)
    np.testing.assert_array_equal(function(X, *weights, **function_options), y)
    leaf = Tensor(X, requires_grad=True)
    function(leaf, *weights, **function_options).backward(dy)
    np.testing.assert_array_equal(leaf.grad, dx)
    np.testing.assert_array_equal(layer.forward(X[1:]), y[1:])
    assert layer.sample_wise
    return gradients


@pytest.mark.parametrize("options", [{}, {"padding": "same"}, OPTIONS], ids=str)
def test_conv_transpose(options):
    layer = layers.ConvTranspose(4, 6, 3, seed=0, **options)
    layer.bias.data = np.arange(6.0)
    weights = layer.weight.data, layer.bias.data
    gradients = check(layer, ops.conv_transpose, options, F.conv_transpose, options, *weights)
    layer.zero_grad()
    dy = np.random.default_rng(1).normal(size=layer.forward(X).shape).astype("float32")
    layer.backward(dy, input_grad=False)
    np.testing.assert_array_equal(layer.weight.grad, gradients[1])
    np.testing.assert_array_equal(layer.bias.grad, gradients[2])


def test_conv_transpose_without_a_bias():
    layer = layers.ConvTranspose(4, 6, 3, bias=False)
    assert layer.bias is None
    assert layer.forward(X).shape == (2, 8, 7, 6)


def test_its_weights_are_drawn_for_the_inputs_that_one_output_sums():
    layer = layers.ConvTranspose(64, 128, 3, groups=4, seed=0)
    assert layer.weight.shape == (3, 3, 32, 64)
    bound = 1 / math.sqrt(3 * 3 * 64 / 4)
    assert 0.99 * bound < abs(layer.weight.data).max() <= bound
    assert not layer.bias.data.any()
    half = layers.ConvTranspose(2, 3, 3, dtype="float64", weight_init=init.constant(0.5))
    assert (half.weight.data == 0.5).all()
    assert half.weight.data.dtype == half.bias.data.dtype == np.float64


@pytest.mark.parametrize("kernel_size", [3, (3, 3), (5,), (1, 2, 3)])
def test_the_length_of_the_kernel_says_how_many_axes_there_are(kernel_size):
    kernel = (3, 3) if kernel_size == 3 else kernel_size
    layer = layers.ConvTranspose(4, 6, kernel_size, groups=2)
    assert layer.weight.shape == (*kernel, 3, 4)
    assert layer.forward(np.zeros((2, *(1 for _ in kernel), 4), "float32")).shape == (2, *kernel, 6)


@pytest.mark.parametrize("size", [1, (3, 2)])
def test_adaptive_avg_pool(size):
    options = {"output_size": size}
    check(layers.AdaptiveAvgPool(size), ops.adaptive_avg_pool, options, F.adaptive_avg_pool, options)


@pytest.mark.parametrize("options", [{"scale_factor": 2}, {"size": (3, 9), "mode": "bilinear"}], ids=str)
def test_upsample(options):
    check(layers.Upsample(**options), ops.upsample, options, F.upsample, options)


@pytest.mark.parametrize("options", [{}, {"value": 2.0}, {"mode": "edge"}, {"mode": "reflect"}], ids=str)
def test_pad(options):
    layer = layers.Pad((1, (2, 0)), **options)
    width = [(0, 0), (1, 1), (2, 0), (0, 0)]
    check(layer, ops.pad_spatial, {"padding": (1, (2, 0)), **options}, F.pad, {"width": width, **options})


@pytest.mark.parametrize(
    "spelled",
    [
        "ConvTranspose(3, 16, kernel_size=3)",
        "ConvTranspose(4, 16, kernel_size=(5,), stride=2, padding='same', groups=4, bias=False)",
        "ConvTranspose(4, 16, kernel_size=3, stride=2, output_padding=1, dilation=2)",
        "AdaptiveAvgPool(7)",
        "AdaptiveAvgPool((1, 2))",
        "Upsample(scale_factor=2)",
        "Upsample(size=(3, 4), mode='bilinear')",
        "Pad(1)",
        "Pad((1, (0, 2)), mode='edge')",
        "Pad(1, value=2.0)",
    ],
)
def test_it_is_spelled_as_it_is_made(spelled):
    assert repr(eval(f"layers.{spelled}")) == spelled


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.ConvTranspose(0, 4, 3), ValueError, "expected in_channels of at least 1, got 0"),
        (lambda: layers.ConvTranspose(4, 4.0, 3), TypeError, "expected out_channels as an int, got float"),
        (
            lambda: layers.ConvTranspose(4, 6, 3, groups=4),
            ValueError,
            "groups that divide 4 and 6 channels, got 4",
        ),
        (lambda: layers.ConvTranspose(4, 4, ()), ValueError, "kernel_size of one to three entries"),
        (lambda: layers.ConvTranspose(4, 4, 0), ValueError, "expected kernel_size of at least 1, got 0"),
        (lambda: layers.Upsample(), ValueError, "expected either scale_factor or size, got None and None"),
        (lambda: layers.Upsample(2, mode="cubic"), ValueError, 'expected mode as "nearest" or "bilinear"'),
        (
            lambda: layers.Pad(1, "wrap"),
            ValueError,
            "expected mode as one of constant, reflect, edge, got 'wrap'",
        ),
        (lambda: layers.Pad(1, value="0"), TypeError, "expected value as a number, got str"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
