"""Layers that rearrange: the gradient comes back in the shape of the input; and layers made of functions."""

import pytest

from minidl import Parameter, Tensor
from minidl import functional as F
from minidl.layers import Flatten, Function, Identity, Linear, Reshape, Sequential
from minidl.testing import check_gradients, check_layer
from tests.either import np

X = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")


@pytest.mark.parametrize(
    ("layer", "shape", "spelled"),
    [
        (Identity(), (2, 4, 3), "Identity()"),
        (Flatten(), (2, 12), "Flatten()"),
        (Reshape((12,)), (2, 12), "Reshape((12,))"),
        (Reshape([3, 4, 1]), (2, 3, 4, 1), "Reshape((3, 4, 1))"),
        (Reshape((-1, 2)), (2, 6, 2), "Reshape((-1, 2))"),
        (Reshape(()), None, "Reshape(())"),
    ],
)
def test_the_same_numbers_in_another_shape_and_back(layer, shape, spelled):
    assert repr(layer) == spelled
    x = X if shape else X[:, 0, 0]
    y = layer.forward(x)
    assert y.shape == (shape or (2,))
    np.testing.assert_array_equal(y.ravel(), x.ravel())
    np.testing.assert_array_equal(layer.backward(y), x)
    assert layer.vjp(x)[1](y, input_grad=False) == (None, [])
    assert layer.predict(x[:0]).shape == (0, *y.shape[1:])
    assert layer.sample_wise


@pytest.mark.parametrize(
    ("layer", "x", "message"),
    [
        (Reshape((5,)), X, r"reshape: expected samples of 5 numbers for \(5,\), got shape \(2, 4, 3\)"),
        (Flatten(), np.array(1.0), r"flatten: expected \(N, ...\), got a 0-d array"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(layer, x, message):
    with pytest.raises(ValueError, match=message) as caught:
        layer.forward(x)
    assert caught.value.__notes__ == [f"in {layer!r}"]


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [
        (12, TypeError, "Reshape: expected a tuple of ints, got 12"),
        ((3, 4.0), TypeError, r"Reshape: expected a tuple of ints, got \(3, 4\.0\)"),
        ((-1, -1), ValueError, "at most one of them -1, got"),
        ((3, -2), ValueError, "Reshape: expected lengths of at least 0"),
    ],
)
def test_what_is_no_shape_is_refused(shape, error, message):
    with pytest.raises(error, match=message):
        Reshape(shape)


def gated(x, w, b):
    return F.linear(x, w, b) * F.sigmoid(x)


def test_a_function_is_a_layer_with_its_gradients():
    w = Parameter(np.random.default_rng(1).normal(size=(3, 3)), name="w")
    layer = Function(gated, w, Parameter(np.zeros(3), name="b"))
    assert repr(layer) == "Function(gated)"
    assert [path for path, _ in layer.named_parameters()] == ["parts.0", "parts.1"]
    check_gradients(layer, X.astype("float64"))
    check_layer(Sequential(Function(F.tanh), Linear(3, 2, seed=0)), input_shape=(3,))


def test_a_function_trains_the_layers_it_is_given_and_refuses_those_it_only_captured():
    inner = Linear(3, 2, seed=0)
    captured = Function(lambda x: F.relu(inner(x)))
    with pytest.raises(
        ValueError, match=r"Parameter\(name='weight'.*to be handed over: Function\(f, its_layer\)"
    ):
        captured.backward(np.ones_like(captured.forward(X)))
    with pytest.raises(TypeError, match="expected parameters and layers after f, got ndarray"):
        Function(F.relu, X)
    layer = Function(lambda x, inner: F.relu(inner(x)), inner)
    assert layer.parameters() == inner.parameters()
    y = layer.forward(X)
    assert layer.backward(np.ones_like(y)).shape == X.shape
    assert inner.weight.grad.any()
    inner.freeze()
    assert layer.vjp(X)[1](y)[1] == []


def test_a_function_recomputes_nothing_and_is_re_entrant():
    layer = Function(gated, Parameter(np.eye(3), name="w"), Parameter(np.ones(3), name="b"))
    x = X.astype("float64")
    y, pullback = layer.vjp(x)
    (first, pairs), _, (again, _) = pullback(y), pullback(2 * y), pullback(y)
    np.testing.assert_array_equal(first, again)
    assert [p.name for p, _ in pairs] == ["w", "b"]
    assert pullback(y, input_grad=False)[0] is None


def test_a_function_that_ignores_its_input_has_no_gradient_for_it():
    p = Parameter(np.ones(2), name="p")
    layer = Function(lambda x, p: p * 2, p)
    layer.forward(X)
    assert not layer.backward(np.ones(2)).any()
    assert p.grad.tolist() == [2, 2]
    constant = Function(lambda x: Tensor(np.ones(2)))
    constant.forward(X)
    assert constant.backward(np.ones(2)).shape == X.shape


def test_what_is_no_function_of_tensors_is_refused():
    with pytest.raises(TypeError, match="Function: expected a function of Tensors, got int"):
        Function(3)
    with pytest.raises(
        TypeError, match=r"Function\(.*\): expected the function to return a Tensor, got ndarr"
    ):
        Function(lambda x: x.data).forward(X)
