"""The adjoint of a convolution: every input pixel spreads a kernel over the output."""

from typing import Any

from minidl import ops
from minidl.backend import Array
from minidl.ops._lowering import Padding, PerAxis
from minidl.tensor import Tensor, apply


def conv_transpose(
    x: Array | Tensor,
    weight: Array | Tensor,
    bias: Array | Tensor | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Any:
    """Spread each pixel over the output through a kernel: the adjoint of `conv` with the same weights.

    ``y[n, p, o] = bias[o] + sum of x[n, i, c] weight[k, o, c] over all i, k, c with
    i stride + k dilation - padding = p``. So for arrays u of the size of y, and without a bias,
    ``sum(conv(u, weight) * x) = sum(u * conv_transpose(x, weight))`` with the same options.

    Args:
        x: ``(N, *spatial, C)`` with one to three spatial axes.
        weight: ``(*kernel, O / groups, C)``.
        bias: ``(O,)``, or nothing.
        stride: the distance of the outputs of neighbouring pixels, an int or one for each axis.
        padding: how much of the border is cut off again: an int; an int or ``(before, after)`` for each axis;
            ``"valid"`` for none; ``"same"`` for outputs of ``size stride``.
        output_padding: pixels more at the end of each axis, fewer than the stride: a convolution with a
            stride gives images of several sizes the same size, and this says which of them is meant.
        dilation: the distance of neighbouring entries of the kernel, an int or one for each axis.
        groups: channels are split into so many runs, each of which goes through its own kernels.

    Returns:
        ``(N, *out, O)`` in the dtype of ``x``, with
        ``out = (size - 1) stride - before - after + (kernel - 1) dilation + 1 + output_padding``.

    Raises:
        TypeError: not an array, not floating-point, or weights of another dtype.
        ValueError: a rank or number of channels that does not fit the weight, groups that do not divide the
            channels, an output padding not smaller than the stride, an output without pixels.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> x = minidl.asarray([[[1.0], [2.0]]])  # one sequence of two steps, one channel
        >>> F.conv_transpose(x, minidl.asarray([[[1.0]], [[10.0]]]), stride=2).ravel()
        array([ 1., 10.,  2., 20.], dtype=float32)

    Source: Zeiler et al., Deconvolutional networks, 2010; Dumoulin and Visin, 2016.
    """
    return apply(
        ops.conv_transpose,
        x,
        weight,
        bias,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        dilation=dilation,
        groups=groups,
    )
