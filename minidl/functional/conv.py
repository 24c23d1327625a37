"""Convolution, and the lowering of images to rows that turns it into a matrix product."""

from typing import Any

from minidl import ops
from minidl.backend import Array
from minidl.ops._lowering import Padding, PerAxis
from minidl.tensor import Tensor, apply


def conv(
    x: Array | Tensor,
    weight: Array | Tensor,
    bias: Array | Tensor | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Any:
    """Slide a kernel over sequences, images or volumes: each output is a window times the weights.

    ``y[n, i, o] = bias[o] + sum over k, c of x[n, i stride + k dilation - padding, c] weight[k, c, o]``,
    where i and k run over one to three axes. As usual this is a correlation: the kernel is not mirrored.

    Args:
        x: ``(N, *spatial, C)`` with one to three spatial axes.
        weight: ``(*kernel, C / groups, O)``.
        bias: ``(O,)``, or nothing.
        stride: the distance of neighbouring windows, an int or one for each axis.
        padding: zeros around the input: an int; an int or ``(before, after)`` for each axis; ``"valid"`` for
            none; ``"same"`` for outputs of ``ceil(size / stride)``, the odd zero after.
        dilation: the distance of neighbouring entries of the kernel, an int or one for each axis.
        groups: output channels are split into so many runs, each of which sees its own run of input channels.

    Returns:
        ``(N, *out, O)`` in the dtype of ``x``, with
        ``out = (size + before + after - (kernel - 1) dilation - 1) // stride + 1``.

    Raises:
        TypeError: not an array, not floating-point, or weights of another dtype.
        ValueError: a rank or number of channels that does not fit the weight, a kernel larger than its padded
            input, a stride or dilation below 1, negative padding, groups that do not divide the channels.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> x = minidl.asarray([[[1.0], [2.0], [4.0], [8.0]]])  # one sequence of four steps, one channel
        >>> difference = minidl.asarray([[[-1.0]], [[1.0]]])
        >>> F.conv(x, difference).ravel()
        array([1., 2., 4.], dtype=float32)

    Source: LeCun et al., Backpropagation applied to handwritten zip code recognition, 1989; groups:
    Krizhevsky, Sutskever and Hinton, 2012; dilation: Yu and Koltun, 2016.
    """
    return apply(ops.conv, x, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)


def im2row(
    x: Array | Tensor,
    kernel_size: PerAxis,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
) -> Any:
    """Copy each window into a row, so that a convolution is ``im2row(x) @ weight.reshape(-1, O)``.

    ``rows[n, i, (k, c)] = x[n, i stride + k dilation - padding, c]``, 0 over padding.

    Args:
        x: ``(N, *spatial, C)`` with one to three spatial axes; integers are welcome.
        kernel_size: an int, or one for each axis.
        stride: as in `conv`.
        padding: as in `conv`.
        dilation: as in `conv`.

    Returns:
        ``(N, *out, K C)``, K being the number of entries of the kernel: an array of its own.

    Raises:
        TypeError: not an array, or options that are not whole numbers.
        ValueError: a wrong rank, or options that `conv` refuses.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.im2row(minidl.asarray([[[1], [2], [4], [8]]]), kernel_size=2)[0].tolist()
        [[1, 2], [2, 4], [4, 8]]

    Source: Chellapilla, Puri and Simard, High performance convolutional neural networks for document
    processing, 2006.
    """
    return apply(ops.im2row, x, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)


def row2im(
    rows: Array | Tensor,
    input_shape: tuple[int, ...],
    kernel_size: PerAxis,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
) -> Any:
    """Add each row back into its window of an image: the adjoint of `im2row`, not its inverse.

    ``x[n, i stride + k dilation - padding, c]`` is the sum of all ``rows[n, i, (k, c)]`` that came from
    there, so ``(im2row(x) * rows).sum() == (x * row2im(rows)).sum()``, exactly in integers.

    Args:
        rows: ``(N, *out, K C)`` as `im2row` returns them for ``input_shape``.
        input_shape: ``(N, *spatial, C)``.
        kernel_size: an int, or one for each axis.
        stride: as in `conv`.
        padding: as in `conv`.
        dilation: as in `conv`.

    Returns:
        An array of ``input_shape`` in the dtype of ``rows``.

    Raises:
        TypeError: not an array, or options that are not whole numbers.
        ValueError: rows of another shape than `im2row` gives, or options that `conv` refuses.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> rows = minidl.asarray([[[1, 1], [1, 1], [1, 1]]])
        >>> F.row2im(rows, input_shape=(1, 4, 1), kernel_size=2).ravel().tolist()
        [1, 2, 2, 1]

    Source: as `im2row`.
    """
    return apply(
        ops.row2im,
        rows,
        input_shape=tuple(input_shape),
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
    )
