"""Functional dropout: its seed, and its gradient through a Tensor."""

from minidl import backend
from minidl import functional as F
from minidl.tensor import Tensor
from tests.either import np


def test_a_seed_gives_the_same_mask_each_time():
    x = np.ones((8, 8))
    np.testing.assert_array_equal(F.dropout(x, seed=3), F.dropout(x, seed=3))
    assert not np.array_equal(F.dropout(x, seed=3), F.dropout(x, seed=4))


def test_without_a_seed_the_default_generator_draws_it():
    x = np.ones((8, 8))
    backend.seed(0)
    first, second = F.dropout(x), F.dropout(x)
    assert not np.array_equal(first, second)
    backend.seed(0)
    np.testing.assert_array_equal(F.dropout(x), first)


def test_the_gradient_has_the_mask_of_the_value():
    x = Tensor(np.ones((8, 8)), requires_grad=True)
    y = F.dropout(x, p=0.3, seed=0)
    y.backward(np.ones((8, 8)))
    np.testing.assert_array_equal(x.grad, y.data)
