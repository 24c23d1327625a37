"""The layer that spreads pixels: the adjoint of a convolution."""

import math

from minidl import init, ops
from minidl.backend import Array, Seed
from minidl.layers._repr import arguments
from minidl.layers.base import Layer, Pullback
from minidl.layers.conv import check_channels
from minidl.layers.parameter import Parameter
from minidl.ops._lowering import LAYOUTS, Padding, PerAxis, Sizes, check_window, per_axis


class ConvTranspose(Layer):
    """Spread each pixel through a kernel: ``(N, *spatial, C)`` to ``(N, *out, O)``.

    The adjoint of ``Conv(O, C, ...)`` with the same weights and options; see `functional.conv_transpose`.

    Args:
        in_channels: C.
        out_channels: O.
        kernel_size: one int for each spatial axis; a single int means two axes.
        stride, padding, output_padding, dilation, groups: as in `functional.conv_transpose`.
        bias: whether each output channel adds a number of its own.
        seed, dtype, weight_init: of the fresh weight ``(*kernel_size, O / groups, C)``; the bias starts at 0.

    Example:
        >>> from minidl.backend import xp
        >>> ConvTranspose(16, 3, kernel_size=2, stride=2).forward(xp.zeros((8, 14, 14, 16), xp.float32)).shape
        (8, 28, 28, 3)
    """

    sample_wise = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: Padding = 0,
        output_padding: PerAxis = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        seed: Seed = None,
        dtype: init.DType = None,
        weight_init: init.Initializer | None = None,
    ) -> None:
        in_channels, out_channels, groups = check_channels("ConvTranspose", in_channels, out_channels, groups)
        kernel = _kernel(kernel_size)
        check_window(kernel, stride, padding, dilation, "ConvTranspose", rank=len(kernel))
        per_axis(output_padding, len(kernel), "output_padding", "ConvTranspose", least=0)
        weight = init.draw(
            weight_init,
            (*kernel, out_channels // groups, in_channels),
            fan_in=math.prod(kernel) * in_channels // groups,
            fan_out=math.prod(kernel) * out_channels,
            seed=seed,
            dtype=dtype,
        )
        self.weight = Parameter(weight, name="weight")
        self.bias = Parameter(init.zeros((out_channels,), dtype=dtype), name="bias") if bias else None
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.output_padding = output_padding
        self.dilation = dilation
        self.groups = groups

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(
            ops.conv_transpose,
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            dilation=self.dilation,
            groups=self.groups,
        )

    def extra_repr(self) -> str:
        *_, outputs, channels = self.weight.shape
        return arguments(
            channels,
            outputs * self.groups,
            kernel_size=(self.kernel_size, None),
            stride=(self.stride, 1),
            padding=(self.padding, 0),
            output_padding=(self.output_padding, 0),
            dilation=(self.dilation, 1),
            groups=(self.groups, 1),
            bias=(self.bias is not None, True),
        )


def _kernel(kernel_size: PerAxis) -> Sizes:
    """Return the size of a kernel, one int for each spatial axis; a single int means two axes."""
    rank = len(kernel_size) if isinstance(kernel_size, (tuple, list)) else 2
    if rank not in LAYOUTS:
        raise ValueError(f"ConvTranspose: expected kernel_size of one to three entries, got {kernel_size!r}")
    return per_axis(kernel_size, rank, "kernel_size", "ConvTranspose")
