"""Adam and AdamW follow their formulas, element by element, and PyTorch."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.optim.adam import Adam, AdamW
from tests.optim.oracle import assert_equal, assert_fifty_steps_equal, draw, naive, ours


@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
@pytest.mark.parametrize("optimizer", [Adam, AdamW])
def test_twenty_steps_follow_the_formula(optimizer, weight_decay) -> None:
    lr, beta1, beta2, eps = 0.01, 0.8, 0.95, 1e-6

    def update(p, g, memory, t) -> float:
        if optimizer is Adam:
            g += weight_decay * p
        else:
            p *= 1 - lr * weight_decay
        memory["m"] = beta1 * memory.get("m", 0.0) + (1 - beta1) * g
        memory["v"] = beta2 * memory.get("v", 0.0) + (1 - beta2) * g**2
        return p - lr * memory["m"] / (1 - beta1**t) / (math.sqrt(memory["v"] / (1 - beta2**t)) + eps)

    def make(parameters) -> Adam | AdamW:
        return optimizer(parameters, lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay)

    start, gradients = draw(seed=0, steps=20)
    assert_equal(ours(make, start, gradients), naive(update, start, gradients), 1e-13)
    start, gradients = draw(seed=1, steps=20, dtype="float32")
    assert_equal(ours(make, start, gradients), naive(update, start, gradients), 2e-6)


@pytest.mark.parametrize("optimizer", [Adam, AdamW])
@given(
    seed=st.integers(0, 1000),
    lr=st.floats(1e-4, 0.1),
    betas=st.tuples(st.floats(0.0, 0.95), st.floats(0.5, 0.9999)),
    eps=st.sampled_from([1e-8, 1e-3]),
    weight_decay=st.sampled_from([None, 0.0, 0.1]),
)
def test_fifty_steps_equal_pytorch(torch, optimizer, seed, lr, betas, eps, weight_decay) -> None:
    options = {"lr": lr, "betas": betas, "eps": eps}
    if weight_decay is not None:
        options["weight_decay"] = weight_decay
    reference = getattr(torch.optim, optimizer.__name__)
    assert_fifty_steps_equal(torch, optimizer, reference, options, seed)


def test_the_first_step_is_as_long_as_the_rate_whatever_the_gradient() -> None:
    start, gradients = draw(seed=3, steps=1)
    moved = ours(lambda parameters: Adam(parameters, lr=0.5, eps=0.0), start, gradients)
    for before, after in zip(start, moved, strict=True):
        assert abs(after - before) == pytest.approx(0.5)
