"""Every optimizer goes down: a curved valley, and a bowl whose gradients are noisy."""

import numpy as np
import pytest

from minidl import optim
from minidl.backend import asarray, to_numpy
from minidl.layers.parameter import Parameter
from minidl.optim.base import Optimizer

RATES = {
    "SGD": {"lr": 1e-3, "momentum": 0.9},
    "Adam": {"lr": 0.02},
    "AdamW": {"lr": 0.02},
    "RMSProp": {"lr": 0.01},
    "Adagrad": {"lr": 0.3},
    "Adadelta": {"lr": 1.0, "eps": 1e-4},
    "Adamax": {"lr": 0.03},
    "NAdam": {"lr": 0.02},
    "RAdam": {"lr": 0.02},
    "Lion": {"lr": 5e-3},
    "Muon": {"lr": 0.01},
}

# RAdam's first steps are plain momentum, and the valley begins steep.
VALLEY = RATES | {"RAdam": {"lr": 2e-3}}


def test_the_table_names_every_optimizer() -> None:
    public = {
        name
        for name, value in vars(optim).items()
        if isinstance(value, type) and issubclass(value, Optimizer)
    }
    assert public - {"Optimizer"} == RATES.keys()


def rosenbrock(p) -> tuple[float, np.ndarray]:
    x, y = p[:, 0], p[:, 1]
    slope = np.stack([-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)], axis=1)
    return float(((1 - x) ** 2 + 100 * (y - x**2) ** 2).sum()), slope


@pytest.mark.parametrize("name", RATES)
def test_rosenbrocks_valley_is_descended(name) -> None:
    p = Parameter(asarray(np.array([[-1.2, 1.0]])))
    optimizer = getattr(optim, name)([p], **VALLEY[name])
    first, _ = rosenbrock(to_numpy(p.data))
    for _ in range(300):
        _, slope = rosenbrock(to_numpy(p.data))
        p.grad = asarray(slope)
        optimizer.step()
    last, _ = rosenbrock(to_numpy(p.data))
    assert first == pytest.approx(24.2)
    assert last < 5.0


@pytest.mark.parametrize("name", RATES)
def test_a_noisy_bowl_is_descended(name) -> None:
    rng = np.random.default_rng(0)
    scales = np.geomspace(0.1, 10, 20).reshape(4, 5)
    p = Parameter(asarray(np.ones((4, 5))))
    optimizer = getattr(optim, name)([p], **RATES[name])
    losses = []
    for _ in range(300):
        x = to_numpy(p.data)
        losses.append(0.5 * float((scales * x**2).sum()))
        p.grad = asarray(scales * x + 0.1 * rng.standard_normal((4, 5)))
        optimizer.step()
    assert np.mean(losses[-20:]) < 0.3 * losses[0]
