"""What the processes run that tests/distributed/test_mpi.py starts: python program.py MODE [FOLDER]."""

import os
import signal
import sys
from itertools import islice
from pathlib import Path

import numpy as np

import minidl
from minidl import distributed
from minidl.data import DataLoader
from minidl.layers import BatchNorm, Linear, ReLU, Sequential
from minidl.optim import SGD
from minidl.training import fit

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(34, 6)).astype("float32")  # the last of three batches has 2 samples
LABELS = RNG.integers(0, 3, 34)


def train(group, at_step=lambda step: None, steps=12):
    """Train a model of its own; return the flat gradient of each step and the model."""
    model = Sequential(Linear(6, 8, seed=group.rank), BatchNorm(8, eps=0.1), ReLU(), Linear(8, 3, seed=1))
    optimizer, criterion = SGD(model.parameters(), lr=0.1, momentum=0.9), minidl.CrossEntropy()
    group.broadcast(model, optimizer)
    group.synchronize_batch_norm(model)
    batches = group.shard(DataLoader((IMAGES, LABELS), batch_size=16, shuffle=True, seed=2))
    gradients = []
    for step, (x, y) in enumerate(islice((batch for _ in range(steps) for batch in batches), steps)):
        at_step(step)
        criterion.forward(model.forward(x), y)
        model.backward(criterion.backward(), input_grad=False)
        group.average_gradients(optimizer, len(x))
        gradients.append(optimizer.flat[0][1].copy())
        optimizer.step()
        optimizer.zero_grad()
    return gradients, model


def compare(group) -> None:
    """Say how far the gradients of all steps are from those of one process with the whole batches."""
    gradients, model = train(group)
    expected, _ = train(distributed.Group())
    worst = max(float(abs(a - b).max()) for a, b in zip(gradients, expected, strict=True))
    lows = group.sum(np.eye(group.size)[group.rank] * worst)  # of each rank
    bits = model[0].weight.data.view("int32")
    total = group.sum(bits)
    group.once(lambda: minidl.save_weights(model, Path(sys.argv[2]) / "weights.safetensors"))
    if group.rank == 0:
        same = bool((total == group.size * bits.astype("int64")).all())
        print(f"size {group.size} worst {lows.max():.1e} same {same}")


def fit_with_nan_on_rank_1(group) -> None:
    """Fit the parts of both ranks; a callback averages their gradients."""
    images = IMAGES.copy()
    if sys.argv[2:] != ["healthy"]:
        images[12] = np.nan  # among the 8 samples that rank 1 has of the first batch
    model = Sequential(Linear(6, 8, seed=0), ReLU(), Linear(8, 3, seed=1))
    optimizer = SGD(model.parameters(), lr=0.1)
    batches = group.shard(DataLoader((images, LABELS), batch_size=16, drop_last=True))

    def average(event) -> None:
        if event.kind == "gradients":
            group.average_gradients(optimizer, 1)

    fit(model, minidl.CrossEntropy(), optimizer, batches, epochs=3, callbacks=[average], progress=False)
    bits = model[0].weight.data.view("int32").astype("int64")
    same = bool((group.sum(bits) == group.size * bits).all())
    print(f"same {same}\n", end="")  # in one piece: two ranks write to one pipe


def fail_on_rank_1(group) -> None:
    def at_step(step):
        if group.rank == 1 and step == 3:
            raise ValueError("the label of sample 17 is a pear")

    train(group, at_step)


def kill_rank_1(group) -> None:
    (Path(sys.argv[2]) / f"pid{group.rank}").write_text(str(os.getpid()))

    def at_step(step):
        if group.rank == 1 and step == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    train(group, at_step)


def leave_on_rank_1(group) -> None:
    train(group, steps=12 - 4 * group.rank)


def exit_on_rank_1(group) -> None:
    train(group, lambda step: sys.exit(0) if group.rank == 1 and step == 3 else None)


if __name__ == "__main__":
    globals()[sys.argv[1]](distributed.connect())
