"""Metrics: numbers over many batches, such as the accuracy of an epoch.

The sums of a metric stay on the device. `update` adds a batch to them without waiting for the GPU, and only
`compute` reads them. Batches may differ in size: counts are those of all rows taken at once.

    for x, labels in test_batches:
        accuracy.update(model.predict(x), labels)
    print(accuracy.compute())
"""

import math
import sys
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from minidl.backend import Array, asarray, check_array, check_int, check_labels, to_numpy, xp
from minidl.ops._losses import check_ignored, decided
from minidl.ops._options import read_number
from minidl.tensor import Tensor
from minidl.training._numbers import one_number


class Metric:
    """What all metrics have in common: sums on the device, by name, that batches are added to.

    A subclass names its sums and writes ``update`` and ``compute``.

    Example:
        >>> class Largest(Metric):
        ...     names = ("largest",)
        ...     def update(self, values):
        ...         self.sums["largest"] = xp.maximum(self.sums["largest"], values.max())
        ...     def compute(self):
        ...         return float(self.read()["largest"])
        >>> metric = Largest()
        >>> metric.update(xp.asarray([1.0, 4.0]))
        >>> metric.update(xp.asarray([2.0]))
        >>> metric.compute()
        4.0
    """

    names: ClassVar[tuple[str, ...]] = ()
    sums: dict[str, Array]

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self.sums = self._zeros()

    def add(self, **values: Array | float) -> None:
        """Add to the sums of these names."""
        self.sums |= {name: xp.asarray(self.sums[name] + value) for name, value in values.items()}

    def read(self) -> dict[str, Array]:
        """Return the sums on the host, which waits for the GPU.

        Raises:
            ValueError: some labels were no class. On NumPy `update` says so at once.
        """
        sums = {name: to_numpy(value) for name, value in self.sums.items()}
        if invalid := int(sums.get("invalid", 0)):
            raise ValueError(
                f"{self!r}: expected labels and predictions in the range of the classes, got {invalid} "
                "outside of it; MINIDL_DEBUG=1 names the batch"
            )
        return sums

    def state(self) -> dict[str, Array]:
        """Return copies of the sums, for a checkpoint in the middle of an epoch."""
        return {name: value.copy() for name, value in self.sums.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state` was taken, or raise and change nothing."""
        zeros = self._zeros()
        arrays = {name: asarray(value).copy() for name, value in state.items()}
        shapes = {name: value.shape for name, value in arrays.items()}
        expected = {name: zero.shape or shapes.get(name) for name, zero in zeros.items()}
        if shapes != expected:
            raise ValueError(
                f"{self!r}: expected the state of such a metric, sums named {', '.join(zeros)}, got {shapes}"
            )
        self.sums = arrays

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def _zeros(self) -> dict[str, Array]:
        return {name: xp.zeros((), dtype=xp.int64) for name in self.names}


class Mean(Metric):
    """The mean of a number, such as a loss, over batches that may differ in size; NaN of nothing.

    Example:
        >>> mean = Mean()
        >>> mean.update(asarray(3.0), count=64)
        >>> mean.update(asarray(1.0), count=32)
        >>> mean.compute()
        2.3333
    """

    names = ("total", "count")

    def update(self, value: Array | Tensor | float, count: float = 1) -> None:
        """Add a number that is itself the mean of so many rows.

        Raises:
            TypeError, ValueError: the value is not one number, or the count none of at least 0.
        """
        count = read_number(count, "count", "Mean")
        if not 0 <= count < math.inf:
            raise ValueError(f"Mean: expected count as a number of at least 0, got {count}")
        number = one_number(value, "value", "Mean")
        if count:  # the mean of no rows is NaN, and counts nothing
            self.add(total=number * count, count=count)

    def compute(self) -> float:
        """Return the mean; this waits for the GPU."""
        sums = self.read()
        return float(sums["total"] / sums["count"]) if sums["count"] else math.nan


class Accuracy(Metric):
    """The share of rows whose largest score is that of their label, as `minidl.accuracy`; NaN of no rows.

    A row with a NaN is wrong.

    Args:
        ignore_index: rows with this label count for nothing.

    Example:
        >>> accuracy = Accuracy()
        >>> accuracy.update(asarray([[0.9, 0.1], [0.2, 0.8]]), asarray([0, 1]))
        >>> accuracy.update(asarray([[0.6, 0.4]]), asarray([1]))
        >>> accuracy.compute()
        0.6667
    """

    names = ("hits", "rows", "invalid")

    def __init__(self, ignore_index: int | None = None) -> None:
        check_ignored(ignore_index, type(self).__name__)
        self.ignore_index = ignore_index
        super().__init__()

    def update(self, prediction: Array | Tensor, labels: Array | Tensor, mask: Array | None = None) -> None:
        """Add a batch.

        Args:
            prediction: scores ``(..., K)``, logits or probabilities; or the predicted classes ``(...)``, as
                whole numbers or booleans.
            labels: integer labels ``(...)``.
            mask: which rows count: booleans ``(...)``.

        Raises:
            TypeError: not arrays of the backend, or labels that are no whole numbers.
            ValueError: shapes that do not agree, or a label that is no class.
        """
        rows = read_rows(prediction, labels, mask, self.ignore_index, repr(self))
        self.add(hits=self._hits(rows).sum(), rows=rows.kept.sum(), invalid=rows.invalid)

    def compute(self) -> float:
        """Return the share of all rows so far; this waits for the GPU."""
        sums = self.read()
        return float(sums["hits"] / sums["rows"]) if sums["rows"] else math.nan

    def _hits(self, rows: "Rows") -> Array:
        return xp.asarray((rows.predicted == rows.labels) & rows.kept)


class TopK(Accuracy):
    """The share of rows whose label has one of the ``k`` largest scores; NaN of no rows.

    Among equal scores the first ones win, as in `Accuracy`, which is ``TopK(1)``. A row with a NaN is wrong.

    Args:
        k: how many.
        ignore_index: rows with this label count for nothing.

    Example:
        >>> top = TopK(2)
        >>> top.update(asarray([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]), asarray([1, 2]))
        >>> top.compute()
        0.5
    """

    def __init__(self, k: int, ignore_index: int | None = None) -> None:
        self.k = check_int(k, "TopK", "k")
        if self.k < 1:
            raise ValueError(f"TopK: expected k >= 1, got {k}")
        super().__init__(ignore_index)

    def _hits(self, rows: "Rows") -> Array:
        scores = rows.scores
        if scores is None or self.k > scores.shape[-1]:
            got = "classes" if scores is None else f"scores of {scores.shape[-1]}"
            raise ValueError(f"{self!r}: expected scores of at least {self.k} classes, got {got}")
        own = xp.take_along_axis(scores, rows.labels[:, None], axis=-1)
        before = (scores == own) & (xp.arange(scores.shape[-1]) < rows.labels[:, None])
        certain = rows.predicted < scores.shape[-1]
        rank = ((scores > own) | before).sum(axis=-1)
        return xp.asarray((rank < self.k) & certain & rows.kept)

    def __repr__(self) -> str:
        return f"TopK({self.k})"


class R2(Metric):
    """How much of the variance of a target a prediction explains: ``1 - sum (t - y)^2 / sum (t - mean t)^2``.

    A perfect prediction has 1, the mean of the target 0. Where the target is constant it is 1 for a perfect
    prediction and 0 for any other, as in scikit-learn; of fewer than two rows it is NaN. The sums are
    float64, and those of batches are merged by Chan's formula, so a mean far from 0 costs few digits.

    Args:
        average: ``"uniform"`` for the mean over the outputs, ``"none"`` for a list of one number for each.

    Example:
        >>> r2 = R2()
        >>> r2.update(asarray([2.5, 0.0]), asarray([3.0, -0.5]))
        >>> r2.update(asarray([2.0, 8.0]), asarray([2.0, 7.0]))
        >>> r2.compute()
        0.9486

    Source: Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for sample variances, 1979.
    """

    names = ("rows", "mean", "spread", "residual")

    def __init__(self, average: str = "uniform") -> None:
        if average not in ("uniform", "none"):
            raise ValueError(f"R2: expected average as 'uniform' or 'none', got {average!r}")
        self.average = average
        super().__init__()

    def update(self, prediction: Array | Tensor, target: Array | Tensor, mask: Array | None = None) -> None:
        """Add a batch.

        Args:
            prediction: numbers ``(N,)``, or ``(..., D)`` with D outputs on the last axis.
            target: numbers of the same shape.
            mask: which rows count: booleans ``(N,)`` or ``(...)``.

        Raises:
            TypeError: not arrays of the backend.
            ValueError: shapes that do not agree, or another number of outputs than before.
        """
        y, t = read_array(prediction, "the prediction", "R2"), read_array(target, "the target", "R2")
        before, outputs = self.sums["mean"].shape, t.shape[1:] and t.shape[-1:]
        if y.shape != t.shape or not t.ndim or before not in ((), outputs):
            raise ValueError(
                f"R2: expected a prediction and a target of one shape (N,) or (..., {before or 'D'}), "
                f"got {y.shape} and {t.shape}"
            )
        kept = read_mask(mask, t.shape[:1] + t.shape[1:-1], "R2").reshape(-1, *(1 for _ in outputs))
        self._merge(y.reshape(-1, *outputs).astype(xp.float64), t.reshape(-1, *outputs), kept)

    def compute(self) -> Any:
        """Return the number, or the list of one for each output; this waits for the GPU."""
        sums = self.read()
        if sums["rows"] < 2:
            return math.nan
        parts = zip(sums["residual"].reshape(-1).tolist(), sums["spread"].reshape(-1).tolist(), strict=True)
        shares = [1 - residual / spread if spread else float(residual == 0) for residual, spread in parts]
        return shares if self.average == "none" else sum(shares) / len(shares)

    def _merge(self, y: Array, t: Array, kept: Array) -> None:
        """Add the rows that count, ``y`` and ``t``; ``spread`` is the sum of ``(t - mean)^2``."""
        rows = kept.sum()
        t = xp.where(kept, t, 0).astype(xp.float64)
        mean = t.sum(axis=0) / xp.maximum(rows, 1)
        spread = (xp.where(kept, t - mean, 0) ** 2).sum(axis=0)
        total = self.sums["rows"] + rows
        shift = mean - self.sums["mean"]
        share = rows / xp.maximum(total, 1)
        self.add(
            rows=rows,
            mean=shift * share,
            spread=spread + shift**2 * (self.sums["rows"] * share),
            residual=(xp.where(kept, y - t, 0) ** 2).sum(axis=0),
        )

    def __repr__(self) -> str:
        return f"R2(average={self.average!r})"


class Rows(NamedTuple):
    """A batch as a classifier's metric needs it: one row for each label."""

    scores: Array | None  # (n, K), where scores were given
    predicted: Array  # (n,), K where no class can be told
    labels: Array  # (n,), 0 where the row does not count
    kept: Array  # (n,), whether the row counts
    invalid: Array  # how many labels and predictions are no class


def read_rows(
    prediction: Array | Tensor,
    labels: Array | Tensor,
    mask: Array | None,
    ignore_index: int | None,
    owner: str,
    classes: int | None = None,
) -> Rows:
    """Bring scores or predicted classes, labels and a mask into one form."""
    given = read_array(prediction, "the prediction", owner)
    labels = read_array(labels, "the labels", owner)
    scored = _check_shapes(given, labels, classes, owner)
    wanted = labels.reshape(-1).astype(xp.int64)
    kept = read_mask(mask, labels.shape, owner).reshape(-1)
    if ignore_index is not None:
        kept = kept & (wanted != ignore_index)
    wanted = xp.where(kept, wanted, 0)
    limit = given.shape[-1] if scored else classes or sys.maxsize
    inside = check_labels(wanted, limit, owner)
    scores = given.reshape(-1, limit) if scored else None
    if scores is None:
        predicted = xp.where(kept, given.reshape(-1), 0).astype(xp.int64)
        inside &= check_labels(predicted, limit, f"{owner}: prediction")
    else:
        best, certain = decided(scores)
        predicted = xp.where(certain, best, limit)
    return Rows(scores, predicted, xp.where(inside, wanted, 0), kept & inside, (~inside).sum())


def read_array(x: Array | Tensor, what: str, owner: str) -> Array:
    """Return an array, or that of a Tensor."""
    array = x.data if isinstance(x, Tensor) else x
    check_array(array, owner, f"{what} as an array")
    return array


def read_mask(mask: Array | None, shape: tuple[int, ...], owner: str) -> Array:
    """Return which rows of this shape count, all if there is no mask."""
    if mask is None:
        return xp.ones(shape, dtype=bool)
    check_array(mask, owner, "the mask as an array")
    if mask.dtype != bool or mask.shape != shape:
        raise ValueError(f"{owner}: expected a mask of booleans {shape}, got {mask.dtype} {mask.shape}")
    return mask


def _check_shapes(given: Array, labels: Array, classes: int | None, owner: str) -> bool:
    """Refuse what does not fit together; tell whether the prediction is scores."""
    if given.shape == labels.shape and given.dtype.kind in "iub" and labels.dtype.kind in "iub":
        return False
    count = "K" if classes is None else classes
    if given.shape[:-1] != labels.shape or not given.ndim or given.shape[-1] != (classes or given.shape[-1]):
        hint = ""
        if given.shape == labels.shape:
            single = labels.ndim < 2 or labels.shape[-1] == 1
            hint = (
                "; one score for yes or no? use prediction > 0, or > 0.5 for probabilities"
                if single
                else "; one-hot labels? use labels.argmax(axis=-1)"
            )
        raise ValueError(
            f"{owner}: expected scores (..., {count}) and labels (...), or predicted classes (...) as whole "
            f"numbers, got {given.dtype} {given.shape} and {labels.dtype} {labels.shape}{hint}"
        )
    if labels.dtype.kind not in "iub":
        raise TypeError(f'{owner}: expected integer labels, got {labels.dtype}; use labels.astype("int64")')
    if not given.shape[-1]:
        raise ValueError(f"{owner}: expected scores of at least one class, got {given.shape}")
    return True
