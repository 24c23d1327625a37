"""Each known way to be wrong, planted in an op, is named."""

import functools

import pytest

from minidl import ops
from minidl.testing import GradientError, check_gradients
from minidl.testing.diagnosis import KINDS
from tests.either import np

RNG = np.random.default_rng(1)
X = RNG.normal(size=(5, 3))
W = RNG.normal(size=(3, 4))
SQUARE = RNG.normal(size=(5, 5))
KEPT = RNG.random((5, 3)) < 0.5
ROWS = np.array([0, 2, 2, 1, 2])


def wrong(op, change):
    """An op whose pullback is changed: ``change(pullback, dy, *arrays)``."""

    @functools.wraps(op)
    def planted(*arrays):
        y, pullback = op(*arrays)
        return y, lambda dy: change(pullback, dy, *arrays)

    return planted


def softmax_rows(x):
    return ops.softmax(x, axis=0)


def dropout(x):
    return x * KEPT * 2.5, lambda dy: dy * KEPT * 2.5


def bias(x, b):
    return x + b, lambda dy: (dy, dy.sum(axis=0))


def gather(x):
    return x[ROWS], lambda dy: (dx := np.zeros_like(x), np.add.at(dx, ROWS, dy))[0]


def scaled(x, w):
    return x * w, lambda dy: (dy * w, dy * x)


def mean_square(x):
    return ops.mse_loss(x, target=np.zeros_like(x))


def reverse(x):
    return x[::-1] * np.arange(1.0, 6.0)[:, None], lambda dy: (dy * np.arange(1.0, 6.0)[:, None])[::-1]


def residual(x):
    return x + np.tanh(x), lambda dy: dy + dy * (1 - np.tanh(x) ** 2)


def product(x):
    return x @ SQUARE[:3, :3], lambda dy: dy @ SQUARE[:3, :3].T


def overwriting(pullback, dy, x):
    dx = np.zeros_like(x)
    dx[ROWS] = dy
    return dx


def other_axis(pullback, dy, x):
    y = ops.softmax(x, axis=0)[0]
    return y * (dy - (dy * y).sum(axis=1, keepdims=True))


def whole_array(pullback, dy, x):
    y = ops.softmax(x, axis=0)[0]
    return y * (dy - (dy * y).sum())


def diagonal(pullback, dy, x):
    y = ops.softmax(x)[0]
    return dy * y * (1 - y)


PLANTED = [
    ("zero", ops.tanh, lambda p, dy, x: np.zeros_like(x), (X,)),
    ("sign", ops.tanh, lambda p, dy, x: -p(dy), (X,)),
    ("sign", ops.subtract, lambda p, dy, x, w: (p(dy)[0], dy), (X, X + 1)),
    ("identity", ops.softmax, lambda p, dy, x: dy.copy(), (X,)),
    ("upstream ignored", ops.softmax, lambda p, dy, x: p(np.ones_like(dy)), (X,)),
    ("upstream ignored", ops.tanh, lambda p, dy, x: p(np.ones_like(dy)), (X,)),
    ("upstream ignored", mean_square, lambda p, dy, x: p(np.ones_like(dy)), (X,)),
    ("averaged", bias, lambda p, dy, x, b: (dy, dy.mean(axis=0)), (X, W[:, 0])),
    ("averaged", ops.linear, lambda p, dy, x, w: (p(dy)[0], p(dy)[1] / len(x)), (X, W)),
    ("summed", mean_square, lambda p, dy, x: 2 * x * dy, (X,)),
    ("summed", mean_square, lambda p, dy, x: p(dy) * 3, (X,)),
    ("diagonal", ops.softmax, diagonal, (X,)),
    ("transposed", product, lambda p, dy, x: dy @ SQUARE[:3, :3], (X,)),
    ("transposed", ops.matmul, lambda p, dy, x, w: (p(dy)[0], p(dy)[1].T.copy()), (SQUARE, SQUARE + 1)),
    ("transposed", ops.linear, lambda p, dy, x, w: (p(dy)[0], p(dy)[1].T.copy()), (X, W)),
    ("other argument", scaled, lambda p, dy, x, w: p(dy)[::-1], (X, X + 1)),
    ("narrowed", ops.tanh, lambda p, dy, x: p(dy.astype(np.float32).astype(float)), (X,)),
    ("narrowed", ops.tanh, lambda p, dy, x: p(dy).astype(np.float32).astype(float), (X,)),
    ("narrowed", ops.tanh, lambda p, dy, x: p(dy).astype(np.float16).astype(float), (X,)),
    ("narrowed", ops.tanh, lambda p, dy, x: p(dy).astype(np.float32), (X,)),
    ("not linear", ops.tanh, lambda p, dy, x: p(dy * abs(dy)), (X,)),
    ("overwritten", gather, overwriting, (X,)),
    ("scale forgotten", dropout, lambda p, dy, x: dy * KEPT, (X,)),
    ("mask forgotten", dropout, lambda p, dy, x: dy * 2.5, (X,)),
    ("mask forgotten", ops.relu, lambda p, dy, x: np.where(x > 0, dy, 0.5 * dy), (X,)),
    ("axis ignored", softmax_rows, other_axis, (X,)),
    ("axis ignored", softmax_rows, whole_array, (X,)),
    ("flipped", reverse, lambda p, dy, x: p(dy)[::-1].copy(), (X,)),
    ("shortcut forgotten", residual, lambda p, dy, x: p(dy) - dy, (X,)),
    ("shortcut doubled", residual, lambda p, dy, x: p(dy) + dy, (X,)),
    ("not summed", bias, lambda p, dy, x, b: (dy, dy), (X, W[:, 0])),
    ("factor", ops.tanh, lambda p, dy, x: 1.001 * p(dy), (X,)),
    ("factor", ops.tanh, lambda p, dy, x: 0.37 * p(dy), (X,)),
]


@pytest.mark.parametrize(("kind", "op", "change", "arrays"), PLANTED)
def test_a_planted_mistake_is_named(kind, op, change, arrays):
    check_gradients(op, *arrays)
    with pytest.raises(GradientError) as caught:
        check_gradients(wrong(op, change), *arrays)
    assert caught.value.diagnosis == kind, caught.value
    assert "diagnosis: " in str(caught.value)


def test_every_kind_is_planted():
    assert {kind for kind, *_ in PLANTED} == {kind.name for kind in KINDS}
    assert len(KINDS) >= 12


def test_names_are_unique():
    assert len({kind.name for kind in KINDS}) == len(KINDS)


def test_a_mistake_of_no_known_kind_is_still_shown():
    with pytest.raises(GradientError, match="none of the known mistakes") as caught:
        check_gradients(wrong(ops.tanh, lambda p, dy, x: p(dy) + 0.1 * dy * x), X)
    assert caught.value.diagnosis is None
    assert caught.value.index == (0, 0)


def test_the_message_says_which_factor():
    with pytest.raises(GradientError, match=r"every entry is 1\.001 times the true one"):
        check_gradients(wrong(ops.tanh, lambda p, dy, x: 1.001 * p(dy)), X)
    with pytest.raises(GradientError, match=r"every entry is 1/5 of the true one"):
        check_gradients(wrong(ops.linear, lambda p, dy, x, w: (p(dy)[0], p(dy)[1] / 5)), X, W)


def test_the_message_says_whose_gradient_it_is():
    with pytest.raises(GradientError, match="this is the gradient of w"):
        check_gradients(wrong(scaled, lambda p, dy, x, w: p(dy)[::-1]), X, X + 1)


def test_arrays_too_large_for_a_diagnosis_are_still_refused():
    x = RNG.normal(size=3000)
    with pytest.raises(GradientError, match="no diagnosis: too large; try smaller arrays"):
        check_gradients(wrong(ops.tanh, lambda p, dy, x: 2 * p(dy)), x)
