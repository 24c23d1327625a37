"""Every layer, exported with one sample, gives in onnxruntime what it gives in minidl, for any batch."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minidl import layers
from minidl.backend import asarray
from minidl.interop.onnx import graph
from minidl.interop.onnx.export import WRITERS
from tests.conformance.layer_rows import LAYERS
from tests.conformance.rows import small
from tests.interop.onnx.running import assert_runs_alike, assert_same, constants, exported, run

WITHOUT = {"Function": "whatever its function is", "Layer": "the base class"}

# What PyTorch has not, or minidl's tests against it do not draw.
MORE = {
    "Conv": {
        "in_channels": st.just(4),
        "out_channels": st.just(4),
        "kernel_size": st.tuples(small, small),
        "stride": small,
        "padding": st.sampled_from(["same", "valid", ((0, 2), 1), 4]),
        "groups": st.integers(1, 2),
    },
    "ConvTranspose": {
        "in_channels": st.just(4),
        "out_channels": st.just(4),
        "kernel_size": st.tuples(small, small),
        "stride": small,
        "padding": st.sampled_from(["same", ((0, 1), 1), 0]),
        "output_padding": st.integers(0, 1),
        "dilation": st.integers(1, 2),
        "groups": st.integers(1, 2),
    },
    "GroupNorm": {"num_groups": st.integers(1, 2), "num_features": st.just(4)},
    "LearnedPositions": {"max_length": st.integers(3, 9), "features": st.just(4)},
    "MultiHeadAttention": {
        "embed_dim": st.just(4),
        "num_heads": st.just(1),
        "rotary": st.just(True),
        "causal": st.booleans(),
    },
    "Reshape": {"shape": st.sampled_from([(-1,), (2, -1, 1), (-1, 2)])},
    "RotaryPositions": {"base": st.sampled_from([10.0, 1e4])},
    "SinusoidalPositions": {"base": st.sampled_from([10.0, 1e4])},
    "Softplus": {"beta": st.sampled_from([0.1, 30.0])},
    "TransformerEncoderLayer": {
        "embed_dim": st.just(4),
        "num_heads": st.just(1),
        "hidden_features": small,
        "rotary": st.just(True),
        "norm_first": st.booleans(),
    },
    "Upsample": {
        "size": st.integers(1, 12),
        "mode": st.sampled_from(["nearest", "bilinear"]),
    },
}
WINDOWS = {
    "kernel_size": small,
    "stride": small,
    "dilation": small,
    "padding": st.sampled_from([0, 1, 2, ((0, 2), (1, 0)), "same"]),
    "ceil_mode": st.booleans(),
}
MORE["MaxPool"] = WINDOWS
MORE["AvgPool"] = WINDOWS | {"count_include_pad": st.booleans()}
RANKS = {"Conv": [4], "ConvTranspose": [4], "MaxPool": [4], "AvgPool": [4], "Upsample": [3, 4, 5]}
RANKS |= {"LearnedPositions": [3], "MultiHeadAttention": [3], "TransformerEncoderLayer": [3]}
RANKS |= {"RotaryPositions": [3, 4], "SinusoidalPositions": [3, 4]}

seeds = st.integers(0, 2**16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("onnx")


def lived_in(layer: Any, seed: int, dtype: str = "float32") -> Any:
    """A layer whose parameters and statistics are no longer those of a fresh one."""
    rng = np.random.default_rng(seed)
    layer = layer.astype(dtype)
    for p in layer.parameters():
        p.data = asarray(rng.normal(size=p.shape), dtype)
    for name, buffer in layer.buffers():
        if name.startswith("running"):
            buffer.data = asarray(rng.uniform(0.5, 2, buffer.data.shape), buffer.data.dtype)
    return layer.train(bool(rng.integers(2)))


def drawn(data: st.DataObject, name: str, dtype: str) -> tuple[Any, list[np.ndarray]]:
    """A layer of the table and its inputs, three samples or, to be halved, four."""
    row = LAYERS[name]
    settings, shape = data.draw(row.drawn)
    assume(name != "GLU" or settings["axis"] % len(shape))  # half a batch is no batch
    seed = data.draw(seeds)
    inputs = row.inputs(np.random.default_rng(seed), (3, *shape[1:]), settings)
    floats = [a.astype(dtype) if a.dtype.kind == "f" else a for a in inputs]
    return lived_in(row.ours(**settings), seed, dtype), floats


@pytest.mark.parametrize("name", LAYERS)
@given(data=st.data())
def test_a_layer_in_single_precision(name: str, data: st.DataObject, folder: Path) -> None:
    layer, inputs = drawn(data, name, "float32")
    assert_runs_alike(layer, folder, *inputs)


@pytest.mark.parametrize("name", MORE)
@given(data=st.data())
def test_a_layer_with_settings_of_its_own(name: str, data: st.DataObject, folder: Path) -> None:
    settings, seed = data.draw(st.fixed_dictionaries(MORE[name])), data.draw(seeds)
    rank = data.draw(st.sampled_from(RANKS.get(name, [2, 3, 4])))
    x = np.random.default_rng(seed).normal(size=(3, *(5, 4, 3)[: rank - 2], 4))
    try:
        layer = lived_in(getattr(layers, name)(**settings), seed)
        layer.predict(asarray(x, "float32"))
    except ValueError:
        assume(False)
    assert_runs_alike(layer, folder, x.astype("float32"))


def assert_runs_or_is_refused(data: st.DataObject, name: str, dtype: str, folder: Path) -> None:
    layer, inputs = drawn(data, name, dtype)
    said = ""
    try:
        assert_runs_alike(layer, folder, *inputs)
    except TypeError as error:
        said = str(error)
    assert not said or (dtype == "float64" and "got float64, for which onnxruntime has no" in said)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
@given(data=st.data(), name=st.sampled_from(sorted(LAYERS)))
def test_some_layer_in_another_precision(data: st.DataObject, name: str, dtype: str, folder: Path) -> None:
    assert_runs_or_is_refused(data, name, dtype, folder)


@pytest.mark.full
@pytest.mark.parametrize("dtype", ["float16", "float64"])
@pytest.mark.parametrize("name", LAYERS)
@given(data=st.data())
def test_each_layer_in_another_precision(data: st.DataObject, name: str, dtype: str, folder: Path) -> None:
    assert_runs_or_is_refused(data, name, dtype, folder)


def test_what_is_refused_in_double_precision_onnxruntime_cannot_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.ones((1, 4, 4, 2))
    cases: dict[str, tuple[layers.Layer, np.ndarray]] = {
        "Conv": (layers.Conv(2, 3, 2), x),
        "ConvTranspose": (layers.ConvTranspose(2, 3, 2), x),
        "Elu": (layers.ELU(), x),
        "GRU": (layers.GRU(2, 3), x[0]),
        "Gelu": (layers.GELU(), x),
        "HardSigmoid": (layers.HardSigmoid(), x),
        "HardSwish": (layers.HardSwish(), x),
        "InstanceNormalization": (layers.InstanceNorm(2), x),
        "LSTM": (layers.LSTM(2, 3), x[0]),
        "LeakyRelu": (layers.LeakyReLU(), x),
        "Mish": (layers.Mish(), x),
        "PRelu": (layers.PReLU(), x),
        "RNN": (layers.RNN(2, 3), x[0]),
        "Selu": (layers.SELU(), x),
        "Softplus": (layers.Softplus(), x),
        "Softsign": (layers.Softsign(), x),
    }
    assert cases.keys() == graph.SINGLE_ONLY
    monkeypatch.setattr(graph, "SINGLE_ONLY", set())
    ort = pytest.importorskip("onnxruntime")
    failures = ort.capi.onnxruntime_pybind11_state
    for op_type, (layer, example) in cases.items():
        proto = exported(layer.astype("float64"), folder, example)
        assert op_type in [node.op_type for node in proto.graph.node]
        with pytest.raises((failures.NotImplemented, failures.RuntimeException)):
            run(proto, example)


def test_every_public_layer_can_be_written_or_has_a_reason() -> None:
    classes = {name: value for name, value in vars(layers).items() if inspect.isclass(value)}
    public = {name for name, value in classes.items() if issubclass(value, layers.Layer)}
    written = {name for name in public if classes[name] in WRITERS}
    assert written | WITHOUT.keys() == public
    assert not written & WITHOUT.keys()
    assert written <= LAYERS.keys() | MORE.keys() | {"Parallel", "Residual"}  # these are among the graphs


ACTIVATIONS = [name for name in LAYERS if getattr(layers, name).__module__.split(".")[-1] in
               ("activation", "gates", "piecewise") and name != "GLU"]  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_of_small_and_large_numbers(name: str, folder: Path) -> None:
    sizes = [0.0, 1e-30, 1e-6, 0.5, 1.0, 3.0, 6.0, 20.0, 88.0, 100.0, 1e4, 1e18, 1e30]
    x = np.array([[n, -n] for n in sizes], dtype="float32")
    if name in ("Softmax", "LogSoftmax", "Softmin"):
        x = x.reshape(1, -1)
    assert_runs_alike(getattr(layers, name)(), folder, x)


@pytest.mark.parametrize(("size", "pads"), [(1, (2, 2)), (2, (1, 1))])
def test_windows_that_see_padding_alone_are_minus_infinity(
    folder: Path, size: int, pads: tuple[int, int]
) -> None:
    x = np.ones((2, size, 3, 1), dtype="float32")
    layer = layers.MaxPool((2, 1), stride=1, padding=(pads, 0), dilation=(3, 1))
    assert np.isinf(layer.predict(asarray(x))).any()
    assert_runs_alike(layer, folder, x)


@pytest.mark.parametrize("include", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_what_lies_behind_the_padding_does_not_count(folder: Path, include: bool, dtype: str) -> None:
    x = np.arange(1.0, 26.0, dtype=dtype).reshape(1, 5, 5, 1)
    for padding in (0, 1):
        layer = layers.AvgPool(3, padding=padding, ceil_mode=True, count_include_pad=include)
        assert_runs_alike(layer, folder, x)


def test_one_parameter_in_two_arrangements_has_two_names(folder: Path) -> None:
    slopes = layers.PReLU(3)
    model = layers.Sequential(
        layers.Conv(1, 3, 2, seed=0), slopes, layers.GlobalMaxPool(), layers.Linear(3, 3), slopes
    )
    proto = assert_runs_alike(model, folder, np.ones((2, 4, 4, 1), "float32"))
    assert {"1.weight", "1.weight_1"} <= constants(proto).keys()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "int64"])
def test_an_embedding_takes_whole_numbers_of_any_size(folder: Path, dtype: str) -> None:
    assert_runs_alike(layers.Embedding(9, 2, seed=0), folder, np.array([[0, 8], [3, 3]], dtype))


@pytest.mark.parametrize("kind", [layers.RNN, layers.LSTM, layers.GRU])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_recurrent_layer_takes_and_returns_its_states(folder: Path, kind: Any, bidirectional: bool) -> None:
    layer = kind(3, 4, num_layers=3, bidirectional=bidirectional, seed=0)
    rng = np.random.default_rng(0)
    states = [rng.normal(size=(5, 6 if bidirectional else 3, 4)) for _ in range(kind.states)]
    inputs = [a.astype("float32") for a in (rng.normal(size=(5, 7, 3)), *states)]
    proto = assert_runs_alike(layer, folder, *inputs)
    assert [x.name for x in proto.graph.input] == ["x0", "x1", "x2"][: len(inputs)]
    assert [y.name for y in proto.graph.output] == ["y0", "y1", "y2"][: len(inputs)]


def test_norms_of_numbers_far_from_zero(folder: Path) -> None:
    x = np.random.default_rng(0).normal(30, 1, size=(3, 5, 6, 4)).astype("float32")
    for layer in (layers.GroupNorm(2, 4), layers.InstanceNorm(4), layers.RMSNorm(4)):
        assert_runs_alike(layer, folder, x)


def test_half_precision_squares_do_not_overflow(folder: Path) -> None:
    x = np.full((2, 8), 1000, dtype="float16")
    layer = layers.RMSNorm(8).astype("float16")
    proto = assert_runs_alike(layer, folder, x)
    reference = pytest.importorskip("onnx.reference").ReferenceEvaluator(proto)
    assert_same(layer.predict(asarray(x)), reference.run(None, {"x": x}))
