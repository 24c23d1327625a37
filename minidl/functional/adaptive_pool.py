"""Adaptive pooling: means of as many regions as are wanted, whatever the size of the image."""

from typing import Any

from minidl import ops
from minidl.backend import Array
from minidl.ops._lowering import PerAxis
from minidl.tensor import Tensor, apply


def adaptive_avg_pool(x: Array | Tensor, output_size: PerAxis) -> Any:
    """Take the mean of each of a given number of regions, channel by channel.

    ``y[n, i, c] = mean of x[n, j, c] over floor(i size / out) <= j < ceil((i + 1) size / out)`` along each
    axis; regions share pixels where the sizes do not divide.

    Args:
        x: ``(N, *spatial, C)`` with one to three spatial axes.
        output_size: how many regions, an int or one for each axis.

    Returns:
        ``(N, *output_size, C)`` in the dtype of ``x``.

    Raises:
        TypeError: not an array, not floating-point, or sizes that are not whole numbers.
        ValueError: a wrong rank, no pixels, or a size below 1.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.adaptive_avg_pool(minidl.asarray([[[1.0], [2.0], [3.0], [4.0], [5.0]]]), 2).ravel()
        array([2., 4.], dtype=float32)

    Source: He et al., Spatial pyramid pooling in deep convolutional networks, 2014.
    """
    return apply(ops.adaptive_avg_pool, x, output_size=output_size)
