"""SGD follows its formula, element by element, and PyTorch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.optim.sgd import SGD
from tests.optim.oracle import assert_equal, assert_fifty_steps_equal, draw, naive, ours


@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_twenty_steps_follow_the_formula(momentum, nesterov, weight_decay) -> None:
    def update(p, g, memory, t) -> float:
        g = g + weight_decay * p
        memory["v"] = momentum * memory.get("v", 0.0) + g
        return p - 0.1 * (g + momentum * memory["v"] if nesterov else memory["v"])

    def make(parameters) -> SGD:
        return SGD(parameters, lr=0.1, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)

    start, gradients = draw(seed=0, steps=20)
    assert_equal(ours(make, start, gradients), naive(update, start, gradients), 1e-13)
    start, gradients = draw(seed=1, steps=20, dtype="float32")
    assert_equal(ours(make, start, gradients), naive(update, start, gradients), 2e-6)


@given(
    seed=st.integers(0, 1000),
    lr=st.floats(1e-4, 1.0),
    momentum=st.sampled_from([0.0, 0.5, 0.99]),
    nesterov=st.booleans(),
    weight_decay=st.sampled_from([0.0, 0.1]),
)
def test_fifty_steps_equal_pytorch(torch, seed, lr, momentum, nesterov, weight_decay) -> None:
    options = {
        "lr": lr,
        "momentum": momentum,
        "nesterov": nesterov and momentum > 0,
        "weight_decay": weight_decay,
    }
    assert_fifty_steps_equal(torch, SGD, torch.optim.SGD, options, seed)


def test_nesterov_needs_momentum() -> None:
    with pytest.raises(ValueError, match="SGD: expected momentum > 0 for nesterov=True, got 0"):
        SGD([], lr=0.1, nesterov=True)
