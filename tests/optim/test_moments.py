"""Adamax, NAdam and RAdam follow their formulas, element by element, and PyTorch."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.optim.moments import Adamax, NAdam, RAdam
from tests.optim.oracle import assert_equal, assert_fifty_steps_equal, draw, naive, ours, theirs

LR, BETA1, BETA2, EPS, DECAY = 0.01, 0.8, 0.95, 1e-6, 0.05


def averages(g, memory) -> tuple[float, float]:
    memory["m"] = BETA1 * memory.get("m", 0.0) + (1 - BETA1) * g
    memory["v"] = BETA2 * memory.get("v", 0.0) + (1 - BETA2) * g**2
    return memory["m"], memory["v"]


def adamax(p, g, memory, t) -> float:
    m, _ = averages(g + DECAY * p, memory)
    memory["u"] = max(BETA2 * memory.get("u", 0.0), abs(g + DECAY * p) + EPS)
    return p - LR / (1 - BETA1**t) * m / memory["u"]


def nadam(p, g, memory, t) -> float:
    g += DECAY * p
    m, v = averages(g, memory)
    mu = [BETA1 * (1 - 0.96 ** (i * 0.004) / 2) for i in range(t + 2)]
    root = math.sqrt(v / (1 - BETA2**t)) + EPS
    ahead = mu[t + 1] * m / (1 - math.prod(mu[1 : t + 2]))
    return p - LR * (ahead + (1 - mu[t]) * g / (1 - math.prod(mu[1 : t + 1]))) / root


def radam(p, g, memory, t) -> float:
    m, v = averages(g + DECAY * p, memory)
    limit = 2 / (1 - BETA2) - 1
    length = limit - 2 * t * BETA2**t / (1 - BETA2**t)
    if length <= 5:
        return p - LR * m / (1 - BETA1**t)
    factor = math.sqrt((length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length))
    return p - LR * m / (1 - BETA1**t) * factor * math.sqrt(1 - BETA2**t) / (math.sqrt(v) + EPS)


@pytest.mark.parametrize(("optimizer", "update"), [(Adamax, adamax), (NAdam, nadam), (RAdam, radam)])
def test_twenty_steps_follow_the_formula(optimizer, update) -> None:
    def make(parameters):
        return optimizer(parameters, LR, betas=(BETA1, BETA2), eps=EPS, weight_decay=DECAY)

    start, gradients = draw(seed=0, steps=20)
    assert_equal(ours(make, start, gradients), naive(update, start, gradients), 1e-12)
    start, gradients = draw(seed=1, steps=20, dtype="float32")
    assert_equal(ours(make, start, gradients), naive(update, start, gradients), 5e-6)


common = {
    "lr": st.floats(1e-4, 0.1),
    "betas": st.tuples(st.floats(0.0, 0.95), st.floats(0.5, 0.9999)),
    "eps": st.sampled_from([1e-8, 1e-3]),
    "weight_decay": st.floats(0.0, 0.2),
}
decoupled = {"decoupled_weight_decay": st.booleans()}


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        (Adamax, common),
        (NAdam, common | decoupled | {"momentum_decay": st.floats(0, 0.1)}),
        (RAdam, common | decoupled),
    ],
    ids=["Adamax", "NAdam", "RAdam"],
)
@given(data=st.data(), seed=st.integers(0, 1000))
def test_fifty_steps_equal_pytorch(torch, optimizer, options, data, seed) -> None:
    drawn = data.draw(st.fixed_dictionaries({}, optional=options))
    reference = getattr(torch.optim, optimizer.__name__)
    assert_fifty_steps_equal(torch, optimizer, reference, drawn, seed)


def test_long_runs_of_nadam_equal_pytorch(torch) -> None:
    start, gradients = draw(seed=0, steps=600)
    expected = theirs(torch, torch.optim.NAdam, start, gradients)
    assert_equal(ours(NAdam, start, gradients), expected, 1e-10)
