"""Windows to rows and back, one launch each: the rows are written once and no padded image is made.

Going back each pixel gathers from the windows that see it, entry by entry in the order of the formula: no
atomics, and the same bits. The formula takes a launch and a pass over the image for each entry of the kernel.
"""

import math
from collections.abc import Iterator
from typing import Any

from minidl.backend import Array, xp
from minidl.ops import _lowering
from minidl.ops._kernels._program import Program, packed, takes
from minidl.ops._lowering import Window, tiles

WINDOW = """
// Three spatial axes, of which those that are missing have length 1: sizes n, outputs o, kernel k, strides s,
// missing lines before the image b (which may be negative, in a part of an image), dilations d.
#define WINDOW_OF                                                                                     \\
  Int n0, Int n1, Int n2, Int o0_size, Int o1_size, Int o2_size, Int k0_size, Int k1_size,             \\
      Int k2_size, Int s0, Int s1, Int s2, Int b0, Int b1, Int b2, Int d0, Int d1, Int d2

#define n0_size n0
#define n1_size n1
#define n2_size n2

// From the index of an element of (N, *, *, *, C): its channel c, its position q0 q1 q2, its image.
#define LOCATE(i, of, channels)                                                                       \\
  const Int c = rest(i, channels), pixel_ = over(i, channels);                                         \\
  const Int q2 = rest(pixel_, of##2_size), line_ = over(pixel_, of##2_size);                           \\
  const Int q1 = rest(line_, of##1_size), plane_ = over(line_, of##1_size);                            \\
  const Int q0 = rest(plane_, of##0_size), image = over(plane_, of##0_size);                           \\
  const Int &o0 = q0, &o1 = q1, &o2 = q2;                                                              \\
  (void)c, (void)o0, (void)o1, (void)o2;

#define EACH_TAP(k0, k1, k2)                                                                          \\
  for (Int k0 = 0; k0 < k0_size; ++k0)                                                                 \\
    for (Int k1 = 0; k1 < k1_size; ++k1)                                                               \\
      for (Int k2 = 0; k2 < k2_size; ++k2)

#define TAP ((k0 * k1_size + k1) * k2_size + k2)

// The pixel that window q sees through entry k, along one axis.
#define SEES(a) (q##a * s##a + k##a * d##a - b##a)
#define ON_IMAGE (p0 >= 0 && p0 < n0 && p1 >= 0 && p1 < n1 && p2 >= 0 && p2 < n2)
#define PIXEL (((image * n0 + p0) * n1 + p1) * n2 + p2)

// The window that sees pixel q through entry k, along one axis; goes on with the next entry if there is none.
#define SEEN_BY(a)                                                                                    \\
  const Int r##a = q##a - k##a * d##a + b##a;                                                          \\
  if (r##a < 0 || rest(r##a, s##a) != 0) continue;                                                     \\
  const Int o##a = over(r##a, s##a);                                                                   \\
  if (o##a >= o##a##_size) continue;
#define OUTPUT (((image * o0_size + o0) * o1_size + o1) * o2_size + o2)

#define INFINITE ((W)(1.0f / 0.0f))
"""

PROGRAM = Program(
    WINDOW
    + """
// rows (groups, windows, entries, channels of a group); each thread copies a run of neighbouring channels, as
// to find where they are takes longer than to copy one
extern "C" __global__ void im2row(const T* x, T* rows, Int count, Int run, Int windows, Int each, Int groups,
                                  WINDOW_OF) {
  EACH(i, count) {
    const Int entries = k0_size * k1_size * k2_size, runs = over(each, run);
    const Int channel = rest(i, runs) * run, cell = over(i, runs);
    const Int entry = rest(cell, entries), wide = over(cell, entries);
    const Int group = over(wide, windows), seen = rest(wide, windows);
    LOCATE(seen, o, 1)
    const Int k2 = rest(entry, k2_size), k1 = rest(over(entry, k2_size), k1_size);
    const Int k0 = over(over(entry, k2_size), k1_size);
    const Int p0 = SEES(0), p1 = SEES(1), p2 = SEES(2);
    const bool inside = ON_IMAGE;
    const Int from = inside ? (PIXEL * groups + group) * each + channel : 0;
    for (Int j = 0; j < run; ++j) rows[i * run + j] = inside ? x[from + j] : (T)0.0f;
  }
}

// makes each pixel of what the windows hold that see it, or adds that to it; entry k of window m begins at
// k by_entry + m by_window
extern "C" __global__ void row2im(const T* entries, T* x, Int count, Int channels, Int by_entry,
                                  Int by_window, bool adds, WINDOW_OF) {
  EACH(i, count) {
    LOCATE(i, n, channels)
    W sum = adds ? (W)x[i] : (W)0;
    EACH_TAP(k0, k1, k2) {
      SEEN_BY(0) SEEN_BY(1) SEEN_BY(2)
      sum = (W)(T)(sum + (W)entries[TAP * by_entry + OUTPUT * by_window + c]);
    }
    x[i] = (T)sum;
  }
}
"""
)


def arguments(window: Window) -> tuple[int, ...]:
    """Return a window as the kernels take it: with three axes, the missing ones first and of length 1."""
    missing = 3 - len(window.size)
    before = [first for first, _ in window.padding]
    fields = [
        (1, window.size),
        (1, window.output),
        (1, window.kernel),
        (1, window.stride),
        (0, before),
        (1, window.dilation),
    ]
    return tuple(n for filler, field in fields for n in [filler] * missing + list(field))


def im2row(x: Array, window: Window) -> Any:
    """Copy every window into a row: ``(N, *size, C)`` to ``(N, *output, K, C)``, K entries of the kernel."""
    if not takes(x):
        return NotImplemented
    rows = xp.empty((len(x), *window.output, math.prod(window.kernel), x.shape[-1]), dtype=x.dtype)
    _lower(packed(x), rows, window, 1)
    return rows


def lowered(x: Array, window: Window, groups: int, outputs: int) -> Any:
    """Lower images tile by tile, for products with ``outputs`` columns, and store no more than one tile."""
    if not takes(x) or math.prod(window.kernel) == 1:  # which sees the image as it is
        return NotImplemented
    return _lowered_tiles(packed(x), window, groups, outputs)


def _lowered_tiles(x: Array, window: Window, groups: int, outputs: int) -> Iterator[tuple[slice, Array]]:
    columns = math.prod(window.kernel) * (x.shape[-1] // groups)
    for tile in tiles(len(x), window, groups * columns * x.itemsize, outputs):
        rows = xp.empty((groups, tile.windows.stop - tile.windows.start, columns), dtype=x.dtype)
        _lower(x[tile.images], rows, tile.window, groups)
        yield tile.windows, rows


def _lower(x: Array, rows: Array, window: Window, groups: int) -> None:
    """Fill rows ``(groups, windows, K C / groups)`` from contiguous images."""
    seen, each = len(x) * math.prod(window.output), x.shape[-1] // groups
    run = math.gcd(each, 4)
    count = rows.size // run
    PROGRAM.each(*("im2row", x.dtype, count, x, rows, count, run, seen, each, groups), *arguments(window))


def row2im(entries: Array, window: Window) -> Any:
    """Add entries ``(K, N, *output, C)`` of rows back to where they came from: the adjoint of `im2row`."""
    if not takes(entries) or not math.prod(window.size):
        return NotImplemented
    x = xp.empty((entries.shape[1], *window.size, entries.shape[-1]), dtype=entries.dtype)
    _gather(entries, x, window, adds=False)
    return x


def scatter(entries: Array, x: Array, window: Window) -> Any:
    """Add entries ``(K, N, *output, C)`` to the pixels of x that they stand for."""
    if not takes(x, entries) or not entries.size or not x.flags.c_contiguous:
        return NotImplemented
    _gather(entries, x, window, adds=True)
    return None


def _gather(entries: Array, x: Array, window: Window, adds: bool) -> None:
    channels, behind = x.shape[-1], xp.moveaxis(entries, 0, -2)
    if behind.flags.c_contiguous:  # (N, *output, K, C) in memory, as a product makes them
        by_entry, by_window, entries = channels, len(entries) * channels, behind
    else:
        entries = packed(entries)
        by_entry, by_window = entries[0].size, channels
    PROGRAM.each(
        *("row2im", x.dtype, x.size, entries, x, x.size, channels, by_entry, by_window, adds),
        *arguments(window),
    )


def input_gradient(dy: Array, w: Array, window: Window, groups: int) -> Any:
    """dx = row2im(dy w^T): one product, then one launch that gathers."""
    if not takes(dy, w) or not w.size or groups != 1:
        return NotImplemented
    outputs, channels = w.shape[-1], w.shape[-2]
    kernel = w.reshape(-1, outputs).T
    rows = dy.reshape(-1, outputs)
    plan = tiles(len(dy), window, kernel.shape[1] * dy.itemsize, channels)
    adds = plan[0].window.output != window.output  # tiles of lines share pixels, those of images do not
    dx = (xp.zeros if adds else xp.empty)((len(dy), *window.size, channels), dtype=dy.dtype)
    for tile in plan:
        part, count = dx[tile.images], math.prod(window.kernel)
        drows = xp.matmul(rows[tile.windows], kernel)
        drows = drows.reshape(len(part), *tile.window.output, count, channels)
        _gather(xp.moveaxis(drows, -2, 0), part, tile.window, adds)
    return dx


def weight_gradient(x: Array, drows: Array, window: Window) -> Any:
    """dw = im2row(x)^T dy with dy (1, M, O), and no sum over tiles where there is one."""
    if not takes(x, drows) or len(drows) != 1:
        return NotImplemented
    dw = None
    for seen, rows in _lowering.lowered(x, window, 1, drows.shape[-1]):
        part = xp.matmul(rows[0].T, drows[0, seen])
        dw = part if dw is None else dw + part
    return NotImplemented if dw is None else dw[:, None]
