"""How each layer is written: the function that stands for it, and what goes into its calls."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from minidl import layers
from minidl.backend import Array
from minidl.layers.base import Layer
from minidl.ops._lowering import per_axis
from minidl.ops.piecewise import SELU_ALPHA, SELU_SCALE

Options = Callable[[Any, Array], Mapping[str, Any]]


def _none(layer: Any, x: Array) -> Mapping[str, Any]:
    return {}


class Rule(NamedTuple):
    """One layer: ``y = function(x, *arrays, **options)``.

    Args:
        function: its name among the parts; None where y is x.
        name: what its outputs are called, with a number.
        arrays: the attributes that hold its arrays.
        options: takes the layer and the input, and returns what else is handed to the functions.
        needs: what the backward takes after dy: ``"x"``, ``"y"``, or attributes; None where it has none.
        gradients: the attributes whose gradients follow dx.
        backward: the name of the backward, where it is another than the function's.
        input_grad: whether there is a dx.
    """

    function: str | None
    name: str
    arrays: tuple[str, ...] = ()
    options: Options = _none
    needs: tuple[str, ...] | None = None
    gradients: tuple[str, ...] = ()
    backward: str = ""
    input_grad: bool = True


def _pointwise(function: str, needs: str = "x", options: Options = _none, name: str = "") -> Rule:
    return Rule(function, name or function, needs=(needs,), options=options)


def _taken(*names: str) -> Options:
    """Return options that are attributes of the layer, under the same names."""
    return lambda layer, x: {name: getattr(layer, name) for name in names}


def _window(layer: Any, x: Array, kernel: tuple[int, ...], stride: Any) -> dict[str, Any]:
    owner, rank = type(layer).__name__, len(kernel)
    padding = 0 if layer.padding == "valid" else layer.padding
    if padding != "same":
        each = padding if isinstance(padding, (tuple, list)) else (padding,) * rank
        padding = tuple(per_axis(entry, 2, "padding", owner, least=0) for entry in each)
    return {
        "stride": per_axis(stride, rank, "stride", owner),
        "padding": padding,
        "dilation": per_axis(layer.dilation, rank, "dilation", owner),
    }


def _conv(layer: Any, x: Array) -> Mapping[str, Any]:
    window = _window(layer, x, layer.weight.shape[:-2], layer.stride)
    return window | {"groups": layer.groups}


def _pool(layer: Any, x: Array) -> Mapping[str, Any]:
    if layer.ceil_mode:
        raise ValueError(f"eject: {layer!r} with ceil_mode=True cannot be written; pad the input instead")
    kernel = per_axis(layer.kernel_size, x.ndim - 2, "kernel_size", type(layer).__name__)
    window = _window(layer, x, kernel, kernel if layer.stride is None else layer.stride)
    counted = {"count_include_pad": layer.count_include_pad} if type(layer) is layers.AvgPool else {}
    return {"kernel": kernel} | window | counted


def _bent(depth: str) -> Options:
    """Return the options of ELU (whose depth is alpha) and of CELU (whose width is alpha too)."""
    return lambda layer, x: {"depth": layer.alpha} | ({"width": layer.alpha} if depth == "celu" else {})


RULES: dict[type[Layer], Rule] = {
    layers.Linear: Rule(
        "linear", "linear", ("weight", "bias"), needs=("x", "weight"), gradients=("weight", "bias")
    ),
    layers.Embedding: Rule(
        "embedding",
        "embedded",
        ("weight",),
        options=_taken("padding_idx"),
        needs=("x", "weight"),
        gradients=("weight",),
        input_grad=False,
    ),
    layers.Identity: Rule(None, ""),
    layers.Dropout: Rule(None, ""),
    layers.Flatten: Rule("flatten", "flat", needs=("x",), backward="reshape_backward"),
    layers.Reshape: Rule(
        "reshape", "reshaped", options=_taken("shape"), needs=("x",), backward="reshape_backward"
    ),
    layers.Conv: Rule(
        "conv", "conv", ("weight", "bias"), _conv, needs=("x", "weight"), gradients=("weight", "bias")
    ),
    layers.MaxPool: Rule("max_pool", "pooled", options=_pool, needs=("x",)),
    layers.AvgPool: Rule("avg_pool", "pooled", options=_pool, needs=("x",)),
    layers.GlobalAvgPool: Rule("global_avg_pool", "pooled", needs=("x",)),
    layers.GlobalMaxPool: Rule("global_max_pool", "pooled", needs=("x",)),
    layers.BatchNorm: Rule(
        "batch_norm",
        "normed",
        ("weight", "bias", "running_mean", "running_var"),
        _taken("eps"),
        needs=("x", "weight", "running_mean", "running_var"),
        gradients=("weight", "bias"),
    ),
    layers.LayerNorm: Rule(
        "layer_norm",
        "normed",
        ("weight", "bias"),
        _taken("eps"),
        needs=("x", "weight"),
        gradients=("weight", "bias"),
    ),
    layers.GroupNorm: Rule(
        "group_norm",
        "normed",
        ("weight", "bias"),
        lambda layer, x: {"groups": layer.num_groups, "eps": layer.eps},
        needs=("x", "weight"),
        gradients=("weight", "bias"),
    ),
    layers.InstanceNorm: Rule(
        "group_norm",
        "normed",
        ("weight", "bias"),
        lambda layer, x: {"groups": x.shape[-1], "eps": layer.eps},
        needs=("x", "weight"),
        gradients=("weight", "bias"),
    ),
    layers.RMSNorm: Rule(
        "rms_norm", "normed", ("weight",), _taken("eps"), needs=("x", "weight"), gradients=("weight",)
    ),
    layers.LearnedPositions: Rule(
        "learned_positions", "placed", ("weight",), needs=("weight",), gradients=("weight",)
    ),
    layers.SinusoidalPositions: Rule(
        "sinusoidal_positions", "placed", options=_taken("base"), needs=("x",), backward="reshape_backward"
    ),
    layers.RotaryPositions: Rule("rotary_positions", "turned", options=_taken("base"), needs=()),
    layers.MultiHeadAttention: Rule(
        "multi_head_attention",
        "attended",
        ("in_weight", "in_bias", "out_weight", "out_bias"),
        _taken("num_heads", "causal", "rotary"),
    ),
    layers.ReLU: _pointwise("relu", "y"),
    layers.Sigmoid: _pointwise("sigmoid", "y"),
    layers.Tanh: _pointwise("tanh", "y"),
    layers.Softmax: _pointwise("softmax", "y", _taken("axis"), name="probabilities"),
    layers.LogSoftmax: _pointwise("log_softmax", "y", _taken("axis"), name="log_probabilities"),
    layers.Softmin: _pointwise("softmin", "y", _taken("axis"), name="probabilities"),
    layers.GLU: _pointwise("glu", options=_taken("axis")),
    layers.LeakyReLU: _pointwise("leaky_relu", options=_taken("negative_slope"), name="relu"),
    layers.PReLU: Rule("prelu", "relu", ("weight",), needs=("x", "weight"), gradients=("weight",)),
    layers.ReLU6: _pointwise("clip", options=lambda layer, x: {"low": 0.0, "high": 6.0}, name="relu"),
    layers.HardTanh: _pointwise("clip", options=_taken("low", "high"), name="clipped"),
    layers.HardSigmoid: _pointwise("hard_sigmoid", name="sigmoid"),
    layers.HardSwish: _pointwise("hard_swish", name="swish"),
    layers.ELU: _pointwise("elu", options=_bent("elu")),
    layers.CELU: _pointwise("elu", options=_bent("celu"), name="celu"),
    layers.SELU: _pointwise(
        "elu", options=lambda layer, x: {"slope": SELU_SCALE, "depth": SELU_SCALE * SELU_ALPHA}, name="selu"
    ),
    layers.SiLU: _pointwise("silu"),
    layers.Mish: _pointwise("mish"),
    layers.Softplus: _pointwise("softplus", options=_taken("beta")),
    layers.Softsign: _pointwise("softsign"),
}
RECURRENT: dict[type[Layer], str] = {layers.RNN: "rnn", layers.LSTM: "lstm", layers.GRU: "gru"}
GELU = {"none": _pointwise("gelu"), "tanh": _pointwise("gelu_tanh", name="gelu")}
CONTAINERS = (layers.Sequential, layers.Residual, layers.Parallel, layers.TransformerEncoderLayer)


def rule_of(layer: Layer) -> Rule | None:
    """Return the rule of a layer that needs no more than one call, or None."""
    kind = known(layer)
    return GELU[layer.approximate] if isinstance(layer, layers.GELU) else RULES.get(kind)


def known(layer: Layer) -> type[Layer]:
    """Return the class that says how a layer is written: its own, or one whose mathematics it keeps.

    Raises:
        ValueError: there is none.
    """
    table: tuple[type[Layer], ...] = (*RULES, *RECURRENT, *CONTAINERS, layers.GELU)
    for kind in table:
        if kind in type(layer).__mro__:
            if type(layer).vjp is kind.vjp and type(layer).predict is kind.predict:
                return kind
            break
    raise ValueError(
        f"eject: {type(layer).__name__} cannot be written as plain NumPy; these can: "
        + ", ".join(sorted(kind.__name__ for kind in table))
    )
