"""Reading a PyTorch state: tensors, arrays, safetensors files, and what PyTorch itself must read."""

import os
from collections.abc import Mapping
from typing import Any

from minidl.backend import to_numpy
from minidl.files import PathLike, opened
from minidl.interop.pytorch.layouts import HostArray

SAFE, PICKLED = (".safetensors",), (".pt", ".pth", ".bin", ".ckpt")
LAYOUT = {"layout": "torch"}  # what our manifest says of a file that has PyTorch's names and axes


def read(state: "Mapping[str, Any] | PathLike", owner: str) -> tuple[dict[str, HostArray], bool]:
    """Return the arrays of a state, and whether they are in the order of definition."""
    if isinstance(state, Mapping):
        return _arrays(state, owner), True
    if not isinstance(state, (str, os.PathLike)):
        remedy = "; pass its state_dict()" if hasattr(state, "state_dict") else ""
        raise TypeError(f"{owner}: expected a state dict or a path, got {type(state).__name__}{remedy}")
    if suffix(state, owner) in PICKLED:
        return _arrays(_unpickled(state, owner), owner), True
    with opened(state) as file:
        tensors = file.read()
    if file.ours and file.extra != LAYOUT:
        raise ValueError(
            f"{owner}: {os.fspath(state)} has the layout of minidl, not of PyTorch; use minidl.load_weights"
        )
    return tensors, False


def suffix(path: PathLike, owner: str) -> str:
    """Return the kind of a file, by its name; refuse others than these."""
    found = os.path.splitext(os.fspath(path))[1].lower()
    if found not in (*SAFE, *PICKLED):
        kinds = ", ".join((*SAFE, *PICKLED))
        raise ValueError(f"{owner}: expected a file of the kind {kinds}, got {os.fspath(path)}")
    return found


def import_torch(path: PathLike, owner: str) -> Any:
    """Return PyTorch, or say what a file needs it for."""
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f'{owner}: {os.fspath(path)} needs PyTorch: pip install "minidl[torch]"; or use .safetensors, '
            "which needs nothing"
        ) from error
    return torch


def _unpickled(path: PathLike, owner: str) -> Mapping[str, Any]:
    """Let PyTorch read a file, tensors alone and no code."""
    torch = import_torch(path, owner)
    expected = f"{owner}: {os.fspath(path)}: expected what torch.save(network.state_dict(), path) writes"
    with open(path, "rb") as file:
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except (OSError, MemoryError):
            raise
        except Exception as error:  # which one damage leads to, PyTorch does not say
            raise ValueError(f"{expected}, but it is damaged or holds more than tensors") from error
    if not isinstance(state, Mapping):
        raise ValueError(f"{expected}, got {type(state).__name__}")
    return state


def _arrays(state: Mapping[str, Any], owner: str) -> dict[str, HostArray]:
    """Return tensors or arrays as NumPy arrays; refuse everything that holds no plain numbers."""
    arrays, problems = {}, []
    for name, value in state.items():
        try:
            arrays[str(name)] = _on_host(value)
        except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
            problems.append(f"{name}: {error!s:.200}")
    if problems:
        inner = [name for name, value in state.items() if isinstance(value, Mapping)]
        remedy = [f"pass state[{inner[0]!r}], if that is the state dict"] if inner else []
        raise TypeError("\n  ".join([f"{owner}: expected arrays or tensors by name", *problems, *remedy]))
    return arrays


def _on_host(value: Any) -> HostArray:
    if hasattr(value, "detach"):  # a tensor of PyTorch
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":  # NumPy has not
            value = value.float()
        value = value.numpy()
    elif not hasattr(value, "dtype") or not hasattr(value, "shape"):
        raise TypeError(f"expected an array or a tensor, got {type(value).__name__}")
    array = to_numpy(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"expected floating-point numbers, got {array.dtype}")
    return array
