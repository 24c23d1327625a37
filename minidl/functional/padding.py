"""Padding: more numbers around an array, of one value or taken from its border."""

from collections.abc import Sequence
from typing import Any

from minidl import ops
from minidl.backend import Array
from minidl.tensor import Tensor, apply


def pad(x: Array | Tensor, width: Sequence[Sequence[int]], value: float = 0.0, mode: str = "constant") -> Any:
    """Surround with copies of one value, of the edge, or of the array mirrored.

    Along an axis ``[a, b, c]`` becomes, with two more on each side: ``[v, v, a, b, c, v, v]`` with
    ``"constant"``, ``[a, a, a, b, c, c, c]`` with ``"edge"``, ``[c, b, a, b, c, b, a]`` with ``"reflect"``.
    One value has no gradient; what was taken from the array passes its gradient on to where it came from.

    Args:
        x: any shape.
        width: ``(before, after)`` for each axis.
        value: what to fill in with ``"constant"``.
        mode: ``"constant"``, ``"edge"`` or ``"reflect"``.

    Returns:
        The shape of ``x`` with ``before + after`` added to each length.

    Raises:
        TypeError: not an array.
        ValueError: not one pair for each axis, a negative width, an unknown mode, or a width of at least the
            length with ``"reflect"``.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.pad(minidl.asarray([1.0, 2.0]), [(1, 0)])
        array([0., 1., 2.], dtype=float32)
        >>> F.pad(minidl.asarray([1.0, 2.0, 3.0]), [(2, 1)], mode="reflect")
        array([3., 2., 1., 2., 3., 2.], dtype=float32)
    """
    return apply(ops.pad, x, width=width, value=value, mode=mode)
