"""Layers that only rearrange their input, or wrap a function."""

from collections.abc import Callable, Sequence
from typing import Any

from minidl import ops
from minidl.backend import Array, check_array
from minidl.layers.base import Layer, Pullback
from minidl.layers.parameter import Parameter
from minidl.tape import backpropagate, no_grad
from minidl.tensor import Tensor


class Identity(Layer):
    """y = x, of any shape."""

    sample_wise = True

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return x, lambda dy, input_grad=True: (dy if input_grad else None, [])


class Flatten(Layer):
    """Join all axes but the batch: ``(N, ...)`` to ``(N, K)``, and back for the gradient.

    See `functional.flatten`.
    """

    sample_wise = True

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.flatten, x)


class Reshape(Layer):
    """Give each sample another shape: ``(N, ...)`` to ``(N, *shape)``; one length may be -1.

    Example:
        >>> from minidl.backend import xp
        >>> Reshape((28, 28, 1)).forward(xp.zeros((2, 784))).shape
        (2, 28, 28, 1)
    """

    sample_wise = True

    def __init__(self, shape: Sequence[int]) -> None:
        if not hasattr(shape, "__len__") or any(type(n) is not int for n in shape):
            raise TypeError(f"Reshape: expected a tuple of ints, got {shape!r}")
        if sum(n == -1 for n in shape) > 1 or any(n < -1 for n in shape):
            raise ValueError(f"Reshape: expected lengths of at least 0, at most one of them -1, got {shape}")
        self.shape = tuple(shape)

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.reshape_samples, x, shape=self.shape)

    def extra_repr(self) -> str:
        return str(self.shape)


class Function(Layer):
    """A layer from any composition of ``minidl.functional``, and of other layers.

    Args:
        f: takes a Tensor, then the parts, and returns a Tensor.
        *parts: parameters and layers, in the order in which ``f`` takes them; trained with this one.

    Example:
        >>> from minidl.backend import asarray
        >>> squares = Function(lambda x, scale: x * x * scale, Parameter([2.0], name="scale"))
        >>> squares.forward(asarray([1.0, 3.0]))
        array([ 2., 18.], dtype=float32)
        >>> squares.backward(asarray([1.0, 1.0]))
        array([ 4., 12.], dtype=float32)
        >>> squares.parameters()[0].grad
        array([10.], dtype=float32)
    """

    def __init__(self, f: Callable[..., Any], *parts: Parameter | Layer) -> None:
        if not callable(f):
            raise TypeError(f"Function: expected a function of Tensors, got {type(f).__name__}")
        for part in parts:
            if not isinstance(part, (Parameter, Layer)):
                raise TypeError(
                    f"Function: expected parameters and layers after f, got {type(part).__name__}"
                )
        self.f = f
        self.parts = list(parts)

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        check_array(x, "Function")
        leaf = Tensor(x, requires_grad=x.dtype.kind == "f")
        with no_grad(recording=True):
            y = self.f(leaf, *self.parts)
        if not isinstance(y, Tensor):
            raise TypeError(f"{self!r}: expected the function to return a Tensor, got {type(y).__name__}")

        def pullback(dy: Array, input_grad: bool = True) -> Any:
            found = backpropagate([(y, dy)], release=False)
            dx = next((g for tensor, g in found if tensor is leaf), None)
            if input_grad and dx is None:
                dx = ops.multiply(x, 0)[0]
            pairs = [(p, g) for p, g in found if isinstance(p, Parameter)]
            own = {id(p) for p in self.parameters()}
            for parameter, _ in pairs:
                if id(parameter) not in own:
                    raise ValueError(
                        f"{self!r}: expected {parameter!r} to be handed over: Function(f, its_layer)"
                    )
            return (dx if input_grad else None), pairs

        return y.data, pullback

    def extra_repr(self) -> str:
        return getattr(self.f, "__name__", repr(self.f))
