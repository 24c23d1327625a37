"""Convolution over one to three spatial axes, channels last, and the linear map that it rests on."""

import math
from collections.abc import Callable
from typing import TypeAlias

from minidl.backend import Array, check_array, check_int, check_shape, xp
from minidl.ops import _lowering
from minidl.ops._kernels._choice import fused
from minidl.ops._lowering import (
    LAYOUTS,
    Padding,
    PerAxis,
    Window,
    check_image,
    lowered,
    make_window,
    scatter,
    tiles,
)
from minidl.ops._precision import check_operands, widen
from minidl.ops._rows import column_sums, on_rows

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
    return _lowering.row2im(xp.moveaxis(entries, -2, 0), window).astype(rows.dtype, copy=False)


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
    groups = check_int(groups, "conv", "groups")
    window = _check_conv(x, w, b, stride, padding, dilation, groups)
    y = _correlate(widen(x), _by_group(_as_rows(widen(w)), groups), window, b)

    def pullback(dy: Array, *, input_grad: bool = True) -> Gradients:
        # dx = row2im(dy w^T), dw = im2row(x)^T dy, db = sum of dy over all but the channels
        dy = widen(dy)
        drows = _as_rows(dy)
        dx: Array | None = None
        if _shares_lowering(window, w.shape[-2], w.shape[-1] // groups):
            dx, dw = _gathered(dy, widen(x), widen(w), window, groups, input_grad)
        else:
            dx = _input_gradient(dy, widen(w), window, groups) if input_grad else None
            dw = _weight_gradient(widen(x), _by_group(drows, groups), window)
        db = None if b is None else xp.asarray(column_sums(drows), dtype=b.dtype)
        dx = None if dx is None else dx.astype(x.dtype, copy=False)
        return dx, dw.astype(w.dtype, copy=False).reshape(w.shape), db

    return y.astype(x.dtype, copy=False), pullback


def _as_rows(a: Array) -> Array:
    """Join all axes but the channels: (..., C) to (M, C)."""
    return a.reshape(math.prod(a.shape[:-1]), a.shape[-1])


def _by_group(matrix: Array, groups: int) -> Array:
    """Split the columns among the groups: (M, G C) to (G, M, C)."""
    return matrix.reshape(matrix.shape[0], groups, matrix.shape[1] // groups).swapaxes(0, 1)


def _multiply(a: Array, b: Array, out: Array) -> None:
    """Write a b for each group; of a single one as plain matrices, which CuPy need not copy if transposed."""
    if len(a) == 1:
        xp.matmul(a[0], b[0], out=out[0])
    else:
        xp.matmul(a, b, out=out)


def _correlate(x: Array, kernel: Array, window: Window, b: Array | None = None) -> Array:
    """y = im2row(x) kernel + b with a kernel (G, K C / G, O / G)."""
    groups, _, outputs = kernel.shape
    y = xp.empty((len(x) * math.prod(window.output), groups * outputs), dtype=x.dtype)
    of_group = _by_group(y, groups)
    for seen, rows in lowered(x, window, groups, outputs):
        _multiply(rows, kernel, of_group[:, seen])
    if b is not None:
        on_rows(xp.add, y, b, out=y)
    return y.reshape(len(x), *window.output, groups * outputs)


@fused("windows:weight_gradient")
def _weight_gradient(x: Array, drows: Array, window: Window) -> Array:
    """dw = im2row(x)^T dy with dy (G, M, O / G)."""
    groups, _, outputs = drows.shape
    dw = xp.zeros((groups, math.prod(window.kernel) * (x.shape[-1] // groups), outputs), dtype=x.dtype)
    of_tile = xp.empty_like(dw)
    for seen, rows in lowered(x, window, groups, outputs):
        _multiply(rows.swapaxes(1, 2), drows[:, seen], of_tile)
        dw += of_tile
    return dw.swapaxes(0, 1)


def _gathered(
    dy: Array, x: Array, w: Array, window: Window, groups: int, input_grad: bool
) -> tuple[Array | None, Array]:
    """Return dx and dw from one lowering: each pixel gathers what the windows that saw it have of dy."""
    kernel = _mirrored(w, groups)
    dx = xp.empty((math.prod(x.shape[:-1]), x.shape[-1]), dtype=dy.dtype)
    dw = xp.zeros(kernel.shape, dtype=dy.dtype)
    of_group, pixels, of_tile = _by_group(dx, groups), _by_group(_as_rows(x), groups), xp.empty_like(dw)
    for seen, rows in lowered(dy, window.mirrored(), groups, w.shape[-2]):
        if input_grad:
            _multiply(rows, kernel, of_group[:, seen])
        _multiply(rows.swapaxes(1, 2), pixels[:, seen], of_tile)
        dw += of_tile
    dw = dw.reshape(groups, math.prod(window.kernel), -1, w.shape[-2])[:, ::-1].transpose(1, 3, 0, 2)
    return (dx.reshape(x.shape) if input_grad else None), dw.reshape(w.shape)


def _mirrored(w: Array, groups: int) -> Array:
    """Return the kernel that takes dy to dx, last entry first: (G, K O / G, C / G)."""
    kernel = w.reshape(-1, w.shape[-2], groups, w.shape[-1] // groups)[::-1].transpose(2, 0, 3, 1)
    return xp.ascontiguousarray(kernel).reshape(groups, -1, w.shape[-2])


@fused("windows:input_gradient")
def _input_gradient(dy: Array, w: Array, window: Window, groups: int) -> Array:
    """dx = row2im(dy w^T)."""
    entries, channels, outputs = math.prod(window.kernel), w.shape[-2], w.shape[-1] // groups
    if max(window.stride) == 1 and _pays_to_gather(window, channels, outputs, 1):
        return _correlate(dy, _mirrored(w, groups), window.mirrored())
    kernel = xp.ascontiguousarray(w.reshape(entries, channels, groups, outputs).transpose(2, 0, 3, 1))
    dx = xp.zeros((len(dy), *window.size, groups * channels), dtype=dy.dtype)
    rows = _by_group(_as_rows(dy), groups)[:, None]
    for tile in tiles(len(dy), window, entries * channels * groups * dy.itemsize, channels):
        drows = (rows[:, :, tile.windows] @ kernel).transpose(1, 2, 0, 3)  # (K, M, G, C / G)
        part = dx[tile.images]
        scatter(drows.reshape(entries, len(part), *tile.window.output, dx.shape[-1]), part, tile.window)
    return dx


def _shares_lowering(window: Window, channels: int, outputs: int) -> bool:
    """Tell whether dw costs least from the lowering of dy that dx needs: not where x has few channels.

    The shapes alone decide, so dw is the same to the last bit whether dx is wanted or not.
    """
    cheap = max(window.stride) == 1 and 2 * channels >= outputs
    return cheap and _pays_to_gather(window, channels, outputs, 2)


def _pays_to_gather(window: Window, channels: int, outputs: int, products: int) -> bool:
    """Tell whether pixels gathering from windows cost less than windows scattering to pixels.

    To copy a number into a row takes as long as 6 multiply-adds, to add one to an image as 40 (measured).
    The second product is that of dw, for which a scatter has to lower x as well.
    """
    gather = math.prod(window.size) * outputs * (products * channels + 6)
    scatter = math.prod(window.output) * channels * (products * (outputs + 6) + 34)
    return 0 < gather <= scatter  # an image without pixels has none to gather for


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
