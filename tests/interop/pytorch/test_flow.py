"""What a Flatten joins is known from the layers before it, or asked for: no weight gets into a wrong row."""

import numpy as np
import pytest

from minidl import functional as F
from minidl import layers
from minidl.backend import to_numpy
from minidl.interop import load_torch_state, torch_state
from minidl.interop.pytorch.flow import WAYS
from minidl.interop.pytorch.layouts import KINDS
from minidl.interop.pytorch.rules import RULES, slots_of_model
from minidl.layers import (
    BatchNorm,
    Conv,
    Dropout,
    Flatten,
    Function,
    GroupNorm,
    Identity,
    Layer,
    Linear,
    MaxPool,
    Parallel,
    Parameter,
    ReLU,
    Reshape,
    Residual,
    Sequential,
)
from tests.cases import LAYERS as CASES

RNG = np.random.default_rng(0)


def channels(model: Layer, **flattened: tuple[int, ...]) -> dict[str, dict[int, int]]:
    """The axes, by the path of the array, that PyTorch has channels first, with the number of channels."""
    by_path = {path.replace("_", "."): shape for path, shape in flattened.items()}
    found = slots_of_model(model, by_path, "test")
    return {slot.path: slot.channels for slot in found if slot.channels}


LEAVES = [layer for layer in vars(layers).values() if isinstance(layer, type) and issubclass(layer, Layer)]


@pytest.mark.parametrize("layer", LEAVES, ids=lambda layer: layer.__name__)
def test_every_layer_has_an_entry_in_the_tables(layer) -> None:
    assert (layer in RULES) + (layer in WAYS) + (layer in (Layer, Function)) == 1


def test_every_layer_with_weights_of_its_own_says_what_pytorch_calls_them() -> None:
    made = (case.make() for case in CASES)
    with_state = {type(layer) for layer in made if layer.state()}
    assert {layer for layer in with_state if layer in RULES} <= KINDS.keys()


def test_channels_are_known_from_the_layers_before() -> None:
    model = Sequential(
        Conv(3, 4, 3), ReLU(), Residual(Identity()), MaxPool(2), Dropout(), Flatten(), Linear(36, 2)
    )
    assert channels(model) == {"6.weight": {0: 4}}


def test_all_that_stands_between_a_flatten_and_a_linear_is_reordered() -> None:
    model = Sequential(Conv(3, 4, 3), Flatten(), BatchNorm(36), Residual(Linear(36, 36)), Linear(36, 2))
    arrays = ("weight", "bias", "running_mean", "running_var")
    expected = {f"2.{name}": {0: 4} for name in arrays}
    expected |= {"3.layer.weight": {0: 4, 1: 4}, "3.layer.bias": {0: 4}, "4.weight": {0: 4}}
    assert channels(model) == expected


def test_sequences_and_single_pixels_keep_their_order() -> None:
    assert channels(Sequential(layers.LSTM(3, 4), Flatten(), Linear(20, 2))) == {}
    assert channels(Sequential(Conv(3, 4, 3), layers.GlobalAvgPool(), Flatten(), Linear(4, 2))) == {}


def test_a_row_that_becomes_an_image_is_reordered_where_it_is_made() -> None:
    model = Sequential(Linear(5, 12), BatchNorm(12), ReLU(), Reshape((2, 2, 3)), Conv(3, 1, 2))
    assert channels(model)["0.weight"] == {1: 3}
    assert channels(model)["1.running_var"] == {0: 3}
    sequence = Sequential(Linear(5, 12), Reshape((4, 3)), layers.LSTM(3, 2))
    assert channels(sequence) == {}
    assert channels(Sequential(Linear(5, 12), Reshape((4, 3)), Conv(3, 2, (3,))))["0.bias"] == {0: 3}
    for layer, size in ((BatchNorm(3), 12), (MaxPool((2,)), 6), (layers.GroupNorm(3, 3), 12)):
        model = Sequential(Linear(5, 12), Reshape((4, 3)), layer, Flatten(), Linear(size, 2))
        assert channels(model) == {"0.weight": {1: 3}, "0.bias": {0: 3}, "4.weight": {0: 3}}
    assert channels(Sequential(Linear(5, 12), Reshape((4, -1)), Conv(3, 2, (3,))))["0.bias"] == {0: 3}


@pytest.mark.parametrize("path", ["0", "1"])
def test_a_flatten_of_the_input_asks_for_the_shape(path) -> None:
    model = Sequential(Flatten(), Linear(12, 3))
    with pytest.raises(ValueError, match=r"Linear\(12, 3\) at '1' .* pass flattened=\{'1': \(H, W, C\)\}"):
        torch_state(model)
    weight = to_numpy(model[1].weight.data)
    state = torch_state(model, flattened={path: (2, 2, 3)})
    expected = weight.reshape(2, 2, 3, 3).transpose(3, 2, 0, 1).reshape(3, 12)
    np.testing.assert_array_equal(state["1.weight"], expected)
    np.testing.assert_array_equal(torch_state(model, flattened={path: (12,)})["1.weight"], weight.T)


class Hidden(Layer):
    """A network that flattens between its layers, where nobody sees it."""

    def __init__(self, *more: Layer) -> None:
        self.conv = Conv(3, 4, 3, padding=1)
        self.more = list(more)
        self.head = Linear(64, 2)

    def vjp(self, x):
        return Sequential(self.conv, Flatten(), self.head).vjp(x)


class Squeeze(Layer):
    """Two layers that scale channels."""

    def __init__(self) -> None:
        self.down, self.up = Linear(4, 2), Linear(2, 4)


@pytest.mark.parametrize(
    "model",
    [
        Hidden(),
        Hidden(Squeeze()),
        Hidden(Squeeze(), Flatten()),
        Sequential(Conv(3, 4, 3), Function(F.relu), Flatten(), Linear(64, 2)),
        Sequential(Conv(3, 4, 3), layers.LayerNorm(4), Flatten(), Linear(64, 2)),
        Sequential(Conv(3, 4, 3), Linear(4, 4), Flatten(), Linear(64, 2)),
        Sequential(Conv(3, 4, 3), layers.GLU(axis=3), Flatten(), Linear(64, 2)),
        Sequential(MaxPool(2), Flatten(), Linear(64, 2)),
        Sequential(Hidden(), Conv(2, 2, 1), Squeeze(), Flatten(), Linear(64, 2)),
    ],
    ids=lambda model: repr(model).splitlines()[0],
)
def test_where_the_layers_do_not_tell_the_shape_is_asked_for(model) -> None:
    with pytest.raises(ValueError, match="pass flattened="):
        torch_state(model)


def test_what_is_told_is_taken() -> None:
    assert channels(Hidden(), head=(4, 4, 4)) == {"head.weight": {0: 4}}
    assert channels(Hidden(Squeeze()), head=(4, 4, 4)) == {"head.weight": {0: 4}}
    assert channels(Hidden(), head=(64,)) == {"head.weight": {0: 64}}


def test_what_is_told_of_one_layer_is_told_of_the_norm_before_it_too() -> None:
    model = Hidden(BatchNorm(64))
    with pytest.raises(ValueError, match=r"say of 'more\.0' what it says of 'head'"):
        channels(model, head=(4, 4, 4))
    assert channels(model, head=(4, 4, 4), more_0=(4, 4, 4))["more.0.bias"] == {0: 4}


@pytest.mark.parametrize(
    ("flattened", "message"),
    [
        ({"1": (5, 5, 3)}, r"flattened\['1'\] as a shape \(H, W, C\) of 12 numbers in all, got \(5, 5, 3\)"),
        ({"1": 12}, "as a shape"),
        ({"1": (-2, -2, 3)}, "as a shape"),
        ({"1": ()}, "as a shape"),
        ({"2": (2, 2, 3)}, "Linear.*may take rows that were flattened"),
        ({"0": (2, 2, 3), "2": (2, 2, 3)}, "expected flattened by the path of a Flatten, .*, got '2'"),
    ],
)
def test_what_does_not_fit_is_refused(flattened, message) -> None:
    with pytest.raises(ValueError, match=message):
        torch_state(Sequential(Flatten(), Linear(12, 3)), flattened=flattened)
    with pytest.raises(TypeError, match="flattened as a dict"):
        torch_state(Sequential(Flatten(), Linear(12, 3)), flattened=(2, 2, 3))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            Sequential(Conv(3, 4, 3), Flatten(), GroupNorm(2, 36), Linear(36, 2)),
            r"2\.weight makes do not become 4",
        ),
        (
            Sequential(Linear(3, 12), Residual(Linear(12, 12)), Reshape((2, 2, 3)), Conv(3, 1, 1)),
            r"layer\.weight makes do not become 3",
        ),
        (
            Sequential(Linear(3, 24), layers.GLU(), Reshape((2, 2, 3)), Conv(3, 1, 1)),
            r"0\.weight makes do not become 3",
        ),
        (
            Sequential(Parallel(Sequential(Conv(3, 4, 3), Flatten()), Flatten()), Linear(99, 2)),
            "concatenate first",
        ),
    ],
)
def test_what_has_no_equal_in_pytorch_is_refused(model, message) -> None:
    with pytest.raises(ValueError, match=message):
        torch_state(model)


def test_a_layer_used_in_two_orders_is_refused() -> None:
    shared = Linear(36, 36)
    model = Sequential(Conv(3, 4, 3), Flatten(), shared, shared)
    with pytest.raises(ValueError, match=r"2\.weight and 3\.weight are one array here, and would be two"):
        torch_state(model)


class Scaled(Linear):
    """A layer of the table with an array and a layer more."""

    def __init__(self) -> None:
        self.scale = Parameter([2.0], name="scale")
        super().__init__(3, 2)
        self.norm = BatchNorm(2)


class Backwards(Sequential):
    """A chain that runs last to first."""

    def vjp(self, x):
        return Sequential(*reversed(self.layers)).vjp(x)


class Parent(Layer):
    """A layer that its part refers to."""

    def __init__(self) -> None:
        self.part = Linear(3, 2)
        self.more = Squeeze()
        self.more.owner = self


def test_branches_that_are_joined_tell_what_they_agree_on() -> None:
    joined = Parallel(Linear(3, 6), Sequential(Linear(3, 6), layers.GLU()), ReLU(), merge="concat")
    assert channels(Sequential(Linear(2, 3), joined, Linear(12, 2))) == {}
    tokens = Sequential(Linear(2, 6), Residual(Linear(6, 6)), Reshape((2, 2, 6)), Conv(6, 1, 1))
    assert channels(tokens) == {}
    with pytest.raises(ValueError, match=r"that 0\.0\.weight makes do not become 3 channels"):
        channels(Sequential(Parallel(Linear(2, 6), Linear(2, 6)), Reshape((2, 2, 3)), Conv(3, 1, 1)))
    grown = Parallel(Identity(), Conv(3, 2, 1))
    assert channels(Sequential(Conv(1, 3, 1), grown, Flatten(), Linear(20, 1))) == {"3.weight": {0: 5}}
    summed = Parallel(Conv(3, 4, 1), Conv(3, 4, 1), merge="add")
    assert channels(Sequential(summed, Flatten(), Linear(16, 1))) == {"2.weight": {0: 4}}
    for unlike in (Parallel(Conv(3, 4, 1), Linear(3, 4), merge="add"), Parallel(Conv(3, 4, 1), Linear(3, 4))):
        with pytest.raises(ValueError, match="pass flattened="):
            channels(Sequential(unlike, Flatten(), Linear(16, 1)))
    for rows in (Sequential(layers.GLU(), Linear(18, 36)), Function(F.relu)):
        model = Sequential(Conv(3, 4, 3), Flatten(), Residual(rows), Linear(36, 2))
        with pytest.raises(ValueError, match="pass flattened="):
            channels(model)


def test_layers_of_ones_own_are_walked_through() -> None:
    assert {name: a.shape for name, a in torch_state(Scaled()).items() if a.ndim} == {
        "scale": (1,),
        "weight": (2, 3),
        "bias": (2,),
        **{f"norm.{name}": (2,) for name in ("weight", "bias", "running_mean", "running_var")},
    }
    assert list(torch_state(Parent())) == list(Parent().state())
    with pytest.raises(ValueError, match="pass flattened="):
        torch_state(Backwards(Linear(36, 2), Flatten(), Conv(3, 4, 3), Linear(36, 2)))


def test_parts_in_lists_and_dicts_have_the_paths_of_the_state() -> None:
    class Many(Layer):
        def __init__(self) -> None:
            self.blocks = [Linear(2, 2), (Linear(2, 2), {"a": Linear(2, 2)})]
            self.scales = [Parameter([1.0]), Parameter([1.0])]

    assert sorted(torch_state(Many())) == sorted(Many().state())


def test_what_pytorch_has_not_stays() -> None:
    model = Sequential(Linear(2, 2), Dropout(seed=1), BatchNorm(2, momentum=None))
    before = to_numpy(model.state()["1.stream"])
    state = torch_state(model)
    assert list(state)[-1] == "2.num_batches_tracked"
    load_torch_state(model, state | {"2.num_batches_tracked": np.array(7)})
    np.testing.assert_array_equal(to_numpy(model.state()["1.stream"]), before)
    assert model[2].batches.data == 7
    load_torch_state(model, {k: a for k, a in state.items() if k != "2.num_batches_tracked"})
    assert model[2].batches.data == 7
