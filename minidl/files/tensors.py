"""Named arrays in a safetensors file: streamed, and hashed on the other cores meanwhile."""

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from minidl import threads
from minidl.backend import to_numpy
from minidl.files import header
from minidl.files.atomic import PathLike, replacing
from minidl.files.header import DTYPES, Entry

if TYPE_CHECKING:
    import numpy.typing as npt

HostArray: TypeAlias = "npt.NDArray[Any]"

WINDOW = 1 << 23  # bytes that are read or written in one go
BLOCK = 1 << 16  # numbers of bfloat16 that are widened in one go


def write_tensors(path: PathLike, tensors: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> None:
    """Write named arrays of either backend, and what else JSON can say, to one file, all or nothing.

    It takes no memory beyond a window, and one array where that is on a GPU or not contiguous.
    """
    entries = header.place(tensors)
    extra = json.loads(json.dumps(extra or {}))
    start = len(header.write_head(entries, dict.fromkeys(tensors, "0" * 64), extra))
    if start - 8 > header.MAX_HEADER:
        raise ValueError(
            f"{path}: expected a header of at most {header.MAX_HEADER} bytes, got {start - 8}; save less"
        )
    sums, scratch = _Sums(), np.empty(WINDOW, np.uint8)
    with replacing(path) as file:
        file.seek(start)  # the head comes last, with the checksums
        for window in _windows((entry, _bytes(tensors[entry.name])) for entry in entries):
            size = sum(piece.content.size for piece in window)
            sums.add(_copied(window, scratch), partial(file.write, scratch[:size]))
        file.seek(0)
        file.write(header.write_head(entries, {name: sums.of(name) for name in tensors}, extra))


def read_tensors(path: PathLike, foreign: bool = True) -> tuple[dict[str, HostArray], dict[str, Any]]:
    """Return the arrays of a safetensors file and the extra part of its manifest (empty in foreign files).

    Args:
        path: the file.
        foreign: take files without our manifest too, whose content nothing vouches for.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged: truncated, altered, or something else altogether.
    """
    with opened(path, foreign) as file:
        return file.read(), file.extra


def read_extra(path: PathLike) -> dict[str, Any]:
    """Return the extra part of the manifest of a file of ours, without reading its tensors.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not ours, its header is damaged, or its length is not what that says.
    """
    with opened(path, foreign=False) as file:
        return file.extra


@contextmanager
def opened(path: PathLike, foreign: bool = True) -> "Iterator[TensorFile]":
    """Open a safetensors file, ours or, if ``foreign``, another program's, and read its header."""
    threads.cores()  # a wrong setting is no damage
    if os.path.exists(path) and not os.path.isfile(path):  # to open a pipe would wait for its other end
        kind = "folder" if os.path.isdir(path) else "device or a pipe"
        raise ValueError(f"{path}: expected a safetensors file, got a {kind}")
    with open(path, "rb") as file:
        yield TensorFile(path, file, foreign)


@contextmanager
def _blamed_on(path: PathLike) -> Iterator[None]:
    """Let the error about damage say which file it is."""
    try:
        yield
    except (ValueError, RecursionError) as error:
        reason = "its header is nested too deeply" if isinstance(error, RecursionError) else error
        raise ValueError(f"{path}: expected an intact safetensors file, but {reason}") from error


class TensorFile:
    """An open safetensors file whose header has been read and checked.

    Args:
        path: its name, for errors.
        file: the file, at its beginning.
        foreign: take files without our manifest too.

    Raises:
        ValueError: the header is damaged; so do the methods where the tensors are.
    """

    def __init__(self, path: PathLike, file: IO[bytes], foreign: bool) -> None:
        with _blamed_on(path):
            self.entries, manifest = header.read_head(file, foreign)
        self.ours = bool(manifest)  # else another program has written it
        self.extra: dict[str, Any] = manifest.get("extra", {})
        self._checksums: dict[str, str] | None = manifest.get("sha256")
        self._path = path
        self._file = file
        self._start = file.tell()

    def verify(self) -> None:
        """Read every tensor and compare its checksum, keeping none."""
        self._fill(self.entries, (np.empty(_size(entry), np.uint8) for entry in self.entries))

    def read(self, prefix: str = "") -> dict[str, HostArray]:
        """Return the tensors whose names begin like this, after their checksums were compared."""
        entries = [entry for entry in self.entries if entry.name.startswith(prefix)]
        buffers = [np.empty(_memory(entry), np.uint8) for entry in entries]
        pairs = list(zip(entries, buffers, strict=True))
        self._fill(entries, (buffer[buffer.size - _size(entry) :] for entry, buffer in pairs))
        return {entry.name: _array(entry, buffer) for entry, buffer in pairs}

    def _fill(self, entries: list[Entry], contents: Iterable[HostArray]) -> None:
        """Read window after window, hash each while the next one is read, and compare the checksums."""
        sums = _Sums()
        before: list[_Piece] = []
        with _blamed_on(self._path):
            for window in _windows(zip(entries, contents, strict=True)):
                sums.add(before, partial(self._read, window))
                before = window if self._checksums else []
            sums.add(before)
            for entry in entries:
                if self._checksums and self._checksums[entry.name] != sums.of(entry.name):
                    raise ValueError(f"the content of {entry.name!r} is not what was written")

    def _read(self, window: "list[_Piece]") -> None:
        for piece in window:
            self._file.seek(self._start + piece.position)
            count = self._file.readinto(piece.content)  # type: ignore[attr-defined]  # BinaryIO leaves it out
            if count != piece.content.size:
                raise ValueError("it became shorter while it was read")


class _Piece(NamedTuple):
    """Some bytes of one tensor, and their position after the header."""

    name: str
    position: int
    content: HostArray


class _Sums:
    """The SHA-256 of tensors whose bytes come in pieces."""

    def __init__(self) -> None:
        import hashlib  # which `import minidl` does not need

        self._hashes: dict[str, Any] = defaultdict(hashlib.sha256)

    def add(self, window: list[_Piece], work: Callable[[], object] = lambda: None) -> None:
        """Hash pieces, of different tensors, and let another core do some work meanwhile."""
        hashes = [self._hashes[piece.name] for piece in window]  # made here, by one thread

        def task(i: int) -> None:
            if i:
                hashes[i - 1].update(window[i - 1].content)
            else:
                work()

        threads.run(task, 1 + len(window))

    def of(self, name: str) -> str:
        """Return the checksum of a tensor."""
        return str(self._hashes[name].hexdigest())


def _windows(contents: Iterable[tuple[Entry, HostArray]]) -> Iterator[list[_Piece]]:
    """Cut the bytes of tensors into pieces, and put these together to windows of equal size."""
    window: list[_Piece] = []
    room = WINDOW
    for entry, content in contents:
        start = 0
        while start < content.size:
            piece = content[start : start + room]
            window.append(_Piece(entry.name, entry.begin + start, piece))
            start += piece.size
            room -= piece.size
            if not room:
                yield window
                window, room = [], WINDOW
    if window:
        yield window


def _copied(window: list[_Piece], scratch: HostArray) -> list[_Piece]:
    """Return a copy, so that the same is hashed and written whatever others do to the arrays meanwhile."""
    pieces, start = [], 0
    for piece in window:
        place = scratch[start : start + piece.content.size]
        place[...] = piece.content
        pieces.append(piece._replace(content=place))
        start += place.size
    return pieces


def _bytes(tensor: Any) -> HostArray:
    """Return the bytes of an array as they lie in a file: little-endian, in C order."""
    array = to_numpy(tensor)
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C").reshape(-1).view(np.uint8)


def _size(entry: Entry) -> int:
    return entry.end - entry.begin


def _memory(entry: Entry) -> int:
    """Return how many bytes a tensor takes as an array: bfloat16 becomes float32."""
    return _size(entry) * (2 if entry.dtype == "BF16" else 1)


def _array(entry: Entry, buffer: HostArray) -> HostArray:
    """Return a tensor whose bytes lie at the end of a buffer, bfloat16 (which NumPy has not) as float32."""
    if entry.dtype != "BF16":
        return buffer.view(DTYPES[entry.dtype]).reshape(entry.shape)
    wide, bits = buffer.view(np.uint32), buffer[_size(entry) :].view("<u2")
    for start in range(0, bits.size, BLOCK):  # in place, from the front: what is overwritten has been read
        block = wide[start : start + BLOCK]
        block[...] = bits[start : start + BLOCK]
        block <<= 16
    return wide.view(np.float32).reshape(entry.shape)
