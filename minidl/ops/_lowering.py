"""Windows: where a kernel that slides over one to three axes looks, and the lowering of what it sees to rows.

An array is ``(N, *spatial, C)``. Lowering copies each window into a row of a matrix, so that a convolution
becomes a product (Chellapilla, Puri and Simard, 2006).
"""

import itertools
import math
import operator
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from minidl.backend import TILE, Array, check_array, xp
from minidl.ops._blocks import even
from minidl.ops._kernels._choice import fused

Sizes: TypeAlias = tuple[int, ...]
PerAxis: TypeAlias = int | Sequence[int]
Padding: TypeAlias = str | int | Sequence[int | Sequence[int]]
Index: TypeAlias = tuple[Any, ...]

PADDED = TILE  # bytes of images that are padded at a time: few calls, and no second batch

LAYOUTS = {1: "(N, T, {})", 2: "(N, H, W, {})", 3: "(N, D, H, W, {})"}


class Window(NamedTuple):
    """A kernel over an image: each field holds one entry for each spatial axis."""

    size: Sizes
    kernel: Sizes
    stride: Sizes
    padding: tuple[tuple[int, int], ...]
    dilation: Sizes
    output: Sizes  # how many windows there are

    @property
    def extent(self) -> Sizes:
        """How far the kernel reaches, from its first tap to its last."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def part(self, lines: range) -> "Window":
        """Return some of the windows along the first axis: an image before which fewer lines are missing."""
        (before, after), *pads = self.padding
        shifted = (before - lines.start * self.stride[0], after)
        return self._replace(padding=(shifted, *pads), output=(len(lines), *self.output[1:]))

    def mirrored(self) -> "Window":
        """Return how each pixel looks at the windows that saw it, last to first, for strides of 1."""
        pads = zip(self.extent, self.padding, strict=True)
        missing = tuple((reach - 1 - before, reach - 1 - after) for reach, (before, after) in pads)
        return self._replace(size=self.output, padding=missing, output=self.size)


def make_window(
    size: Sizes,
    kernel_size: PerAxis,
    stride: PerAxis,
    padding: Padding,
    dilation: PerAxis,
    owner: str,
    *,
    ceil_mode: bool = False,
) -> Window:
    """Bring the options of a convolution or pooling into one form, one entry for each axis of ``size``.

    With ``ceil_mode`` windows may reach beyond the padding, but none starts behind the image and its padding
    before it: the rule of PyTorch.
    """
    rank = len(size)
    kernel = per_axis(kernel_size, rank, "kernel_size", owner)
    strides = per_axis(stride, rank, "stride", owner)
    dilations = per_axis(dilation, rank, "dilation", owner)
    extent = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    pads = _read_padding(padding, size, extent, strides, owner)
    output = []
    for n, reach, step, (before, after) in zip(size, extent, strides, pads, strict=True):
        spare = n + before + after - reach
        count = (spare + (step - 1 if ceil_mode else 0)) // step + 1
        if ceil_mode and (count - 1) * step >= n + before:
            count -= 1
        output.append(count)
    if min(output) < 1:
        padded = tuple(n + before + after for n, (before, after) in zip(size, pads, strict=True))
        raise ValueError(
            f"{owner}: expected a kernel no larger than its padded input {padded}, got kernel_size={kernel} "
            f"that reaches over {extent}; use a smaller kernel or more padding"
        )
    return Window(size, kernel, strides, pads, dilations, tuple(output))


def per_axis(value: PerAxis, rank: int, option: str, owner: str, *, least: int = 1) -> Sizes:
    """Return an option as one int for each axis; a single int stands for all of them."""
    values: Sequence[Any] = value if isinstance(value, (tuple, list)) else (value,) * rank
    try:
        sizes = tuple(operator.index(v) for v in values)
    except TypeError:
        raise TypeError(f"{owner}: expected {option} as an int or one for each axis, got {value!r}") from None
    if len(sizes) != rank:
        raise ValueError(f"{owner}: expected {option} of {rank} entries, one for each axis, got {value!r}")
    if min(sizes) < least:
        raise ValueError(f"{owner}: expected {option} of at least {least}, got {value!r}")
    return sizes


def _read_padding(
    padding: Padding, size: Sizes, extent: Sizes, stride: Sizes, owner: str
) -> tuple[tuple[int, int], ...]:
    """Return the padding as ``(before, after)`` for each axis."""
    if padding == "valid":
        padding = 0
    if padding == "same":
        missing = [
            max(0, (-(-n // s) - 1) * s + reach - n) for n, reach, s in zip(size, extent, stride, strict=True)
        ]
        return tuple((total // 2, total - total // 2) for total in missing)
    if isinstance(padding, str):
        raise ValueError(f'{owner}: expected padding as "same", "valid" or numbers, got {padding!r}')
    each: Sequence[Any] = padding if isinstance(padding, (tuple, list)) else (padding,) * len(size)
    if len(each) != len(size):
        raise ValueError(
            f"{owner}: expected padding of {len(size)} entries, an int or (before, after) for each axis, "
            f"got {padding!r}"
        )
    pairs = [per_axis(entry, 2, "padding", owner, least=0) for entry in each]
    return tuple((before, after) for before, after in pairs)


def check_window(
    kernel_size: PerAxis,
    stride: PerAxis,
    padding: Padding,
    dilation: PerAxis,
    owner: str,
    *,
    rank: int | None = None,
) -> None:
    """Refuse options that fit no image, as soon as a layer is made.

    Without a ``rank`` it is that of the first option that has an entry for each axis.
    """
    listed = (len(o) for o in (kernel_size, stride, dilation, padding) if isinstance(o, (tuple, list)))
    rank = next(listed, 1) if rank is None else rank
    if rank not in LAYOUTS:
        raise ValueError(f"{owner}: expected options for one to three axes, got {rank}")
    kernel = per_axis(kernel_size, rank, "kernel_size", owner)
    strides = per_axis(stride, rank, "stride", owner)
    per_axis(dilation, rank, "dilation", owner)
    _read_padding(padding, kernel, kernel, strides, owner)


def check_image(x: Array, owner: str, *, rank: int | None = None) -> None:
    """Refuse everything but ``(N, *spatial, C)`` with as many spatial axes as wanted, or one to three."""
    check_array(x, owner)
    wanted = (rank,) if rank else tuple(LAYOUTS)
    if x.ndim - 2 not in wanted:
        layouts = " or ".join(LAYOUTS[r].format("C") for r in wanted)
        raise ValueError(f"{owner}: expected {layouts}, got shape {x.shape}")


def taps(window: Window) -> Iterator[tuple[Sizes, Index, Index]]:
    """Visit the kernel's entries in order: each with the windows whose entry lies on the image, and where.

    Through ``entry``, the windows ``outs`` of all images see the pixels ``ins``; the others see padding.
    """
    by_axis = [[_seen(window, axis, k) for k in range(n)] for axis, n in enumerate(window.kernel)]
    for entry in itertools.product(*map(range, window.kernel)):
        seen = [by_axis[axis][k] for axis, k in enumerate(entry)]
        yield entry, (slice(None), *(outs for outs, _ in seen)), (slice(None), *(ins for _, ins in seen))


def _seen(window: Window, axis: int, k: int) -> tuple[slice, slice]:
    """Return which windows have their entry ``k`` on the image, and which positions those are."""
    step = window.stride[axis]
    offset = k * window.dilation[axis] - window.padding[axis][0]
    first = max(0, -(offset // step))
    last = min(window.output[axis], -((offset - window.size[axis]) // step))  # exclusive
    if last <= first:
        return slice(0), slice(0)
    return slice(first, last), slice(first * step + offset, (last - 1) * step + offset + 1, step)


def windows(x: Array, window: Window, groups: int = 1) -> Array:
    """Return what each window sees as a view, to be read only: ``(groups, N, *output, *kernel, C / groups)``.

    Each group of channels is seen by itself.
    """
    image, channels = _padded(x, window), x.shape[-1] // groups
    batch, *spatial, each = image.strides
    shape = (groups, len(image), *window.output, *window.kernel, channels)
    steps = map(operator.mul, spatial, window.stride)
    within = map(operator.mul, spatial, window.dilation)
    view: Array = xp.lib.stride_tricks.as_strided(
        image, shape, (channels * each, batch, *steps, *within, each)
    )
    return view


def _padded(x: Array, window: Window) -> Array:
    """Return the part of the images that the windows see: a view, or with padding a copy."""
    begins = [-before for before, _ in window.padding]
    spans = [
        (m - 1) * s + reach for m, s, reach in zip(window.output, window.stride, window.extent, strict=True)
    ]
    inner, outer = [slice(None)], [slice(None)]
    for n, begin, span in zip(window.size, begins, spans, strict=True):
        first = max(0, begin)
        last = max(first, min(begin + span, n))
        inner.append(slice(first, last))
        outer.append(slice(first - begin, last - begin))
    seen = x[tuple(inner)]
    if seen.shape[1:-1] == tuple(spans):
        return seen
    image = xp.zeros((len(x), *spans, x.shape[-1]), dtype=x.dtype)
    image[tuple(outer)] = seen
    return image


class Tile(NamedTuple):
    """A run of images, or of lines of windows of a single image."""

    images: slice
    lines: slice
    windows: slice  # counted over all images
    window: Window  # of these lines


def tiles(images: int, window: Window, row_bytes: int, outputs: int) -> list[Tile]:
    """Cut a batch into even tiles whose rows fit into the cache, the first one being the largest.

    But a tile has no fewer rows than there are columns in the products that it enters: each of them reads all
    weights.
    """
    all_lines, per_line = window.output[0], math.prod(window.output[1:])
    fitting = int(min(images * all_lines, max(outputs, TILE / max(1, row_bytes)) / per_line))
    step, lines = max(1, fitting // all_lines), max(1, min(fitting, all_lines))
    plan, parts = [], even(all_lines, lines)
    for i, j in itertools.product(even(images, step), parts):
        first = (i.start * all_lines + j.start) * per_line
        count = (i.stop - i.start) * (j.stop - j.start) * per_line
        within = window if len(parts) == 1 else window.part(range(j.start, j.stop))
        plan.append(Tile(i, j, slice(first, first + count), within))
    return plan


@fused("windows:lowered")
def lowered(x: Array, window: Window, groups: int, outputs: int) -> Iterator[tuple[slice, Array]]:
    """Lower images tile by tile, for products with ``outputs`` columns, and store no more than one tile.

    Yields a run of windows, counted over all images, and their rows ``(groups, windows, K C / groups)``,
    which live until the next tile.
    """
    per_image = math.prod(window.output)
    for chunk in even(len(x), max(1, PADDED // max(1, x[:1].nbytes))):
        first = chunk.start * per_image
        for seen, rows in _lowered(x[chunk], window, groups, outputs):
            yield slice(first + seen.start, first + seen.stop), rows


def _lowered(x: Array, window: Window, groups: int, outputs: int) -> Iterator[tuple[slice, Array]]:
    """Lower images that are padded together."""
    view = windows(x, window, groups)
    channels = x.shape[-1] // groups
    columns = math.prod(window.kernel) * channels
    space = None
    for tile in tiles(len(x), window, groups * columns * x.itemsize, outputs):
        part = view[:, tile.images, tile.lines]
        shape = (groups, tile.windows.stop - tile.windows.start, columns)
        if columns == channels:  # a kernel of one pixel sees the image as it is
            yield tile.windows, part.reshape(shape)
            continue
        space = _workspace(shape, channels, x.dtype) if space is None else space
        rows = space[:, : shape[1]]
        rows.reshape(part.shape)[...] = part
        yield tile.windows, rows


def _workspace(shape: Sizes, channels: int, dtype: Any) -> Array:
    """Return memory for rows, in such an order that what is copied in one piece is long.

    That is a run of channels, or with few of them a run of windows; a product takes either.
    """
    if channels > 4:
        return xp.empty(shape, dtype=dtype)
    groups, count, columns = shape
    return xp.empty((groups, columns, count), dtype=dtype).swapaxes(1, 2)


@fused("windows:im2row")
def im2row(x: Array, window: Window) -> Array:
    """Copy every window into a row: ``(N, *size, C)`` to ``(N, *output, K, C)``, K entries of the kernel."""
    rows: Array = windows(x, window)[0].copy()
    return rows.reshape(len(x), *window.output, math.prod(window.kernel), x.shape[-1])


@fused("windows:row2im")
def row2im(entries: Array, window: Window) -> Array:
    """Add entries ``(K, N, *output, C)`` of rows back to where they came from: the adjoint of `im2row`."""
    x = xp.zeros((entries.shape[1], *window.size, entries.shape[-1]), dtype=entries.dtype)
    scatter(entries, x, window)
    return x


@fused("windows:scatter")
def scatter(entries: Array, x: Array, window: Window) -> None:
    """Add entries ``(K, N, *output, C)`` to the pixels of x that they stand for."""
    for entry, (_, outs, ins) in zip(entries, taps(window), strict=True):
        x[ins] += entry[outs]
