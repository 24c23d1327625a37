"""The recurrent layers: an array in gives an array out, a tuple with the state gives a tuple."""

import math

import pytest

from minidl import functional as F
from minidl import init, layers, ops
from minidl.tensor import Tensor
from tests.either import np

EACH = pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
STATES = {"RNN": 1, "LSTM": 2, "GRU": 1}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 5, 2)).astype("float32")


def made(name, **options):
    layer = getattr(layers, name)(2, 4, seed=0, **options)
    for parameter in layer.parameters():
        parameter.data = RNG.normal(size=parameter.shape) * 0.5
    return layer


def own(layer):
    return [p.data for p in layer.parameters()]


def states(name, runs):
    return tuple(RNG.normal(size=(3, runs, 4)).astype("float32") for _ in range(STATES[name]))


@EACH
def test_an_array_gives_an_array(name):
    layer = made(name, num_layers=2, bidirectional=True)
    lengths = np.array([5, 2, 4])
    y, pullback = getattr(ops, name.lower())(
        X, *[None] * STATES[name], *own(layer), bidirectional=True, mask=lengths
    )
    np.testing.assert_array_equal(layer.forward(X, lengths), y[0])
    np.testing.assert_array_equal(layer.predict(X, lengths), y[0])
    dy = RNG.normal(size=y[0].shape).astype("float32")
    dx, *rest = pullback((dy, *[None] * STATES[name]))
    np.testing.assert_array_equal(layer.backward(dy), dx)
    for parameter, gradient in zip(layer.parameters(), rest[STATES[name] :], strict=True):
        np.testing.assert_array_equal(parameter.grad, gradient)
    np.testing.assert_allclose(layer.forward(X)[:1], layer.forward(X[:1]), rtol=1e-5, atol=1e-6)


@EACH
def test_a_tuple_gives_a_tuple(name):
    layer, initial = made(name, num_layers=2), states(name, 2)
    y, pullback = getattr(ops, name.lower())(X, *initial, *own(layer))
    found = layer.forward((X, *initial))
    for a, b in zip(found, y, strict=True):
        np.testing.assert_array_equal(a, b)
    dy = tuple(RNG.normal(size=part.shape).astype("float32") for part in y)
    gradients = layer.backward(dy)
    for a, b in zip(gradients, pullback(dy), strict=False):
        np.testing.assert_array_equal(a, b)
    assert len(gradients) == 1 + STATES[name]


@EACH
def test_tensors_are_recorded(name):
    layer, initial = made(name), states(name, 1)
    leaves = [Tensor(a, requires_grad=True) for a in (X, *initial)]
    y, h, *_ = layer(tuple(leaves))
    (y.sum() + (h * h).sum()).backward()
    outputs, pullback = getattr(ops, name.lower())(X, *initial, *own(layer))
    upstream = (np.ones_like(outputs[0]), 2 * outputs[1], *[None] * (STATES[name] - 1))
    gradients = pullback(upstream)
    for found, expected in zip([*leaves, *layer.parameters()], gradients, strict=True):
        np.testing.assert_allclose(found.grad, expected, rtol=1e-6)
    layer.zero_grad()
    layer(Tensor(X)).sum().backward()
    assert layer.weight_hh_l0.grad.any()
    assert layer.eval()(Tensor(X), np.array([1, 2, 3])).shape == (3, 5, 4)


@EACH
def test_the_function_is_the_op(name):
    layer, initial = made(name), states(name, 1)
    function, names = getattr(F, name.lower()), ("h", "c")
    expected = getattr(ops, name.lower())(X, *initial, *own(layer))[0]
    given = dict(zip(names, initial, strict=False))
    for a, b in zip(function(X, own(layer), **given), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    leaf = Tensor(X, requires_grad=True)
    function(leaf, layer.parameters(), **given)[0].sum().backward()
    assert leaf.grad.shape == X.shape
    assert layer.weight_ih_l0.grad.any()


@EACH
def test_it_is_a_link_of_a_chain(name):
    model = layers.Sequential(made(name, bidirectional=True), layers.Linear(8, 2, seed=1))
    y = model.forward(X)
    assert y.shape == (3, 5, 2)
    assert model.backward(np.ones_like(y)).shape == X.shape


@EACH
def test_frozen_it_still_passes_gradients_on(name):
    layer = made(name).freeze()
    y = layer.forward(X)
    assert layer.backward(np.ones_like(y)).any()
    assert all(p.grad is None for p in layer.parameters())


@EACH
def test_its_names_and_shapes_are_those_of_pytorch_transposed(torch, name):
    layer = getattr(layers, name)(2, 4, num_layers=2, bidirectional=True)
    module = getattr(torch.nn, name)(2, 4, num_layers=2, bidirectional=True)
    ours = [(path, p.shape[::-1]) for path, p in layer.named_parameters()]
    assert ours == [(path, tuple(p.shape)) for path, p in module.named_parameters()]


@EACH
def test_the_weights_are_drawn_by_their_inputs_and_the_seed(name):
    layer = getattr(layers, name)(400, 100, seed=0)
    assert 0.99 / math.sqrt(400) < abs(layer.weight_ih_l0.data).max() <= 1 / math.sqrt(400)
    assert 0.99 / math.sqrt(100) < abs(layer.weight_hh_l0.data).max() <= 1 / math.sqrt(100)
    assert not layer.bias_ih_l0.data.any()
    same = getattr(layers, name)(400, 100, seed=0)
    np.testing.assert_array_equal(same.weight_hh_l0.data, layer.weight_hh_l0.data)
    half = getattr(layers, name)(2, 3, bias=False, dtype="float64", weight_init=init.constant(0.5))
    assert [(p.dtype, p.data.max()) for p in half.parameters()] == [(np.float64, 0.5)] * 2


@pytest.mark.parametrize(
    "spelled",
    [
        "RNN(2, 4)",
        "RNN(2, 4, nonlinearity='relu')",
        "LSTM(2, 4, num_layers=2, bias=False, bidirectional=True)",
        "GRU(2, 4, bidirectional=True)",
    ],
)
def test_it_is_spelled_as_it_is_made(spelled):
    assert repr(eval(f"layers.{spelled}")) == spelled


def test_debugging_looks_at_every_input(monkeypatch):
    monkeypatch.setattr("minidl.layers.base.DEBUG", True)
    layer, initial = made("GRU"), states("GRU", 1)
    layer.forward((X * np.nan, *initial))  # the NaN was there before
    layer.weight_ih_l0.data = np.nan
    with pytest.raises(FloatingPointError, match=r"GRU\(2, 4\): the first NaN appears in its output"):
        layer.forward((X, *initial))
    layer = made("GRU")
    layer.forward((X, *initial))
    initial[0][...] = 1
    with pytest.raises(RuntimeError, match=r"GRU\(2, 4\): an array was written to in place"):
        layer.backward((np.ones_like(layer.predict(X)), None))


def test_arguments_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="LSTM: expected hidden_size of at least 1, got 0"):
        layers.LSTM(2, 0)
    with pytest.raises(TypeError, match="GRU: expected num_layers as an int, got float"):
        layers.GRU(2, 4, 1.0)
    with pytest.raises(ValueError, match="RNN: expected nonlinearity as one of tanh, relu, got 'elu'"):
        layers.RNN(2, 4, nonlinearity="elu")
    with pytest.raises(
        ValueError, match=r"LSTM\(2, 4\): expected the input and 2 initial states, got 2 arrays"
    ):
        made("LSTM").forward((X, X))
