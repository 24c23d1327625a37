"""PyTorch weights in and out: `state` is the surface, `layouts` and `rules` are the tables."""

from minidl.interop.pytorch.state import load_torch_state as load_torch_state
from minidl.interop.pytorch.state import save_torch_state as save_torch_state
from minidl.interop.pytorch.state import torch_state as torch_state
