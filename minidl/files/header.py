"""The head of a safetensors file: which tensors lie where, and the sealed manifest of their checksums."""

import json
import math
import os
import sys
from collections.abc import Mapping
from typing import IO, Any, NamedTuple

import numpy as np

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


class Entry(NamedTuple):
    """What the header says about one tensor; the data begins at byte ``begin`` after the header."""

    begin: int
    end: int
    name: str
    dtype: str
    shape: tuple[int, ...]


def place(tensors: Mapping[str, Any]) -> list[Entry]:
    """Lay arrays out one after another, the widest numbers first, so that each is aligned."""
    found = []
    for name, tensor in tensors.items():
        dtype = np.dtype(tensor.dtype).newbyteorder("<")
        if dtype not in DTYPE_NAMES:
            raise TypeError(f"{name}: expected numbers or booleans, got {tensor.dtype}")
        if name == "__metadata__":
            raise ValueError(f"{name}: expected another name, this one is the header's own")
        found.append((-dtype.itemsize, name, DTYPE_NAMES[dtype], tuple(tensor.shape)))
    entries, position = [], 0
    for width, name, kind, shape in sorted(found):
        begin, position = position, position - width * math.prod(shape)
        entries.append(Entry(begin, position, name, kind, shape))
    return entries


def write_head(entries: list[Entry], sums: Mapping[str, str], extra: Mapping[str, Any]) -> bytes:
    """Return the first bytes of a file, up to the data; how many they are does not depend on the sums."""
    manifest = {
        "format": FORMAT,
        "minidl": str(sys.modules["minidl"].__version__),  # stated once, on the top floor
        "numpy": np.__version__,
        "sha256": dict(sums),
        "extra": extra,
    }
    manifest["seal"] = seal(manifest, entries)
    header = {"__metadata__": {"minidl": json.dumps(manifest)}} | {
        entry.name: {"dtype": entry.dtype, "shape": entry.shape, "data_offsets": [entry.begin, entry.end]}
        for entry in entries
    }
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format wants its data aligned
    return len(text).to_bytes(8, "little") + text


def read_head(file: IO[bytes], foreign: bool) -> tuple[list[Entry], dict[str, Any]]:
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
    manifest = _manifest(metadata, entries)
    if not manifest and not foreign:
        raise ValueError("it has no manifest: it was written by another program")
    return entries, manifest


def seal(manifest: Mapping[str, Any], entries: list[Entry]) -> str:
    """Return a checksum of what a header says: the manifest, and each tensor's name, dtype and shape."""
    import hashlib

    layout = {entry.name: [entry.dtype, entry.shape] for entry in entries}
    return hashlib.sha256(json.dumps([manifest, layout], sort_keys=True).encode()).hexdigest()


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        raise ValueError("a name occurs twice in its header")
    return names


def _manifest(metadata: Any, entries: list[Entry]) -> dict[str, Any]:
    """Return the manifest that `write_head` left, or an empty one for a foreign file."""
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
        found = f"{manifest['format']!r:.100}"
        raise ValueError(f"it has format {found}, and this minidl reads format {FORMAT}; upgrade minidl")
    if wrong := manifest.keys() ^ MANIFEST:
        raise ValueError(f"its manifest lacks or adds {', '.join(sorted(wrong)):.100}")
    sums = manifest["sha256"]
    if not isinstance(sums, dict) or sums.keys() != {entry.name for entry in entries}:
        raise ValueError("its checksums are those of other tensors")
    if manifest.pop("seal") != seal(manifest, entries) or not isinstance(manifest["extra"], dict):
        raise ValueError("its header is not what was written")
    return manifest


def _entries(header: dict[str, Any], size: int) -> list[Entry]:
    """Return the entries in the order of their data, which must fill the file without gap or overlap."""
    entries = sorted(_entry(name, fields) for name, fields in header.items())
    position = 0
    for entry in entries:
        if entry.begin != position or entry.end - entry.begin != _itemsize(entry) * math.prod(entry.shape):
            raise ValueError(f"the place of {entry.name!r:.100} in it does not fit its shape {entry.shape}")
        np.empty(entry.shape if 0 in entry.shape else 0)  # refuses an empty array beyond NumPy's limits
        position = entry.end
    if position != size:
        raise ValueError(f"it has {size} bytes of data in place of {position}")
    return entries


def _entry(name: str, fields: Any) -> Entry:
    match fields:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [begin, end], **rest} if not rest:
            sizes = [*shape, begin, end]  # NumPy's limits: products of larger numbers would take for ever
            if len(shape) <= MAX_AXES and all(type(n) is int and 0 <= n < 2**63 for n in sizes):
                return Entry(begin, end, name, dtype, tuple(shape))
    raise ValueError(f"its header describes {name!r:.100} as {fields!r:.100}")


def _itemsize(entry: Entry) -> int:
    if entry.dtype not in DTYPES:
        raise ValueError(
            f"{entry.name!r:.100} has the dtype {entry.dtype!r:.100}; known are {', '.join(DTYPES)}"
        )
    return DTYPES[entry.dtype].itemsize
