"""One definition, three surfaces: layers, layers on Tensors and functions agree on one convolutional net."""

import pytest

import minidl
from minidl import Tensor, losses
from minidl import functional as F
from minidl.layers import Conv, Flatten, Linear, MaxPool, Parallel, ReLU, Residual, Sequential, Sigmoid, Tanh
from tests.either import np

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(6, 8, 8, 2)).astype("float32")
LABELS = RNG.integers(0, 4, 6)


def network() -> Sequential:
    """A net with a branch, a short cut and a layer that is used twice."""
    shared = Conv(4, 4, 3, padding=1, seed=2)
    return Sequential(
        Conv(2, 4, 3, padding="same", seed=0),
        ReLU(),
        Residual(shared),
        shared,
        MaxPool(2),
        Parallel(Tanh(), Sigmoid()),
        Flatten(),
        Linear(128, 4, seed=3),
    )


def results(model, loss, dx) -> list[np.ndarray]:
    return [loss.data if isinstance(loss, minidl.Tensor) else loss, dx, *(p.grad for p in model.parameters())]


def by_layers(model, images) -> list[np.ndarray]:
    criterion = losses.CrossEntropy()
    loss = criterion.forward(model.forward(images), LABELS)
    return results(model, loss, model.backward(criterion.backward()))


def by_layers_on_tensors(model, images) -> list[np.ndarray]:
    x = y = Tensor(images, requires_grad=True)
    for layer in model:
        y = layer(y)
    loss = F.cross_entropy(y, LABELS)
    loss.backward()
    return results(model, loss, x.grad)


def by_one_step(model, images) -> list[np.ndarray]:
    x = Tensor(images, requires_grad=True)
    loss = F.cross_entropy(model(x), LABELS)
    loss.backward()
    return results(model, loss, x.grad)


def composed(model, x):
    first, shared, head = model[0], model[3], model[-1]
    y = F.relu(F.conv(x, first.weight, first.bias, padding="same"))
    y = F.conv(y, shared.weight, shared.bias, padding=1) + y
    y = F.max_pool(F.conv(y, shared.weight, shared.bias, padding=1), 2)
    y = F.concatenate([F.tanh(y), F.sigmoid(y)], axis=-1).reshape(len(x), -1)
    return F.cross_entropy(F.linear(y, head.weight, head.bias), LABELS)


def by_functions(model, images) -> list[np.ndarray]:
    x = Tensor(images, requires_grad=True)
    loss = composed(model, x)
    loss.backward()
    return results(model, loss, x.grad)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("surface", [by_layers_on_tensors, by_one_step])
def test_layers_and_layers_on_tensors_agree_to_the_bit(surface, dtype):
    images = IMAGES.astype(dtype)
    expected = by_layers(network().astype(dtype), images)
    for array, other in zip(surface(network().astype(dtype), images), expected, strict=True):
        np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_agree_to_rounding(dtype):
    images = IMAGES.astype(dtype)
    expected = by_layers(network().astype(dtype), images)
    for array, other in zip(by_functions(network().astype(dtype), images), expected, strict=True):
        np.testing.assert_allclose(array, other, rtol=1e-6, atol=1e-6 * abs(other).max())


@pytest.mark.parametrize("surface", [by_layers, by_layers_on_tensors, by_one_step, by_functions])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_m17_the_dtype_stays(surface, dtype):
    found = surface(network().astype(dtype), IMAGES.astype(dtype))
    assert len(found) == 8
    for array in found:
        assert type(array) is np.ndarray
        assert array.dtype == dtype


def test_the_loss_and_its_gradient_are_those_of_vjp_too():
    model = network()
    loss, dx, *_ = by_layers(model, IMAGES)
    y, pullback = minidl.vjp(lambda x: F.cross_entropy(model(x), LABELS), IMAGES)
    np.testing.assert_array_equal(y, loss)
    np.testing.assert_array_equal(pullback(np.ones_like(y)), dx)


@pytest.mark.parametrize("surface", [by_layers, by_layers_on_tensors, by_one_step, by_functions])
def test_frozen_parameters_get_nothing_and_the_rest_the_same(surface):
    expected = surface(network(), IMAGES)
    model = network()
    model[0].freeze()
    found = surface(model, IMAGES)
    assert found[2] is found[3] is None
    for array, other in zip(found[4:], expected[4:], strict=True):
        np.testing.assert_array_equal(array, other)
    np.testing.assert_array_equal(found[1], expected[1])


def test_a_function_of_parameters_fills_their_gradients():
    layer, x = Linear(3, 2, seed=0), Tensor(RNG.normal(size=(4, 3)).astype("float32"))
    dy = RNG.normal(size=(4, 2)).astype("float32")
    F.linear(x, layer.weight, layer.bias).backward(dy)
    layer_grads = [p.grad.copy() for p in layer.parameters()]
    layer.zero_grad()
    layer.forward(x.data)
    layer.backward(dy)
    for grad, p in zip(layer_grads, layer.parameters(), strict=True):
        np.testing.assert_array_equal(grad, p.grad)
    assert x.grad is None


def test_one_layer_records_one_step_however_many_it_is_made_of():
    x = Tensor(IMAGES, requires_grad=True)
    y = network()(x)
    assert y._node.sources == [x]


def test_a_model_called_on_a_constant_trains_as_by_layers():
    expected, model = by_layers(network(), IMAGES), network()
    F.cross_entropy(model(Tensor(IMAGES)), LABELS).backward()
    for p, grad in zip(model.parameters(), expected[2:], strict=True):
        np.testing.assert_array_equal(p.grad, grad)


def test_so_they_do_where_a_batch_is_cut_into_tiles():
    model = Sequential(Conv(2, 16, 3, padding=1, seed=0), ReLU(), Conv(16, 16, 3, padding=1, seed=1))
    x = Tensor(RNG.normal(size=(160, 16, 16, 2)).astype("float32"), requires_grad=True)
    y = model.forward(x.data)
    assert any(piece.samples for pieces in model._plans.pieces.values() for piece in pieces)
    dx = model.backward(y)
    expected = [p.grad.copy() for p in model.parameters()]
    model.zero_grad()
    z = model(x)
    z.backward(y)
    for array, other in zip(
        [z.data, x.grad, *(p.grad for p in model.parameters())], [y, dx, *expected], strict=True
    ):
        np.testing.assert_array_equal(array, other)
