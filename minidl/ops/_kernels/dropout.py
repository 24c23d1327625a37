"""Dropout: one launch each way and no bytes from the host, where the formula sends two for each element.

The mask is never stored: Philox makes the same bits from the counter again when the gradient comes.
"""

import operator
from typing import Any

from minidl.backend import Array, xp
from minidl.ops._kernels._program import Program, packed, takes
from minidl.ops.dropout import LEVELS, check_probability

PER_BLOCK = 16  # lanes of 16 bits in the four words that a counter gives

PROGRAM = Program(
    """
typedef unsigned long long Word;

// Philox4x64-10 (Salmon et al., 2011), as numpy.random.Philox numbers its words: the first counter is 1.
__device__ inline void philox(Word counter, Word key0, Word key1, Word* words) {
  Word v0 = counter, v1 = 0, v2 = 0, v3 = 0;
  for (int round = 0; round < 10; ++round) {
    const Word high0 = __umul64hi(0xD2E7470EE14C6C93ull, v0), low0 = 0xD2E7470EE14C6C93ull * v0;
    const Word high1 = __umul64hi(0xCA5A826395121157ull, v2), low1 = 0xCA5A826395121157ull * v2;
    v0 = high1 ^ v1 ^ key0;
    v1 = low1;
    v2 = high0 ^ v3 ^ key1;
    v3 = low0;
    key0 += 0x9E3779B97F4A7C15ull;
    key1 += 0xBB67AE8584CAA73Bull;
  }
  words[0] = v0;
  words[1] = v1;
  words[2] = v2;
  words[3] = v3;
}

extern "C" __global__ void dropout(const T* x, T* y, Int count, Word seed, Word counter, Int levels,
                                   double scale) {
  EACH(block, (count + 15) / 16) {
    Word words[4];
    philox((Word)block + 1, seed, counter, words);
    for (int lane = 0; lane < 16; ++lane) {
      const Int i = 16 * block + lane;
      if (i < count) {
        const bool kept = (Int)((words[lane / 4] >> (16 * (lane % 4))) & 65535) < levels;
        y[i] = (T)((W)x[i] * (kept ? (W)1 : (W)0) * (W)scale);
      }
    }
  }
}
"""
)


def dropout(x: Array, *, p: float = 0.5, seed: int, counter: int = 0) -> Any:
    """y = x / (1 - p) with probability 1 - p, else 0; the mask depends on the seed and the counter alone."""
    if not takes(x) or not all(_is_word(number) for number in (seed, counter)):
        return NotImplemented
    levels = max(1, round((1 - check_probability(p, "dropout")) * LEVELS))
    if levels == LEVELS:
        return NotImplemented
    key = xp.uint64(operator.index(seed)), xp.uint64(operator.index(counter))

    def masked(a: Array) -> Array:
        y = xp.empty(x.shape, dtype=a.dtype)
        blocks = -(-x.size // PER_BLOCK)
        PROGRAM.each("dropout", a.dtype, blocks, packed(a), y, x.size, *key, levels, LEVELS / levels)
        return y

    def pullback(dy: Array) -> Array:
        # dx = dy / (1 - p) where x was kept, 0 elsewhere
        return masked(dy)

    return masked(x), pullback


def _is_word(number: object) -> bool:
    """Tell whether a number fits into the 64 bits of a key."""
    try:
        return 0 <= operator.index(number) < 2**64  # type: ignore[arg-type]  # refused below if it is no int
    except TypeError:
        return False
