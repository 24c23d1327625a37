"""Weights come from tensors, arrays and files of any float dtype; nothing else is read, no code is run."""

import errno
import pickle
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from minidl import load_weights, save_weights
from minidl.backend import to_numpy
from minidl.interop import load_torch_state, save_torch_state, torch_state
from minidl.layers import BatchNorm, Linear, Sequential
from minidl.optim import SGD

WEIGHT = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
STATE = {"weight": WEIGHT, "bias": np.array([0.5, -0.5])}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("theirs", ["float16", "float32", "float64", "bfloat16"])
def test_every_float_is_taken_to_the_dtype_of_the_model(torch, dtype, theirs, tmp_path) -> None:
    state = {name: torch.tensor(array).to(getattr(torch, theirs)) for name, array in STATE.items()}
    torch.save(state, tmp_path / "w.pt")
    from safetensors.torch import save_file

    save_file(state, tmp_path / "w.safetensors")
    for source in (state, tmp_path / "w.pt", str(tmp_path / "w.safetensors")):
        model = Linear(3, 2, dtype=dtype)
        load_torch_state(model, source)
        assert model.weight.data.dtype == dtype
        np.testing.assert_array_equal(to_numpy(model.weight.data), WEIGHT.T)


def test_numbers_too_large_for_the_model_are_refused() -> None:
    model = Linear(3, 2, dtype="float16")
    with pytest.raises(ValueError, match=r"range of weight: 7e\+04 is too large for float16"):
        load_torch_state(model, STATE | {"weight": np.full((2, 3), 70000.0)})
    load_torch_state(model, STATE | {"bias": np.array([np.inf, np.nan])})
    assert model.bias.data[0] == np.inf


@pytest.mark.parametrize(
    "value",
    [np.zeros((2, 3), np.complex64), [[0.0] * 3] * 2, None, "x", np.array(["a"])],
)
def test_what_is_no_array_of_numbers_is_refused(value) -> None:
    with pytest.raises(TypeError, match="expected arrays or tensors by name\n  weight: expected"):
        load_torch_state(Linear(3, 2), STATE | {"weight": value})


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_whole_numbers_are_no_weights(dtype) -> None:
    with pytest.raises(ValueError, match=f"dtype of weight: expected float32, got {dtype}"):
        load_torch_state(Linear(3, 2), STATE | {"weight": WEIGHT.astype(dtype)})


def test_tensors_that_numpy_cannot_hold_are_refused(torch) -> None:
    tensor = torch.tensor(WEIGHT)
    for odd in (
        tensor.to(torch.float8_e4m3fn),
        tensor.to("meta"),
        tensor.to_sparse(),
        tensor.to(torch.complex64),
    ):
        with pytest.raises(TypeError, match="weight: "):
            load_torch_state(Linear(3, 2), {"weight": odd, "bias": torch.zeros(2)})


def test_parameters_that_require_gradients_are_taken(torch) -> None:
    module = torch.nn.Linear(3, 2)
    model = Linear(3, 2)
    load_torch_state(model, dict(module.named_parameters()))
    np.testing.assert_array_equal(to_numpy(model.bias.data), module.bias.detach().numpy())
    with pytest.raises(TypeError, match=r"got Linear; pass its state_dict\(\)"):
        load_torch_state(model, module)


def test_a_checkpoint_around_the_state_is_refused_with_the_remedy() -> None:
    with pytest.raises(TypeError, match=r"pass state\['model'\]"):
        load_torch_state(Linear(3, 2), {"model": STATE, "epoch": 3})


def test_the_arrays_of_the_model_stay_where_they_are() -> None:
    model = Sequential(Linear(3, 2), BatchNorm(2))
    optimizer = SGD(model.parameters(), lr=0.1)
    data = [p.data for p in model.parameters()]
    load_torch_state(model, torch_state(model))
    assert all(p.data is a for p, a in zip(model.parameters(), data, strict=True))
    optimizer.step()


def test_a_file_needs_no_pytorch(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    model = Linear(3, 2)
    save_file(STATE, tmp_path / "theirs.safetensors")
    load_torch_state(model, tmp_path / "theirs.safetensors")
    np.testing.assert_array_equal(to_numpy(model.weight.data), WEIGHT.T)
    save_torch_state(model, tmp_path / "ours.safetensors")
    for name, array in load_file(tmp_path / "ours.safetensors").items():
        np.testing.assert_array_equal(array, STATE[name])
    load_torch_state(model, tmp_path / "ours.safetensors")
    for work in (load_torch_state, save_torch_state):
        with pytest.raises(
            ImportError, match=r'w.pt needs PyTorch: pip install "minidl\[torch\]"; or use .safe'
        ):
            work(model, tmp_path / "w.pt")


def test_a_file_of_our_own_layout_is_not_taken_for_theirs(tmp_path) -> None:
    save_weights(Linear(3, 3), tmp_path / "w.safetensors")
    with pytest.raises(
        ValueError, match=r"has the layout of minidl, not of PyTorch; use minidl\.load_weights"
    ):
        load_torch_state(Linear(3, 3), tmp_path / "w.safetensors")
    save_torch_state(Linear(3, 3), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"expected minidl's own layout, got torch's; see minidl\.interop"):
        load_weights(Linear(3, 3), tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", ["w.npz", "w.onnx", "w", "w.pkl"])
def test_files_of_other_kinds_are_refused(tmp_path, name) -> None:
    for work in (load_torch_state, save_torch_state):
        with pytest.raises(ValueError, match=r"expected a file of the kind \.safetensors, \.pt"):
            work(Linear(3, 2), tmp_path / name)
    assert not list(tmp_path.iterdir())


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_pickle_under_the_right_name_runs_nothing(torch, tmp_path) -> None:
    path, trap = tmp_path / "w.pt", tmp_path / "sprung"
    torch.save({"weight": Trap(str(trap))}, path)
    with pytest.raises(ValueError, match=r"w\.pt: expected what torch\.save.* writes, but it is damaged"):
        load_torch_state(Linear(3, 2), path)
    path.write_bytes(pickle.dumps({"weight": Trap(str(trap))}, protocol=2))
    with pytest.raises(ValueError, match="damaged or holds more than tensors"):
        load_torch_state(Linear(3, 2), path)
    assert not trap.exists()


def test_damaged_and_other_files_are_refused(torch, tmp_path) -> None:
    path = tmp_path / "w.pt"
    torch.save({name: torch.tensor(array) for name, array in STATE.items()}, path)
    content = path.read_bytes()
    for damaged in (
        b"",
        b"hello",
        b"PK\x03\x04abc",
        content[:100],
        content[: len(content) // 2],
        content[:-1],
    ):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged or holds more"):
            load_torch_state(Linear(3, 2), path)
    torch.save(torch.nn.Linear(3, 2), path)
    with pytest.raises(ValueError, match="damaged or holds more"):
        load_torch_state(Linear(3, 2), path)
    torch.save([torch.zeros(1)], path)
    with pytest.raises(ValueError, match=r"writes, got list"):
        load_torch_state(Linear(3, 2), path)
    (tmp_path / "w.safetensors").write_bytes(b"hello")
    with pytest.raises(ValueError, match=r"w\.safetensors"):
        load_torch_state(Linear(3, 2), tmp_path / "w.safetensors")
    for missing in ("no.pt", "no.safetensors"):
        with pytest.raises(FileNotFoundError):
            load_torch_state(Linear(3, 2), tmp_path / missing)


def test_saving_over_a_file_is_all_or_nothing(torch, tmp_path, monkeypatch) -> None:
    path, model = tmp_path / "w.pt", Linear(3, 2)
    save_torch_state(model, path)
    before = path.read_bytes()

    def fail(state, file) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr("torch.save", fail)
    with pytest.raises(OSError, match="no space left"):
        save_torch_state(model, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_load_torch_state_wants_a_state_or_a_path() -> None:
    with pytest.raises(TypeError, match="expected a state dict or a path, got list"):
        load_torch_state(Linear(3, 2), [STATE])
