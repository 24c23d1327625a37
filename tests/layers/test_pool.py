"""The pooling layers: each is its op."""

from typing import Any

import pytest

from minidl import ops
from minidl.layers.pool import AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool
from tests.either import np

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


@pytest.mark.parametrize("layer", [MaxPool, AvgPool])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"kernel_size": 0}, ValueError, "expected kernel_size of at least 1, got 0"),
        ({"kernel_size": 2.5}, TypeError, "expected kernel_size as an int or one for each axis, got 2.5"),
        ({"kernel_size": (1, 1, 1, 1)}, ValueError, "expected options for one to three axes, got 4"),
        ({"kernel_size": 2, "stride": 0}, ValueError, "expected stride of at least 1, got 0"),
        ({"kernel_size": (2, 2), "stride": (1,)}, ValueError, "expected stride of 2 entries"),
        ({"kernel_size": 2, "padding": -1}, ValueError, "expected padding of at least 0, got -1"),
        ({"kernel_size": 2, "padding": ((1, 0), 0, 1)}, None, ""),
        ({"kernel_size": 2, "padding": "same"}, None, ""),
        ({"kernel_size": 2, "dilation": 0}, ValueError, "expected dilation of at least 1, got 0"),
    ],
)
def test_options_that_fit_no_image_are_refused_at_once(
    layer: Any, options: Any, error: Any, message: str
) -> None:
    if error is None:
        layer(**options)
        return
    with pytest.raises(error, match=f"{layer.__name__}: {message}"):
        layer(**options)
