"""ONNX operators through minidl's public functions: channels first outside, channels last inside.

Each adapter takes the inputs of a node as arrays and its attributes by their names, and returns the outputs
that minidl has, ``None`` for another one. An attribute that no adapter names is an error, not a default.
"""

from collections.abc import Callable, Sequence
from typing import Any

import minidl
from minidl import functional as F
from minidl.backend import xp
from tests.conformance.onnx_sequences import SEQUENCES


def conv(x, w, b=None, *, kernel_shape=None, group=1, **options) -> Any:
    weight = xp.moveaxis(w, (1, 0), (-2, -1))
    return first(F.conv(last(x), weight, b, groups=group, **window(x, w.shape[2:], **options)))


def conv_transpose(
    x, w, b=None, *, kernel_shape=None, group=1, output_padding=0, output_shape=None, **options
) -> Any:
    def run(more: Any) -> Any:
        y = F.conv_transpose(
            last(x), weight, b, output_padding=more, groups=group, **window(x, w.shape[2:], **options)
        )
        return first(y)

    weight = xp.moveaxis(w, (0, 1), (-1, -2))
    if output_shape is not None:  # is reached by further pixels at the end
        output_padding = [n - m for n, m in zip(output_shape, run(0).shape[2:], strict=True)]
    return run(output_padding)


def col2im(columns, image_shape, block_shape, **options) -> Any:
    image, block = image_shape.tolist(), block_shape.tolist()
    options = window(None, block, **options)
    shape = (len(columns), *image, columns.shape[1] // xp.prod(block_shape).item())
    out = F.im2row(xp.zeros(shape, columns.dtype), block, **options).shape[1:-1]
    taps = columns.reshape(len(columns), shape[-1], *block, *out)  # (N, C, *kernel, *out)
    rank = len(block)
    taps = taps.transpose(0, *range(2 + rank, 2 + 2 * rank), *range(2, 2 + rank), 1)
    return first(F.row2im(taps.reshape(len(columns), *out, -1), shape, block, **options))


def max_pool(x, *, kernel_shape, ceil_mode=0, storage_order=0, **options) -> Any:
    # storage_order numbers the indices, an output that minidl does not have
    options = window(x, kernel_shape, **options)
    return first(F.max_pool(last(x), kernel_shape, ceil_mode=bool(ceil_mode), **options)), None


def avg_pool(x, *, kernel_shape, ceil_mode=0, count_include_pad=0, **options) -> Any:
    y = F.avg_pool(
        last(x),
        kernel_shape,
        ceil_mode=bool(ceil_mode),
        count_include_pad=bool(count_include_pad),
        **window(x, kernel_shape, **options),
    )
    return first(y)


def over_positions(pool: Callable[..., Any]) -> Callable[..., Any]:
    """A global pooling, whose result keeps an axis of length 1 for each that it pools over."""
    return lambda x: pool(last(x)).reshape(*x.shape[:2], *(1 for _ in x.shape[2:]))


def gemm(a, b, c=None, *, alpha=1.0, beta=1.0, transA=0, transB=0) -> Any:  # noqa: N803 (ONNX's names)
    product = F.linear(a.T if transA else a, b.T if transB else b)
    return alpha * product if c is None else F.add(alpha * product, F.multiply(c, beta))


def batch_norm(x, weight, bias, mean, var, *, epsilon=1e-5, momentum=0.9, training_mode=0) -> Any:
    layer = minidl.BatchNorm(x.shape[1], eps=epsilon, momentum=1 - momentum).train(bool(training_mode))
    layer.load_state({"weight": weight, "bias": bias, "running_mean": mean, "running_var": var})
    y = first(layer.forward(last(x)))
    # The third output averages biased variances; minidl averages unbiased ones, as PyTorch does.
    return y, layer.running_mean.data, None


def layer_norm(x, weight, bias=None, *, axis=-1, epsilon=1e-5) -> Any:
    return F.layer_norm(x, weight, bias, normalized_shape=x.shape[axis:], eps=epsilon), None, None


def group_norm(x, weight, bias, *, num_groups, epsilon=1e-5) -> Any:
    return first(F.group_norm(last(x), num_groups, weight, bias, eps=epsilon))


def instance_norm(x, weight, bias, *, epsilon=1e-5) -> Any:
    return first(F.instance_norm(last(x), weight, bias, eps=epsilon))


def rms_norm(x, weight, *, axis=-1, epsilon=1e-5) -> Any:
    return F.rms_norm(x, weight, normalized_shape=x.shape[axis:], eps=epsilon)


def hard_sigmoid(x, *, alpha=0.2, beta=0.5) -> Any:
    return F.hard_sigmoid(6 * (alpha * x + beta) - 3)  # minidl's has alpha = 1/6 and beta = 1/2


def prelu(x, slope) -> Any:
    return F.prelu(x.reshape(-1, slope.size), slope.reshape(-1)).reshape(x.shape)


def selu(x, *, alpha=None, gamma=None) -> Any:
    return F.selu(x) if alpha is gamma is None else gamma * F.elu(x, alpha)


def cross_entropy(scores, labels, weight=None, *, reduction="mean", ignore_index=None) -> Any:
    loss = F.cross_entropy(last(scores), labels, weight, ignore_index, reduction=reduction)
    return loss, first(F.log_softmax(last(scores)))


def nll(scores, labels, weight=None, *, reduction="mean", ignore_index=None) -> Any:
    return F.nll_loss(last(scores), labels, weight, ignore_index, reduction)


def dropout(x, p=0.5, training=False, *, seed=0, ratio=None) -> Any:
    layer = minidl.Dropout(float(p if ratio is None else ratio), seed=seed)
    return layer.train(bool(training)).forward(x), None  # the mask is minidl's own affair


def adam(rate, count, *arrays, alpha=0.9, beta=0.999, norm_coefficient=0.0, epsilon=1e-6) -> Any:
    options = {"betas": (alpha, beta), "weight_decay": norm_coefficient, "eps": epsilon}
    return one_step(minidl.optim.Adam, options, ("mean", "square"), rate, count, arrays)


def momentum(rate, count, *arrays, alpha, beta, mode, norm_coefficient) -> Any:
    options = {"momentum": alpha, "weight_decay": norm_coefficient, "nesterov": mode == "nesterov"}
    return one_step(minidl.optim.SGD, options, ("velocity",), rate, count, arrays)


def one_step(
    optimizer: Any, options: dict[str, Any], slots: Sequence[str], rate, count, arrays: Sequence[Any]
) -> Any:
    """Update ``(*parameters, *gradients, *slots)``; the gradients are not among the outputs."""
    if count != 0:
        raise ValueError(f"one_step: expected T = 0, ONNX's step without a bias correction, got {count}")
    groups = len(slots) + 2
    parts = [arrays[i : i + len(arrays) // groups] for i in range(0, len(arrays), len(arrays) // groups)]
    parameters = [minidl.Parameter(x.copy()) for x in parts[0]]
    made = optimizer(parameters, lr=rate.item(), **options)
    for parameter, gradient in zip(parameters, parts[1], strict=True):
        parameter.grad = gradient
    late = 10**6  # after so many steps no correction is left
    state = {"step": xp.asarray(late), "counts": xp.full(len(parameters), late)}
    for slot, values in zip(slots, parts[2:], strict=True):
        state |= {f"{i}.{slot}": value for i, value in enumerate(values)}
    made.load_state(state)
    made.step()
    after = made.state()
    kept = [after[f"{i}.{slot}"] for slot in slots for i in range(len(parameters))]
    return *(p.data for p in parameters), *kept


def last(x: Any) -> Any:
    """Channels last, also of a matrix."""
    return minidl.channels_last(x) if x.ndim > 2 else x


def first(x: Any) -> Any:
    """Channels first, also of a matrix."""
    return minidl.channels_first(x) if x.ndim > 2 else x


def window(
    x: Any, kernel: Sequence[int], *, strides=None, pads=None, dilations=None, auto_pad="NOTSET"
) -> dict[str, Any]:
    """The options of a window in minidl's words."""
    rank = len(kernel)
    stride, dilation = strides or [1] * rank, dilations or [1] * rank
    before, after = (pads or [0] * 2 * rank)[:rank], (pads or [0] * 2 * rank)[rank:]
    padding: Any = list(zip(before, after, strict=True))
    if auto_pad == "SAME_UPPER":
        padding = "same"
    elif auto_pad == "SAME_LOWER":  # the odd pixel before
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        sizes = zip(x.shape[2:], reach, stride, strict=True)
        missing = [max(0, (-(-n // s) - 1) * s + r - n) for n, r, s in sizes]
        padding = [(m - m // 2, m // 2) for m in missing]
    elif auto_pad != "NOTSET":
        raise ValueError(f"window: expected another auto_pad than {auto_pad}")
    return {"stride": stride, "padding": padding, "dilation": dilation}


ADAPTERS: dict[str, Callable[..., Any]] = SEQUENCES | {
    "Adam": adam,
    "AveragePool": avg_pool,
    "BatchNormalization": batch_norm,
    "Celu": F.celu,
    "Col2Im": col2im,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Dropout": dropout,
    "Elu": F.elu,
    "Gelu": F.gelu,
    "Gemm": gemm,
    "GlobalAveragePool": over_positions(F.global_avg_pool),
    "GlobalMaxPool": over_positions(F.global_max_pool),
    "GroupNormalization": group_norm,
    "HardSigmoid": hard_sigmoid,
    "HardSwish": F.hard_swish,
    "InstanceNormalization": instance_norm,
    "LayerNormalization": layer_norm,
    "LeakyRelu": lambda x, alpha=0.01: F.leaky_relu(x, alpha),
    "LogSoftmax": F.log_softmax,
    "MatMul": F.matmul,
    "MaxPool": max_pool,
    "Mish": F.mish,
    "Momentum": momentum,
    "NegativeLogLikelihoodLoss": nll,
    "PRelu": prelu,
    "RMSNormalization": rms_norm,
    "Relu": F.relu,
    "Selu": selu,
    "Sigmoid": F.sigmoid,
    "Softmax": F.softmax,
    "SoftmaxCrossEntropyLoss": cross_entropy,
    "Softplus": F.softplus,
    "Softsign": F.softsign,
    "Swish": lambda x, alpha=1.0: F.silu(alpha * x) / alpha,
    "Tanh": F.tanh,
}
