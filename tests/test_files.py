"""A weights file is written whole or not at all, and read only if every byte is what was written."""

import json
import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from safetensors.numpy import load_file, save_file

from minidl import files
from minidl.backend import asarray, to_numpy
from minidl.files import header, load_weights, read_tensors, save_weights, write_tensors
from minidl.layers.base import Layer
from minidl.layers.linear import Linear
from minidl.layers.parameter import Buffer, Parameter
from minidl.optim.sgd import SGD

tensors = {
    "0.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "0.bias": np.array([0.5, -1.5], dtype=np.float64),
    "1.counter": np.array(3, dtype=np.int64),
    "2.empty": np.zeros((0, 4), np.float16),
    "2.mask": np.array([True, False]),
}


def assert_same(actual, expected) -> None:
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype
        assert actual[name].shape == array.shape
        np.testing.assert_array_equal(actual[name], array)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=8).filter(
            lambda name: name != "__metadata__"
        ),
        npst.arrays(
            st.sampled_from(["?", "u1", "<i2", ">i4", "<i8", "<f2", "<f4", ">f8"]),
            npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        ),
        max_size=4,
    ),
    st.booleans(),
)
def test_what_was_written_is_read_whatever_the_dtype_order_and_name(
    tmp_path_factory, arrays, transposed
) -> None:
    path = tmp_path_factory.mktemp("files") / "model.safetensors"
    if transposed:
        arrays = {name: array.T for name, array in arrays.items()}
    write_tensors(path, arrays, extra={"epoch": 3})
    found, extra = read_tensors(path)
    assert extra == {"epoch": 3}
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype.newbyteorder("<")
        assert found[name].flags.writeable


def test_arrays_that_are_not_contiguous_are_not_scrambled(tmp_path) -> None:
    weight = np.arange(12, dtype=np.float32).reshape(3, 4)
    views = {"t": weight.T, "s": weight[:, ::2], "r": weight[::-1]}
    write_tensors(tmp_path / "w.safetensors", views)
    for name, array in load_file(tmp_path / "w.safetensors").items():
        np.testing.assert_array_equal(array, views[name])


def test_the_safetensors_library_reads_our_files_and_we_read_its(tmp_path) -> None:
    write_tensors(tmp_path / "ours.safetensors", tensors)
    assert_same(load_file(tmp_path / "ours.safetensors"), tensors)
    save_file(tensors, tmp_path / "theirs.safetensors", metadata={"format": "pt"})
    assert_same(read_tensors(tmp_path / "theirs.safetensors")[0], tensors)


def test_the_manifest_names_versions_and_a_checksum_for_each_tensor(tmp_path) -> None:
    write_tensors(tmp_path / "w.safetensors", tensors)
    content = (tmp_path / "w.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    manifest = json.loads(header["__metadata__"]["minidl"])
    assert manifest["format"] == 1
    assert manifest["numpy"] == np.__version__
    assert "minidl" in manifest
    assert manifest["sha256"].keys() == tensors.keys()
    # SHA-256 of no bytes at all
    assert manifest["sha256"]["2.empty"].startswith("e3b0c44298fc1c149afbf4c8996fb924")


@pytest.mark.parametrize("cores", ["1", "3"])
@pytest.mark.parametrize("window", [1, 7, 64])
def test_pieces_of_any_size_on_any_number_of_cores_make_the_same_file(
    tmp_path, monkeypatch, window, cores
) -> None:
    write_tensors(tmp_path / "whole", tensors)
    monkeypatch.setenv("MINIDL_NUM_THREADS", cores)
    monkeypatch.setattr(files.tensors, "WINDOW", window)
    write_tensors(tmp_path / "pieces", tensors)
    assert (tmp_path / "pieces").read_bytes() == (tmp_path / "whole").read_bytes()
    assert_same(read_tensors(tmp_path / "pieces")[0], tensors)
    content = bytearray((tmp_path / "pieces").read_bytes())
    content[-1] ^= 1
    (tmp_path / "pieces").write_bytes(content)
    with pytest.raises(ValueError, match=r"the content of '2\.mask' is not what was written"):
        read_tensors(tmp_path / "pieces")


def test_an_array_that_changes_while_it_is_saved_leaves_a_file_that_loads(tmp_path, monkeypatch) -> None:
    array, real = np.zeros(1000), files.tensors.threads.run

    def disturbed(task, count):
        array[...] += 1  # as another thread would between two windows, or between a write and a hash
        return real(lambda i: (task(i), array.__iadd__(1)), count)

    monkeypatch.setattr(files.tensors, "WINDOW", 256)
    monkeypatch.setattr(files.tensors.threads, "run", disturbed)
    write_tensors(tmp_path / "w", {"x": array})
    monkeypatch.undo()
    assert read_tensors(tmp_path / "w")[0]["x"].shape == (1000,)


def test_tensors_can_be_read_by_the_beginning_of_their_names(tmp_path) -> None:
    write_tensors(tmp_path / "w", tensors)
    with files.opened(tmp_path / "w") as file:
        file.verify()
        assert_same(file.read("0."), {name: tensors[name] for name in ("0.weight", "0.bias")})
        assert_same(file.read("2."), {name: tensors[name] for name in ("2.empty", "2.mask")})
        assert file.read("3.") == {}


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path) -> None:
    write_tensors(tmp_path / "w", {"x": np.zeros(100_000)})
    with files.opened(tmp_path / "w") as file:
        os.truncate(tmp_path / "w", 1000)
        with pytest.raises(ValueError, match="it became shorter while it was read"):
            file.read()


@pytest.mark.parametrize("name", ["__metadata__", "\ud800"])
def test_names_that_no_header_can_have_are_refused(tmp_path, name) -> None:
    with pytest.raises(ValueError, match=r"expected another name|surrogates not allowed"):
        write_tensors(tmp_path / "w", {name: np.zeros(1)})
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_number_of_cores_is_not_taken_for_damage(tmp_path, monkeypatch) -> None:
    write_tensors(tmp_path / "w", tensors)
    monkeypatch.setenv("MINIDL_NUM_THREADS", "many")
    with pytest.raises(ValueError, match=r"^MINIDL_NUM_THREADS='many'"):
        read_tensors(tmp_path / "w")


def test_writing_twice_gives_the_same_bytes(tmp_path) -> None:
    for name in ("a", "b"):
        write_tensors(tmp_path / name, tensors, extra={"x": 1, "y": [2]})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_bfloat16_of_other_programs_becomes_float32(tmp_path, torch) -> None:
    from safetensors.torch import save_file as save_torch_file

    x = torch.tensor([1.0, -2.5, 3e38, float("inf"), 0.1], dtype=torch.bfloat16)
    save_torch_file({"x": x}, tmp_path / "w.safetensors")
    found, _ = read_tensors(tmp_path / "w.safetensors")
    assert found["x"].dtype == np.float32
    np.testing.assert_array_equal(found["x"], x.float().numpy())


@pytest.mark.parametrize("block", [1, 2, 5, 1000])
def test_bfloat16_is_widened_block_by_block_in_place(tmp_path, monkeypatch, block) -> None:
    monkeypatch.setattr(files.tensors, "BLOCK", block)
    bits = np.random.default_rng(0).integers(0, 2**16, (3, 7), dtype="<u2")
    (tmp_path / "w").write_bytes(raw({"x": entry(0, 42, [3, 7], "BF16")}, bits.tobytes()))
    found = read_tensors(tmp_path / "w")[0]["x"]
    np.testing.assert_array_equal(found.view(np.uint32), bits.astype(np.uint32) << 16)


def test_a_link_stays_and_its_target_is_replaced(tmp_path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    write_tensors(target, {"x": np.zeros(2)})
    try:
        link.symlink_to(target)
    except OSError:
        pytest.skip("no links here")
    write_tensors(link, {"x": np.ones(2)})
    assert link.is_symlink()
    assert read_tensors(target)[0]["x"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call) -> None:
    path = tmp_path / "w.safetensors"
    write_tensors(path, {"x": np.zeros(2)})
    before = path.read_bytes()

    def full(*arguments) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match=r"No space left on device: .*w\.safetensors'$"):
        write_tensors(path, {"x": np.ones(2)})
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_an_interrupt_while_writing_leaves_the_old_file_and_nothing_else(tmp_path) -> None:
    path = tmp_path / "w.safetensors"
    write_tensors(path, {"x": np.zeros(2)})
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), files.replacing(path) as file:  # noqa: PT012
        file.write(before[:20])
        raise KeyboardInterrupt
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_the_new_file_is_on_disk_before_it_takes_the_old_ones_place(tmp_path, monkeypatch) -> None:
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *arguments, name=name, real=real: calls.append(name) or real(*arguments)
        )
    write_tensors(tmp_path / "w.safetensors", tensors)
    assert calls == (["fsync", "replace", "fsync"] if os.name == "posix" else ["fsync", "replace"])


def test_a_missing_folder_is_named(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere; make it first"):
        write_tensors(tmp_path / "nowhere" / "w.safetensors", tensors)
    with pytest.raises(FileNotFoundError):
        read_tensors(tmp_path / "w.safetensors")


def test_arrays_of_something_else_than_numbers_are_refused(tmp_path) -> None:
    with pytest.raises(TypeError, match="names: expected numbers or booleans, got <U1"):
        write_tensors(tmp_path / "w.safetensors", {"names": np.array(["a"])})
    assert list(tmp_path.iterdir()) == []


def raw(header, data=b"") -> bytes:
    """A file with a header of one's own."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(begin, end, shape, dtype="F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def metadata(**changes) -> dict:
    """The metadata of a file with one float32 that has a wrong checksum, sealed as it should be."""
    said = {"format": 1, "minidl": "0", "numpy": "2", "sha256": {"x": "0" * 64}, "extra": {}} | changes
    return {
        "__metadata__": {
            "minidl": json.dumps({"seal": header.seal(said, [header.Entry(0, 4, "x", "F32", (1,))])} | said)
        }
    }


def sealed(text) -> dict:
    """Metadata with a manifest of one's own."""
    return {"__metadata__": {"minidl": text}}


bare = {"x": entry(0, 4, [1])}

DAMAGED = {
    "empty": (b"", "its 0 bytes are truncated or of another format"),
    "a few bytes": (b"abc", "its 3 bytes are truncated or of another format"),
    "pickle": (pickle.dumps(tensors), "truncated or of another format"),
    "numpy": (b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'}", "truncated or of another format"),
    "cut in the header": (raw({"x": entry(0, 4, [1])})[:20], "truncated or of another format"),
    "cut in the data": (raw({"x": entry(0, 8, [2])}, bytes(7)), "it has 7 bytes of data in place of 8"),
    "too long": (raw({"x": entry(0, 8, [2])}, bytes(9)), "it has 9 bytes of data in place of 8"),
    "no JSON": (raw(b"not json"), "Expecting value"),
    "no UTF-8": (raw(b'{"\xff": 1}'), "codec can't decode"),
    "deep": (raw(b"[" * 100_000), "its header is nested too deeply"),
    "no object": (raw([1, 2]), "its header is no JSON object"),
    "twice": (raw(b'{"x": {}, "x": {}}'), "a name occurs twice in its header"),
    "twice inside": (raw(b'{"x": {"dtype": "F32", "dtype": "F64"}}'), "a name occurs twice"),
    "huge shape": (
        raw({"x": entry(0, 4, [2**62])}, bytes(4)),
        r"the place of 'x' in it does not fit its shape",
    ),
    "a hole": (raw({"x": entry(0, 4, [1]), "y": entry(8, 12, [1])}, bytes(12)), "the place of 'y'"),
    "an overlap": (raw({"x": entry(0, 8, [2]), "y": entry(4, 12, [2])}, bytes(12)), "the place of 'y'"),
    "backwards": (raw({"x": entry(4, 0, [1])}, bytes(4)), "the place of 'x'"),
    "negative": (raw({"x": entry(-4, 0, [1])}, bytes(4)), "its header describes 'x' as"),
    "bool as size": (raw({"x": entry(0, 4, [True])}, bytes(4)), "its header describes 'x' as"),
    "float as size": (raw({"x": entry(0, 4, [1.0])}, bytes(4)), "its header describes 'x' as"),
    "no entry": (raw({"x": 3}), "its header describes 'x' as 3"),
    "no shape": (raw({"x": {"dtype": "F32", "data_offsets": [0, 4]}}, bytes(4)), "its header describes 'x'"),
    "dtype": (raw({"x": entry(0, 1, [1], "F8_E4M3")}, b"0"), "'x' has the dtype 'F8_E4M3'; known are BOOL"),
    "more about a tensor": (
        raw({"x": entry(0, 4, [1]) | {"stride": [1]}}, bytes(4)),
        "its header describes 'x'",
    ),
    "large size": (raw({"x": entry(0, 0, [0, 2**63])}), "its header describes 'x' as"),
    "large empty": (raw({"x": entry(0, 0, [0, 2**62, 2**62])}), "array is too big"),
    "many axes": (raw({"x": entry(0, 4, [1] * 65)}, bytes(4)), "its header describes 'x' as"),
    "checksum": (raw(metadata() | bare, bytes(4)), "the content of 'x' is not what was written"),
    "unlisted": (raw(metadata() | {"y": entry(0, 4, [1])}, bytes(4)), "its checksums are those of other"),
    "no checksums": (raw(metadata(sha256=[3]) | bare, bytes(4)), "its checksums are those of other tensors"),
    "another shape": (raw(metadata() | {"x": entry(0, 4, [1, 1])}, bytes(4)), "its header is not what was"),
    "another dtype": (raw(metadata() | {"x": entry(0, 4, [1], "I32")}, bytes(4)), "its header is not what"),
    "another seal": (raw(metadata(seal="0" * 64) | bare, bytes(4)), "its header is not what was written"),
    "no extra": (raw(metadata(extra=3) | bare, bytes(4)), "its header is not what was written"),
    "more": (raw(metadata(more=1) | bare, bytes(4)), "its manifest lacks or adds more"),
    "less": (raw(sealed('{"format": 1}')), "its manifest lacks or adds extra, minidl, numpy, seal, sha256"),
    "twice in the manifest": (raw(sealed('{"format": 1, "format": 1}')), "a name occurs twice"),
    "deep manifest": (raw(sealed("[" * 100_000)), "its header is nested too deeply"),
    "another name": (raw({"__metadata__": {"minidm": '{"seal": 1}'}}), "its manifest has lost its name"),
    "metadata": (raw({"__metadata__": 7}), "its metadata is unreadable"),
    "no text": (raw({"__metadata__": {"minidl": 7}}), "its metadata is unreadable"),
    "no manifest": (raw(sealed("[]")), "its metadata is unreadable"),
    "newer": (raw(sealed('{"format": 2}')), "format 2, and this minidl reads format 1"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_or_foreign_file_is_named(tmp_path, kind) -> None:
    content, message = DAMAGED[kind]
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=rf"weights\.safetensors: expected an intact safetensors file, but .*{message}"
    ):
        read_tensors(path)


def test_a_folder_is_no_file(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"expected a safetensors file, got a folder"):
        read_tensors(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_no_file_and_is_not_waited_for(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match=r"pipe: expected a safetensors file, got a device or a pipe"):
        read_tensors(tmp_path / "pipe")


def test_the_extra_part_is_read_without_the_tensors(tmp_path) -> None:
    path = tmp_path / "w.safetensors"
    write_tensors(path, tensors, extra={"step": 3})
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")
    assert files.read_extra(path) == {"step": 3}
    with pytest.raises(ValueError, match="the content of"):
        read_tensors(path)


def test_a_file_without_a_manifest_is_refused_where_ours_is_wanted(tmp_path) -> None:
    save_file(tensors, tmp_path / "theirs.safetensors")
    with pytest.raises(ValueError, match=r"theirs\.safetensors: .* it has no manifest"):
        read_tensors(tmp_path / "theirs.safetensors", foreign=False)
    with pytest.raises(ValueError, match="it has no manifest"):
        files.read_extra(tmp_path / "theirs.safetensors")


@given(st.data())
def test_any_flipped_bit_of_the_data_and_any_cut_are_noticed(tmp_path_factory, data) -> None:
    path = tmp_path_factory.mktemp("files") / "w.safetensors"
    write_tensors(path, tensors)
    content = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    if data.draw(st.booleans()):
        content[data.draw(st.integers(start, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"w\.safetensors: expected an intact safetensors file"):
        read_tensors(path)


class Scaled(Layer):
    """A layer with a parameter that is transposed in memory, and a buffer that counts."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.weight = Parameter(asarray(rng.standard_normal((3, 2)).astype("float32").T))
        self.bias = Parameter(asarray(rng.standard_normal(3).astype("float32")))
        self.steps = Buffer(asarray(np.array(seed)))


def test_a_model_loads_what_another_saved(tmp_path) -> None:
    first, second = Scaled(1), Scaled(2)
    arrays = [p.data for p in second.parameters()]
    save_weights(first, tmp_path / "w.safetensors")
    load_weights(second, str(tmp_path / "w.safetensors"))
    assert_same(*({name: to_numpy(a) for name, a in model.state().items()} for model in (second, first)))
    assert all(p.data is array for p, array in zip(second.parameters(), arrays, strict=True))


def test_what_does_not_fit_is_listed_whole_and_nothing_is_written(tmp_path) -> None:
    path = tmp_path / "w.safetensors"
    tensors = {"weight": np.zeros((3, 2), np.float32), "wait": np.zeros(1), "steps": np.array(0)}
    write_tensors(path, tensors)
    model = Scaled(1)
    before = {name: to_numpy(array).copy() for name, array in model.state().items()}
    with pytest.raises(
        ValueError, match=r"(?s)(?=.*missing.*bias)(?=.*unexpected.*wait)(?=.*weight.*\(2, 3\))"
    ) as info:
        load_weights(model, path)
    assert any("w.safetensors" in note for note in info.value.__notes__)
    with pytest.raises(ValueError, match=r"shape of weight"):
        load_weights(model, path, strict=False)
    assert_same({name: to_numpy(array) for name, array in model.state().items()}, before)


def test_without_strict_the_names_in_common_are_loaded(tmp_path) -> None:
    write_tensors(tmp_path / "w.safetensors", {"bias": np.ones(3, np.float32), "other": np.zeros(1)})
    model = Scaled(1)
    weight = to_numpy(model.weight.data).copy()
    load_weights(model, tmp_path / "w.safetensors", strict=False)
    assert to_numpy(model.bias.data).tolist() == [1.0, 1.0, 1.0]
    np.testing.assert_array_equal(to_numpy(model.weight.data), weight)


def test_a_damaged_file_leaves_the_model_as_it_is(tmp_path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(Scaled(1), path)
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")
    model = Scaled(2)
    before = {name: to_numpy(array).copy() for name, array in model.state().items()}
    with pytest.raises(
        ValueError, match=r"w\.safetensors: expected an intact safetensors file, but the content of"
    ):
        load_weights(model, path)
    assert_same({name: to_numpy(array) for name, array in model.state().items()}, before)


@pytest.mark.parametrize("use", [save_weights, load_weights])
def test_what_is_no_layer_has_no_weights(tmp_path, use):
    for part, got in (([1], "list"), (SGD(Linear(2, 2).parameters(), lr=0.1), "SGD")):
        with pytest.raises(TypeError, match=rf"{use.__name__}: expected a layer, got {got}"):
            use(part, tmp_path / "w.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_not_overwritten_by_a_file(tmp_path):
    with pytest.raises(
        IsADirectoryError, match=rf"{tmp_path.name}: expected a file, got a folder; name a file in it"
    ):
        save_weights(Linear(2, 2), tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert [p.name for p in tmp_path.parent.iterdir() if p.name.startswith(f".{tmp_path.name}")] == []


@pytest.mark.skipif(os.name != "posix", reason="no pipes with names here")
def test_a_pipe_or_device_stays_what_it_is(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"pipe: expected a file, got a device or a pipe; name a file"):
        save_weights(Linear(2, 2), tmp_path / "pipe")
    assert [p.name for p in tmp_path.iterdir() if p.is_fifo()] == ["pipe"]


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path):
    path = tmp_path / ("n" * (255 if os.name == "posix" else 100))
    save_weights(Linear(2, 2), path)
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_too_large_for_the_model_are_refused_and_nothing_is_written(tmp_path):
    path, model = tmp_path / "w.safetensors", Scaled(1)
    before = {name: to_numpy(array).copy() for name, array in model.state().items()}
    wide = {"weight": np.ones((2, 3)), "bias": np.array([1.0, np.inf, 1e300]), "steps": np.array(0)}
    write_tensors(path, wide)
    with pytest.raises(ValueError, match=r"range of bias: 1e\+300 is too large for float32"):
        load_weights(model, path)
    assert_same({name: to_numpy(array) for name, array in model.state().items()}, before)
    write_tensors(path, wide | {"bias": np.array([1.0, np.inf, np.nan])})
    load_weights(model, path)
    np.testing.assert_array_equal(to_numpy(model.bias.data), [1.0, np.inf, np.nan])


def test_weights_of_pytorch_are_told_of_the_door_for_them(tmp_path):
    save_file({"weight": np.zeros((3, 2), np.float32), "bias": np.zeros(3, np.float32)}, tmp_path / "w")
    with pytest.raises(ValueError, match="shape of weight") as info:
        load_weights(Linear(2, 3), tmp_path / "w")
    assert "minidl.interop.load_torch_state" in info.value.__notes__[0]
