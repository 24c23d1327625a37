"""A variational autoencoder on the scikit-learn digits: an image to two numbers, and two numbers to an image.

It draws the map of all pairs of numbers. The digits come with scikit-learn: it works offline.
"""

import argparse
from itertools import chain, islice, repeat
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import minidl
from minidl import functional as F
from minidl.backend import generator
from minidl.data import DataLoader, digits
from minidl.layers import Linear, ReLU, Sequential
from minidl.optim import Adam
from minidl.optim.schedules import one_cycle
from minidl.training import History, Progress


def build(seed: int) -> tuple[Sequential, Sequential]:
    """An encoder to mean and log-variance of two numbers, and a decoder to the logits of 64 pixels."""
    rng = generator(seed)  # the layers draw their weights in turn
    encoder = [Linear(64, 256, seed=rng), ReLU(), Linear(256, 64, seed=rng), ReLU(), Linear(64, 4, seed=rng)]
    decoder = [Linear(2, 64, seed=rng), ReLU(), Linear(64, 256, seed=rng), ReLU(), Linear(256, 64, seed=rng)]
    return Sequential(encoder), Sequential(decoder)


def loss_of(encoder: Sequential, decoder: Sequential, x, noise):
    """The negative evidence lower bound per image, in nats: its two terms (Kingma and Welling, 2014)."""
    code = encoder(minidl.Tensor(x))
    mean, log_variance = code[:, :2], code[:, 2:]
    z = mean + F.exp(log_variance * 0.5) * noise  # a draw through which gradients find their way back
    pixels = F.binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")
    prior = (mean * mean + F.exp(log_variance) - log_variance - 1.0).sum() * 0.5
    return pixels * (1 / len(x)), prior * (1 / len(x))


def draw_map(decoder: Sequential, path: Path, count: int = 12) -> None:
    """Draw the images that a square grid of numbers stands for."""
    side = np.linspace(-2.2, 2.2, count, dtype=np.float32)
    grid = np.stack(np.meshgrid(side, side[::-1]), axis=-1).reshape(-1, 2)
    images = minidl.to_numpy(F.sigmoid(decoder.predict(minidl.asarray(grid))))
    cells = np.pad(images.reshape(count, count, 8, 8), ((0, 0), (0, 0), (1, 1), (1, 1)))
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.imshow(cells.swapaxes(1, 2).reshape(10 * count, 10 * count), cmap="gray_r", extent=(-2.2, 2.2) * 2)
    axes.set_title("What each pair of numbers stands for", fontsize=11)
    axes.set_xlabel("first number")
    axes.set_ylabel("second number")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=5000, help="batches of 128 to train on (5000)")
    parser.add_argument("--seed", type=int, default=0, help="of the weights, the order and the noise (0)")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the picture (here)")
    args = parser.parse_args()
    if args.steps < 1:
        parser.error("--steps: at least 1")

    images = digits()[0].reshape(-1, 64)
    batches = DataLoader(images[:1500], batch_size=128, shuffle=True, drop_last=True, seed=args.seed)
    encoder, decoder = build(args.seed)
    optimizer = Adam([*encoder.parameters(), *decoder.parameters()], lr=one_cycle(6e-3, args.steps))
    rng = generator(args.seed)

    def noise(count: int):
        return minidl.asarray(rng.standard_normal((count, 2), dtype=np.float32))

    history = History()
    progress = Progress(islice(chain.from_iterable(repeat(batches)), args.steps), total=args.steps)
    for x in progress:
        pixels, prior = loss_of(encoder, decoder, x, noise(len(x)))
        (pixels + prior).backward()
        optimizer.step()
        optimizer.zero_grad()
        history.record(progress.count, pixels=pixels.data, prior=prior.data)
        progress.show(pixels=pixels.data, prior=prior.data)

    args.out.mkdir(parents=True, exist_ok=True)
    draw_map(decoder, args.out / "vae_digits.png")
    print(f"wrote {args.out / 'vae_digits.png'}")
    with minidl.no_grad():
        pixels, prior = loss_of(encoder, decoder, minidl.asarray(images[1500:]), noise(len(images) - 1500))
    each = f"{pixels:.2f} nats for its pixels and {prior:.2f} for its two numbers"
    print(f"{args.steps} steps; an unseen image takes {each}")


if __name__ == "__main__":
    main()
