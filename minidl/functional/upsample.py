"""Resizing: images of another size, by the nearest pixel or by straight lines between pixels."""

from typing import Any

from minidl import ops
from minidl.backend import Array
from minidl.ops._lowering import PerAxis
from minidl.tensor import Tensor, apply


def upsample(
    x: Array | Tensor,
    scale_factor: PerAxis | None = None,
    size: PerAxis | None = None,
    mode: str = "nearest",
) -> Any:
    """Resize sequences, images or volumes.

    Pixels are squares of width 1, and the outer borders of input and output lie on each other: with n pixels
    and m outputs along an axis, the centre of output i lies at ``p = (i + 1/2) n / m - 1/2`` between the
    centres of the pixels, as ``align_corners=False`` means elsewhere.

    - ``"nearest"``: ``y[i] = x[floor(i n / m)]``
    - ``"bilinear"``: ``y[i] = (1 - f) x[j] + f x[j + 1]`` with ``j = floor(p)`` and ``f = p - j`` along each
      of the one to three axes in turn; beyond the outermost centres it is the outermost pixel.

    Args:
        x: ``(N, *spatial, C)`` with one to three spatial axes.
        scale_factor: how many outputs for each pixel, an int or one for each axis.
        size: instead of it, the size of the output, an int or one for each axis; it may be smaller.
        mode: ``"nearest"`` or ``"bilinear"``.

    Returns:
        ``(N, *size, C)`` in the dtype of ``x``.

    Raises:
        TypeError: not an array, not floating-point, or sizes that are not whole numbers.
        ValueError: a wrong rank, no pixels, an unknown mode, both or neither of ``scale_factor``
            and ``size``.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> x = minidl.asarray([[[0.0], [4.0]]])
        >>> F.upsample(x, 2).ravel()
        array([0., 0., 4., 4.], dtype=float32)
        >>> F.upsample(x, 2, mode="bilinear").ravel()
        array([0., 1., 3., 4.], dtype=float32)
    """
    return apply(ops.upsample, x, scale_factor=scale_factor, size=size, mode=mode)
