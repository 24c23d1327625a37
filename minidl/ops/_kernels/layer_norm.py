"""Layer norm: one launch forward and three back, where the formula takes 12 and 18.

A row is read three times, of which memory serves one; the two statistics of each row are all that is kept.
"""

import math
from typing import Any

from minidl.backend import Array, xp
from minidl.ops._kernels._program import Program, have_shape, is_eps, or_other, packed, takes, wide_dtype
from minidl.ops._kernels.columns import COLUMNS, cut

PROGRAM = Program(
    COLUMNS
    + """
extern "C" __global__ void layer_norm(const T* x, const T* w, const T* b, T* y, W* means, W* inverses,
                                      Int rows, Int columns, double eps, bool has_w, bool has_b) {
  __shared__ W part[MOST_THREADS];
  EACH_ROW(r, rows) {
    const T* row = x + r * columns;
    W sum = 0, square = 0;
    EACH_COLUMN(k, columns) sum += (W)row[k];
    const W mean = block_sum(sum, part) / (W)columns;
    EACH_COLUMN(k, columns) square += ((W)row[k] - mean) * ((W)row[k] - mean);
    const W inverse = (W)1 / sqrt(block_sum(square, part) / (W)columns + (W)eps);
    EACH_COLUMN(k, columns) {
      W z = ((W)row[k] - mean) * inverse;
      if (has_w) z *= (W)w[k];
      if (has_b) z += (W)b[k];
      y[r * columns + k] = (T)z;
    }
    if (threadIdx.x == 0) {
      means[r] = mean;
      inverses[r] = inverse;
    }
  }
}

// dz = dy w, dx = (dz - mean of dz - z mean of dz z) / sqrt(var + eps)
extern "C" __global__ void layer_norm_back(const T* x, const T* dy, const T* w, const W* means,
                                           const W* inverses, T* dx, Int rows, Int columns, bool has_w) {
  __shared__ W part[MOST_THREADS];
  EACH_ROW(r, rows) {
    const W mean = means[r], inverse = inverses[r];
    W sum = 0, product = 0;
    EACH_COLUMN(k, columns) {
      const Int i = r * columns + k;
      const W dz = has_w ? (W)dy[i] * (W)w[k] : (W)dy[i];
      sum += dz;
      product += dz * (((W)x[i] - mean) * inverse);
    }
    sum = block_sum(sum, part) / (W)columns;
    product = block_sum(product, part) / (W)columns;
    EACH_COLUMN(k, columns) {
      const Int i = r * columns + k;
      const W dz = has_w ? (W)dy[i] * (W)w[k] : (W)dy[i];
      dx[i] = (T)((dz - sum - ((W)x[i] - mean) * inverse * product) * inverse);
    }
  }
}

// the sums over a chunk of rows of dy and of dy z
extern "C" __global__ void affine_sums(const T* x, const T* dy, const W* means, const W* inverses, W* sums,
                                       W* products, Int rows, Int columns, Int chunks, Int wanted) {
  __shared__ W part[MOST_THREADS];
  EACH_CHUNK(unit, columns, chunks) {
    CHUNK_OF(unit, rows, columns, chunks)
    W sum = 0, product = 0;
    for (Int r = first; r < stop; r += lanes) {
      const W d = (W)dy[r * columns + c];
      sum += d;
      product += d * (((W)x[r * columns + c] - means[r]) * inverses[r]);
    }
    sum = lane_sum(sum, part, width, lanes);
    product = lane_sum(product, part, width, lanes);
    if (lane == 0 && c < columns) {
      sums[chunk * columns + c] = sum;
      products[chunk * columns + c] = product;
    }
  }
}

extern "C" __global__ void total_affine(const W* sums, const W* products, T* db, T* dw, Int columns,
                                        Int chunks) {
  __shared__ W part[MOST_THREADS];
  EACH_ROW(c, columns) {
    W sum = 0, product = 0;
    EACH_COLUMN(k, chunks) {
      sum += sums[k * columns + c];
      product += products[k * columns + c];
    }
    sum = block_sum(sum, part);
    product = block_sum(product, part);
    if (threadIdx.x == 0) {
      db[c] = (T)sum;
      dw[c] = (T)product;
    }
  }
}
""",
    reductions=True,
)


def layer_norm(
    x: Array,
    w: Array | None = None,
    b: Array | None = None,
    *,
    normalized_shape: tuple[int, ...],
    eps: float = 1e-5,
) -> Any:
    """y = w (x - mean) / sqrt(var + eps) + b with the statistics over the last axes, those normalised."""
    shape = tuple(normalized_shape)
    fits = takes(x, w, b) and is_eps(eps) and bool(shape) and x.shape[-len(shape) :] == shape
    if not fits or math.prod(shape) < 2 or not have_shape(shape, w, b):
        return NotImplemented
    columns, wide = math.prod(shape), wide_dtype(x.dtype)
    rows, source, scale = x.size // columns, packed(x), or_other(w, x)
    y = xp.empty(x.shape, dtype=x.dtype)
    statistics = xp.empty(rows, dtype=wide), xp.empty(rows, dtype=wide)
    PROGRAM.rows(
        *("layer_norm", x.dtype, rows, columns, source, scale, or_other(b, x), y, *statistics),
        *(rows, columns, eps, w is not None, b is not None),
    )

    def pullback(dy: Array, *, input_grad: bool = True) -> Any:
        # dx = (dz - mean(dz) - z mean(dz z)) / sqrt(var + eps) with dz = dy w, dw = sum dy z, db = sum dy
        upstream, dx, dw, db = packed(dy, x.dtype), None, None, None
        if input_grad:
            dx = xp.empty(x.shape, dtype=x.dtype)
            PROGRAM.rows(
                *("layer_norm_back", x.dtype, rows, columns, source, upstream, scale, *statistics, dx),
                *(rows, columns, w is not None),
            )
        if w is not None or b is not None:
            dw, db = _affine_gradients(source, upstream, statistics, shape)
        return dx, None if w is None else dw, None if b is None else db

    return y, pullback


def _affine_gradients(
    x: Array, dy: Array, statistics: tuple[Array, Array], shape: tuple[int, ...]
) -> tuple[Array, Array]:
    """Return dw and db of a norm over the last axes."""
    columns = math.prod(shape)
    rows, wide = x.size // columns, wide_dtype(x.dtype)
    blocks, chunks, width = cut(rows, columns)
    sums, products = (xp.empty((chunks, columns), dtype=wide) for _ in range(2))
    PROGRAM.units(
        *("affine_sums", x.dtype, blocks, x, dy, *statistics, sums, products, rows, columns, chunks, width)
    )
    dw, db = xp.empty(shape, dtype=x.dtype), xp.empty(shape, dtype=x.dtype)
    PROGRAM.rows("total_affine", x.dtype, columns, chunks, sums, products, db, dw, columns, chunks)
    return dw, db
