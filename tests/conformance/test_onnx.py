"""The node tests of ONNX: each model of one node gives the outputs that the standard's authors wrote down."""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from minidl.backend import asarray, to_numpy
from tests.conformance.onnx_adapter import ADAPTERS

onnx = pytest.importorskip("onnx", reason="ONNX is not installed")

NODES = Path(onnx.__file__).parent / "backend" / "test" / "data" / "node"

# What every release of minidl is held to, and how many cases of one node ONNX has for it.
LISTED = {
    "Adam": 2,
    "AveragePool": 20,
    "BatchNormalization": 4,
    "Col2Im": 5,
    "Conv": 6,
    "Dropout": 12,
    "Gemm": 11,
    "GlobalAveragePool": 2,
    "GlobalMaxPool": 2,
    "LayerNormalization": 19,
    "LogSoftmax": 7,
    "MatMul": 7,
    "MaxPool": 19,
    "Momentum": 3,
    "NegativeLogLikelihoodLoss": 18,
    "Relu": 1,
    "Sigmoid": 2,
    "Softmax": 7,
    "SoftmaxCrossEntropyLoss": 34,
    "Tanh": 2,
}

# Operators of later layers, with all of their cases of one node; some are excluded below.
LATER = {
    "Attention": 64,
    "GRU": 4,
    "LSTM": 4,
    "Pad": 6,
    "RNN": 4,
    "Resize": 39,
    "RotaryEmbedding": 8,
    "Upsample": 1,
}

EXCLUDED = {
    "test_maxpool_2d_uint8": "minidl pools floating-point arrays",
    "test_training_dropout": "the mask is drawn from NumPy's old generator, minidl's from Philox",
    "test_training_dropout_default": "the mask is drawn from NumPy's old generator, minidl's from Philox",
    "test_training_dropout_default_mask": "the mask is drawn from NumPy's old generator",
    "test_training_dropout_mask": "the mask is drawn from NumPy's old generator",
}

# What the later operators are asked for and minidl does not do: cases by the reason.
BEYOND = {
    "no bound on the scores in minidl's attention (softcap)": (
        "test_attention_3d_diff_heads_sizes_softcap",
        "test_attention_3d_gqa_softcap",
        "test_attention_3d_softcap",
        "test_attention_3d_with_past_and_present_qk_matmul_softcap",
        "test_attention_4d_diff_heads_sizes_softcap",
        "test_attention_4d_gqa_softcap",
        "test_attention_4d_softcap",
        "test_attention_4d_softcap_neginf_mask",
        "test_attention_4d_softcap_neginf_mask_poison",
        "test_attention_4d_with_qk_matmul_softcap",
    ),
    "linear_before_reset=0 over two steps; the oracle is PyTorch: row GRU": ("test_gru_seq_length",),
    "peepholes, without which the oracle is PyTorch: row LSTM": ("test_lstm_with_peepholes",),
    "no wrapping around in minidl's pad": ("test_wrap_pad",),
    "cubic interpolation": (
        "test_resize_downsample_scales_cubic",
        "test_resize_downsample_scales_cubic_A_n0p5_exclude_outside",
        "test_resize_downsample_scales_cubic_align_corners",
        "test_resize_downsample_scales_cubic_antialias",
        "test_resize_downsample_sizes_cubic",
        "test_resize_downsample_sizes_cubic_antialias",
        "test_resize_upsample_scales_cubic",
        "test_resize_upsample_scales_cubic_A_n0p5_exclude_outside",
        "test_resize_upsample_scales_cubic_align_corners",
        "test_resize_upsample_scales_cubic_asymmetric",
        "test_resize_upsample_sizes_cubic",
    ),
    "antialiasing": (
        "test_resize_downsample_scales_linear_antialias",
        "test_resize_downsample_sizes_linear_antialias",
    ),
    "a scale that is not the ratio of the sizes; the oracle is PyTorch: row Upsample": (
        "test_resize_downsample_scales_linear",
        "test_resize_downsample_scales_linear_half_pixel_symmetric",
        "test_resize_upsample_scales_linear_half_pixel_symmetric",
    ),
    "align_corners: minidl's borders lie on each other, not the centres of the outermost pixels": (
        "test_resize_downsample_scales_linear_align_corners",
        "test_resize_upsample_scales_linear_align_corners",
        "test_resize_upsample_sizes_nearest_floor_align_corners",
    ),
    "pytorch_half_pixel: another place for an axis of one pixel": (
        "test_resize_downsample_sizes_linear_pytorch_half_pixel",
    ),
    "nearest by rounding: minidl takes floor(i n / m), as PyTorch does: row Upsample": (
        "test_resize_downsample_sizes_nearest",
        "test_resize_downsample_sizes_nearest_not_smaller",
        "test_resize_upsample_sizes_nearest_ceil_half_pixel",
        "test_resize_upsample_sizes_nearest_round_prefer_ceil_asymmetric",
    ),
    "a crop before the resizing": (
        "test_resize_tf_crop_and_resize",
        "test_resize_tf_crop_and_resize_axes_2_3",
        "test_resize_tf_crop_and_resize_axes_3_2",
        "test_resize_tf_crop_and_resize_extrapolation_value",
    ),
    "tables that are of no angles, random numbers; the oracle is a loop: tests/ops/test_positions.py": (
        "test_rotary_embedding",
        "test_rotary_embedding_3d_input",
        "test_rotary_embedding_interleaved",
        "test_rotary_embedding_no_position_ids",
        "test_rotary_embedding_no_position_ids_interleaved",
        "test_rotary_embedding_no_position_ids_rotary_dim",
        "test_rotary_embedding_with_interleaved_rotary_dim",
        "test_rotary_embedding_with_rotary_dim",
    ),
}
NOT_RUN = EXCLUDED.keys() | {name for names in BEYOND.values() for name in names}

# Their authors wrote the outputs down with four decimals; this is the tolerance of ONNX itself.
ROUNDED = {
    "test_averagepool_2d_ceil_last_window_starts_on_pad": 1e-3,
    "test_attention_4d_gqa_with_past_and_present_fp16": 1e-3,  # half precision: the mask is a product here
}


class Case(NamedTuple):
    op_type: str
    attributes: dict[str, Any]
    inputs: list[np.ndarray | None]
    outputs: list[np.ndarray | None]


def model(name: str) -> Any:
    return onnx.load(NODES / name / "model.onnx")


def read(name: str) -> Case:
    """A model of one node with the arrays that go in and those that must come out."""
    graph = model(name).graph
    (node,) = graph.node
    arrays: dict[str, np.ndarray] = {}
    for kind, values in (("input", graph.input), ("output", graph.output)):
        for i, value in enumerate(values):
            content = (NODES / name / "test_data_set_0" / f"{kind}_{i}.pb").read_bytes()
            arrays[value.name] = onnx.numpy_helper.to_array(onnx.TensorProto.FromString(content))
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    return Case(
        node.op_type,
        {key: value.decode() if isinstance(value, bytes) else value for key, value in attributes.items()},
        [arrays.get(key) for key in node.input],
        [arrays.get(key) for key in node.output],
    )


def run(case: Case) -> tuple[Any, ...]:
    inputs = [None if x is None else asarray(x) for x in case.inputs]
    outputs = ADAPTERS[case.op_type](*inputs, **case.attributes)
    return outputs if isinstance(outputs, tuple) else (outputs,)


def assert_conforms(case: Case, rtol: float = 1e-5) -> None:
    """All outputs agree that both sides have; the first one, both have."""
    ours = run(case)
    assert ours[0] is not None
    for actual, expected in zip(ours, case.outputs, strict=False):
        if actual is not None and expected is not None:
            assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
            np.testing.assert_allclose(to_numpy(actual), expected, rtol=rtol, atol=2e-6)


CASES = {}
for path in sorted(NODES.iterdir()):
    nodes = model(path.name).graph.node
    if len(nodes) == 1 and nodes[0].op_type in ADAPTERS:
        CASES[path.name] = nodes[0].op_type


@pytest.mark.parametrize("name", [name for name in CASES if name not in NOT_RUN])
def test_the_outputs_are_those_of_onnx(name: str) -> None:
    assert_conforms(read(name), ROUNDED.get(name, 1e-5))


@pytest.mark.parametrize(
    ("op_type", "gates", "attributes"),
    [("RNN", 1, {}), ("LSTM", 4, {}), ("GRU", 3, {"linear_before_reset": 1})],
)
def test_a_recurrent_network_with_random_weights_is_that_of_onnx(
    op_type: str, gates: int, attributes: dict[str, int]
) -> None:
    """The stored cases have equal weights everywhere, which says nothing about the order of the gates."""
    reference = pytest.importorskip("onnx.reference").ReferenceEvaluator
    node = onnx.helper.make_node(op_type, ["X", "W", "R", "B"], ["Y", "Y_h"], hidden_size=4, **attributes)
    kinds = {name: onnx.helper.make_tensor_value_info(name, 1, None) for name in (*node.input, *node.output)}
    graph = onnx.helper.make_graph(
        [node], "net", [kinds[name] for name in node.input], [kinds[name] for name in node.output]
    )
    whole = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 22)])
    rng = np.random.default_rng(0)
    shapes = (5, 2, 3), (1, 4 * gates, 3), (1, 4 * gates, 4), (1, 8 * gates)  # of 5 steps and 2 sequences
    inputs = [rng.normal(size=shape).astype("float32") for shape in shapes]
    outputs = reference(whole).run(None, dict(zip(node.input, inputs, strict=True)))
    assert_conforms(Case(op_type, {"hidden_size": 4, **attributes}, inputs, outputs))


def test_no_case_was_lost() -> None:
    project = Path(__file__).resolve().parents[2] / "pyproject.toml"
    assert f'"onnx=={onnx.__version__}"' in project.read_text(encoding="utf-8")
    counts = Counter(CASES.values())
    assert {op_type: counts[op_type] for op_type in LISTED} == LISTED
    assert sum(LISTED.values()) == 183
    assert {op_type: counts[op_type] for op_type in LATER} == LATER


def test_the_exclusions_do_not_grow() -> None:
    assert len(EXCLUDED) <= 5
    assert EXCLUDED.keys() <= CASES.keys()
    assert all(EXCLUDED.values())
    beyond = [name for names in BEYOND.values() for name in names]
    assert len(beyond) <= 49
    assert len(set(beyond)) == len(beyond)
    assert {CASES[name] for name in beyond} <= LATER.keys()


@pytest.mark.parametrize("name", [name for names in BEYOND.values() for name in names])
def test_what_is_beyond_minidl_is_refused_or_differs(name: str) -> None:
    with pytest.raises((AssertionError, ValueError)):
        assert_conforms(read(name))


@pytest.mark.parametrize(
    "name",
    [
        "test_softmax_axis_1",
        "test_conv_with_strides_padding",
        "test_adam",
        "test_attention_4d_attn_mask",
        "test_gru_batchwise",
        "test_lstm_defaults",
        "test_resize_upsample_scales_linear",
    ],
)
def test_a_wrong_output_is_found(name: str) -> None:
    case = read(name)
    wrong = [None if y is None else y * np.float32(1.001) for y in case.outputs]
    with pytest.raises(AssertionError):
        assert_conforms(case._replace(outputs=wrong))


def test_an_unknown_attribute_is_an_error() -> None:
    case = read("test_conv_with_strides_padding")
    with pytest.raises(TypeError, match="another"):
        run(case._replace(attributes=case.attributes | {"another": 1}))
