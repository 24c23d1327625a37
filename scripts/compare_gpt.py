"""Time a training step of examples/char_gpt.py against the same model in eager PyTorch, process by process.

Both take the same weights, and the first loss of each is shown. Close everything else first.
"""

import argparse
import json
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = runpy.run_path(str(ROOT / "examples" / "char_gpt.py"), run_name="char_gpt")
CHARACTERS = 65


def data() -> tuple[Any, Any]:
    """Return a batch of drawn characters, and what follows each."""
    drawn = np.random.default_rng(0).integers(0, CHARACTERS, (2, EXAMPLE["BATCH"], EXAMPLE["WINDOW"]))
    return drawn[0], drawn[1]


def minidl_step() -> Callable[[], float]:
    """Return the step of the example."""
    import minidl
    from minidl.optim import AdamW, clip_grad_norm

    model, criterion = EXAMPLE["build"](CHARACTERS, 0), minidl.CrossEntropy()
    optimizer = AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)
    x, y = data()

    def step() -> float:
        loss = criterion.forward(model.forward(x), y)
        model.backward(criterion.backward(), input_grad=False)
        clip_grad_norm(optimizer.parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return float(loss)

    return step


def torch_step() -> Callable[[], float]:
    """Return the same step in PyTorch, whose attention is one fused function."""
    import torch
    from torch import nn
    from torch.nn import functional

    width, heads = EXAMPLE["WIDTH"], EXAMPLE["HEADS"]
    weights = [torch.from_numpy(p.data.copy()) for p in EXAMPLE["build"](CHARACTERS, 0).parameters()]
    p = [nn.Parameter(w) for w in weights]
    optimizer = torch.optim.AdamW(p, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)
    x, y = (torch.from_numpy(a) for a in data())

    def norm(h: Any, w: Any, b: Any) -> Any:
        return functional.layer_norm(h, (width,), w, b)

    def block(h: Any, w: list[Any]) -> Any:
        w_in, b_in, w_out, b_out, *rest = w
        norm1, (w1, b1, w2, b2), norm2 = rest[:2], rest[2:6], rest[6:]
        n, t, _ = h.shape
        parts = (norm(h, *norm1) @ w_in + b_in).split(width, dim=2)
        q, k, v = (a.view(n, t, heads, width // heads).transpose(1, 2) for a in parts)
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        h = h + seen.transpose(1, 2).reshape(n, t, width) @ w_out + b_out
        return h + functional.gelu(norm(h, *norm2) @ w1 + b1) @ w2 + b2

    def step() -> float:
        h = functional.embedding(x, p[0]) + p[1]
        for i in range(EXAMPLE["BLOCKS"]):
            h = block(h, p[2 + 12 * i : 14 + 12 * i])
        logits = norm(h, *p[-4:-2]) @ p[-2] + p[-1]
        loss = functional.cross_entropy(logits.flatten(0, 1), y.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(p, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def timed(which: str, steps: int) -> dict[str, float]:
    """Return the first loss, and the median of the steps that follow the first ten, in milliseconds."""
    step = {"minidl": minidl_step, "torch": torch_step}[which]()
    first, times = step(), []
    for _ in range(steps + 9):
        begin = time.perf_counter()
        step()
        times.append(1000 * (time.perf_counter() - begin))
    return {"loss": first, "ms": median(times[9:])}


def main() -> int:
    """Run the rounds; each is two processes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="of one process each (5)")
    parser.add_argument("--steps", type=int, default=40, help="timed steps in each process (40)")
    parser.add_argument("--worker", choices=["minidl", "torch"], help="time this one in this process")
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(timed(args.worker, args.steps)))
        return 0
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    found: dict[str, list[dict[str, float]]] = {"minidl": [], "torch": []}
    for _ in range(args.rounds):
        for which, results in found.items():
            command = [sys.executable, __file__, "--worker", which, "--steps", str(args.steps)]
            output = subprocess.check_output(command, env={**os.environ, "PYTHONPATH": path}, text=True)
            results.append(json.loads(output))
    for which, results in found.items():
        each = ", ".join(f"{r['ms']:.1f}" for r in results)
        print(f"{which}: {each} ms a step; first loss {results[0]['loss']:.6f}")
    ours, theirs = (min(r["ms"] for r in results) for results in found.values())
    print(f"ratio of the best medians: {ours / theirs:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
