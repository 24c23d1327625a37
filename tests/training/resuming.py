"""The program of `test_resume`: train in one go, or train, save and be killed, or go on in a new process."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import minidl
from minidl import backend, optim
from minidl.data import DataLoader
from minidl.files import write_tensors
from minidl.optim import schedules
from minidl.training import Checkpoints

FIRST, SECOND = 5, 8  # steps; an epoch has three, so the break falls into the middle of one

SCHEDULES = {
    "constant": schedules.constant(0.1),
    "step_decay": schedules.step_decay(0.1, every=3),
    "multi_step": schedules.multi_step(0.1, [2, 6]),
    "exponential": schedules.exponential(0.1, 0.9),
    "polynomial": schedules.polynomial(0.1, steps=10),
    "cosine": schedules.cosine(0.1, steps=10),
    "cosine_restarts": schedules.cosine_restarts(0.1, steps=3, growth=2),
    "one_cycle": schedules.one_cycle(0.1, steps=13),
    "warm_up": schedules.warm_up(4, schedules.cosine(0.1, steps=9)),
    "chain": schedules.chain(0.1, schedules.exponential(0.1, 0.5), at=[4]),
    "Plateau": schedules.Plateau(0.1, patience=0, factor=0.5, threshold=0.5),
}


def cosine() -> schedules.Schedule:
    return schedules.cosine(1e-2, steps=10)


OPTIMIZERS: dict[str, Callable] = {
    "SGD": lambda p: optim.SGD(p, cosine(), momentum=schedules.cosine(0.9, steps=20), nesterov=True),
    "Adam": lambda p: optim.Adam(p, cosine(), weight_decay=0.1),
    "AdamW": lambda p: optim.AdamW([{"parameters": p[:2], "lr": 1e-3}, {"parameters": p[2:]}], cosine()),
    "Adadelta": lambda p: optim.Adadelta(p, cosine()),
    "Adagrad": lambda p: optim.Adagrad(p, cosine()),
    "RMSProp": lambda p: optim.RMSProp(p, cosine(), momentum=0.9, centered=True),
    "Adamax": lambda p: optim.Adamax(p, cosine()),
    "NAdam": lambda p: optim.NAdam(p, cosine()),
    "RAdam": lambda p: optim.RAdam(p, cosine()),
    "Lion": lambda p: optim.Lion(p, cosine()),
    "Muon": lambda p: optim.Muon([q for q in p if q.data.ndim > 1], cosine()),
}

CASES = OPTIMIZERS | {
    name: lambda p, lr=schedule: optim.SGD(p, lr, momentum=0.9) for name, schedule in SCHEDULES.items()
}

rng = np.random.default_rng(0)
DATA = (rng.random((20, 6, 6, 1), dtype=np.float32), rng.integers(3, size=20))


def parts_of(case: str, seed: int) -> dict:
    """Everything that a run of this case depends on, drawn from a seed."""
    minidl.seed(seed)
    model = minidl.Sequential(
        minidl.Conv(1, 4, kernel_size=3),
        minidl.BatchNorm(4),
        minidl.ReLU(),
        minidl.Dropout(0.3),
        minidl.Flatten(),
        minidl.Linear(64, 3),
    )
    return {
        "model": model,
        "optimizer": CASES[case](model.parameters()),
        "ema": optim.EMA(model.parameters(), decay=0.9),
        "loader": DataLoader(DATA, batch_size=8, shuffle=True),
        "rng": np.random.default_rng(seed),
    }


def train(parts: dict, steps: int) -> list[float]:
    """Train on noisy images, where the noise is from the default generator and from one of our own."""
    model, optimizer, criterion, losses = parts["model"], parts["optimizer"], minidl.CrossEntropy(), []
    while True:
        for x, labels in parts["loader"]:
            noise = backend.generator().random(x.shape) * parts["rng"].random()
            loss = criterion.forward(model.forward(x + noise.astype(np.float32)), labels)
            model.backward(criterion.backward(), input_grad=False)
            optim.clip_grad_norm(model.parameters(), 1.0)
            optimizer.step()
            model.zero_grad()
            parts["ema"].update()
            if isinstance(optimizer.options["lr"], schedules.Plateau):
                optimizer.options["lr"].report(float(loss))
            losses.append(float(loss))
            if len(losses) == steps:
                return losses


def finish(parts: dict, losses: list[float], path: Path) -> None:
    """Write down everything there is, to be compared byte by byte."""
    kept = {name: parts[name].state() for name in ("model", "optimizer", "ema")}
    tensors = {f"{name}.{key}": value for name, state in kept.items() for key, value in state.items()}
    streams = {"default": backend.generator_state(), "own": backend.generator_state(parts["rng"])}
    write_tensors(path, tensors, {"losses": losses, "loader": parts["loader"].state(), "streams": streams})


def straight(folder: Path) -> None:
    for case in CASES:
        parts = parts_of(case, seed=1)
        finish(parts, train(parts, FIRST + SECOND)[FIRST:], folder / f"{case}.straight")


def first(folder: Path) -> None:
    for case in CASES:
        parts = parts_of(case, seed=1)
        train(parts, FIRST)
        Checkpoints(folder / case).save(FIRST, **parts)
        train(parts, 1)  # lost
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


def second(folder: Path) -> None:
    for number, case in enumerate(CASES):
        parts = parts_of(case, seed=100 + number)
        assert Checkpoints(folder / case).restore(**parts) == FIRST
        finish(parts, train(parts, SECOND), folder / f"{case}.resumed")


if __name__ == "__main__":
    {"straight": straight, "first": first, "second": second}[sys.argv[1]](Path(sys.argv[2]))
