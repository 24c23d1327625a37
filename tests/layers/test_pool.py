"""The pooling layers: each is its op."""

from typing import Any

import numpy as np
import pytest

from minidl import ops
from minidl.layers.pool import AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool

OPTIONS = {"stride": (1, 2), "padding": 1, "ceil_mode": True}


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("layer", "op", "options"),
    [
        (MaxPool(2), ops.max_pool, {"kernel_size": 2}),
        (
            MaxPool((3, 2), dilation=2, **OPTIONS),
            ops.max_pool,
            {"kernel_size": (3, 2), "dilation": 2, **OPTIONS},
        ),
        (AvgPool(2), ops.avg_pool, {"kernel_size": 2}),
        (
            AvgPool(3, count_include_pad=False, **OPTIONS),
            ops.avg_pool,
            {"kernel_size": 3, "count_include_pad": False, **OPTIONS},
        ),
        (GlobalMaxPool(), ops.global_max_pool, {}),
        (GlobalAvgPool(), ops.global_avg_pool, {}),
    ],
    ids=repr,
)
def test_it_is_its_op(layer: Any, op: Any, options: dict[str, Any]) -> None:
    x = normal(2, 7, 8, 3)
    y, pullback = op(x, **options)
    np.testing.assert_array_equal(layer.forward(x), y)
    np.testing.assert_array_equal(layer.predict(x), y)
    dy = normal(*y.shape, seed=1)
    np.testing.assert_array_equal(layer.backward(dy), pullback(dy))
    assert layer.parameters() == []
    assert layer.sample_wise


@pytest.mark.parametrize(
    "spelled",
    [
        "MaxPool(2)",
        "MaxPool((3, 2), stride=2, padding=1, dilation=2, ceil_mode=True)",
        "AvgPool(2)",
        "AvgPool(3, stride=1, padding='same', count_include_pad=False)",
        "GlobalMaxPool()",
        "GlobalAvgPool()",
    ],
)
def test_it_is_spelled_as_it_is_made(spelled: str) -> None:
    assert repr(eval(spelled)) == spelled


def test_an_error_names_the_layer() -> None:
    with pytest.raises(
        ValueError, match="max_pool: expected a kernel no larger than its padded input"
    ) as caught:
        MaxPool(9).forward(normal(1, 4, 4, 1))
    assert caught.value.__notes__ == ["in MaxPool(9)"]
