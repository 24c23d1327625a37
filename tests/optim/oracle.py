"""Runs an optimizer and a reference side by side on the same drawn gradients."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minidl.backend import asarray, to_numpy
from minidl.layers.parameter import Parameter

SHAPES = ((3, 2), (), (4,), (1, 2, 2))


def draw(seed: int, steps: int, dtype: str = "float64") -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
    """Starting values, and gradients for each step: some large, some tiny, some zero."""
    rng = np.random.default_rng(seed)

    def normal(shape, scale=1.0) -> np.ndarray:
        return np.asarray(scale * rng.standard_normal(shape)).astype(dtype)

    start = [normal(shape) for shape in SHAPES]
    scales = 10.0 ** rng.uniform(-3, 1, len(SHAPES))
    return start, [[normal(s, k) for s, k in zip(SHAPES, scales, strict=True)] for _ in range(steps)]


def ours(make: Callable[..., Any], start, gradients, between=lambda optimizer: optimizer) -> list[np.ndarray]:
    """Parameters after following the gradients; `between` may replace the optimizer after each step."""
    optimizer = make([Parameter(asarray(a.copy())) for a in start])
    for step in gradients:
        for p, g in zip(optimizer.parameters, step, strict=True):
            p.grad = asarray(g)
        optimizer.step()
        optimizer = between(optimizer)
    return [to_numpy(p.data) for p in optimizer.parameters]


def naive(update: Callable[..., float], start, gradients) -> list[np.ndarray]:
    """The same, element by element in Python floats: ``update(p, g, memory, t) -> p``."""
    result = []
    for number, array in enumerate(start):
        p = array.astype(np.float64)
        for index in np.ndindex(array.shape):
            memory: dict[str, float] = {}
            value = float(p[index])
            for t, step in enumerate(gradients, 1):
                value = update(value, float(step[number][index]), memory, t)
            p[index] = value
        result.append(p)
    return result


def theirs(
    torch: Any, make: Callable[..., Any], start, gradients, after=lambda optimizer: None
) -> list[np.ndarray]:
    """The same by an optimizer of PyTorch."""
    parameters = [torch.tensor(a, requires_grad=True) for a in start]
    optimizer = make(parameters)
    for step in gradients:
        for p, g in zip(parameters, step, strict=True):
            p.grad = torch.tensor(g)
        optimizer.step()
        after(optimizer)
    return [p.detach().numpy() for p in parameters]


def assert_fifty_steps_equal(torch, our_class, their_class, options: dict[str, Any], seed: int) -> None:
    """Equal to PyTorch, to 1e-6 in double precision and 1e-5 in single.

    Some settings amplify rounding from step to step: in single precision we may be as far from PyTorch as
    a few times its distance from its own result in double.
    """

    def make(parameters) -> Any:
        return our_class(parameters, **options)

    def reference(parameters) -> Any:
        return their_class(parameters, **options)

    for dtype, tolerance in (("float64", 1e-6), ("float32", 1e-5)):
        start, gradients = draw(seed, 50, dtype)
        expected = theirs(torch, reference, start, gradients)
        exact = theirs(torch, reference, doubled(start), [doubled(step) for step in gradients])
        for a, b, c in zip(ours(make, start, gradients), expected, exact, strict=True):
            assert a.dtype == b.dtype == dtype
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance + 4 * abs(b - c).max())


def doubled(arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [a.astype("float64") for a in arrays]


def assert_equal(actual: list[np.ndarray], expected: list[np.ndarray], tolerance: float) -> None:
    """Equal up to a tolerance relative to the larger of 1 and the value."""
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
