"""Models as ONNX files: `to_onnx`, a table of how each layer is written, by kind."""

from minidl.interop.onnx.export import to_onnx as to_onnx
