"""How often a step of training waits for the GPU, counted by the stand-in for CuPy."""

import numpy
import pytest

import minidl
from minidl import optim
from minidl.backend import asarray
from minidl.training import (
    F1,
    R2,
    Accuracy,
    ConfusionMatrix,
    History,
    Mean,
    MixedPrecision,
    Precision,
    Progress,
    Recall,
    TopK,
    fit,
    micro_batches,
)
from tests.standin import counting, package

pytestmark = pytest.mark.skipif(not package.installed(), reason="--standin")

RNG = numpy.random.default_rng(0)
X = asarray(RNG.random((8, 6, 6, 1), dtype=numpy.float32))
LABELS = asarray(RNG.integers(3, size=8))


def network() -> minidl.Sequential:
    return minidl.Sequential(
        minidl.Conv(1, 4, kernel_size=3, seed=0),
        minidl.BatchNorm(4),
        minidl.ReLU(),
        minidl.Dropout(0.3, seed=1),
        minidl.Flatten(),
        minidl.Linear(64, 3, seed=2),
    )


@pytest.mark.parametrize("parts", [1, 4])
def test_mixed_precision_waits_once_a_step_and_nowhere_else(parts) -> None:
    model, loss = network(), minidl.CrossEntropy()
    optimizer = optim.AdamW(model.parameters())
    mixed = MixedPrecision(model, optimizer)
    loss.forward(model.predict(X), LABELS)  # it looks once whether it is given probabilities
    with counting.recorded() as record:
        for (x, labels), share in micro_batches((X, LABELS), parts):
            loss.forward(mixed.forward(x), labels)
            mixed.backward(loss.backward(share), input_grad=False)
        optim.clip_grad_norm(model.parameters(), 1.0)
    assert record.waits == []
    with counting.recorded() as record:
        mixed.step()
        optimizer.zero_grad()
    assert len(record.waits) == 1


@pytest.mark.parametrize(
    ("check_every", "mixed_precision", "expected"), [(0, False, 0), (1, False, 1), (0, True, 1), (1, True, 2)]
)
def test_fit_waits_for_a_look_and_for_a_scale_and_for_nothing_else(
    check_every, mixed_precision, expected
) -> None:
    counts = []
    for steps in (3, 7):
        model = network()
        with counting.recorded() as record:
            fit(
                model,
                minidl.CrossEntropy(),
                optim.AdamW(model.parameters()),
                [(X, LABELS)] * steps,
                metrics={"accuracy": Accuracy()},
                mixed_precision=mixed_precision,
                check_every=check_every,
                progress=False,
            )
        counts.append(len(record.waits))
    assert counts[1] - counts[0] == 4 * expected


METRICS = {
    "Accuracy": Accuracy(),
    "Accuracy, some ignored": Accuracy(ignore_index=1),
    "TopK": TopK(2),
    "ConfusionMatrix": ConfusionMatrix(3),
    "Precision": Precision(3),
    "Recall": Recall(3, average="weighted"),
    "F1": F1(3, average="micro", ignore_index=0),
}


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_waits_when_it_is_asked_and_not_before(name) -> None:
    scores = asarray(RNG.random((8, 3), dtype=numpy.float32))
    mask = asarray(numpy.arange(8) < 5)
    with counting.recorded() as record:
        for _ in range(3):
            METRICS[name].update(scores, LABELS)
            METRICS[name].update(scores, LABELS, mask=mask)
        METRICS[name].state()
    assert record.waits == []
    with counting.recorded() as record:
        METRICS[name].compute()
    assert record.waits


def test_a_mean_and_r2_do_so_too() -> None:
    mean, r2 = Mean(), R2()
    with counting.recorded() as record:
        for _ in range(3):
            mean.update(X.mean(), count=8)
            r2.update(X[:, 0, 0], X[:, 1, 1])
    assert record.waits == []


def test_a_history_and_a_bar_that_is_not_drawn_do_not_wait_for_the_loss() -> None:
    history = History()
    with counting.recorded() as record:
        for step in (progress := Progress(range(3000), visible=False)):
            loss = X.mean()
            history.record(step, count=8, loss=loss, lr=0.1)
            progress.show(loss=loss)
    assert record.waits == []
    with counting.recorded() as record:
        assert len(history["loss"]) == 3000
    assert len(record.waits) == 1
