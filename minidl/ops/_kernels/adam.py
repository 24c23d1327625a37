"""Adam and its relatives: one launch for a step over the flat buffer, where the formulas take 10 to 16.

Adam's formula moves some 29 arrays through memory, its kernel 7: it reads p, g, mean and square and writes
all but g. Numbers are rounded in the order of the formulas, so the results are the same to the bit.
"""

import math
from typing import Any

from minidl.backend import Array
from minidl.ops._kernels._program import Program
from minidl.ops._kernels.optimizers import PENALTY, takes_step

PROGRAM = Program(
    PENALTY
    + """
// the mean of the gradient and of its square
#define MOMENTS                                                                                       \\
  const W m = mean[i] * (W)keep1 + decayed * (W)share1, part = decayed * (W)root2;                     \\
  const W s = square[i] * (W)keep2 + part * part;                                                      \\
  mean[i] = m;                                                                                         \\
  square[i] = s;

extern "C" __global__ void adam(T* p, const T* g, W* mean, W* square, Int count, double decay, double shrink,
                                double keep1, double share1, double keep2, double root2, double eps,
                                double rate) {
  EACH(i, count) {
    PENALTY
    MOMENTS
    p[i] = (T)((W)p[i] * (W)shrink - m / (sqrt(s) + (W)eps) * (W)rate);
  }
}

// NAdam and RAdam: p less two terms, each a rate times a vector over a root, or over 1
extern "C" __global__ void adam_relative(T* p, const T* g, W* mean, W* square, Int count, double decay,
                                         double shrink, double keep1, double share1, double keep2,
                                         double root2, double divisor, double eps, double rate_g,
                                         double rate_m, bool rooted) {
  EACH(i, count) {
    PENALTY
    MOMENTS
    const W root = rooted ? sqrt(s) / (W)divisor + (W)eps : (W)1;
    W value = (W)p[i] * (W)shrink;
    if (rate_g != 0) value -= (W)rate_g * decayed / root;
    p[i] = (T)(value - (W)rate_m * m / root);
  }
}

extern "C" __global__ void adamax(T* p, const T* g, W* mean, W* largest, Int count, double decay,
                                  double share1, double keep2, double eps, double rate) {
  EACH(i, count) {
    PENALTY
    const W m = mean[i] + (W)share1 * (decayed - mean[i]);
    const W old = (W)keep2 * largest[i], size = (decayed < 0 ? -decayed : decayed) + (W)eps;
    const W most = old > size || old != old ? old : size;
    mean[i] = m;
    largest[i] = most;
    p[i] = (T)((W)p[i] - (W)rate * m / most);
  }
}
"""
)


def adam(
    p: Array,
    g: Array,
    state: Any,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> Any:
    """Change ``p`` by one step of Adam."""
    return _adam(p, g, state, lr, betas, eps, penalty=weight_decay, shrink=1.0)


def adamw(
    p: Array,
    g: Array,
    state: Any,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> Any:
    """Change ``p`` by one step of AdamW."""
    return _adam(p, g, state, lr, betas, eps, penalty=0.0, shrink=1.0 - lr * weight_decay)


def _adam(
    p: Array,
    g: Array,
    state: Any,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    *,
    penalty: float,
    shrink: float,
) -> Any:
    if not takes_step(p, g):
        return NotImplemented
    grown = math.sqrt(1.0 - betas[1] ** state.step)
    rate = lr / (1.0 - betas[0] ** state.step) * grown
    return PROGRAM.each(
        *("adam", p.dtype, p.size, p, g, state["mean"], state["square"], p.size, float(penalty)),
        *(float(shrink), *_shares(betas), eps * grown, rate),
    )


def _shares(betas: tuple[float, float]) -> tuple[float, ...]:
    """Return keep1, share1, keep2 and root2 of the kernels."""
    return float(betas[0]), 1.0 - betas[0], float(betas[1]), math.sqrt(1.0 - betas[1])


def relative_step(
    p: Array,
    g: Array,
    state: Any,
    betas: tuple[float, float],
    eps: float,
    decays: tuple[float, float],
    rates: tuple[float, float],
    divisor: float | None,
) -> Any:
    """Take a step along the gradient and one along the mean, over a root of the square or over nothing."""
    if not takes_step(p, g):
        return NotImplemented
    return PROGRAM.each(
        *("adam_relative", p.dtype, p.size, p, g, state["mean"], state["square"], p.size),
        *map(float, (*decays, *_shares(betas), divisor or 1.0, eps, *rates)),
        divisor is not None,
    )


def adamax(
    p: Array, g: Array, state: Any, lr: float, betas: tuple[float, float], eps: float, weight_decay: float
) -> Any:
    """Change ``p`` by one step."""
    if not takes_step(p, g):
        return NotImplemented
    rate = lr / (1.0 - betas[0] ** state.step)
    return PROGRAM.each(
        *("adamax", p.dtype, p.size, p, g, state["mean"], state["largest"], p.size, float(weight_decay)),
        *(1.0 - betas[0], float(betas[1]), float(eps), rate),
    )
