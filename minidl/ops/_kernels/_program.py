"""Programs in CUDA C, written once for all floating-point types, and how they are launched.

Every kernel keeps to rules that let it run anywhere: it works with any grid, and with blocks of any power of
two up to `THREADS`; sizes are ``long long``; sums are taken in an order that follows from the shapes alone,
without atomics, so a result is the same each time.
"""

import functools
import math
from typing import Any

from minidl.backend import Array, xp

THREADS = 256
BLOCKS = 1 << 16  # more work than that goes round
OPTIONS = ("-std=c++17", "-fmad=false")  # a product and a sum are rounded one by one, as NumPy does
TYPES = {"float16": ("half_t", "float"), "float32": ("float", "float"), "float64": ("double", "double")}

PRELUDE = """
#ifdef __CUDACC_RTC__  // the instructions themselves, as NVRTC comes without cuda_fp16.h
__device__ inline float half_to_float(unsigned short bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}
__device__ inline unsigned short float_to_half(float value) {
  unsigned short bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}
#endif

struct half_t {
  unsigned short bits;
  __device__ half_t() {}
  __device__ half_t(float value) : bits(float_to_half(value)) {}
  __device__ operator float() const { return half_to_float(bits); }
};

#define MOST_THREADS 256
#define NOTHING ((W)nan(""))
#define EACH(i, n)                                                                                    \\
  for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < (n);                        \\
       i += (long long)gridDim.x * blockDim.x)
#define EACH_ROW(r, rows) for (long long r = blockIdx.x; r < (rows); r += gridDim.x)
#define EACH_COLUMN(k, columns) for (long long k = threadIdx.x; k < (columns); k += blockDim.x)

typedef long long Int;

// i / n and i % n for i >= 0 and n > 0, by numbers of 32 bits where these do, which is several times faster
__device__ inline Int over(Int i, Int n) {
  return (i | n) >> 32 ? i / n : (Int)((unsigned int)i / (unsigned int)n);
}
__device__ inline Int rest(Int i, Int n) {
  return (i | n) >> 32 ? i % n : (Int)((unsigned int)i % (unsigned int)n);
}
"""

REDUCTIONS = """
// What all threads of a block bring, added up in pairs; `part` has room for one number of each thread.
__device__ inline W block_sum(W mine, W* part) {
  part[threadIdx.x] = mine;
  __syncthreads();
  for (unsigned int half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    __syncthreads();
  }
  W total = part[0];
  __syncthreads();  // before anyone writes to `part` again
  return total;
}

__device__ inline W larger(W a, W b) { return b > a || b != b ? b : a; }  // NaN wins

__device__ inline W block_max(W mine, W* part) {
  part[threadIdx.x] = mine;
  __syncthreads();
  for (unsigned int half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) part[threadIdx.x] = larger(part[threadIdx.x], part[threadIdx.x + half]);
    __syncthreads();
  }
  W largest = part[0];
  __syncthreads();
  return largest;
}
"""


class Program:
    """CUDA C over ``T``, the type of the arrays, and ``W``, the type to compute in: float for half precision.

    Args:
        body: kernels, each declared as of ``extern "C"``.
        reductions: whether they need sums and maxima over blocks.
    """

    def __init__(self, body: str, *, reductions: bool = False) -> None:
        self.body = (REDUCTIONS if reductions else "") + body

    def source(self, dtype: Any) -> str:
        """Return the whole program for one type."""
        stored, wide = TYPES[xp.dtype(dtype).name]
        return f"{PRELUDE}typedef {stored} T;\ntypedef {wide} W;\n{self.body}"

    def each(self, name: str, dtype: Any, count: int, *args: Any) -> None:
        """Launch a kernel that has so many elements to treat, one in each thread."""
        self._launch(name, dtype, -(-count // THREADS), THREADS, args)

    def rows(self, name: str, dtype: Any, rows: int, columns: int, *args: Any) -> None:
        """Launch a kernel that treats each row in one block."""
        self._launch(name, dtype, rows, block_for(columns), args)

    def units(self, name: str, dtype: Any, blocks: int, *args: Any) -> None:
        """Launch a kernel that shares out its work among so many blocks itself."""
        self._launch(name, dtype, blocks, THREADS, args)

    def _launch(self, name: str, dtype: Any, blocks: int, threads: int, args: tuple[Any, ...]) -> None:
        if blocks:  # a grid of nothing is an error
            kernel = raw_kernel(self.source(dtype), name)
            kernel((min(blocks, BLOCKS),), (threads,), args)


@functools.cache
def raw_kernel(source: str, name: str) -> Any:
    """Compile a kernel, once."""
    return xp.RawKernel(source, name, options=OPTIONS)  # type: ignore[attr-defined]  # CuPy alone has it


def block_for(length: int) -> int:
    """Return the number of threads that share a row: a power of two, of one warp at least."""
    return min(THREADS, max(32, 1 << (max(1, length) - 1).bit_length()))


def wide_dtype(dtype: Any) -> Any:
    """Return the dtype to compute and to keep statistics in."""
    return xp.dtype("float32") if dtype == xp.float16 else xp.dtype(dtype)


def takes(x: object, *others: Array | None) -> bool:
    """Tell whether a kernel may read these arrays: of floats of one type, the first of them not empty."""
    if type(x) is not xp.ndarray or x.dtype.name not in TYPES or not x.dtype.isnative or not x.size:
        return False
    return all(other is None or (type(other) is xp.ndarray and other.dtype == x.dtype) for other in others)


def packed(x: Array, dtype: Any = None) -> Array:
    """Return an array whose memory a kernel can walk through: contiguous, and of the dtype wanted."""
    if x.flags.c_contiguous and (dtype is None or x.dtype == dtype):
        return x
    return xp.ascontiguousarray(x, dtype=x.dtype if dtype is None else dtype).reshape(x.shape)


def is_eps(eps: float) -> bool:
    """Tell whether this is a number that may be added to a variance."""
    return type(eps) is float and 0 < eps < math.inf


def have_shape(shape: tuple[int, ...], *arrays: Array | None) -> bool:
    """Tell whether all arrays that are there have a shape."""
    return all(a is None or a.shape == shape for a in arrays)


def or_other(w: Array | None, x: Array) -> Array:
    """Return a weight for a kernel, or an array to pass in its place where there is none."""
    return x if w is None else packed(w)
