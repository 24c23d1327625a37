"""Each array finds its name, or all that does not fit is listed and nothing is loaded."""

import numpy as np
import pytest

from minidl.backend import to_numpy
from minidl.interop import load_torch_state, torch_state
from minidl.layers import BatchNorm, Conv, Embedding, Layer, LayerNorm, Linear, ReLU, Sequential

RNG = np.random.default_rng(0)


def model() -> Sequential:
    return Sequential(Linear(3, 4), BatchNorm(4), Sequential(Linear(4, 4), ReLU()), Linear(4, 2))


def renamed(state, **names):
    """A state with the beginnings of its names replaced: ``_0="fc"``."""
    found = {}
    for name, array in state.items():
        unit = max(
            (u[1:].replace("_", ".") for u in names if name.startswith(u[1:].replace("_", ".") + ".")),
            key=len,
        )
        found[names["_" + unit.replace(".", "_")] + name[len(unit) :]] = array
    return found


OTHER = {"_0": "fc", "_1": "bn", "_2_0": "inner.fc", "_3": "head"}


def random_state(net) -> dict[str, np.ndarray]:
    return {k: RNG.normal(size=a.shape) if a.ndim else a for k, a in torch_state(net).items()}


def same(net, state) -> bool:
    found = torch_state(net)
    return all(np.allclose(found[name], array) for name, array in state.items())


def test_paths_count_and_not_the_order() -> None:
    net, state = model(), random_state(model())
    load_torch_state(net, dict(sorted(state.items())))
    assert same(net, state)


def test_other_names_are_taken_in_the_order_of_definition() -> None:
    net, state = model(), random_state(model())
    load_torch_state(net, renamed(state, **OTHER))
    assert same(net, state)
    load_torch_state(net, {f"module.{name}": array for name, array in random_state(net).items()})
    assert not same(net, state)


def test_names_that_are_sorted_do_not_tell_the_order() -> None:
    net, state = model(), renamed(random_state(model()), **OTHER)
    before = net.state()
    with pytest.raises(ValueError, match="these are sorted"):
        load_torch_state(net, dict(sorted(state.items())))
    np.testing.assert_array_equal(to_numpy(net.state()["0.weight"]), to_numpy(before["0.weight"]))
    load_torch_state(net, dict(sorted(state.items())), names=list(state))
    assert same(net, {"3.bias": state["head.bias"]})


@pytest.mark.parametrize(
    "names",
    [
        {"0": "fc", "1": "bn", "2.0": "inner.fc", "3": "head"},
        {
            "0": "fc",
            "1": "bn",
            "2": "inner",
            "2.0": "inner.fc",
            "3.weight": "head.weight",
            "3.bias": "head.bias",
        },
    ],
)
def test_a_mapping_of_layers_or_arrays_is_taken_as_it_is(names) -> None:
    net, state = model(), random_state(model())
    if "2" in names:  # the longer path counts
        names = {key: name for key, name in names.items() if key != "2"} | {"2": "nowhere"}
        with pytest.raises(
            ValueError, match="expected names by paths of layers and arrays of the model, got '2'"
        ):
            load_torch_state(net, renamed(state, **OTHER), names=names)
        del names["2"]
    load_torch_state(net, dict(sorted(renamed(state, **OTHER).items())), names=names)
    assert same(net, state)


def test_a_mapping_may_put_all_below_one_name() -> None:
    net, state = model(), random_state(model())
    below = {f"backbone.{name}": array for name, array in state.items()}
    load_torch_state(net, dict(sorted(below.items())), names={"": "backbone"})
    assert same(net, state)
    assert list(torch_state(net, names={"": "backbone"})) == list(below)


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ({"9": "fc"}, ValueError, "got '9'"),
        ({"0": "fc", "3": "fc"}, ValueError, "a name for each array, got 'fc.weight' for both"),
        ({"0": 1}, TypeError, "names as a dict from paths"),
        (3, TypeError, "names as a dict or a list of all names"),
        ("fc", TypeError, "names as a dict or a list of all names"),
        (["fc.weight"], ValueError, "a list of all names of the state, once; see"),
    ],
)
def test_names_that_make_no_sense_are_refused(names, error, message) -> None:
    with pytest.raises(error, match=message):
        load_torch_state(model(), random_state(model()), names=names)
    if not isinstance(names, dict):
        with pytest.raises(TypeError):
            torch_state(model(), names=names)


def test_all_that_does_not_fit_is_listed_and_nothing_is_loaded() -> None:
    net, state = model(), random_state(model())
    before = net.state()
    del state["1.running_mean"]
    state["extra.weight"], state["3.weight"] = np.zeros((5, 5)), np.zeros((4, 2))
    with pytest.raises(
        ValueError, match="load_torch_state: the state does not fit, nothing was changed"
    ) as caught:
        load_torch_state(net, state)
    lines = str(caught.value).splitlines()[1:]
    assert [line.strip() for line in lines[:3]] == [
        "missing: 1.running_mean (4,), for 1.running_mean",
        "unexpected: extra.weight (5, 5)",
        "shape of 3.weight: expected (2, 4) for 3.weight, got (4, 2)",
    ]
    assert "pass names={path here: name there, ...}" in lines[3]
    for path, array in net.state().items():
        np.testing.assert_array_equal(to_numpy(array), to_numpy(before[path]))


def test_the_names_there_are_those_that_errors_say() -> None:
    state = renamed(random_state(model()), **OTHER)
    state["head.weight"] = state["head.weight"].T
    del state["bn.running_var"]
    with pytest.raises(ValueError, match="nothing was changed") as caught:
        load_torch_state(model(), state)
    assert "missing: bn.running_var (4,), for 1.running_var" in str(caught.value)
    assert "shape of head.weight: expected (2, 4) for 3.weight, got (4, 2)" in str(caught.value)


def test_a_module_of_another_kind_is_not_taken_for_a_layer() -> None:
    theirs = {
        "a.weight": np.zeros((4, 3)),
        "a.bias": np.zeros(4),
        "norm.weight": np.ones(4),
        "norm.bias": np.ones(4),
    }
    with pytest.raises(ValueError, match=r"missing: norm\.running_mean"):
        load_torch_state(Sequential(Linear(3, 4), BatchNorm(4)), theirs)
    load_torch_state(Sequential(Linear(3, 4), LayerNorm(4)), theirs)
    with pytest.raises(ValueError, match=r"nothing was changed\n  unexpected: a\.bias \(4,\)\n  pass"):
        load_torch_state(Sequential(Linear(3, 4, bias=False), LayerNorm(4)), theirs)
    with pytest.raises(ValueError, match=r"missing: 1.weight \(5, 4\), for 1.weight"):
        load_torch_state(
            Sequential(Linear(3, 4), Embedding(5, 4)), {"a.weight": np.zeros((4, 3)), "a.bias": np.zeros(4)}
        )


def test_a_shared_layer_has_two_names_there_and_one_value() -> None:
    shared = Linear(4, 4)
    net = Sequential(shared, ReLU(), shared)
    state = torch_state(net)
    assert list(state) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    load_torch_state(net, state)
    with pytest.raises(ValueError, match=r"2.weight and 0.weight differ, and are one array here, 2.weight"):
        load_torch_state(net, state | {"2.weight": state["2.weight"] + 1})
    some = {name: array + 1 for name, array in state.items() if name.startswith("2")}
    load_torch_state(net, some)
    np.testing.assert_array_equal(to_numpy(shared.bias.data), some["2.bias"])


def test_like_gives_the_names_and_the_order() -> None:
    net, like = model(), renamed(random_state(model()), **OTHER)
    del like["bn.num_batches_tracked"]
    found = torch_state(net, like=like)
    assert list(found) == list(like)
    np.testing.assert_array_equal(found["head.weight"], to_numpy(net[3].weight.data).T)
    with pytest.raises(ValueError, match="torch_state: the state does not fit, nothing was changed"):
        torch_state(net, like={})


def test_what_comes_out_is_a_copy_and_contiguous() -> None:
    net = Sequential(Conv(3, 4, 3), LayerNorm(4))
    for array in torch_state(net).values():
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert not any(np.shares_memory(array, to_numpy(p.data)) for p in net.parameters())


def test_a_model_of_no_weights_has_an_empty_state() -> None:
    assert torch_state(ReLU()) == {}
    load_torch_state(ReLU(), {})
    with pytest.raises(TypeError, match="expected a layer of minidl, got dict"):
        load_torch_state({}, {})


class Attributes(Layer):
    """A layer with weights of its own among its parts."""

    def __init__(self) -> None:
        self.part = Linear(2, 2)
        from minidl import Parameter

        self.token = Parameter([1.0, 2.0])


def test_own_weights_come_before_those_of_parts_as_in_pytorch() -> None:
    assert list(torch_state(Attributes())) == ["token", "part.weight", "part.bias"]
    load_torch_state(
        Attributes(), {"cls.token": np.ones(2), "cls.fc.weight": np.ones((2, 2)), "cls.fc.bias": np.ones(2)}
    )
