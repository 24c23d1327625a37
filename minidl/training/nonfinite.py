"""Numbers that are infinite or NaN: whether a step has made any, and which layer made the first."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from minidl.backend import Array, silent_overflow, xp
from minidl.layers.base import Layer
from minidl.layers.parameter import Parameter
from minidl.optim.flat import blocks, gradients

ADVICE = {
    "batch": "look for missing values in the data, and for divisions by zero in what prepares it",
    "state": "an earlier step, or a file, has brought it in: go back to a checkpoint before it, and let this "
    "look at every step",
    "output": "lower the learning rate, bring the inputs near 0 and 1, clip the gradients, or put a "
    "normalisation before it; a division, a root or a logarithm of its own needs an eps",
    "half": "float16 ends at 65504: put a normalisation before it, or leave mixed precision",
    "loss": "give CrossEntropy logits in place of probabilities; look at the targets: labels out of range, "
    "or all of them ignored",
    "gradient": "the slope of a root, a norm or a logarithm at 0 is infinite: add an eps there; against "
    "large gradients lower the learning rate",
}


class NonFinite(NamedTuple):
    """Where the first number that is not finite appears; its text is a sentence with what to try."""

    kind: str
    """``"batch"``, ``"state"`` (a parameter or a buffer), ``"output"``, ``"loss"`` or ``"gradient"``."""
    path: str
    """That of the layer, the parameter or the buffer; empty for the batch and the loss."""
    place: str
    """The same in words."""
    advice: str

    def __str__(self) -> str:
        return f"the first number that is not finite is in {self.place}; {self.advice}"


def finite_gradients(parameters: Iterable[Parameter]) -> Array:
    """Tell whether all gradients are finite numbers, those of frozen parameters aside.

    Returns:
        A 0-d array of a boolean: looking at it waits for the GPU.

    Example:
        >>> p = Parameter([1.0, 1.0])
        >>> p.grad = [0.5, float("inf")]
        >>> bool(finite_gradients([p]))
        False
    """
    parts = [g[block] for g in gradients(parameters) for block in blocks(0, len(g))]
    flags = [xp.isfinite(part).all() for part in parts]
    return xp.asarray(xp.stack(flags).all() if flags else True)


def find_nonfinite(model: Any, loss: Any, x: Any, *targets: Any) -> NonFinite | None:
    """Run one batch forward and back, and return where the first infinite or NaN number appears.

    The batch, the weights and the statistics are looked at first, then the output of each layer in turn, the
    loss, and the gradients from the last layer to the first. Of nested layers the innermost is named. All is
    left as it was: weights, gradients, statistics, the counters of dropout, and a forward without a backward.

    Args:
        model: a layer, or a `MixedPrecision`.
        loss: with ``forward`` and ``backward``.
        x: the input of the model.
        *targets: what the loss takes beside the prediction.

    Returns:
        ``None`` if all numbers are finite.

    Example:
        >>> import minidl
        >>> model = minidl.Sequential(minidl.Linear(2, 3, seed=0), minidl.Softmax())
        >>> loss = minidl.CrossEntropy(from_logits=False)
        >>> x, labels = xp.asarray([[1e3, -1e3]], "float32"), xp.asarray([1])
        >>> print(find_nonfinite(model, loss, x, labels).place)
        the value of CrossEntropy(from_logits=False): inf, from finite predictions
    """
    layer = model if isinstance(model, Layer) else model.model
    if found := _at_rest(layer, x, targets):
        return found
    half = layer is not model
    with _unchanged(layer), silent_overflow(invalid=True), _Watch(layer, half) as watch:
        y = model.forward(x)
        if not _is_finite(y):
            return watch.first()
        value = loss.forward(y, *targets)
        if not _is_finite(value):
            return _in_loss(f"the value of {loss!r}: {_worst(value)}, from finite predictions")
        dy = loss.backward()
        if not _is_finite(dy):
            return _in_loss(f"the gradient of {loss!r}: {_worst(dy)}")
        if not half:  # there the scale may be too large for this batch, which is no mistake
            model.backward(dy)
        return watch.first() if watch.found else None


def _at_rest(layer: Layer, x: Any, targets: Any) -> NonFinite | None:
    """Look at what is there before anything is computed."""
    for name, value in (("input", x), ("target", targets)):
        if not _is_finite(value):
            return NonFinite("batch", "", f"the {name} of the batch: {_worst(value)}", ADVICE["batch"])
    spoiled = [(path, p.data) for path, p in layer.named_parameters() if not _is_finite(p.data)]
    # An infinite number in a buffer may be meant: in a mask, say.
    spoiled += [(path, buffer.data) for path, buffer in layer.buffers() if _has_nan(buffer.data)]
    for path, array in spoiled[:1]:
        return NonFinite("state", path, f"{path}, before the step: {_worst(array)}", ADVICE["state"])
    return None


def _in_loss(place: str) -> NonFinite:
    return NonFinite("loss", "", place, ADVICE["loss"])


class _Watch:
    """While it is on, every layer looks at what goes in and comes out, forward and back."""

    def __init__(self, model: Layer, half: bool) -> None:
        self.layers = dict(model.named_layers())
        self.half = half
        self.found: dict[str, tuple[str, str]] = {}
        self._lock = threading.Lock()  # tiles of a batch run on several threads
        self._own: dict[str, Any] = {}

    def __enter__(self) -> "_Watch":
        for path, layer in self.layers.items():
            if "vjp" in vars(layer):  # somebody else's
                self._own[path] = vars(layer)["vjp"]
            vars(layer)["vjp"] = self._watched(path, layer.vjp)
        return self

    def __exit__(self, *_: object) -> None:
        for path, layer in self.layers.items():
            del vars(layer)["vjp"]
            if path in self._own:
                vars(layer)["vjp"] = self._own[path]

    def _watched(self, path: str, vjp: Callable[..., Any]) -> Callable[..., Any]:
        def watched(x: Any, *further: Any, **options: Any) -> Any:
            y, pullback = vjp(x, *further, **options)
            if _is_finite(x) and not _is_finite(y):
                self._note(path, "output", f"the output of {self._name(path)}: {_worst(y)}")

            def watched_pullback(dy: Any, input_grad: bool = True) -> Any:
                dx, pairs = pullback(dy, input_grad=input_grad)
                if _is_finite(dy):
                    self._look_at_gradients(path, dx, pairs)
                return dx, pairs

            return y, watched_pullback

        return watched

    def _look_at_gradients(self, path: str, dx: Any, pairs: Any) -> None:
        bad = [("of the input", dx)] if not _is_finite(dx) else []
        bad += [(f"of {p.name or 'a parameter'}", g) for p, g in pairs if not _is_finite(g)]
        if bad:
            of, value = bad[0]
            self._note(path, "gradient", f"the gradient {of} of {self._name(path)}: {_worst(value)}")

    def _note(self, path: str, kind: str, place: str) -> None:
        with self._lock:
            self.found.setdefault(path, (kind, place))

    def _name(self, path: str) -> str:
        line = " ".join(repr(self.layers[path]).split())
        line = line if len(line) <= 80 else f"{type(self.layers[path]).__name__}(...)"
        return f"layer {path}, {line}" if path else line

    def first(self) -> NonFinite:
        """Return the finding that no layer inside it explains: forward the first one, backward the last."""
        if not self.found:  # no layer made it of finite numbers: it came with the conversion of the batch
            return NonFinite("batch", "", "the input of the batch, as float16", ADVICE["half"])
        inner = [
            path
            for path in self.layers
            if path in self.found and not any(other != path and _inside(other, path) for other in self.found)
        ]
        path = inner[0] if self.found[inner[0]][0] == "output" else inner[-1]
        kind, place = self.found[path]
        return NonFinite(kind, path, place, ADVICE["half" if self.half else kind])


def _inside(path: str, outer: str) -> bool:
    return not outer or path.startswith(f"{outer}.")


@contextmanager
def _unchanged(model: Layer) -> Iterator[None]:
    """Put back the buffers, the gradients, and what a forward has kept for its backward."""
    step = model._step
    buffers = [(buffer, buffer.data.copy()) for _, buffer in model.buffers()]
    grads = [(p, None if p.grad is None else p.grad.copy()) for p in model.parameters()]
    try:
        yield
    finally:
        model._step = step
        for buffer, data in buffers:
            buffer.data = data
        for p, grad in grads:
            if grad is None:
                p.rebind(p.data, None)
            else:
                p.grad = grad


def _is_finite(value: Any) -> bool:
    """Look at an array, or each of a tuple; what is no floating-point array is finite."""
    if isinstance(value, tuple):
        return all(map(_is_finite, value))
    return getattr(getattr(value, "dtype", None), "kind", "") != "f" or bool(xp.isfinite(value).all())


def _has_nan(value: Array) -> bool:
    return value.dtype.kind == "f" and bool(xp.isnan(value).any())


def _worst(value: Any) -> str:
    """Say what is not finite in an array, or in the first of a tuple where something is."""
    if isinstance(value, tuple):
        return next(_worst(part) for part in value if not _is_finite(part))
    nans, infinities = int(xp.isnan(value).sum()), int(xp.isinf(value).sum())
    kinds = " and ".join(kind for kind, count in (("nan", nans), ("inf", infinities)) if count)
    return kinds if not value.shape else f"{kinds} in {nans + infinities} of {value.size} numbers"
