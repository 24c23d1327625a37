"""Train a small convolutional network on the scikit-learn digits; draw its curve, save and reload it."""

import argparse
from itertools import chain, islice, repeat
from pathlib import Path

import matplotlib
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import minidl
from minidl.data import DataLoader, digits
from minidl.layers import BatchNorm, Conv, Dropout, Flatten, Linear, MaxPool, ReLU, Sequential
from minidl.optim import AdamW
from minidl.optim.schedules import one_cycle


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


def train(model: Sequential, data, epochs: int, seed: int, steps: int | None) -> list[tuple[float, float]]:
    """Train with AdamW and a one-cycle rate; return the loss and the test accuracy of every epoch."""
    images, test_images, labels, test_labels = data
    batches = DataLoader((images, labels), batch_size=64, shuffle=True, seed=seed)
    steps = steps or epochs * len(batches)
    criterion = minidl.CrossEntropy()
    optimizer = AdamW(model.parameters(), lr=one_cycle(6e-3, steps))
    history, losses = [], []
    progress = tqdm(islice(chain.from_iterable(repeat(batches)), steps), total=steps, disable=None)
    for step, (x, y) in enumerate(progress, start=1):
        loss = criterion.forward(model.forward(x), y)
        model.backward(criterion.backward(), input_grad=False)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss))
        if step % len(batches) == 0 or step == steps:
            history.append((sum(losses) / len(losses), accuracy(model, test_images, test_labels)))
            progress.set_postfix(loss=f"{history[-1][0]:.4f}", test=f"{history[-1][1]:.2%}")
            losses.clear()
    return history


def accuracy(model: Sequential, images, labels) -> float:
    return minidl.accuracy(model.predict(minidl.asarray(images)), labels)


def plot(history: list[tuple[float, float]], path: Path) -> None:
    """Write the learning curve as a picture."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    epochs = range(1, len(history) + 1)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    left.semilogy(epochs, [loss for loss, _ in history], marker=".")
    left.set(title="training loss", xlabel="epoch", ylabel="cross-entropy (nats)")
    right.plot(epochs, [100 * share for _, share in history], marker=".")
    right.set(title="test accuracy", xlabel="epoch", ylabel="%")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


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
    plot(history, args.out / "digits.png")
    minidl.save_weights(model, args.out / "digits.safetensors")
    again = build(args.seed + 100)
    minidl.load_weights(again, args.out / "digits.safetensors")
    print(f"wrote {args.out / 'digits.png'} and {args.out / 'digits.safetensors'}")
    before, after = (100 * accuracy(m, data[1], data[3]) for m in (model, again))
    print(f"test accuracy {before:.2f} % (reloaded {after:.2f} %)")


if __name__ == "__main__":
    main()
