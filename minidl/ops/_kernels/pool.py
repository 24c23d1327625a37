"""Pooling: one launch forward; back one for the mean, two for the maximum.

For nine entries the formulas take 10 and 57 (maximum) or 24 and 20, and pass over dx each time. Backward each
pixel gathers from the windows that see it, entry by entry in the order of the formula: no atomics, and the
same bits. Every array is read or written once.
"""

import math
from typing import Any

from minidl.backend import Array, xp
from minidl.ops._kernels._program import Program, packed, takes
from minidl.ops._kernels.windows import WINDOW, arguments
from minidl.ops._lowering import Padding, PerAxis, Window, make_window

PROGRAM = Program(
    WINDOW
    + """
extern "C" __global__ void max_pool(const T* x, T* y, Int count, Int channels, WINDOW_OF) {
  EACH(i, count) {
    LOCATE(i, o, channels)
    W best = 0;
    bool found = false;
    EACH_TAP(k0, k1, k2) {
      const Int p0 = SEES(0), p1 = SEES(1), p2 = SEES(2);
      if (!ON_IMAGE) continue;
      const W value = (W)x[PIXEL * channels + c];
      best = !found || value > best || value != value ? value : best;
      found = true;
    }
    y[i] = found ? (T)best : (T)-INFINITE;
  }
}

// which entry of each window is the first that is not below y; NaN is as good as infinity
extern "C" __global__ void max_pool_winner(const T* x, const T* y, int* winner, Int count, Int channels,
                                           WINDOW_OF) {
  EACH(i, count) {
    LOCATE(i, o, channels)
    const W best = (W)y[i], bound = best == best ? best : INFINITE;
    int first = -1;
    EACH_TAP(k0, k1, k2) {
      const Int p0 = SEES(0), p1 = SEES(1), p2 = SEES(2);
      if (first < 0 && ON_IMAGE && !((W)x[PIXEL * channels + c] < bound)) first = (int)TAP;
    }
    winner[i] = first;
  }
}

extern "C" __global__ void max_pool_back(const int* winner, const T* dy, T* dx, Int count, Int channels,
                                         WINDOW_OF) {
  EACH(i, count) {
    LOCATE(i, n, channels)
    T sum = (T)0.0f;
    EACH_TAP(k0, k1, k2) {
      SEEN_BY(0) SEEN_BY(1) SEEN_BY(2)
      const Int at = OUTPUT * channels + c;
      if (winner[at] == TAP) sum = (T)((W)sum + (W)dy[at]);
    }
    dx[i] = sum;
  }
}

// how many entries of a window count along one axis: those on the image, or on its padding too
#define COUNT(axis, position)                                                                         \\
  count_entries(position, s##axis, d##axis, k##axis##_size, b##axis, n##axis, a##axis, padded)

__device__ inline Int count_entries(Int o, Int step, Int dilation, Int kernel, Int before, Int size,
                                    Int after, bool padded) {
  Int inside = 0;
  for (Int k = 0; k < kernel; ++k) {
    const Int p = o * step + k * dilation - before;
    inside += padded ? p >= -before && p < size + after : p >= 0 && p < size;
  }
  return inside;
}

#define SHARE(o0, o1, o2) ((W)larger_of(COUNT(0, o0) * COUNT(1, o1) * COUNT(2, o2)))

__device__ inline Int larger_of(Int count) { return count > 1 ? count : 1; }

extern "C" __global__ void avg_pool(const T* x, T* y, Int count, Int channels, WINDOW_OF, Int a0, Int a1,
                                    Int a2, bool padded) {
  EACH(i, count) {
    LOCATE(i, o, channels)
    W sum = 0;
    EACH_TAP(k0, k1, k2) {
      const Int p0 = SEES(0), p1 = SEES(1), p2 = SEES(2);
      if (ON_IMAGE) sum += (W)x[PIXEL * channels + c];
    }
    y[i] = (T)(sum / SHARE(o0, o1, o2));
  }
}

extern "C" __global__ void avg_pool_back(const T* dy, T* dx, Int count, Int channels, WINDOW_OF, Int a0,
                                         Int a1, Int a2, bool padded) {
  EACH(i, count) {
    LOCATE(i, n, channels)
    W sum = 0;
    EACH_TAP(k0, k1, k2) {
      SEEN_BY(0) SEEN_BY(1) SEEN_BY(2)
      sum += (W)dy[OUTPUT * channels + c] / SHARE(o0, o1, o2);
    }
    dx[i] = (T)sum;
  }
}
"""
)


def max_pool(
    x: Array,
    *,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
) -> Any:
    """y = largest x of each window, padding being -inf; of equal ones the first takes the gradient."""
    if not takes(x) or x.ndim not in (3, 4, 5):
        return NotImplemented
    window = _window(x, kernel_size, stride, padding, dilation, ceil_mode, "max_pool")
    if window is None:
        return NotImplemented
    source, channels, sizes = packed(x), x.shape[-1], arguments(window)
    y = xp.empty((len(x), *window.output, channels), dtype=x.dtype)
    PROGRAM.each("max_pool", x.dtype, y.size, source, y, y.size, channels, *sizes)

    def pullback(dy: Array) -> Array:
        # dx = sum over windows of dy at the first entry of x that is not below y; NaN is as good as infinity
        winner, dx = xp.empty(y.shape, dtype=xp.int32), xp.empty(x.shape, dtype=x.dtype)
        PROGRAM.each("max_pool_winner", x.dtype, y.size, source, y, winner, y.size, channels, *sizes)
        upstream = packed(dy, x.dtype)
        PROGRAM.each("max_pool_back", x.dtype, x.size, winner, upstream, dx, x.size, channels, *sizes)
        return dx

    return y, pullback


def avg_pool(
    x: Array,
    *,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """y = mean x of each window; the padding, zeros, counts unless ``count_include_pad`` is false."""
    if not takes(x) or x.ndim not in (3, 4, 5):
        return NotImplemented
    window = _window(x, kernel_size, stride, padding, dilation, ceil_mode, "avg_pool")
    if window is None:
        return NotImplemented
    channels = x.shape[-1]
    behind = [after for _, after in window.padding]
    sizes = (*arguments(window), *[0] * (3 - len(behind)), *behind, bool(count_include_pad))
    y = xp.empty((len(x), *window.output, channels), dtype=x.dtype)
    PROGRAM.each("avg_pool", x.dtype, y.size, packed(x), y, y.size, channels, *sizes)

    def pullback(dy: Array) -> Array:
        # dx = sum over windows of dy / count
        dx = xp.empty(x.shape, dtype=x.dtype)
        PROGRAM.each("avg_pool_back", x.dtype, x.size, packed(dy, x.dtype), dx, x.size, channels, *sizes)
        return dx

    return y, pullback


def _window(
    x: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: Padding,
    dilation: PerAxis,
    ceil_mode: bool,
    owner: str,
) -> Window | None:
    """Return the window that the kernel sees, None where the formula would refuse it."""
    steps = kernel_size if stride is None else stride
    window = make_window(x.shape[1:-1], kernel_size, steps, padding, dilation, owner, ceil_mode=ceil_mode)
    wide = any(max(pads) >= reach for pads, reach in zip(window.padding, window.extent, strict=True))
    return None if wide or math.prod(window.kernel) >= 2**31 else window
