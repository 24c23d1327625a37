"""Export a model, have ONNX check the file, and hold what onnxruntime makes of it against minidl."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from minidl.backend import asarray, to_numpy
from minidl.interop import to_onnx

TOLERANCE = {"float16": 5e-3, "float32": 1e-5, "float64": 1e-7}  # attributes such as eps are single in ONNX


def exported(model: Any, folder: Path, example: Any, **options: Any) -> Any:
    """The ONNX model in the file that ``to_onnx`` wrote, checked in full."""
    onnx = pytest.importorskip("onnx", reason="ONNX is not installed")
    to_onnx(model, folder / "model.onnx", example, **options)
    proto = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(proto, full_check=True)
    return proto


def kinds(proto: Any) -> list[str]:
    """The operators of a graph in order."""
    return [node.op_type for node in proto.graph.node]


def constants(proto: Any) -> dict[str, np.ndarray]:
    onnx = pytest.importorskip("onnx")
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}


def runtime() -> ModuleType:
    return pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")


def run(proto: Any, *inputs: Any) -> list[np.ndarray]:
    """What onnxruntime makes of a model, on one thread."""
    ort = runtime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [x.name for x in session.get_inputs()]
    found: list[np.ndarray] = session.run(None, dict(zip(names, map(to_numpy, inputs), strict=True)))
    return found


def assert_same(ours: Any, theirs: list[np.ndarray]) -> None:
    """Equal in dtype and shape, and up to a tolerance relative to the largest entry, or to 1."""
    parts = ours if isinstance(ours, tuple) else (ours,)
    assert len(parts) == len(theirs)
    for part, other in zip(map(to_numpy, parts), theirs, strict=True):
        assert (part.dtype, part.shape) == (other.dtype, other.shape)
        finite = part[np.isfinite(part)]
        scale = max(1.0, float(abs(finite).max())) if finite.size else 1.0
        tolerance = TOLERANCE[str(part.dtype)]
        np.testing.assert_allclose(other, part, rtol=tolerance, atol=tolerance * scale)


def assert_runs_alike(model: Any, folder: Path, *inputs: np.ndarray, **options: Any) -> Any:
    """Export with one sample, run with all: the file takes any batch size, and the model stays as it is."""
    arrays = tuple(map(asarray, inputs))
    example = tuple(a[:1] for a in arrays)
    training = [layer.training for _, layer in model.named_layers()]
    before = {name: to_numpy(a) for name, a in model.state().items()}
    proto = exported(model, folder, example if len(example) > 1 else example[0], **options)
    assert [layer.training for _, layer in model.named_layers()] == training
    for name, array in model.state().items():
        np.testing.assert_array_equal(to_numpy(array), before[name], err_msg=name)
    runtime()
    assert_same(model.predict(arrays if len(arrays) > 1 else arrays[0]), run(proto, *inputs))
    return proto
