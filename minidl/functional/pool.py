"""Pooling: the largest or the mean value of every window, channel by channel."""

from typing import Any

from minidl import ops
from minidl.backend import Array
from minidl.ops._lowering import Padding, PerAxis
from minidl.tensor import Tensor, apply


def max_pool(
    x: Array | Tensor,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
) -> Any:
    """Take the largest value of each window, channel by channel.

    ``y[n, i, c] = max over k of x[n, i stride + k dilation - padding, c]``; padding is minus infinity. Of
    equal values the first takes the gradient; NaN counts as the largest.

    Args:
        x: ``(N, *spatial, C)`` with one to three spatial axes.
        kernel_size: an int, or one for each axis.
        stride: the distance of neighbouring windows; by default the size of the kernel.
        padding: as in `conv`, but smaller than the kernel.
        dilation: the distance of neighbouring entries of a window.
        ceil_mode: let windows reach beyond the end of the padded input, as long as they do not start there,
            instead of leaving out what no full window covers.

    Returns:
        ``(N, *out, C)``, with ``out`` as in `conv`, rounded up with ``ceil_mode``.

    Raises:
        TypeError: not an array, not floating-point, or options that are not whole numbers.
        ValueError: a wrong rank, a kernel larger than its padded input, a stride or dilation below 1,
            padding as large as the kernel.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.max_pool(minidl.asarray([[[1.0], [3.0], [2.0], [0.0], [5.0]]]), 2).ravel()
        array([3., 2.], dtype=float32)

    Source: Ranzato et al., Unsupervised learning of invariant feature hierarchies, 2007.
    """
    return apply(
        ops.max_pool,
        x,
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
    )


def avg_pool(
    x: Array | Tensor,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """Take the mean value of each window, channel by channel.

    ``y[n, i, c] = sum over k of x[n, i stride + k dilation - padding, c] / count[i]``; padding is zeros.

    Args:
        x: ``(N, *spatial, C)`` with one to three spatial axes.
        kernel_size: an int, or one for each axis.
        stride: the distance of neighbouring windows; by default the size of the kernel.
        padding: as in `conv`, but smaller than the kernel.
        dilation: the distance of neighbouring entries of a window.
        ceil_mode: as in `max_pool`; what lies beyond the padded input never counts.
        count_include_pad: whether padding counts as values of 0, or not at all.

    Returns:
        ``(N, *out, C)``, with ``out`` as in `max_pool`.

    Raises:
        TypeError: as `max_pool`.
        ValueError: as `max_pool`.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.avg_pool(minidl.asarray([[[1.0], [3.0], [2.0], [0.0]]]), 2).ravel()
        array([2., 1.], dtype=float32)

    Source: LeCun et al., Gradient-based learning applied to document recognition, 1998.
    """
    return apply(
        ops.avg_pool,
        x,
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
    )


def global_max_pool(x: Array | Tensor) -> Any:
    """Take the largest value of each channel over the whole image.

    ``y[n, c] = max over i of x[n, i, c]``; of equal values the first takes the gradient.

    Args:
        x: ``(N, *spatial, C)`` with one to three spatial axes.

    Returns:
        ``(N, C)``.

    Raises:
        TypeError: not an array, or not floating-point.
        ValueError: a wrong rank, or an image without pixels.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.global_max_pool(minidl.asarray([[[1.0, 5.0], [3.0, 2.0]]]))
        array([[3., 5.]], dtype=float32)

    Source: Oquab et al., Is object localization for free?, 2015.
    """
    return apply(ops.global_max_pool, x)


def global_avg_pool(x: Array | Tensor) -> Any:
    """Take the mean value of each channel over the whole image.

    ``y[n, c] = mean over i of x[n, i, c]``.

    Args:
        x: ``(N, *spatial, C)`` with one to three spatial axes.

    Returns:
        ``(N, C)``.

    Raises:
        TypeError: not an array, or not floating-point.
        ValueError: a wrong rank, or an image without pixels.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.global_avg_pool(minidl.asarray([[[1.0, 5.0], [3.0, 2.0]]]))
        array([[2. , 3.5]], dtype=float32)

    Source: Lin, Chen and Yan, Network in network, 2014.
    """
    return apply(ops.global_avg_pool, x)
