"""The adjoint of a convolution: every input pixel spreads a kernel over the output."""

import math
from collections.abc import Callable
from typing import TypeAlias

from minidl.backend import Array, check_int, check_shape, xp
from minidl.ops._lowering import LAYOUTS, Padding, PerAxis, Sizes, make_window, per_axis
from minidl.ops._precision import check_operands, widen
from minidl.ops.conv import row2im

Gradients: TypeAlias = "tuple[Array | None, Array, Array | None]"


def conv_transpose(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> tuple[Array, Callable[..., Gradients]]:
    """y = row2im(x w^T) + b: (N, *spatial, C) to (N, *out, O) with weights (*kernel, O / groups, C)."""
    groups = check_int(groups, "conv_transpose", "groups")
    _check_channels(x, w, b, groups)
    size = output_size(x.shape[1:-1], w.shape[:-2], stride, padding, output_padding, dilation)
    pixels = widen(x).reshape(math.prod(x.shape[:-1]), groups, x.shape[-1] // groups).swapaxes(0, 1)
    kernel = _by_group(widen(w), groups)  # (G, C / G, K O / G)
    y, lower = row2im(
        _together(pixels @ kernel, w).reshape(*x.shape[:-1], math.prod(w.shape[:-1]) * groups),
        input_shape=(x.shape[0], *size, w.shape[-2] * groups),
        kernel_size=w.shape[:-2],
        stride=stride,
        padding=padding,
        dilation=dilation,
    )

    def pullback(dy: Array, *, input_grad: bool = True) -> Gradients:
        # dx = im2row(dy) w, dw = im2row(dy)^T x, db = sum of dy over all but the channels
        dy = widen(dy)
        drows = _apart(lower(dy), w, groups)
        dw = _from_group(pixels.swapaxes(1, 2) @ drows, w)
        db = None if b is None else xp.asarray(dy.reshape(-1, dy.shape[-1]).sum(axis=0), dtype=b.dtype)
        dx = None
        if input_grad:
            dx = (drows @ kernel.swapaxes(1, 2)).swapaxes(0, 1).reshape(x.shape).astype(x.dtype, copy=False)
        return dx, dw.astype(w.dtype, copy=False), db

    y = y if b is None else y + b
    return y.astype(x.dtype, copy=False), pullback


def output_size(
    size: Sizes,
    kernel_size: PerAxis,
    stride: PerAxis,
    padding: Padding,
    output_padding: PerAxis,
    dilation: PerAxis,
    owner: str = "conv_transpose",
) -> Sizes:
    """Return the size of the image whose convolution with these options has the size given."""
    steps = per_axis(stride, len(size), "stride", owner)
    extra = per_axis(output_padding, len(size), "output_padding", owner, least=0)
    if any(more >= step for more, step in zip(extra, steps, strict=True)):
        raise ValueError(
            f"{owner}: expected output_padding smaller than the stride {steps}, got {output_padding!r}: "
            "a convolution back would give another size"
        )
    if padding == "same":
        if any(extra):
            raise ValueError(
                f'{owner}: expected no output_padding with padding="same", got {output_padding!r}'
            )
        return tuple(n * step for n, step in zip(size, steps, strict=True))
    # The window over an image that is surely large enough: it has the options in one form for each axis.
    reach = make_window((2**62,) * len(size), kernel_size, stride, padding, dilation, owner)
    full = [
        (n - 1) * step + extent - before - after + more
        for n, step, extent, (before, after), more in zip(
            size, steps, reach.extent, reach.padding, extra, strict=True
        )
    ]
    if min(full) < 1:
        raise ValueError(
            f"{owner}: expected an output of at least one pixel along each axis, got {tuple(full)} "
            f"for an input of {size} with padding={padding!r}; use less padding"
        )
    return tuple(full)


def _by_group(w: Array, groups: int) -> Array:
    """Turn the weights into one matrix for each group: (*kernel, O / G, C) to (G, C / G, K O / G)."""
    return w.reshape(math.prod(w.shape[:-1]), groups, w.shape[-1] // groups).transpose(1, 2, 0)


def _from_group(matrices: Array, w: Array) -> Array:
    """Put the matrices of all groups back into the shape of the weights: the inverse of `_by_group`."""
    return matrices.transpose(2, 0, 1).reshape(w.shape)


def _together(rows: Array, w: Array) -> Array:
    """Put the channels of all groups side by side: (G, M, K O / G) to (M, K, G, O / G)."""
    groups, count, _ = rows.shape
    return rows.reshape(groups, count, math.prod(w.shape[:-2]), w.shape[-2]).transpose(1, 2, 0, 3)


def _apart(rows: Array, w: Array, groups: int) -> Array:
    """Split the channels among the groups: (N, *spatial, K O) to (G, M, K O / G)."""
    count, entries = math.prod(rows.shape[:-1]), math.prod(w.shape[:-2])
    split = rows.reshape(count, entries, groups, w.shape[-2]).transpose(2, 0, 1, 3)
    return split.reshape(groups, count, entries * w.shape[-2])


def _check_channels(x: Array, w: Array, b: Array | None, groups: int) -> None:
    """Refuse what does not fit together."""
    check_operands(x, w, "conv_transpose")
    if w.ndim - 2 not in LAYOUTS:
        raise ValueError(f"conv_transpose: expected a weight (*kernel, O / groups, C), got {w.shape}")
    if groups < 1 or w.shape[-1] % groups:
        raise ValueError(
            f"conv_transpose: expected groups that divide the {w.shape[-1]} input channels, got {groups}"
        )
    if x.ndim != w.ndim or x.shape[-1] != w.shape[-1]:
        first = x.ndim == w.ndim and x.shape[1] == w.shape[-1]
        hint = "; channels-first input? use minidl.channels_last(x)" if first else ""
        layout = LAYOUTS[w.ndim - 2].format(w.shape[-1])
        raise ValueError(f"conv_transpose: expected {layout}, got {x.shape}{hint}")
    if b is not None:
        check_shape(b, (w.shape[-2] * groups,), "conv_transpose: bias")
