"""A U-Net takes the noise off a photograph it never saw; both come with scikit-learn, so it works offline."""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_sample_image

import minidl
from minidl import functional as F
from minidl.backend import generator
from minidl.layers import Conv, Layer, MaxPool, ReLU, Sequential, Upsample
from minidl.optim import EMA, AdamW
from minidl.optim.schedules import one_cycle
from minidl.training import Progress

SIGMA = 0.15  # of the noise, where black is 0 and white is 1


def double(channels_in: int, channels: int, rng) -> Sequential:
    first, second = (Conv(n, channels, 3, padding=1, seed=rng) for n in (channels_in, channels))
    return Sequential(first, ReLU(), second, ReLU())


class UNet(Layer):
    """Down to a quarter of the size and up again, with a short cut at each (Ronneberger et al., 2015)."""

    def __init__(self, width: int, seed: int) -> None:
        rng = generator(seed)
        self.pool, self.grow = MaxPool(2), Upsample(2, mode="bilinear")
        self.down1, self.down2 = double(3, width, rng), double(width, 2 * width, rng)
        self.middle = double(2 * width, 4 * width, rng)
        self.up2, self.up1 = double(6 * width, 2 * width, rng), double(3 * width, width, rng)
        self.last = Conv(width, 3, 1, seed=rng)

    def __call__(self, x: minidl.Tensor) -> minidl.Tensor:
        large = self.down1(x)
        half = self.down2(self.pool(large))
        quarter = self.middle(self.pool(half))
        half = self.up2(F.concatenate([self.grow(quarter), half], axis=-1))
        large = self.up1(F.concatenate([self.grow(half), large], axis=-1))
        return x - self.last(large)  # what it finds is the noise


def photograph(name: str) -> np.ndarray:
    return (load_sample_image(name)[:424, :640] / 255).astype(np.float32)  # sides that two poolings halve


def crops(photo: np.ndarray, count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Squares from anywhere in the photograph, each as bright as the light of another hour makes it."""
    corners = zip(*(rng.integers(0, side - size, count) for side in photo.shape[:2]), strict=True)
    return np.stack([photo[y : y + size, x : x + size] * rng.uniform(0.1, 1) for y, x in corners])


def decibels(x: np.ndarray, clean: np.ndarray) -> float:
    """The peak signal-to-noise ratio."""
    return -10 * float(np.log10(np.mean((np.clip(x, 0, 1) - clean) ** 2)))


def draw(path: Path, clean: np.ndarray, **images: np.ndarray) -> None:
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    for axes, (name, image) in zip(figure.subplots(1, len(images)), images.items(), strict=True):
        axes.imshow(np.clip(image, 0, 1))
        axes.set_title(name if image is clean else f"{name}: {decibels(image, clean):.1f} dB", fontsize=11)
        axes.set_axis_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=800, help="batches of 8 x 48 x 48 pixels (800)")
    parser.add_argument("--seed", type=int, default=0, help="of the weights, the crops and the noise (0)")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the picture (here)")
    args = parser.parse_args()
    rng, model, photo = generator(args.seed), UNet(16, args.seed), photograph("china.jpg")
    optimizer = AdamW(model.parameters(), lr=one_cycle(4e-3, max(1, args.steps)))
    average = EMA(model.parameters(), decay=0.98)
    for _ in (progress := Progress(range(args.steps))):
        clean = crops(photo, 8, 48, rng)
        noisy = clean + SIGMA * rng.standard_normal(clean.shape, dtype=np.float32)
        loss = F.mse_loss(model(minidl.Tensor(noisy)), minidl.asarray(clean))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        average.update()
        progress.show(loss=loss.data)

    clean = photograph("flower.jpg")[:320, 120:520]
    noisy = clean + SIGMA * rng.standard_normal(clean.shape, dtype=np.float32)
    with minidl.no_grad(), average.applied():
        found = minidl.to_numpy(model(minidl.Tensor(noisy[None])).data)[0]
    draw(args.out / "unet_denoise.png", clean, before=noisy, after=found, original=clean)
    gain = f"{decibels(noisy, clean):.2f} dB before, {decibels(found, clean):.2f} dB after"
    print(f"{args.steps} steps; the unseen photograph: {gain}; wrote {args.out / 'unet_denoise.png'}")


if __name__ == "__main__":
    main()
