"""Tensor: an array that remembers how it was made, so that gradients find their way back through it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from minidl import ops
from minidl.backend import DEBUG, Array, asarray, check_shape, xp
from minidl.tape import Node, Pairs, backpropagate, call_pullback, guard, is_recording


class Tensor:
    """An array with a memory: ``.data``, and after ``.backward()`` of a result, ``.grad``.

    Args:
        data: an array of either backend, a number, or nested sequences of numbers (floats become float32).
        requires_grad: whether gradients are collected in ``.grad``; floating-point data only.

    Only tensors made directly (leaves) collect a gradient. The array must not be written to between the
    forward and the backward pass: ``MINIDL_DEBUG=1`` finds out who did.

    Example:
        >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
        >>> (x * x).sum().backward()
        >>> x.grad
        array([2., 4., 6.], dtype=float32)
    """

    __slots__ = ("__weakref__", "_data", "_grad", "_node", "_slot", "requires_grad")
    __array_ufunc__ = None  # numpy_array + tensor asks Tensor.__radd__
    __array_priority__ = 1000  # and so does cupy_array + tensor

    def __init__(self, data: object, requires_grad: bool = False) -> None:
        self._data: Array = asarray(data._data if isinstance(data, Tensor) else data)
        if requires_grad and self._data.dtype.kind != "f":
            raise TypeError(
                f"Tensor: only floating-point data can require a gradient, got {self._data.dtype}"
            )
        self._grad: Array | None = None
        self._node: Node | None = None
        self._slot = 0
        self.requires_grad = requires_grad

    @property
    def data(self) -> Array:
        """The array itself."""
        return self._data

    @data.setter
    def data(self, value: object) -> None:
        self._data = asarray(value)

    @property
    def grad(self) -> Array | None:
        """The gradient collected so far; ``None`` before the first backward pass."""
        return self._grad

    @grad.setter
    def grad(self, value: object) -> None:
        if value is not None:
            value = asarray(value)
            check_shape(value, self._data.shape, "grad")
        self._grad = value

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self._data.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._data.size

    @property
    def dtype(self) -> Any:
        """The type of each element."""
        return self._data.dtype

    @property
    def T(self) -> "Tensor":  # noqa: N802 - NumPy's name
        """The tensor with its axes reversed."""
        return self.transpose()

    def accumulate(self, gradient: Array) -> None:
        """Add a gradient to ``.grad``, which never shares memory with the gradient given."""
        self._grad = gradient.copy() if self._grad is None else xp.asarray(self._grad + gradient)

    def backward(self, upstream: object = None) -> None:
        """Add the gradient of this tensor to ``.grad`` of every leaf that it was computed from.

        The recorded graph is used up, step by step.

        Args:
            upstream: the gradient of the final result with respect to this tensor, an array or Tensor of its
                shape; may be left out only for a scalar, where it is 1.

        Raises:
            RuntimeError: nothing here requires a gradient, or the graph was used already.
            ValueError: the upstream is missing, or its shape is not that of the tensor.
        """
        if upstream is None:
            if self.size != 1:
                raise ValueError(
                    f"backward: expected an upstream gradient of shape {self.shape}, got none; "
                    "only a scalar can do without: tensor.backward(upstream)"
                )
            upstream = xp.ones(self.shape, dtype=self.dtype)
        if not self.requires_grad:
            raise RuntimeError("backward: this tensor depends on nothing that requires a gradient")
        for leaf, gradient in backpropagate(
            [(self, check_upstream(upstream, self._data, "backward"))], release=True
        ):
            leaf.accumulate(gradient)

    def detach(self) -> "Tensor":
        """Return the same data without its history."""
        return Tensor(self._data)

    def item(self) -> float:
        """Return the single element as a Python number."""
        return self._data.item()  # type: ignore[no-any-return]  # Any to NumPy

    def __len__(self) -> int:
        return len(self._data)

    def __repr__(self) -> str:
        return f"Tensor({self._data!r}{', requires_grad=True' if self.requires_grad else ''})"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self._data.__array__(dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:  # the protocol's, which grow from version to version
        if self.requires_grad:
            raise BufferError(
                "Tensor: in another library the gradient would be lost; share tensor.data or tensor.detach()"
            )
        return self._data.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._data.__dlpack_device__()

    def __add__(self, other: object) -> "Tensor":
        return _step(ops.add, self, other)

    def __radd__(self, other: object) -> "Tensor":
        return _step(ops.add, other, self)

    def __sub__(self, other: object) -> "Tensor":
        return _step(ops.subtract, self, other)

    def __rsub__(self, other: object) -> "Tensor":
        return _step(ops.subtract, other, self)

    def __mul__(self, other: object) -> "Tensor":
        return _step(ops.multiply, self, other)

    def __rmul__(self, other: object) -> "Tensor":
        return _step(ops.multiply, other, self)

    def __truediv__(self, other: object) -> "Tensor":
        return _step(ops.divide, self, other)

    def __rtruediv__(self, other: object) -> "Tensor":
        return _step(ops.divide, other, self)

    def __pow__(self, other: object) -> "Tensor":
        return _step(ops.power, self, other)

    def __rpow__(self, other: object) -> "Tensor":
        return _step(ops.power, other, self)

    def __matmul__(self, other: object) -> "Tensor":
        return _step(ops.matmul, self, other)

    def __rmatmul__(self, other: object) -> "Tensor":
        return _step(ops.matmul, other, self)

    def __neg__(self) -> "Tensor":
        return _step(ops.negative, self)

    def __abs__(self) -> "Tensor":
        return _step(ops.absolute, self)

    def __getitem__(self, index: Any) -> "Tensor":
        return _step(ops.getitem, self, index=_plain(index))

    def __iter__(self) -> "Iterator[Tensor]":
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self._data)

    def __float__(self) -> float:
        return float(self._data)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    def __lt__(self, other: object) -> Array:
        return xp.asarray(self._data < _plain(other))

    def __le__(self, other: object) -> Array:
        return xp.asarray(self._data <= _plain(other))

    def __gt__(self, other: object) -> Array:
        return xp.asarray(self._data > _plain(other))

    def __ge__(self, other: object) -> Array:
        return xp.asarray(self._data >= _plain(other))

    def __getstate__(self) -> object:
        if self._node is not None:
            raise RuntimeError("Tensor: only a leaf can be copied or pickled; use tensor.detach()")
        return object.__getstate__(self)

    def sum(self, axis: Any = None, keepdims: bool = False) -> "Tensor":
        """Sum over the axes; all of them by default."""
        return _step(ops.sum, self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> "Tensor":
        """Mean over the axes; all of them by default."""
        return _step(ops.mean, self, axis=axis, keepdims=keepdims)

    def reshape(self, *shape: Any) -> "Tensor":
        """Return the same elements in another shape; one length may be -1."""
        return _step(ops.reshape, self, shape=_unpacked(shape))

    def transpose(self, *axes: Any) -> "Tensor":
        """Return the tensor with its axes in another order, by default reversed."""
        return _step(ops.transpose, self, axes=_unpacked(axes) or None)


def _plain(value: Any) -> Any:
    """Return Tensors as their arrays, also within a tuple."""
    if isinstance(value, tuple):
        return tuple(_plain(part) for part in value)
    return value._data if isinstance(value, Tensor) else value


def _unpacked(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Let a method take ``(2, 3)`` as well as ``2, 3``."""
    return (
        tuple(arguments[0]) if len(arguments) == 1 and isinstance(arguments[0], (tuple, list)) else arguments
    )


def check_upstream(dy: Any, y: Any, owner: object) -> Any:
    """Return an upstream gradient as array(s) in the dtype of the output; refuse any other shape.

    An output in parts takes one gradient for each, ``None`` for a part that nobody used.
    """
    if isinstance(y, tuple):
        if not isinstance(dy, tuple) or len(dy) != len(y):
            raise ValueError(f"{owner}: expected a tuple of {len(y)} gradients, one for each output")
        return tuple(
            None if d is None else check_upstream(d, part, owner) for d, part in zip(dy, y, strict=True)
        )
    dy = dy._data if isinstance(dy, Tensor) else dy
    if type(dy) is not xp.ndarray or dy.shape != y.shape:  # a layer's name takes long to write
        check_shape(dy, y.shape, f"{owner}: gradient")
    return dy if dy.dtype == y.dtype else dy.astype(y.dtype)


def record(owner: str, y: Any, sources: Sequence[Tensor], pullback: Callable[[Any], Pairs]) -> Any:
    """Return the output(s) of a step as Tensor(s) that remember it."""
    if not isinstance(y, tuple):
        return _made(y, Node(owner, sources, pullback, 1), 0)
    if len(y) == 1:  # a tape node with one output hands over a bare gradient
        return (record(owner, y[0], sources, lambda dy: pullback((dy,))),)
    node = Node(owner, sources, pullback, len(y))
    return tuple(_made(part, node, slot) for slot, part in enumerate(y))


def constant(y: Any) -> Any:
    """Return the output(s) of a step as Tensor(s) without a history."""
    return tuple(_made(part, None, 0) for part in y) if isinstance(y, tuple) else _made(y, None, 0)


def _parts(y: Any) -> tuple[Any, ...]:
    return y if isinstance(y, tuple) else (y,)


def _made(data: Array, node: Node | None, slot: int) -> Tensor:
    tensor = Tensor.__new__(Tensor)
    tensor._data = data
    tensor._grad = None
    tensor._node = node
    tensor._slot = slot
    tensor.requires_grad = node is not None
    return tensor


def wants_gradient(tensors: Sequence[Tensor]) -> bool:
    """Tell whether a step from these inputs is to be recorded."""
    return any([t.requires_grad for t in tensors]) and is_recording()  # noqa: C419 - the list is faster


def apply(op: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
    """Run an op on arrays, giving arrays, or on Tensors (and arrays as constants), giving Tensors."""
    for x in inputs:
        if isinstance(x, Tensor):
            break
    else:
        return op(*inputs, **options)[0]
    tensors = [x for x in inputs if isinstance(x, Tensor)]
    arrays = [x._data if isinstance(x, Tensor) else x for x in inputs]
    y, pullback = op(*arrays, **options)
    if not wants_gradient(tensors):
        return constant(y)
    if DEBUG:
        pullback = guard(_name(op), [*arrays, *_parts(y), *options.values()], pullback)

    def backward(dy: Any) -> Pairs:
        first = inputs[0]
        gradients = call_pullback(pullback, dy, isinstance(first, Tensor) and first.requires_grad)
        gradients = gradients if len(inputs) > 1 else (gradients,)
        return [
            (x, g)
            for x, g in zip(inputs, gradients, strict=True)
            if isinstance(x, Tensor) and x.requires_grad
        ]

    return record(_name(op), y, tensors, backward)


def _name(op: Callable[..., Any]) -> str:
    """Return what an op is called; a `functools.partial` is called after what it wraps."""
    name: str = getattr(op, "__name__", "") or getattr(getattr(op, "func", op), "__name__", type(op).__name__)
    return name


def _step(op: Callable[..., Any], *inputs: Any, **options: Any) -> Tensor:
    made: Tensor = apply(op, *inputs, **options)
    return made
