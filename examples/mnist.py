"""Train a convolutional network on MNIST: two convolutions, each with a pool, and a dense head.

The images are downloaded once, or read from the folder that MINIDL_DATA names.
"""

import argparse
from itertools import chain, islice, repeat

import minidl
from minidl.data import DataLoader, mnist
from minidl.layers import Conv, Dropout, Flatten, Linear, MaxPool, ReLU, Sequential
from minidl.optim import AdamW
from minidl.optim.schedules import one_cycle
from minidl.training import Accuracy, Progress


def build(seed: int) -> Sequential:
    return Sequential(
        Conv(1, 16, kernel_size=3, seed=seed),
        ReLU(),
        MaxPool(2),
        Conv(16, 32, kernel_size=3, seed=seed + 1),
        ReLU(),
        MaxPool(2),
        Flatten(),
        Dropout(0.3, seed=seed + 2),
        Linear(5 * 5 * 32, 128, seed=seed + 3),
        ReLU(),
        Dropout(0.3, seed=seed + 4),
        Linear(128, 10, seed=seed + 5),
    )


def load(small: bool):
    """Return training images and labels, and test images and labels."""
    images, labels = mnist("test")
    if small:
        return images[:8000], labels[:8000], images[9000:], labels[9000:]
    return *mnist("train"), images, labels


def accuracy(model: Sequential, images, labels) -> float:
    found = Accuracy()
    for x, y in DataLoader((images, labels), batch_size=500):
        found.update(model.predict(x), y)
    return found.compute()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=5, help="passes over the training images (5)")
    parser.add_argument("--steps", type=int, help="stop after so many batches instead")
    parser.add_argument("--seed", type=int, default=0, help="of the weights, the dropout and the order (0)")
    parser.add_argument(
        "--small",
        action="store_true",
        help="the 10,000 test images alone: 0-7,999 to train on, 9,000-9,999 to test (the MNIST-10k split)",
    )
    args = parser.parse_args()

    images, labels, test_images, test_labels = load(args.small)
    batches = DataLoader((images, labels), batch_size=64, shuffle=True, seed=args.seed)
    steps = args.steps or args.epochs * len(batches)
    model = build(args.seed)
    criterion = minidl.CrossEntropy()
    optimizer = AdamW(model.parameters(), lr=one_cycle(8e-3, steps))

    progress = Progress(islice(chain.from_iterable(repeat(batches)), steps), total=steps)
    for x, y in progress:
        loss = criterion.forward(model.forward(x), y)
        model.backward(criterion.backward(), input_grad=False)
        optimizer.step()
        optimizer.zero_grad()
        progress.show(loss=loss)
    print(f"{steps} steps, last loss {float(loss):.4f}")
    print(f"test accuracy {accuracy(model, test_images, test_labels):.2%}")


if __name__ == "__main__":
    main()
