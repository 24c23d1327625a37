"""The images that a classifier gets wrong."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from minidl.backend import Array, check_int, to_numpy
from minidl.files import PathLike
from minidl.ops._losses import decided
from minidl.training.plots.drawing import class_names, new_figure, saved

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 8
WIDTH, HEIGHT = 1.3, 1.6  # of an image with its title, in inches


def mistakes(
    images: Array,
    labels: Array,
    prediction: Array,
    names: Sequence[str] | None = None,
    path: "PathLike | None" = None,
    *,
    count: int = 24,
) -> "Figure":
    """Draw the images that were misclassified, each with its label and its predicted class.

    Args:
        images: ``(N, H, W, 1)``, ``(N, H, W, 3)`` or ``(N, H, W)``; numbers outside [0, 1] are scaled to it.
        labels: integer labels ``(N,)``.
        prediction: scores ``(N, K)``, by which the surest mistakes come first; or predicted classes ``(N,)``.
        names: of the classes; by default their numbers.
        path: where to write the picture, its kind by its ending.
        count: how many to draw at most.

    Raises:
        ValueError: shapes that do not agree.

    Example:
        >>> import numpy as np
        >>> images, scores = np.zeros((3, 8, 8, 1)), np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
        >>> figure = mistakes(images, np.array([0, 1, 1]), scores, names=["cat", "dog"])
        >>> figure.axes[0].get_title().splitlines()
        ['label dog', 'predicted cat']
    """
    images, labels, prediction = _pictures(images), to_numpy(labels), to_numpy(prediction)
    if labels.shape != images.shape[:1] or prediction.shape[:1] != labels.shape or prediction.ndim > 2:
        raise ValueError(
            "mistakes: expected images (N, H, W, C), labels (N,), and scores (N, K) or predicted classes "
            f"(N,), got {images.shape}, {labels.shape} and {prediction.shape}"
        )
    if labels.size and (least := int(labels.min())) < 0:
        raise ValueError(f"mistakes: expected labels of at least 0, got {least}; leave out what is ignored")
    found = _wrong(labels, prediction)
    shown = found[: max(check_int(count, "mistakes", "count"), 1)]
    classes = class_names(names, max((max(pair) for _, *pair in shown), default=0) + 1, "mistakes")
    title = _mistakes_title(len(shown), len(found), len(images), prediction.ndim == 2)
    figure, grid = _tiles(len(shown) or 1, title)
    for axes, (row, label, predicted) in zip(grid, shown, strict=False):
        axes.imshow(images[row], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        guess = "nothing (NaN)" if predicted < 0 else classes[predicted]
        axes.set_title(f"label {classes[label]}\npredicted {guess}", fontsize=8)
    if not shown:
        grid[0].text(0.5, 0.5, "all are right", ha="center", va="center", transform=grid[0].transAxes)
    return saved(figure, path)


def _tiles(count: int, title: str) -> "tuple[Figure, list[Any]]":
    """Return a figure with so many places for images, laid out by hand: a layout engine takes seconds."""
    columns = min(count, COLUMNS)
    rows = -(-count // columns)
    width, height = max(WIDTH * columns, 0.5 + 0.08 * len(title)), HEIGHT * rows + 0.4
    figure = new_figure(width, height, by_hand=True)
    figure.suptitle(title, fontsize=11, y=1 - 0.1 / height, va="top")
    left, side = (width - WIDTH * columns) / 2 + 0.1, WIDTH - 0.2
    places = []
    for number in range(count):
        row, column = divmod(number, columns)
        x, y = left + WIDTH * column, HEIGHT * (rows - 1 - row) + 0.05
        places.append(figure.add_axes((x / width, y / height, side / width, side / height)))
        places[-1].set_axis_off()
    return figure, places


def _mistakes_title(shown: int, found: int, count: int, ranked: bool) -> str:
    title = f"{found:,} of {count:,} images are misclassified"
    if shown < found:
        return f"{title}; the {shown} surest" if ranked else f"{title}; the first {shown}"
    return f"{title}, the surest first" if ranked and found > 1 else title


def _pictures(images: Array) -> Array:
    """Return images as they can be drawn: numbers in [0, 1], without an axis for a single channel."""
    images = to_numpy(images)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        hint = (
            "; channels first? use minidl.channels_last(images)" if images.shape[1:2] in ((1,), (3,)) else ""
        )
        raise ValueError(f"mistakes: expected images (N, H, W, 1) or (N, H, W, 3), got {images.shape}{hint}")
    if images.dtype == "uint8":
        images = images / 255
    low, high = (float(x) for x in ((images.min(), images.max()) if images.size else (0, 1)))
    if low < 0 or high > 1:
        images = (images - low) / ((high - low) or 1)
    return images[..., 0] if images.shape[-1] == 1 else images


def _wrong(labels: Array, prediction: Array) -> list[tuple[int, int, int]]:
    """Return the row, the label and the predicted class (-1 for none) of each mistake, the surest first."""
    if prediction.ndim == 1 and prediction.dtype.kind not in "iub":
        raise TypeError(
            "mistakes: expected scores (N, K) or whole numbers as predicted classes, "
            f"got {prediction.dtype} {prediction.shape}"
        )
    if prediction.ndim == 2 and labels.size and (most := int(labels.max())) >= prediction.shape[1]:
        raise ValueError(
            f"mistakes: expected labels below {prediction.shape[1]}, the number of scores, got {most}"
        )
    if prediction.ndim == 1:
        return [(row, int(labels[row]), int(prediction[row])) for row in (prediction != labels).nonzero()[0]]
    predicted, certain = decided(prediction)
    rows = ((predicted != labels) | ~certain).nonzero()[0].tolist()
    found = [(row, int(labels[row]), int(predicted[row]) if certain[row] else -1) for row in rows]
    gaps = {row: prediction[row, guess] - prediction[row, label] for row, label, guess in found}
    return sorted(found, key=lambda mistake: -gaps[mistake[0]] if mistake[2] >= 0 else math.inf)
