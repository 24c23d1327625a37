"""A layer and the rectifier behind it run as one stage on CuPy, with the gradients of the two."""

from typing import Any
from unittest import mock

import numpy as np
import pytest

import minidl
from minidl import backend
from minidl.backend import to_numpy, xp
from minidl.layers import _fusion
from tests.cuda.kernels import Draws, close, launches, needs_kernels, running

pytestmark = needs_kernels


def chain() -> minidl.Sequential:
    return minidl.Sequential(
        minidl.Conv(2, 3, kernel_size=3, stride=2, padding=1, seed=0),
        minidl.ReLU(),
        minidl.Flatten(),
        minidl.Linear(12, 5, seed=1),
        minidl.ReLU(),
        minidl.Linear(5, 4, bias=False, seed=2),
        minidl.ReLU(),
    )


@pytest.mark.parametrize("n", [0, 1, 3])
def test_two_layers_of_one_stage_have_the_value_and_the_gradients_of_both(n: int, monkeypatch: Any) -> None:
    model, draw = chain(), Draws(0, "float32")
    x, dy = draw(n, 4, 4, 2), draw(n, 4)
    with mock.patch.object(_fusion, "_fits", return_value=False):
        want, back = model.vjp(x)
        want_dx, want_pairs = back(dy)
    with running("shuffled"):
        monkeypatch.setattr(backend, "name", "cupy")
        got, back = model.vjp(x)
        dx, pairs = back(dy)
        close(model.predict(x), want, "float32")
    monkeypatch.undo()
    assert backend.name == "cupy" or launches.count("bias_relu") == 4 * (n > 0)  # two in vjp, two in predict
    close(got, want, "float32")
    close(dx, want_dx, "float32")
    assert [p.name for p, _ in pairs] == [p.name for p, _ in want_pairs]
    for (p, g), (q, w) in zip(pairs, want_pairs, strict=True):
        assert p is q
        close(g, w, "float32")


def test_what_may_not_be_seen_by_others_runs_by_itself(monkeypatch: Any) -> None:
    monkeypatch.setattr(backend, "name", "cupy")
    linear, relu = minidl.Linear(2, 2), minidl.ReLU()
    assert _fusion.stages([linear, relu]) != [linear, relu]
    half = minidl.Linear(2, 2).astype("float16")
    for layers in (
        [half, relu],
        [linear, minidl.Tanh()],
        [minidl.Linear(2, 2, bias=False), relu],
        [relu, linear],
    ):
        assert _fusion.stages(layers) == layers
    linear.vjp = linear.vjp  # a hook, as one puts to watch a layer
    assert _fusion.stages([linear, relu]) == [linear, relu]
    del linear.vjp
    monkeypatch.setattr(backend, "DEBUG", True)
    assert _fusion.stages([linear, relu]) == [linear, relu]


@pytest.mark.skipif(backend.name != "numpy", reason="about NumPy")
def test_on_numpy_the_layers_run_as_they_are() -> None:
    layers = [minidl.Linear(2, 2), minidl.ReLU()]
    assert _fusion.stages(layers) is layers


def test_an_error_names_the_layer_at_its_place(monkeypatch: Any) -> None:
    monkeypatch.setattr(backend, "name", "cupy")
    model = minidl.Sequential(minidl.ReLU(), minidl.Linear(3, 2), minidl.ReLU())
    with running(None), pytest.raises(ValueError, match="linear: expected") as caught:
        model.vjp(xp.ones((2, 4), dtype="float32"))
    assert "at position 1 of Sequential: Linear(3, 2)" in caught.value.__notes__
    assert np.isfinite(to_numpy(model[1].weight.data)).all()
