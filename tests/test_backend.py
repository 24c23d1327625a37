"""The backend: which one runs and what is said where it cannot, what becomes an array, what is refused."""

import json
import logging
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy
import pytest

import minidl
from minidl import Tensor, backend, ops
from tests.either import np


def with_cupy(monkeypatch, outcome) -> None:
    """Let ``import cupy`` give what is said, or raise it."""

    def load(name):
        assert name == "cupy"
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(backend.importlib, "import_module", load)


NO_CUPY = ImportError("no module named cupy")
NO_GPU = SimpleNamespace(is_available=lambda: False)
GPU = SimpleNamespace(is_available=lambda: True)


@pytest.mark.parametrize("choice", ["cupi", "0", "NumPy", "gpu", " "])
def test_m30_an_unknown_backend_is_refused_with_the_list(choice):
    with pytest.raises(ValueError, match=f"MINIDL_BACKEND={choice!r}: expected one of numpy, cupy, auto$"):
        backend._choose(choice)


def test_m30_so_it_is_at_import():
    run = subprocess.run(
        [sys.executable, "-c", "import minidl"],
        env={**os.environ, "MINIDL_BACKEND": "cupi"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr.endswith("ValueError: MINIDL_BACKEND='cupi': expected one of numpy, cupy, auto\n")


def test_a_missing_cupy_names_the_package_to_install(monkeypatch):
    with_cupy(monkeypatch, NO_CUPY)
    with pytest.raises(
        ImportError, match=r'cupy: CuPy is not installed; pip install "minidl\[cuda12\]"'
    ) as e:
        backend._choose("cupy")
    assert e.value.__cause__ is NO_CUPY


def test_a_cupy_without_a_gpu_is_another_error(monkeypatch):
    with_cupy(monkeypatch, NO_GPU)
    with pytest.raises(RuntimeError, match="installed but finds no usable GPU; check that nvidia-smi lists"):
        backend._choose("cupy")


@pytest.mark.parametrize(
    ("outcome", "why"), [(NO_CUPY, "CuPy is not installed"), (NO_GPU, "finds no usable GPU")]
)
def test_auto_falls_back_and_logs_why(monkeypatch, caplog, outcome, why):
    with_cupy(monkeypatch, outcome)
    with caplog.at_level(logging.WARNING, "minidl"):
        assert backend._choose("auto") == (numpy, "numpy")
    (record,) = caplog.records
    assert record.name == "minidl"
    assert "MINIDL_BACKEND=auto: falling back to NumPy" in record.getMessage()
    assert why in record.getMessage()


@pytest.mark.parametrize("choice", ["auto", "cupy"])
def test_a_gpu_is_used_where_there_is_one(monkeypatch, choice):
    with_cupy(monkeypatch, GPU)
    assert backend._choose(choice) == (GPU, "cupy")


def test_numpy_is_the_default_and_cupy_is_not_imported_for_it():
    assert backend._choose("numpy") == (numpy, "numpy")
    code = "import sys, minidl; print(minidl.backend.name, 'cupy' in sys.modules)"
    environment = {k: v for k, v in os.environ.items() if k != "MINIDL_BACKEND"}
    for extra in ({}, {"MINIDL_BACKEND": ""}):
        run = subprocess.run(
            [sys.executable, "-c", code],
            env={**environment, **extra},
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout == "numpy False\n"


@pytest.mark.parametrize(
    ("given", "dtype", "expected"),
    [
        ([1.0, 2.0], None, "float32"),
        (1.5, None, "float32"),
        ([[1.0], [2.0]], "float64", "float64"),
        ([1, 2], None, "int64"),
        ([True], None, "bool"),
        ([1, 2], "float16", "float16"),
        (np.ones(2), None, "float64"),
        (np.float64(1.0), None, "float64"),
        (np.ones(2, "float16"), None, "float16"),
        (np.ones(2, "float32"), "float64", "float64"),
        (np.arange(3, dtype="uint8"), None, "uint8"),
        (Tensor(np.ones(2)), None, "float64"),
        ((np.float32(1), 2.0), None, "float32"),
    ],
)
def test_asarray_keeps_the_dtype_of_arrays_and_makes_python_floats_float32(given, dtype, expected):
    array = minidl.asarray(given, dtype)
    assert type(array) is np.ndarray
    assert array.dtype == expected


def test_asarray_copies_only_where_it_must():
    x = np.ones(3)
    assert minidl.asarray(x) is x
    assert minidl.to_numpy(x) is x
    assert minidl.asarray(x, "float32") is not x


def test_a_seed_repeats_what_the_default_generator_draws():
    minidl.seed(7)
    first = backend.generator().normal(size=3)
    minidl.seed(7)
    np.testing.assert_array_equal(backend.generator().normal(size=3), first)
    own = np.random.default_rng(0)
    assert backend.generator(own) is own
    assert backend.draw_seed(3) == backend.draw_seed(3) != backend.draw_seed(4)


def test_layers_of_one_seed_start_equal_and_others_do_not():
    a, b, c = (minidl.Linear(4, 3, seed=s).weight.data for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


def test_random_lanes_depend_on_seed_and_counter_alone():
    lanes = backend.random_lanes(5, 1, 10)
    assert (lanes.dtype, lanes.shape) == ("<u2", (10,))
    np.testing.assert_array_equal(backend.random_lanes(5, 1, 7), lanes[:7])
    assert (backend.random_lanes(5, 2, 10) != lanes).any()
    assert backend.random_lanes(5, 2, 0).size == 0


def test_channels_move_and_come_back():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    y = minidl.channels_last(x)
    assert y.shape == (2, 4, 5, 3)
    assert y.flags.c_contiguous
    np.testing.assert_array_equal(minidl.channels_first(y), x)
    for move in (minidl.channels_first, minidl.channels_last):
        with pytest.raises(
            ValueError, match=rf"{move.__name__}: expected at least 3 axes, got shape \(2, 3\)"
        ):
            move(np.ones((2, 3)))
        with pytest.raises(TypeError, match=f"{move.__name__}: expected an array, got list"):
            move([[[1]]])


def test_copy_into_keeps_the_array_that_is_there():
    x = np.zeros(3, "float32")
    backend.copy_into(x, [1, 2, 3])
    assert x.tolist() == [1, 2, 3]
    minidl.synchronize()  # nothing to wait for


class DeviceArray:
    """What an array of the other backend looks like from outside."""

    shape = (2,)
    dtype = np.dtype("float32")

    def get(self):
        return np.array([3.0, 4.0], "float32")


DeviceArray.__module__ = "cupy._core.core"
DeviceArray.__name__ = "ndarray"


@pytest.mark.parametrize(
    "use",
    [
        ops.relu,
        ops.flatten,
        lambda x: ops.add(np.ones(2), x),
        lambda x: Tensor(np.ones(2)) * x,
        lambda x: minidl.ReLU().forward(x),
        lambda x: minidl.Linear(2, 3).forward(x),
        lambda x: minidl.Sequential(minidl.Linear(2, 3)).forward(x),
        lambda x: (Tensor(np.ones(2), requires_grad=True) * 2).backward(x),
        lambda x: minidl.functional.softmax(x),
    ],
)
def test_an_array_of_the_other_backend_is_refused_by_name(use):
    with pytest.raises(
        TypeError,
        match=r"of numpy, got cupy.ndarray \(MINIDL_BACKEND=numpy\); convert it with minidl.asarray\(x\)",
    ):
        use(DeviceArray())


def test_only_asarray_and_tensor_convert_it():
    for array in (minidl.asarray(DeviceArray()), minidl.to_numpy(DeviceArray()), Tensor(DeviceArray()).data):
        assert type(array) is np.ndarray
        assert array.tolist() == [3, 4]


@pytest.mark.parametrize(("labels", "bad"), [([0, 3, 1], 3), ([-1, 0], -1)])
@pytest.mark.usefixtures("costly_checks")
def test_labels_out_of_range_are_refused_with_the_range(labels, bad):
    with pytest.raises(ValueError, match=rf"op: expected labels from 0 to 2, got {bad}; labels to leave out"):
        backend.check_labels(np.array(labels), 3, "op")
    assert backend.check_labels(np.array([0, 2]), 3, "op").all()


def test_checks_name_their_owner():
    with pytest.raises(ValueError, match=r"op: expected shape \(2,\), got \(3,\)"):
        backend.check_shape(np.ones(3), (2,), "op")
    assert backend.check_axis(-1, 3, "op") == 2


def test_the_default_generator_is_drawn_anew_for_each_process():
    code = "from minidl import backend; print(backend.generator().integers(2**62))"
    drawn = {subprocess.check_output([sys.executable, "-c", code]) for _ in range(2)}
    assert len(drawn) == 2


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_the_state_of_a_generator_survives_json(kind) -> None:
    rng = np.random.Generator(getattr(np.random, kind)(3))
    rng.integers(9, size=5, dtype=np.uint32)  # an odd number of halves
    state = json.loads(json.dumps(backend.generator_state(rng)))
    expected = rng.random(700)
    other = np.random.Generator(getattr(np.random, kind)(4))
    backend.load_generator_state(state, other)
    np.testing.assert_array_equal(other.random(700), expected)


def test_the_default_generator_goes_on_from_its_state() -> None:
    backend.seed(1)
    state = backend.generator_state()
    expected = backend.generator().random(3)
    backend.seed(2)
    backend.load_generator_state(state)
    np.testing.assert_array_equal(backend.generator().random(3), expected)


def test_the_state_of_another_kind_of_generator_is_refused() -> None:
    state = backend.generator_state(np.random.Generator(np.random.MT19937(0)))
    with pytest.raises(ValueError, match="generator: expected the state of a PCG64, got one of MT19937"):
        backend.load_generator_state(state)
    with pytest.raises(ValueError, match="got one of None"):
        backend.load_generator_state({})


@pytest.mark.parametrize("n", [3, np.int64(3), np.uint8(3)])
def test_a_seed_is_its_number_whatever_counts_it(n) -> None:
    assert backend.draw_seed(n) == backend.draw_seed(3)


@pytest.mark.parametrize(
    ("n", "error", "message"),
    [
        ("a", TypeError, r"seed: expected an int, a numpy.random.Generator or None, got str"),
        (True, TypeError, r"seed: expected an int, a numpy.random.Generator or None, got bool"),
        (1.0, TypeError, r"seed: expected an int, .* got float"),
        (np.random.RandomState(0), TypeError, r"got RandomState; use numpy.random.default_rng"),
        (-1, ValueError, r"seed: expected an int of at least 0, got -1"),
    ],
)
def test_what_is_no_seed_is_refused_and_changes_nothing(n, error, message) -> None:
    minidl.seed(1)
    for use in (minidl.seed, backend.generator, lambda seed: minidl.Linear(3, 2, seed=seed)):
        with pytest.raises(error, match=message):
            use(n)
    assert backend.draw_seed() == backend.draw_seed(1)


@pytest.mark.parametrize(
    ("given", "got"),
    [
        (None, "NoneType"),
        ("a", "str"),
        (b"1", "bytes"),
        (["a", "b"], "list"),
        ([1, None], "list"),
        ({"x": 1}, "dict"),
        (np.array([None]), "ndarray"),
        (np.array(["a"]), "ndarray"),
        (np.array(["2026-11-21"], "datetime64[D]"), "ndarray"),
    ],
)
def test_asarray_refuses_what_holds_no_numbers(given, got) -> None:
    with pytest.raises(TypeError, match=rf"asarray: expected an array or numbers, got {got}"):
        minidl.asarray(given)


def test_asarray_takes_no_word_for_a_number() -> None:
    for given in (None, "1.5", b"1"):
        with pytest.raises(TypeError, match="asarray: expected an array or numbers, got"):
            minidl.asarray(given, "float32")
    with pytest.raises(TypeError, match="asarray: expected an array or numbers"):
        Tensor(None)


@pytest.mark.parametrize(
    ("value", "debug"),
    [("", False), ("0", False), ("false", False), ("1", True), ("true", True), ("TRUE", True)],
)
def test_the_debug_mode_reads_its_variable(value, debug) -> None:
    assert backend._read_debug(value) is debug


def test_any_other_value_of_the_debug_variable_is_refused() -> None:
    for value in ("yes", "2", "on"):
        with pytest.raises(ValueError, match=rf"MINIDL_DEBUG='{value}': expected 1 or true, or 0 or false"):
            backend._read_debug(value)
    done = subprocess.run(
        [sys.executable, "-c", "from minidl.backend import DEBUG; print(DEBUG)"],
        env={**os.environ, "MINIDL_DEBUG": "false"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"


def test_floats_in_the_byte_order_of_another_machine_are_refused_with_their_own_dtype():
    for dtype in ("f4", "f8"):
        x = np.zeros(3, np.dtype(dtype).newbyteorder())
        native = np.dtype(dtype).name
        with pytest.raises(
            TypeError, match=rf'relu: expected .* byte order .*; use minidl.asarray\(x, "{native}"\)'
        ):
            ops.relu(x)
