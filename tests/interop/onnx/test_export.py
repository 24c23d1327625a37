"""What ``to_onnx`` refuses, and in which words; what it leaves behind when it does."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minidl import functional as F
from minidl import layers
from minidl.interop import to_onnx
from minidl.interop.onnx import model as module
from tests.interop.onnx.running import assert_runs_alike, constants, exported, kinds, run, runtime

X = np.ones((2, 3), dtype="float32")
pytest.importorskip("onnx", reason="ONNX is not installed")


class Double(layers.Layer):
    """y = 2 x, which no table knows."""

    def vjp(self, x: Any) -> Any:
        return 2 * x, lambda dy, input_grad=True: (2 * dy, [])


def double(graph: Any, layer: Any, x: Any) -> str:
    name: str = graph.add("Add", x, x)
    return name


def test_a_function_is_refused_by_name_with_the_remedy(tmp_path: Path) -> None:
    def wave(x: Any) -> Any:
        return F.tanh(x) * x

    model = layers.Sequential(layers.Linear(3, 3), layers.Residual(layers.Function(wave)))
    expected = (
        r"expected layers that have a writer, got Function\(wave\) at 1.layer; .* writers=\{Function: f\}"
    )
    with pytest.raises(TypeError, match=expected):
        to_onnx(model, tmp_path / "model.onnx", X)
    assert list(tmp_path.iterdir()) == []


def test_a_layer_of_ones_own_is_refused_until_it_is_taught(tmp_path: Path) -> None:
    model = layers.Sequential(layers.Conv(1, 2, 2, seed=0), Double(), layers.Flatten())
    x = np.random.default_rng(0).normal(size=(3, 4, 4, 1)).astype("float32")
    with pytest.raises(TypeError, match=r"Double\(\) at 1; .*writers=\{Double: f\}"):
        to_onnx(model, tmp_path / "model.onnx", x)
    assert_runs_alike(model, tmp_path, x, writers={Double: double})


def test_a_taught_layer_may_be_made_of_others(tmp_path: Path) -> None:
    class Twice(layers.Layer):
        def __init__(self) -> None:
            self.inner = layers.Linear(3, 3, seed=0)

        def vjp(self, x: Any) -> Any:
            return self.inner.predict(self.inner.predict(x)), None

    def write(graph: Any, layer: Twice, x: Any) -> Any:
        return graph.layer(layer.inner, graph.layer(layer.inner, x))

    assert_runs_alike(layers.Sequential(Twice(), layers.ReLU()), tmp_path, X, writers={Twice: write})


def test_what_a_taught_layer_gets_from_others_has_its_channels_last(tmp_path: Path) -> None:
    class Scaled(layers.Layer):
        def __init__(self) -> None:
            self.first, self.second = layers.Conv(1, 2, 2, seed=0), layers.Conv(2, 3, 2, seed=1)
            self.scale = layers.Parameter([1.0, 2.0, 3.0], name="scale")

        def vjp(self, x: Any) -> Any:
            return self.second.predict(self.first.predict(x)) * self.scale.data, None

    def write(graph: Any, layer: Scaled, x: Any) -> str:
        y = graph.layer(layer.second, graph.layer(layer.first, x))
        name: str = graph.add("Mul", y, graph.parameter(layer.scale))
        return name

    x = np.random.default_rng(0).normal(size=(3, 4, 4, 1)).astype("float32")
    proto = assert_runs_alike(layers.Sequential(Scaled()), tmp_path, x, writers={Scaled: write})
    assert kinds(proto) == ["Transpose", "Conv", "Conv", "Transpose", "Mul"]
    assert "0.scale" in constants(proto)


def test_a_taught_layer_may_have_several_inputs_and_outputs(tmp_path: Path) -> None:
    class Swap(layers.Layer):
        def vjp(self, x: Any) -> Any:
            return (x[1], x[0] + x[1]), None

    writers = {Swap: lambda graph, layer, x: (x[1].name, graph.add("Add", *x))}
    assert_runs_alike(Swap(), tmp_path, X, 2 * X, writers=writers)


def test_a_writer_of_ones_own_goes_before_ours(tmp_path: Path) -> None:
    model = layers.Sequential(layers.ReLU())
    proto = exported(model, tmp_path, X, writers={layers.ReLU: double})
    runtime()
    np.testing.assert_array_equal(run(proto, X)[0], 2 * X)


def test_a_subclass_that_computes_something_else_is_refused(tmp_path: Path) -> None:
    class Leaky(layers.ReLU):
        def vjp(self, x: Any) -> Any:
            return x / 2, None

    class Louder(layers.Sequential):
        def predict(self, x: Any) -> Any:
            return 2 * super().predict(x)

    for model in (Leaky(), Louder(layers.ReLU())):
        with pytest.raises(
            TypeError, match=f"expected layers that have a writer, got {type(model).__name__}"
        ):
            to_onnx(model, tmp_path / "model.onnx", X)


@pytest.mark.parametrize("answer", [None, ("a", "b"), 3])
def test_a_writer_that_returns_no_name_is_named(tmp_path: Path, answer: Any) -> None:
    expected = r"expected the writer of Double\(\) to return the name of its output, got"
    with pytest.raises(TypeError, match=expected):
        to_onnx(Double(), tmp_path / "model.onnx", X, writers={Double: lambda graph, layer, x: answer})


@pytest.mark.parametrize(
    "write",
    [
        lambda graph, layer, x: "nowhere",
        lambda graph, layer, x: graph.add("Madd", x),
        lambda graph, layer, x: graph.add("Concat", x, x, axis=1),
        lambda graph, layer, x: graph.add("Cast", x, to=11),
    ],
    ids=["no such name", "no such operator", "another shape", "another dtype"],
)
def test_a_writer_that_makes_no_valid_graph_leaves_no_file(tmp_path: Path, write: Any) -> None:
    with pytest.raises(ValueError, match="expected writers that make valid ONNX, got: "):
        to_onnx(Double(), tmp_path / "model.onnx", X, writers={Double: write})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "writers", [{Double(): double}, {"Double": double}, {Double: None}, {int: double}, [Double]]
)
def test_writers_are_functions_by_class(tmp_path: Path, writers: Any) -> None:
    with pytest.raises(TypeError, match=r"expected writers as \{a class of layers: a function\}, got"):
        to_onnx(Double(), tmp_path / "model.onnx", X, writers=writers)


@pytest.mark.parametrize("model", [None, layers.ReLU, lambda x: x])
def test_a_model_is_a_layer(tmp_path: Path, model: Any) -> None:
    with pytest.raises(TypeError, match="to_onnx: expected a layer, got"):
        to_onnx(model, tmp_path / "model.onnx", X)


def test_an_example_that_does_not_fit_is_refused_in_the_words_of_the_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"linear: expected \(..., 3\), got \(2, 4\)"):
        to_onnx(layers.Sequential(layers.Linear(3, 2)), tmp_path / "model.onnx", np.ones((2, 4), "float32"))
    with pytest.raises(TypeError, match=r"expected float32 like the weights, got float64"):
        to_onnx(layers.Sequential(layers.Linear(3, 2)), tmp_path / "model.onnx", np.ones((2, 3)))
    with pytest.raises(
        ValueError, match=r"expected an example \(N, ...\) of at least one number, got shape \(\)"
    ):
        to_onnx(layers.ReLU(), tmp_path / "model.onnx", np.float32(1))
    with pytest.raises(TypeError, match="expected an array or numbers, got NoneType"):
        to_onnx(layers.ReLU(), tmp_path / "model.onnx", None)


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (layers.Linear(3, 2), X[0]),
        (layers.LayerNorm((2, 3)), X),
        (layers.GLU(axis=0), X),
        (layers.LearnedPositions(2, 3), np.ones((2, 0, 3), "float32")),
    ],
    ids=["no batch", "over the batch", "half a batch", "no numbers"],
)
def test_a_model_without_a_batch_is_refused(tmp_path: Path, model: layers.Layer, example: Any) -> None:
    with pytest.raises(ValueError, match=r"to_onnx: expected .*(batches of any size|at least one number)"):
        to_onnx(model, tmp_path / "model.onnx", example)


@pytest.mark.parametrize("model", [layers.SinusoidalPositions(), layers.RotaryPositions()])
def test_positions_along_the_batch_are_refused(tmp_path: Path, model: layers.Layer) -> None:
    with pytest.raises(ValueError, match=r"expected \(N, ..., T, D\) for \w+Positions\(\), got \(3, 4\)"):
        to_onnx(model, tmp_path / "model.onnx", np.ones((3, 4), "float32"))


def test_an_example_of_many_samples_is_no_other_than_one_of_one(tmp_path: Path) -> None:
    model = layers.Sequential(layers.Reshape((4, 4, 1)), layers.Conv(1, 2, 2, seed=0), layers.Flatten())
    x = np.ones((7, 16), "float32")
    assert exported(model, tmp_path, x[:1]) == exported(model, tmp_path, x)


def test_the_order_of_bytes_and_strides_does_not_matter(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype("float32").transpose(2, 0, 1)[:, ::-1]
    assert_runs_alike(layers.Linear(4, 2, seed=0), tmp_path, x)


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    to_onnx(layers.ReLU(), path, X)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        to_onnx(layers.Sequential(Double()), path, X)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        to_onnx(layers.ReLU(), tmp_path / "none" / "model.onnx", X)


def test_weights_too_large_for_one_file_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT", 100)
    with pytest.raises(
        ValueError, match="expected weights of at most 100 bytes, which fit one file, got 144"
    ):
        to_onnx(layers.Linear(3, 9), tmp_path / "model.onnx", X)


def test_without_onnx_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'to_onnx: onnx is not installed; pip install "minidl\[onnx\]"'):
        to_onnx(layers.ReLU(), tmp_path / "model.onnx", X)


def test_minidl_is_imported_without_onnx() -> None:
    import subprocess

    code = "import sys, minidl.interop; minidl.interop.to_onnx; print('onnx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
