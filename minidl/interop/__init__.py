"""The way in and out: PyTorch weights, ONNX models, scripts that need NumPy alone."""

from minidl.interop.numpy_script import eject as eject
from minidl.interop.onnx import to_onnx as to_onnx
from minidl.interop.pytorch import load_torch_state as load_torch_state
from minidl.interop.pytorch import save_torch_state as save_torch_state
from minidl.interop.pytorch import torch_state as torch_state
