"""Weights in files: safetensors with a manifest of checksums, written all or nothing and checked before use.

A file is an 8-byte length, a JSON header that names the tensors, and their bytes. Our manifest lies in the
header's ``__metadata__``, sealed together with the names, dtypes and shapes; files of other programs have
none and load without checksums.
"""

import os

from minidl.files.atomic import PathLike as PathLike
from minidl.files.atomic import replacing as replacing
from minidl.files.tensors import HostArray as HostArray
from minidl.files.tensors import TensorFile as TensorFile
from minidl.files.tensors import opened as opened
from minidl.files.tensors import read_extra as read_extra
from minidl.files.tensors import read_tensors as read_tensors
from minidl.files.tensors import write_tensors as write_tensors
from minidl.layers.base import Layer


def save_weights(model: Layer, path: PathLike) -> None:
    """Write the parameters and buffers of a model to a safetensors file, all or nothing.

    A crash or a full disk at any moment leaves either the old file or the new one.

    Args:
        model: any layer.
        path: the file, conventionally ``*.safetensors``; an existing one is replaced.

    Raises:
        TypeError: the model is no layer.
        OSError: the file could not be written; what was there is still there.
    """
    _check_layer(model, "save_weights")
    arrays = {name: parameter.data for name, parameter in model.named_parameters()}
    arrays |= {name: buffer.data for name, buffer in model.buffers()}
    write_tensors(path, arrays)  # state() would copy all of it


def load_weights(model: Layer, path: PathLike, strict: bool = True) -> None:
    """Read the parameters and buffers of a model from a safetensors file, ours or another program's.

    Nothing is written to the model before everything is checked. The arrays are taken as they are: those of
    PyTorch, whose weights are transposed, by ``minidl.interop.load_torch_state``.

    Args:
        model: the layer to load into.
        path: a safetensors file.
        strict: refuse names that are missing or unexpected; otherwise those are left alone.

    Raises:
        TypeError: the model is no layer.
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or no safetensors file, or its names and shapes are not the model's;
            all names that do not fit are listed, and numbers too large for the dtype of the model.
    """
    _check_layer(model, "load_weights")
    with opened(path) as file:
        tensors, extra, ours = file.read(), file.extra, file.ours
    if "layout" in extra:  # of square matrices the shapes would not tell
        raise ValueError(f"{path}: expected minidl's own layout, got {extra['layout']}'s; see minidl.interop")
    try:
        model.load_state(tensors, strict=strict)
    except ValueError as error:
        remedy = "" if ours else "; minidl.interop.load_torch_state loads what PyTorch wrote"
        error.add_note(f"while loading {os.fspath(path)}{remedy}")
        raise


def _check_layer(model: object, owner: str) -> None:
    if not isinstance(model, Layer):
        raise TypeError(f"{owner}: expected a layer, got {type(model).__name__}")
