"""Cross-entropy from labels: two launches forward and one back, where the formula takes 25 and 9.

The labels are read where they lie: no mask, no one-hot, no exponentials kept; three passes over the logits.
"""

import operator
from typing import Any

from minidl import backend
from minidl.backend import Array, xp
from minidl.ops._kernels._program import Program, packed, takes, wide_dtype

PROGRAM = Program(
    """
// of each row: its largest logit, the sum of e^(x - largest), its loss, and what it counts for
extern "C" __global__ void cross_entropy(const T* x, const Int* labels, const W* weight, W* most, W* sums,
                                         W* losses, W* counts, Int rows, Int classes, bool weighted,
                                         bool ignores, Int ignored) {
  __shared__ W part[MOST_THREADS];
  EACH_ROW(r, rows) {
    const T* row = x + r * classes;
    W largest = (W)row[0];
    EACH_COLUMN(k, classes) largest = larger(largest, (W)row[k]);
    largest = block_max(largest, part);
    W total = 0;
    EACH_COLUMN(k, classes) total += exp((W)row[k] - largest);
    total = block_sum(total, part);
    if (threadIdx.x == 0) {
      const Int label = labels[r];
      const bool kept = !(ignores && label == ignored), inside = label >= 0 && label < classes;
      const Int read = kept && inside ? label : 0;
      const W count = kept ? (weighted ? weight[read] : (W)1) : (W)0;
      const W loss = count * log(total) - count * ((W)row[read] - largest);
      most[r] = largest;
      sums[r] = total;
      counts[r] = count;
      losses[r] = kept && !inside ? NOTHING : ignores && count == 0 ? (W)0 : loss;
    }
  }
}

// the sum of all losses and of all counts, in one block
extern "C" __global__ void total_loss(const W* losses, const W* counts, W* value, W* divisor, Int rows,
                                      bool mean) {
  __shared__ W part[MOST_THREADS];
  W loss = 0, count = 0;
  EACH_COLUMN(r, rows) {
    loss += losses[r];
    count += counts[r];
  }
  loss = block_sum(loss, part);
  count = block_sum(count, part);
  if (threadIdx.x == 0 && blockIdx.x == 0) {
    divisor[0] = !mean ? (W)1 : count == 0 ? NOTHING : count;
    value[0] = loss / divisor[0];
  }
}

// dx = (softmax(x) - one_hot) count dy / divisor
extern "C" __global__ void cross_entropy_back(const T* x, const Int* labels, const W* most, const W* sums,
                                              const W* counts, const W* divisor, const W* dy, T* dx, Int rows,
                                              Int classes, bool by_row, bool ignores, Int ignored) {
  EACH_ROW(r, rows) {
    const Int label = labels[r];
    const bool kept = !(ignores && label == ignored), inside = label >= 0 && label < classes;
    const W share = (by_row ? dy[r] : dy[0] / divisor[0]) * (kept && !inside ? NOTHING : counts[r]);
    const bool out = ignores && counts[r] == 0 && (inside || !kept);
    EACH_COLUMN(k, classes) {
      const W part = exp((W)x[r * classes + k] - most[r]) * (share / sums[r]);
      dx[r * classes + k] = out ? (T)0.0f : (T)(k == label ? part - share : part);
    }
  }
}
""",
    reductions=True,
)


def cross_entropy(
    logits: Array,
    *,
    target: Array,
    weight: Array | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    """loss = -sum_k q_k log softmax(logits)_k for one label in each row."""
    ignored = _as_index(ignore_index)
    if backend.DEBUG or label_smoothing != 0 or reduction not in ("mean", "sum", "none") or ignored is None:
        return NotImplemented
    if not _fits(logits, target, weight):
        return NotImplemented
    rows, classes = target.size, logits.shape[-1]
    dtype = wide_dtype(logits.dtype)
    if target.dtype == xp.uint64:
        target = xp.minimum(target, 2**63 - 1)  # which is no class, and no negative number either
    x, labels = packed(logits), packed(target, xp.int64)
    most, sums, losses, counts = (xp.empty(rows, dtype=dtype) for _ in range(4))
    by_class = most if weight is None else packed(weight, dtype)
    options = (ignore_index is not None, ignored)
    PROGRAM.rows(
        *("cross_entropy", x.dtype, rows, classes, x, labels, by_class, most, sums, losses, counts),
        *(rows, classes, weight is not None, *options),
    )
    value, divisor = losses.reshape(target.shape), most
    if reduction != "none":
        value, divisor = xp.empty((), dtype=dtype), xp.empty((), dtype=dtype)
        PROGRAM.rows(
            "total_loss", x.dtype, 1, rows, losses, counts, value, divisor, rows, reduction == "mean"
        )

    def pullback(dy: Array) -> Array:
        # dlogits = (softmax(logits) - q) dloss
        dx = xp.empty(logits.shape, dtype=logits.dtype)
        PROGRAM.rows(
            *("cross_entropy_back", x.dtype, rows, classes, x, labels, most, sums, counts, divisor),
            *(packed(dy, dtype), dx, rows, classes, reduction == "none", *options),
        )
        return dx

    return value, pullback


def _as_index(ignore_index: int | None) -> int | None:
    """Return the label to leave out as an int of 64 bits, None for what is none."""
    try:
        number = operator.index(0 if ignore_index is None else ignore_index)
    except TypeError:
        return None
    return number if -(2**63) <= number < 2**63 else None


def _fits(logits: Array, target: Array, weight: Array | None) -> bool:
    """Tell whether this is a row of logits for each label, and a weight for each class."""
    if not takes(logits) or not logits.ndim or type(target) is not xp.ndarray:
        return False
    if target.shape != logits.shape[:-1] or target.dtype.kind not in "iu":
        return False
    return weight is None or (takes(weight) and weight.shape == logits.shape[-1:])
