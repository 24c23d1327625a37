"""Batch norm: three launches each way, where the formula takes 17 and 18 and makes an array in each.

x is read three times and y written, back x and dy are read twice and dx is written. Statistics are kept in
single precision at least, and merged from means and squared deviations, so no large numbers are subtracted.
"""

from typing import Any

from minidl.backend import Array, xp
from minidl.ops._kernels._program import Program, have_shape, is_eps, or_other, packed, takes, wide_dtype
from minidl.ops._kernels.columns import COLUMNS, cut

PROGRAM = Program(
    COLUMNS
    + """
// the mean of each column over one chunk of rows, and the sum of squared deviations from it
extern "C" __global__ void statistics(const T* x, W* means, W* squares, Int rows, Int columns, Int chunks,
                                      Int wanted) {
  __shared__ W part[MOST_THREADS];
  EACH_CHUNK(unit, columns, chunks) {
    CHUNK_OF(unit, rows, columns, chunks)
    const Int count = stop - chunk * per;
    W sum = 0, square = 0;
    for (Int r = first; r < stop; r += lanes) sum += (W)x[r * columns + c];
    sum = lane_sum(sum, part, width, lanes);
    const W mean = count > 0 ? sum / (W)count : (W)0;
    for (Int r = first; r < stop; r += lanes) {
      const W gap = (W)x[r * columns + c] - mean;
      square += gap * gap;
    }
    square = lane_sum(square, part, width, lanes);
    if (lane == 0 && c < columns) {
      means[chunk * columns + c] = mean;
      squares[chunk * columns + c] = square;
    }
  }
}

__device__ inline W in_chunk(Int chunk, Int per, Int rows) {
  const Int left = rows - chunk * per;
  return (W)(left < 0 ? 0 : left < per ? left : per);
}

extern "C" __global__ void merge_statistics(const W* means, const W* squares, W* mean, W* var, Int rows,
                                            Int columns, Int chunks) {
  __shared__ W part[MOST_THREADS];
  const Int per = (rows + chunks - 1) / chunks;
  EACH_ROW(c, columns) {
    W sum = 0, square = 0;
    EACH_COLUMN(k, chunks) sum += in_chunk(k, per, rows) * means[k * columns + c];
    const W whole = block_sum(sum, part) / (W)rows;
    EACH_COLUMN(k, chunks) {
      const W gap = means[k * columns + c] - whole;
      square += squares[k * columns + c] + in_chunk(k, per, rows) * gap * gap;
    }
    square = block_sum(square, part);
    if (threadIdx.x == 0) {
      mean[c] = whole;
      var[c] = square / (W)rows;
    }
  }
}

#define SCALE(c) ((W)1 / sqrt(var[c] + (W)eps) * (has_w ? (W)w[c] : (W)1))

extern "C" __global__ void normalize(const T* x, const W* mean, const W* var, const T* w, const T* b, T* y,
                                     Int count, Int columns, double eps, bool has_w, bool has_b) {
  EACH(i, count) {
    const Int c = rest(i, columns);
    const W z = ((W)x[i] - mean[c]) * SCALE(c);
    y[i] = (T)(has_b ? z + (W)b[c] : z);
  }
}

// the sums over a chunk of dy and of dy (x - mean)
extern "C" __global__ void gradient_sums(const T* x, const T* dy, const W* mean, W* sums, W* products,
                                         Int rows, Int columns, Int chunks, Int wanted) {
  __shared__ W part[MOST_THREADS];
  EACH_CHUNK(unit, columns, chunks) {
    CHUNK_OF(unit, rows, columns, chunks)
    W sum = 0, product = 0;
    for (Int r = first; r < stop; r += lanes) {
      const W d = (W)dy[r * columns + c];
      sum += d;
      product += d * ((W)x[r * columns + c] - mean[c]);
    }
    sum = lane_sum(sum, part, width, lanes);
    product = lane_sum(product, part, width, lanes);
    if (lane == 0 && c < columns) {
      sums[chunk * columns + c] = sum;
      products[chunk * columns + c] = product;
    }
  }
}

// db and dw; and in single precision at least, the sums of dy and of dy (x - mean)
extern "C" __global__ void total_gradients(const W* sums, const W* products, const W* var, T* db, T* dw,
                                           W* sum_out, W* product_out, Int columns, Int chunks, double eps) {
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
      const W inverse = (W)1 / sqrt(var[c] + (W)eps);
      db[c] = (T)sum;
      dw[c] = (T)(product * inverse);
      sum_out[c] = sum;
      product_out[c] = product;
    }
  }
}

// dx = w / sqrt(var + eps) (dy - mean of dy - (x - mean) / (var + eps) mean of dy (x - mean))
extern "C" __global__ void batch_norm_back(const T* x, const T* dy, const W* mean, const W* var, const T* w,
                                           const W* sums, const W* products, T* dx, Int count, Int columns,
                                           double eps, bool has_w) {
  const W rows = (W)(count / columns);
  EACH(i, count) {
    const Int c = rest(i, columns);
    const W inverse = (W)1 / sqrt(var[c] + (W)eps), scale = SCALE(c);
    const W slope = products[c] * inverse * scale * inverse / rows;
    dx[i] = (T)((W)dy[i] * scale - ((W)x[i] - mean[c]) * slope - sums[c] * scale / rows);
  }
}

extern "C" __global__ void moved(const T* running, const T* batch, T* out, Int count, double weight,
                                 double kept) {
  EACH(i, count) out[i] = (T)((W)kept * (W)running[i] + (W)weight * (W)batch[i]);
}

extern "C" __global__ void scale_columns(const T* dy, const W* var, const T* w, T* dx, Int count, Int columns,
                                         double eps, bool has_w) {
  EACH(i, count) {
    const Int c = rest(i, columns);
    dx[i] = (T)((W)dy[i] * SCALE(c));
  }
}
""",
    reductions=True,
)


def batch_norm(x: Array, w: Array | None = None, b: Array | None = None, *, eps: float = 1e-5) -> Any:
    """y = w (x - mean) / sqrt(var + eps) + b with the mean and variance of each channel."""
    if not _is_channelwise(x, w, b, eps) or x.size == x.shape[-1]:
        return NotImplemented
    columns = x.shape[-1]
    rows, wide = x.size // columns, wide_dtype(x.dtype)
    source, scale, shift = packed(x), or_other(w, x), or_other(b, x)
    mean, var = xp.empty(columns, dtype=wide), xp.empty(columns, dtype=wide)
    blocks, chunks, width = cut(rows, columns)
    means, squares = (xp.empty((chunks, columns), dtype=wide) for _ in range(2))
    PROGRAM.units("statistics", x.dtype, blocks, source, means, squares, rows, columns, chunks, width)
    PROGRAM.rows(
        "merge_statistics", x.dtype, columns, chunks, means, squares, mean, var, rows, columns, chunks
    )
    y = xp.empty(x.shape, dtype=x.dtype)
    present = (w is not None, b is not None)
    PROGRAM.each(
        "normalize", x.dtype, x.size, source, mean, var, scale, shift, y, x.size, columns, eps, *present
    )

    def pullback(dy: Array, *, input_grad: bool = True) -> Any:
        # dx = w / sqrt(var + eps) (dy - db / count - z dw / count), dw = sum dy z, db = sum dy
        upstream = packed(dy, x.dtype)
        dw, db, sums, products = _channel_gradients(source, upstream, mean, var, eps)
        dx = None
        if input_grad:
            dx = xp.empty(x.shape, dtype=x.dtype)
            PROGRAM.each(
                *("batch_norm_back", x.dtype, x.size, source, upstream, mean, var, scale, sums, products, dx),
                *(x.size, columns, eps, w is not None),
            )
        return dx, None if w is None else dw, None if b is None else db

    return (y, mean, var), pullback


def batch_norm_inference(
    x: Array, w: Array | None = None, b: Array | None = None, *, mean: Array, var: Array, eps: float = 1e-5
) -> Any:
    """y = w (x - mean) / sqrt(var + eps) + b with statistics that are given, one number for each channel."""
    if not _is_channelwise(x, w, b, eps) or not _are_statistics(x, mean, var):
        return NotImplemented
    columns, source, scale = x.shape[-1], packed(x), or_other(w, x)
    mean, var = packed(mean), packed(var)
    y = xp.empty(x.shape, dtype=x.dtype)
    PROGRAM.each(
        *("normalize", x.dtype, x.size, source, mean, var, scale, or_other(b, x), y, x.size, columns, eps),
        *(w is not None, b is not None),
    )

    def pullback(dy: Array, *, input_grad: bool = True) -> Any:
        # dx = dy w / sqrt(var + eps), dw = sum dy (x - mean) / sqrt(var + eps), db = sum dy
        upstream, dx, dw, db = packed(dy, x.dtype), None, None, None
        if input_grad:
            dx = xp.empty(x.shape, dtype=x.dtype)
            PROGRAM.each(
                *("scale_columns", x.dtype, x.size, upstream, var, scale, dx),
                *(x.size, columns, eps, w is not None),
            )
        if w is not None or b is not None:
            dw, db, *_ = _channel_gradients(source, upstream, mean, var, eps)
        return dx, None if w is None else dw, None if b is None else db

    return y, pullback


def moved(running: Array, new: Array, weight: float) -> Any:
    """Return running statistics, moved towards those of a batch."""
    if not takes(running, new) or new.shape != running.shape:
        return NotImplemented
    out = xp.empty(running.shape, dtype=running.dtype)
    arrays = packed(running), packed(new), out
    PROGRAM.each("moved", running.dtype, running.size, *arrays, running.size, float(weight), 1.0 - weight)
    return out


def _channel_gradients(x: Array, dy: Array, mean: Array, var: Array, eps: float) -> tuple[Array, ...]:
    """Return dw and db, then the sums of dy and of dy (x - mean), for each channel."""
    columns = x.shape[-1]
    rows, wide = x.size // columns, wide_dtype(x.dtype)
    blocks, chunks, width = cut(rows, columns)
    sums, products = (xp.empty((chunks, columns), dtype=wide) for _ in range(2))
    PROGRAM.units(
        *("gradient_sums", x.dtype, blocks, x, dy, mean, sums, products, rows, columns, chunks, width)
    )
    dw, db = (xp.empty(columns, dtype=x.dtype) for _ in range(2))
    sum_out, product_out = (xp.empty(columns, dtype=wide) for _ in range(2))
    PROGRAM.rows(
        *("total_gradients", x.dtype, columns, chunks, sums, products, var, db, dw, sum_out, product_out),
        *(columns, chunks, eps),
    )
    return dw, db, sum_out, product_out


def _is_channelwise(x: Array, w: Array | None, b: Array | None, eps: float) -> bool:
    return takes(x, w, b) and is_eps(eps) and x.ndim > 1 and have_shape(x.shape[-1:], w, b)


def _are_statistics(x: Array, *arrays: Array) -> bool:
    """Tell whether these are numbers for the channels of x, of the precision that it is computed in."""
    wide = wide_dtype(x.dtype)
    return all(type(a) is xp.ndarray and a.dtype == wide for a in arrays) and have_shape(
        x.shape[-1:], *arrays
    )
