"""Gradients by finite differences, for the tests of single operations."""

from collections.abc import Callable
from typing import Any

import numpy as np


def assert_pullback(op: Callable[..., Any], *arrays: Any, step: float = 1e-6, rtol: float = 1e-6) -> None:
    """The pullback of ``op`` is its derivative, pure and re-entrant, at these float64 arrays.

    Both sides are projected on a random upstream gradient and, one argument at a time, a random direction.
    """
    rng = np.random.default_rng(31_415)  # no seed of a test: the upstream must not be its data
    before = [a.copy() for a in arrays]
    y, pullback = op(*arrays)
    value, dy = y.copy(), rng.normal(size=y.shape)
    rounding = 64 * np.finfo(float).eps * abs(value * dy).sum() / step  # of the difference of two values
    upstream = dy.copy()
    gradients = [pullback(dy), pullback(dy)]
    once, twice = ((g,) if len(arrays) == 1 else g for g in gradients)

    for i, (x, dx, again) in enumerate(zip(arrays, once, twice, strict=True)):
        assert type(dx) is np.ndarray
        assert (dx.shape, dx.dtype) == (x.shape, x.dtype)
        np.testing.assert_array_equal(dx, again, err_msg="the pullback gives another answer the second time")
        direction = rng.normal(size=x.shape)
        sides = [op(*arrays[:i], x + s * step * direction, *arrays[i + 1 :])[0] for s in (1, -1)]
        numeric = ((sides[0] - sides[1]) * dy).sum() / (2 * step)
        scale = np.linalg.norm(dx) * np.linalg.norm(direction) + abs(numeric)
        np.testing.assert_allclose((dx * direction).sum(), numeric, rtol=rtol, atol=rtol * scale + rounding)

    for x, kept in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(x, kept, err_msg="an input was written to")
    np.testing.assert_array_equal(dy, upstream, err_msg="the upstream gradient was written to")
    np.testing.assert_array_equal(y, value, err_msg="the value changed in the backward pass")
