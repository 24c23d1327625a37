"""The documented functions: arrays give arrays, Tensors give Tensors that know their gradients."""

from typing import Any

import pytest

from minidl import Tensor, ops
from minidl import functional as F
from tests.either import np

OPTIONS = {"stride": (1, 2), "padding": 1, "dilation": (2, 1), "ceil_mode": True}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("max_pool", {"kernel_size": 2}),
        ("max_pool", {"kernel_size": (2, 3), **OPTIONS}),
        ("avg_pool", {"kernel_size": 2}),
        ("avg_pool", {"kernel_size": (2, 3), "count_include_pad": False, **OPTIONS}),
        ("global_max_pool", {}),
        ("global_avg_pool", {}),
    ],
)
def test_it_is_its_op(name: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 7, 8, 3))
    y, pullback = getattr(ops, name)(x, **options)
    np.testing.assert_array_equal(getattr(F, name)(x, **options), y)
    tensor = Tensor(x, requires_grad=True)
    dy = rng.normal(size=y.shape)
    getattr(F, name)(tensor, **options).backward(dy)
    np.testing.assert_array_equal(tensor.grad, pullback(dy))
