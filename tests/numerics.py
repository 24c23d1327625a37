"""Gradients by finite differences, for the tests of single operations."""

from collections.abc import Callable
from typing import Any

from minidl.testing import check_gradients
from tests.either import np


def assert_pullback(op: Callable[..., Any], *arrays: Any) -> None:
    """The pullback of ``op`` is its derivative, pure and re-entrant, at these float64 arrays."""
    check_gradients(op, *arrays)
    gradients = op(*arrays)[1](np.ones_like(op(*arrays)[0]))
    for dx in gradients if isinstance(gradients, tuple) else (gradients,):
        assert dx is None or type(dx) is np.ndarray
