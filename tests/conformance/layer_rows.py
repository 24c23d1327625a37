"""The layers that are compared with PyTorch: one row each.

A new layer is one row: how both sides are made from the same settings, and which settings and inputs to draw.
"""

from typing import Any

from hypothesis import strategies as st

from minidl import layers
from tests.conformance.rows import (
    Row,
    Settings,
    double,
    eps,
    images,
    kernels,
    named,
    positive,
    shapes,
    slope,
    small,
    with_shapes,
)
from tests.conformance.sequence_draws import (
    attend,
    attentive,
    encode,
    encoder_parts,
    projections,
    queries,
    recurrent,
    sequences,
    their_encoder,
    transformers,
    with_states,
)
from tests.conformance.spatial_draws import (
    convolutions,
    frames,
    poolings,
    regions,
    resizings,
    their_pad,
    their_upsample,
    transposed,
    with_ties,
)
from tests.either import np


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
        double(layers.BatchNorm),
        lambda nn, rank, **s: getattr(nn, f"BatchNorm{max(rank, 1)}d")(**s),
        over_channels(momentum=st.sampled_from([0.0, 0.1, 0.5, 1.0, None])),
        channels=True,
        door=lambda arrays: {
            "num_batches_tracked" if name == "batches" else name: a for name, a in arrays.items()
        },
    ),
    "CELU": Row(layers.CELU, named("CELU"), with_shapes({"alpha": positive})),
    "Conv": Row(
        double(layers.Conv),
        named("Conv{rank}d"),
        convolutions(),
        channels=True,
        door=kernels,
    ),
    "ConvTranspose": Row(
        double(layers.ConvTranspose),
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
    "Embedding": Row(double(layers.Embedding), named("Embedding"), vocabularies(), numbers),
    "Flatten": Row(layers.Flatten, named("Flatten"), with_shapes({}, images)),
    "GELU": Row(layers.GELU, named("GELU"), with_shapes({"approximate": st.sampled_from(["none", "tanh"])})),
    "GRU": Row(
        double(layers.GRU),
        named("GRU", batch_first=True),
        recurrent(),
        sequences(1),
        door=kernels,
        call=with_states,
    ),
    "GLU": Row(layers.GLU, named("GLU", {"axis": "dim"}), halves()),
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
        with_ties,
        channels=True,
    ),
    "GroupNorm": Row(
        double(layers.GroupNorm),
        named("GroupNorm", {"num_features": "num_channels"}),
        over_groups().filter(lambda drawn: len(drawn[1]) > 2),
        channels=True,
    ),
    # Its derivative there is 1/6 in single precision, whatever the input.
    "HardSigmoid": Row(layers.HardSigmoid, named("Hardsigmoid"), with_shapes({}), tolerance=1e-7),
    "HardSwish": Row(layers.HardSwish, named("Hardswish"), with_shapes({})),
    "HardTanh": Row(
        layers.HardTanh,
        named("Hardtanh", {"low": "min_val", "high": "max_val"}),
        with_shapes({"low": st.just(-0.5), "high": st.just(0.25)}),
    ),
    "Identity": Row(layers.Identity, named("Identity"), with_shapes({})),
    "InstanceNorm": Row(
        double(layers.InstanceNorm),
        lambda nn, rank, **s: getattr(nn, f"InstanceNorm{rank}d")(**s, affine=True),
        over_channels().filter(lambda drawn: len(drawn[1]) > 2),
        channels=True,
    ),
    "LSTM": Row(
        double(layers.LSTM),
        named("LSTM", batch_first=True),
        recurrent(),
        sequences(2),
        door=kernels,
        call=with_states,
    ),
    "LayerNorm": Row(double(layers.LayerNorm), named("LayerNorm"), over_last_axes()),
    "LeakyReLU": Row(layers.LeakyReLU, named("LeakyReLU"), with_shapes({"negative_slope": slope})),
    "Linear": Row(double(layers.Linear), named("Linear"), dense(), door=kernels),
    "LogSoftmax": Row(layers.LogSoftmax, named("LogSoftmax", {"axis": "dim"}), along_axis()),
    "MaxPool": Row(layers.MaxPool, named("MaxPool{rank}d"), poolings(dilated=True), with_ties, channels=True),
    "MultiHeadAttention": Row(
        double(layers.MultiHeadAttention),
        lambda nn, rank, causal=False, **s: nn.MultiheadAttention(**s, batch_first=True),
        attentive(),
        queries,
        door=projections,
        call=attend,
    ),
    "Mish": Row(layers.Mish, named("Mish"), with_shapes({})),
    "PReLU": Row(double(layers.PReLU), named("PReLU"), slopes(), channels=True),
    "Pad": Row(layers.Pad, their_pad, frames(), channels=True),
    "RMSNorm": Row(
        double(layers.RMSNorm),
        lambda nn, rank, eps=1e-5, **s: nn.RMSNorm(**s, eps=eps),  # theirs is the precision of the dtype
        over_last_axes(),
    ),
    "RNN": Row(
        double(layers.RNN),
        named("RNN", batch_first=True),
        recurrent(nonlinearity=st.sampled_from(["tanh", "relu"])),
        sequences(1),
        door=kernels,
        call=with_states,
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
    "Softmax": Row(layers.Softmax, named("Softmax", {"axis": "dim"}), along_axis()),
    "Softmin": Row(layers.Softmin, named("Softmin", {"axis": "dim"}), along_axis()),
    "Softplus": Row(layers.Softplus, named("Softplus"), with_shapes({"beta": positive})),
    "Softsign": Row(layers.Softsign, named("Softsign"), with_shapes({})),
    "Tanh": Row(layers.Tanh, named("Tanh"), with_shapes({})),
    "TransformerEncoderLayer": Row(
        double(layers.TransformerEncoderLayer),
        their_encoder,
        transformers(),
        door=encoder_parts,
        call=encode,
    ),
    "Upsample": Row(layers.Upsample, their_upsample, resizings(), channels=True),
}

LAYERS_WITHOUT = {
    "Function": "whatever its function is",
    "Layer": "the base class",
    "LearnedPositions": "not in PyTorch",
    "Parallel": "a container",
    "Reshape": "takes the shape of one sample",
    "Residual": "a container",
    "RotaryPositions": "not in PyTorch",
    "SinusoidalPositions": "not in PyTorch",
}
