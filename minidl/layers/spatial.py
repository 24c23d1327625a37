"""Layers that change the size of images: thin surfaces over ops explained in `minidl.functional`."""

from typing import Any

from minidl import ops
from minidl.backend import Array
from minidl.layers._repr import arguments
from minidl.layers.base import Layer, Pullback
from minidl.ops._lowering import PerAxis, per_axis
from minidl.ops._options import check_number
from minidl.ops.padding import Widths
from minidl.ops.padding import check_mode as check_padding_mode
from minidl.ops.upsample import check_mode


class AdaptiveAvgPool(Layer):
    """The mean of each of a given number of regions: ``(N, *spatial, C)`` to ``(N, *output_size, C)``.

    See `functional.adaptive_avg_pool`.

    Args:
        output_size: an int, for as many axes as the input has, or one for each.

    Example:
        >>> from minidl.backend import xp
        >>> AdaptiveAvgPool(7).forward(xp.zeros((8, 30, 40, 16), xp.float32)).shape
        (8, 7, 7, 16)
    """

    sample_wise = True

    def __init__(self, output_size: PerAxis) -> None:
        _check_sizes(output_size, "output_size", "AdaptiveAvgPool")
        self.output_size = output_size

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.adaptive_avg_pool, x, output_size=self.output_size)

    def extra_repr(self) -> str:
        return repr(self.output_size)


class Upsample(Layer):
    """Resize images by the nearest pixel or by straight lines; see `functional.upsample`.

    Args:
        scale_factor: an int, or one for each axis.
        size: instead of it, the size of the output.
        mode: ``"nearest"`` or ``"bilinear"``.

    Example:
        >>> from minidl.backend import xp
        >>> Upsample(2, mode="bilinear").forward(xp.zeros((8, 14, 14, 16), xp.float32)).shape
        (8, 28, 28, 16)
    """

    sample_wise = True

    def __init__(
        self, scale_factor: PerAxis | None = None, size: PerAxis | None = None, mode: str = "nearest"
    ) -> None:
        check_mode(mode, "Upsample")
        if (scale_factor is None) == (size is None):
            raise ValueError(
                f"Upsample: expected either scale_factor or size, got {scale_factor!r} and {size!r}"
            )
        if scale_factor is None:
            _check_sizes(size, "size", "Upsample")
        else:
            _check_sizes(scale_factor, "scale_factor", "Upsample")
        self.scale_factor = scale_factor
        self.size = size
        self.mode = mode

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.upsample, x, scale_factor=self.scale_factor, size=self.size, mode=self.mode)

    def extra_repr(self) -> str:
        return arguments(
            scale_factor=(self.scale_factor, None), size=(self.size, None), mode=(self.mode, "nearest")
        )


class Pad(Layer):
    """Surround images with zeros, their edge or their mirror image; see `functional.pad`.

    Args:
        padding: an int, or for each spatial axis an int or ``(before, after)``.
        mode: ``"constant"``, ``"edge"`` or ``"reflect"``.
        value: what to fill in with ``"constant"``.

    Example:
        >>> from minidl.backend import xp
        >>> Pad((1, (0, 2)), mode="edge").forward(xp.zeros((8, 14, 14, 16), xp.float32)).shape
        (8, 16, 16, 16)
    """

    sample_wise = True

    def __init__(self, padding: Widths, mode: str = "constant", value: float = 0.0) -> None:
        check_padding_mode(mode, "Pad")
        entries: Any = padding if isinstance(padding, (tuple, list)) else [padding]
        for entry in entries:
            per_axis(entry, 2, "padding", "Pad", least=0)
        self.padding = padding
        self.mode = mode
        self.value = check_number(value, "value", "Pad")

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.pad_spatial, x, padding=self.padding, mode=self.mode, value=self.value)

    def extra_repr(self) -> str:
        return arguments(self.padding, mode=(self.mode, "constant"), value=(self.value, 0.0))


def _check_sizes(sizes: Any, option: str, owner: str) -> None:
    """Refuse sizes that would fit no image, whatever its number of axes."""
    per_axis(sizes, len(sizes) if isinstance(sizes, (tuple, list)) else 1, option, owner)
