"""The arrays a layer owns: parameters, which are trained, and buffers, which are kept."""

from typing import Any

from minidl.backend import Array, asarray, check_shape, copy_into, xp
from minidl.tensor import Tensor


class Parameter(Tensor):
    """A leaf Tensor that a layer owns and an optimizer updates.

    ``data`` and ``grad`` stay the arrays they are, views into an optimizer's buffer perhaps: assigning
    copies into them. ``grad`` is ``None`` until the first backward pass or packing.

    Example:
        >>> p = Parameter([1.0, 2.0], name="scale")
        >>> p.data = p.data * 2
        >>> p
        Parameter(name='scale', shape=(2,), dtype=float32)
    """

    __slots__ = ("name",)

    def __init__(self, data: object, name: str = "") -> None:
        super().__init__(data, requires_grad=True)
        self._data = self._data.copy()  # its own, whatever the caller does with the array
        self.name = name

    @property
    def data(self) -> Array:
        """The array itself; assigning copies into it."""
        return self._data

    @data.setter
    def data(self, value: object) -> None:
        _overwrite(self._data, value, self.name or "data")

    @property
    def grad(self) -> Array | None:
        """The gradient collected so far; assigning copies into it, and ``None`` zeroes it."""
        return self._grad

    @grad.setter
    def grad(self, value: object) -> None:
        if value is None:
            self.zero_grad()
        else:
            grad = xp.empty_like(self._data) if self._grad is None else self._grad
            _overwrite(grad, value, f"{self.name or 'data'}.grad")
            self._grad = grad

    def accumulate(self, gradient: Array) -> None:
        """Add a gradient to ``grad``, in the array that is there."""
        if gradient.shape != self._data.shape:
            check_shape(gradient, self._data.shape, f"gradient of {self.name or 'a parameter'}")
        if self._grad is None:
            self._grad = gradient.astype(self._data.dtype)
        else:
            self._grad += gradient

    def zero_grad(self) -> None:
        """Set the gradient to zeros, where there is one."""
        if self._grad is not None:
            self._grad[...] = 0

    def rebind(self, data: Array, grad: Array | None) -> None:
        """Move into other arrays, of the same shape, whose values count from now on."""
        self._data = data
        self._grad = grad

    def __repr__(self) -> str:
        return f"Parameter(name={self.name!r}, shape={self.shape}, dtype={self.dtype})"


class Buffer:
    """An array that belongs to a layer's state but is no parameter, such as running statistics.

    Example:
        >>> import minidl
        >>> from minidl.backend import xp
        >>> class Counting(minidl.Layer):
        ...     def __init__(self):
        ...         self.calls = Buffer(xp.asarray([0]))
        >>> Counting().state()
        {'calls': array([0])}
    """

    __slots__ = ("data",)

    def __init__(self, data: Any) -> None:
        self.data = data

    def __repr__(self) -> str:
        return f"Buffer(shape={self.data.shape}, dtype={self.data.dtype})"


def _overwrite(destination: Array, value: object, owner: str) -> None:
    """Copy values into an array that stays where it is, and keeps its dtype."""
    value = value._data if isinstance(value, Tensor) else value
    if not isinstance(value, (int, float, xp.generic)):  # a number fills the array
        value = asarray(value, destination.dtype) if isinstance(value, (list, tuple)) else value
        shape = getattr(value, "shape", None)
        if shape != destination.shape:
            raise ValueError(f"{owner}: expected shape {destination.shape}, got {shape}")
    copy_into(destination, value)
