"""Seed 2: a softmax whose derivative does not depend on the loss that follows."""

import numpy as np
import pytest

import minidl
from minidl import functional as F


def test_the_jacobian_of_each_sample():
    x = minidl.asarray([[1.0, 2.0]], dtype="float64")
    np.testing.assert_allclose(minidl.to_numpy(F.softmax(x)), [[0.26894142, 0.73105858]], atol=5e-9)
    jacobian = minidl.to_numpy(minidl.jacobian(F.softmax, x, per_sample=True))
    slope = 0.19661193
    np.testing.assert_allclose(jacobian, [[[slope, -slope], [-slope, slope]]], atol=5e-9)


def test_each_sample_has_its_own_jacobian():
    x = minidl.asarray(np.random.default_rng(0).normal(size=(3, 4)))
    whole, per_sample = minidl.jacobian(F.softmax, x), minidl.jacobian(F.softmax, x, per_sample=True)
    assert whole.shape == (3, 4, 3, 4)
    assert per_sample.shape == (3, 4, 4)
    for n in range(3):
        np.testing.assert_allclose(minidl.to_numpy(per_sample[n]), minidl.to_numpy(whole[n, :, n]))


def squared(y, target):
    return F.mse_loss(y, target)


def cross(y, target):
    return F.cross_entropy_probabilities(y, target)


def homemade(y, target):
    return (F.absolute(y - target) ** 1.5).sum() * 0.5


@pytest.mark.parametrize("loss", [squared, cross, homemade])
def test_softmax_composes_with_any_loss(loss):
    rng = np.random.default_rng(0)
    x, direction = rng.normal(size=(5, 4)), rng.normal(size=(5, 4))
    target = minidl.asarray(rng.dirichlet(np.ones(4), size=5))

    def f(x):
        return loss(F.softmax(x), target)

    _, pullback = minidl.vjp(f, minidl.asarray(x))
    upstream, step = rng.normal(), 1e-6
    analytic = (minidl.to_numpy(pullback(minidl.asarray(upstream, "float64"))) * direction).sum()
    ahead, behind = (float(f(minidl.asarray(x + s * step * direction))) for s in (1, -1))
    assert analytic == pytest.approx(upstream * (ahead - behind) / (2 * step), rel=1e-6)


def test_m5_the_gradient_is_more_than_the_diagonal_of_the_jacobian():
    x = minidl.asarray(np.random.default_rng(1).normal(size=(1, 4)))
    y, pullback = minidl.vjp(F.softmax, x)
    dy = minidl.asarray(np.random.default_rng(2).normal(size=(1, 4)))
    diagonal_only = dy * y * (1 - y)
    jacobian = minidl.jacobian(F.softmax, x, per_sample=True)[0]
    np.testing.assert_allclose(minidl.to_numpy(pullback(dy)), minidl.to_numpy(dy @ jacobian), atol=1e-15)
    assert abs(pullback(dy) - diagonal_only).max() > 0.01


def test_m6_softmax_before_a_squared_error_is_not_the_identity():
    x = minidl.asarray([[2.0, 0.0]], dtype="float64")
    target = minidl.asarray([[0.0, 1.0]], dtype="float64")
    y, pullback = minidl.vjp(F.softmax, x)
    dy = 2 * (y - target)
    np.testing.assert_allclose(minidl.to_numpy(pullback(dy)), [[0.3696, -0.3696]], atol=1e-3)
    assert abs(pullback(dy) - dy).max() > 1
