"""Shape: the same numbers in another arrangement."""

from collections.abc import Sequence
from typing import Any

from minidl import ops
from minidl.backend import Array
from minidl.tensor import Tensor, apply


def reshape(x: Array | Tensor, shape: tuple[int, ...]) -> Any:
    """Arrange the same numbers in another shape, in C order.

    ``y = x`` in the new shape; the gradient goes back to the old one.

    Args:
        x: any shape.
        shape: the new shape; one length may be -1, and follows from the others.

    Returns:
        The new shape.

    Raises:
        TypeError: not an array.
        ValueError: a shape of another number of elements.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.reshape(minidl.asarray([1.0, 2.0, 3.0, 4.0]), (2, -1)).shape
        (2, 2)
    """
    return apply(ops.reshape, x, shape=shape)


def flatten(x: Array | Tensor) -> Any:
    """Join all axes but the batch.

    ``y = x`` as ``(N, K)``

    Args:
        x: ``(N, ...)``.

    Returns:
        ``(N, K)``, K the number of elements of a sample.

    Raises:
        TypeError: not an array.
        ValueError: a 0-d array.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.flatten(minidl.asarray([[[1.0, 2.0], [3.0, 4.0]]])).shape
        (1, 4)
    """
    return apply(ops.flatten, x)


def transpose(x: Array | Tensor, axes: Sequence[int] | None = None) -> Any:
    """Put the axes in another order.

    ``y[i, j, ...] = x[..., j, i]``, or as ``axes`` says.

    Args:
        x: any shape.
        axes: for each axis of the result the axis it was; reversed by default.

    Returns:
        The lengths of ``x`` in the new order.

    Raises:
        TypeError: not an array.
        ValueError: not each axis once.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.transpose(minidl.asarray([[1.0, 2.0, 3.0]])).shape
        (3, 1)
    """
    return apply(ops.transpose, x, axes=axes)


def getitem(x: Array | Tensor, index: Any) -> Any:
    """Take elements, rows or slices out.

    ``y = x[index]``; what was taken twice gets both gradients.

    Args:
        x: any shape.
        index: anything that indexes an array.

    Returns:
        The shape that the index gives.

    Raises:
        TypeError: not an array.
        IndexError: out of range (on NumPy).

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.getitem(minidl.asarray([1.0, 2.0, 3.0]), slice(1, None))
        array([2., 3.], dtype=float32)
    """
    return apply(ops.getitem, x, index=index)


def broadcast_to(x: Array | Tensor, shape: tuple[int, ...]) -> Any:
    """Repeat along new axes and along those of length 1.

    The gradient is summed over the repeats.

    Args:
        x: any shape.
        shape: one that ``x`` broadcasts to.

    Returns:
        The shape asked for, as a read-only view.

    Raises:
        TypeError: not an array.
        ValueError: a shape that ``x`` does not broadcast to.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.broadcast_to(minidl.asarray([1.0, 2.0]), (3, 2)).shape
        (3, 2)
    """
    return apply(ops.broadcast_to, x, shape=shape)


def concatenate(arrays: Sequence[Array | Tensor], axis: int = 0) -> Any:
    """Put arrays one after the other along an axis they have.

    Each gets its own part of the gradient.

    Args:
        arrays: equal in shape outside the axis.
        axis: the axis along which they follow one another.

    Returns:
        The shape of one, with the lengths along the axis added up.

    Raises:
        TypeError: not an array.
        ValueError: no arrays, shapes that do not fit, an axis out of range.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.concatenate([minidl.asarray([1.0]), minidl.asarray([2.0, 3.0])])
        array([1., 2., 3.], dtype=float32)
    """
    return apply(ops.concatenate, *arrays, axis=axis)


def stack(arrays: Sequence[Array | Tensor], axis: int = 0) -> Any:
    """Put arrays side by side along a new axis.

    Each gets its own part of the gradient.

    Args:
        arrays: of one shape.
        axis: where the new axis is to be.

    Returns:
        The shape of one, with a new axis.

    Raises:
        TypeError: not an array.
        ValueError: no arrays, different shapes, an axis out of range.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.stack([minidl.asarray([1.0, 2.0]), minidl.asarray([3.0, 4.0])]).shape
        (2, 2)
    """
    return apply(ops.stack, *arrays, axis=axis)
