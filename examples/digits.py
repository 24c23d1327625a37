"""Train a small convolutional network on the scikit-learn digits; draw its curve, save and reload it."""

import argparse
from itertools import chain, islice, repeat
from pathlib import Path

from sklearn.model_selection import train_test_split

import minidl
from minidl.data import DataLoader, digits
from minidl.layers import BatchNorm, Conv, Dropout, Flatten, Linear, MaxPool, ReLU, Sequential
from minidl.optim import AdamW
from minidl.optim.schedules import one_cycle
from minidl.training import History, Progress, plots


def build(seed: int) -> Sequential:
    """Two convolutions with batch norm, then a dense head; each layer's random numbers from its own seed."""
    return Sequential(
        Conv(1, 16, kernel_size=3, padding="same", bias=False, seed=seed),
        BatchNorm(16),
        ReLU(),
        Conv(16, 32, kernel_size=3, padding="same", bias=False, seed=seed + 1),
        BatchNorm(32),
        ReLU(),
        MaxPool(2),
        Flatten(),
        Dropout(0.3, seed=seed + 2),
        Linear(4 * 4 * 32, 10, seed=seed + 3),
    )


def train(model: Sequential, data, epochs: int, seed: int, steps: int | None) -> History:
    """Train with AdamW and a one-cycle rate; return the losses, and the test accuracy of every epoch."""
    images, test_images, labels, test_labels = data
    batches = DataLoader((images, labels), batch_size=64, shuffle=True, seed=seed)
    steps = steps or epochs * len(batches)
    criterion = minidl.CrossEntropy()
    optimizer = AdamW(model.parameters(), lr=one_cycle(6e-3, steps))
    history = History()
    progress = Progress(islice(chain.from_iterable(repeat(batches)), steps), total=steps)
    for x, y in progress:
        loss = criterion.forward(model.forward(x), y)
        model.backward(criterion.backward(), input_grad=False)
        optimizer.step()
        optimizer.zero_grad()
        history.record(progress.count, loss=loss)
        if progress.count % len(batches) == 0 or progress.count == steps:
            epoch = history.end_epoch(test_accuracy=accuracy(model, test_images, test_labels))
            progress.show(loss=epoch["loss"], test=f"{epoch['test_accuracy']:.2%}")
    return history


def accuracy(model: Sequential, images, labels) -> float:
    return minidl.accuracy(model.predict(minidl.asarray(images)), labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20, help="passes over the training images (20)")
    parser.add_argument("--steps", type=int, help="stop after so many batches instead")
    parser.add_argument("--seed", type=int, default=0, help="of the weights, the dropout and the order (0)")
    parser.add_argument("--split", type=int, default=0, help="which stratified 80/20 split (0)")
    parser.add_argument(
        "--out", type=Path, default=Path(), help="folder for the curve and the weights (here)"
    )
    args = parser.parse_args()

    images, labels = digits()
    data = train_test_split(images, labels, test_size=0.2, stratify=labels, random_state=args.split)
    model = build(args.seed)
    print(minidl.summary(model, images.shape[1:]))
    history = train(model, data, args.epochs, args.seed, args.steps)

    args.out.mkdir(parents=True, exist_ok=True)
    plots.curves(history, path=args.out / "digits.png")
    minidl.save_weights(model, args.out / "digits.safetensors")
    again = build(args.seed + 100)
    minidl.load_weights(again, args.out / "digits.safetensors")
    print(f"wrote {args.out / 'digits.png'} and {args.out / 'digits.safetensors'}")
    before, after = (100 * accuracy(m, data[1], data[3]) for m in (model, again))
    print(f"test accuracy {before:.2f} % (reloaded {after:.2f} %)")


if __name__ == "__main__":
    main()
