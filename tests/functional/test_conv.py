"""The documented functions: arrays give arrays, Tensors give Tensors that know their gradients."""

import pytest

from minidl import Tensor, ops
from minidl import functional as F
from minidl.backend import xp
from tests.either import np

OPTIONS = {"stride": 2, "padding": ((1, 0), 2), "dilation": (1, 2)}


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("bias", [True, False])
def test_conv_is_its_op(bias: bool) -> None:
    arrays = [normal(2, 7, 8, 4), normal(3, 3, 2, 6, seed=1), normal(6, seed=2) if bias else None]
    y, pullback = ops.conv(*arrays, groups=2, **OPTIONS)
    np.testing.assert_array_equal(F.conv(*arrays, groups=2, **OPTIONS), y)
    tensors = [None if a is None else Tensor(a, requires_grad=True) for a in arrays]
    result = F.conv(*tensors, groups=2, **OPTIONS)
    dy = normal(*y.shape, seed=3)
    result.backward(dy)
    for tensor, gradient in zip(tensors, pullback(dy), strict=True):
        assert (tensor is None) == (gradient is None)
        if tensor is not None:
            np.testing.assert_array_equal(tensor.grad, gradient)


def test_a_constant_image_costs_no_gradient() -> None:
    w = Tensor(normal(3, 3, 1, 2), requires_grad=True)
    y = F.conv(normal(1, 5, 5, 1), w)
    y.backward(normal(*y.shape, seed=1))
    assert w.grad.shape == w.shape


def test_im2row_and_row2im_are_each_the_others_gradient() -> None:
    x = Tensor(normal(2, 7, 8, 3), requires_grad=True)
    rows = F.im2row(x, 3, **OPTIONS)
    upstream = normal(*rows.shape, seed=1)
    rows.backward(upstream)
    image = F.row2im(Tensor(upstream, requires_grad=True), x.shape, 3, **OPTIONS)
    np.testing.assert_array_equal(x.grad, image.data)
    np.testing.assert_array_equal(F.row2im(upstream, list(x.shape), 3, **OPTIONS), image.data)


def test_a_convolution_is_im2row_and_a_product() -> None:
    x, w = normal(2, 7, 8, 3), normal(3, 3, 3, 4, seed=1)
    np.testing.assert_allclose(
        F.im2row(x, 3, **OPTIONS) @ w.reshape(-1, 4), F.conv(x, w, **OPTIONS), rtol=1e-10
    )


def test_the_lowering_takes_integers() -> None:
    rows = F.im2row(xp.arange(4).reshape(1, 4, 1), 3, padding="same")
    assert rows[0].tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 0]]
