"""One launch for each step of an optimizer, over the whole flat buffer, where the formulas take 2 to 16.

Each array is read and written once. Numbers are rounded in the order of the formulas, so the results are the
same to the bit.
"""

from typing import Any

from minidl.backend import Array
from minidl.ops._kernels._program import Program, takes

PENALTY = """
// g with the gradient of an L2 penalty
#define PENALTY const W decayed = decay != 0 ? (W)g[i] + (W)decay * (W)p[i] : (W)g[i];
"""

PROGRAM = Program(
    PENALTY
    + """
extern "C" __global__ void sgd(T* p, const T* g, Int count, double lr, double decay) {
  EACH(i, count) {
    PENALTY
    p[i] = (T)((W)p[i] - (W)lr * decayed);
  }
}

extern "C" __global__ void sgd_momentum(T* p, const T* g, W* velocity, Int count, double lr, double decay,
                                        double momentum, bool nesterov) {
  EACH(i, count) {
    PENALTY
    const W v = velocity[i] * (W)momentum + decayed;
    velocity[i] = v;
    p[i] = (T)((W)p[i] - (W)lr * (nesterov ? decayed + (W)momentum * v : v));
  }
}

// mean and velocity are read only where they are in use, and may be any array elsewhere
extern "C" __global__ void rmsprop(T* p, const T* g, W* square, W* mean, W* velocity, Int count, double lr,
                                   double share, double eps, double decay, double momentum, bool centered) {
  EACH(i, count) {
    PENALTY
    const W s = square[i] + (W)share * (decayed * decayed - square[i]);
    square[i] = s;
    W variance = s;
    if (centered) {
      const W m = mean[i] + (W)share * (decayed - mean[i]);
      mean[i] = m;
      variance = s - m * m;
      variance = variance < 0 ? (W)0 : variance;
    }
    W change = decayed / (sqrt(variance) + (W)eps);
    if (momentum != 0) {
      change = velocity[i] * (W)momentum + change;
      velocity[i] = change;
    }
    p[i] = (T)((W)p[i] - (W)lr * change);
  }
}

extern "C" __global__ void adagrad(T* p, const T* g, W* total, Int count, double rate, double decay,
                                   double initial, double eps) {
  EACH(i, count) {
    PENALTY
    const W t = total[i] + decayed * decayed;
    total[i] = t;
    p[i] = (T)((W)p[i] - (W)rate * decayed / (sqrt(t + (W)initial) + (W)eps));
  }
}

extern "C" __global__ void adadelta(T* p, const T* g, W* square, W* moved, Int count, double lr, double share,
                                    double eps, double decay) {
  EACH(i, count) {
    PENALTY
    const W s = square[i] + (W)share * (decayed * decayed - square[i]);
    const W change = sqrt(moved[i] + (W)eps) / sqrt(s + (W)eps) * decayed;
    square[i] = s;
    moved[i] = moved[i] + (W)share * (change * change - moved[i]);
    p[i] = (T)((W)p[i] - (W)lr * change);
  }
}

extern "C" __global__ void lion(T* p, const T* g, W* mean, Int count, double lr, double shrink, double share1,
                                double share2) {
  EACH(i, count) {
    const W m = mean[i], gap = (W)g[i] - m, way = m + (W)share1 * gap;
    const W sign = way > 0 ? (W)1 : way < 0 ? (W)-1 : way;
    p[i] = (T)((W)p[i] * (W)shrink - (W)lr * sign);
    mean[i] = m + (W)share2 * gap;
  }
}
"""
)


def takes_step(p: Array, g: Array) -> bool:
    """Tell whether a kernel may take this step."""
    return takes(p, g) and bool(p.flags.c_contiguous and g.flags.c_contiguous)


def sgd(
    p: Array, g: Array, state: Any, lr: float, momentum: float, nesterov: bool, weight_decay: float
) -> Any:
    """Change ``p`` by one step, with a velocity where there is momentum."""
    if not takes_step(p, g):
        return NotImplemented
    if not momentum:
        return PROGRAM.each("sgd", p.dtype, p.size, p, g, p.size, float(lr), float(weight_decay))
    options = (float(lr), float(weight_decay), float(momentum), bool(nesterov))
    return PROGRAM.each("sgd_momentum", p.dtype, p.size, p, g, state["velocity"], p.size, *options)


def rmsprop(
    p: Array,
    g: Array,
    state: Any,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
    centered: bool,
) -> Any:
    """Change ``p`` by one step."""
    if not takes_step(p, g):
        return NotImplemented
    square = state["square"]
    mean = state["mean"] if centered else square
    velocity = state["velocity"] if momentum else square
    return PROGRAM.each(
        *("rmsprop", p.dtype, p.size, p, g, square, mean, velocity, p.size, float(lr), 1.0 - alpha),
        *(float(eps), float(weight_decay), float(momentum), bool(centered)),
    )


def adagrad(
    p: Array,
    g: Array,
    state: Any,
    lr: float,
    lr_decay: float,
    weight_decay: float,
    initial_accumulator_value: float,
    eps: float,
) -> Any:
    """Change ``p`` by one step."""
    if not takes_step(p, g):
        return NotImplemented
    rate = lr / (1.0 + (state.step - 1) * lr_decay)
    return PROGRAM.each(
        *("adagrad", p.dtype, p.size, p, g, state["total"], p.size, float(rate), float(weight_decay)),
        *(float(initial_accumulator_value), float(eps)),
    )


def adadelta(p: Array, g: Array, state: Any, lr: float, rho: float, eps: float, weight_decay: float) -> Any:
    """Change ``p`` by one step."""
    if not takes_step(p, g):
        return NotImplemented
    return PROGRAM.each(
        *("adadelta", p.dtype, p.size, p, g, state["square"], state["moved"], p.size),
        *(float(lr), 1.0 - rho, float(eps), float(weight_decay)),
    )


def lion(p: Array, g: Array, state: Any, lr: float, betas: tuple[float, float], weight_decay: float) -> Any:
    """Change ``p`` by one step."""
    if not takes_step(p, g):
        return NotImplemented
    shrink = 1.0 - lr * weight_decay
    return PROGRAM.each(
        *("lion", p.dtype, p.size, p, g, state["mean"], p.size),
        *(float(lr), float(shrink), 1.0 - betas[0], 1.0 - betas[1]),
    )
