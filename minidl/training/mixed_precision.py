"""Mixed precision: float16 arithmetic, float32 weights, and a loss scale that keeps gradients in range."""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from minidl.backend import Array, check_int, silent_overflow, xp
from minidl.layers.base import Layer
from minidl.ops._options import read_number
from minidl.optim.base import Optimizer
from minidl.optim.flat import blocks, gradients
from minidl.training.nonfinite import finite_gradients

LEAST, MOST = 2.0**-14, 2.0**24  # of the scale: below, something else is wrong; above, nothing is gained


class MixedPrecision:
    """Runs a model in float16 while its parameters, and all that optimizers keep, stay in float32.

    Float16 ends at 65504, and what is below 6e-8 becomes 0, as many gradients are. So the gradient of the
    loss is multiplied by a scale before it goes back through the model, and the gradients of the parameters
    are divided by it as they arrive: ``grad`` always has the true gradients, in float32, ready to be clipped,
    added up over several batches, or looked at. Where one was too large for float16, all of them become NaN,
    `step` leaves out that update and halves the scale; after ``growth_interval`` updates in a row it doubles.

    The optimizers, `clip_grad_norm`, `EMA`, `Checkpoints` and `save_weights` are used as ever, on the model.
    Training waits for the GPU once a step, in `step`, which reads whether to go on. Not to look, and to take
    the update back on the device where it was wrong, would cost a copy of all weights and moments each time.

    Args:
        model: with parameters in float32. For the time of a forward they are float16.
        *optimizers: those that update it; where one leaves out a step, all do.
        scale: of the loss to begin with, a power of two: such a factor changes no digit.
        growth_interval: updates in a row after which the scale doubles.

    Raises:
        TypeError: the model is no layer, or an optimizer none.
        ValueError: parameters are not float32, or the scale is no power of two between 2**-14 and 2**24.

    Source: Micikevicius et al., 2018.

    Example:
        >>> import minidl
        >>> from minidl.optim import AdamW
        >>> model, criterion = minidl.Linear(2, 3, seed=0), minidl.CrossEntropy()
        >>> optimizer = AdamW(model.parameters())
        >>> mixed = MixedPrecision(model, optimizer)
        >>> x, labels = xp.ones((4, 2), "float32"), xp.asarray([0, 1, 2, 0])
        >>> loss = criterion.forward(mixed.forward(x), labels)
        >>> mixed.backward(criterion.backward(), input_grad=False)
        >>> mixed.step()
        True
        >>> model.weight.dtype, model.weight.grad.dtype
        (dtype('float32'), dtype('float32'))
    """

    def __init__(
        self, model: Layer, *optimizers: Optimizer, scale: float = 2.0**16, growth_interval: int = 2000
    ) -> None:
        _check(model, optimizers)
        self.model = model
        self.optimizers = optimizers
        self.scale = _check_scale(scale)
        self.growth_interval = check_int(growth_interval, "MixedPrecision", "growth_interval")
        if self.growth_interval < 1:
            raise ValueError(f"MixedPrecision: expected growth_interval of at least 1, got {growth_interval}")
        self.good_steps = 0  # since the scale changed
        self.skipped_steps = 0

    def forward(self, x: Any, *further: Any) -> Any:
        """Return the output in float32, computed in float16, and keep what `backward` needs.

        Args:
            x: the input, an array or a tuple of them; floating-point ones are converted.
            *further: what else the model's ``forward`` takes, such as a mask.
        """
        with self._in_half():
            y = self.model.forward(_cast(x, xp.float16), *_cast(further, xp.float16))
        return _cast(y, xp.float32)

    def predict(self, x: Any, *further: Any) -> Any:
        """Return the model's ``predict`` in float32, computed in float16."""
        with self._in_half():
            y = self.model.predict(_cast(x, xp.float16), *_cast(further, xp.float16))
        return _cast(y, xp.float32)

    def backward(self, dy: Any, input_grad: bool = True) -> Any:
        """Add the gradients of the parameters to their ``grad``, or turn these to NaN if one is too large.

        Args:
            dy: the gradient of the output, in float32, of its shape.
            input_grad: ``False`` to save the work for the gradient of the input, and return ``None``.
        """
        parameters = self.model.parameters()
        updated = {id(p) for optimizer in self.optimizers for p in optimizer.parameters}
        _multiply(gradients(parameters), self.scale)  # what is there meets gradients of this scale
        try:
            with silent_overflow(invalid=True):
                dx = self.model.backward(_times(dy, self.scale), input_grad=input_grad)
        finally:
            finite = finite_gradients(p for p in parameters if id(p) in updated)
            _multiply(gradients(parameters), xp.where(finite, 1.0 / self.scale, math.nan))
        return _times(_cast(dx, xp.float32), 1.0 / self.scale)

    def step(self) -> bool:
        """Let the optimizers update the parameters if all gradients are finite; say whether they did.

        Raises:
            FloatingPointError: gradients are infinite or NaN at the smallest scale too.
        """
        parameters = [p for optimizer in self.optimizers for p in optimizer.parameters]
        if not finite_gradients(parameters):
            self._shrink()
            return False
        for optimizer in self.optimizers:
            optimizer.step()
        self.good_steps += 1
        if self.good_steps >= self.growth_interval:
            self.scale, self.good_steps = min(2.0 * self.scale, MOST), 0
        return True

    def _shrink(self) -> None:
        self.skipped_steps += 1
        if self.scale <= LEAST:
            raise FloatingPointError(
                f"MixedPrecision: expected finite gradients at some scale of the loss, got none "
                f"down to {LEAST}; is there a zero_grad() after each step? "
                "minidl.training.find_nonfinite names the layer"
            )
        self.scale, self.good_steps = 0.5 * self.scale, 0

    def state(self) -> dict[str, float]:
        """Return the scale and the counts of steps, for `Checkpoints` or a file of one's own."""
        return {
            "scale": self.scale,
            "good_steps": self.good_steps,
            "skipped_steps": self.skipped_steps,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state` was taken.

        Raises:
            ValueError: it is the state of something else; nothing is loaded.
        """
        if state.keys() != self.state().keys():
            raise ValueError(
                f"MixedPrecision: expected a state of {', '.join(self.state())}, "
                f"got {', '.join(sorted(state))}"
            )
        scale = _check_scale(float(state["scale"]))
        good, skipped = int(state["good_steps"]), int(state["skipped_steps"])
        if good < 0 or skipped < 0:
            raise ValueError(f"MixedPrecision: expected counts of at least 0, got {good} and {skipped}")
        self.scale, self.good_steps, self.skipped_steps = scale, good, skipped

    @contextmanager
    def _in_half(self) -> Iterator[None]:
        """Put float16 copies in place of the parameters; pullbacks made meanwhile go on with them."""
        copies = {id(p): half for o in self.optimizers for p, half in o.converted(xp.float16)}
        kept = [(p, p.data, p.grad) for p in self.model.parameters()]
        try:
            for p, data, grad in kept:
                p.rebind(copies[id(p)] if id(p) in copies else data.astype(xp.float16), grad)
            yield
        finally:
            for p, data, grad in kept:
                p.rebind(data, grad)

    def __repr__(self) -> str:
        return f"MixedPrecision(scale={self.scale:g}, skipped_steps={self.skipped_steps})"


def _check(model: object, optimizers: Iterable[object]) -> None:
    """Refuse what is no model in float32, and what are no optimizers."""
    if not isinstance(model, Layer):
        raise TypeError(f"MixedPrecision: expected a layer, got {type(model).__name__}")
    if not optimizers:
        raise TypeError("MixedPrecision: expected at least one optimizer after the model, got none")
    for optimizer in optimizers:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"MixedPrecision: expected optimizers, got {type(optimizer).__name__}")
    others = sorted({str(p.dtype) for p in model.parameters() if p.dtype != xp.float32})
    if others:
        raise ValueError(
            f"MixedPrecision: expected parameters in float32, got {' and '.join(others)}; "
            'use model.astype("float32"), the copies in float16 are made for you'
        )


def _check_scale(scale: float) -> float:
    scale = read_number(scale, "scale", "MixedPrecision")
    if not LEAST <= scale <= MOST or math.frexp(scale)[0] != 0.5:
        raise ValueError(
            f"MixedPrecision: expected scale as a power of two from {LEAST:g} to {MOST:g}, got {scale}"
        )
    return scale


def _cast(value: Any, dtype: Any) -> Any:
    """Convert what is floating-point among arrays, tuples of them, and None; leave the rest as it is."""
    if isinstance(value, tuple):
        return tuple(_cast(part, dtype) for part in value)
    is_float = getattr(getattr(value, "dtype", None), "kind", "") == "f"
    return value.astype(dtype, copy=False) if is_float else value


def _times(value: Any, factor: float) -> Any:
    """Multiply an array, or each of a tuple, and leave None."""
    if isinstance(value, tuple):
        return tuple(_times(part, factor) for part in value)
    return None if value is None else value * factor


def _multiply(arrays: Iterable[Array], factor: Any) -> None:
    """Multiply arrays in place, block by block."""
    for array in arrays:
        for block in blocks(0, len(array)):
            part = array[block]
            part *= factor if isinstance(factor, float) else factor.astype(array.dtype)
