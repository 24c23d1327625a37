"""The program of `test_ctrl_c`: fit a model, for as long as nobody presses Ctrl-C, or go on from there."""

import sys
import time
from pathlib import Path

import numpy as np

import minidl
from minidl import optim
from minidl.data import DataLoader
from minidl.files import write_tensors
from minidl.optim import schedules
from minidl.training import Accuracy, Checkpoints, EarlyStopping, fit

rng = np.random.default_rng(0)
X, LABELS = rng.random((60, 6, 6, 1), dtype=np.float32), rng.integers(3, size=60)


def run(folder: Path, out: Path, pause: float, seed: int) -> None:
    """Train with all that has a state, and write down everything there is, to be compared byte by byte."""
    minidl.seed(seed)
    model = minidl.Sequential(
        minidl.Conv(1, 4, kernel_size=3),
        minidl.BatchNorm(4),
        minidl.ReLU(),
        minidl.Dropout(0.3),
        minidl.Flatten(),
        minidl.Linear(64, 3),
    )
    optimizer = optim.AdamW(model.parameters(), schedules.cosine(0.02, steps=60))
    ema, stopping = optim.EMA(model.parameters(), decay=0.9), EarlyStopping(model, patience=50)
    end = []

    def callback(event) -> None:
        if event.kind == "gradients":
            optim.clip_grad_norm(event.model.parameters(), 1.0)
        if event.kind == "step":
            ema.update()
            print(event.step, flush=True)
            time.sleep(pause)
        if event.kind == "end":
            end.append(event.reason)

    history = fit(
        model,
        minidl.CrossEntropy(),
        optimizer,
        DataLoader((X[:50], LABELS[:50]), batch_size=8, shuffle=True, seed=seed),
        DataLoader((X[50:], LABELS[50:]), batch_size=4, shuffle=True, seed=seed),
        epochs=6,
        metrics={"accuracy": Accuracy()},
        callbacks=[callback],
        mixed_precision=True,
        stopping=stopping,
        checkpoints=Checkpoints(folder),
        parts={"ema": ema},
        progress=False,
    )
    parts = {"model": model, "optimizer": optimizer, "ema": ema}
    tensors = {f"{name}.{key}": v for name, part in parts.items() for key, v in part.state().items()}
    extra = {"history": history.to_dict(), "best": [stopping.best, stopping.best_report], "end": end}
    write_tensors(out, tensors, extra)


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
