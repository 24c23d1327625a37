"""MNIST comes from a folder or a mirror, in one form, and a file that is not what it should be is named."""

import gzip
import hashlib
import importlib
import struct
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest

from minidl.data.mnist import fashion_mnist, mnist, read_idx

module = importlib.import_module("minidl.data.mnist")
pixels = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
classes = np.array([3, 1, 4, 1, 5], dtype=np.uint8)
zipped = partial(gzip.compress, mtime=0)  # the names of tests are to be the same in every process


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def place(folder, split="train", images=pixels, labels=classes, compressed=True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in ((f"{split}-images-idx3-ubyte", images), (f"{split}-labels-idx1-ubyte", labels)):
        if compressed:
            (folder / f"{name}.gz").write_bytes(zipped(idx(array)))
        else:
            (folder / name).write_bytes(idx(array))


@pytest.fixture(autouse=True)
def _no_folder(monkeypatch) -> None:
    monkeypatch.delenv("MINIDL_DATA", raising=False)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("inner", ["mnist", "."])
def test_files_are_read_from_the_folder_or_from_its_mnist_folder(
    tmp_path, monkeypatch, inner, compressed
) -> None:
    place(tmp_path / inner, compressed=compressed)
    monkeypatch.setenv("MINIDL_DATA", str(tmp_path))
    images, labels = mnist("train")
    assert (images.shape, images.dtype, labels.dtype) == ((5, 28, 28, 1), np.float32, np.int64)
    np.testing.assert_allclose(images[..., 0], pixels / 255.0, rtol=1e-7)
    assert labels.tolist() == [3, 1, 4, 1, 5]


def test_a_split_needs_only_its_own_two_files(tmp_path) -> None:
    place(tmp_path, split="t10k")
    assert mnist("test", root=tmp_path)[0].shape == (5, 28, 28, 1)


def test_root_wins_over_the_environment(tmp_path, monkeypatch) -> None:
    place(tmp_path / "a")
    monkeypatch.setenv("MINIDL_DATA", str(tmp_path / "b"))
    assert mnist("train", root=tmp_path / "a")[1].tolist() == classes.tolist()


def test_a_folder_without_the_files_is_named_and_nothing_is_downloaded_to_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MINIDL_DATA", str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match=r"mnist: expected train-images-idx3-ubyte\.gz in MINIDL_DATA=.*https"
    ):
        mnist("train")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="mnist: expected split 'train' or 'test', got 'valid'"):
        mnist("valid")


def test_files_known_as_the_other_data_set_are_not_mistaken(tmp_path, monkeypatch) -> None:
    place(tmp_path)
    digest = hashlib.md5((tmp_path / "train-images-idx3-ubyte.gz").read_bytes()).hexdigest()
    monkeypatch.setitem(module._MNIST.md5, "train-images-idx3-ubyte.gz", digest)
    monkeypatch.setenv("MINIDL_DATA", str(tmp_path))
    assert mnist("train")[0].shape == (5, 28, 28, 1)
    with pytest.raises(FileNotFoundError, match="fashion_mnist: expected train-images"):
        fashion_mnist("train")
    place(tmp_path / "fashion_mnist", images=255 - pixels)
    assert fashion_mnist("train")[0].shape == (5, 28, 28, 1)


class Mirrors:
    """In place of pooch: some mirrors answer, others do not."""

    def __init__(self, cache, broken=()) -> None:
        self.cache, self.broken, self.asked = cache, broken, []

    def os_cache(self, name):
        return self.cache

    def retrieve(self, url, known_hash, fname, path):
        self.asked.append((url, known_hash))
        for start in self.broken:
            if url.startswith(start):
                raise OSError("unreachable")
        path.mkdir(parents=True, exist_ok=True)
        array = pixels if "images" in fname else classes
        (path / fname).write_bytes(zipped(idx(array)))
        return str(path / fname)


def test_a_download_is_checked_against_its_hash_and_kept(tmp_path, monkeypatch) -> None:
    mirrors = Mirrors(tmp_path, broken=[module._MNIST.mirrors[0]])
    monkeypatch.setitem(sys.modules, "pooch", mirrors)
    assert mnist("train")[1].tolist() == classes.tolist()
    assert (tmp_path / "mnist" / "train-images-idx3-ubyte.gz").is_file()
    assert {known for _, known in mirrors.asked} == {
        "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "md5:d53e105ee54ea40749a09fcbcd1e9432",
    }
    asked = len(mirrors.asked)
    mnist("train")
    assert len(mirrors.asked) == asked


def test_a_failed_download_says_how_to_place_the_files_by_hand(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", Mirrors(tmp_path, broken=["http"]))
    with pytest.raises(
        ConnectionError,
        match=r"fashion_mnist: could not download t10k-images-idx3-ubyte\.gz to .*; put the file there by "
        r"hand, or set MINIDL_DATA .* Tried https://raw.*unreachable; http://fashion",
    ):
        fashion_mnist("test", root=tmp_path)


@pytest.fixture
def server(tmp_path):
    """A web server on this machine, serving the folder ``served``."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format, *args) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_pooch_passes_over_a_dead_mirror_and_one_that_serves_something_else(
    tmp_path, monkeypatch, server
) -> None:
    pytest.importorskip("pooch")
    folder, address = server
    place(folder / "wrong", images=255 - pixels, labels=classes[::-1])
    place(folder / "right")
    md5 = {path.name: module._md5(path) for path in (folder / "right").iterdir()}
    mirrors = ("http://127.0.0.1:9/", f"{address}/missing/", f"{address}/wrong/", f"{address}/right/")
    monkeypatch.setattr(module, "_MNIST", module._Source("mnist", mirrors, md5))
    assert mnist("train", root=tmp_path)[1].tolist() == classes.tolist()
    monkeypatch.setattr(module, "_MNIST", module._Source("mnist", mirrors[:3], md5))
    with pytest.raises(ConnectionError, match=r"put the file there by hand.*:9/.*missing/.*wrong/.*hash"):
        mnist("train", root=tmp_path / "elsewhere")
    assert not list((tmp_path / "elsewhere" / "mnist").iterdir())


def test_without_pooch_the_extra_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r'pip install "minidl\[data\]", or set MINIDL_DATA'):
        mnist("train", root=tmp_path)
    with pytest.raises(ImportError, match=r'pip install "minidl\[data\]", or set MINIDL_DATA'):
        mnist("train")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx(classes), "damaged file"),
        (zipped(idx(classes))[:-9], "damaged file"),
        (zipped(idx(classes))[:15] + b"\xff\xff" + zipped(idx(classes))[17:], "damaged file"),
        (zipped(b""), "expected an IDX file of unsigned bytes, got one that begins with b''"),
        (zipped(b"\x00\x00\x0d\x01" + bytes(8)), "expected an IDX file of unsigned bytes"),
        (zipped(idx(classes)[:6]), "the file ends inside its header"),
        (zipped(idx(classes)[:-1]), r"expected 5 bytes for shape \(5,\), got 4; delete it"),
        (zipped(idx(classes) + b"\x00"), r"expected 5 bytes for shape \(5,\), got 6"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, content, message) -> None:
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"train-labels-idx1-ubyte\.gz: {message}"):
        read_idx(path)


def test_images_and_labels_of_different_number_are_refused(tmp_path) -> None:
    place(tmp_path, labels=classes[:4])
    with pytest.raises(
        ValueError, match=r"labels-idx1-ubyte\.gz: expected one label for each image of train-images"
    ):
        mnist("train", root=tmp_path)


def test_the_published_test_images_are_what_their_hashes_say(data_folder) -> None:
    images, labels = mnist("test", root=data_folder)
    assert (images.shape, images.dtype) == ((10_000, 28, 28, 1), np.float32)
    assert (images.min(), images.max()) == (0.0, 1.0)
    assert np.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        path = module._find_or_download(module._MNIST, name, data_folder)
        assert module._md5(path) == module._MNIST.md5[f"{name}.gz"]
