"""What training rests on, beside ops and layers: updates, batches, initial weights and running statistics."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from minidl import backend, init, optim
from minidl.data import DataLoader
from minidl.layers import BatchNorm, Dropout, Parameter
from minidl.tensor import Tensor
from tests.either import np

Numbers = list[float]


def sgd(
    p: float, gradients: Numbers, lr: float, momentum: float, nesterov: bool, weight_decay: float
) -> float:
    velocity = 0.0
    for g in gradients:
        g += weight_decay * p
        velocity = momentum * velocity + g
        p -= lr * (g + momentum * velocity if nesterov else velocity)
    return p


def adam(p: float, gradients: Numbers, lr: float, weight_decay: float, decoupled: bool) -> float:
    mean = square = 0.0
    for t, g in enumerate(gradients, 1):
        if decoupled:
            p -= lr * weight_decay * p
        else:
            g += weight_decay * p
        mean = 0.8 * mean + 0.2 * g
        square = 0.9 * square + 0.1 * g * g
        p -= lr * (mean / (1 - 0.8**t)) / (math.sqrt(square / (1 - 0.9**t)) + 0.01)
    return p


BETAS = {"betas": (0.8, 0.9), "eps": 0.01}
UPDATES: list[tuple[str, Callable[..., Any], dict[str, Any], Callable[..., float]]] = [
    ("SGD", optim.SGD, {}, lambda p, g: sgd(p, g, 0.1, 0.0, False, 0.0)),
    (
        "SGD with momentum and decay",
        optim.SGD,
        {"momentum": 0.9, "weight_decay": 0.1},
        lambda p, g: sgd(p, g, 0.1, 0.9, False, 0.1),
    ),
    (
        "SGD after Nesterov",
        optim.SGD,
        {"momentum": 0.9, "nesterov": True},
        lambda p, g: sgd(p, g, 0.1, 0.9, True, 0.0),
    ),
    ("Adam", optim.Adam, {**BETAS, "weight_decay": 0.1}, lambda p, g: adam(p, g, 0.1, 0.1, False)),
    ("AdamW", optim.AdamW, {**BETAS, "weight_decay": 0.1}, lambda p, g: adam(p, g, 0.1, 0.1, True)),
]


@pytest.mark.parametrize(("name", "make", "options", "update"), UPDATES, ids=[row[0] for row in UPDATES])
def test_an_update_is_that_of_naive_loops(
    name: str, make: Callable[..., Any], options: dict[str, Any], update: Callable[..., float]
) -> None:
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(2, 3)), rng.normal(size=(4, 2, 3))
    parameter = Parameter(start.copy())
    optimizer = make([parameter], lr=0.1, **options)
    for g in gradients:
        parameter.grad = g
        optimizer.step()
    for index in np.ndindex(start.shape):
        wanted = update(float(start[index]), [float(g[index]) for g in gradients])
        np.testing.assert_allclose(parameter.data[index], wanted, rtol=1e-12)


def test_zero_grad_leaves_nothing_to_step_by() -> None:
    parameter = Parameter(np.ones(2))
    optimizer = optim.SGD([parameter], lr=0.1)
    parameter.grad = np.ones(2)
    optimizer.zero_grad()
    optimizer.step()
    np.testing.assert_array_equal(parameter.data, 1)


@pytest.mark.parametrize("size", [127, 128, 129])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_an_epoch_has_every_sample_once(size: int, drop_last: bool, shuffle: bool) -> None:
    images, labels = np.arange(size) * 2.0, np.arange(size)
    loader = DataLoader((images, labels), 32, shuffle=shuffle, drop_last=drop_last, seed=0)
    batches = list(loader)
    full, rest = divmod(size, 32)
    assert [len(y) for _, y in batches] == [32] * full + [rest] * (rest > 0 and not drop_last)
    assert len(loader) == len(batches)
    for x, y in batches:
        np.testing.assert_array_equal(x, 2.0 * y)
    seen = np.concatenate([y for _, y in batches])
    assert len(set(seen.tolist())) == len(seen)
    if not shuffle:
        np.testing.assert_array_equal(seen, labels[: len(seen)])


def test_an_order_differs_from_epoch_to_epoch_and_follows_from_the_seed() -> None:
    first, again = (DataLoader(np.arange(100), 100, shuffle=True, seed=3) for _ in range(2))
    orders = [next(iter(first)), next(iter(first))]
    assert (orders[0] != orders[1]).any()
    np.testing.assert_array_equal(next(iter(again)), orders[0])


def test_a_batch_may_be_written_to() -> None:
    data = np.zeros((8, 2))
    for x in DataLoader(data, 4):
        x += 1
    assert not data.any()


SPREADS = [
    ("he_normal", lambda n, m: math.sqrt(2 / n)),
    ("he_uniform", lambda n, m: math.sqrt(2 / n)),
    ("glorot_normal", lambda n, m: math.sqrt(2 / (n + m))),
    ("glorot_uniform", lambda n, m: math.sqrt(2 / (n + m))),
    ("lecun_normal", lambda n, m: math.sqrt(1 / n)),
    ("lecun_uniform", lambda n, m: math.sqrt(1 / n)),
]


@pytest.mark.parametrize(("name", "spread"), SPREADS)
def test_initial_weights_have_the_spread_of_their_formula(name: str, spread: Callable[..., float]) -> None:
    w = getattr(init, name)((400, 50), seed=0)
    assert float(w.std()) == pytest.approx(spread(400, 50), rel=0.03)
    assert abs(float(w.mean())) < 0.05 * spread(400, 50)


def test_running_statistics_follow_those_of_the_batches() -> None:
    layer, rng = BatchNorm(2, momentum=0.25).astype("float64"), np.random.default_rng(0)
    mean, var = np.zeros(2), np.ones(2)
    for x in rng.normal(2.0, 3.0, size=(3, 5, 2)):
        layer.forward(x)
        mean = 0.75 * mean + 0.25 * x.mean(axis=0)
        var = 0.75 * var + 0.25 * x.var(axis=0, ddof=1)
    np.testing.assert_allclose(layer.running_mean.data, mean)
    np.testing.assert_allclose(layer.running_var.data, var)


def test_dropout_keeps_the_expectation_and_draws_anew() -> None:
    layer, x = Dropout(0.25, seed=0), np.ones(40_000)
    masks = [layer.forward(x), layer.forward(x)]
    assert (masks[0] != masks[1]).any()
    for y in masks:
        assert float((y == 0).mean()) == pytest.approx(0.25, abs=0.01)
        assert float(y.mean()) == pytest.approx(1.0, abs=0.02)


def test_a_tensor_used_twice_has_the_sum_of_both_gradients() -> None:
    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    y = x * x
    (y + y * x).sum().backward()
    np.testing.assert_allclose(x.grad, 2 * x.data + 3 * x.data**2)


@pytest.mark.parametrize("choice", ["cupi", "0", "NumPy"])
def test_an_unknown_backend_is_refused(choice: str) -> None:
    with pytest.raises(ValueError, match="expected one of numpy, cupy, auto"):
        backend._choose(choice)
