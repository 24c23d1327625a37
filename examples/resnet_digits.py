"""A small residual network on the scikit-learn digits, written as layers: Sequential, Residual, shortcuts."""

import argparse
from itertools import chain, islice, repeat

from tqdm import tqdm

import minidl
from minidl.data import DataLoader, digits
from minidl.layers import BatchNorm, Conv, GlobalAvgPool, Linear, ReLU, Residual, Sequential
from minidl.optim import SGD
from minidl.optim.schedules import one_cycle


def block(channels_in: int, channels: int, stride: int, seed: int) -> Sequential:
    """Two convolutions around which the input has a short cut: itself, or a 1 x 1 convolution of it."""
    same = stride == 1 and channels_in == channels
    shortcut = None if same else Conv(channels_in, channels, 1, stride=stride, bias=False, seed=seed + 2)
    branch = Sequential(
        Conv(channels_in, channels, 3, stride=stride, padding=1, bias=False, seed=seed),
        BatchNorm(channels),
        ReLU(),
        Conv(channels, channels, 3, padding=1, bias=False, seed=seed + 1),
        BatchNorm(channels),
    )
    return Sequential(Residual(branch, shortcut), ReLU())


def build(seed: int) -> Sequential:
    return Sequential(
        Conv(1, 16, 3, padding=1, bias=False, seed=seed),
        BatchNorm(16),
        ReLU(),
        block(16, 16, 1, seed + 10),
        block(16, 32, 2, seed + 20),
        block(32, 32, 1, seed + 30),
        GlobalAvgPool(),
        Linear(32, 10, seed=seed + 40),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=230, help="batches of 64 to train on (230)")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the order (0)")
    args = parser.parse_args()

    images, labels = digits()
    batches = DataLoader((images[:1437], labels[:1437]), batch_size=64, shuffle=True, seed=args.seed)
    model = build(args.seed)
    print(minidl.summary(model, (8, 8, 1)))
    criterion = minidl.CrossEntropy(label_smoothing=0.05)
    optimizer = SGD(model.parameters(), lr=one_cycle(0.2, args.steps), momentum=0.9, weight_decay=5e-4)

    for x, y in tqdm(
        islice(chain.from_iterable(repeat(batches)), args.steps), total=args.steps, disable=None
    ):
        loss = criterion.forward(model.forward(x), y)
        model.backward(criterion.backward(), input_grad=False)
        optimizer.step()
        optimizer.zero_grad()
    share = minidl.accuracy(model.predict(minidl.asarray(images[1437:])), labels[1437:])
    print(f"{args.steps} steps, last loss {float(loss):.4f}, accuracy on the last 360 images {share:.2%}")


if __name__ == "__main__":
    main()
