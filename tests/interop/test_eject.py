"""A script that was written out computes what the model does, on a machine that has NumPy and little else."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import layers, optim
from minidl.backend import asarray, to_numpy
from minidl.interop import eject
from minidl.interop.numpy_script.sources import FUNCTIONS
from minidl.interop.numpy_script.table import CONTAINERS, RECURRENT, RULES
from tests import examples

IMAGES, STEPS, ROWS = (3, 8, 7, 4), (3, 5, 4), (6, 4)
BARE = """
import runpy, sys

class Refusing:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top != "numpy" and top not in sys.stdlib_module_names:
            raise ImportError(f"{name}: there is nothing but NumPy here")

sys.meta_path.insert(0, Refusing())
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def start(script: Path) -> subprocess.CompletedProcess:
    """Run a script in its own folder, where nothing but NumPy can be imported."""
    return subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", BARE, script.name],
        cwd=script.parent,
        capture_output=True,
        text=True,
    )


def written(
    folder: Path, model: minidl.Layer, x: Any, **options: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write a model out; return the names of its script, and the weights that lie beside it."""
    path = folder / "net.py"
    eject(model, path, x, **options)
    names: dict[str, Any] = {"__name__": "net", "__file__": str(path)}
    exec(compile(path.read_text(encoding="utf-8"), "net.py", "exec"), names)
    return names, names["load"]()[0]


def drawn(shape: tuple[int, ...], seed: int = 0, dtype: Any = "float64") -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def settled(layer: minidl.Layer) -> minidl.Layer:
    """A layer in float64 whose parameters and statistics are none of those that it begins with."""
    rng = np.random.default_rng(7)
    layer.astype("float64")
    for parameter in layer.parameters():
        parameter.data = to_numpy(parameter.data) + 0.3 * rng.standard_normal(parameter.shape)
    for path, buffer in layer.buffers():
        if "running" in path:
            buffer.data = asarray(rng.uniform(0.5, 2.0, buffer.data.shape))
    return layer


Conv, MaxPool, AvgPool = minidl.Conv, minidl.MaxPool, minidl.AvgPool
CASES = {
    "linear": (minidl.Linear(4, 3), ROWS),
    "linear without bias on steps": (minidl.Linear(4, 3, bias=False), STEPS),
    "conv": (Conv(4, 6, kernel_size=3), IMAGES),
    "conv, strided, grouped": (Conv(4, 6, kernel_size=(3, 2), stride=(2, 1), padding=1, groups=2), IMAGES),
    "conv, dilated, no bias": (Conv(4, 2, 3, padding=((2, 1), (0, 3)), dilation=2, bias=False), IMAGES),
    "conv, same": (Conv(4, 2, kernel_size=4, stride=3, padding="same"), IMAGES),
    "conv, valid": (Conv(4, 2, kernel_size=1, padding="valid", groups=1), IMAGES),
    "conv of one axis": (Conv(4, 2, kernel_size=(3,), padding="same"), STEPS),
    "conv of three axes": (Conv(2, 3, kernel_size=(2, 3, 2), stride=2, padding=1), (2, 5, 4, 3, 2)),
    "max pool": (MaxPool(2), IMAGES),
    "max pool, overlapping": (MaxPool(3, stride=2, padding=1, dilation=2), IMAGES),
    "avg pool": (AvgPool((2, 3), stride=1, padding=1), IMAGES),
    "avg pool without padding": (AvgPool(3, stride=2, padding=1, count_include_pad=False), IMAGES),
    "avg pool of one axis": (AvgPool(2), STEPS),
    "global avg pool": (minidl.GlobalAvgPool(), IMAGES),
    "global max pool": (minidl.GlobalMaxPool(), IMAGES),
    "batch norm": (minidl.BatchNorm(4, eps=1e-3), IMAGES),
    "batch norm of rows": (minidl.BatchNorm(4), ROWS),
    "layer norm": (minidl.LayerNorm(4), STEPS),
    "layer norm over two axes": (minidl.LayerNorm((5, 4), eps=1e-3), STEPS),
    "group norm": (minidl.GroupNorm(2, 4), IMAGES),
    "group norm of rows": (minidl.GroupNorm(2, 4), ROWS),
    "instance norm": (minidl.InstanceNorm(4), IMAGES),
    "rms norm": (minidl.RMSNorm(4), STEPS),
    "rms norm over two axes": (minidl.RMSNorm((5, 4)), STEPS),
    "dropout": (minidl.Dropout(0.9), ROWS),
    "identity": (minidl.Identity(), ROWS),
    "flatten": (minidl.Flatten(), IMAGES),
    "reshape": (minidl.Reshape((2, -1)), ROWS),
    "learned positions": (minidl.LearnedPositions(9, 4), STEPS),
    "sinusoidal positions": (minidl.SinusoidalPositions(base=50.0), STEPS),
    "rotary positions": (minidl.RotaryPositions(), STEPS),
    "relu": (minidl.ReLU(), ROWS),
    "sigmoid": (minidl.Sigmoid(), ROWS),
    "tanh": (minidl.Tanh(), ROWS),
    "softmax": (minidl.Softmax(), ROWS),
    "softmax along another axis": (minidl.Softmax(axis=1), STEPS),
    "log softmax": (minidl.LogSoftmax(axis=-2), STEPS),
    "softmin": (minidl.Softmin(), ROWS),
    "glu": (minidl.GLU(), ROWS),
    "leaky relu": (minidl.LeakyReLU(0.2), ROWS),
    "prelu": (minidl.PReLU(), ROWS),
    "prelu of channels": (minidl.PReLU(4), IMAGES),
    "relu6": (minidl.ReLU6(), ROWS),
    "hard tanh": (minidl.HardTanh(-0.5, 0.7), ROWS),
    "hard sigmoid": (minidl.HardSigmoid(), ROWS),
    "hard swish": (minidl.HardSwish(), ROWS),
    "elu": (minidl.ELU(0.7), ROWS),
    "celu": (minidl.CELU(0.7), ROWS),
    "selu": (minidl.SELU(), ROWS),
    "gelu": (minidl.GELU(), ROWS),
    "gelu by tanh": (minidl.GELU("tanh"), ROWS),
    "silu": (minidl.SiLU(), ROWS),
    "mish": (minidl.Mish(), ROWS),
    "softplus": (minidl.Softplus(2.0), ROWS),
    "softsign": (minidl.Softsign(), ROWS),
    "residual": (minidl.Residual(minidl.Sequential(minidl.Tanh(), minidl.Linear(4, 4))), ROWS),
    "residual with a shortcut": (minidl.Residual(minidl.Linear(4, 2), minidl.Linear(4, 2)), ROWS),
    "parallel": (minidl.Parallel(minidl.Linear(4, 2), minidl.Tanh(), minidl.Linear(4, 1)), ROWS),
    "parallel, added": (minidl.Parallel(minidl.Identity(), minidl.Tanh(), merge="add"), ROWS),
    "one branch": (minidl.Parallel(minidl.Linear(4, 2)), ROWS),
    "nothing": (minidl.Sequential(), ROWS),
}
FORWARD_ONLY = {
    "rnn": (minidl.RNN(4, 3, nonlinearity="relu"), STEPS),
    "lstm": (minidl.LSTM(4, 3, num_layers=2, bidirectional=True), STEPS),
    "gru": (minidl.GRU(4, 3, bias=False), STEPS),
    "attention": (minidl.MultiHeadAttention(4, 2), STEPS),
    "causal, rotary attention": (
        minidl.MultiHeadAttention(4, 2, causal=True, rotary=True, bias=False),
        STEPS,
    ),
    "transformer": (minidl.TransformerEncoderLayer(4, 2, hidden_features=6), STEPS),
    "transformer, norms first": (
        minidl.TransformerEncoderLayer(4, 2, hidden_features=6, activation="gelu", norm_first=True),
        STEPS,
    ),
}


def test_every_layer_of_the_tables_has_a_case() -> None:
    met = {type(part) for layer, _ in (CASES | FORWARD_ONLY).values() for _, part in layer.named_layers()}
    assert {*RULES, *RECURRENT, *CONTAINERS, layers.GELU} - met == {layers.Embedding}


@pytest.mark.parametrize("case", CASES)
def test_output_and_gradients_of_other_inputs_are_those_of_the_layer(tmp_path, case) -> None:
    layer, shape = CASES[case]
    layer = settled(layer)
    names, p = written(tmp_path, layer, drawn(shape), backward=True)
    x = 2 * drawn((2, *shape[1:]), seed=1)
    y, kept = names["forward"](x, p)
    layer.eval()
    expected, pullback = layer.vjp(asarray(x))
    np.testing.assert_allclose(y, to_numpy(expected), rtol=1e-11, atol=1e-12)
    dy = drawn(y.shape, seed=2)
    dx, g = names["backward"](dy, kept, p)
    expected_dx, pairs = pullback(asarray(dy))
    np.testing.assert_allclose(dx, to_numpy(expected_dx), rtol=1e-9, atol=1e-10)
    paths = {id(parameter): path for path, parameter in layer.named_parameters()}
    assert g.keys() == {paths[id(parameter)] for parameter, _ in pairs}
    for parameter, gradient in pairs:
        assert g[paths[id(parameter)]].shape == gradient.shape
        np.testing.assert_allclose(g[paths[id(parameter)]], to_numpy(gradient), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("case", FORWARD_ONLY)
def test_the_output_of_sequence_layers_is_theirs_and_a_backward_is_refused(tmp_path, case) -> None:
    layer, shape = FORWARD_ONLY[case]
    layer = settled(layer)
    names, p = written(tmp_path, layer, drawn(shape))
    x = 2 * drawn((2, 7, shape[2]), seed=1)
    np.testing.assert_allclose(
        names["forward"](x, p), to_numpy(layer.predict(asarray(x))), rtol=1e-11, atol=1e-12
    )
    with pytest.raises(ValueError, match=r"eject: .* can be written without a backward only: backward=False"):
        eject(layer, tmp_path / "net.py", drawn(shape), backward=True)


@pytest.mark.parametrize("case", [*CASES, *FORWARD_ONLY])
def test_single_precision_stays_single(tmp_path, case) -> None:
    layer, shape = (CASES | FORWARD_ONLY)[case]
    layer.astype("float32")
    x = drawn(shape, dtype="float32")
    names, p = written(tmp_path, layer, x, backward=case in CASES)
    names.update(FUNCTIONS)  # those that the script's are copies of
    y = names["forward"](x, p)
    if case not in CASES:
        assert y.dtype == np.float32
        return
    assert y[0].dtype == np.float32
    dx, g = names["backward"](y[0], y[1], p)
    assert {dx.dtype, *(gradient.dtype for gradient in g.values())} == {np.dtype("float32")}


def drawn_layer(data: st.DataObject, channels: int, depth: int = 0) -> minidl.Layer:
    """A layer of images that keeps their shape."""
    plain = {
        "conv": lambda: Conv(
            channels, channels, 3, padding="same", groups=data.draw(st.sampled_from([1, channels]))
        ),
        "dense": lambda: minidl.Linear(channels, channels, bias=data.draw(st.booleans())),
        "norm": lambda: data.draw(
            st.sampled_from([minidl.BatchNorm, minidl.LayerNorm, minidl.RMSNorm, minidl.InstanceNorm])
        )(channels),
        "smooth": lambda: data.draw(
            st.sampled_from([minidl.Tanh, minidl.GELU, minidl.SiLU, minidl.Softmax])
        )(),
        "pool": lambda: AvgPool(3, stride=1, padding=1),
        "dropout": lambda: minidl.Dropout(0.5),
    }
    nested = {
        "chain": lambda: minidl.Sequential([drawn_layer(data, channels, depth + 1) for _ in range(2)]),
        "residual": lambda: minidl.Residual(drawn_layer(data, channels, depth + 1)),
        "parallel": lambda: minidl.Parallel(
            *[drawn_layer(data, channels, depth + 1) for _ in range(2)], merge="add"
        ),
    }
    return data.draw(st.sampled_from([*plain.values(), *(nested.values() if depth < 2 else ())]))()


@given(st.data())
def test_drawn_models_and_their_gradients_are_written(tmp_path_factory, data) -> None:
    channels = data.draw(st.integers(2, 3))
    body = [drawn_layer(data, channels) for _ in range(data.draw(st.integers(1, 4)))]
    shared = [body[0]] if data.draw(st.booleans()) else []
    model = minidl.Sequential(*body, *shared, minidl.GlobalAvgPool(), minidl.Linear(channels, 2))
    settled(model)
    names, p = written(tmp_path_factory.mktemp("net"), model, drawn((2, 4, 3, channels)), backward=True)
    x = drawn((3, 5, 4, channels), seed=1)  # another image size than the example's
    y, kept = names["forward"](x, p)
    np.testing.assert_allclose(y, to_numpy(model.predict(asarray(x))), rtol=1e-9, atol=1e-10)
    dx, _ = names["backward"](np.ones_like(y), kept, p)
    expected = model.eval().vjp(asarray(x))[1](asarray(np.ones_like(y)))[0]
    np.testing.assert_allclose(dx, to_numpy(expected), rtol=1e-7, atol=1e-9)


def digits_net(seed: int) -> minidl.Sequential:
    return minidl.Sequential(
        Conv(1, 4, kernel_size=3, padding="same", bias=False, seed=seed),
        minidl.BatchNorm(4),
        minidl.ReLU(),
        minidl.Residual(minidl.Sequential(Conv(4, 4, kernel_size=3, padding=1, seed=seed), minidl.ReLU())),
        MaxPool(2),
        minidl.Flatten(),
        minidl.Dropout(0.5),
        minidl.Linear(64, 10, seed=seed),
    )


def reader(seed: int) -> minidl.Sequential:
    return minidl.Sequential(
        minidl.Embedding(11, 8, padding_idx=0, seed=seed),
        minidl.SinusoidalPositions(),
        minidl.TransformerEncoderLayer(8, 2, hidden_features=16, seed=seed),
        minidl.LSTM(8, 5, bidirectional=True, seed=seed),
        minidl.Linear(10, 3, seed=seed),
        minidl.LogSoftmax(),
    )


def bag_of_words(seed: int) -> minidl.Sequential:
    table = minidl.Embedding(11, 6, padding_idx=2, seed=seed)
    return minidl.Sequential(table, minidl.LayerNorm(6), minidl.Flatten(), minidl.Linear(36, 3, seed=seed))


NETS = {
    "digits": (digits_net, drawn((4, 8, 8, 1), dtype="float32"), True),
    "reader": (reader, None, False),
    "words": (bag_of_words, None, True),
    "mlp": (
        lambda seed: minidl.Sequential(minidl.Linear(4, 8), minidl.GELU(), minidl.Linear(8, 2)),
        None,
        True,
    ),
}


@pytest.mark.parametrize("net", NETS)
def test_a_script_runs_where_there_is_nothing_but_numpy_and_proves_itself(tmp_path, net) -> None:
    make, x, backward = NETS[net]
    eject(make(3), tmp_path / "net.py", x, backward=backward)
    result = start(tmp_path / "net.py")
    assert result.returncode == 0, result.stderr
    first, *_, last = result.stdout.splitlines()
    assert first.startswith("y: largest difference ")
    assert last == "ok: all within 0.0001"
    assert ("g/" in result.stdout) == backward
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.npz", "net.py"]


@pytest.mark.parametrize("altered", ["a weight", "the mathematics", "a gradient"])
def test_a_script_that_computes_something_else_says_so_and_fails(tmp_path, altered) -> None:
    path = tmp_path / "net.py"
    eject(digits_net(3), path, NETS["digits"][1], backward=True)
    if altered == "a weight":
        with np.load(path.with_suffix(".npz")) as file:
            arrays = dict(file)
        arrays["p/7.weight"][0, 0] += 0.1
        np.savez(path.with_suffix(".npz"), **arrays)
    else:
        old, new = {
            "the mathematics": ("maximum(x, 0)", "maximum(x, -0.01)"),
            "a gradient": ("y > 0", "y > 0.1"),
        }[altered]
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
    result = start(path)
    assert result.returncode == 1, result.stderr
    assert "WRONG: expected all within 0.0001" in result.stdout


@pytest.mark.parametrize(("name", "size"), [("digits", 8), ("resnet_digits", 8), ("mnist", 28)])
def test_the_models_of_the_examples_are_written_with_their_gradients(tmp_path, name, size) -> None:
    model = examples.load(name).build(seed=1)
    x = np.random.default_rng(2).random((9, size, size, 1), dtype=np.float32)
    names, p = written(tmp_path, model, x, backward=True)
    np.testing.assert_allclose(
        names["forward"](x, p)[0], to_numpy(model.predict(asarray(x))), rtol=1e-4, atol=1e-5
    )
    with np.load(tmp_path / "net.npz") as file:
        assert file["x"].shape == (4, size, size, 1)


def test_a_script_names_no_other_module_and_its_weights_are_no_pickle(tmp_path) -> None:
    eject(digits_net(0), tmp_path / "net.py", NETS["digits"][1], backward=True)
    tree = ast.parse((tmp_path / "net.py").read_text())
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    named |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert named == {"__future__", "math", "sys", "pathlib", "numpy"}
    with np.load(tmp_path / "net.npz", allow_pickle=False) as file:
        assert {"x", "y", "dy", "dx", "p/0.weight", "g/0.weight"} <= {*file.files}


def test_a_script_has_only_what_it_needs_and_short_lines(tmp_path) -> None:
    eject(digits_net(0), tmp_path / "net.py", NETS["digits"][1], backward=True)
    text = (tmp_path / "net.py").read_text()
    made = {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    assert {"forward", "backward", "conv", "relu", "max_pool"} <= made
    assert not made & {"softmax", "avg_pool", "lstm", "sigmoid"}
    assert max(map(len, text.splitlines())) <= 120
    assert "# 0: Conv(1, 4, kernel_size=3, padding='same', bias=False): (N, 8, 8, 1) to (N, 8, 8, 4)" in text


def test_every_part_is_used_by_some_script() -> None:
    called = {rule.function for rule in RULES.values()} | {
        *RECURRENT.values(),
        "gelu",
        "gelu_tanh",
        "sgd",
        "adam",
    }
    loose = {name for name in FUNCTIONS if name.removesuffix("_backward") not in called}
    helpers = {
        "reshape_backward",
        "pads",
        "windows",
        "padded",
        "scattered",
        "pool_counts",
        "erf",
        "recurrent",
    }
    assert loose - helpers == {"standardize", "standardize_backward", "angles"}


def test_training_goes_on_without_minidl(tmp_path) -> None:
    for update, make in (
        ("sgd", lambda p: optim.SGD(p, lr=0.05)),
        ("adam", lambda p: optim.Adam(p, lr=0.05)),
    ):
        model = settled(minidl.Sequential(minidl.Linear(4, 8), minidl.Tanh(), minidl.Linear(8, 3)))
        names, p = written(tmp_path, model, None, backward=True)
        names.update(FUNCTIONS)
        optimizer, criterion, state = make(model.parameters()), minidl.CrossEntropy(), {}
        x, labels = drawn((9, 4), seed=5), np.arange(9) % 3
        for _ in range(4):
            criterion.forward(model.forward(asarray(x)), asarray(labels))
            model.backward(criterion.backward())
            optimizer.step()
            optimizer.zero_grad()
            logits, kept = names["forward"](x, p)
            e = np.exp(logits - logits.max(axis=1, keepdims=True))
            _, g = names["backward"]((e / e.sum(axis=1, keepdims=True) - np.eye(3)[labels]) / 9, kept, p)
            names[update](p, g, **({"state": state} if update == "adam" else {}), lr=0.05)
        for path, parameter in model.named_parameters():
            np.testing.assert_allclose(p[path], to_numpy(parameter.data), rtol=1e-9, atol=1e-11)


def test_a_shared_layer_has_one_weight_and_the_sum_of_its_gradients(tmp_path) -> None:
    shared = minidl.Linear(4, 4)
    model = settled(minidl.Sequential(shared, minidl.Tanh(), shared, minidl.Residual(shared)))
    _, p = written(tmp_path, model, None, backward=True)  # which compares the gradients
    assert p.keys() == {"0.weight", "0.bias"}


def test_two_tables_side_by_side_have_no_gradient_of_their_words(tmp_path) -> None:
    for merge in ("add", "concat"):
        tables = minidl.Parallel(minidl.Embedding(9, 3), minidl.Embedding(9, 3), merge=merge)
        names, p = written(tmp_path, tables, None, backward=True)
        y, kept = names["forward"](np.array([[1, 8]]), p)
        dx, g = names["backward"](y, kept, p)
        assert dx is None
        assert g.keys() == {"0.weight", "1.weight"}


def test_nothing_is_written_that_differs_from_the_model(tmp_path) -> None:
    layer = minidl.Linear(4, 3, seed=0)
    layer.predict = lambda x: minidl.Linear.predict(layer, x) + 0.01
    with pytest.raises(
        ValueError, match=r"nothing was written, as the script would differ .* \{'y': .*another one"
    ):
        eject(layer, tmp_path / "net.py")
    assert list(tmp_path.iterdir()) == []


def test_a_frozen_layer_has_no_gradient(tmp_path) -> None:
    model = minidl.Sequential(minidl.Linear(4, 4).freeze(), minidl.Linear(4, 2))
    names, p = written(tmp_path, model, None, backward=True)
    y, kept = names["forward"](drawn(ROWS, dtype="float32"), p)
    assert names["backward"](y, kept, p)[1].keys() == {"1.weight", "1.bias"}


def test_the_model_is_written_as_it_evaluates_and_stays_as_it_is(tmp_path) -> None:
    model = minidl.Sequential(minidl.Linear(4, 3), minidl.BatchNorm(3), minidl.Dropout())
    model[1].eval()
    before = model.state()
    eject(model, tmp_path / "net.py", backward=True)
    assert [layer.training for _, layer in model.named_layers()] == [True, True, False, True]
    for name, array in model.state().items():
        np.testing.assert_array_equal(to_numpy(array), to_numpy(before[name]))


def test_a_class_of_ones_own_is_written_if_it_keeps_the_mathematics(tmp_path) -> None:
    class Net(minidl.Sequential):
        def __init__(self) -> None:
            super().__init__(minidl.Linear(4, 3), minidl.ReLU())

    class Doubled(minidl.Linear):
        def vjp(self, x):
            return super().vjp(2 * x)

    eject(Net(), tmp_path / "net.py")
    with pytest.raises(
        ValueError, match=r"eject: Doubled cannot be written as plain NumPy; these can: AvgPool"
    ):
        eject(Doubled(4, 3), tmp_path / "other.py")
    assert not (tmp_path / "other.py").exists()


@pytest.mark.parametrize(
    ("model", "example", "message"),
    [
        (minidl.Upsample(2), drawn(IMAGES), r"eject: Upsample cannot be written as plain NumPy; these can: "),
        (minidl.Function(lambda x: x), drawn(ROWS), r"eject: Function cannot be written"),
        (MaxPool(2, ceil_mode=True), drawn(IMAGES), r"ceil_mode=True\) .* cannot be written; pad the input"),
        (
            Conv(4, 2, 3),
            None,
            r"as Conv does not tell the shape of its input; eject\(model, path, example=x\)",
        ),
        (minidl.Sequential(), None, r"does not tell the shape"),
        (minidl.Linear(4, 2), drawn((0, 4), dtype="float32"), r"one sample at least, got \(0, 4\)"),
        (minidl.Linear(4, 2), 3.0, r"one sample at least, got \(\)"),
        (minidl.Linear(4, 2).astype("float16"), None, r"gives float32 or float64, got float16"),
    ],
)
def test_what_cannot_be_written_is_named_and_nothing_is(tmp_path, model, example, message) -> None:
    with pytest.raises(ValueError, match=message):
        eject(model, tmp_path / "net.py", example)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["net", "net.txt", "my-net.py", "3.py", "class.py"])
def test_a_script_has_a_name_that_can_be_imported(tmp_path, name) -> None:
    with pytest.raises(ValueError, match=r"eject: expected a path such as model\.py, which can be imported"):
        eject(minidl.Linear(4, 2), tmp_path / name)


@pytest.mark.parametrize("name", ["numpy.py", "pathlib.py", "io.py"])
def test_a_script_does_not_hide_a_module_that_it_needs(tmp_path, name) -> None:
    with pytest.raises(ValueError, match=rf"got {name}, which would hide Python's module of that name"):
        eject(minidl.Linear(4, 2), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("folder", "file"), [("net.py", "net.npz"), ("net.npz", "net.py")])
def test_where_one_of_the_two_files_cannot_be_written_the_other_stays(tmp_path, folder, file) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / file).write_text("old")
    with pytest.raises(IsADirectoryError, match=rf"{folder}: expected a file, got a folder"):
        eject(minidl.Linear(4, 2), tmp_path / "net.py")
    assert (tmp_path / file).read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_no_layer_is_refused(tmp_path) -> None:
    with pytest.raises(TypeError, match="eject: expected a layer, got dict"):
        eject({}, tmp_path / "net.py")


@pytest.mark.parametrize(
    "model",
    [
        minidl.Residual(minidl.Linear(4, 4)),
        minidl.Parallel(minidl.Sequential(minidl.Residual(minidl.LSTM(4, 4)))),
        minidl.MultiHeadAttention(4, 2),
    ],
)
def test_an_example_is_drawn_where_the_first_layer_tells_its_shape(tmp_path, model) -> None:
    eject(model, tmp_path / "net.py")


def test_names_and_reprs_cannot_become_statements(tmp_path) -> None:
    class Keyed(minidl.Sequential):
        def children(self):
            yield from ((f'a"]; raise SystemExit("{i}\\n', layer) for i, layer in enumerate(self.layers))

        def extra_repr(self) -> str:
            return "\nraise SystemExit\n"

    class Sneaky(minidl.ReLU):
        def extra_repr(self) -> str:
            return "\nraise SystemExit\n\u2028raise SystemExit"

    model = Keyed(minidl.Linear(4, 3), Sneaky(), minidl.Linear(3, 2))
    names, p = written(tmp_path, model, None, backward=True)
    x = drawn(ROWS, dtype="float32")
    np.testing.assert_allclose(names["forward"](x, p)[0], to_numpy(model.predict(asarray(x))), rtol=1e-5)


def test_an_example_near_an_overflow_is_told_of(tmp_path) -> None:
    layer = minidl.Linear(4, 3)
    layer.bias.data = [np.nan, np.inf, -np.inf]
    eject(layer, tmp_path / "net.py")
    assert start(tmp_path / "net.py").returncode == 0
