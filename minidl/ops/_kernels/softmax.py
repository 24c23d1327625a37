"""Softmax and log-softmax: one launch each way where the formulas take 4 to 6, and no array in between.

Forward x is read three times (of which memory serves one, the rest comes from the cache) and y written once.
"""

import math
from typing import Any

from minidl.backend import Array, xp
from minidl.ops._kernels._program import Program, packed, takes, wide_dtype

PROGRAM = Program(
    """
// Row r of (outer, n, inner) begins at (r / inner) n inner + r % inner, and its entries are `inner` apart.
#define ROW_START(r) (over(r, inner) * n * inner + rest(r, inner))

// `wide` is y before it is rounded to half precision, which the gradient needs; else it is y itself
extern "C" __global__ void softmax(const T* x, T* y, W* wide, Int rows, Int n, Int inner, bool logarithm) {
  __shared__ W part[MOST_THREADS];
  EACH_ROW(r, rows) {
    const Int start = ROW_START(r);
    W most = (W)x[start];
    EACH_COLUMN(k, n) most = larger(most, (W)x[start + k * inner]);
    most = block_max(most, part);
    W total = 0;
    EACH_COLUMN(k, n) total += exp((W)x[start + k * inner] - most);
    total = block_sum(total, part);
    const W shift = logarithm ? log(total) : (W)0;
    EACH_COLUMN(k, n) {
      const W gap = (W)x[start + k * inner] - most;
      const W value = logarithm ? gap - shift : exp(gap) / total;
      y[start + k * inner] = (T)value;
      if (sizeof(T) < sizeof(W)) wide[start + k * inner] = value;
    }
  }
}

// dx = y (dy - sum dy y); for the logarithm dx = dy - e^y sum dy
extern "C" __global__ void softmax_back(const W* y, const T* dy, T* dx, Int rows, Int n, Int inner,
                                        bool logarithm) {
  __shared__ W part[MOST_THREADS];
  EACH_ROW(r, rows) {
    const Int start = ROW_START(r);
    W total = 0;
    EACH_COLUMN(k, n) {
      const Int i = start + k * inner;
      total += logarithm ? (W)dy[i] : (W)dy[i] * y[i];
    }
    total = block_sum(total, part);
    EACH_COLUMN(k, n) {
      const Int i = start + k * inner;
      dx[i] = (T)(logarithm ? (W)dy[i] - exp(y[i]) * total : (W)dy[i] * y[i] - y[i] * total);
    }
  }
}
""",
    reductions=True,
)


def softmax(x: Array, *, axis: int = -1) -> Any:
    """y_i = e^(x_i) / sum_j e^(x_j) along the axis."""
    return _run(x, axis, logarithm=False)


def log_softmax(x: Array, *, axis: int = -1) -> Any:
    """y_i = x_i - log sum_j e^(x_j) along the axis."""
    return _run(x, axis, logarithm=True)


def _run(x: Array, axis: int, logarithm: bool) -> Any:
    if not takes(x) or type(axis) is not int or not -x.ndim <= axis < x.ndim:
        return NotImplemented
    n, inner = x.shape[axis], math.prod(x.shape[axis % x.ndim + 1 :])
    rows = x.size // n
    y = xp.empty(x.shape, dtype=x.dtype)
    wide = y if wide_dtype(x.dtype) == x.dtype else xp.empty(x.shape, dtype=wide_dtype(x.dtype))
    PROGRAM.rows("softmax", x.dtype, rows, n, packed(x), y, wide, rows, n, inner, logarithm)

    def pullback(dy: Array) -> Array:
        # dx = y (dy - sum_j dy_j y_j), or dy - e^y sum_j dy_j
        dx = xp.empty(x.shape, dtype=x.dtype)
        PROGRAM.rows(
            "softmax_back", x.dtype, rows, n, wide, packed(dy, x.dtype), dx, rows, n, inner, logarithm
        )
        return dx

    return y, pullback
