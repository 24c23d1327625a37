"""The function that runs a batch and explains it."""

import copy
from collections.abc import Mapping
from typing import Any

from minidl.backend import Array, check_array, check_int
from minidl.layers.base import Layer
from minidl.losses import CrossEntropy
from minidl.training.explain.entry import Entry
from minidl.training.explain.explanation import Explanation
from minidl.training.explain.losses import loss_record
from minidl.training.explain.records import arrays_of, records_of
from minidl.training.explain.seen import Batch, look_at, restored
from minidl.training.explain.worked import Index
from minidl.training.nonfinite import find_nonfinite


def explain(
    model: Layer,
    batch: Any,
    labels: Any,
    loss: Any = None,
    *,
    sample: int = 0,
    elements: Mapping[str, Index] | None = None,
    entries: Mapping[type[Layer], Entry] | None = None,
) -> Explanation:
    """Run one batch forward and back, and explain on a page what each layer did with it.

    For each call of a layer: the formulas of the output and of the pullback, shapes, parameters,
    multiply-adds, bytes, statistics of activations and gradients, and one element of the output and one of
    the gradient worked through by plain arithmetic, which is compared with the layer's own. Numbers that are
    not finite are shown where they first appear. The model runs in the mode that it is in and stays as it
    was: weights, gradients, buffers, modes and random streams.

    Args:
        model: any layer.
        batch: the input of the model, an array ``(N, ...)`` or a tuple of them.
        labels: what the loss takes beside the prediction; a tuple where it takes several.
        loss: with ``forward`` and ``backward``; by default `CrossEntropy`.
        sample: the number of the sample whose elements are worked through.
        elements: for paths of layers, the index of the element of the output to work through; by default the
            first one that is not finite, or the one with the largest upstream gradient.
        entries: what to say about layers of one's own, by their class: an ``Entry`` from
            ``minidl.training.explain``.

    Returns:
        An ``Explanation``: ``.markdown``, ``.html``, ``.save(path)``, and the data as ``.records``.

    Raises:
        TypeError: the model is no layer, the loss none, the batch no array, or an entry no ``Entry``.
        ValueError: no such sample, path or element; or as the model and the loss do for what does not fit.

    Example:
        >>> import minidl
        >>> from minidl.backend import asarray
        >>> model = minidl.Sequential(minidl.Linear(2, 3, seed=0), minidl.ReLU(), minidl.Linear(3, 2, seed=1))
        >>> page = explain(model, asarray([[1.0, 2.0], [0.5, -1.0]]), asarray([0, 1]))
        >>> [record.title for record in page.records]
        ['the model: Sequential', '0: Linear', '1: ReLU', '2: Linear']
        >>> print(page.records[1].pullback)
        dx = dy W^T, dW = x^T dy, db = sum_n dy_n
        >>> page.disagreements
        []
    """
    loss = CrossEntropy() if loss is None else loss
    own, elements = dict(entries or {}), dict(elements or {})
    sample = _check(model, batch, loss, sample, own)
    targets = labels if isinstance(labels, tuple) else (labels,)
    with restored(model):
        seen = look_at(model, loss, batch, targets)
        _check_elements(elements, seen)
        records = records_of(seen, own, sample, elements)
    called = {id(call.layer) for call in seen.calls()}
    spoiled = any(s.nans or s.infinities for record in records for s in record.statistics)
    return Explanation(
        type(model).__name__,
        tuple(next(arrays_of("", batch))[1].shape),
        records,
        loss_record(seen, targets, sample),
        _first_nonfinite(model, loss, batch, targets) if spoiled else "",
        [path for path, layer in model.named_layers() if id(layer) not in called],
    )


def _check(model: Any, batch: Any, loss: Any, sample: Any, own: Mapping[Any, Any]) -> int:
    """Refuse what cannot be explained; return the number of the sample from the front."""
    if not isinstance(model, Layer):
        hint = "; pass mixed.model" if isinstance(getattr(model, "model", None), Layer) else ""
        raise TypeError(f"explain: expected a layer, got {type(model).__name__}{hint}")
    if not (hasattr(loss, "forward") and hasattr(loss, "backward")):
        raise TypeError(f"explain: expected a loss with forward and backward, got {type(loss).__name__}")
    for kind, entry in own.items():
        if not (isinstance(kind, type) and issubclass(kind, Layer) and isinstance(entry, Entry)):
            raise TypeError(
                f"explain: expected entries as {{class of a layer: Entry(forward, pullback)}}, "
                f"got {kind!r}: {type(entry).__name__}"
            )
    arrays: list[Array] = [array for _, array in arrays_of("batch", batch)]
    for array in arrays or [batch]:
        check_array(array, "explain", "the batch as an array")
    if not arrays[0].ndim:
        raise ValueError("explain: expected a batch (N, ...), got a single number; pass x[None]")
    number, n = check_int(sample, "explain", "sample"), len(arrays[0])
    if not -n <= number < n:
        raise ValueError(f"explain: expected sample as the number of one of the {n} samples, got {number}")
    return number % n


def _check_elements(elements: dict[str, Any], seen: Batch) -> None:
    """Refuse elements that are not there."""
    shapes = {call.path: getattr(call.y, "shape", None) for call in seen.calls()}
    for path, index in elements.items():
        if path not in shapes:
            raise ValueError(
                f"explain: expected elements of called layers, {', '.join(map(repr, shapes))}, got {path!r}"
            )
        shape = shapes[path]
        fits = isinstance(index, tuple) and shape is not None and len(index) == len(shape)
        numbers = [check_int(i, "explain", f"the element of {path!r}") for i in index] if fits else []
        if shape is None or not fits or not all(0 <= i < n for i, n in zip(numbers, shape, strict=True)):
            raise ValueError(f"explain: expected an element of the output {shape} of {path!r}, got {index!r}")
        elements[path] = tuple(numbers)


def _first_nonfinite(model: Layer, loss: Any, batch: Any, targets: tuple[Any, ...]) -> str:
    """Say where the first number that is not finite is."""
    with restored(model):
        return str(find_nonfinite(model, copy.copy(loss), batch, *targets) or "")
