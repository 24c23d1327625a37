"""What follows from the table of labels against predictions: that table itself, precision, recall and F1."""

import math
import warnings

from minidl.backend import Array, check_int, xp
from minidl.ops._losses import check_ignored
from minidl.tensor import Tensor
from minidl.training.metrics import Metric, read_rows

AVERAGES = ("macro", "micro", "weighted", "binary", "none")


class ConfusionMatrix(Metric):
    """How often each class was taken for each: a row for each label, a column for each prediction.

    A row of scores with a NaN has no predicted class and stands in no column; `compute` warns of it.

    Args:
        classes: K.
        ignore_index: rows with this label count for nothing.

    Example:
        >>> from minidl.backend import asarray
        >>> matrix = ConfusionMatrix(2)
        >>> matrix.update(asarray([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), asarray([0, 1, 1]))
        >>> matrix.compute()
        array([[1, 0],
               [1, 1]])
    """

    def __init__(self, classes: int, ignore_index: int | None = None) -> None:
        owner = type(self).__name__
        self.classes = check_int(classes, owner, "classes")
        if self.classes < 2:
            raise ValueError(f"{owner}: expected classes >= 2, got {classes}; yes or no is two classes")
        check_ignored(ignore_index, owner)
        self.ignore_index = ignore_index
        super().__init__()

    def update(self, prediction: Array | Tensor, labels: Array | Tensor, mask: Array | None = None) -> None:
        """Add a batch.

        Args:
            prediction: scores ``(..., K)``, logits or probabilities; or the predicted classes ``(...)``, as
                whole numbers or booleans: ``logits > 0`` where there are two.
            labels: integer labels ``(...)``.
            mask: which rows count: booleans ``(...)``.

        Raises:
            TypeError: not arrays of the backend, or labels that are no whole numbers.
            ValueError: shapes that do not agree, or a label or a prediction that is no class.
        """
        rows = read_rows(prediction, labels, mask, self.ignore_index, repr(self), self.classes)
        counts = self.sums["counts"].copy()
        place = rows.labels * (self.classes + 1) + xp.where(rows.kept, rows.predicted, 0)
        xp.add.at(counts.reshape(-1), place, rows.kept.astype(counts.dtype))
        self.sums["counts"] = counts
        self.add(invalid=rows.invalid)

    def compute(self) -> Array:
        """Return the counts ``(K, K)``, on the host; this waits for the GPU."""
        counts = self.counts()
        if undecided := counts[:, -1].sum():
            warnings.warn(
                f"{self!r}: {undecided} rows have a NaN among their scores and are left out; "
                "has the training diverged?",
                stacklevel=2,
            )
        return counts[:, :-1]

    def counts(self) -> Array:
        """Return the counts ``(K, K + 1)``, the last column for rows of which no class can be told."""
        return self.read()["counts"].astype("int64")

    def _zeros(self) -> dict[str, Array]:
        # Exact up to 2^53, and a dtype that CuPy can add to by index; its bincount would wait for the GPU.
        counts = xp.zeros((self.classes, self.classes + 1), dtype=xp.float64)
        return {"counts": counts, "invalid": xp.zeros((), dtype=xp.int64)}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.classes})"


class _Ratio(ConfusionMatrix):
    """A number between 0 and 1 for each class, and ways to make one number of these."""

    def __init__(self, classes: int, average: str = "macro", ignore_index: int | None = None) -> None:
        if average not in AVERAGES:
            raise ValueError(
                f"{type(self).__name__}: expected an average of {', '.join(AVERAGES)}, got {average!r}"
            )
        super().__init__(classes, ignore_index)
        if average == "binary" and classes != 2:
            raise ValueError(f"{self!r}: expected two classes for average='binary', got {classes}")
        self.average = average

    @staticmethod
    def ratio(hits: int, predicted: int, labelled: int) -> tuple[int, int]:
        """Return the numerator and the denominator, of the counts of one class or of all."""
        raise NotImplementedError

    def compute(self) -> "float | list[float]":  # type: ignore[override]  # a list too
        """Return the number, or with ``average="none"`` a list of one for each class; this waits."""
        counts = self.counts()
        hits, labelled = counts.diagonal().tolist(), counts.sum(axis=1).tolist()
        predicted = counts[:, :-1].sum(axis=0).tolist()
        if self.average == "micro":
            return self._share(sum(hits), sum(predicted), sum(labelled))
        shares = [self._share(*of_class) for of_class in zip(hits, predicted, labelled, strict=True)]
        if self.average == "none":
            return shares
        if self.average == "binary":
            return shares[1]
        weights = labelled if self.average == "weighted" else [1] * self.classes
        known = [(w, share) for w, share in zip(weights, shares, strict=True) if not math.isnan(share)]
        total = sum(w for w, _ in known)
        return sum(w * share for w, share in known) / total if total else math.nan

    def _share(self, hits: int, predicted: int, labelled: int) -> float:
        if not predicted and not labelled:
            return math.nan
        above, below = self.ratio(hits, predicted, labelled)
        return above / below if below else 0.0


class Precision(_Ratio):
    """Of the rows predicted to be of a class, the share that are.

    A class that is never predicted has 0; one that neither occurs nor is predicted has
    NaN, and is left out of the averages. A row of scores with a NaN is a miss. Of no rows it is NaN.

    Args:
        classes: K.
        average: ``"macro"``, the mean over the classes; ``"weighted"``, that weighted by how often each
            occurs; ``"micro"``, of the counts of all classes together; ``"binary"``, that of class 1 of two;
            ``"none"``, a list with one number for each class.
        ignore_index: rows with this label count for nothing.

    Example:
        >>> from minidl.backend import asarray
        >>> precision = Precision(2, average="binary")
        >>> precision.update(asarray([0.4, -0.3, 1.2, 2.0]) > 0, asarray([0, 1, 1, 1]))
        >>> precision.compute()
        0.6667
    """

    @staticmethod
    def ratio(hits: int, predicted: int, labelled: int) -> tuple[int, int]:
        """Return how many predictions of the class are right, and how many there are."""
        return hits, predicted


class Recall(_Ratio):
    """Of the rows of a class, the share that are found.

    A class that is predicted but never occurs has 0; one that neither occurs nor is predicted has
    NaN, and is left out of the averages. A row of scores with a NaN is a miss. Of no rows it is NaN.

    Args:
        classes: K.
        average: as in `Precision`.
        ignore_index: rows with this label count for nothing.

    Example:
        >>> from minidl.backend import asarray
        >>> recall = Recall(2, average="binary")
        >>> recall.update(asarray([0.4, -0.3, 1.2, 2.0]) > 0, asarray([0, 1, 1, 1]))
        >>> recall.compute()
        0.6667
    """

    @staticmethod
    def ratio(hits: int, predicted: int, labelled: int) -> tuple[int, int]:
        """Return how many rows of the class are found, and how many there are."""
        return hits, labelled


class F1(_Ratio):
    """The harmonic mean of precision and recall.

    A class that is never rightly predicted has 0; one that neither occurs nor is predicted has
    NaN, and is left out of the averages. A row of scores with a NaN is a miss. Of no rows it is NaN.

    Args:
        classes: K.
        average: as in `Precision`.
        ignore_index: rows with this label count for nothing.

    Example:
        >>> from minidl.backend import asarray
        >>> f1 = F1(2, average="binary")
        >>> f1.update(asarray([0.4, -0.3, 1.2, 2.0]) > 0, asarray([0, 1, 1, 1]))
        >>> f1.compute()
        0.6667
    """

    @staticmethod
    def ratio(hits: int, predicted: int, labelled: int) -> tuple[int, int]:
        """Return twice the hits, and the predictions and rows of the class together."""
        return 2 * hits, predicted + labelled
