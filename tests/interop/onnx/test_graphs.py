"""Whole models: containers, examples, and graphs no larger than they need to be."""

import inspect
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import layers
from minidl.backend import asarray, to_numpy
from tests.examples import FOLDER, load
from tests.interop.onnx.running import assert_runs_alike, constants, exported, kinds

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(5, 8, 8, 1)).astype("float32")

EXAMPLES = sorted(p.stem for p in FOLDER.glob("*.py") if "def build(" in p.read_text(encoding="utf-8"))


def trained(model: Any, x: np.ndarray) -> Any:
    """A model whose batch norms have seen a batch, and whose gradients and last step are there."""
    y = model.forward(asarray(x))
    model.backward(y)
    return model


def built(name: str) -> Any:
    """The model of an example; what else its ``build`` asks for are small numbers."""
    try:
        build = load(name).build
    except ModuleNotFoundError as error:
        pytest.skip(f"{error.name} is not installed")
    return build(**{key: 0 if key == "seed" else 11 for key in inspect.signature(build).parameters})


SAMPLES = {
    "mnist": [(28, 28, 1)],
    "cifar_resnet": [(32, 32, 3)],
    "numpy_to_gpu": [(32, 32, 3)],
    "vae_digits": [(64,), (2,)],  # an encoder and a decoder
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_models_of_the_examples(tmp_path: Path, name: str) -> None:
    model = built(name)
    models = model if isinstance(model, tuple) else (model,)
    for part, shape in zip(models, SAMPLES.get(name, [(8, 8, 1)]), strict=True):
        x = RNG.normal(size=(5, *shape)).astype("float32")
        if isinstance(part[0], layers.Embedding):
            x = RNG.integers(0, len(part[0].weight), (5, 8))
        trained(part, x)
        grads = [to_numpy(p.grad).copy() for p in part.parameters()]
        assert_runs_alike(part, tmp_path, x)
        for p, grad in zip(part.parameters(), grads, strict=True):
            np.testing.assert_array_equal(to_numpy(p.grad), grad)


def test_the_model_of_the_example_with_tensors_shares_its_layer(tmp_path: Path) -> None:
    shared, head = layers.Linear(4, 4, seed=0), layers.Linear(8, 1, seed=1)
    branches = layers.Parallel(layers.Tanh(), layers.ReLU())
    model = layers.Sequential(layers.Residual(shared), shared, branches, head)
    proto = assert_runs_alike(model, tmp_path, RNG.normal(size=(5, 4)).astype("float32"))
    assert constants(proto).keys() == {"0.layer.weight", "0.layer.bias", "3.weight", "3.bias"}


def test_the_op_of_the_example_is_taught(tmp_path: Path) -> None:
    pytest.importorskip("hypothesis")
    snake = load("custom_op").Snake

    def write(graph: Any, layer: Any, x: Any) -> str:
        a = graph.parameter(layer.frequency)
        sine = graph.add("Sin", graph.add("Mul", x, a))
        return graph.add("Add", x, graph.add("Div", graph.add("Mul", sine, sine), a))

    model = layers.Sequential(layers.Linear(3, 3, seed=0), snake(3), layers.Linear(3, 1, seed=1))
    assert_runs_alike(model, tmp_path, RNG.normal(size=(4, 3)).astype("float32"), writers={snake: write})


def test_convolutions_in_a_row_are_transposed_once(tmp_path: Path) -> None:
    model = layers.Sequential(
        layers.Conv(1, 4, 3, padding="same", seed=0),
        layers.BatchNorm(4),
        layers.ReLU(),
        layers.Residual(layers.Sequential(layers.Conv(4, 4, 3, padding=1, seed=1), layers.PReLU(4))),
        layers.Parallel(layers.MaxPool(2), layers.AvgPool(2)),
        layers.Dropout(0.5),
        layers.GroupNorm(2, 8),
        layers.Softmax(),
        layers.GLU(),
        layers.Pad(1),
        layers.Upsample(2),
        layers.ConvTranspose(4, 2, 2, seed=2),
        layers.GlobalAvgPool(),
        layers.Linear(2, 3, seed=3),
    )
    proto = assert_runs_alike(trained(model, IMAGES), tmp_path, IMAGES)
    assert kinds(proto).count("Transpose") == 1


def test_a_small_network_is_as_small_in_onnx(tmp_path: Path) -> None:
    model = layers.Sequential(
        layers.Conv(1, 4, 3, seed=0),
        layers.ReLU(),
        layers.MaxPool(2),
        layers.Flatten(),
        layers.Linear(36, 10),
    )
    proto = assert_runs_alike(model, tmp_path, IMAGES)
    assert kinds(proto) == ["Transpose", "Conv", "Relu", "MaxPool", "Transpose", "Flatten", "Gemm"]
    assert [(x.name, x.type.tensor_type.shape.dim[0].dim_param) for x in proto.graph.input] == [("x", "N")]
    assert [y.name for y in proto.graph.output] == ["y"]
    assert list(constants(proto)) == ["0.weight", "0.bias", "4.weight", "4.bias"]
    assert proto.producer_name == "minidl"


def test_a_shared_layer_has_its_numbers_once(tmp_path: Path) -> None:
    conv, lstm = layers.Conv(1, 1, 3, padding=1, seed=0), layers.LSTM(8, 8, seed=1)
    chain = layers.Sequential(conv, layers.Residual(conv), conv, layers.Reshape((8, 8)), lstm, lstm)
    proto = assert_runs_alike(chain, tmp_path, IMAGES)
    assert kinds(proto).count("Conv") == 3
    sizes = sorted(array.size for array in constants(proto).values() if array.dtype == np.float32)
    assert sizes == [1, 9, 64, 256, 256]


def test_equal_weights_of_two_layers_stay_two(tmp_path: Path) -> None:
    model = layers.Sequential(layers.Linear(3, 3, seed=0), layers.Linear(3, 3, seed=0))
    names = constants(exported(model, tmp_path, np.zeros((1, 3), "float32"))).keys()
    assert names == {"0.weight", "0.bias", "1.weight", "1.bias"}


def test_names_of_a_model_cannot_meet_those_of_inputs_and_outputs(tmp_path: Path) -> None:
    class Odd(layers.Sequential):
        """Its parameter is called as the input is."""

    model = Odd(layers.Linear(3, 3, seed=0))
    model.layers[0].weight.name = "x"
    both = layers.Sequential(model)
    vars(both)["x"] = vars(both)["y"] = model.layers[0].weight
    assert_runs_alike(both, tmp_path, np.ones((2, 3), "float32"))


@pytest.mark.parametrize(
    "model",
    [
        layers.Sequential(),
        layers.Identity(),
        layers.Residual(layers.Identity()),
        layers.Sequential(layers.Dropout(0.3), layers.Dropout(0.3)),
        layers.Parallel(layers.Identity(), layers.Sequential()),
    ],
    ids=repr,
)
def test_a_model_that_computes_nothing(tmp_path: Path, model: layers.Layer) -> None:
    assert_runs_alike(model, tmp_path, np.ones((2, 3), "float32"))


def test_a_subclass_that_only_builds_is_written_as_its_base(tmp_path: Path) -> None:
    class Block(layers.Sequential):
        def __init__(self, width: int) -> None:
            super().__init__(layers.Linear(width, width, seed=0), layers.Tanh())

    assert_runs_alike(layers.Sequential(Block(3), Block(3)), tmp_path, np.ones((2, 3), "float32"))


def test_a_transformer(tmp_path: Path) -> None:
    model = layers.Sequential(
        layers.Embedding(11, 8, seed=0),
        layers.LearnedPositions(20, 8, seed=1),
        layers.TransformerEncoderLayer(8, 2, 16, activation="gelu", causal=True, seed=2),
        layers.TransformerEncoderLayer(8, 2, 16, norm_first=True, causal=True, rotary=True, seed=3),
        layers.Linear(8, 11, seed=4),
    )
    assert_runs_alike(model, tmp_path, RNG.integers(0, 11, (3, 13)))


def test_a_causal_mask_is_made_where_the_graph_runs(tmp_path: Path) -> None:
    model = layers.MultiHeadAttention(4, 2, causal=True, seed=0)
    proto = assert_runs_alike(model, tmp_path, RNG.normal(size=(2, 300, 4)).astype("float32"))
    assert max(array.size for array in constants(proto).values()) == 48


BLOCKS: dict[str, Any] = {
    "Conv": lambda: layers.Conv(4, 4, 3, padding=1, seed=0),
    "BatchNorm": lambda: layers.BatchNorm(4),
    "LayerNorm": lambda: layers.LayerNorm(4),
    "Linear": lambda: layers.Linear(4, 4, seed=1),
    "ReLU": layers.ReLU,
    "Softmax": lambda: layers.Softmax(axis=1),
    "MaxPool": lambda: layers.MaxPool(3, stride=1, padding=1),
}
chains = st.lists(st.sampled_from(sorted(BLOCKS)), min_size=1, max_size=4)


def chain(names: list[str]) -> layers.Layer:
    return layers.Sequential([BLOCKS[name]() for name in names])


@given(
    main=chains,
    branch=chains,
    shortcut=st.none() | chains,
    sides=st.tuples(chains, chains),
    add=st.booleans(),
)
def test_layers_of_either_layout_meet_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, main: Any, branch: Any, shortcut: Any, sides: Any, add: bool
) -> None:
    residual = layers.Residual(chain(branch), None if shortcut is None else chain(shortcut))
    parallel = layers.Parallel(*map(chain, sides), merge="add" if add else "concat")
    model = layers.Sequential(chain(main), residual, parallel)
    x = np.random.default_rng(1).normal(size=(3, 5, 4, 4)).astype("float32")
    proto = assert_runs_alike(model, tmp_path_factory.getbasetemp(), x)
    for first, second in itertools.pairwise(proto.graph.node):
        inverse = first.op_type == second.op_type == "Transpose" and first.output[0] == second.input[0]
        assert not inverse
