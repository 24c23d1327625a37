"""What is compared with PyTorch: one row for each layer, loss and optimizer, with the settings to draw.

A new layer is one row: how both sides are made from the same settings, and which settings and inputs to draw.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import minidl
from minidl import layers, losses
from minidl.backend import asarray

Arrays = dict[str, np.ndarray]
Settings = dict[str, Any]
Drawn = st.SearchStrategy[tuple[Settings, tuple[int, ...]]]


def normal_input(rng: np.random.Generator, shape: tuple[int, ...], settings: Settings) -> list[np.ndarray]:
    return [normal(rng, shape)]


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Random numbers, exact in half precision, in which golden files keep them."""
    return exact(np.asarray(rng.normal(size=shape)))


def exact(a: np.ndarray) -> np.ndarray:
    """The nearest float64 numbers that are exact in half precision."""
    return a.astype(np.float16).astype(np.float64)


class Row(NamedTuple):
    """How a layer or a loss is made on both sides, and what to draw for it."""

    ours: Callable[..., Any]  # (**settings)
    theirs: Callable[..., Any]  # (torch.nn, rank, **settings), rank being the number of spatial axes
    drawn: Drawn  # of the settings and the shape of the (first) input
    inputs: Callable[..., list[np.ndarray]] = normal_input  # (generator, shape, settings)
    channels: bool = False  # whether PyTorch wants the last axis of inputs and outputs as the second
    door: Callable[[Arrays], Arrays] = dict  # our state or gradients by PyTorch's names and in its layout
    training: Sequence[bool] = (True, False)
    predictions: int = 1  # how many of the inputs have a gradient; the others are targets or indices
    tolerance: float = 1e-9


def named(name: str, *constants: Any, **renamed: str) -> Callable[..., Any]:
    """A class of torch.nn by its name, ``{rank}`` filled in, and keywords by what they are called there."""

    def make(nn: Any, rank: int, **settings: Any) -> Any:
        options = {renamed.get(key, key): value for key, value in settings.items()}
        return getattr(nn, name.format(rank=rank))(*constants, **options)

    return make


def kernels(arrays: Arrays) -> Arrays:
    """The weights of dense layers and convolutions: ``(..., in, out)`` here, ``(out, in, ...)`` there."""
    return {k: np.moveaxis(a, (-1, -2), (0, 1)) if a.ndim > 1 else a for k, a in arrays.items()}


# What is drawn.

small = st.integers(1, 3)
shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)
eps = st.sampled_from([1e-5, 1e-3, 0.1])
slope = st.floats(-1, 1).map(lambda x: round(x, 3))
positive = st.sampled_from([0.5, 1.0, 2.0])
images = st.lists(st.integers(2, 5), min_size=2, max_size=5).map(tuple)  # (N, *spatial, C)


def with_shapes(settings: dict[str, st.SearchStrategy[Any]], shape: Any = shapes) -> Drawn:
    return st.tuples(st.fixed_dictionaries({}, optional=settings), shape)


@st.composite
def along_axis(draw: st.DrawFn) -> tuple[Settings, tuple[int, ...]]:
    shape = draw(shapes)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    return {"axis": axis}, shape


@st.composite
def halves(draw: st.DrawFn) -> tuple[Settings, tuple[int, ...]]:
    settings, shape = draw(along_axis())
    axis = settings["axis"] % len(shape)
    return settings, (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :])


@st.composite
def dense(draw: st.DrawFn) -> tuple[Settings, tuple[int, ...]]:
    shape = draw(shapes.filter(lambda shape: len(shape) > 1))
    return {"in_features": shape[-1], "out_features": draw(small), "bias": draw(st.booleans())}, shape


@st.composite
def per_axis(draw: st.DrawFn, rank: int, values: st.SearchStrategy[int]) -> Any:
    """An int for all axes, or one for each."""
    return draw(st.one_of(values, st.tuples(*[values] * rank)))


def each(value: Any, rank: int) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,) * rank


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Settings, tuple[int, ...]]:
    rank = draw(small)
    kernel, dilation = draw(st.tuples(*[small] * rank)), draw(per_axis(rank, st.integers(1, 2)))
    stride, groups = draw(per_axis(rank, small)), draw(st.integers(1, 2))
    odd = {1, *kernel} <= {1, 3}  # elsewhere PyTorch warns of a copy
    same = odd and stride in (1, (1,) * rank) and draw(st.booleans())
    padding = "same" if same else draw(per_axis(rank, st.integers(0, 2)))
    pads = (0,) * rank if same else each(padding, rank)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, each(dilation, rank), strict=True)]
    least = [max(1, r - 2 * p) for r, p in zip(reach, pads, strict=True)]
    size = [draw(st.integers(n, n + 3)) for n in least]
    settings = {
        "in_channels": groups * draw(st.integers(1, 2)),
        "out_channels": groups * draw(st.integers(1, 2)),
        "kernel_size": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "bias": draw(st.booleans()),
    }
    return settings, (draw(st.integers(1, 2)), *size, settings["in_channels"])


@st.composite
def transposed(draw: st.DrawFn) -> tuple[Settings, tuple[int, ...]]:
    settings, shape = draw(convolutions())
    rank = len(shape) - 2
    kernel, stride, dilation = (each(settings[name], rank) for name in ("kernel_size", "stride", "dilation"))
    padding = tuple(draw(st.integers(0, (k - 1) * d // 2)) for k, d in zip(kernel, dilation, strict=True))
    more = tuple(draw(st.integers(0, s - 1)) for s in stride)
    return settings | {"padding": padding, "output_padding": more}, shape


@st.composite
def resizings(draw: st.DrawFn) -> tuple[Settings, tuple[int, ...]]:
    shape = draw(images.filter(lambda shape: len(shape) > 2))
    rank = len(shape) - 2
    settings: Settings = draw(
        st.one_of(
            st.fixed_dictionaries({"scale_factor": per_axis(rank, small)}),
            st.fixed_dictionaries({"size": st.tuples(*[st.integers(1, 7)] * rank)}),
        )
    )
    return settings | {"mode": draw(st.sampled_from(["nearest", "bilinear"]))}, shape


def their_upsample(nn: Any, rank: int, mode: str, **settings: Any) -> Any:
    if mode == "nearest":
        return nn.Upsample(**settings)
    return nn.Upsample(**settings, mode=("linear", "bilinear", "trilinear")[rank - 1])


@st.composite
def regions(draw: st.DrawFn) -> tuple[Settings, tuple[int, ...]]:
    shape = draw(images.filter(lambda shape: len(shape) > 2))
    return {"output_size": draw(per_axis(len(shape) - 2, st.integers(1, 7)))}, shape


@st.composite
def frames(draw: st.DrawFn) -> tuple[Settings, tuple[int, ...]]:
    shape = draw(images.filter(lambda shape: len(shape) > 2))
    settings = {"mode": draw(st.sampled_from(["constant", "edge", "reflect"]))}
    widths = st.integers(0, min(shape[1:-1]) - 1)
    settings["padding"] = tuple(draw(st.tuples(widths, widths)) for _ in shape[1:-1])
    return settings | ({"value": draw(slope)} if settings["mode"] == "constant" else {}), shape


def their_pad(nn: Any, rank: int, padding: Any, mode: str, **settings: Any) -> Any:
    kind = {"constant": "Constant", "edge": "Replication", "reflect": "Reflection"}[mode]
    return getattr(nn, f"{kind}Pad{rank}d")(tuple(n for pair in reversed(padding) for n in pair), **settings)


@st.composite
def poolings(
    draw: st.DrawFn, dilated: bool = False, **more: st.SearchStrategy[Any]
) -> tuple[Settings, tuple[int, ...]]:
    rank = draw(small)
    kernel = draw(per_axis(rank, small))
    settings = {"kernel_size": kernel, "ceil_mode": draw(st.booleans())}
    settings |= {name: draw(strategy) for name, strategy in more.items()}
    if dilated:
        settings["dilation"] = draw(per_axis(rank, st.integers(1, 2)))
    if draw(st.booleans()):
        settings["stride"] = draw(per_axis(rank, small))
    settings["padding"] = tuple(draw(st.integers(0, k // 2)) for k in each(kernel, rank))
    taps = zip(each(kernel, rank), each(settings.get("dilation", 1), rank), settings["padding"], strict=True)
    # PyTorch wants no image smaller than a kernel of three axes, and dilated windows could see padding alone.
    spare = 0 if rank == 3 or dilated else 2
    least = [max(1, (k - 1) * d + 1 - spare * p) for k, d, p in taps]
    size = [draw(st.integers(n, n + 4)) for n in least]
    return settings, (draw(st.integers(1, 2)), *size, draw(st.integers(1, 2)))


@st.composite
def over_channels(draw: st.DrawFn, **more: st.SearchStrategy[Any]) -> tuple[Settings, tuple[int, ...]]:
    shape = draw(images)
    drawn = draw(st.fixed_dictionaries({}, optional={"eps": eps, **more}))
    return {"num_features": shape[-1], **drawn}, shape


@st.composite
def over_groups(draw: st.DrawFn) -> tuple[Settings, tuple[int, ...]]:
    settings, shape = draw(over_channels())
    return {"num_groups": draw(st.sampled_from([1, shape[-1]])), **settings}, shape


@st.composite
def over_last_axes(draw: st.DrawFn) -> tuple[Settings, tuple[int, ...]]:
    shape = draw(images)
    axes = draw(st.integers(1, len(shape) - 1))
    return {
        "normalized_shape": shape[-axes:],
        **draw(st.fixed_dictionaries({}, optional={"eps": eps})),
    }, shape


@st.composite
def vocabularies(draw: st.DrawFn) -> tuple[Settings, tuple[int, ...]]:
    count = draw(st.integers(1, 5))
    settings = {"num_embeddings": count, "embedding_dim": draw(small)}
    if draw(st.booleans()):
        settings["padding_idx"] = draw(st.integers(0, count - 1))
    return settings, draw(shapes)


def numbers(rng: np.random.Generator, shape: tuple[int, ...], settings: Settings) -> list[np.ndarray]:
    return [rng.integers(0, settings["num_embeddings"], shape)]


@st.composite
def slopes(draw: st.DrawFn) -> tuple[Settings, tuple[int, ...]]:
    shape = draw(images)
    return {"num_parameters": draw(st.sampled_from([1, shape[-1]]))}, shape


LAYERS = {
    "AdaptiveAvgPool": Row(layers.AdaptiveAvgPool, named("AdaptiveAvgPool{rank}d"), regions(), channels=True),
    "AvgPool": Row(
        layers.AvgPool,
        named("AvgPool{rank}d"),
        poolings(count_include_pad=st.booleans()),
        channels=True,
    ),
    "BatchNorm": Row(
        lambda **s: layers.BatchNorm(**s, dtype="float64"),
        lambda nn, rank, **s: getattr(nn, f"BatchNorm{max(rank, 1)}d")(**s),
        over_channels(momentum=st.sampled_from([0.0, 0.1, 0.5, 1.0, None])),
        channels=True,
        door=lambda arrays: {
            "num_batches_tracked" if name == "batches" else name: a for name, a in arrays.items()
        },
    ),
    "CELU": Row(layers.CELU, named("CELU"), with_shapes({"alpha": positive})),
    "Conv": Row(
        lambda **s: layers.Conv(**s, dtype="float64"),
        named("Conv{rank}d"),
        convolutions(),
        channels=True,
        door=kernels,
    ),
    "ConvTranspose": Row(
        lambda **s: layers.ConvTranspose(**s, dtype="float64"),
        named("ConvTranspose{rank}d"),
        transposed(),
        channels=True,
        door=kernels,
    ),
    "Dropout": Row(
        layers.Dropout,
        named("Dropout"),
        with_shapes({"p": st.sampled_from([0.0, 0.5])}),
        door=lambda arrays: {},  # the place in the random stream
        training=(False,),
    ),
    "ELU": Row(layers.ELU, named("ELU"), with_shapes({"alpha": positive})),
    "Embedding": Row(
        lambda **s: layers.Embedding(**s, dtype="float64"), named("Embedding"), vocabularies(), numbers
    ),
    "Flatten": Row(layers.Flatten, named("Flatten"), with_shapes({}, images)),
    "GELU": Row(layers.GELU, named("GELU"), with_shapes({"approximate": st.sampled_from(["none", "tanh"])})),
    "GLU": Row(layers.GLU, named("GLU", axis="dim"), halves()),
    "GlobalAvgPool": Row(
        layers.GlobalAvgPool,
        lambda nn, rank: nn.Sequential(getattr(nn, f"AdaptiveAvgPool{rank}d")(1), nn.Flatten()),
        with_shapes({}, images.filter(lambda shape: len(shape) > 2)),
        channels=True,
    ),
    "GlobalMaxPool": Row(
        layers.GlobalMaxPool,
        lambda nn, rank: nn.Sequential(getattr(nn, f"AdaptiveMaxPool{rank}d")(1), nn.Flatten()),
        with_shapes({}, images.filter(lambda shape: len(shape) > 2)),
        channels=True,
    ),
    "GroupNorm": Row(
        lambda **s: layers.GroupNorm(**s, dtype="float64"),
        named("GroupNorm", num_features="num_channels"),
        over_groups().filter(lambda drawn: len(drawn[1]) > 2),
        channels=True,
    ),
    # Its derivative there is 1/6 in single precision, whatever the input.
    "HardSigmoid": Row(layers.HardSigmoid, named("Hardsigmoid"), with_shapes({}), tolerance=1e-7),
    "HardSwish": Row(layers.HardSwish, named("Hardswish"), with_shapes({})),
    "HardTanh": Row(
        layers.HardTanh,
        named("Hardtanh", low="min_val", high="max_val"),
        with_shapes({"low": st.just(-0.5), "high": st.just(0.25)}),
    ),
    "Identity": Row(layers.Identity, named("Identity"), with_shapes({})),
    "InstanceNorm": Row(
        lambda **s: layers.InstanceNorm(**s, dtype="float64"),
        lambda nn, rank, **s: getattr(nn, f"InstanceNorm{rank}d")(**s, affine=True),
        over_channels().filter(lambda drawn: len(drawn[1]) > 2),
        channels=True,
    ),
    "LayerNorm": Row(
        lambda **s: layers.LayerNorm(**s, dtype="float64"), named("LayerNorm"), over_last_axes()
    ),
    "LeakyReLU": Row(layers.LeakyReLU, named("LeakyReLU"), with_shapes({"negative_slope": slope})),
    "Linear": Row(lambda **s: layers.Linear(**s, dtype="float64"), named("Linear"), dense(), door=kernels),
    "LogSoftmax": Row(layers.LogSoftmax, named("LogSoftmax", axis="dim"), along_axis()),
    "MaxPool": Row(layers.MaxPool, named("MaxPool{rank}d"), poolings(dilated=True), channels=True),
    "Mish": Row(layers.Mish, named("Mish"), with_shapes({})),
    "PReLU": Row(lambda **s: layers.PReLU(**s, dtype="float64"), named("PReLU"), slopes(), channels=True),
    "Pad": Row(layers.Pad, their_pad, frames(), channels=True),
    "RMSNorm": Row(
        lambda **s: layers.RMSNorm(**s, dtype="float64"),
        lambda nn, rank, eps=1e-5, **s: nn.RMSNorm(**s, eps=eps),  # theirs is the precision of the dtype
        over_last_axes(),
    ),
    "ReLU": Row(layers.ReLU, named("ReLU"), with_shapes({})),
    "ReLU6": Row(layers.ReLU6, named("ReLU6"), with_shapes({})),
    "SELU": Row(layers.SELU, named("SELU"), with_shapes({})),
    "Sequential": Row(
        lambda **s: layers.Sequential(
            layers.Linear(3, 5, dtype="float64"), layers.Tanh(), layers.Linear(5, 2, dtype="float64")
        ),
        lambda nn, rank: nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)),
        with_shapes({}, st.tuples(st.integers(1, 5), st.just(3))),
        door=kernels,
    ),
    "SiLU": Row(layers.SiLU, named("SiLU"), with_shapes({})),
    "Sigmoid": Row(layers.Sigmoid, named("Sigmoid"), with_shapes({})),
    "Softmax": Row(layers.Softmax, named("Softmax", axis="dim"), along_axis()),
    "Softmin": Row(layers.Softmin, named("Softmin", axis="dim"), along_axis()),
    "Softplus": Row(layers.Softplus, named("Softplus"), with_shapes({"beta": positive})),
    "Softsign": Row(layers.Softsign, named("Softsign"), with_shapes({})),
    "Tanh": Row(layers.Tanh, named("Tanh"), with_shapes({})),
    "Upsample": Row(layers.Upsample, their_upsample, resizings(), channels=True),
}

LAYERS_WITHOUT = {
    "Function": "whatever its function is",
    "Layer": "the base class",
    "Parallel": "a container",
    "Reshape": "takes the shape of one sample",
    "Residual": "a container",
}


# Losses. Classes are on the last axis here and on the second there. A name may say more after a blank.

reductions = {"reduction": st.sampled_from(["mean", "sum", "none"])}
margin = {"margin": st.sampled_from([0.0, 0.5, 1.0])}
matrices = st.tuples(st.integers(2, 5), st.integers(2, 5))
TO_ARRAYS = ("weight", "pos_weight")


def weighing(loss: type[losses.Loss]) -> Callable[..., losses.Loss]:
    """A loss whose weights are given as lists, as they are drawn."""
    return lambda **s: loss(**{k: asarray(v, "float64") if k in TO_ARRAYS else v for k, v in s.items()})


@st.composite
def classifications(
    draw: st.DrawFn, shapes: Any = images, **more: st.SearchStrategy[Any]
) -> tuple[Settings, tuple[int, ...]]:
    shape = draw(shapes)
    settings: Settings = draw(st.fixed_dictionaries({}, optional=reductions | more))
    if draw(st.booleans()):
        settings["weight"] = [draw(st.sampled_from([0.25, 0.5, 1.0, 3.0])) for _ in range(shape[-1])]
    return settings, shape


@st.composite
def questions(draw: st.DrawFn) -> tuple[Settings, tuple[int, ...]]:
    settings, shape = draw(with_shapes(reductions))
    if draw(st.booleans()):
        settings["pos_weight"] = [draw(st.sampled_from([0.25, 1.0, 3.0])) for _ in range(shape[-1])]
    return settings, shape


def labelled(rng: np.random.Generator, shape: tuple[int, ...], settings: Settings) -> list[np.ndarray]:
    """Scores and labels; the first label counts, or a mean could be one of nothing."""
    labels = rng.integers(0, shape[-1], shape[:-1])
    labels.flat[0] = 0 if settings.get("ignore_index") == shape[-1] - 1 else shape[-1] - 1
    return [normal(rng, shape), labels]


def labelled_probabilities(rng: Any, shape: tuple[int, ...], settings: Settings) -> list[np.ndarray]:
    return [probabilities(rng, shape), labelled(rng, shape, settings)[1]]


def distributions(rng: Any, shape: tuple[int, ...], settings: Settings) -> list[np.ndarray]:
    target = probabilities(rng, shape)
    return [
        normal(rng, shape),
        exact(np.log(target)) if settings.get("log_target") else target,
    ]


def probabilities(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    weights = abs(normal(rng, shape)) + 1
    return exact(weights / weights.sum(axis=-1, keepdims=True))


def answered(rng: Any, shape: tuple[int, ...], settings: Settings) -> list[np.ndarray]:
    return [normal(rng, shape), rng.integers(0, 2, shape).astype(np.float64)]


def answered_probabilities(rng: Any, shape: tuple[int, ...], settings: Settings) -> list[np.ndarray]:
    return [exact(rng.uniform(0.1, 0.9, shape)), answered(rng, shape, {})[1]]


def two(rng: np.random.Generator, shape: tuple[int, ...], settings: Settings) -> list[np.ndarray]:
    return [normal(rng, shape), normal(rng, shape)]


def three(rng: np.random.Generator, shape: tuple[int, ...], settings: Settings) -> list[np.ndarray]:
    return [*two(rng, shape, settings), normal(rng, shape)]


def pairs(rng: np.random.Generator, shape: tuple[int, ...], settings: Settings) -> list[np.ndarray]:
    return [*two(rng, shape, settings), rng.choice([-1.0, 1.0], shape[:-1])]


def their_divergence(nn: Any, rank: int, reduction: str = "mean", **settings: Any) -> Any:
    each_element = nn.KLDivLoss(**settings, reduction="none")
    if reduction == "none":  # here a loss for each row, there one for each element
        return lambda x, target: each_element(x, target).sum(-1)
    return nn.KLDivLoss(**settings, reduction="batchmean" if reduction == "mean" else reduction)


smoothing = {"label_smoothing": st.sampled_from([0.0, 0.1, 0.75])}
ignored = {"ignore_index": st.sampled_from([-100, 0, 1])}

LOSSES = {
    "BinaryCrossEntropy": Row(
        weighing(losses.BinaryCrossEntropy), named("BCEWithLogitsLoss"), questions(), answered
    ),
    "BinaryCrossEntropy of probabilities": Row(
        lambda **s: losses.BinaryCrossEntropy(**s, from_logits=False),
        named("BCELoss"),
        with_shapes(reductions),
        answered_probabilities,
    ),
    "CosineEmbedding": Row(
        losses.CosineEmbedding,
        named("CosineEmbeddingLoss"),
        with_shapes(reductions | margin, matrices),
        pairs,
        predictions=2,
    ),
    "CrossEntropy": Row(
        weighing(losses.CrossEntropy),
        named("CrossEntropyLoss"),
        classifications(**smoothing, **ignored),
        labelled,
        channels=True,
    ),
    "CrossEntropy of distributions": Row(
        weighing(losses.CrossEntropy),
        named("CrossEntropyLoss"),
        classifications(**smoothing),
        distributions,
        channels=True,
    ),
    "CrossEntropy of probabilities": Row(
        lambda **s: weighing(losses.CrossEntropy)(**s, from_logits=False),
        lambda nn, rank, **s: lambda p, labels: nn.NLLLoss(**s)(p.log(), labels),
        classifications(**ignored),
        labelled_probabilities,
        channels=True,
    ),
    "Huber": Row(losses.Huber, named("HuberLoss"), with_shapes(reductions | {"delta": positive}), two),
    "KLDivergence": Row(
        losses.KLDivergence,
        their_divergence,
        with_shapes(reductions | {"log_target": st.booleans()}, matrices),
        distributions,
    ),
    "L1": Row(losses.L1, named("L1Loss"), with_shapes(reductions), two),
    "MeanSquaredError": Row(losses.MeanSquaredError, named("MSELoss"), with_shapes(reductions), two),
    "MultiMargin": Row(
        weighing(losses.MultiMargin),
        named("MultiMarginLoss"),
        classifications(matrices, p=st.integers(1, 2), margin=positive),
        labelled,
    ),
    "NegativeLogLikelihood": Row(
        weighing(losses.NegativeLogLikelihood),
        named("NLLLoss"),
        classifications(**ignored),
        labelled,
        channels=True,
    ),
    "SmoothL1": Row(
        losses.SmoothL1, named("SmoothL1Loss"), with_shapes(reductions | {"beta": positive}), two
    ),
    "Triplet": Row(
        losses.Triplet,
        lambda nn, rank, **s: nn.TripletMarginLoss(**s, eps=1e-30),
        with_shapes(reductions | {"margin": positive, "p": st.sampled_from([1.0, 2.0, 3.0])}, matrices),
        three,
        predictions=3,
    ),
}

LOSSES_WITHOUT = {
    "Focal": "not in PyTorch; its own tests have the formula",
    "Hinge": "not in PyTorch; its own tests have the formula",
    "Loss": "the base class",
}


# Optimizers: the settings to draw, under the same names on both sides.

rates = {"lr": st.sampled_from([1e-3, 0.02])}
decay = {"weight_decay": st.sampled_from([0.0, 0.1])}
betas = {"betas": st.tuples(st.sampled_from([0.5, 0.9]), st.sampled_from([0.9, 0.999]))}
momentum = {"momentum": st.sampled_from([0.0, 0.9])}

OPTIMIZERS = {
    "Adadelta": st.fixed_dictionaries(rates | decay | {"rho": st.sampled_from([0.5, 0.9])}),
    "Adagrad": st.fixed_dictionaries(rates | decay | {"lr_decay": st.sampled_from([0.0, 0.1])}),
    "Adam": st.fixed_dictionaries(rates | decay | betas),
    "AdamW": st.fixed_dictionaries(rates | decay | betas),
    "Adamax": st.fixed_dictionaries(rates | decay | betas),
    "NAdam": st.fixed_dictionaries(rates | decay | betas),
    "RAdam": st.fixed_dictionaries(rates | decay | betas),
    "RMSProp": st.fixed_dictionaries(rates | decay | momentum | {"centered": st.booleans()}),
    "SGD": st.fixed_dictionaries(rates | decay | momentum),
}

OPTIMIZERS_WITHOUT = {
    "Lion": "not in PyTorch",
    "Muon": "computed in half precision there; compared as far as that goes by its own tests",
    "Optimizer": "the base class",
}

THEIR_OPTIMIZERS = {"RMSProp": "RMSprop"}


def our_optimizer(name: str) -> Any:
    return getattr(minidl.optim, name)
