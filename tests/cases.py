"""The table of cases: every public op, function, layer and loss; tests/test_contract.py runs it.

To add a row, write one line at its place:

    op("name", A(N, 3), A(3, 2), option=value, reference=refs.name)
    layer(lambda: layers.Name(3, seed=0), (3,), reference=refs.name)
    loss(lambda: losses.Name(), A(N, 3), target=A(N, integers=3))

``A`` is an array argument: its shape, with ``N`` for the batch; ``low``, ``high`` and ``away_from`` where the
domain or a kink asks for it; ``integers=k`` for labels from 0 to k - 1, ``among=(-1, 1)`` for others. A row
says what is unusual about it: ``couples_samples``, ``least_batch``, ``functional`` for a function whose
arguments are in another order, ``wide_value`` for a loss. What has no row, by the name of the op or function
or by the class of the layer or loss, fails a test.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from minidl import functional as F
from minidl import layers, losses, ops
from minidl.testing.strategies import arrays
from tests import references as refs
from tests.either import hosted, np

N = -1


@dataclass(frozen=True, init=False)
class A:
    """An array argument, drawn by hypothesis."""

    shape: tuple[int, ...]
    options: dict[str, Any]

    def __init__(self, *shape: int, **options: Any) -> None:
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "options", options)

    @property
    def batched(self) -> bool:
        return N in self.shape

    def sized(self, n: int) -> tuple[int, ...]:
        return tuple(n if length == N else length for length in self.shape)

    def values(self, n: int) -> st.SearchStrategy[np.ndarray]:
        shape, count = self.sized(n), math.prod(self.sized(n))
        among = self.options.get("among") or range(self.options.get("integers", 0))
        if not among:
            return arrays(shape, **self.options)
        numbers = st.lists(st.sampled_from(list(among)), min_size=count, max_size=count)
        return numbers.map(lambda v: np.array(v, dtype=np.int64).reshape(shape))


@dataclass(frozen=True)
class OpCase:
    """A row of an op."""

    name: str
    arguments: tuple[A, ...]
    options: dict[str, Any] = field(default_factory=dict)
    reference: Callable[..., Any] | None = None
    couples_samples: bool = False
    least_batch: int = 0
    functional: Callable[..., Any] | bool | None = None  # False: it computes something else
    wide_value: bool = False
    extreme: bool = False  # takes scores whose exponentials overflow
    first_output: bool = False  # the pullback takes the gradient of the first output alone

    def __str__(self) -> str:
        shown = [str(a.shape).replace("-1", "N") for a in self.arguments]
        plain = [f"{k}={v}" for k, v in self.options.items() if not isinstance(v, A | np.ndarray)]
        return f"{self.name}({', '.join([*shown, *plain])})"

    def op(self, *values: Any, **options: Any) -> Any:
        value, pullback = getattr(ops, self.name)(*values, **options)
        return (value[0] if self.first_output else value), pullback


def op(name: str, *arguments: A, **row: Any) -> OpCase:
    own = {key: row.pop(key) for key in OpCase.__dataclass_fields__ if key in row}
    own["reference"] = own.get("reference") and hosted(own["reference"])  # naive loops run on the host
    return OpCase(name, arguments, options=row, **own)


@dataclass(frozen=True)
class LayerCase:
    """A row of a layer."""

    make: Callable[[], layers.Layer]
    input_shape: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)
    reference: Callable[..., Any] | None = None

    def __str__(self) -> str:
        return " ".join(repr(self.make()).split())


def layer(make: Any, input_shape: tuple[int, ...], *, reference: Any = None, **options: Any) -> LayerCase:
    return LayerCase(make, input_shape, options, reference and hosted(reference))


@dataclass(frozen=True)
class LossCase:
    """A row of a loss: its predictions and its target."""

    make: Callable[[], losses.Loss]
    predictions: tuple[A, ...]
    target: A | None
    op: str

    def __str__(self) -> str:
        return repr(self.make())


def loss(make: Any, op: str, *predictions: A, target: A | None = None) -> LossCase:
    return LossCase(make, predictions, target, op)


X = A(N, 3)
POSITIVE = A(N, 3, low=0.25, high=4.0)
PROBABILITIES = A(N, 3, low=0.0, high=1.0, away_from=(0.0, 1.0))
IMAGE = A(N, 4, 5, 2)
LINE = A(N, 6, 2)
LABELS = A(N, integers=3)
SIGNS = A(N, 3, among=(-1, 1))
ANSWERS = A(N, 3, among=(0, 1))
NEAR_KINKS = (-3.0, -1.0, 0.0, 1.0, 3.0, 6.0)
BENT = A(N, 3, low=-5.0, high=8.0, away_from=NEAR_KINKS)
UPPER = st.just(np.array([[True, False, True]]))
STATISTICS = {"mean": A(3), "var": A(3, low=0.25, high=4.0)}
WINDOW = {"kernel_size": (2, 3), "stride": (1, 2), "padding": (1, 1)}


def of_weights(f: Callable[..., Any], states: int) -> Callable[..., Any]:
    """The functions of recurrent networks take their weights as a list."""
    return lambda x, *rest, **options: f(x, list(rest[states:]), *rest[:states], **options)


OPS = [
    # elementwise
    op("absolute", X, reference=refs.each(abs)),
    op("add", X, A(3), reference=refs.each(operator.add)),
    op("add", X, X, reference=refs.each(operator.add)),
    op("clip", X, low=-1.0, high=1.0, reference=refs.each(lambda v, low, high: min(max(v, low), high))),
    op("divide", X, POSITIVE, reference=refs.each(operator.truediv)),
    op("divide", X, A(1, low=0.5, high=2.0), reference=refs.each(operator.truediv)),
    op("exp", X, reference=refs.each(math.exp)),
    op("log", POSITIVE, reference=refs.each(math.log)),
    op("maximum", X, A(3, low=-3.96, high=4.0, away_from=()), reference=refs.each(max)),
    op("minimum", X, A(3, low=-3.96, high=4.0, away_from=()), reference=refs.each(min)),
    op("multiply", X, A(3), reference=refs.each(operator.mul)),
    op("multiply", A(N, 2, 1), A(3), reference=refs.each(operator.mul)),
    op("negative", X, reference=refs.each(operator.neg)),
    op("power", POSITIVE, A(3), reference=refs.each(math.pow)),
    op("sqrt", POSITIVE, reference=refs.each(math.sqrt)),
    op("subtract", X, A(3), reference=refs.each(operator.sub)),
    op(
        "where",
        X,
        A(3),
        condition=np.array([True, False, True]),
        reference=lambda x, w, condition: np.where(condition, x, w + 0 * x),
        functional=lambda x, w, condition: F.where(condition, x, w),
    ),
    # activations
    op(
        "celu",
        X,
        alpha=1.5,
        reference=refs.each(lambda v, alpha: v if v > 0 else alpha * math.expm1(v / alpha)),
    ),
    op("elu", X, alpha=1.5, reference=refs.each(lambda v, alpha: v if v > 0 else alpha * math.expm1(v))),
    op("gelu", X, reference=refs.each(lambda v: v * refs.normal_share(v))),
    op("gelu", X, approximate="tanh", reference=refs.each(lambda v, approximate: refs.gelu_tanh(v))),
    op("glu", A(N, 4), reference=refs.along(refs.glu_line)),
    op("glu", A(N, 4, 3), axis=1, reference=refs.along(refs.glu_line)),
    op("hard_sigmoid", BENT, reference=refs.each(lambda v: min(max(v / 6 + 0.5, 0), 1))),
    op("hard_swish", BENT, reference=refs.each(lambda v: v * min(max(v / 6 + 0.5, 0), 1))),
    op("hard_tanh", BENT, reference=refs.each(lambda v: min(max(v, -1), 1))),
    op(
        "leaky_relu",
        X,
        negative_slope=0.1,
        reference=refs.each(lambda v, negative_slope: max(v, negative_slope * v)),
    ),
    op("mish", X, reference=refs.each(lambda v: v * math.tanh(math.log1p(math.exp(v))))),
    op("prelu", X, A(1), reference=refs.each(lambda v, w: v if v > 0 else w * v)),
    op("prelu", X, A(3), reference=refs.each(lambda v, w: v if v > 0 else w * v)),
    op("relu", X, reference=refs.each(lambda v: max(v, 0))),
    op("relu6", BENT, reference=refs.each(lambda v: min(max(v, 0), 6))),
    op(
        "selu",
        X,
        reference=refs.each(
            lambda v: 1.0507009873554805 * (v if v > 0 else 1.6732632423543772 * math.expm1(v))
        ),
    ),
    op("sigmoid", X, reference=refs.each(refs.sigmoid)),
    op("silu", X, reference=refs.each(lambda v: v * refs.sigmoid(v))),
    op("softplus", X, beta=2.0, reference=refs.each(lambda v, beta: math.log1p(math.exp(beta * v)) / beta)),
    op("softsign", X, reference=refs.each(lambda v: v / (1 + abs(v)))),
    op("tanh", X, reference=refs.each(math.tanh)),
    # softmax
    op("softmax", X, reference=refs.softmax, extreme=True),
    op("softmax", A(N, 2, 3), axis=1, reference=refs.softmax, extreme=True),
    op("softmax", X, axis=0, reference=refs.softmax, couples_samples=True, least_batch=1),
    op("log_softmax", X, reference=refs.log_softmax, extreme=True),
    op("log_softmax", A(N, 2, 3), axis=1, reference=refs.log_softmax),
    op("softmin", A(N, 2, 3), axis=-2, reference=refs.softmin, extreme=True),
    # reductions
    op("max", A(N, 2, 3), axis=1, reference=refs.reduce(max)),
    op("max", X, reference=refs.reduce(max), couples_samples=True, least_batch=1),
    op("mean", A(N, 2, 3), axis=2, keepdims=True, reference=refs.reduce(refs.average)),
    op("mean", X, reference=refs.reduce(refs.average), couples_samples=True, least_batch=1),
    op("min", A(N, 2, 3), axis=-1, reference=refs.reduce(min)),
    op("sum", A(N, 2, 3), axis=1, reference=refs.reduce(math.fsum)),
    op("sum", X, reference=refs.reduce(math.fsum), couples_samples=True),
    # shape
    op("broadcast_to", A(3), shape=(2, 3), reference=lambda x, shape: np.stack([x, x])),
    op(
        "concatenate",
        X,
        A(N, 2),
        axis=1,
        reference=lambda x, w, axis: np.array([[*a, *b] for a, b in zip(x, w, strict=True)]).reshape(
            len(x), 5
        ),
        functional=lambda x, w, axis: F.concatenate([x, w], axis=axis),
    ),
    op("flatten", A(N, 2, 3), reference=lambda x: np.array([r.ravel() for r in x]).reshape(len(x), 6)),
    op("getitem", X, index=(slice(None), [0, 2, 2]), reference=lambda x, index: x[:, [0, 2, 2]]),
    op("pad", X, width=((0, 0), (1, 2)), reference=lambda x, width: np.pad(x, width)),
    op(
        "pad_spatial",
        A(N, 3, 2),
        padding=((1, 2),),
        mode="reflect",
        reference=lambda x, padding, mode: np.pad(x, ((0, 0), *padding, (0, 0)), mode=mode),
    ),
    op("reshape", A(2, 6), shape=(3, 4), reference=lambda x, shape: np.array([*x.flat]).reshape(shape)),
    op("reshape_samples", A(N, 6), shape=(3, -1), reference=lambda x, shape: x.reshape(len(x), 3, 2)),
    op(
        "stack",
        X,
        X,
        axis=1,
        reference=lambda x, w, axis: np.array([[a, b] for a, b in zip(x, w, strict=True)]).reshape(
            len(x), 2, 3
        ),
        functional=lambda x, w, axis: F.stack([x, w], axis=axis),
    ),
    op("transpose", A(N, 2, 3), axes=(0, 2, 1), reference=lambda x, axes: np.einsum("nij->nji", x)),
    # products
    op("linear", X, A(3, 2), A(2), reference=refs.linear),
    op("linear", A(N, 2, 3), A(3, 2), reference=refs.linear),
    op("matmul", A(N, 2, 3), A(3, 4), reference=refs.matmul),
    op("matmul", A(N, 2, 3), A(N, 3, 2), reference=refs.matmul),
    # windows
    op("conv", IMAGE, A(2, 3, 2, 3), A(3), reference=refs.conv),
    op("conv", IMAGE, A(2, 2, 1, 4), A(4), groups=2, stride=2, padding=1, reference=refs.conv),
    op("conv", LINE, A(2, 2, 3), padding=((1, 0),), dilation=2, reference=refs.conv),
    op("conv", A(N, 2, 3, 2, 1), A(2, 2, 1, 1, 2), reference=refs.conv),
    op("conv_transpose", A(N, 2, 3, 2), A(2, 2, 3, 2), A(3), stride=2, reference=refs.conv_transpose),
    op("im2row", IMAGE, **WINDOW, reference=refs.im2row),
    op("row2im", A(2, 3, 2, 6), input_shape=(2, 2, 3, 1), **WINDOW, reference=refs.row2im),
    op("max_pool", IMAGE, kernel_size=2, reference=refs.max_pool),
    op("max_pool", IMAGE, kernel_size=3, stride=2, padding=1, ceil_mode=True, reference=refs.max_pool),
    op("max_pool", LINE, kernel_size=2, stride=1, padding=((2, 1),), dilation=2, reference=refs.max_pool),
    op("avg_pool", LINE, kernel_size=2, stride=1, padding=((0, 1),), reference=refs.avg_pool),
    op("avg_pool", IMAGE, kernel_size=2, stride=1, padding=1, reference=refs.avg_pool),
    op("avg_pool", LINE, kernel_size=3, padding=1, count_include_pad=False, reference=refs.avg_pool),
    op("adaptive_avg_pool", IMAGE, output_size=3, reference=refs.adaptive_avg_pool),
    op("global_avg_pool", IMAGE, reference=refs.of_image(refs.average)),
    op("global_max_pool", IMAGE, reference=refs.of_image(max)),
    op("upsample", A(N, 2, 3, 2), scale_factor=2, reference=refs.upsample_nearest),
    op(
        "upsample",
        LINE,
        scale_factor=2,
        mode="bilinear",
        reference=lambda x, **_: refs.upsample_bilinear_by_two(x),
    ),
    # normalisation
    op(
        "batch_norm",
        X,
        A(3),
        A(3),
        first_output=True,
        couples_samples=True,
        least_batch=2,
        reference=refs.batch_norm,
    ),
    op(
        "batch_norm_inference",
        A(N, 2, 3),
        A(3),
        A(3),
        **STATISTICS,
        reference=refs.batch_norm_inference,
        functional=lambda x, w, b, mean, var: F.batch_norm(x, w, b, mean, var),
    ),
    op("layer_norm", A(N, 2, 3), A(2, 3), A(2, 3), normalized_shape=(2, 3), reference=refs.layer_norm),
    op("layer_norm", X, A(3), A(3), normalized_shape=(3,), eps=0.5, reference=refs.layer_norm),
    op(
        "group_norm",
        A(N, 2, 4),
        A(4),
        A(4),
        groups=2,
        reference=refs.group_norm,
        functional=lambda x, w, b, groups: F.group_norm(x, groups, w, b),
    ),
    op("instance_norm", A(N, 4, 3), A(3), A(3), reference=refs.instance_norm),
    op("rms_norm", A(N, 2, 3), A(3), normalized_shape=(3,), reference=refs.rms_norm),
    op(
        "dropout",
        X,
        p=0.4,
        seed=3,
        functional=False,
        couples_samples=True,
    ),
    # tables and sequences
    op("scaled_dot_product_attention", *(A(N, 3, 2), A(N, 4, 2), A(N, 4, 3)), reference=refs.attention),
    op("scaled_dot_product_attention", *[A(N, 2, 3, 2)] * 3, causal=True, reference=refs.attention),
    op(
        "multi_head_attention",
        *[A(N, 3, 4)] * 3,
        *(A(4, 12, low=-1.0, high=1.0), A(12), A(4, 4), A(4)),
        num_heads=2,
        reference=refs.multi_head_attention,
    ),
    op("learned_positions", A(N, 3, 2), A(4, 2), reference=lambda x, w: np.array([v + w[:3] for v in x])),
    op("sinusoidal_positions", A(N, 3, 4), reference=refs.sinusoidal_positions),
    op("rotary_positions", A(N, 3, 4), reference=refs.rotary_positions),
    op("embedding", A(N, 4, integers=5), A(5, 2), reference=refs.embedding),
    op(
        "rnn",
        A(N, 4, 2),
        A(N, 1, 3),
        *(A(2, 3), A(3, 3), A(3), A(3)),
        reference=refs.recurrent("rnn"),
        functional=of_weights(F.rnn, 1),
    ),
    op(
        "gru",
        A(N, 4, 2),
        A(N, 1, 3),
        *(A(2, 9), A(3, 9), A(9), A(9)),
        reference=refs.recurrent("gru"),
        functional=of_weights(F.gru, 1),
    ),
    op(
        "lstm",
        A(N, 4, 2),
        A(N, 1, 3),
        A(N, 1, 3),
        *(A(2, 12), A(3, 12), A(12), A(12)),
        reference=refs.recurrent("lstm"),
        functional=of_weights(F.lstm, 2),
    ),
]


def loss_op(name: str, *arguments: A, reference: Any, **options: Any) -> list[OpCase]:
    """A loss, reduced to its mean, and sample by sample with no reduction."""
    common = {**options, "wide_value": True}
    bare = {"reference": lambda *a, reduction, **o: reference(*a, **o), "reduction": "none", **common}
    averaged = refs.mean(reference)
    return [
        op(name, *arguments, **bare),
        op(name, *arguments, reference=averaged, couples_samples=True, least_batch=1, **common),
    ]


def elementwise_loss(f: Callable[..., float]) -> Callable[..., Any]:
    return lambda x, target, **options: refs.each(f)(x, target, **options)


OPS += [
    *loss_op("cross_entropy", X, target=LABELS, extreme=True, reference=refs.rows(refs.cross_entropy_row)),
    *loss_op("cross_entropy", X, target=PROBABILITIES, reference=refs.rows(refs.cross_entropy_row)),
    op(
        "cross_entropy",
        X,
        target=LABELS,
        weight=np.array([0.5, 1.0, 2.0]),
        ignore_index=1,
        label_smoothing=0.2,
        reference=refs.weighted_cross_entropy,
        couples_samples=True,
        least_batch=1,
        wide_value=True,
    ),
    *loss_op(
        "cross_entropy_probabilities",
        PROBABILITIES,
        target=LABELS,
        reference=refs.rows(lambda p, label: -math.log(p[label])),
    ),
    *loss_op("nll_loss", X, target=LABELS, reference=refs.rows(lambda x, label: -x[label])),
    *loss_op(
        "kl_div",
        X,
        target=PROBABILITIES,
        reference=refs.rows(lambda x, t: math.fsum(q * (math.log(q) - v) for q, v in zip(t, x, strict=True))),
    ),
    *loss_op(
        "binary_cross_entropy",
        PROBABILITIES,
        target=ANSWERS,
        reference=elementwise_loss(refs.binary_cross_entropy),
    ),
    *loss_op(
        "binary_cross_entropy_with_logits",
        X,
        target=ANSWERS,
        reference=elementwise_loss(lambda v, t: refs.binary_cross_entropy(refs.sigmoid(v), t)),
    ),
    *loss_op("focal_loss", X, target=ANSWERS, reference=elementwise_loss(refs.focal)),
    *loss_op("hinge_loss", X, target=SIGNS, reference=elementwise_loss(lambda v, t: max(0.0, 1 - t * v))),
    *loss_op("mse_loss", X, target=X, reference=elementwise_loss(lambda v, t: (v - t) ** 2)),
    *loss_op("l1_loss", X, target=X, reference=elementwise_loss(lambda v, t: abs(v - t))),
    *loss_op("huber_loss", X, target=X, delta=1.5, reference=elementwise_loss(refs.huber)),
    *loss_op(
        "smooth_l1_loss",
        X,
        target=X,
        beta=1.5,
        reference=elementwise_loss(lambda v, t, beta: refs.huber(v, t, beta) / beta),
    ),
    *loss_op("cosine_embedding_loss", X, X, target=A(N, among=(-1, 1)), reference=refs.rows(refs.cosine)),
    *loss_op("multi_margin_loss", X, target=LABELS, reference=refs.rows(refs.multi_margin)),
    op(
        "triplet_margin_loss",
        X,
        X,
        X,
        reduction="none",
        wide_value=True,
        reference=lambda a, p, n, reduction: np.array([refs.triplet(*v) for v in zip(a, p, n, strict=True)]),
    ),
]


def alone(f: Callable[..., float]) -> Callable[..., Any]:
    return refs.each(f)


def of_layer(f: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """A reference of an op, given the parameters of a layer by name."""
    return lambda x, **parameters: f(x, **parameters, **options)


def recurrent_layer(kind: str, states: int) -> Callable[..., Any]:
    def run(x: np.ndarray, **weights: np.ndarray) -> np.ndarray:
        hidden = weights["weight_hh_l0"].shape[0]
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        zeros = [np.zeros((len(x), 1, hidden))] * states
        return refs.recurrent(kind)(x, *zeros, *(weights[name] for name in names))[0]

    return run


def whole_numbers(limit: int) -> Callable[[tuple[int, ...]], Any]:
    return lambda shape: A(*shape, integers=limit).values(0)


def away_from_kinks(shape: tuple[int, ...]) -> Any:
    return arrays(shape, low=-5.0, high=8.0, away_from=NEAR_KINKS)


NARROW = (4, 5, 2)

LAYERS = [
    layer(lambda: layers.Identity(), (3,), reference=of_layer(lambda x: x)),
    layer(lambda: layers.Flatten(), (2, 3), reference=of_layer(lambda x: np.array([r.ravel() for r in x]))),
    layer(lambda: layers.Reshape((3, 2)), (6,), reference=of_layer(lambda x: x.reshape(len(x), 3, 2))),
    layer(
        lambda: layers.Function(lambda x: F.tanh(x) * x), (3,), reference=alone(lambda v: v * math.tanh(v))
    ),
    layer(lambda: layers.Linear(3, 2, seed=0), (3,), reference=of_layer(refs.linear)),
    layer(lambda: layers.Linear(3, 2, bias=False, seed=0), (2, 3), reference=of_layer(refs.linear)),
    layer(lambda: layers.Conv(2, 3, (2, 3), seed=0), NARROW, reference=of_layer(refs.conv)),
    layer(
        lambda: layers.Conv(2, 4, 2, stride=2, padding=1, groups=2, bias=False, seed=0),
        NARROW,
        reference=of_layer(refs.conv, stride=2, padding=1, groups=2),
    ),
    layer(
        lambda: layers.Conv(2, 3, (2,), dilation=2, seed=0), (6, 2), reference=of_layer(refs.conv, dilation=2)
    ),
    layer(
        lambda: layers.ConvTranspose(2, 3, 2, stride=2, seed=0),
        (2, 3, 2),
        reference=of_layer(refs.conv_transpose, stride=2),
    ),
    layer(lambda: layers.MaxPool(2), NARROW, reference=of_layer(refs.max_pool, kernel_size=2)),
    layer(
        lambda: layers.MaxPool(3, stride=2, padding=1, ceil_mode=True),
        NARROW,
        reference=of_layer(refs.max_pool, kernel_size=3, stride=2, padding=1, ceil_mode=True),
    ),
    layer(
        lambda: layers.AvgPool(2, stride=1, padding=1, count_include_pad=False),
        NARROW,
        reference=of_layer(refs.avg_pool, kernel_size=2, stride=1, padding=1, count_include_pad=False),
    ),
    layer(
        lambda: layers.AdaptiveAvgPool(3), NARROW, reference=of_layer(refs.adaptive_avg_pool, output_size=3)
    ),
    layer(lambda: layers.GlobalAvgPool(), NARROW, reference=refs.of_image(refs.average)),
    layer(lambda: layers.GlobalMaxPool(), NARROW, reference=refs.of_image(max)),
    layer(lambda: layers.Upsample(2), (2, 3, 2), reference=of_layer(refs.upsample_nearest, scale_factor=2)),
    layer(
        lambda: layers.Upsample(2, mode="bilinear"), (3, 2), reference=of_layer(refs.upsample_bilinear_by_two)
    ),
    layer(
        lambda: layers.Pad(((1, 2),), mode="edge"),
        (3, 2),
        reference=of_layer(lambda x: np.pad(x, ((0, 0), (1, 2), (0, 0)), mode="edge")),
    ),
    layer(
        lambda: layers.BatchNorm(3, eps=0.1),
        (2, 3),
        reference=of_layer(refs.batch_norm, eps=0.1),
        couples_samples="training",
    ),
    layer(
        lambda: layers.BatchNorm(3),
        (3,),
        reference=of_layer(refs.batch_norm),
        couples_samples="training",
        least_batch=2,
    ),
    layer(lambda: layers.LayerNorm(3), (2, 3), reference=of_layer(refs.layer_norm)),
    layer(lambda: layers.LayerNorm((2, 3), eps=0.1), (2, 3), reference=of_layer(refs.layer_norm, eps=0.1)),
    layer(lambda: layers.GroupNorm(2, 4), (2, 4), reference=of_layer(refs.group_norm, groups=2)),
    layer(lambda: layers.InstanceNorm(3), (4, 3), reference=of_layer(refs.instance_norm)),
    layer(lambda: layers.RMSNorm(3), (2, 3), reference=of_layer(refs.rms_norm)),
    layer(lambda: layers.Dropout(0.4, seed=0), (4,), couples_samples="training"),
    layer(lambda: layers.Softmax(), (3,), reference=refs.softmax),
    layer(lambda: layers.Softmax(axis=1), (2, 3), reference=of_layer(refs.softmax, axis=1)),
    layer(
        lambda: layers.Softmax(axis=0), (3,), reference=of_layer(refs.softmax, axis=0), couples_samples=True
    ),
    layer(lambda: layers.LogSoftmax(axis=1), (2, 3), reference=of_layer(refs.log_softmax, axis=1)),
    layer(lambda: layers.Softmin(axis=1), (2, 3), reference=of_layer(refs.softmin, axis=1)),
    layer(lambda: layers.GLU(), (4,), reference=refs.along(refs.glu_line)),
    layer(lambda: layers.ReLU(), (3,), reference=alone(lambda v: max(v, 0))),
    layer(lambda: layers.Sigmoid(), (3,), reference=alone(refs.sigmoid)),
    layer(lambda: layers.Tanh(), (3,), reference=alone(math.tanh)),
    layer(lambda: layers.GELU(), (3,), reference=alone(lambda v: v * refs.normal_share(v))),
    layer(lambda: layers.GELU(approximate="tanh"), (3,), reference=alone(refs.gelu_tanh)),
    layer(lambda: layers.SiLU(), (3,), reference=alone(lambda v: v * refs.sigmoid(v))),
    layer(lambda: layers.Mish(), (3,), reference=alone(lambda v: v * math.tanh(math.log1p(math.exp(v))))),
    layer(
        lambda: layers.Softplus(beta=2.0), (3,), reference=alone(lambda v: math.log1p(math.exp(2 * v)) / 2)
    ),
    layer(lambda: layers.Softsign(), (3,), reference=alone(lambda v: v / (1 + abs(v)))),
    layer(lambda: layers.ELU(1.5), (3,), reference=alone(lambda v: v if v > 0 else 1.5 * math.expm1(v))),
    layer(
        lambda: layers.CELU(1.5), (3,), reference=alone(lambda v: v if v > 0 else 1.5 * math.expm1(v / 1.5))
    ),
    layer(
        lambda: layers.SELU(),
        (3,),
        reference=alone(lambda v: 1.0507009873554805 * (v if v > 0 else 1.6732632423543772 * math.expm1(v))),
    ),
    layer(lambda: layers.LeakyReLU(0.1), (3,), reference=alone(lambda v: max(v, 0.1 * v))),
    layer(lambda: layers.PReLU(3), (3,), reference=lambda x, weight: np.where(x > 0, x, weight * x)),
    layer(lambda: layers.ReLU6(), (3,), reference=alone(lambda v: min(max(v, 0), 6)), inputs=away_from_kinks),
    layer(
        lambda: layers.HardTanh(-2.0, 1.0),
        (3,),
        reference=alone(lambda v: min(max(v, -2), 1)),
        inputs=lambda shape: arrays(shape, away_from=(-2.0, 1.0)),
    ),
    layer(
        lambda: layers.HardSigmoid(),
        (3,),
        reference=alone(lambda v: min(max(v / 6 + 0.5, 0), 1)),
        inputs=away_from_kinks,
    ),
    layer(
        lambda: layers.HardSwish(),
        (3,),
        reference=alone(lambda v: v * min(max(v / 6 + 0.5, 0), 1)),
        inputs=away_from_kinks,
    ),
    layer(lambda: layers.Embedding(5, 2, seed=0), (4,), reference=refs.embedding, inputs=whole_numbers(5)),
    layer(lambda: layers.RNN(2, 3, seed=0), (4, 2), reference=recurrent_layer("rnn", 1)),
    layer(lambda: layers.GRU(2, 3, seed=0), (4, 2), reference=recurrent_layer("gru", 1)),
    layer(lambda: layers.LSTM(2, 3, seed=0), (4, 2), reference=recurrent_layer("lstm", 2)),
    layer(
        lambda: layers.MultiHeadAttention(4, 2, causal=True, seed=0),
        (3, 4),
        reference=lambda x, **p: refs.multi_head_attention(x, x, x, *p.values(), num_heads=2, causal=True),
    ),
    layer(lambda: layers.MultiHeadAttention(4, 2, rotary=True, seed=0), (3, 4)),
    layer(lambda: layers.TransformerEncoderLayer(4, 2, 3, dropout=0.0, seed=0), (3, 4)),
    layer(
        lambda: layers.LearnedPositions(4, 2, seed=0),
        (3, 2),
        reference=lambda x, weight: np.array([v + weight[:3] for v in x]),
    ),
    layer(lambda: layers.SinusoidalPositions(), (3, 4), reference=refs.sinusoidal_positions),
    layer(lambda: layers.RotaryPositions(), (3, 4), reference=refs.rotary_positions),
    layer(lambda: layers.LSTM(2, 2, num_layers=2, bidirectional=True, seed=0), (3, 2)),
    layer(
        lambda: layers.TransformerEncoderLayer(4, 2, 3, dropout=0.4, norm_first=True, seed=0),
        (3, 4),
        couples_samples="training",
    ),
    layer(
        lambda: layers.Sequential(
            layers.Conv(1, 2, 2, seed=0), layers.ReLU(), layers.Flatten(), layers.Linear(8, 2)
        ),
        (3, 3, 1),
    ),
    layer(
        lambda: layers.Sequential(layers.Linear(3, 4, seed=0), layers.BatchNorm(4), layers.Dropout(seed=1)),
        (3,),
        couples_samples="training",
        least_batch=2,
    ),
    layer(lambda: layers.Residual(layers.Linear(3, 3, seed=0)), (3,)),
    layer(lambda: layers.Residual(layers.Linear(3, 2, seed=0), shortcut=layers.Linear(3, 2, seed=1)), (3,)),
    layer(lambda: layers.Parallel(layers.Linear(3, 2, seed=0), layers.Tanh()), (3,)),
    layer(
        lambda: layers.Parallel(layers.Identity(), layers.Identity(), merge="add"),
        (3,),
        reference=of_layer(lambda x: 2 * x),
    ),
]

LOSSES = [
    loss(lambda: losses.CrossEntropy(), "cross_entropy", X, target=LABELS),
    loss(
        lambda: losses.CrossEntropy(from_logits=False),
        "cross_entropy_probabilities",
        PROBABILITIES,
        target=LABELS,
    ),
    loss(lambda: losses.NegativeLogLikelihood(), "nll_loss", X, target=LABELS),
    loss(lambda: losses.KLDivergence(), "kl_div", X, target=PROBABILITIES),
    loss(lambda: losses.BinaryCrossEntropy(), "binary_cross_entropy_with_logits", X, target=ANSWERS),
    loss(
        lambda: losses.BinaryCrossEntropy(from_logits=False),
        "binary_cross_entropy",
        PROBABILITIES,
        target=ANSWERS,
    ),
    loss(lambda: losses.Focal(), "focal_loss", X, target=ANSWERS),
    loss(lambda: losses.Hinge(), "hinge_loss", X, target=SIGNS),
    loss(lambda: losses.MeanSquaredError(), "mse_loss", X, target=X),
    loss(lambda: losses.MeanSquaredError(reduction="sum"), "mse_loss", X, target=X),
    loss(lambda: losses.L1(), "l1_loss", X, target=X),
    loss(lambda: losses.Huber(), "huber_loss", X, target=X),
    loss(lambda: losses.SmoothL1(), "smooth_l1_loss", X, target=X),
    loss(lambda: losses.CosineEmbedding(), "cosine_embedding_loss", X, X, target=A(N, among=(-1, 1))),
    loss(lambda: losses.MultiMargin(), "multi_margin_loss", X, target=LABELS),
    loss(lambda: losses.Triplet(), "triplet_margin_loss", X, X, X),
]
