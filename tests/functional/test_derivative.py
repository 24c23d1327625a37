"""Derivatives of whole functions: a pullback for any composition, and the table of all derivatives."""

import pytest

import minidl
from minidl import functional as F
from tests.either import np

X, W = np.random.default_rng(0).uniform(0.5, 2.0, size=(2, 3, 3))


def test_vjp_of_any_composition_and_its_pullback_is_re_entrant():
    pullback = minidl.vjp(lambda a, b: (a @ b, a.sum()), X, W)[1]
    dys = [(W.T, np.asarray(float(k))) for k in (1, 2)]
    first, second, again = pullback(dys[0]), pullback(dys[1]), pullback(dys[0])
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(second[0] - first[0], 1)
    np.testing.assert_allclose(first[0], dys[0][0] @ W.T + 1)
    dx, dw = pullback((None, np.asarray(2.0)))
    assert (dx == 2).all()
    assert (dw == 0).all()  # nothing of it was used


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: minidl.vjp(F.relu, X)[1](X[0]), ValueError, r"vjp: gradient: expected shape \(3, 3\), got"),
        (lambda: minidl.vjp(lambda x: (x, x), X)[1](X), ValueError, "vjp: expected a tuple of 2 gradients"),
        (
            lambda: minidl.vjp(F.relu, np.arange(3)),
            TypeError,
            "only floating-point data can require a gradient",
        ),
        (lambda: minidl.jacobian(F.relu, [1.0]), TypeError, "jacobian: expected an array, got list"),
        (
            lambda: minidl.jacobian(F.sum, X, per_sample=True),
            ValueError,
            r"jacobian: expected \(N, ...\) to \(N, ...\) for per_sample, got \(3, 3\) to \(\)",
        ),
    ],
)
def test_vjp_and_jacobian_refuse_what_does_not_fit(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_jacobian_holds_all_first_derivatives():
    table = minidl.jacobian(lambda x: x @ W, X)
    np.testing.assert_array_equal(table, np.einsum("ik,lj->ijkl", np.eye(3), W))
    rows = minidl.jacobian(lambda x: x @ W, X, per_sample=True)
    np.testing.assert_array_equal(rows, np.stack([W.T] * 3))
    assert minidl.jacobian(F.sum, X).tolist() == np.ones((3, 3)).tolist()
    assert minidl.jacobian(F.relu, np.ones((0, 2))).shape == (0, 2, 0, 2)
    assert minidl.jacobian(lambda x: F.softmax(x)[:0], X).shape == (0, 3, 3, 3)


def test_jacobian_of_two_numbers_by_softmax():
    table = minidl.jacobian(F.softmax, np.array([[1.0, 2.0]]), per_sample=True)
    np.testing.assert_allclose(table, [[[0.19661193, -0.19661193], [-0.19661193, 0.19661193]]], atol=5e-9)
