"""The first activations as layers, softmax among them: each is its op, and composes with any loss."""

import pytest

from minidl import functional as F
from minidl import losses, ops
from minidl.layers import Linear, LogSoftmax, ReLU, Sequential, Sigmoid, Softmax, Tanh
from minidl.testing import check_gradients
from tests.either import np

X = np.random.default_rng(0).normal(size=(3, 4, 5)).astype("float32")
TABLE = [
    (ReLU(), "ReLU()", ops.relu, {}, True),
    (Sigmoid(), "Sigmoid()", ops.sigmoid, {}, True),
    (Tanh(), "Tanh()", ops.tanh, {}, True),
    (Softmax(), "Softmax()", ops.softmax, {"axis": -1}, False),
    (Softmax(axis=1), "Softmax(axis=1)", ops.softmax, {"axis": 1}, False),
    (LogSoftmax(), "LogSoftmax()", ops.log_softmax, {"axis": -1}, False),
    (LogSoftmax(0), "LogSoftmax(axis=0)", ops.log_softmax, {"axis": 0}, False),
]


@pytest.mark.parametrize(("layer", "spelled", "op", "options", "alone"), TABLE, ids=[r[1] for r in TABLE])
def test_it_is_its_op(layer, spelled, op, options, alone):
    y, pullback = op(X, **options)
    dy = np.random.default_rng(1).normal(size=y.shape).astype("float32")
    np.testing.assert_array_equal(layer.forward(X), y)
    np.testing.assert_array_equal(layer.backward(dy), pullback(dy))
    np.testing.assert_array_equal(layer.predict(X), y)
    assert (repr(layer), layer.parameters(), layer.sample_wise) == (spelled, [], alone)
    check_gradients(layer, X)


@pytest.mark.parametrize(
    ("loss", "target"),
    [
        (losses.MeanSquaredError(), np.eye(3)[[0, 2, 1, 1]]),
        (losses.CrossEntropy(from_logits=False), np.array([0, 2, 1, 1])),
        (losses.CrossEntropy(from_logits=False), np.eye(3)[[0, 2, 1, 1]]),
    ],
    ids=["squared error", "cross-entropy of labels", "cross-entropy of one-hot targets"],
)
def test_m5_m6_softmax_composes_with_a_loss(loss, target):
    model = Sequential(Linear(2, 3, seed=0, dtype="float64"), Softmax())
    x = np.random.default_rng(2).normal(size=(4, 2))

    def composed(x):
        y, pullback = model.vjp(x)
        value = loss.forward(y, target)
        dy = loss.backward()
        return value, lambda upstream: pullback(dy * upstream)[0]

    check_gradients(composed, x)


def test_m6_softmax_composes_with_a_loss_of_ones_own():
    check_gradients(lambda x: (Softmax()(x) ** 3 * np.arange(5)).sum(), X)
    check_gradients(lambda x: F.exp(LogSoftmax(axis=1)(x)).mean(), X)


@pytest.mark.parametrize("layer", [Softmax, LogSoftmax])
def test_bad_input_is_refused(layer):
    with pytest.raises(TypeError, match=f"{layer.__name__}: expected axis as an int, got float"):
        layer(axis=1.0)
    with pytest.raises(ValueError, match="softmax: expected axis between -3 and 2, got 3") as caught:
        layer(axis=3).forward(X)
    assert caught.value.__notes__ == [f"in {layer.__name__}(axis=3)"]
    with pytest.raises(TypeError, match="softmax: expected an array, got list"):
        layer().forward([1.0, 2.0])
