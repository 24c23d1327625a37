"""Train a small causal transformer on a text file, offline: it prints a sample, saves and resumes."""

import argparse
import os
from itertools import chain, repeat
from pathlib import Path

import numpy as np

import minidl
from minidl.backend import generator
from minidl.data import DataLoader
from minidl.init import normal
from minidl.layers import Embedding, LayerNorm, LearnedPositions, Linear, Sequential, TransformerEncoderLayer
from minidl.optim import AdamW, clip_grad_norm
from minidl.optim.schedules import cosine, warm_up
from minidl.training import Checkpoints, Progress, evaluate

WINDOW, BATCH, WIDTH, HIDDEN, HEADS, BLOCKS = 64, 12, 128, 384, 4, 4


class Characters:
    """The characters of a text and their numbers; a part of each checkpoint, whose model knows no others."""

    def __init__(self, text: str) -> None:
        self.all = "".join(sorted(set(text)))
        self.codes = np.searchsorted(list(self.all), list(text))

    def state(self) -> dict:
        return {"all": self.all}

    def load_state(self, state: dict) -> None:
        if state != self.state():
            raise ValueError("the checkpoint is of a text with other characters")


def build(characters: int, seed: int) -> Sequential:
    fresh = {"seed": generator(seed), "weight_init": normal(0.02)}  # the layers draw their weights in turn
    options = {"activation": "gelu", "norm_first": True, "causal": True, **fresh}
    layers = [Embedding(characters, WIDTH, **fresh), LearnedPositions(WINDOW, WIDTH, **fresh)]
    layers += [TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, 0, **options) for _ in range(BLOCKS)]
    return Sequential(*layers, LayerNorm(WIDTH), Linear(WIDTH, characters, **fresh))


def batches(codes: np.ndarray, seed: int | None = None) -> DataLoader:
    """Pairs of stretches of text, the second a character later; drawn, or without a seed side by side."""
    cut = np.lib.stride_tricks.sliding_window_view(codes, WINDOW + 1)[:: WINDOW if seed is None else 1]
    return DataLoader((cut[:, :-1], cut[:, 1:]), BATCH, shuffle=seed is not None, seed=seed)


def write(model: Sequential, characters: str, length: int, seed: int) -> str:
    """Draw one character after another, each given those before it, at a temperature of 0.8."""
    rng, codes = generator(seed), [0]
    for _ in range(length):
        logits = minidl.to_numpy(model.predict(minidl.asarray([codes[-WINDOW:]])))[0, -1]
        codes.append(int((logits / 0.8 + rng.gumbel(size=logits.shape)).argmax()))
    return "".join(characters[code] for code in codes[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", nargs="?", type=Path, help="a file (the first of $MINIDL_DATA/text/*.txt)")
    parser.add_argument("--steps", type=int, default=3000, help="steps of 12 x 64 characters in all (3000)")
    parser.add_argument("--seed", type=int, default=0, help="of the weights, the order and the sample (0)")
    parser.add_argument("--out", type=Path, default=Path("char_gpt"), help="for its checkpoints (char_gpt)")
    parser.add_argument("--length", type=int, default=500, help="characters of the sample (500)")
    parser.add_argument("--resume", action="store_true", help="go on from the last one, of every 250 steps")
    args = parser.parse_args()
    path = args.text or min(Path(os.environ.get("MINIDL_DATA", "."), "text").glob("*.txt"), default=None)
    text = path.read_text(encoding="utf-8", errors="replace") if path and path.is_file() else ""
    if len(text) < 20 * WINDOW:
        parser.error(f"expected a text file of {20 * WINDOW} characters or more, such as a book, got {path}")
    characters = Characters(text)
    train, rest = np.split(characters.codes, [len(text) * 9 // 10])
    model, criterion = build(len(characters.all), args.seed), minidl.CrossEntropy()
    rate = warm_up(100, cosine(2e-3, max(1, args.steps - 100), end=2e-4))
    optimizer = AdamW(model.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=0.1)
    loader, checkpoints = batches(train, args.seed), Checkpoints(args.out)
    parts = {"model": model, "optimizer": optimizer, "loader": loader, "characters": characters}
    if checkpoints.paths() and not args.resume:
        parser.error(f"{args.out} holds a run: go on with --resume, or name another folder by --out")
    done = checkpoints.restore(**parts) or 0 if args.resume else 0

    progress = Progress(range(done + 1, args.steps + 1))
    for step, (x, y) in zip(progress, chain.from_iterable(repeat(loader)), strict=False):
        loss = criterion.forward(model.forward(x), y)
        model.backward(criterion.backward(), input_grad=False)
        clip_grad_norm(optimizer.parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        progress.show(loss=loss)
        if step % 250 == 0 or step == args.steps:
            test = evaluate(model, criterion, batches(rest))["loss"]
            checkpoints.save(step, metric=test, **parts)
            progress.write(f"step {step}: validation loss {test:.4f} nats per character")
    print(write(model, characters.all, args.length, args.seed))


if __name__ == "__main__":
    main()
