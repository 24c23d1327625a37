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

Sizes: TypeAlias = tuple[int, ...]
PerAxis: TypeAlias = int | Sequence[int]
Padding: TypeAlias = str | int | Sequence[int | Sequence[int]]
Index: TypeAlias = tuple[Any, ...]

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

    def mirrored(self) -> "Window | None":
        """Return how each pixel looks at the windows that saw it, last to first; nothing if it skips any."""
        pads = tuple(
            (reach - 1 - a, reach - 1 - b) for reach, (a, b) in zip(self.extent, self.padding, strict=True)
        )
        if max(self.stride) > 1 or min(map(min, pads)) < 0:
            return None
        return self._replace(size=self.output, padding=pads, output=self.size)


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


def windows(x: Array, window: Window, groups: int, lines: range) -> Array:
    """Return what each window sees as a view, to be read only: ``(groups, N, *output, *kernel, C / groups)``.

    Args:
        x: ``(N, *size, C)``.
        window: what looks at it.
        groups: how many equal runs of channels there are, each seen by itself.
        lines: which windows along the first axis.
    """
    image, channels = _padded(x, window, lines), x.shape[-1] // groups
    batch, *spatial, each = image.strides
    shape = (groups, len(image), len(lines), *window.output[1:], *window.kernel, channels)
    steps = map(operator.mul, spatial, window.stride)
    within = map(operator.mul, spatial, window.dilation)
    view: Array = xp.lib.stride_tricks.as_strided(
        image, shape, (channels * each, batch, *steps, *within, each)
    )
    return view


def _padded(x: Array, window: Window, lines: range) -> Array:
    """Return the part of the images that these lines of windows see, with its padding."""
    start, stop = (n * window.stride[0] - window.padding[0][0] for n in (lines[0], lines[-1]))
    stop += window.extent[0]
    top, bottom = max(0, start), min(stop, window.size[0])
    if top == start and bottom == stop and not any(map(any, window.padding[1:])):
        return x[:, top:bottom]
    pads = tuple(zip(window.size[1:], window.padding[1:], strict=True))
    widths = (before + n + after for n, (before, after) in pads)
    image = xp.zeros((len(x), stop - start, *widths, x.shape[-1]), dtype=x.dtype)
    if top < bottom:
        inner = (slice(before, before + n) for n, (before, _) in pads)
        image[(slice(None), slice(top - start, bottom - start), *inner)] = x[:, top:bottom]
    return image


def lowered(x: Array, window: Window, groups: int, outputs: int) -> Iterator[tuple[slice, Array]]:
    """Lower images tile by tile, for products with ``outputs`` columns, and store no more than one tile.

    Yields a run of windows, counted over all images, and their rows ``(groups, windows, K C / groups)``,
    which live until the next tile.
    """
    channels = x.shape[-1] // groups
    columns = math.prod(window.kernel) * channels
    per_line, all_lines = math.prod(window.output[1:]), window.output[0]
    images, lines = tile_size(len(x), window, groups * columns * x.itemsize, outputs)
    copied = columns > channels  # a kernel of one pixel sees the image as it is
    space = _workspace(groups, images * lines * per_line * copied, columns, channels, x.dtype)
    for i, j in itertools.product(range(0, len(x), images), range(0, all_lines, lines)):
        view = windows(x[i : i + images], window, groups, range(j, min(j + lines, all_lines)))
        count = math.prod(view.shape[1 : 2 + len(window.size)])
        rows = space[:, :count] if copied else view.reshape(groups, count, columns)
        if copied:
            rows.reshape(view.shape)[...] = view
        start = (i * all_lines + j) * per_line
        yield slice(start, start + count), rows


def _workspace(groups: int, count: int, columns: int, channels: int, dtype: Any) -> Array:
    """Return memory for rows, ordered so that what is copied in one piece is long.

    That is a run of channels, or with few of them a run of windows; a product takes either.
    """
    if channels > 4:
        return xp.empty((groups, count, columns), dtype=dtype)
    return xp.empty((groups, columns, count), dtype=dtype).swapaxes(1, 2)


def tile_size(images: int, window: Window, row_bytes: int, outputs: int) -> tuple[int, int]:
    """Return how many images make a tile, and of how many lines of windows: all, or a part of one image.

    A tile fits into the cache, but has no fewer rows than there are columns in the products that it enters:
    each of them reads all weights.
    """
    lines = window.output[0]
    rows = max(outputs, TILE / max(1, row_bytes))
    fitting = int(min(images * lines, rows / math.prod(window.output[1:])))
    return (fitting // lines, lines) if fitting >= lines else (1, max(1, fitting))


def im2row(x: Array, window: Window) -> Array:
    """Copy every window into a row: ``(N, *size, C)`` to ``(N, *output, K, C)``, K entries of the kernel."""
    rows: Array = windows(x, window, 1, range(window.output[0]))[0].copy()
    return rows.reshape(len(x), *window.output, math.prod(window.kernel), x.shape[-1])


def row2im(entries: Array, window: Window) -> Array:
    """Add entries ``(K, N, *output, C)`` of rows back to where they came from: the adjoint of `im2row`."""
    x = xp.zeros((entries.shape[1], *window.size, entries.shape[-1]), dtype=entries.dtype)
    scatter(entries, x, window)
    return x


def scatter(entries: Array, x: Array, window: Window) -> None:
    """Add entries ``(K, N, *output, C)`` to the pixels of x that they stand for."""
    for entry, (_, outs, ins) in zip(entries, taps(window), strict=True):
        x[ins] += entry[outs]
