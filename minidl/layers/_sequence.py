"""What layers for sequences share: several inputs and outputs, and a mask of what counts."""

from typing import Any

from minidl.backend import Array
from minidl.layers.base import Layer, Pullback
from minidl.tensor import Tensor, constant, record, wants_gradient


class SequenceLayer(Layer):
    """A layer of one input or a tuple of them, whose ``forward``, ``predict`` and call take a mask."""

    def vjp(self, x: Any, mask: Array | None = None) -> tuple[Any, Pullback]:
        """Return the value and its pullback; see `Layer.vjp`."""
        raise NotImplementedError(f"{type(self).__name__}: a layer defines vjp(x, mask)")

    def forward(self, x: Any, mask: Array | None = None) -> Any:
        """Return the output for an array or a tuple of them, and keep what ``backward`` needs."""
        self._step = None
        self._step = self.vjp(x, mask)
        return self._step[0]

    def predict(self, x: Any, mask: Array | None = None) -> Any:
        """Return the output as in evaluation, and keep nothing for a backward pass."""
        return self.vjp(x, mask)[0]

    def __call__(self, x: Any, mask: Array | None = None) -> Any:
        """Compute ``forward`` of arrays; Tensors are recorded as one step and give Tensors."""
        parts = x if isinstance(x, tuple) else (x,)
        if not any(isinstance(part, Tensor) for part in parts):
            return self.forward(x, mask)
        arrays = tuple(part._data if isinstance(part, Tensor) else part for part in parts)
        y, pullback = self.vjp(arrays if isinstance(x, tuple) else arrays[0], mask)
        tensors = [part for part in parts if isinstance(part, Tensor)]
        if not wants_gradient([*tensors, *self.parameters()]):
            return constant(y)
        wanted = any(isinstance(part, Tensor) and part.requires_grad for part in parts)

        def backward(dy: Any) -> list[tuple[Tensor, Array]]:
            dx, pairs = pullback(dy, input_grad=wanted)
            gradients = zip(parts, dx if isinstance(x, tuple) else (dx,), strict=True) if wanted else ()
            return [*pairs, *((p, g) for p, g in gradients if isinstance(p, Tensor) and p.requires_grad)]

        return record(type(self).__name__, y, tensors, backward)
