"""Train the same network with NumPy and, where there is a GPU, with CuPy: same weights, same losses, timed.

The script runs itself once for each backend, which MINIDL_BACKEND chooses. It needs no data and no network.
"""

import argparse
import json
import os
import subprocess
import sys
import time

import minidl
from minidl.backend import generator, name
from minidl.layers import BatchNorm, Conv, Flatten, Linear, MaxPool, ReLU, Sequential
from minidl.optim import SGD
from minidl.training import History, Progress


def build(seed: int) -> Sequential:
    rng = generator(seed)  # NumPy's on both backends: both begin with the same weights
    layers = []
    for n, m in ((3, 32), (32, 64)):
        layers += [Conv(n, m, 3, padding=1, bias=False, seed=rng), BatchNorm(m), ReLU(), MaxPool(2)]
    return Sequential(*layers, Flatten(), Linear(8 * 8 * 64, 10, seed=rng))


def train(steps: int, batch: int, seed: int) -> dict:
    """Train on noise, which takes as long as images; return the losses and the milliseconds of a step."""
    rng = generator(seed + 1)
    x = minidl.asarray(rng.standard_normal((batch, 32, 32, 3), dtype="float32"))
    labels = minidl.asarray(rng.integers(0, 10, batch))
    model, criterion, history = build(seed), minidl.CrossEntropy(), History()
    optimizer = SGD(model.parameters(), lr=0.01, momentum=0.9)
    minidl.synchronize()
    progress, begin = Progress(range(steps), description=name), time.perf_counter()
    for _ in progress:
        loss = criterion.forward(model.forward(x), labels)
        model.backward(criterion.backward(), input_grad=False)
        optimizer.step()
        optimizer.zero_grad()
        history.record(progress.count, loss=loss)  # stays on the GPU: no step waits for its number
        if progress.count == max(1, steps // 5):  # the first steps compile kernels and fill caches
            minidl.synchronize()
            begin = time.perf_counter()
    minidl.synchronize()
    timed = max(1, steps - max(1, steps // 5))
    return {"losses": history["loss"], "ms": 1000 * (time.perf_counter() - begin) / timed}


def measured(backend: str, args: argparse.Namespace) -> dict:
    """Run this script in a new process with the other backend, and return what it printed."""
    options = [f"--{key}={value}" for key, value in vars(args).items() if key != "worker"]
    done = subprocess.run(
        [sys.executable, __file__, "--worker", *options],
        env={**os.environ, "MINIDL_BACKEND": backend},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def has_gpu() -> bool:
    try:
        import cupy
    except ImportError:
        return False
    return bool(cupy.is_available())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=50, help="steps on each backend (50)")
    parser.add_argument("--batch", type=int, default=128, help="images in each (128)")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the images (0)")
    parser.add_argument("--worker", action="store_true", help="train with MINIDL_BACKEND's backend alone")
    args = parser.parse_args()
    if args.steps < 2 or args.batch < 1:
        parser.error("expected --steps of at least 2 and --batch of at least 1")
    if args.worker:
        print(json.dumps(train(args.steps, args.batch, args.seed)))
        return
    host = measured("numpy", args)
    print(f"numpy: {host['ms']:.1f} ms a step, loss {host['losses'][0]:.4f} to {host['losses'][-1]:.4f}")
    if not has_gpu():
        print('cupy: no GPU here, or no CuPy; on a machine with one: pip install "minidl[cuda12]"')
        return
    gpu = measured("cupy", args)
    print(f"cupy: {gpu['ms']:.1f} ms a step, loss {gpu['losses'][0]:.4f} to {gpu['losses'][-1]:.4f}")
    print(f"the GPU takes {host['ms'] / gpu['ms']:.1f} times as many steps in the same time")
    print(f"the first losses differ by {abs(host['losses'][0] - gpu['losses'][0]):.1e}")


if __name__ == "__main__":
    main()
