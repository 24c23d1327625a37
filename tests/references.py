"""What is right, in the slowest and plainest way: float64, one number or one slice at a time."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.windows import (
    Geometry,
    ceil_output_size,
    naive_avg_pool,
    naive_conv,
    naive_im2row,
    naive_max_pool,
    output_size,
)

Reference = Callable[..., Any]


def each(f: Callable[..., float]) -> Reference:
    """A function of numbers, element by element, with broadcasting."""

    def elementwise(*arrays: np.ndarray, **options: Any) -> np.ndarray:
        whole = np.broadcast_arrays(*arrays)
        y = np.empty(whole[0].shape)
        for index in np.ndindex(y.shape):
            y[index] = f(*(float(a[index]) for a in whole), **options)
        return y

    return elementwise


def rows(f: Callable[..., Any]) -> Reference:
    """A function of one sample, sample by sample; options that have a row for each sample are taken apart."""

    def by_sample(*arrays: np.ndarray, target: np.ndarray, **options: Any) -> np.ndarray:
        samples = zip(*arrays, target, strict=True)
        return np.array([f(*parts, **options) for parts in samples], dtype=float).reshape(len(target))

    return by_sample


def mean(f: Reference) -> Reference:
    return lambda *arrays, **options: float(np.mean(f(*arrays, **options)))


def along(f: Callable[[list[float]], list[float]], axis: int = -1) -> Reference:
    """A function of a list of numbers, along one axis."""

    def slices(x: np.ndarray, axis: int = axis) -> np.ndarray:
        return np.apply_along_axis(lambda line: np.array(f(line.tolist())), axis, x)

    return slices


def softmax_line(line: list[float]) -> list[float]:
    return [1 / math.fsum(math.exp(min(w - v, 709)) for w in line) for v in line]


def log_softmax_line(line: list[float]) -> list[float]:
    top = max(line)
    return [v - top - math.log(math.fsum(math.exp(w - top) for w in line)) for v in line]


softmax = along(softmax_line)
log_softmax = along(log_softmax_line)
softmin = along(lambda line: softmax_line([-v for v in line]))


def sigmoid(v: float) -> float:
    return 1 / (1 + math.exp(-v))


def normal_share(v: float) -> float:
    return (1 + math.erf(v / math.sqrt(2))) / 2


def gelu_tanh(v: float) -> float:
    return 0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)))


def glu_line(line: list[float]) -> list[float]:
    half = len(line) // 2
    return [a * sigmoid(b) for a, b in zip(line[:half], line[half:], strict=True)]


def reduce(f: Callable[[list[float]], float]) -> Reference:
    """A function of a list of numbers, over all of them or along one axis."""

    def reduced(x: np.ndarray, axis: int | None = None, keepdims: bool = False) -> np.ndarray:
        flat = x.reshape(-1) if axis is None else x
        y = np.apply_along_axis(lambda line: f(line.tolist()), -1 if axis is None else axis, flat)
        return np.expand_dims(y, axis) if keepdims and axis is not None else y

    return reduced


def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    y = np.zeros((*x.shape[:-1], weight.shape[1]))
    for index in np.ndindex(y.shape):
        y[index] = math.fsum(x[(*index[:-1], i)] * weight[i, index[-1]] for i in range(len(weight)))
        y[index] += 0.0 if bias is None else bias[index[-1]]
    return y


def matmul(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    return np.stack(
        [linear(a, b) for a, b in zip(x, np.broadcast_to(w, (len(x), *w.shape[-2:])), strict=True)]
    )


def geometry(x: np.ndarray, kernel: Any, **options: Any) -> Geometry:
    """The options of a kernel over an image, one entry for each axis."""
    rank = x.ndim - 2

    def per_axis(value: Any) -> tuple[int, ...]:
        return tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank

    kernel = per_axis(kernel)
    padding = tuple(p if isinstance(p, tuple) else (p, p) for p in per_axis(options.get("padding", 0)))
    stride = per_axis(options.get("stride", 1))
    return Geometry(x.shape[1:-1], kernel, stride, padding, per_axis(options.get("dilation", 1)))


def im2row(x: np.ndarray, kernel_size: Any, **options: Any) -> np.ndarray:
    return naive_im2row(x, geometry(x, kernel_size, **options))


def row2im(rows: np.ndarray, input_shape: tuple[int, ...], kernel_size: Any, **options: Any) -> np.ndarray:
    """The adjoint: each unit image is lowered, and asked how much of it is in the rows."""
    y = np.zeros(input_shape)
    for index in np.ndindex(*input_shape):
        unit = np.zeros(input_shape)
        unit[index] = 1
        y[index] = (im2row(unit, kernel_size, **options) * rows).sum()
    return y


def conv(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None, groups: int = 1, **options: Any
) -> np.ndarray:
    bias = np.zeros(weight.shape[-1]) if bias is None else bias
    return naive_conv(x, weight, bias, geometry(x, weight.shape[:-2], **options), groups)


def conv_transpose(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int = 1) -> np.ndarray:
    """Every pixel spreads a kernel over the output."""
    sizes = [(n - 1) * stride + k for n, k in zip(x.shape[1:-1], weight.shape, strict=False)]
    y = np.zeros((len(x), *sizes, weight.shape[-2])) + bias
    for n, *at, c in np.ndindex(*x.shape):
        for *k, o in np.ndindex(*weight.shape[:-1]):
            to = tuple(stride * i + j for i, j in zip(at, k, strict=True))
            y[(n, *to, o)] += x[(n, *at, c)] * weight[(*k, o, c)]
    return y


def max_pool(x: np.ndarray, kernel_size: Any, ceil_mode: bool = False, **options: Any) -> np.ndarray:
    g = geometry(x, kernel_size, **{"stride": kernel_size, **options})
    return naive_max_pool(x, g, (ceil_output_size if ceil_mode else output_size)(g))


def avg_pool(
    x: np.ndarray, kernel_size: Any, ceil_mode: bool = False, count_include_pad: bool = True, **options: Any
) -> np.ndarray:
    g = geometry(x, kernel_size, **{"stride": kernel_size, **options})
    return naive_avg_pool(x, g, (ceil_output_size if ceil_mode else output_size)(g), count_include_pad)


def of_image(f: Callable[[list[float]], float]) -> Reference:
    """A function of all the pixels of one channel of one image."""

    def pooled(x: np.ndarray) -> np.ndarray:
        y = np.zeros((len(x), x.shape[-1]))
        for n, c in np.ndindex(*y.shape):
            y[n, c] = f(x[n, ..., c].reshape(-1).tolist())
        return y

    return pooled


def average(line: list[float]) -> float:
    return math.fsum(line) / len(line)


def adaptive_avg_pool(x: np.ndarray, output_size: int) -> np.ndarray:
    y = np.zeros((len(x), *(output_size,) * (x.ndim - 2), x.shape[-1]))
    for n, *at, c in np.ndindex(*y.shape):
        pairs = zip(at, x.shape[1:-1], strict=True)
        region = tuple(slice(i * m // output_size, -(-(i + 1) * m // output_size)) for i, m in pairs)
        y[(n, *at, c)] = average(x[(n, *region, c)].reshape(-1).tolist())
    return y


def upsample_nearest(x: np.ndarray, scale_factor: int) -> np.ndarray:
    y = np.zeros((len(x), *(n * scale_factor for n in x.shape[1:-1]), x.shape[-1]))
    for n, *at, c in np.ndindex(*y.shape):
        y[(n, *at, c)] = x[(n, *(i // scale_factor for i in at), c)]
    return y


def upsample_bilinear_by_two(x: np.ndarray, scale_factor: int = 2) -> np.ndarray:
    """A quarter of the neighbour on one side, three quarters of the pixel itself, axis by axis."""
    for axis in range(1, x.ndim - 1):
        lines = np.moveaxis(x, axis, 0)
        before = np.concatenate([lines[:1], lines[:-1]])
        after = np.concatenate([lines[1:], lines[-1:]])
        doubled = np.stack([0.25 * before + 0.75 * lines, 0.75 * lines + 0.25 * after], axis=1)
        x = np.moveaxis(doubled.reshape(-1, *lines.shape[1:]), 0, axis)
    return x


def standardized(values: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    numbers = values.reshape(-1).tolist()
    middle = average(numbers)
    variance = average([(v - middle) ** 2 for v in numbers])
    return (values - middle) / math.sqrt(variance + eps)


def batch_norm(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float = 1e-5, **_: Any
) -> np.ndarray:
    channels = [standardized(x[..., c], eps) for c in range(x.shape[-1])]
    return np.stack(channels, axis=-1) * weight + bias


def batch_norm_inference(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, mean: np.ndarray, var: np.ndarray, eps: float = 1e-5
) -> np.ndarray:
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        c = index[-1]
        y[index] = weight[c] * (x[index] - mean[c]) / math.sqrt(var[c] + eps) + bias[c]
    return y


def layer_norm(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float = 1e-5, **_: Any
) -> np.ndarray:
    lead = x.shape[: x.ndim - weight.ndim]
    y = np.zeros(x.shape)
    for index in np.ndindex(lead):
        y[index] = standardized(x[index], eps) * weight + bias
    return y


def group_norm(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, groups: int, eps: float = 1e-5
) -> np.ndarray:
    y, size = np.zeros(x.shape), x.shape[-1] // groups
    for n, g in itertools.product(range(len(x)), range(groups)):
        part = slice(g * size, (g + 1) * size)
        y[n, ..., part] = standardized(x[n, ..., part], eps)
    return y * weight + bias


def instance_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    return group_norm(x, weight, bias, x.shape[-1], eps)


def rms_norm(x: np.ndarray, weight: np.ndarray, eps: float = 1e-5, **_: Any) -> np.ndarray:
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape[: x.ndim - weight.ndim]):
        square = average([v * v for v in x[index].reshape(-1).tolist()])
        y[index] = x[index] / math.sqrt(square + eps) * weight
    return y


def embedding(indices: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return np.array([weight[i] for i in indices.reshape(-1)]).reshape(*indices.shape, weight.shape[1])


def cross_entropy_row(scores: np.ndarray, label: Any) -> float:
    """Of one sample: its label, or a distribution over the classes."""
    logs = log_softmax_line(scores.tolist())
    if np.ndim(label) == 0:
        return -logs[int(label)]
    return -math.fsum(q * v for q, v in zip(label.tolist(), logs, strict=True))


def weighted_cross_entropy(
    scores: np.ndarray, target: np.ndarray, weight: np.ndarray, ignore_index: int, label_smoothing: float
) -> float:
    total, divisor, classes = 0.0, 0.0, scores.shape[-1]
    for row, label in zip(scores, target.tolist(), strict=True):
        if label == ignore_index:
            continue
        logs = log_softmax_line(row.tolist())
        for k in range(classes):
            q = (1 - label_smoothing) * (k == label) + label_smoothing / classes
            total -= q * weight[k] * logs[k]
        divisor += weight[label]
    return total / divisor if divisor else math.nan


def binary_cross_entropy(p: float, t: float) -> float:
    return -t * math.log(p) - (1 - t) * math.log(1 - p)


def focal(x: float, t: float, alpha: float = 0.25, gamma: float = 2.0) -> float:
    p = sigmoid(x) if t == 1 else 1 - sigmoid(x)
    return -(alpha if t == 1 else 1 - alpha) * (1 - p) ** gamma * math.log(p)


def huber(x: float, t: float, delta: float = 1.0) -> float:
    d = abs(x - t)
    return d * d / 2 if d <= delta else delta * (d - delta / 2)


def cosine(a: np.ndarray, b: np.ndarray, t: Any, margin: float = 0.0) -> float:
    angle = math.fsum(a * b) / math.sqrt(math.fsum(a * a) * math.fsum(b * b))
    return 1 - angle if t == 1 else max(0.0, angle - margin)


def triplet(a: np.ndarray, p: np.ndarray, n: np.ndarray, margin: float = 1.0) -> float:
    return max(0.0, math.sqrt(math.fsum((a - p) ** 2)) - math.sqrt(math.fsum((a - n) ** 2)) + margin)


def multi_margin(scores: np.ndarray, label: Any, margin: float = 1.0) -> float:
    gaps = [max(0.0, margin - scores[label] + v) for k, v in enumerate(scores) if k != label]
    return math.fsum(gaps) / len(scores)


def _cell(
    kind: str, a: list[float], b: list[float], h: list[float], c: list[float]
) -> tuple[list[float], list[float]]:
    """One step of one sequence; a and b are the products of the input and of the state, for all gates."""
    n = len(h)
    new_h, new_c = [], []
    for j in range(n):
        gates = [(a[k * n + j], b[k * n + j]) for k in range(len(a) // n)]
        if kind == "rnn":
            new_h.append(math.tanh(sum(gates[0])))
            new_c.append(0.0)
        elif kind == "lstm":
            i, f, g, o = map(sum, gates)
            new_c.append(sigmoid(f) * c[j] + sigmoid(i) * math.tanh(g))
            new_h.append(sigmoid(o) * math.tanh(new_c[-1]))
        else:
            r, z = sigmoid(sum(gates[0])), sigmoid(sum(gates[1]))
            new_h.append((1 - z) * math.tanh(gates[2][0] + r * gates[2][1]) + z * h[j])
            new_c.append(0.0)
    return new_h, new_c


def recurrent(kind: str) -> Reference:
    """One direction of one layer; returns the outputs and the last states."""

    def run(x: np.ndarray, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        *states, w_ih, w_hh, b_ih, b_hh = arrays
        y = np.zeros((*x.shape[:2], w_hh.shape[0]))
        last = [np.zeros(s.shape) for s in states]
        for n in range(len(x)):
            h = states[0][n, 0].tolist()
            c = states[-1][n, 0].tolist()
            for t in range(x.shape[1]):
                a = linear(x[n, t], w_ih, b_ih).tolist()
                h, c = _cell(kind, a, linear(np.array(h), w_hh, b_hh).tolist(), h, c)
                y[n, t] = h
            for state, values in zip(last, (h, c), strict=False):
                state[n, 0] = values
        return (y, *last)

    return run


def attention(q: np.ndarray, k: np.ndarray, v: np.ndarray, causal: bool = False) -> np.ndarray:
    """One query at a time takes its weighted mean of the values; a causal one looks back only."""
    y = np.zeros((*q.shape[:-1], v.shape[-1]))
    for *head, t in np.ndindex(q.shape[:-1]):
        seen = range(t + 1 if causal else k.shape[-2])
        scores = [math.fsum(q[(*head, t)] * k[(*head, s)]) / math.sqrt(q.shape[-1]) for s in seen]
        for s, share in zip(seen, softmax_line(scores), strict=True):
            y[(*head, t)] += share * v[(*head, s)]
    return y


def multi_head_attention(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    w_in: np.ndarray,
    b_in: np.ndarray,
    w_out: np.ndarray,
    b_out: np.ndarray,
    num_heads: int,
    causal: bool = False,
) -> np.ndarray:
    size, width = len(w_in), len(w_in) // num_heads
    joined = np.zeros(query.shape)
    for head in range(num_heads):
        columns = [slice(i * size + head * width, i * size + (head + 1) * width) for i in range(3)]
        parts = [linear(x, w_in[:, c], b_in[c]) for x, c in zip((query, key, value), columns, strict=True)]
        joined[..., head * width : (head + 1) * width] = attention(*parts, causal=causal)
    return linear(joined, w_out, b_out)


def sinusoidal_positions(x: np.ndarray, base: float = 10000.0) -> np.ndarray:
    y = x.copy()
    for index in np.ndindex(x.shape):
        t, c = index[-2:]
        angle = t / base ** ((c - c % 2) / x.shape[-1])
        y[index] += math.cos(angle) if c % 2 else math.sin(angle)
    return y


def rotary_positions(x: np.ndarray, base: float = 10000.0) -> np.ndarray:
    y, half = np.zeros(x.shape), x.shape[-1] // 2
    for *lead, t, i in np.ndindex((*x.shape[:-1], half)):
        a = t / base ** (2 * i / x.shape[-1])
        u, v = x[(*lead, t, i)], x[(*lead, t, i + half)]
        y[(*lead, t, i)] = u * math.cos(a) - v * math.sin(a)
        y[(*lead, t, i + half)] = v * math.cos(a) + u * math.sin(a)
    return y
