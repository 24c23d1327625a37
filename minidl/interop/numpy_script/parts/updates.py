"""Updates of the weights, in place."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]


def sgd(p: Arrays, g: Arrays, lr: float = 0.01) -> None:
    """p -= lr g, for each weight that has a gradient."""
    for name, gradient in g.items():
        p[name] -= lr * gradient


def adam(
    p: Arrays, g: Arrays, state: dict[str, Any], lr: float = 1e-3, b1: float = 0.9, b2: float = 0.999
) -> None:
    """p -= lr m / (sqrt(v) + eps), with the running means m of g and v of g^2, freed from their start at 0.

    ``state`` is an empty dict at first (Kingma and Ba, 2015).
    """
    t = state["t"] = state.get("t", 0) + 1
    means, squares = state.setdefault("m", {}), state.setdefault("v", {})
    for name, gradient in g.items():
        m = means[name] = b1 * means.get(name, 0) + (1 - b1) * gradient
        v = squares[name] = b2 * squares.get(name, 0) + (1 - b2) * gradient * gradient
        p[name] -= lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + 1e-8)
