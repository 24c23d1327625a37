"""Seed 4: softmax with its true derivative by default, and its fusion with cross-entropy as a thing apart."""

import numpy as np
import pytest

import minidl
from minidl import functional as F
from minidl.losses import CrossEntropy


def test_the_true_derivative_is_f_1_minus_f_and_minus_f_f():
    x = minidl.asarray(np.random.default_rng(0).normal(size=5))
    f = minidl.to_numpy(F.softmax(x))
    jacobian = minidl.to_numpy(minidl.jacobian(F.softmax, x))
    for i in range(5):
        for j in range(5):
            expected = f[i] * (1 - f[i]) if i == j else -f[i] * f[j]
            assert jacobian[i, j] == pytest.approx(expected, abs=1e-15)


def test_the_fused_loss_is_the_composition():
    rng = np.random.default_rng(1)
    x, labels = minidl.asarray(rng.normal(size=(6, 4))), minidl.asarray(rng.integers(0, 4, 6))
    fused, back = minidl.vjp(lambda x: F.cross_entropy(x, labels), x)
    composed, back_composed = minidl.vjp(lambda x: F.cross_entropy_probabilities(F.softmax(x), labels), x)
    assert float(fused) == pytest.approx(float(composed), rel=1e-14)
    dy = minidl.asarray(1.7, "float64")
    np.testing.assert_allclose(minidl.to_numpy(back(dy)), minidl.to_numpy(back_composed(dy)), atol=1e-15)


@pytest.mark.parametrize("gap", [14.0, 20.0, 40.0, 800.0])
def test_m10_the_fused_loss_is_exact_at_any_gap(gap):
    loss = CrossEntropy()
    logits = minidl.asarray([[0.0, gap]], "float64")
    wrong = float(loss.forward(logits, minidl.asarray([0])))
    assert wrong == pytest.approx(np.log1p(np.exp(-gap)) + gap, rel=1e-15)
    np.testing.assert_allclose(minidl.to_numpy(loss.backward()), [[-1.0, 1.0]], rtol=2e-6)
    right = float(loss.forward(logits, minidl.asarray([1])))
    assert right == pytest.approx(np.log1p(np.exp(-gap)), rel=1e-9, abs=1e-15)
    assert right >= 0


def test_m24_softmax_twice_is_noticed_once_for_each_loss():
    probabilities = minidl.asarray([[0.9, 0.1], [0.2, 0.8]])
    labels = minidl.asarray([0, 1])
    loss = CrossEntropy()
    with pytest.warns(UserWarning, match=r"looks like probabilities.*drop the Softmax layer") as caught:
        loss.forward(probabilities, labels)
    assert len(caught) == 1
    loss.forward(probabilities, labels)  # a second warning would be an error here
    CrossEntropy(from_logits=False).forward(probabilities, labels)
    CrossEntropy().forward(minidl.asarray([[0.9, 0.2], [0.2, 0.9]]), labels)
