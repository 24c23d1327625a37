"""The picture of a confusion matrix."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from minidl.backend import Array, to_numpy
from minidl.files import PathLike
from minidl.training.confusion import ConfusionMatrix
from minidl.training.plots.drawing import class_names, new_figure, saved

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMED = 30  # classes; of more, every tenth has its name
MOST_COUNTED = 20  # classes; of more, the cells have no numbers


def confusion_matrix(
    matrix: ConfusionMatrix | Array, names: Sequence[str] | None = None, path: "PathLike | None" = None
) -> "Figure":
    """Draw how often each class was taken for each: the counts, coloured by their share of the label's rows.

    Args:
        matrix: the metric, or its counts ``(K, K)``, a row for each label.
        names: of the classes; by default their numbers.
        path: where to write the picture, its kind by its ending.

    Raises:
        ValueError: the matrix is not square, or there are not as many names as classes.

    Example:
        >>> figure = confusion_matrix(to_numpy([[8, 2], [1, 9]]), names=["cat", "dog"])
        >>> figure.axes[0].get_title()
        'Confusion matrix: 85.0 % of 20 are right'
    """
    counts = matrix.compute() if isinstance(matrix, ConfusionMatrix) else to_numpy(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ValueError(f"confusion_matrix: expected counts (K, K), got {counts.shape}")
    if not (counts >= 0).all():
        raise ValueError("confusion_matrix: expected counts, got numbers below 0 or NaN")
    size = min(max(1.9 + 0.38 * len(counts), 3.4), 9)
    figure = new_figure(1.2 * size + 0.3, size)
    axes = figure.subplots()
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    figure.colorbar(picture, ax=axes, label="share of the label's rows", format="{x:.0%}", shrink=0.8)
    total = int(counts.sum())
    right = f"{100 * float(counts.trace()) / total:.1f} %" if total else "none"
    axes.set_title(f"Confusion matrix: {right} of {total:,} are right", fontsize=11)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("label")
    _name_classes(axes, class_names(names, len(counts), "confusion_matrix")[: len(counts)])
    if len(counts) <= MOST_COUNTED:
        _write_counts(axes, counts, shares)
    return saved(figure, path)


def _name_classes(axes: "Axes", names: list[str]) -> None:
    places = range(0, len(names), 1 if len(names) <= MOST_NAMED else 10)
    labels = [names[place] for place in places]
    axes.set_yticks(places, labels)
    if max(map(len, labels)) > 3:
        axes.set_xticks(places, labels, rotation=45, ha="right", rotation_mode="anchor")
    else:
        axes.set_xticks(places, labels)


def _write_counts(axes: "Axes", counts: Array, shares: Array) -> None:
    """Write each count that is not 0 into its cell, in white where that is dark."""
    size = 9 if counts.max() < 1000 else 7
    for label, row in enumerate(counts.tolist()):
        for predicted, count in enumerate(row):
            if count:
                color = "white" if shares[label, predicted] > 0.5 else "black"
                axes.text(predicted, label, count, ha="center", va="center", color=color, fontsize=size)
