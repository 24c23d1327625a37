"""One training step on CuPy: nothing waits for the device, and so many launches at most."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl.backend import xp
from tests.standin import package
from tests.standin.counting import Record, recorded

pytestmark = pytest.mark.skipif(not package.installed(), reason="counted by the stand-in alone: --standin")

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
SHAPES = {"mlp": (32, 784), "lenet": (4, 28, 28, 1), "vgg": (4, 32, 32, 3)}
# Of forward, loss, backward without the gradient of the images, update and zero_grad, but for the first step.
MOST_LAUNCHES = {"mlp": 32, "lenet": 50, "vgg": 130}


@pytest.fixture
def networks(monkeypatch):
    """The networks of the benchmark."""
    monkeypatch.syspath_prepend(SCRIPTS)
    from _bench import minidl_side

    return minidl_side


def steps(networks, name: str, count: int, watch=lambda loss: None) -> list[Record]:
    rng = np.random.default_rng(0)
    x = minidl.asarray(rng.normal(size=SHAPES[name]).astype("float32"))
    labels = minidl.asarray(rng.integers(0, 10, SHAPES[name][0]))
    model, criterion = networks.network(name), minidl.CrossEntropy()
    optimizer, records = networks.optimizer(name, model), []
    for _ in range(count):
        with recorded() as record:
            loss = criterion.forward(model.forward(x), labels)
            model.backward(criterion.backward(), input_grad=False)
            optimizer.step()
            optimizer.zero_grad()
            watch(loss)
        records.append(record)
    return records


@pytest.mark.parametrize("name", SHAPES)
def test_a_step_waits_for_nothing_and_launches_no_more_than_is_stated(networks, name) -> None:
    _, second, third = steps(networks, name, 3)
    for record in (second, third):
        assert record.waits == []
        assert record.transfers == []
        assert len(record.launches) <= MOST_LAUNCHES[name], Counter(record.launches)
    assert second.launches == third.launches


def test_the_first_step_waits_once_to_look_for_probabilities(networks) -> None:
    (first,) = steps(networks, "mlp", 1)
    assert first.waits == ["get"]


def test_a_loop_that_looks_at_its_loss_is_seen_to_wait(networks) -> None:
    assert steps(networks, "mlp", 2, watch=float)[1].waits == ["float"]


def test_arrays_of_numpy_are_refused_by_name() -> None:
    x = np.ones((2, 3), "float32")
    message = r"expected an array of cupy, got numpy.ndarray \(MINIDL_BACKEND=cupy\); convert it with"
    for use in (minidl.ReLU().forward, minidl.Linear(3, 2).forward, minidl.ops.relu):
        with pytest.raises(TypeError, match=message):
            use(x)
    assert type(minidl.asarray(x)) is xp.ndarray
    assert type(minidl.to_numpy(minidl.asarray(x))) is np.ndarray


@pytest.mark.parametrize("given", [["a"], [None], [1, None], {"x": 1}])
def test_what_cupy_has_no_dtype_for_is_no_array(given) -> None:
    with pytest.raises(TypeError, match="asarray: expected an array or numbers, got"):
        minidl.asarray(given)
