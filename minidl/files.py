"""Weights in files: safetensors with a manifest of checksums, written all or nothing and checked before use.

A file is an 8-byte length, a JSON header that names the tensors, and their bytes. Our manifest lies in the
header's ``__metadata__``, sealed together with the names, dtypes and shapes; files of other programs have
none and load without checksums.
"""

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from minidl.backend import to_numpy
from minidl.layers.base import Layer

if TYPE_CHECKING:
    import numpy.typing as npt

PathLike: TypeAlias = "str | os.PathLike[str]"
HostArray: TypeAlias = "npt.NDArray[Any]"

FORMAT = 1
MAX_HEADER = 1 << 24  # bytes, some 80,000 tensors; parsed, it takes up to forty times as much memory
MAX_AXES = 64  # the limit of NumPy
MANIFEST = {"format", "minidl", "numpy", "sha256", "extra", "seal"}
DTYPES = {
    "BOOL": np.dtype("?"),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "BF16": np.dtype("<u2"),  # the bits
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items() if name != "BF16"}


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
    write_tensors(path, model.state())


def load_weights(model: Layer, path: PathLike, strict: bool = True) -> None:
    """Read the parameters and buffers of a model from a safetensors file, ours or another program's.

    Nothing is written to the model before everything is checked.

    Args:
        model: the layer to load into.
        path: a safetensors file.
        strict: refuse names that are missing or unexpected; otherwise those are left alone.

    Raises:
        TypeError: the model is no layer.
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or no safetensors file, or its names and shapes are not the model's;
            all names that do not fit are listed.
    """
    _check_layer(model, "load_weights")
    tensors, _ = read_tensors(path)
    try:
        model.load_state(tensors, strict=strict)
    except ValueError as error:
        error.add_note(f"while loading {os.fspath(path)}")
        raise


def _check_layer(model: object, owner: str) -> None:
    if not isinstance(model, Layer):
        raise TypeError(f"{owner}: expected a layer, got {type(model).__name__}")


def write_tensors(path: PathLike, tensors: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> None:
    """Write named arrays of either backend, and what else JSON can say, to one file, all or nothing."""
    from safetensors.numpy import save

    arrays = {name: _plain(name, tensor) for name, tensor in tensors.items()}
    manifest = {
        "format": FORMAT,
        "minidl": _version(),
        "numpy": np.__version__,
        "sha256": {name: _sha256(array) for name, array in arrays.items()},
        "extra": json.loads(json.dumps(extra or {})),
    }
    layout = {name: [DTYPE_NAMES[array.dtype], array.shape] for name, array in arrays.items()}
    manifest["seal"] = _seal(manifest, layout)
    content = save(arrays, metadata={"minidl": json.dumps(manifest)})
    if (length := int.from_bytes(content[:8], "little")) > MAX_HEADER:
        raise ValueError(f"{path}: expected a header of at most {MAX_HEADER} bytes, got {length}; save less")
    with replacing(path) as file:
        file.write(content)


def read_tensors(path: PathLike, foreign: bool = True) -> tuple[dict[str, HostArray], dict[str, Any]]:
    """Return the arrays of a safetensors file and the extra part of its manifest (empty in foreign files).

    Args:
        path: the file.
        foreign: take files without our manifest too, whose content nothing vouches for.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged: truncated, altered, or something else altogether.
    """
    with _intact(path) as file:
        entries, manifest = _read_header(file, foreign)
        checksums = manifest.get("sha256")
        tensors = {entry.name: _read_tensor(file, entry, checksums) for entry in entries}
    return tensors, manifest.get("extra", {})


def read_extra(path: PathLike) -> dict[str, Any]:
    """Return the extra part of the manifest of a file of ours, without reading its tensors.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not ours, its header is damaged, or its length is not what that says.
    """
    with _intact(path) as file:
        extra: dict[str, Any] = _read_header(file, foreign=False)[1]["extra"]
    return extra


@contextmanager
def _intact(path: PathLike) -> Iterator[IO[bytes]]:
    """Open a file to read; where it proves to be damaged, the error says which file it is."""
    if os.path.exists(path) and not os.path.isfile(path):  # to open a pipe would wait for its other end
        kind = "folder" if os.path.isdir(path) else "device or a pipe"
        raise ValueError(f"{path}: expected a safetensors file, got a {kind}")
    with open(path, "rb") as file:
        try:
            yield file
        except (ValueError, RecursionError) as error:
            reason = "its header is nested too deeply" if isinstance(error, RecursionError) else error
            raise ValueError(f"{path}: expected an intact safetensors file, but {reason}") from error


@contextmanager
def replacing(path: PathLike) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of ``path`` once it is complete; an exception leaves no trace."""
    import secrets  # these three load what `import minidl` does not need
    from pathlib import Path

    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target}: there is no folder {target.parent}; make it first")
    if target.is_dir():
        raise IsADirectoryError(f"{target}: expected a file, got a folder; name a file in it")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: PathLike) -> None:
    """Make the new name in a folder survive a power cut; Windows has no such call."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _plain(name: str, tensor: Any) -> HostArray:
    """Return a little-endian C-contiguous NumPy array: safetensors scrambles every other kind."""
    array = to_numpy(tensor)
    dtype = array.dtype.newbyteorder("<")
    if dtype not in DTYPES.values():
        raise TypeError(f"{name}: expected numbers or booleans, got {array.dtype}")
    return np.asarray(array, dtype=dtype, order="C")


def _sha256(array: HostArray) -> str:
    import hashlib

    return hashlib.sha256(array.data).hexdigest()


def _version() -> str:
    return str(sys.modules["minidl"].__version__)  # stated once, on the top floor


class _Entry(NamedTuple):
    """What the header says about one tensor; the data begins at byte ``begin`` after the header."""

    begin: int
    end: int
    name: str
    dtype: str
    shape: tuple[int, ...]


def _read_header(file: IO[bytes], foreign: bool) -> tuple[list[_Entry], dict[str, Any]]:
    """Return the entries in the order of their data, and the manifest (empty in foreign files)."""
    total = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if total < 8 or length > min(total - 8, MAX_HEADER):
        raise ValueError(f"its {total} bytes are truncated or of another format")
    header = json.loads(file.read(length), object_pairs_hook=_without_duplicates)
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    metadata = header.pop("__metadata__", {})
    entries = _entries(header, total - 8 - length)
    manifest = _manifest(metadata, {entry.name: [entry.dtype, entry.shape] for entry in entries})
    if not manifest and not foreign:
        raise ValueError("it has no manifest: it was written by another program")
    return entries, manifest


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        raise ValueError("a name occurs twice in its header")
    return names


def _manifest(metadata: Any, layout: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest that `write_tensors` left, or an empty one for a foreign file."""
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("its metadata is unreadable")
    if "minidl" not in metadata:
        if any('"seal"' in text for text in metadata.values()):
            raise ValueError("its manifest has lost its name")
        return {}
    manifest = json.loads(metadata["minidl"], object_pairs_hook=_without_duplicates)
    if not isinstance(manifest, dict):
        raise ValueError("its metadata is unreadable")
    if manifest.get("format", FORMAT) != FORMAT:
        raise ValueError(
            f"it has format {manifest['format']}, and this minidl reads format {FORMAT}; upgrade minidl"
        )
    if wrong := manifest.keys() ^ MANIFEST:
        raise ValueError(f"its manifest lacks or adds {', '.join(sorted(wrong)):.100}")
    sums = manifest["sha256"]
    if not isinstance(sums, dict) or sums.keys() != layout.keys():
        raise ValueError("its checksums are those of other tensors")
    if manifest.pop("seal") != _seal(manifest, layout) or not isinstance(manifest["extra"], dict):
        raise ValueError("its header is not what was written")
    return manifest


def _seal(manifest: Mapping[str, Any], layout: Mapping[str, Any]) -> str:
    """Return a checksum of what a header says: the manifest, and each tensor's name, dtype and shape."""
    import hashlib

    return hashlib.sha256(json.dumps([manifest, layout], sort_keys=True).encode()).hexdigest()


def _entries(header: dict[str, Any], size: int) -> list[_Entry]:
    """Return the entries in the order of their data, which must fill the file without gap or overlap."""
    entries = sorted(_entry(name, fields) for name, fields in header.items())
    position = 0
    for entry in entries:
        if entry.begin != position or entry.end - entry.begin != _itemsize(entry) * math.prod(entry.shape):
            raise ValueError(f"the place of {entry.name!r:.100} in it does not fit its shape {entry.shape}")
        position = entry.end
    if position != size:
        raise ValueError(f"it has {size} bytes of data in place of {position}")
    return entries


def _entry(name: str, fields: Any) -> _Entry:
    match fields:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [begin, end], **rest} if not rest:
            sizes = [*shape, begin, end]  # NumPy's limits: products of larger numbers would take for ever
            if len(shape) <= MAX_AXES and all(type(n) is int and 0 <= n < 2**63 for n in sizes):
                return _Entry(begin, end, name, dtype, tuple(shape))
    raise ValueError(f"its header describes {name!r:.100} as {fields!r:.100}")


def _itemsize(entry: _Entry) -> int:
    if entry.dtype not in DTYPES:
        raise ValueError(
            f"{entry.name!r:.100} has the dtype {entry.dtype!r:.100}; known are {', '.join(DTYPES)}"
        )
    return DTYPES[entry.dtype].itemsize


def _read_tensor(file: IO[bytes], entry: _Entry, checksums: Any) -> HostArray:
    """Read the next tensor of the file, bfloat16 (which NumPy has not) as float32."""
    content = np.empty(entry.end - entry.begin, np.uint8)
    if file.readinto(content) != content.size:  # type: ignore[attr-defined]
        raise ValueError("it became shorter while it was read")
    if checksums and checksums[entry.name] != _sha256(content):
        raise ValueError(f"the content of {entry.name!r} is not what was written")
    array = content.view(DTYPES[entry.dtype]).reshape(entry.shape)
    if entry.dtype == "BF16":
        wide = array.astype(np.uint32)
        wide <<= 16
        return wide.view(np.float32)
    return array
