"""Pooling layers: thin surfaces over the ops of the same names, explained in `minidl.functional`."""

from minidl import ops
from minidl.backend import Array
from minidl.layers._repr import arguments
from minidl.layers.base import Layer, Pullback
from minidl.ops._lowering import Padding, PerAxis, check_window


class MaxPool(Layer):
    """The largest value of each window: ``(N, *spatial, C)`` to ``(N, *out, C)``; see `functional.max_pool`.

    Args:
        kernel_size: an int, for as many axes as the input has, or one for each.
        stride: the distance of neighbouring windows; by default the size of the kernel.
        padding, dilation, ceil_mode: as in `functional.max_pool`.

    Example:
        >>> from minidl.backend import xp
        >>> MaxPool(2).forward(xp.zeros((8, 28, 28, 16), xp.float32)).shape
        (8, 14, 14, 16)
    """

    sample_wise = True

    def __init__(
        self,
        kernel_size: PerAxis,
        stride: PerAxis | None = None,
        padding: Padding = 0,
        dilation: PerAxis = 1,
        ceil_mode: bool = False,
    ) -> None:
        steps = kernel_size if stride is None else stride
        check_window(kernel_size, steps, padding, dilation, type(self).__name__)
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.ceil_mode = ceil_mode

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(
            ops.max_pool,
            x,
            kernel_size=self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
        )

    def extra_repr(self) -> str:
        return arguments(
            self.kernel_size,
            stride=(self.stride, None),
            padding=(self.padding, 0),
            dilation=(self.dilation, 1),
            ceil_mode=(self.ceil_mode, False),
        )


class AvgPool(Layer):
    """The mean value of each window: ``(N, *spatial, C)`` to ``(N, *out, C)``; see `functional.avg_pool`.

    Args:
        kernel_size: an int, for as many axes as the input has, or one for each.
        stride: the distance of neighbouring windows; by default the size of the kernel.
        padding, dilation, ceil_mode: as in `functional.max_pool`.
        count_include_pad: whether padding counts as values of 0, or not at all.

    Example:
        >>> from minidl.backend import xp
        >>> AvgPool(2).forward(xp.zeros((8, 28, 28, 16), xp.float32)).shape
        (8, 14, 14, 16)
    """

    sample_wise = True

    def __init__(
        self,
        kernel_size: PerAxis,
        stride: PerAxis | None = None,
        padding: Padding = 0,
        dilation: PerAxis = 1,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        steps = kernel_size if stride is None else stride
        check_window(kernel_size, steps, padding, dilation, type(self).__name__)
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(
            ops.avg_pool,
            x,
            kernel_size=self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
        )

    def extra_repr(self) -> str:
        return arguments(
            self.kernel_size,
            stride=(self.stride, None),
            padding=(self.padding, 0),
            dilation=(self.dilation, 1),
            ceil_mode=(self.ceil_mode, False),
            count_include_pad=(self.count_include_pad, True),
        )


class GlobalMaxPool(Layer):
    """The largest value of each channel over the whole image: ``(N, *spatial, C)`` to ``(N, C)``.

    See `functional.global_max_pool`.
    """

    sample_wise = True

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.global_max_pool, x)


class GlobalAvgPool(Layer):
    """The mean value of each channel over the whole image: ``(N, *spatial, C)`` to ``(N, C)``.

    See `functional.global_avg_pool`.
    """

    sample_wise = True

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.global_avg_pool, x)
