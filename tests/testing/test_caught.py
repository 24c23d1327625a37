"""Mistakes that are easy to miss: in one entry among large ones, in one mode, in a buffer, off the domain."""

import pytest

from minidl import xp
from minidl.layers import LSTM, AdaptiveAvgPool, Buffer, Layer, Pad, Upsample
from minidl.testing import GradientError, check_gradients, check_layer
from tests.either import np

A = np.random.default_rng(0).normal(size=(3, 4))


def test_the_full_jacobian_sees_a_small_entry_beside_a_huge_one():
    true, wrong = np.array([1e9, 1.0, 1.0, 1.0]), np.array([1e9, 2.0, 1.0, 1.0])
    check_gradients(lambda x: (x * true, lambda dy: dy * true), A, jacobian=True)
    with pytest.raises(GradientError, match="of output 1 is wrong"):
        check_gradients(lambda x: (x * true, lambda dy: dy * wrong), A, jacobian=True)


@pytest.mark.parametrize("seed", range(6))
def test_no_false_alarm_where_a_step_would_leave_the_domain(seed):
    with np.errstate(invalid="ignore"):
        check_gradients(lambda x: (np.log(x), lambda dy: dy / x), np.array([0.5, 1.0, 400.0]), seed=seed)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_is_called_so(bad):
    spot = np.where(np.arange(4) == 2, bad, 0.0)
    with pytest.raises(GradientError, match=r"not finite: at \(0, 2\) it is") as caught:
        check_gradients(lambda x: (x * 2, lambda dy: dy * 2 + spot), A)
    assert caught.value.diagnosis == "not finite"


def test_a_list_of_gradients_is_called_a_list():
    with pytest.raises(
        GradientError, match="expected a tuple of 2 gradients, one for each argument, got a list"
    ):
        check_gradients(lambda x, w: (x * w, lambda dy: [dy * w, dy * x]), A, A + 1)


class CountsInPullback(Layer):
    def __init__(self):
        self.calls = Buffer(np.zeros(1))

    def vjp(self, x):
        def pullback(dy, input_grad=True):
            self.calls.data = self.calls.data + 1
            return dy * 2, []

        return x * 2, pullback


class WrongInEvaluation(Layer):
    def vjp(self, x):
        factor = 2 if self.training else 4
        return x * 2, lambda dy, input_grad=True: (dy * factor, [])


class LeavesTraining(Layer):
    def vjp(self, x):
        return x * 2, lambda dy, input_grad=True: (dy * 2, [])

    def predict(self, x):
        self.train()
        return x * 2


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (CountsInPullback, "the pullback changed calls"),
        (WrongInEvaluation, "the gradient of x is wrong"),
        (LeavesTraining, "predict changed the mode of the layer"),
    ],
)
def test_a_layer_with_a_hidden_mistake_is_caught(layer, message):
    with pytest.raises(AssertionError, match=message):
        check_layer(layer, input_shape=(3,))


def test_what_stands_in_the_padding_of_a_sequence_does_not_matter():
    layer, x = LSTM(2, 3, num_layers=2, bidirectional=True, seed=0), np.ones((2, 4, 2), "float32")
    mask = np.array([[True] * 4, [True, True, False, False]])
    results = []
    for filler in (0.0, np.inf):
        x[~mask] = filler
        y, pullback = layer.vjp(xp.asarray(x), mask)
        results.append((y, pullback(xp.ones_like(y))))
    (y, (dx, pairs)), (z, (dz, others)) = results
    for a, b in [(y, z), (dx, dz), *((g, h) for (_, g), (_, h) in zip(pairs, others, strict=True))]:
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AdaptiveAvgPool(0), "AdaptiveAvgPool: expected output_size of at least 1, got 0"),
        (lambda: Upsample(-1), "Upsample: expected scale_factor of at least 1, got -1"),
        (lambda: Upsample(size=(2, 0)), r"Upsample: expected size of at least 1, got \(2, 0\)"),
        (lambda: Pad((1, (0, -2))), r"Pad: expected padding of at least 0, got \(0, -2\)"),
    ],
)
def test_sizes_that_make_no_sense_are_refused_when_a_layer_is_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()
