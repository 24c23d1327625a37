"""Activations, dropout and optimizers: kernels that treat each element by itself."""

from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import backend, ops, optim
from minidl.backend import to_numpy, xp
from minidl.layers.parameter import Parameter
from minidl.ops._kernels import activation, adam, dropout, optimizers
from minidl.optim import moments
from tests.cuda.kernels import (
    Draws,
    agree,
    close,
    dtypes,
    equal,
    formula,
    launches,
    modes,
    needs_kernels,
    running,
    seeds,
)

pytestmark = needs_kernels

shapes = st.lists(st.integers(1, 9), max_size=3).map(tuple)
words = st.integers(0, 2**64 - 1)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh"])
@given(shape=shapes, dtype=dtypes, mode=modes, seed=seeds)
def test_activations(name: str, shape: Any, dtype: str, mode: Any, seed: int) -> None:
    draw = Draws(seed, dtype)
    agree(getattr(ops, name), getattr(activation, name), (draw(*shape, scale=3),), mode, {}, draw)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh"])
def test_activations_of_numbers_without_bounds(name: str) -> None:
    x = xp.asarray([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30, 100, -100], dtype="float32")
    agree(getattr(ops, name), getattr(activation, name), (x,), None, {}, Draws(0, "float32"))


def test_a_rectifier_gives_the_bits_of_its_formula() -> None:
    draw = Draws(1, "float32")
    agree(ops.relu, activation.relu, (draw.strided(40, 30),), "backward", {}, draw.strided, bound=0.0)


@given(columns=st.integers(1, 9), rows=st.integers(1, 9), dtype=dtypes, mode=modes, seed=seeds)
def test_bias_and_rectifier_in_one_pass(columns: int, rows: int, dtype: str, mode: Any, seed: int) -> None:
    draw = Draws(seed, dtype)
    y, b = draw(rows, columns), draw(columns)
    want = xp.maximum(y + b, 0)
    with running(mode):
        activation.add_bias_and_rectify(y, b)
    equal(y, want)


@given(shape=shapes, p=st.floats(0, 0.999), seed=words, counter=words, dtype=dtypes, mode=modes)
def test_dropout_has_the_mask_of_numpy(
    shape: Any, p: float, seed: int, counter: int, dtype: str, mode: Any
) -> None:
    draw = Draws(seed % 1000, dtype)
    options = {"p": p, "seed": seed, "counter": counter}
    with running(mode):
        declined = dropout.dropout(draw(*shape), **options) is NotImplemented
    if declined:
        assert round((1 - p) * 65536) == 65536
        return
    agree(ops.dropout, dropout.dropout, (draw(*shape),), mode, options, draw, bound=0.0)


def test_dropout_of_many_elements_in_full_blocks() -> None:
    draw = Draws(3, "float32")
    options = {"p": 0.3, "seed": 2**64 - 1, "counter": 2**63}
    agree(ops.dropout, dropout.dropout, (draw(9999),), "shuffled", options, draw, bound=0.0)


@pytest.mark.parametrize("arguments", [{"seed": -1}, {"seed": 2**64}, {"seed": 0.5}, {"seed": 0, "p": 0.0}])
def test_what_dropout_does_not_take_is_left_to_the_formula(arguments: Any) -> None:
    assert dropout.dropout(xp.zeros(3), **arguments) is NotImplemented


OPTIMIZERS = {
    "sgd": (optim.SGD, {"lr": 0.1}),
    "sgd with decay": (optim.SGD, {"lr": 0.1, "weight_decay": 0.01}),
    "momentum": (optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    "nesterov": (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "adam": (optim.Adam, {"lr": 0.01}),
    "adam with decay": (optim.Adam, {"lr": 0.01, "weight_decay": 0.1, "betas": (0.8, 0.95), "eps": 1e-3}),
    "adamw": (optim.AdamW, {"lr": 0.01, "weight_decay": 0.1}),
    "adamax": (optim.Adamax, {"lr": 0.01, "weight_decay": 0.1}),
    "nadam": (optim.NAdam, {"lr": 0.01, "weight_decay": 0.1}),
    "nadam, decoupled": (optim.NAdam, {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "radam": (optim.RAdam, {"lr": 0.01, "betas": (0.9, 0.7)}),
    "radam, decoupled": (optim.RAdam, {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "rmsprop": (optim.RMSProp, {"lr": 0.01}),
    "rmsprop, all": (optim.RMSProp, {"lr": 0.01, "weight_decay": 0.1, "momentum": 0.9, "centered": True}),
    "adagrad": (optim.Adagrad, {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.1}),
    "adadelta": (optim.Adadelta, {"weight_decay": 0.1}),
    "lion": (optim.Lion, {"lr": 0.01, "weight_decay": 0.1}),
}
KERNELS = {
    optim.SGD: optimizers.sgd,
    optim.Adam: adam.adam,
    optim.AdamW: adam.adamw,
    optim.Adamax: adam.adamax,
    optim.RMSProp: optimizers.rmsprop,
    optim.Adagrad: optimizers.adagrad,
    optim.Adadelta: optimizers.adadelta,
    optim.Lion: optimizers.lion,
}


def _after_steps(kind: Any, options: Any, dtype: str, seed: int) -> tuple[Any, dict[str, Any]]:
    draw = Draws(seed, dtype)
    parameters = [Parameter(draw(3, 5)), Parameter(draw(7))]
    optimizer = kind(parameters, **options)
    for _ in range(4):
        for p in parameters:
            p.grad = draw(*p.shape)
        parameters[1].grad[0] = 0
        optimizer.step()
    return optimizer.flat[0][0], optimizer.state()


@pytest.mark.parametrize("name", OPTIMIZERS)
@given(dtype=dtypes, mode=modes, seed=seeds)
def test_an_optimizers_kernel_gives_the_bits_of_its_formula(
    name: str, dtype: str, mode: Any, seed: int
) -> None:
    kind, options = OPTIMIZERS[name]
    with _by(kind, kernel=False):
        want, want_state = _after_steps(kind, options, dtype, seed)
    with running(mode), _by(kind, kernel=True):
        got, state = _after_steps(kind, options, dtype, seed)
        assert backend.name == "cupy" or len(launches) == 4  # one for each step
    equal(got, want)
    assert state.keys() == want_state.keys()
    for key, value in state.items():
        equal(value, want_state[key])


def _by(kind: Any, kernel: bool) -> Any:
    """Let an optimizer step by its kernel or by its formula."""
    if kind in KERNELS:
        update = KERNELS[kind] if kernel else formula(kind.update)
        return mock.patch.object(kind, "update", staticmethod(update))
    step = adam.relative_step if kernel else formula(moments._relative_step)
    return mock.patch.object(moments, "_relative_step", step)


def test_every_optimizer_over_slices_is_among_those_tested() -> None:
    kinds = {kind for kind, _ in OPTIMIZERS.values()}
    everything = {v for v in vars(optim).values() if isinstance(v, type) and issubclass(v, optim.Optimizer)}
    assert everything - kinds == {optim.Optimizer, optim.Muon}  # which is made of products


def test_an_infinite_or_missing_gradient_spreads_as_in_the_formula() -> None:
    g = xp.asarray([np.nan, np.inf, -np.inf, 0.0, 1.0], dtype="float32")
    for kind, options in OPTIMIZERS.values():
        results = []
        for kernel in (False, True):
            p = Parameter(xp.ones(5, dtype="float32"))
            optimizer = kind([p], **options)
            p.grad = g
            with running(None), _by(kind, kernel), np.errstate(all="ignore"):
                optimizer.step()
            results.append(to_numpy(p.data))
        np.testing.assert_array_equal(results[1], results[0], err_msg=kind.__name__)


def test_close_is_no_empty_check() -> None:
    with pytest.raises(AssertionError):
        close(xp.asarray([1.0]), xp.asarray([1.1]), "float32")
