"""Layer: the order of its calls, its parts by name, its state, and what becomes of all that when copied."""

import os
import subprocess
import sys

import pytest

from minidl import Buffer, Layer, Linear, Parameter, Tensor, no_grad, ops
from minidl.layers import ReLU, Sequential
from minidl.layers.base import check_sizes
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


def test_bind_pairs_the_gradients_with_the_parameters():
    layer = dense()
    y, pullback = layer.vjp(X)
    expected, op = ops.linear(X, layer.weight.data, layer.bias.data)
    np.testing.assert_array_equal(y, expected)
    dx, pairs = pullback(DY)
    for (p, g), parameter, gradient in zip(pairs, layer.parameters(), op(DY)[1:], strict=True):
        assert p is parameter
        np.testing.assert_array_equal(g, gradient)
    np.testing.assert_array_equal(dx, op(DY)[0])
    assert pullback(DY, input_grad=False)[0] is None
    assert layer.weight.grad is None  # vjp keeps and collects nothing
    with pytest.raises(RuntimeError, match="backward without a forward"):
        layer.backward(DY)


def test_an_absent_parameter_has_no_pair():
    layer = Linear(3, 2, bias=False)
    assert [p for p, _ in layer.vjp(X)[1](DY)[1]] == [layer.weight]


def test_backward_adds_to_grad_and_returns_the_gradient_of_the_input():
    layer = dense()
    for times in (1, 2):
        layer.forward(X)
        np.testing.assert_allclose(layer.backward(DY), DY @ layer.weight.data.T, rtol=1e-6)
        np.testing.assert_allclose(layer.weight.grad, times * (X.T @ DY), rtol=1e-5)
    layer.forward(X)
    assert layer.backward(DY, input_grad=False) is None
    np.testing.assert_allclose(layer.bias.grad, 3 * DY.sum(0), rtol=1e-5)
    grad = layer.weight.grad
    layer.zero_grad()
    assert layer.weight.grad is grad
    assert not grad.any()


def test_grad_does_not_share_memory_with_what_the_pullback_gave():
    layer = Scale(3)
    layer.vjp = lambda x: (x, lambda dy, input_grad=True: (dy, [(layer.weight, dy)]))
    dy = np.ones(3, "float32")
    layer.forward(dy)
    layer.backward(dy)
    layer.weight.grad[...] = 5
    assert dy.tolist() == [1, 1, 1]


def test_backward_comes_once_after_each_forward_and_errors_name_the_layer():
    layer = dense()
    message = r"Linear\(3, 2\): backward without a forward; call forward once before each backward"
    with pytest.raises(RuntimeError, match=message):
        layer.backward(DY)
    layer.forward(X)
    layer.backward(DY)
    with pytest.raises(RuntimeError, match=message):
        layer.backward(DY)
    layer.forward(X)
    with pytest.raises(ValueError, match=r"expected \(\.\.\., 3\), got \(4, 5\)") as caught:
        layer.forward(np.ones((4, 5), "float32"))
    assert caught.value.__notes__ == ["in Linear(3, 2)"]
    with pytest.raises(RuntimeError, match=message):  # the step before does not stand in for a failed one
        layer.backward(DY)


@pytest.mark.parametrize(
    ("dy", "error", "message"),
    [
        (DY.T, ValueError, r"Linear\(3, 2\): gradient: expected shape \(4, 2\), got \(2, 4\)"),
        ([[1.0]], TypeError, r"Linear\(3, 2\): gradient: expected an array, got list"),
    ],
)
def test_a_gradient_that_does_not_fit_is_refused_and_the_right_one_can_follow(dy, error, message):
    layer = dense()
    layer.forward(X)
    with pytest.raises(error, match=message):
        layer.backward(dy)
    assert layer.weight.grad is None
    assert layer.backward(DY).shape == X.shape


def test_a_gradient_takes_the_dtype_of_the_output():
    layer = dense()
    layer.forward(X)
    assert layer.backward(DY.astype("float64")).dtype == layer.weight.grad.dtype == "float32"


def test_predict_keeps_nothing_for_a_backward():
    layer = dense()
    np.testing.assert_array_equal(layer.predict(X), layer.vjp(X)[0])
    with pytest.raises(RuntimeError, match="without a forward"):
        layer.backward(DY)


def test_a_call_is_forward_for_an_array_and_one_recorded_step_for_a_tensor():
    layer = dense()
    np.testing.assert_array_equal(layer(X), layer.forward(X))
    layer.backward(DY)
    expected = layer.weight.grad.copy()
    layer.zero_grad()
    x = Tensor(X, requires_grad=True)
    y = layer(x)
    assert y._node.sources == [x]
    y.backward(DY)
    np.testing.assert_array_equal(layer.weight.grad, expected)
    np.testing.assert_array_equal(x.grad, ops.linear(X, layer.weight.data)[1](DY)[0])


def test_a_layer_called_on_a_constant_still_trains():
    layer, x = dense(), Tensor(X)
    layer(x).backward(DY)
    assert layer.weight.grad.any()
    assert x.grad is None
    with no_grad():
        assert not layer(x).requires_grad
    assert not layer.freeze()(x).requires_grad


def test_frozen_parameters_get_no_gradient_and_inputs_still_do():
    layer = dense()
    assert layer.freeze() is layer
    layer.forward(X)
    np.testing.assert_allclose(layer.backward(DY), DY @ layer.weight.data.T, rtol=1e-6)
    assert layer.weight.grad is layer.bias.grad is None
    assert layer.vjp(X)[1](DY, input_grad=False) == (None, [])
    layer.unfreeze().bias.requires_grad = False
    assert [p for p, _ in layer.vjp(X)[1](DY)[1]] == [layer.weight]


def test_parts_have_the_names_of_their_attributes_and_a_shared_one_its_first():
    layer = Scale(3)
    inner = layer.heads[1][0]
    assert layer.parameters() == [p for _, p in layer.named_parameters()]
    assert [path for path, _ in layer.named_parameters()] == [
        *("weight", "heads.1.0.weight", "heads.1.0.bias", "named.b.weight", "named.b.bias")
    ]
    assert [path for path, _ in layer.named_layers()] == ["", "heads.0", "heads.1.0", "named.b"]
    assert dict(layer.buffers()) == {"count": layer.count}
    tied = Sequential(inner, Scale(3))
    tied[1].weight = inner.weight
    names = [path for path, _ in tied.named_parameters()]
    assert names[:2] == ["0.weight", "0.bias"]
    assert "1.weight" not in names
    assert layer.training  # without super().__init__()


def test_debug_names_the_layer_that_makes_the_first_nan():
    code = (
        "import numpy as np, minidl\n"
        "from minidl.layers import Linear, ReLU, Sequential\n"
        "model = Sequential(ReLU(), Linear(2, 3), Linear(3, 2))\n"
        "x = np.ones((4, 2), 'float32')\n"
        "model.forward(x); model.backward(x)\n"
        "model[1].weight.data[0, 0] = float('nan')\n"
        "model.forward(x)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "MINIDL_DEBUG": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stderr.splitlines()[-2:] == [
        "FloatingPointError: Linear(2, 3): the first NaN appears in its output",
        "at position 1 of Sequential: Linear(2, 3)",
    ]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Layer().forward(X), NotImplementedError, r"Layer: a layer defines vjp\(x\)"),
        (lambda: check_sizes("L", k=1.0), TypeError, "L: expected k as an int, got float"),
        (lambda: check_sizes("L", k=0), ValueError, "L: expected k of at least 1, got 0"),
    ],
)
def test_a_layer_that_is_none_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
