"""Seed 1: the xp network of softmax, dense and convolutional layers, pooling, dropout and a data layer."""

import numpy as np
import pytest

import minidl
from minidl.data import DataLoader
from minidl.layers import Conv, Dropout, Flatten, Linear, MaxPool, ReLU, Sequential, Softmax
from minidl.losses import CrossEntropy
from minidl.optim import SGD


def network(*tail) -> Sequential:
    return Sequential(
        Conv(1, 4, 3, stride=2, padding=1, seed=0),
        ReLU(),
        MaxPool(2),
        Flatten(),
        Dropout(0.25, seed=1),
        Linear(16, 3, seed=2),
        *tail,
    )


def batch(n: int) -> tuple:
    rng = np.random.default_rng(n)
    return minidl.asarray(rng.normal(size=(n, 8, 8, 1)), "float32"), minidl.asarray(rng.integers(0, 3, n))


def test_logits_and_integer_labels_give_what_probabilities_and_one_hot_targets_give():
    x, labels = batch(5)
    ours, theirs = network(), network(Softmax())
    loss = CrossEntropy()
    by_logits = loss.forward(ours.forward(x), labels)
    dx = ours.backward(loss.backward())

    loss = CrossEntropy(from_logits=False)
    by_probabilities = loss.forward(theirs.forward(x), minidl.xp.eye(3, dtype="float32")[labels])
    np.testing.assert_allclose(minidl.to_numpy(by_logits), minidl.to_numpy(by_probabilities), rtol=1e-6)
    np.testing.assert_allclose(
        minidl.to_numpy(dx), minidl.to_numpy(theirs.backward(loss.backward())), rtol=1e-4, atol=1e-7
    )


def test_flatten_restores_the_shape_of_images_in_the_backward_pass():
    flatten = Flatten()
    x = minidl.xp.zeros((2, 4, 3, 5))
    assert flatten.forward(x).shape == (2, 60)
    assert flatten.backward(minidl.xp.ones((2, 60))).shape == x.shape


@pytest.mark.parametrize("n", [1, 2, 7])
def test_any_batch_size_goes_through_one_network_and_weight_gradients_can_be_looked_at(n):
    model, loss = network(), CrossEntropy()
    for size in (2, n):
        x, labels = batch(size)
        loss.forward(model.forward(x), labels)
        assert model.backward(loss.backward()).shape == x.shape
    for parameter in model.parameters():
        assert parameter.grad.shape == parameter.data.shape
        assert abs(parameter.grad).max() > 0


def test_it_trains():
    x, labels = batch(48)
    model, loss = network(), CrossEntropy()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    first = float(loss.forward(model.predict(x), labels))
    for _ in range(30):
        for images, targets in DataLoader((x, labels), batch_size=16, shuffle=True, seed=0):
            loss.forward(model.forward(images), targets)
            model.backward(loss.backward())
            optimizer.step()
            optimizer.zero_grad()
    assert float(loss.forward(model.predict(x), labels)) < first / 2


def test_an_exception_names_the_layer_of_the_chain_it_came_from():
    with pytest.raises(ValueError, match=r"linear: expected \(\.\.\., 16\)") as caught:
        network().forward(minidl.xp.zeros((2, 16, 16, 1), "float32"))
    assert "at position 5 of Sequential: Linear(16, 3)" in caught.value.__notes__
