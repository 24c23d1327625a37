"""The functional losses: the operations on arrays and Tensors, with targets that take no gradient."""

import numpy as np
import pytest

from minidl import functional as F
from minidl import ops
from minidl.tensor import Tensor

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
    (F.mse_loss, ops.mse_loss, P[::-1], {"reduction": "sum"}),
]


@pytest.mark.parametrize(("function", "op", "target", "options"), CASES)
def test_a_function_is_its_operation(function, op, target, options):
    y, pullback = op(P, target=target, **options)
    np.testing.assert_array_equal(function(P, target, **options), y)
    x = Tensor(P, requires_grad=True)
    loss = function(x, Tensor(target), **options)
    loss.backward()
    np.testing.assert_array_equal(loss.data, y)
    np.testing.assert_array_equal(x.grad, pullback(np.ones_like(y)))


@pytest.mark.parametrize("function", [F.cross_entropy, F.cross_entropy_probabilities, F.mse_loss])
def test_a_target_that_requires_a_gradient_is_refused(function):
    with pytest.raises(
        ValueError, match=f"{function.__name__}: targets and weights take no gradient.*detach"
    ):
        function(P, Tensor(P, requires_grad=True))
    function(P, Tensor(P, requires_grad=True).detach())
