"""A batch that goes through a model in parts gives the gradient of the whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl.backend import asarray, to_numpy
from minidl.training import micro_batches
from tests.either import np
from tests.training.resuming import OPTIMIZERS

RNG = np.random.default_rng(0)
X = RNG.standard_normal((13, 6, 6, 2))
LABELS = RNG.integers(3, size=13)


def network() -> minidl.Sequential:
    """In float64, and without what looks at the whole batch."""
    return minidl.Sequential(
        minidl.Conv(2, 4, 3, seed=0),
        minidl.LayerNorm((4, 4, 4)),
        minidl.Tanh(),
        minidl.Flatten(),
        minidl.Linear(64, 3, seed=1),
    ).astype("float64")


@given(n=st.integers(1, 13), count=st.integers(1, 15), reduction=st.sampled_from(["mean", "sum"]))
def test_the_gradients_and_losses_of_the_parts_add_up_to_those_of_the_batch(n, count, reduction) -> None:
    model, criterion = network(), minidl.CrossEntropy(reduction=reduction)
    loss = criterion.forward(model.forward(asarray(X[:n])), LABELS[:n])
    model.backward(criterion.backward())
    expected = [to_numpy(p.grad).copy() for p in model.parameters()]
    model.zero_grad()
    total = 0.0
    for (x, labels), share in micro_batches((asarray(X[:n]), LABELS[:n]), count):
        part = criterion.forward(model.forward(x), labels)
        mean = reduction == "mean"
        model.backward(criterion.backward(share) if mean else criterion.backward())
        total += float(part * share if mean else part)
    assert total == pytest.approx(float(loss), rel=1e-12)
    for p, grad in zip(model.parameters(), expected, strict=True):
        np.testing.assert_allclose(to_numpy(p.grad), grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_by_parts_are_steps_by_the_batch(name) -> None:
    ends = []
    for count in (1, 4):
        model, criterion = network(), minidl.CrossEntropy()
        optimizer = OPTIMIZERS[name](model.parameters())
        for _ in range(5):
            for (x, labels), share in micro_batches((asarray(X), LABELS), count):
                criterion.forward(model.forward(x), labels)
                model.backward(criterion.backward(share), input_grad=False)
            optimizer.step()
            model.zero_grad()
        ends.append(np.concatenate([to_numpy(p.data).ravel() for p in model.parameters()]))
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-6, atol=1e-6)


@given(st.integers(0, 20), st.integers(1, 25))
def test_the_parts_are_the_batch_in_order_nearly_equal_and_share_its_memory(n, count) -> None:
    x, pair = np.arange(3 * n).reshape(n, 3), (np.arange(n), np.arange(n) * 2)
    parts = list(micro_batches((x, pair), count))
    sizes = [len(part[0]) for part, _ in parts]
    assert len(parts) == min(n, count)
    assert max(sizes, default=1) - min(sizes, default=1) <= 1
    assert sum(float(share) for _, share in parts) == pytest.approx(1.0 if n else 0.0)
    for place, column in enumerate((x, pair[0], pair[1])):
        cut = [part[0] if place == 0 else part[1][place - 1] for part, _ in parts]
        np.testing.assert_array_equal(np.concatenate([*cut, column[:0]]), column)
        assert all(np.shares_memory(part, column) for part in cut)


def test_an_array_alone_is_cut_too() -> None:
    parts = [part.tolist() for part, _ in micro_batches(np.arange(5), 2)]
    assert parts == [[0, 1], [2, 3, 4]]


def test_bad_arguments_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="expected count of at least 1, got 0"):
        micro_batches(X, 0)
    with pytest.raises(TypeError, match="expected count as an int, got float"):
        micro_batches(X, 2.0)
    with pytest.raises(ValueError, match="expected arrays of one length, got 12 and 13"):
        micro_batches((X, LABELS[:12]), 2)
    with pytest.raises(ValueError, match="expected arrays of one length, got an empty tuple"):
        micro_batches((), 2)
    with pytest.raises(TypeError, match="expected arrays with samples, got list"):
        micro_batches([X, LABELS], 2)
