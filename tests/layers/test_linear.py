"""The dense layer: its op, its fresh weights, its spelling, and what it refuses."""

import pytest

from minidl import init, ops
from minidl.layers import Linear
from minidl.testing import check_gradients
from tests.either import np

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 4, 3), (0, 3), (1, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_it_is_its_op_on_the_last_axis(shape, bias):
    layer = Linear(3, 2, bias=bias, seed=0, dtype="float64")
    x = RNG.normal(size=shape)
    y, pullback = ops.linear(x, layer.weight.data, layer.bias.data if bias else None)
    np.testing.assert_array_equal(layer.forward(x), y)
    dx, dw, db = pullback(y)
    np.testing.assert_array_equal(layer.backward(y), dx)
    np.testing.assert_array_equal(layer.weight.grad, dw)
    assert (layer.bias is None) == (db is None)
    check_gradients(layer, x)


def test_m22_fan_in_is_the_width_of_the_input():
    for shape in ((784, 10), (10, 784)):
        weight = Linear(*shape, seed=0).weight.data
        assert weight.shape == shape
        assert 0.99 * shape[0] ** -0.5 < abs(weight).max() <= shape[0] ** -0.5


def test_fresh_weights():
    a = Linear(3, 2, seed=1, dtype="float64")
    assert (a.weight.dtype, a.bias.dtype) == ("float64", "float64")
    np.testing.assert_array_equal(a.weight.data, Linear(3, 2, seed=1, dtype="float64").weight.data)
    assert (Linear(3, 2, seed=2).weight.data != Linear(3, 2, seed=1).weight.data).any()
    assert not a.bias.data.any()
    assert (Linear(3, 2, weight_init=init.constant(0.5)).weight.data == 0.5).all()
    assert Linear(3, 2).weight.dtype == "float32"
    assert [p.name for p in a.parameters()] == ["weight", "bias"]


@pytest.mark.parametrize("spelled", ["Linear(3, 2)", "Linear(3, 2, bias=False)"])
def test_it_is_spelled_as_it_is_made(spelled):
    assert repr(eval(spelled)) == spelled


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.ones((4, 5), "float32"), ValueError, r"linear: expected \(\.\.\., 3\), got \(4, 5\)"),
        (np.ones((4, 3, 1), "float32"), ValueError, r"got \(4, 3, 1\); flatten it first: Flatten\(\)"),
        (np.ones((4, 3), int), TypeError, "linear: expected a floating-point array, got int64; use minidl"),
        (
            np.ones((4, 3)),
            TypeError,
            r"expected float32 like the weights, got float64; use minidl.asarray\(x",
        ),
        ([[1.0, 2.0, 3.0]], TypeError, r"linear: expected an array, got list; convert it with minidl"),
    ],
)
def test_an_input_that_does_not_fit_is_refused_by_name_and_nothing_changes(x, error, message):
    layer = Linear(3, 2, seed=0)
    before = layer.state()
    for use in (layer.forward, layer.predict, layer.vjp):
        with pytest.raises(error, match=message) as caught:
            use(x)
        assert caught.value.__notes__ == ["in Linear(3, 2)"]
    assert all((array == before[path]).all() for path, array in layer.state().items())
    assert layer.weight.grad is None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 2), ValueError, "Linear: expected in_features of at least 1, got 0"),
        ((3, -1), ValueError, "Linear: expected out_features of at least 1, got -1"),
        ((3.0, 2), TypeError, "Linear: expected in_features as an int, got float"),
    ],
)
def test_sizes_that_are_none_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Linear(*arguments)
