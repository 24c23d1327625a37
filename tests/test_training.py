"""Training reaches what it should: fresh losses, overfitting, repeatability, and accuracy on real digits."""

import itertools
import math
import statistics

import pytest

import minidl
from minidl.data import DataLoader, digits
from minidl.layers import BatchNorm, Conv, Dropout, Flatten, Linear, MaxPool, ReLU, Sequential
from minidl.losses import CrossEntropy
from minidl.optim import SGD, Adam, AdamW
from minidl.optim.schedules import one_cycle
from tests.either import np
from tests.examples import load

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(16, 12, 12, 1)).astype("float32")
LABELS = np.arange(16) % 10


def network(seed: int, *extra) -> Sequential:
    return Sequential(
        Conv(1, 8, 3, seed=seed),
        *extra,
        ReLU(),
        MaxPool(2),
        Conv(8, 16, 3, seed=seed + 1),
        ReLU(),
        Flatten(),
        Linear(144, 10, seed=seed + 2),
    )


def train(model, optimizer, batches) -> float:
    """The loop that every page shows; returns the last loss."""
    criterion = CrossEntropy()
    for x, labels in batches:
        loss = criterion.forward(model.forward(x), labels)
        model.backward(criterion.backward())
        optimizer.step()
        optimizer.zero_grad()
    return float(loss)


@pytest.mark.parametrize("seed", range(5))
def test_the_loss_of_a_fresh_model_of_ten_classes_is_ln_10(seed):
    x = np.random.default_rng(seed).uniform(size=(64, 12, 12, 1)).astype("float32")
    loss = CrossEntropy().forward(network(seed).forward(x), np.arange(64) % 10)
    assert abs(float(loss) - math.log(10)) < 0.1


@pytest.mark.parametrize(
    "make", [lambda p: SGD(p, lr=0.1, momentum=0.9), lambda p: Adam(p, lr=0.01)], ids=["SGD", "Adam"]
)
def test_one_batch_of_16_is_learnt_by_heart(make):
    model = network(0)
    assert train(model, make(model.parameters()), itertools.repeat((IMAGES, LABELS), 150)) < 1e-3
    assert minidl.accuracy(model.predict(IMAGES), LABELS) == 1


def twenty_steps(seed: int) -> tuple[list[np.ndarray], float]:
    model = network(seed, BatchNorm(8), Dropout(0.2, seed=seed + 3))
    x = np.random.default_rng(9).uniform(size=(80, 12, 12, 1)).astype("float32")
    batches = DataLoader((x, np.arange(80) % 10), batch_size=16, shuffle=True, seed=seed)
    optimizer = AdamW(model.parameters(), lr=one_cycle(1e-2, 20))
    losses = [train(model, optimizer, batches) for _ in range(4)]
    return list(model.state().values()), losses[-1]


def test_the_same_seed_gives_the_same_bits_after_twenty_steps_and_another_others():
    (first, loss), (again, same), (_, other) = twenty_steps(5), twenty_steps(5), twenty_steps(6)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert loss == same != other


def test_one_seed_for_a_whole_script():
    def script():
        minidl.seed(11)
        model = Sequential(Linear(4, 8), Dropout(), Linear(8, 10))
        x = np.ones((20, 4), "float32") * np.arange(20, dtype="float32")[:, None] / 20
        batches = DataLoader((x, np.arange(20) % 10), batch_size=5, shuffle=True)
        train(model, SGD(model.parameters(), lr=0.1), batches)
        return list(model.state().values())

    for a, b in zip(script(), script(), strict=True):
        np.testing.assert_array_equal(a, b)


def digits_accuracy(split: int, seed: int) -> float:
    pytest.importorskip("sklearn")
    example = load("digits")
    images, labels = digits()
    data = example.train_test_split(images, labels, test_size=0.2, stratify=labels, random_state=split)
    model = example.build(seed)
    return example.train(model, data, 20, seed, None)["test_accuracy"][-1]


def test_digits_reach_their_bar():
    assert digits_accuracy(split=0, seed=0) >= 0.985


@pytest.mark.full
def test_digits_reach_their_bar_over_splits_and_seeds():
    found = [digits_accuracy(split, seed) for split in range(3) for seed in range(5)]
    assert statistics.median(found) >= 0.99, found
    assert min(found) >= 0.975, found


@pytest.mark.full
def test_mnist_reaches_its_bar(data_folder, monkeypatch, capsys):
    example, found = load("mnist"), []
    for seed in range(3):
        monkeypatch.setattr("sys.argv", ["mnist.py", "--small", "--seed", str(seed)])
        example.main()
        found.append(float(capsys.readouterr().out.split()[-1].rstrip("%")))
    assert statistics.median(found) >= 98.0, found
    assert min(found) >= 97.5, found
