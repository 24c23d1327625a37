"""PyTorch as an oracle: every layer, loss and optimizer agrees with it in double precision."""

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import layers, losses, optim
from tests.conformance import sides
from tests.conformance.layer_rows import LAYERS, LAYERS_WITHOUT
from tests.conformance.loss_rows import LOSSES, LOSSES_WITHOUT
from tests.conformance.optimizer_rows import OPTIMIZERS, OPTIMIZERS_WITHOUT
from tests.conformance.rows import Row

seeds = st.integers(0, 2**16)
optimizers = st.sampled_from(sorted(OPTIMIZERS)).flatmap(
    lambda name: st.tuples(st.just(name), OPTIMIZERS[name])
)
LEARNING = [name for name in LAYERS if "weight_init" in inspect.signature(getattr(layers, name)).parameters]
WITHIN_BOUNDS = [name for name in LOSSES if not name.endswith("of probabilities")]  # steps would leave them


@pytest.fixture(scope="module")
def torch(torch: Any) -> Iterator[Any]:
    """PyTorch on one thread: on arrays as small as these its threads wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(threads)


def drawn(data: st.DataObject, row: Row) -> sides.Case:
    settings, shape = data.draw(row.drawn)
    training = data.draw(st.sampled_from(row.training))
    return sides.make_case(row, settings, shape, data.draw(seeds), training)


@pytest.mark.parametrize("name", LAYERS)
@given(data=st.data())
def test_a_layer_and_all_its_gradients(torch: Any, name: str, data: st.DataObject) -> None:
    row = LAYERS[name]
    case = drawn(data, row)
    sides.assert_same(sides.our_layer(row, case), sides.their_layer(torch, row, case), row.tolerance)


@pytest.mark.parametrize("name", LEARNING)
@given(data=st.data())
def test_twenty_steps_of_a_layer(torch: Any, name: str, data: st.DataObject) -> None:
    row, (optimizer, options) = LAYERS[name], data.draw(optimizers)
    case = drawn(data, row)
    ours = sides.our_training(row, case, optimizer, options)
    sides.assert_same(ours, sides.their_training(torch, row, case, optimizer, options), 1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
@given(data=st.data())
def test_twenty_steps_of_an_optimizer(torch: Any, name: str, data: st.DataObject) -> None:
    row, options = LAYERS["Sequential"], data.draw(OPTIMIZERS[name])
    case = drawn(data, row)
    ours = sides.our_training(row, case, name, options)
    sides.assert_same(ours, sides.their_training(torch, row, case, name, options), 1e-6)


@pytest.mark.parametrize("name", LOSSES)
@given(data=st.data())
def test_a_loss_and_its_gradient(torch: Any, name: str, data: st.DataObject) -> None:
    row = LOSSES[name]
    case = drawn(data, row)
    sides.assert_same(sides.our_loss(row, case), sides.their_loss(torch, row, case), row.tolerance)


@pytest.mark.parametrize("name", WITHIN_BOUNDS)
@given(data=st.data())
def test_twenty_steps_down_a_loss(torch: Any, name: str, data: st.DataObject) -> None:
    row, (optimizer, options) = LOSSES[name], data.draw(optimizers)
    case = drawn(data, row)
    ours = sides.our_descent(row, case, optimizer, options)
    sides.assert_same(ours, sides.their_descent(torch, row, case, optimizer, options), 1e-6)


@pytest.mark.parametrize(("name", "wrong"), [("Linear", "d weight"), ("BatchNorm", "dx"), ("Conv", "y")])
def test_a_wrong_result_is_found(torch: Any, name: str, wrong: str) -> None:
    row = LAYERS[name]
    settings = {
        "Linear": {"in_features": 3, "out_features": 2},
        "BatchNorm": {"num_features": 3},
        "Conv": {"in_channels": 3, "out_channels": 2, "kernel_size": (1, 2)},
    }
    case = sides.make_case(row, settings[name], (4, 3, 3, 3), seed=0)
    ours, theirs = sides.our_layer(row, case), sides.their_layer(torch, row, case)
    sides.assert_same(ours, theirs, row.tolerance)
    with pytest.raises(AssertionError, match=wrong):
        sides.assert_same(ours | {wrong: 1.001 * ours[wrong]}, theirs, row.tolerance)


def public(module: Any, base: type) -> set[str]:
    return {
        name for name, value in vars(module).items() if inspect.isclass(value) and issubclass(value, base)
    }


@pytest.mark.parametrize(
    ("module", "base", "rows", "without"),
    [
        (layers, layers.Layer, LAYERS, LAYERS_WITHOUT),
        (losses, losses.Loss, LOSSES, LOSSES_WITHOUT),
        (optim, optim.Optimizer, OPTIMIZERS, OPTIMIZERS_WITHOUT),
    ],
    ids=["layers", "losses", "optimizers"],
)
def test_everything_public_has_a_row_or_a_reason(module: Any, base: type, rows: Any, without: Any) -> None:
    assert public(module, base) == {key.split()[0] for key in rows} | (without.keys() & vars(module).keys())
    assert not rows.keys() & without.keys()
