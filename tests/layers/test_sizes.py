"""A size is a whole number, whichever library counts it: ``Linear(3, labels.max() + 1)``."""

from functools import partial

import pytest

from minidl import functional as F
from minidl import layers
from tests.either import np

SIZED = [
    (layers.Linear, (3, 4)),
    (layers.Embedding, (3, 4)),
    (partial(layers.Conv, kernel_size=3), (2, 4)),
    (partial(layers.ConvTranspose, kernel_size=3), (2, 4)),
    (layers.PReLU, (3,)),
    (layers.LearnedPositions, (5, 4)),
    (layers.LSTM, (3, 4)),
    (layers.MultiHeadAttention, (4, 2)),
    (layers.TransformerEncoderLayer, (4, 2, 8)),
]
NORMS = [
    (layers.BatchNorm, (3,)),
    (layers.LayerNorm, (3,)),
    (layers.GroupNorm, (2, 4)),
    (layers.InstanceNorm, (3,)),
    (layers.RMSNorm, (3,)),
]


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
@pytest.mark.parametrize(("make", "sizes"), [*SIZED, *NORMS])
def test_sizes_by_numpy_make_the_layer_that_plain_ones_make(make, sizes, kind) -> None:
    expected = make(*sizes)
    layer = make(*map(kind, sizes))
    assert repr(layer) == repr(expected)
    assert [p.shape for p in layer.parameters()] == [p.shape for p in expected.parameters()]
    assert not any(isinstance(value, np.integer) for value in vars(layer).values())


@pytest.mark.parametrize(("make", "sizes"), SIZED)
def test_a_boolean_is_no_size(make, sizes) -> None:
    with pytest.raises(TypeError, match=r"expected \w+ as an int, got bool"):
        make(True, *sizes[1:])


def test_a_boolean_is_no_width_of_a_norm() -> None:
    for make in (layers.BatchNorm, layers.LayerNorm, layers.RMSNorm):
        with pytest.raises(ValueError, match="expected positive ints to normalise over, got"):
            make(True)


def test_an_axis_by_numpy_is_that_axis() -> None:
    x = np.random.default_rng(0).normal(size=(2, 4, 3))
    for axis in (0, 1, -1):
        for f in (F.softmax, F.log_softmax, F.sum, F.mean, F.max):
            np.testing.assert_allclose(f(x, axis=np.int64(axis)), f(x, axis=axis), rtol=1e-14)
        layer = layers.Softmax(axis=np.int64(axis))
        assert repr(layer) == repr(layers.Softmax(axis=axis))
        np.testing.assert_array_equal(layer.forward(x), F.softmax(x, axis=axis))
    for use in (lambda: F.softmax(x, axis=True), lambda: layers.Softmax(axis=False)):
        with pytest.raises(TypeError, match="expected axis as an int, got bool"):
            use()


def test_counts_of_an_op_may_be_numpys() -> None:
    x, w = np.ones((1, 5, 5, 4)), np.ones((3, 3, 2, 4))
    np.testing.assert_array_equal(F.conv(x, w, groups=np.int64(2)), F.conv(x, w, groups=2))
    np.testing.assert_array_equal(
        F.conv_transpose(x, w, groups=np.int64(2)), F.conv_transpose(x, w, groups=2)
    )
