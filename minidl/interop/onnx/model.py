"""A graph as ONNX's own structures: checked by ONNX, and as the bytes of a file."""

import sys
from collections.abc import Sequence
from typing import Any

from minidl.backend import to_numpy
from minidl.interop.onnx.graph import Graph, Node, Value

# 20 is the first to have every operator used here, and old enough for most programs: onnxruntime since 1.17.
OPSET = 20
LIMIT = 2**31 - 2**20  # bytes of weights; with the graph around them a file may have 2 GiB
BATCH = "N"


def load_onnx() -> Any:
    """Import the package onnx, or say how to install it."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError('to_onnx: onnx is not installed; pip install "minidl[onnx]"') from error
    return onnx


def to_bytes(graph: Graph, inputs: Sequence[Value], outputs: Sequence[Value], names: Sequence[str]) -> bytes:
    """Return the content of an ONNX file.

    Args:
        graph: all nodes and constants.
        inputs: what goes in, channels last.
        outputs: what comes out, channels last.
        names: of the outputs.

    Raises:
        ValueError: the constants are too large for a file, or a writer's nodes are no valid ONNX.
    """
    onnx = load_onnx()
    if (size := sum(array.nbytes for array in graph.constants.values())) > LIMIT:
        raise ValueError(
            f"to_onnx: expected weights of at most {LIMIT} bytes, which fit one file, got {size}"
        )
    found = _outputs(graph, outputs, names)
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [_node(onnx, node, found) for node in graph.nodes],
            "model",
            [_described(onnx, value.name, value) for value in inputs],
            [_described(onnx, name, value) for name, value in zip(names, outputs, strict=True)],
            [onnx.numpy_helper.from_array(array, name) for name, array in graph.constants.items()],
        ),
        producer_name="minidl",
        producer_version=sys.modules["minidl"].__version__,  # stated once, on the top floor
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
    )
    model.ir_version = onnx.helper.find_min_ir_version_for(model.opset_import)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ValueError(f"to_onnx: expected writers that make valid ONNX, got: {error}") from error
    content: bytes = model.SerializeToString()
    return content


def _outputs(graph: Graph, outputs: Sequence[Value], names: Sequence[str]) -> dict[str, str]:
    """Return the final names of what nodes make; an output that is no node's alone gets one of its own."""
    made = {name for node in graph.nodes for name in node.outputs}
    found: dict[str, str] = {}
    for value, name in zip(outputs, names, strict=True):
        if value.name in made and value.name not in found:
            found[value.name] = name
        else:
            graph.nodes.append(Node("Identity", name, [value.name], [name], {}))
    return found


def _node(onnx: Any, node: Node, renamed: dict[str, str]) -> Any:
    """Return a node as ONNX has it."""
    inputs, outputs = ([renamed.get(name, name) for name in names] for names in (node.inputs, node.outputs))
    attributes = {
        key: onnx.numpy_helper.from_array(to_numpy(value)) if hasattr(value, "dtype") else value
        for key, value in node.attributes.items()
    }
    return onnx.helper.make_node(node.op_type, inputs, outputs, name=node.name, **attributes)


def _described(onnx: Any, name: str, value: Value) -> Any:
    """Return the name, the dtype and the shape of an input or output, in batches of any size."""
    dtype = onnx.helper.np_dtype_to_tensor_dtype(value.array.dtype)
    return onnx.helper.make_tensor_value_info(name, dtype, [BATCH, *value.shape[1:]])
