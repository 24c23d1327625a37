"""Convolution over one to three spatial axes, channels last, and the linear map that it rests on."""

import math
from collections.abc import Callable
from typing import TypeAlias

from minidl.backend import Array, check_array, check_shape, xp
from minidl.ops import _lowering
from minidl.ops._lowering import LAYOUTS, Padding, PerAxis, Window, check_image, make_window
from minidl.ops._precision import check_operands, widen

Gradients: TypeAlias = "tuple[Array | None, Array, Array | None]"


def im2row(
    x: Array, *, kernel_size: PerAxis, stride: PerAxis = 1, padding: Padding = 0, dilation: PerAxis = 1
) -> tuple[Array, Callable[[Array], Array]]:
    """Copy every window of x into a row: (N, *spatial, C) to (N, *out, K C), zeros where there is padding."""
    check_image(x, "im2row")
    window = make_window(x.shape[1:-1], kernel_size, stride, padding, dilation, "im2row")
    rows = _lowering.im2row(x, window)

    def pullback(drows: Array) -> Array:
        # dx = row2im(drows): each entry of a window goes back to where it came from
        return _row2im(drows, window, x.shape[-1])

    return rows.reshape(*rows.shape[:-2], math.prod(rows.shape[-2:])), pullback


def row2im(
    rows: Array,
    *,
    input_shape: tuple[int, ...],
    kernel_size: PerAxis,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
) -> tuple[Array, Callable[[Array], Array]]:
    """Add every row back into its window of an image of ``input_shape``: the adjoint of im2row."""
    check_array(rows, "row2im")
    if len(input_shape) - 2 not in LAYOUTS:
        raise ValueError(f"row2im: expected input_shape as (N, *spatial, C), got {input_shape}")
    window = make_window(input_shape[1:-1], kernel_size, stride, padding, dilation, "row2im")
    channels = input_shape[-1]
    check_shape(rows, (input_shape[0], *window.output, math.prod(window.kernel) * channels), "row2im")

    def pullback(dx: Array) -> Array:
        # drows = im2row(dx)
        return _lowering.im2row(dx, window).reshape(rows.shape)

    return _row2im(rows, window, channels), pullback


def _row2im(rows: Array, window: Window, channels: int) -> Array:
    entries = widen(rows).reshape(*rows.shape[:-1], math.prod(window.kernel), channels)
    return _lowering.row2im(entries, window).astype(rows.dtype, copy=False)


def conv(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> tuple[Array, Callable[..., Gradients]]:
    """y = im2row(x) w + b: (N, *spatial, C) to (N, *out, O) with weights (*kernel, C / groups, O)."""
    window = _check_conv(x, w, b, stride, padding, dilation, groups)
    kernel = _by_group(widen(w).reshape(-1, w.shape[-1]), groups)
    shape = (x.shape[0], *window.output, w.shape[-1])
    y = _together(_rows_by_group(x, window, groups) @ kernel)
    if b is not None:
        y += b
    y = y.astype(x.dtype, copy=False).reshape(shape)

    def pullback(dy: Array, *, input_grad: bool = True) -> Gradients:
        # dx = row2im(dy w^T), dw = im2row(x)^T dy, db = sum of dy over all but the channels
        drows = widen(dy).reshape(-1, shape[-1])
        dy_groups = _by_group(drows, groups)
        dw = _together(_rows_by_group(x, window, groups).swapaxes(1, 2) @ dy_groups)
        db = None if b is None else xp.asarray(drows.sum(axis=0), dtype=b.dtype)
        dx = None
        if input_grad:
            entries = dy_groups @ kernel.swapaxes(1, 2)
            dx = _images(entries, window, x.shape, groups).astype(x.dtype, copy=False)
        return dx, dw.astype(w.dtype, copy=False).reshape(w.shape), db

    return y, pullback


def _by_group(matrix: Array, groups: int) -> Array:
    """Split the columns among the groups: (M, G C) to (G, M, C)."""
    return matrix.reshape(matrix.shape[0], groups, matrix.shape[1] // groups).swapaxes(0, 1)


def _together(matrices: Array) -> Array:
    """Put the columns of all groups side by side: (G, M, C) to (M, G C)."""
    groups, rows, columns = matrices.shape
    return matrices.swapaxes(0, 1).reshape(rows, groups * columns)


def _rows_by_group(x: Array, window: Window, groups: int) -> Array:
    """Lower x for each group of its channels: (G, N out, K C / G)."""
    entries, channels = math.prod(window.kernel), x.shape[-1] // groups
    rows = _lowering.im2row(widen(x), window).reshape(-1, entries, groups, channels)
    return rows.transpose(2, 0, 1, 3).reshape(groups, rows.shape[0], entries * channels)


def _images(rows: Array, window: Window, shape: tuple[int, ...], groups: int) -> Array:
    """Add rows of all groups back into images: the adjoint of `_rows_by_group`."""
    entries, channels = math.prod(window.kernel), shape[-1] // groups
    together = rows.reshape(groups, rows.shape[1], entries, channels).transpose(1, 2, 0, 3)
    return _lowering.row2im(together.reshape(shape[0], *window.output, entries, shape[-1]), window)


def _check_conv(
    x: Array,
    w: Array,
    b: Array | None,
    stride: PerAxis,
    padding: Padding,
    dilation: PerAxis,
    groups: int,
) -> Window:
    """Refuse what does not fit together; return the window that the kernel sees."""
    check_operands(x, w, "conv")
    if w.ndim - 2 not in LAYOUTS:
        raise ValueError(f"conv: expected a weight (*kernel, C / groups, O), got {w.shape}")
    if not isinstance(groups, int):
        raise TypeError(f"conv: expected groups as an int, got {groups!r}")
    if groups < 1 or w.shape[-1] % groups:
        raise ValueError(
            f"conv: expected groups that divide the {w.shape[-1]} output channels, got groups={groups}"
        )
    channels = w.shape[-2] * groups
    if x.ndim != w.ndim or x.shape[-1] != channels:
        first = x.ndim == w.ndim and x.shape[1] == channels
        hint = "; channels-first input? use minidl.channels_last(x)" if first else ""
        raise ValueError(f"conv: expected {LAYOUTS[w.ndim - 2].format(channels)}, got {x.shape}{hint}")
    if b is not None:
        check_shape(b, w.shape[-1:], "conv: bias")
    return make_window(x.shape[1:-1], w.shape[:-2], stride, padding, dilation, "conv")
