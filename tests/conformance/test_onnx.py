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

EXCLUDED = {
    "test_maxpool_2d_uint8": "minidl pools floating-point arrays",
    "test_training_dropout": "the mask is drawn from NumPy's old generator, minidl's from Philox",
    "test_training_dropout_default": "the mask is drawn from NumPy's old generator, minidl's from Philox",
    "test_training_dropout_default_mask": "the mask is drawn from NumPy's old generator",
    "test_training_dropout_mask": "the mask is drawn from NumPy's old generator",
}

# Their authors wrote the outputs down with four decimals; this is the tolerance of ONNX itself.
ROUNDED = {"test_averagepool_2d_ceil_last_window_starts_on_pad": 1e-3}


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


@pytest.mark.parametrize("name", [name for name in CASES if name not in EXCLUDED])
def test_the_outputs_are_those_of_onnx(name: str) -> None:
    assert_conforms(read(name), ROUNDED.get(name, 1e-5))


def test_no_case_was_lost() -> None:
    project = Path(__file__).resolve().parents[2] / "pyproject.toml"
    assert f'"onnx=={onnx.__version__}"' in project.read_text(encoding="utf-8")
    counts = Counter(CASES.values())
    assert {op_type: counts[op_type] for op_type in LISTED} == LISTED
    assert sum(LISTED.values()) == 183


def test_the_exclusions_do_not_grow() -> None:
    assert len(EXCLUDED) <= 5
    assert EXCLUDED.keys() <= CASES.keys()
    assert all(EXCLUDED.values())


@pytest.mark.parametrize("name", ["test_softmax_axis_1", "test_conv_with_strides_padding", "test_adam"])
def test_a_wrong_output_is_found(name: str) -> None:
    case = read(name)
    wrong = [None if y is None else y * np.float32(1.001) for y in case.outputs]
    with pytest.raises(AssertionError):
        assert_conforms(case._replace(outputs=wrong))


def test_an_unknown_attribute_is_an_error() -> None:
    case = read("test_conv_with_strides_padding")
    with pytest.raises(TypeError, match="another"):
        run(case._replace(attributes=case.attributes | {"another": 1}))
