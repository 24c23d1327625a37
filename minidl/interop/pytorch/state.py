"""PyTorch weights in and out: states by PyTorch's names and in its layout, as arrays, tensors or files."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minidl.backend import beyond, copy_into, silent_overflow, to_numpy
from minidl.files import PathLike, replacing, write_tensors
from minidl.interop.pytorch.files import LAYOUT, PICKLED, import_torch, read, suffix
from minidl.interop.pytorch.layouts import HostArray, Slot
from minidl.interop.pytorch.names import Names, match, own_names
from minidl.interop.pytorch.rules import slots_of_model
from minidl.layers.base import Layer


def load_torch_state(
    model: Layer,
    state: "Mapping[str, Any] | PathLike",
    *,
    names: Names = None,
    flattened: "Mapping[str, tuple[int, ...]] | None" = None,
) -> None:
    """Load the weights of a PyTorch network into a model of the same make.

    Kernels are transposed, and rows reordered after a `Flatten`, which joins channels first in PyTorch. The
    names are found by the paths of the layers, which for a chain are those of ``torch.nn.Sequential``; else
    the modules are taken in the order of definition. Numbers are converted to the dtype of the model.
    Nothing is written before everything is checked.

    Args:
        model: the layer to load into.
        state: what ``state_dict()`` returns, as tensors or NumPy arrays; or the path of a ``.safetensors``
            file, or of a ``.pt``, ``.pth``, ``.bin`` or ``.ckpt`` file, which PyTorch itself reads, with
            ``weights_only=True``.
        names: where neither paths nor order tell: a dict from paths here, of layers or of arrays, to names
            there; or a list of all names there in the order of definition, which safetensors does not keep.
        flattened: where the layers before a Flatten do not tell the number of channels: by the path of the
            Flatten, or of the layer after it, the shape ``(H, W, C)`` of one sample before; ``(K,)`` if
            there are no channels.

    Raises:
        ValueError: with the lists of missing, unexpected and mis-shaped names; or the file is damaged.
        ImportError: a file that PyTorch must read, and there is no PyTorch.

    Example:
        >>> import numpy as np
        >>> from minidl.layers import Linear, ReLU, Sequential
        >>> model = Sequential(Linear(2, 3), ReLU())
        >>> weight, bias = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.zeros(3)
        >>> load_torch_state(model, {"hidden.weight": weight, "hidden.bias": bias})
        >>> model[0].weight.data
        array([[1., 3., 5.],
               [2., 4., 6.]], dtype=float32)
    """
    owner = "load_torch_state"
    slots = _slots(model, flattened, owner)
    arrays, ordered = read(state, owner)
    found = match(slots, {name: array.shape for name, array in arrays.items()}, names, ordered, owner)
    given = [(slot, name) for slot, name in zip(slots, found, strict=True) if name is not None]
    values = {name: slot.from_torch(arrays[name]) for slot, name in given}
    _check_values(given, values, owner)
    for slot, name in given:
        if slot.holder is not None:
            with silent_overflow():  # which the check allows for infinities alone
                copy_into(slot.holder.data, values[name].astype(slot.holder.data.dtype))


def torch_state(
    model: Layer,
    *,
    like: "Mapping[str, Any] | PathLike | None" = None,
    names: Names = None,
    flattened: "Mapping[str, tuple[int, ...]] | None" = None,
) -> dict[str, HostArray]:
    """Return the weights of a model by PyTorch's names and in its layout, for ``load_state_dict``.

    Args:
        model: any layer.
        like: a state of the network to load them into, or its path, whose names and order are taken. By
            default the names are those of a ``torch.nn.Sequential``.
        names: as in `load_torch_state`.
        flattened: as in `load_torch_state`.

    Returns:
        NumPy arrays of their own in the dtype of the model, for ``torch.from_numpy``.

    Raises:
        ValueError: as `load_torch_state`.

    Example:
        >>> from minidl.layers import BatchNorm, Conv, Sequential
        >>> for name, array in torch_state(Sequential(Conv(3, 8, 5), BatchNorm(8))).items():
        ...     print(name, array.shape)
        0.weight (8, 3, 5, 5)
        0.bias (8,)
        1.weight (8,)
        1.bias (8,)
        1.running_mean (8,)
        1.running_var (8,)
        1.num_batches_tracked ()
    """
    owner = "torch_state"
    slots = _slots(model, flattened, owner)
    if like is None:
        if names is not None and not isinstance(names, Mapping):
            raise TypeError(f"{owner}: a list of names needs like=, the state they are those of")
        return {name: _value(slot) for name, slot in zip(own_names(slots, names, owner), slots, strict=True)}
    arrays, ordered = read(like, owner)
    found = match(slots, {name: array.shape for name, array in arrays.items()}, names, ordered, owner)
    values = {name: _value(slot) for name, slot in zip(found, slots, strict=True) if name is not None}
    return {name: values[name] for name in arrays}


def save_torch_state(
    model: Layer,
    path: PathLike,
    *,
    like: "Mapping[str, Any] | PathLike | None" = None,
    names: Names = None,
    flattened: "Mapping[str, tuple[int, ...]] | None" = None,
) -> None:
    """Write what `torch_state` returns to a file that PyTorch programs load, all or nothing.

    Args:
        model: any layer.
        path: ``*.safetensors``, for ``safetensors.torch.load_file``; or ``*.pt``, ``*.pth``, ``*.bin`` or
            ``*.ckpt``, for ``torch.load``, which needs PyTorch.
        like: as in `torch_state`.
        names: as in `load_torch_state`.
        flattened: as in `load_torch_state`.

    Raises:
        ValueError: as `load_torch_state`, or another kind of file.
        ImportError: a file that PyTorch must write, and there is no PyTorch.
        OSError: the file could not be written; what was there is still there.

    Example:
        >>> import tempfile
        >>> from minidl.layers import Linear
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_torch_state(Linear(3, 2), f"{folder}/linear.safetensors")
        ...     load_torch_state(Linear(3, 2), f"{folder}/linear.safetensors")
    """
    owner = "save_torch_state"
    torch = import_torch(path, owner) if suffix(path, owner) in PICKLED else None
    state = torch_state(model, like=like, names=names, flattened=flattened)
    if torch is None:
        write_tensors(path, state, LAYOUT)
        return
    with replacing(path) as file:
        torch.save({name: torch.from_numpy(array) for name, array in state.items()}, file)


def _slots(model: Layer, flattened: "Mapping[str, Any] | None", owner: str) -> list[Slot]:
    if not isinstance(model, Layer):
        raise TypeError(f"{owner}: expected a layer of minidl, got {type(model).__name__}")
    if flattened is not None and not isinstance(flattened, Mapping):
        raise TypeError(f"{owner}: expected flattened as a dict from paths to shapes, got {flattened!r:.100}")
    return slots_of_model(model, flattened, owner)


def _value(slot: Slot) -> HostArray:
    """Return the array that PyTorch is to have."""
    array = np.zeros((), np.int64) if slot.holder is None else to_numpy(slot.holder.data)
    return slot.to_torch(array)


def _check_values(given: Sequence[tuple[Slot, str]], values: Mapping[str, HostArray], owner: str) -> None:
    """Refuse values of another kind, too large ones, and two for one array."""
    problems, first = [], dict[int, str]()
    for slot, name in given:
        if slot.holder is None:
            continue
        value, dtype = values[name], slot.holder.data.dtype
        if value.dtype.kind != dtype.kind:
            problems.append(f"dtype of {name}: expected {dtype}, got {value.dtype}")
        elif number := beyond(value, dtype):
            problems.append(f"range of {name}: {number}")
        other = first.setdefault(id(slot.holder), name)
        if other != name and not np.array_equal(values[other], value, equal_nan=dtype.kind == "f"):
            problems.append(f"{name} and {other} differ, and are one array here, {slot.path}")
    if problems:
        raise ValueError(f"{owner}: the state does not fit, nothing was changed\n  " + "\n  ".join(problems))
