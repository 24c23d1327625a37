"""MNIST and Fashion-MNIST: downloaded once and checked, or read from a folder."""

import gzip
import hashlib
import math
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

Images: TypeAlias = "npt.NDArray[np.float32]"
Labels: TypeAlias = "npt.NDArray[np.int64]"

SPLITS = {"train": "train", "test": "t10k"}
IMAGES, LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"


@dataclass(frozen=True)
class _Source:
    """Where a data set lives: its folder, the mirrors that serve its files, and the MD5 of each file."""

    name: str
    mirrors: tuple[str, ...]
    md5: dict[str, str]


_MNIST = _Source(
    "mnist",
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    },
)
_FASHION = _Source(
    "fashion_mnist",
    (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
)


def mnist(split: str = "train", root: "str | os.PathLike[str] | None" = None) -> tuple[Images, Labels]:
    """Return handwritten digits as images ``(N, 28, 28, 1)`` in [0, 1] and labels ``(N,)``.

    Both are NumPy arrays on either backend: a `DataLoader` moves its batches, `minidl.asarray` a whole array.

    Args:
        split: ``"train"`` (60,000 images) or ``"test"`` (10,000); each needs only its own two files.
        root: a folder that holds the files, or will: what is missing there is downloaded. By default
            the folder named by ``MINIDL_DATA``, to which nothing is downloaded, or else the user's cache.
            The files lie in the folder itself or in its ``mnist`` folder, compressed or not.

    Raises:
        FileNotFoundError: ``MINIDL_DATA`` names a folder without the files.
        ConnectionError: no mirror could be reached; says how to place the files by hand.
        ValueError: an unknown split, or a damaged file, by name.
        ImportError: pooch, which downloads, is not installed.

    Source: LeCun, Cortes and Burges, 1998.
    """
    return _load(_MNIST, split, root)


def fashion_mnist(
    split: str = "train", root: "str | os.PathLike[str] | None" = None
) -> tuple[Images, Labels]:
    """Return pictures of ten kinds of clothes, as `mnist` does digits; their folder is ``fashion_mnist``.

    Source: Xiao, Rasul and Vollgraf, 2017.
    """
    return _load(_FASHION, split, root)


def _load(source: _Source, split: str, root: "str | os.PathLike[str] | None") -> tuple[Images, Labels]:
    if split not in SPLITS:
        raise ValueError(f"{source.name}: expected split 'train' or 'test', got {split!r}")
    images_path = _find_or_download(source, f"{SPLITS[split]}-{IMAGES}", root)
    labels_path = _find_or_download(source, f"{SPLITS[split]}-{LABELS}", root)
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"{labels_path}: expected one label for each image of {images_path.name}, "
            f"got images {images.shape} and labels {labels.shape}"
        )
    return np.divide(images[..., np.newaxis], 255.0, dtype=np.float32), labels.astype(np.int64)


def _find_or_download(source: _Source, name: str, root: "str | os.PathLike[str] | None") -> Path:
    """Return the path of a file, compressed or not, in the folder it is found in or downloaded to."""
    named = os.environ.get("MINIDL_DATA") if root is None else None
    folder = Path(root or named or _cache())
    for place in (folder / source.name, folder):
        for path in (place / f"{name}.gz", place / name):
            if path.is_file() and not _belongs_to_another(path, source):
                return path
    if named:
        raise FileNotFoundError(
            f"{source.name}: expected {name}.gz in MINIDL_DATA={folder} or its folder {source.name}; "
            f"download it there from {source.mirrors[0]}, or unset MINIDL_DATA"
        )
    return _download(source, f"{name}.gz", folder / source.name)


def _belongs_to_another(path: Path, source: _Source) -> bool:
    """Tell whether a file is known as one of the other data set, whose files have the same names."""
    others = {_MNIST.name: _FASHION, _FASHION.name: _MNIST}[source.name].md5
    return path.name in others and _md5(path) == others[path.name]


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _cache() -> Path:
    return Path(str(_pooch().os_cache("minidl")))


def _pooch() -> Any:
    try:
        import pooch
    except ImportError as error:
        raise ImportError(
            'mnist: pooch, which downloads the files, is not installed; pip install "minidl[data]", '
            "or set MINIDL_DATA to a folder that holds them"
        ) from error
    return pooch


def _download(source: _Source, name: str, folder: Path) -> Path:
    """Fetch one file from the first mirror that serves it intact."""
    pooch = _pooch()
    failures = []
    for mirror in source.mirrors:
        try:
            found = pooch.retrieve(mirror + name, f"md5:{source.md5[name]}", fname=name, path=folder)
            return Path(found)
        except (OSError, ValueError) as error:  # unreachable, or not the file that was published
            failures.append(f"{mirror}: {error}")
    raise ConnectionError(
        f"{source.name}: could not download {name} to {folder}; put the file there by hand, "
        "or set MINIDL_DATA to a folder that holds it. Tried " + "; ".join(failures)
    )


def read_idx(path: "str | os.PathLike[str]") -> "npt.NDArray[np.uint8]":
    """Return the array of unsigned bytes in an IDX file, compressed or not.

    Raises:
        ValueError: the file is damaged or no IDX file, or its size is not what its header says.
    """
    path = Path(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _parse_idx(file, path)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: damaged file ({error}); delete it and download it again") from error


def _parse_idx(file: "IO[bytes] | gzip.GzipFile", path: Path) -> "npt.NDArray[np.uint8]":
    magic = file.read(4)
    if len(magic) < 4 or magic[:3] != b"\x00\x00\x08":
        raise ValueError(
            f"{path}: expected an IDX file of unsigned bytes, got one that begins with {magic!r}"
        )
    header, content = file.read(4 * magic[3]), file.read()
    if len(header) < 4 * magic[3]:
        raise ValueError(f"{path}: the file ends inside its header; delete it and download it again")
    shape = tuple(int(n) for n in np.frombuffer(header, ">u4"))
    if len(content) != math.prod(shape):
        raise ValueError(
            f"{path}: expected {math.prod(shape)} bytes for shape {shape}, got {len(content)}; "
            "delete it and download it again"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)
