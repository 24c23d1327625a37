"""The activation layers: each is its op with the options it was made with."""

import pytest

from minidl import functional as F
from minidl import init, layers, ops
from minidl.tensor import Tensor
from tests.either import np

# the layer, its spelling, its op, the options
TABLE = [
    (layers.LeakyReLU(), "LeakyReLU()", "leaky_relu", {}),
    (layers.LeakyReLU(0.2), "LeakyReLU(negative_slope=0.2)", "leaky_relu", {"negative_slope": 0.2}),
    (layers.ReLU6(), "ReLU6()", "relu6", {}),
    (layers.HardTanh(), "HardTanh()", "hard_tanh", {}),
    (layers.HardTanh(-2, 0.5), "HardTanh(low=-2.0, high=0.5)", "hard_tanh", {"low": -2.0, "high": 0.5}),
    (layers.HardSigmoid(), "HardSigmoid()", "hard_sigmoid", {}),
    (layers.HardSwish(), "HardSwish()", "hard_swish", {}),
    (layers.ELU(), "ELU()", "elu", {}),
    (layers.ELU(0.5), "ELU(alpha=0.5)", "elu", {"alpha": 0.5}),
    (layers.CELU(2.0), "CELU(alpha=2.0)", "celu", {"alpha": 2.0}),
    (layers.SELU(), "SELU()", "selu", {}),
    (layers.GELU(), "GELU()", "gelu", {}),
    (layers.GELU("tanh"), "GELU(approximate='tanh')", "gelu", {"approximate": "tanh"}),
    (layers.SiLU(), "SiLU()", "silu", {}),
    (layers.Mish(), "Mish()", "mish", {}),
    (layers.Softplus(), "Softplus()", "softplus", {}),
    (layers.Softplus(2.0), "Softplus(beta=2.0)", "softplus", {"beta": 2.0}),
    (layers.Softsign(), "Softsign()", "softsign", {}),
    (layers.Softmin(), "Softmin()", "softmin", {}),
    (layers.Softmin(axis=1), "Softmin(axis=1)", "softmin", {"axis": 1}),
    (layers.GLU(), "GLU()", "glu", {}),
    (layers.GLU(axis=1), "GLU(axis=1)", "glu", {"axis": 1}),
]
EACH = pytest.mark.parametrize(("layer", "spelled", "op", "options"), TABLE, ids=[row[1] for row in TABLE])
X = np.random.default_rng(0).normal(size=(3, 4, 6)).astype("float32") * 2


@EACH
def test_it_is_its_op(layer, spelled, op, options):
    y, pullback = getattr(ops, op)(X, **options)
    dy = np.random.default_rng(1).normal(size=y.shape).astype("float32")
    np.testing.assert_array_equal(layer.forward(X), y)
    np.testing.assert_array_equal(layer.backward(dy), pullback(dy))
    np.testing.assert_array_equal(layer.predict(X), y)
    assert layer.parameters() == []
    assert repr(layer) == spelled


@EACH
def test_its_function_takes_arrays_and_tensors(layer, spelled, op, options):
    function = getattr(F, op)
    y, pullback = getattr(ops, op)(X, **options)
    dy = np.random.default_rng(1).normal(size=y.shape).astype("float32")
    np.testing.assert_array_equal(function(X, **options), y)
    leaf = Tensor(X, requires_grad=True)
    function(leaf, **options).backward(dy)
    np.testing.assert_array_equal(leaf.grad, pullback(dy))


@EACH
def test_a_batch_equals_its_rows(layer, spelled, op, options):
    if not layer.sample_wise:
        return
    np.testing.assert_array_equal(layer.forward(X), np.concatenate([layer.forward(row[None]) for row in X]))


@pytest.mark.parametrize("features", [1, 6])
def test_prelu_learns_its_slopes(features):
    layer = layers.PReLU(features)
    assert layer.weight.data.tolist() == [0.25] * features
    y, pullback = ops.prelu(X, layer.weight.data)
    np.testing.assert_array_equal(layer.forward(X), y)
    dx, dw = pullback(X)
    np.testing.assert_array_equal(layer.backward(X), dx)
    np.testing.assert_array_equal(layer.weight.grad, dw)
    assert repr(layer) == ("PReLU()" if features == 1 else "PReLU(6)")
    leaf = Tensor(X, requires_grad=True)
    F.prelu(leaf, layer.weight.data).backward(X)
    np.testing.assert_array_equal(leaf.grad, dx)


def test_prelu_takes_dtype_and_weight_init():
    assert layers.PReLU(3, dtype="float64").weight.data.dtype == np.float64
    assert layers.PReLU(3, weight_init=init.constant(0.5)).weight.data.tolist() == [0.5] * 3
    drawn = layers.PReLU(3, seed=0, weight_init=init.he_normal).weight.data
    np.testing.assert_array_equal(layers.PReLU(3, seed=0, weight_init=init.he_normal).weight.data, drawn)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.PReLU(0), ValueError, "PReLU: expected num_parameters of at least 1, got 0"),
        (lambda: layers.ELU("1"), TypeError, "ELU: expected alpha as a number, got str"),
        (lambda: layers.CELU(0), ValueError, "CELU: expected alpha above 0 and finite, got 0"),
        (lambda: layers.Softplus(0), ValueError, "Softplus: expected beta above 0 and finite, got 0"),
        (lambda: layers.HardTanh(1, -1), ValueError, "HardTanh: expected high above 1 and finite, got -1"),
        (
            lambda: layers.LeakyReLU(float("nan")),
            ValueError,
            "LeakyReLU: expected negative_slope finite, got nan",
        ),
        (
            lambda: layers.GELU("erf"),
            ValueError,
            'GELU: expected approximate as "none" or "tanh", got \'erf\'',
        ),
        (lambda: layers.GLU(axis=1.0), TypeError, "GLU: expected axis as an int, got float"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
