"""Muon brings all singular values of its momentum close to one, and stays close to PyTorch's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.backend import asarray, to_numpy, xp
from minidl.layers.parameter import Parameter
from minidl.optim.muon import Muon, orthogonalize

A, B, C = 3.4445, -4.7750, 2.0315


def draw(shape, seed) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 100))
def test_the_quintic_acts_on_the_singular_values_alone(rows, columns, seed) -> None:
    matrix = draw((rows, columns), seed)
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    s = s / np.sqrt((s**2).sum())
    for _ in range(5):
        s = A * s + B * s**3 + C * s**5
    np.testing.assert_allclose(to_numpy(orthogonalize(asarray(matrix))), u * s @ vt, atol=1e-8)


def test_a_well_conditioned_matrix_becomes_nearly_orthogonal() -> None:
    values = np.linalg.svd(to_numpy(orthogonalize(asarray(draw((20, 60), 0)))), compute_uv=False)
    assert 0.6 < values.min() <= values.max() < 1.3


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (2, 3, 4, 5)])
def test_twenty_steps_follow_the_formula(shape, nesterov) -> None:
    start, gradients = draw(shape, 0), [draw(shape, seed) for seed in range(1, 21)]
    p = Parameter(asarray(start.copy()))
    optimizer = Muon([p], lr=0.1, weight_decay=0.2, momentum=0.8, nesterov=nesterov)
    expected, mean = start.reshape(-1, shape[-1]), 0.0
    for g in gradients:
        p.grad = asarray(g)
        optimizer.step()
        g = g.reshape(-1, shape[-1])
        mean = 0.8 * mean + 0.2 * g
        u, s, vt = np.linalg.svd(0.8 * mean + 0.2 * g if nesterov else mean, full_matrices=False)
        s = s / np.sqrt((s**2).sum())
        for _ in range(5):
            s = A * s + B * s**3 + C * s**5
        scale = max(1.0, g.shape[1] / g.shape[0]) ** 0.5
        expected = expected * (1 - 0.1 * 0.2) - 0.1 * scale * (u * s @ vt)
    np.testing.assert_allclose(to_numpy(p.data), expected.reshape(shape), atol=1e-10)


@pytest.mark.parametrize("shape", [(6, 10), (10, 6)])
def test_fifty_steps_stay_with_pytorch_as_far_as_its_half_precision_goes(torch, shape) -> None:
    """PyTorch orthogonalizes in bfloat16, with a relative error of about one in a hundred."""
    start = draw(shape, 0)
    p, t = Parameter(asarray(start.copy())), torch.tensor(start.T.copy(), requires_grad=True)
    ours, theirs = Muon([p], lr=0.02), torch.optim.Muon([t], lr=0.02)
    for seed in range(1, 51):
        g = draw(shape, seed)
        p.grad, t.grad = asarray(g), torch.tensor(g.T.copy())
        ours.step()
        theirs.step()
    moved = np.linalg.norm(start - t.detach().numpy().T)
    assert np.linalg.norm(to_numpy(p.data) - t.detach().numpy().T) < 0.02 * moved


def test_half_precision_and_empty_parameters_work() -> None:
    ps = [Parameter(xp.ones((2, 3), "float16")), Parameter(xp.zeros((0, 3), "float16"))]
    for p in ps:
        p.grad = xp.ones(p.shape, "float16")
    optimizer = Muon(ps, lr=0.1)
    optimizer.step()
    assert ps[0].data.dtype == np.float16
    assert (to_numpy(ps[0].data) < 1.0).all()
    assert optimizer.state()["0.mean"].dtype == np.float32


def test_vectors_are_sent_to_another_optimizer() -> None:
    with pytest.raises(
        ValueError, match=r"Muon: expected parameters of at least 2 axes, got shape \(3,\); give"
    ):
        Muon([Parameter(xp.zeros(3))])
