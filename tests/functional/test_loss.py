"""The functional losses: the operations on arrays and Tensors, with targets that take no gradient."""

import pytest

from minidl import functional as F
from minidl import ops
from minidl.tensor import Tensor
from tests.either import np

RNG = np.random.default_rng(0)
P, LABELS, WEIGHT = RNG.dirichlet(np.ones(4), 5), RNG.integers(0, 4, 5), RNG.random(4)
CASES = [
    (
        F.cross_entropy,
        ops.cross_entropy,
        LABELS,
        {"weight": WEIGHT, "ignore_index": 1, "label_smoothing": 0.1},
    ),
    (F.cross_entropy, ops.cross_entropy, P[::-1], {"reduction": "sum"}),
    (F.cross_entropy_probabilities, ops.cross_entropy_probabilities, LABELS, {"weight": WEIGHT}),
    (F.nll_loss, ops.nll_loss, LABELS, {"weight": WEIGHT, "ignore_index": 1, "reduction": "sum"}),
    (F.kl_div, ops.kl_div, np.log(P[::-1]), {"log_target": True, "reduction": "sum"}),
    (F.mse_loss, ops.mse_loss, P[::-1], {"reduction": "sum"}),
    (F.l1_loss, ops.l1_loss, P[::-1], {"reduction": "sum"}),
    (F.huber_loss, ops.huber_loss, P[::-1], {"delta": 0.1, "reduction": "sum"}),
    (F.smooth_l1_loss, ops.smooth_l1_loss, P[::-1], {"beta": 0.1, "reduction": "sum"}),
    (F.binary_cross_entropy, ops.binary_cross_entropy, P[::-1], {"pos_weight": WEIGHT, "reduction": "sum"}),
    (
        F.binary_cross_entropy_with_logits,
        ops.binary_cross_entropy_with_logits,
        P[::-1],
        {"pos_weight": WEIGHT, "reduction": "sum"},
    ),
    (F.focal_loss, ops.focal_loss, P[::-1], {"alpha": 0.5, "gamma": 1.0, "reduction": "sum"}),
    (F.hinge_loss, ops.hinge_loss, np.sign(P - 0.2), {"margin": 0.5, "reduction": "sum"}),
    (
        F.multi_margin_loss,
        ops.multi_margin_loss,
        LABELS,
        {"p": 2, "margin": 0.5, "weight": WEIGHT, "reduction": "sum"},
    ),
]
SINGLE = [function for function, *_ in CASES]


@pytest.mark.parametrize(("function", "op", "target", "options"), CASES)
def test_a_function_is_its_operation(function, op, target, options):
    y, pullback = op(P, target=target, **options)
    np.testing.assert_array_equal(function(P, target, **options), y)
    x = Tensor(P, requires_grad=True)
    loss = function(x, Tensor(target), **options)
    loss.backward()
    np.testing.assert_array_equal(loss.data, y)
    np.testing.assert_array_equal(x.grad, pullback(np.ones_like(y)))


@pytest.mark.parametrize("function", SINGLE)
def test_a_target_that_requires_a_gradient_is_refused(function):
    with pytest.raises(
        ValueError, match=f"{function.__name__}: targets and weights take no gradient.*detach"
    ):
        function(P, Tensor(P, requires_grad=True))


def test_a_detached_target_is_a_constant():
    np.testing.assert_array_equal(F.mse_loss(P, Tensor(P, requires_grad=True).detach()), 0)


def test_losses_of_several_predictions_have_a_gradient_for_each():
    others, signs = (P[::-1].copy(), RNG.random((5, 4))), np.array([1, -1, 1, -1, -1])
    for function, op, arrays, options in (
        (
            lambda a, b: F.cosine_embedding_loss(a, b, Tensor(signs), margin=0.1),
            ops.cosine_embedding_loss,
            (P, others[0]),
            {"target": signs, "margin": 0.1},
        ),
        (
            lambda *t: F.triplet_margin_loss(*t, margin=0.5, p=3),
            ops.triplet_margin_loss,
            (P, *others),
            {"margin": 0.5, "p": 3},
        ),
    ):
        y, pullback = op(*arrays, **options)
        leaves = [Tensor(x, requires_grad=True) for x in arrays]
        loss = function(*leaves)
        loss.backward()
        np.testing.assert_array_equal(loss.data, y)
        np.testing.assert_array_equal(function(*arrays), y)
        for leaf, gradient in zip(leaves, pullback(np.ones_like(y)), strict=True):
            np.testing.assert_array_equal(leaf.grad, gradient)
