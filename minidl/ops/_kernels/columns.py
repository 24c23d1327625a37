"""Sums over the rows of each column: two launches in place of four, in an order that the shape alone fixes.

The rows are cut into chunks; a block takes one chunk of some neighbouring columns, then one block for each
column adds up the chunks.
"""

from typing import Any

from minidl.backend import Array, xp
from minidl.ops._kernels._program import THREADS, Program, packed, takes

COLUMNS = """
// A block is `lanes` rows of `width` threads, one for each of some neighbouring columns.
#define EACH_CHUNK(unit, columns, chunks)                                                             \\
  const Int width = wanted < blockDim.x ? wanted : blockDim.x, lanes = blockDim.x / width;             \\
  const Int lane = threadIdx.x / width, tiles = ((columns) + width - 1) / width;                       \\
  for (Int unit = blockIdx.x; unit < tiles * (chunks); unit += gridDim.x)

#define CHUNK_OF(unit, rows, columns, chunks)                                                         \\
  const Int chunk = (unit) / tiles, c = (unit) % tiles * width + threadIdx.x % width;                  \\
  const Int per = ((rows) + (chunks) - 1) / (chunks), first = chunk * per + lane;                      \\
  const Int stop = c < (columns) ? ((chunk + 1) * per < (rows) ? (chunk + 1) * per : (rows)) : 0;

// What the lanes bring, added up for each column, returned to all of them.
__device__ inline W lane_sum(W mine, W* part, Int width, Int lanes) {
  part[threadIdx.x] = mine;
  __syncthreads();
  for (Int half = lanes / 2; half > 0; half /= 2) {
    if (threadIdx.x < half * width) part[threadIdx.x] += part[threadIdx.x + half * width];
    __syncthreads();
  }
  const W total = part[threadIdx.x % width];
  __syncthreads();
  return total;
}
"""

PROGRAM = Program(
    COLUMNS
    + """
extern "C" __global__ void column_sums(const T* a, const T* b, W* partial, Int rows, Int columns, Int chunks,
                                       Int wanted, bool both) {
  __shared__ W part[MOST_THREADS];
  EACH_CHUNK(unit, columns, chunks) {
    CHUNK_OF(unit, rows, columns, chunks)
    W sum = 0;
    for (Int r = first; r < stop; r += lanes) {
      const W value = (W)a[r * columns + c];
      sum += both ? value * (W)b[r * columns + c] : value;
    }
    sum = lane_sum(sum, part, width, lanes);
    if (lane == 0 && c < columns) partial[chunk * columns + c] = sum;
  }
}

extern "C" __global__ void total_columns(const W* partial, T* sums, Int columns, Int chunks) {
  __shared__ W part[MOST_THREADS];
  EACH_ROW(c, columns) {
    W sum = 0;
    EACH_COLUMN(k, chunks) sum += partial[k * columns + c];
    sum = block_sum(sum, part);
    if (threadIdx.x == 0) sums[c] = (T)sum;
  }
}
""",
    reductions=True,
)


def cut(rows: int, columns: int) -> tuple[int, int, int]:
    """Return how many blocks there are, how many chunks of rows, and how many columns side by side."""
    width = min(THREADS, 1 << (columns - 1).bit_length())
    tiles, lanes = -(-columns // width), THREADS // width
    chunks = max(1, min(-(-rows // (8 * lanes)), max(1, 1024 // tiles)))
    return tiles * chunks, chunks, width


def column_sums(rows: Array, other: Array | None = None) -> Any:
    """Return the sum over the rows of ``rows``, or of ``rows * other``."""
    if not takes(rows, other) or rows.dtype == xp.float16 or rows.ndim != 2:
        return NotImplemented
    n, columns = rows.shape
    blocks, chunks, width = cut(n, columns)
    partial, sums = xp.empty((chunks, columns), dtype=rows.dtype), xp.empty(columns, dtype=rows.dtype)
    a, both = packed(rows), other is not None
    b = a if other is None else packed(other)
    PROGRAM.units("column_sums", rows.dtype, blocks, a, b, partial, n, columns, chunks, width, both)
    PROGRAM.rows("total_columns", rows.dtype, columns, chunks, partial, sums, columns, chunks)
    return sums
