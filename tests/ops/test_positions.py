"""Positions: against their formulas on single numbers, and the geometry behind them."""

import math

import pytest

from minidl import functional as F
from minidl import init, layers, ops
from minidl.tensor import Tensor
from tests.either import np
from tests.numerics import assert_pullback

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 5, 6))


def test_learned_positions():
    w = RNG.normal(size=(8, 6))
    y, _ = ops.learned_positions(X, w)
    np.testing.assert_array_equal(y, X + w[:5])
    assert_pullback(ops.learned_positions, X, w)


@pytest.mark.parametrize("base", [10000.0, 50.0])
def test_sinusoidal_positions(base):
    y, _ = ops.sinusoidal_positions(X, base=base)
    for n, t, i in np.ndindex(2, 5, 3):
        angle = t / base ** (2 * i / 6)
        assert math.isclose(y[n, t, 2 * i], X[n, t, 2 * i] + math.sin(angle), rel_tol=1e-12)
        assert math.isclose(y[n, t, 2 * i + 1], X[n, t, 2 * i + 1] + math.cos(angle), rel_tol=1e-12)
    assert_pullback(ops.sinusoidal_positions, X)


@pytest.mark.parametrize("shape", [(5, 6), (2, 5, 6), (2, 3, 5, 6)])
def test_rotary_positions(shape):
    x = RNG.normal(size=shape)
    y, _ = ops.rotary_positions(x)
    for *lead, t, i in np.ndindex(*shape[:-1], 3):
        u, v = x[(*lead, t, i)], x[(*lead, t, i + 3)]
        turned = complex(u, v) * complex(math.cos(a := t / 10000 ** (2 * i / 6)), math.sin(a))
        np.testing.assert_allclose(y[(*lead, t, i)], turned.real, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(y[(*lead, t, i + 3)], turned.imag, rtol=1e-12, atol=1e-14)
    assert_pullback(ops.rotary_positions, x)


def test_products_of_turned_vectors_depend_on_their_distance_alone():
    q, k = (np.broadcast_to(RNG.normal(size=8), (20, 8)) for _ in range(2))
    products = ops.rotary_positions(q.copy())[0] @ ops.rotary_positions(k.copy())[0].T
    for distance in (0, 3, 7):
        np.testing.assert_allclose(np.diagonal(products, distance), products[0, distance], rtol=1e-10)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_m17_keeps_the_dtype(dtype):
    x, w = X.astype(dtype), np.ones((5, 6), dtype)
    for y, pullback in (ops.sinusoidal_positions(x), ops.rotary_positions(x)):
        assert y.dtype == pullback(x).dtype == dtype
    y, pullback = ops.learned_positions(x, w)
    assert {y.dtype, *(g.dtype for g in pullback(x))} == {np.dtype(dtype)}


def test_the_angles_are_exact_far_out():
    x = np.zeros((100_000, 2), "float32")
    y = ops.sinusoidal_positions(x)[0]
    np.testing.assert_allclose(y[-1], [math.sin(99_999), math.cos(99_999)], rtol=1e-6)


def test_the_layers_are_the_ops():
    x = X.astype("float32")
    learned = layers.LearnedPositions(8, 6, seed=0)
    assert 0.5 < abs(learned.weight.data).max() <= 1
    np.testing.assert_array_equal(learned.forward(x), ops.learned_positions(x, learned.weight.data)[0])
    np.testing.assert_array_equal(learned.backward(x), x)
    np.testing.assert_array_equal(learned.weight.grad[:5], x.sum(axis=0))
    assert not learned.weight.grad[5:].any()
    for layer, op in (
        (layers.SinusoidalPositions(50), ops.sinusoidal_positions),
        (layers.RotaryPositions(50), ops.rotary_positions),
    ):
        y, pullback = op(x, base=50.0)
        np.testing.assert_array_equal(layer.forward(x), y)
        np.testing.assert_array_equal(layer.backward(x), pullback(x))
    spelled = [learned, layers.SinusoidalPositions(), layers.RotaryPositions(50)]
    assert [*map(repr, spelled)] == [
        "LearnedPositions(8, 6)",
        "SinusoidalPositions()",
        "RotaryPositions(base=50.0)",
    ]
    half = layers.LearnedPositions(8, 6, dtype="float64", weight_init=init.constant(0.5)).weight.data
    assert (half == 0.5).all()


def test_the_functions_are_the_ops():
    w = RNG.normal(size=(5, 6))
    leaves = [Tensor(X, requires_grad=True), Tensor(w, requires_grad=True)]
    F.learned_positions(*leaves).backward(X)
    np.testing.assert_array_equal(leaves[1].grad, X.sum(axis=0))
    for function, op in (
        (F.sinusoidal_positions, ops.sinusoidal_positions),
        (F.rotary_positions, ops.rotary_positions),
    ):
        np.testing.assert_array_equal(function(X, 50.0), op(X, base=50.0)[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.learned_positions(X, np.ones((4, 6))), r"expected at most 4 steps, got \(2, 5, 6\)"),
        (lambda: ops.learned_positions(X, np.ones((8, 5))), r"expected \(N, T, C\) and \(L, C\)"),
        (lambda: ops.learned_positions(X[0], np.ones((8, 6))), r"expected \(N, T, C\) and \(L, C\)"),
        (lambda: ops.sinusoidal_positions(X[..., :5]), r"expected \(\.\.\., T, D\) with an even D"),
        (lambda: ops.rotary_positions(X[..., :5]), r"expected \(\.\.\., T, D\) with an even D"),
        (lambda: ops.rotary_positions(X[0, 0]), r"expected \(\.\.\., T, D\)"),
        (
            lambda: ops.rotary_positions(X, base=0.0),
            r"rotary_positions: expected base above 0 and finite, got 0\.0",
        ),
        (
            lambda: layers.RotaryPositions(-1.0),
            r"RotaryPositions: expected base above 0 and finite, got -1\.0",
        ),
        (lambda: layers.LearnedPositions(0, 6), "LearnedPositions: expected max_length of at least 1, got 0"),
    ],
)
def test_bad_values(call, message):
    with pytest.raises(ValueError, match=message):
        call()
