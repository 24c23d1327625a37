"""The state of a model: by path, checked before it is written, in any dtype, and independent once copied."""

import copy
import pickle

import pytest

from minidl import Buffer, Layer, Linear, Parameter, ops
from minidl.layers import BatchNorm, Dropout, ReLU, Sequential
from minidl.optim import SGD
from tests.either import np

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 3)).astype("float32")
DY = RNG.normal(size=(4, 2)).astype("float32")


class Scale(Layer):
    """A user's layer: no super().__init__(), a parameter and parts in a list and in a dict."""

    def __init__(self, features):
        self.weight = Parameter(np.full(features, 2, "float32"), name="weight")
        self.heads = [ReLU(), (Linear(3, 2, seed=0),)]
        self.named = {"b": Linear(3, 1, seed=1)}
        self.count = Buffer(np.array(7))
        self.again = self.heads[1][0]

    def vjp(self, x):
        return self.bind(ops.multiply, x, self.weight)


def dense() -> Linear:
    return Linear(3, 2, seed=0)


def model() -> Sequential:
    return Sequential(Linear(3, 4, seed=0), BatchNorm(4), Dropout(seed=1), Linear(4, 2, seed=2))


def assert_same_state(layer, state) -> None:
    assert list(layer.state()) == list(state)
    for path, array in layer.state().items():
        np.testing.assert_array_equal(array, state[path])
        assert array.dtype == state[path].dtype


def test_state_is_a_copy_and_comes_back():
    layer = model()
    state = layer.state()
    assert list(state)[:4] == ["0.weight", "0.bias", "1.weight", "1.bias"]
    layer.forward(X)  # advances statistics and the count of dropout
    for p in layer.parameters():
        p.data[...] = 0
    assert state["0.weight"].any()
    data = layer.parameters()[0].data
    layer.load_state(state)
    assert layer.parameters()[0].data is data
    assert_same_state(layer, state)
    layer.load_state({"0.bias": np.ones(4, "float32"), "else": np.ones(1)}, strict=False)
    assert layer[0].bias.data.tolist() == [1] * 4


def test_load_state_lists_all_that_does_not_fit_and_writes_nothing():
    layer = model()
    before = layer.state()
    wrong = {path: array + 1 for path, array in before.items()}
    del wrong["3.bias"]
    wrong |= {"9.weight": X, "0.weight": X, "0.bias": np.arange(4), "1.bias": [0.0] * 4}
    with pytest.raises(ValueError, match="load_state: nothing was loaded") as caught:
        layer.load_state(wrong)
    assert str(caught.value).splitlines()[1:] == [
        "  dtype of 0.bias: expected float32, got int64",
        "  missing: 3.bias",
        "  shape of 0.weight: expected (3, 4), got (4, 3)",
        "  type of 1.bias: expected an array, got list",
        "  unexpected: 9.weight",
    ]
    assert_same_state(layer, before)
    with pytest.raises(ValueError, match=r"shape of 0\.weight"):
        layer.load_state(wrong, strict=False)
    with pytest.raises(TypeError, match="load_state: expected arrays by path, got list"):
        layer.load_state([X])


def test_train_and_eval_reach_every_layer():
    layer = Sequential(model(), ReLU())
    assert layer.eval() is layer
    assert [part.training for _, part in layer.named_layers()] == [False] * 7
    layer.train()
    assert all(part.training for _, part in layer.named_layers())


def test_astype_converts_parameters_gradients_and_float_buffers():
    layer = Sequential(Scale(3), BatchNorm(3))
    layer.forward(X)
    layer.backward(X)
    assert layer.astype("float64") is layer
    state = layer.state()
    assert state.pop("0.count").dtype == "int64"
    assert {a.dtype.name for p, a in state.items() if a.dtype.kind == "f"} == {"float64"}
    assert layer[0].weight.grad.dtype == "float64"
    assert layer.forward(X.astype("float64")).dtype == "float64"
    with pytest.raises(TypeError, match="expected float64 like the weights, got float32"):
        Sequential(dense().astype("float64")).forward(X)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_is_independent_also_after_a_forward_and_after_packing(clone):
    layer = model()
    optimizer = SGD(layer.parameters(), lr=0.1)
    layer.forward(X)
    layer.backward(DY)
    layer.forward(X)
    other = clone(layer)
    assert_same_state(other, layer.state())
    np.testing.assert_array_equal(other[0].weight.grad, layer[0].weight.grad)
    with pytest.raises(RuntimeError, match="without a forward"):
        other.backward(DY)
    before = other.state()
    optimizer.step()
    assert_same_state(other, before)
    np.testing.assert_array_equal(other.predict(X), clone(other).predict(X))
    assert layer.backward(DY).shape == X.shape
    SGD(other.parameters(), lr=0.1).step()  # trains on its own


def test_sharing_survives_a_copy():
    shared = Linear(3, 3)
    other = copy.deepcopy(Sequential(shared, ReLU(), shared))
    assert other[0] is other[2]
