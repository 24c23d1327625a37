"""Train ResNet-20 (He et al., 2016) on CIFAR-10: downloaded once and checked, or read from a folder."""

import argparse
from functools import partial
from itertools import chain, islice, pairwise, repeat
from pathlib import Path

import numpy as np

import minidl
from minidl.data import DataLoader, random_crop, random_flip
from minidl.layers import BatchNorm, Conv, GlobalAvgPool, Linear, ReLU, Residual, Sequential
from minidl.optim import SGD
from minidl.optim.schedules import one_cycle
from minidl.training import Accuracy, History, Progress, evaluate, plots

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
HASH = "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
OFFLINE = f"without a network, bring {URL} from elsewhere, unpack it, and name its folder by --folder"
BYTES = 1 + 3 * 32 * 32  # of a label and its image


def download() -> Path:
    """Fetch and unpack the images, unless that was done; without a network, say how to go on."""
    try:
        import pooch

        files = pooch.retrieve(URL, HASH, path=pooch.os_cache("minidl"), processor=pooch.Untar())
    except (ImportError, OSError, ValueError) as error:
        raise SystemExit(f"cifar_resnet: no download ({type(error).__name__}); {OFFLINE}") from None
    return next(Path(file).parent for file in files if file.endswith("test_batch.bin"))


def load(folder: Path, pattern: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the images of a split, (N, 32, 32, 3) bytes, and their labels."""
    content = b"".join(path.read_bytes() for path in sorted(folder.glob(pattern)))
    if not content or len(content) % BYTES:
        raise SystemExit(f"cifar_resnet: no {pattern} in {folder}, or damaged ones; {OFFLINE}")
    rows = np.frombuffer(content, np.uint8).reshape(-1, BYTES)
    return rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), rows[:, 0].astype(np.int64)


def scaled(images):
    return (images.astype("float32") / 255 - 0.47) / 0.25  # of mean 0 and deviation 1, more or less


def block(channels_in: int, channels: int, rng) -> Sequential:
    """Two convolutions with a short cut around them; the first halves the size where channels are added."""
    conv, stride = partial(Conv, bias=False, seed=rng), 1 if channels_in == channels else 2
    shortcut = conv(channels_in, channels, 1, stride=2) if stride == 2 else None
    layers = [conv(channels_in, channels, 3, stride=stride, padding=1), BatchNorm(channels), ReLU()]
    branch = Sequential(*layers, conv(channels, channels, 3, padding=1), BatchNorm(channels))
    return Sequential(Residual(branch, shortcut), ReLU())


def build(seed: int) -> Sequential:
    """Three stages of three blocks each, with 16, 32 and 64 channels."""
    rng = np.random.default_rng(seed)  # the layers draw their weights in turn
    stages = [block(n, m, rng) for n, m in pairwise([16] * 4 + [32] * 3 + [64] * 3)]
    stem = [Conv(3, 16, 3, padding=1, bias=False, seed=rng), BatchNorm(16), ReLU()]
    return Sequential(*stem, *stages, GlobalAvgPool(), Linear(64, 10, seed=rng))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30, help="passes over the training images (30)")
    parser.add_argument("--steps", type=int, help="stop after so many batches of 128 instead")
    parser.add_argument("--seed", type=int, default=0, help="of the weights, the order and the crops (0)")
    parser.add_argument("--folder", type=Path, help="that holds data_batch_1.bin and the others; no download")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the curves (here)")
    args = parser.parse_args()
    folder = args.folder or download()
    batches = DataLoader(load(folder, "data_batch*.bin"), batch_size=128, shuffle=True, seed=args.seed)
    tests = DataLoader(load(folder, "test_batch.bin"), batch_size=500)
    steps = args.steps or args.epochs * len(batches)
    model, criterion = build(args.seed), minidl.CrossEntropy()
    optimizer = SGD(model.parameters(), lr=one_cycle(0.2, steps), momentum=0.9, weight_decay=5e-4)
    rng, history = np.random.default_rng(args.seed), History()

    progress = Progress(islice(chain.from_iterable(repeat(batches)), steps), total=steps)
    for x, y in progress:
        x = random_flip(random_crop(scaled(x), 32, padding=4, seed=rng), seed=rng)
        loss = criterion.forward(model.forward(x), y)
        model.backward(criterion.backward(), input_grad=False)
        optimizer.step()
        optimizer.zero_grad()
        history.record(progress.count, loss=loss)
        progress.show(loss=loss)
        if progress.count % len(batches) == 0 or progress.count == steps:
            found = evaluate(model, criterion, ((scaled(x), y) for x, y in tests), {"accuracy": Accuracy()})
            history.end_epoch(test_loss=found["loss"], test_accuracy=found["accuracy"])
            progress.show(test=f"{found['accuracy']:.2%}")

    args.out.mkdir(parents=True, exist_ok=True)
    plots.curves(history, path=args.out / "cifar_resnet.png")
    print(f"{steps} steps, test accuracy {found['accuracy']:.2%}; wrote {args.out / 'cifar_resnet.png'}")


if __name__ == "__main__":
    main()
