"""RMSProp, Adagrad and Adadelta follow their formulas, element by element, and PyTorch."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.backend import to_numpy, xp
from minidl.layers.parameter import Parameter
from minidl.optim.adaptive import Adadelta, Adagrad, RMSProp
from tests.optim.oracle import assert_equal, assert_fifty_steps_equal, draw, naive, ours


def check_formula(make, update) -> None:
    start, gradients = draw(seed=0, steps=20)
    assert_equal(ours(make, start, gradients), naive(update, start, gradients), 1e-12)
    start, gradients = draw(seed=1, steps=20, dtype="float32")
    assert_equal(ours(make, start, gradients), naive(update, start, gradients), 5e-6)


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_twenty_steps_of_rmsprop_follow_the_formula(momentum, centered) -> None:
    def update(p, g, memory, t) -> float:
        g += 0.05 * p
        memory["s"] = 0.9 * memory.get("s", 0.0) + 0.1 * g**2
        memory["m"] = 0.9 * memory.get("m", 0.0) + 0.1 * g
        variance = memory["s"] - (memory["m"] ** 2 if centered else 0.0)
        memory["v"] = momentum * memory.get("v", 0.0) + g / (math.sqrt(variance) + 1e-3)
        return p - 0.01 * memory["v"]

    check_formula(lambda ps: RMSProp(ps, 0.01, 0.9, 1e-3, 0.05, momentum, centered), update)


def test_twenty_steps_of_adagrad_follow_the_formula() -> None:
    def update(p, g, memory, t) -> float:
        g += 0.05 * p
        memory["s"] = memory.get("s", 0.25) + g**2
        return p - 0.1 / (1 + (t - 1) * 0.02) * g / (math.sqrt(memory["s"]) + 1e-3)

    check_formula(lambda ps: Adagrad(ps, 0.1, 0.02, 0.05, 0.25, 1e-3), update)


def test_twenty_steps_of_adadelta_follow_the_formula() -> None:
    def update(p, g, memory, t) -> float:
        g += 0.05 * p
        memory["s"] = 0.8 * memory.get("s", 0.0) + 0.2 * g**2
        change = math.sqrt((memory.get("d", 0.0) + 1e-4) / (memory["s"] + 1e-4)) * g
        memory["d"] = 0.8 * memory.get("d", 0.0) + 0.2 * change**2
        return p - 0.5 * change

    check_formula(lambda ps: Adadelta(ps, 0.5, 0.8, 1e-4, 0.05), update)


@given(
    st.integers(0, 1000),
    st.fixed_dictionaries(
        {"lr": st.floats(1e-4, 0.1)},
        optional={
            "alpha": st.floats(0.5, 0.999),
            "eps": st.sampled_from([1e-8, 1e-3]),
            "weight_decay": st.floats(0.0, 0.2),
            "momentum": st.floats(0.0, 0.95),
        },
    ),
)
def test_fifty_steps_of_rmsprop_equal_pytorch(torch, seed, options) -> None:
    assert_fifty_steps_equal(torch, RMSProp, torch.optim.RMSprop, options, seed)


@given(st.integers(0, 1000), st.floats(1e-4, 0.1), st.floats(0.5, 0.99), st.floats(0.0, 0.95))
def test_fifty_steps_of_centered_rmsprop_equal_pytorch(torch, seed, lr, alpha, momentum) -> None:
    options = {"lr": lr, "alpha": alpha, "momentum": momentum, "centered": True, "eps": 1e-3}
    assert_fifty_steps_equal(torch, RMSProp, torch.optim.RMSprop, options, seed)


@given(
    st.integers(0, 1000),
    st.fixed_dictionaries(
        {},
        optional={
            "lr": st.floats(1e-4, 1.0),
            "lr_decay": st.floats(0.0, 0.5),
            "eps": st.sampled_from([1e-10, 1e-3]),
            "weight_decay": st.floats(0.0, 0.2),
            "initial_accumulator_value": st.sampled_from([0.0, 0.1]),
        },
    ),
)
def test_fifty_steps_of_adagrad_equal_pytorch(torch, seed, options) -> None:
    assert_fifty_steps_equal(torch, Adagrad, torch.optim.Adagrad, options, seed)


@given(
    st.integers(0, 1000),
    st.fixed_dictionaries(
        {},
        optional={
            "lr": st.floats(1e-3, 2.0),
            "rho": st.floats(0.5, 0.99),
            "eps": st.sampled_from([1e-6, 1e-3]),
            "weight_decay": st.floats(0.0, 0.2),
        },
    ),
)
def test_fifty_steps_of_adadelta_equal_pytorch(torch, seed, options) -> None:
    assert_fifty_steps_equal(torch, Adadelta, torch.optim.Adadelta, options, seed)


def test_a_constant_gradient_has_no_variance_and_gives_no_nan() -> None:
    p = Parameter(xp.zeros(1000, "float32"))
    optimizer = RMSProp([p], alpha=0.5, centered=True)
    for _ in range(100):
        p.grad = xp.asarray(np.linspace(0.1, 10, 1000), dtype="float32")
        optimizer.step()
    assert np.isfinite(to_numpy(p.data)).all()
