"""Seed 3: softmax of a Tensor, with the numbers that the page about it should have printed."""

import numpy as np
import pytest

import minidl
from minidl import functional as F

SCORES = [2.0, 1.0, 0.1]
TABLE = [[2.0, 1.0, 0.1], [1.0, 3.0, 0.2]]


def tensor(values) -> minidl.Tensor:
    return minidl.Tensor(minidl.asarray(values, "float64"), requires_grad=True)


def gradient(values, upstream, axis=-1) -> np.ndarray:
    x = tensor(values)
    F.softmax(x, axis=axis).backward(minidl.asarray(upstream, "float64"))
    return minidl.to_numpy(x.grad)


def test_the_forward():
    np.testing.assert_allclose(
        minidl.to_numpy(F.softmax(tensor(SCORES)).data), [0.65900114, 0.24243297, 0.09856589], atol=1e-8
    )


def test_the_gradient_for_ones_is_zero_to_rounding():
    np.testing.assert_allclose(gradient(SCORES, [1.0, 1.0, 1.0]), 0, atol=2e-16)
    np.testing.assert_allclose(gradient(TABLE, np.ones((2, 3)), axis=0), 0, atol=2e-16)


def test_m26_the_upstream_gradient_counts():
    np.testing.assert_allclose(
        gradient(SCORES, [1.0, 0.0, 0.0]), [0.22471864, -0.15976360, -0.06495503], atol=1e-8
    )


def test_along_axis_0():
    y = minidl.to_numpy(F.softmax(tensor(TABLE), axis=0).data)
    np.testing.assert_allclose(y[:, 2], [0.47502081, 0.52497919], atol=1e-8)
    first = [0.19661193, 0.10499359, 0.24937604]
    upstream = [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    np.testing.assert_allclose(gradient(TABLE, upstream, axis=0), [first, [-v for v in first]], atol=1e-8)


def test_a_result_in_float32_has_a_gradient_in_float32():
    x = minidl.Tensor(SCORES, requires_grad=True)
    F.softmax(x).backward(minidl.asarray([1.0, 0.0, 0.0]))
    assert x.grad.dtype == minidl.xp.float32


def test_m20_a_branch_leaves_its_input_alone():
    x = tensor([1.0, 2.0, 3.0])
    y = x + x
    y.backward(minidl.asarray([1.0, 1.0, 1.0], "float64"))
    assert minidl.to_numpy(y.data).tolist() == [2.0, 4.0, 6.0]
    assert minidl.to_numpy(x.data).tolist() == [1.0, 2.0, 3.0]
    assert minidl.to_numpy(x.grad).tolist() == [2.0, 2.0, 2.0]

    both = minidl.layers.Parallel(minidl.Identity(), minidl.Identity(), merge="add")
    out = both.forward(minidl.asarray([1.0, 2.0, 3.0]))
    assert minidl.to_numpy(out).tolist() == [2.0, 4.0, 6.0]


def test_an_upstream_is_needed():
    with pytest.raises(ValueError, match=r"expected an upstream gradient of shape \(3,\), got none"):
        F.softmax(tensor(SCORES)).backward()
