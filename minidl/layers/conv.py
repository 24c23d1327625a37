"""The convolution layer."""

from minidl import init, ops
from minidl.backend import Array, Seed
from minidl.layers._repr import arguments
from minidl.layers.base import Layer, Pullback, check_sizes
from minidl.layers.parameter import Parameter
from minidl.ops._lowering import LAYOUTS, Padding, PerAxis, check_window, per_axis


def check_channels(owner: str, in_channels: int, out_channels: int, groups: int) -> tuple[int, ...]:
    """Return the sizes as ints; refuse groups that do not divide the channels."""
    sizes = check_sizes(owner, in_channels=in_channels, out_channels=out_channels, groups=groups)
    if in_channels % groups or out_channels % groups:
        raise ValueError(
            f"{owner}: expected groups that divide {in_channels} and {out_channels} channels, got {groups}"
        )
    return sizes


class Conv(Layer):
    """Slide kernels over one to three axes: ``(N, *spatial, C)`` to ``(N, *out, O)``; see `functional.conv`.

    Args:
        in_channels: C.
        out_channels: O, the number of kernels.
        kernel_size: one int for each spatial axis; a single int means two axes.
        stride, padding, dilation, groups: as in `functional.conv`.
        bias: whether each output channel adds a number of its own.
        seed, dtype, weight_init: of the fresh weight ``(*kernel_size, C / groups, O)``; the bias starts at 0.

    Example:
        >>> from minidl.backend import xp
        >>> Conv(3, 16, kernel_size=3).forward(xp.zeros((8, 32, 32, 3), xp.float32)).shape
        (8, 30, 30, 16)
    """

    sample_wise = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: Padding = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        seed: Seed = None,
        dtype: init.DType = None,
        weight_init: init.Initializer | None = None,
    ) -> None:
        in_channels, out_channels, groups = check_channels("Conv", in_channels, out_channels, groups)
        rank = len(kernel_size) if isinstance(kernel_size, (tuple, list)) else 2
        if rank not in LAYOUTS:
            raise ValueError(f"Conv: expected kernel_size of one to three entries, got {kernel_size!r}")
        kernel = per_axis(kernel_size, rank, "kernel_size", "Conv")
        check_window(kernel, stride, padding, dilation, "Conv", rank=rank)
        shape = (*kernel, in_channels // groups, out_channels)
        self.weight = Parameter(init.draw(weight_init, shape, seed=seed, dtype=dtype), name="weight")
        self.bias = Parameter(init.zeros((out_channels,), dtype=dtype), name="bias") if bias else None
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.groups = groups

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(
            ops.conv,
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )

    def extra_repr(self) -> str:
        *_, channels, outputs = self.weight.shape
        return arguments(
            channels * self.groups,
            outputs,
            kernel_size=(self.kernel_size, None),
            stride=(self.stride, 1),
            padding=(self.padding, 0),
            dilation=(self.dilation, 1),
            groups=(self.groups, 1),
            bias=(self.bias is not None, True),
        )
