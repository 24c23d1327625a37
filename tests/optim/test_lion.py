"""Lion follows its formula, and every step is as long as the rate in every coordinate."""

import numpy as np

from minidl.optim.lion import Lion
from tests.optim.oracle import assert_equal, draw, naive, ours


def test_twenty_steps_follow_the_formula() -> None:
    def update(p, g, memory, t) -> float:
        m = memory.get("m", 0.0)
        memory["m"] = 0.95 * m + 0.05 * g
        return p * (1 - 0.01 * 0.1) - 0.01 * float(np.sign(0.8 * m + 0.2 * g))

    def make(parameters) -> Lion:
        return Lion(parameters, lr=0.01, betas=(0.8, 0.95), weight_decay=0.1)

    for seed, dtype, tolerance in ((0, "float64", 1e-13), (1, "float32", 2e-6)):
        start, gradients = draw(seed, 20, dtype)
        assert_equal(ours(make, start, gradients), naive(update, start, gradients), tolerance)


def test_without_decay_every_coordinate_moves_by_the_rate() -> None:
    start, gradients = draw(seed=2, steps=1)
    for before, after in zip(start, ours(lambda ps: Lion(ps, lr=0.5), start, gradients), strict=True):
        np.testing.assert_allclose(abs(after - before), 0.5)
