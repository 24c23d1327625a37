"""The activations: each against its formula on single numbers, PyTorch, and its own finite differences."""

import functools
import math
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import ops
from tests.either import np
from tests.numerics import assert_pullback

A, S = 1.6732632423543772, 1.0507009873554805


def softplus(v):
    return max(v, 0) + math.log1p(math.exp(-abs(v)))


def sigmoid(v):
    return math.exp(min(v, 0)) / (1 + math.exp(-abs(v)))


# op, options, the formula for one number, where it has a kink, the name in torch.nn.functional, options there
TABLE = [
    ("leaky_relu", {}, lambda v: v if v > 0 else 0.01 * v, [0], "leaky_relu", {}),
    ("leaky_relu", {"negative_slope": 0.3}, lambda v: v if v > 0 else 0.3 * v, [0], "leaky_relu", None),
    ("relu6", {}, lambda v: min(max(v, 0), 6), [0, 6], "relu6", {}),
    ("hard_tanh", {}, lambda v: min(max(v, -1), 1), [-1, 1], "hardtanh", {}),
    (
        "hard_tanh",
        {"low": -2.0, "high": 0.5},
        lambda v: min(max(v, -2), 0.5),
        [-2, 0.5],
        "hardtanh",
        {"min_val": -2.0, "max_val": 0.5},
    ),
    ("hard_sigmoid", {}, lambda v: min(max(v / 6 + 0.5, 0), 1), [-3, 3], "hardsigmoid", {}),
    ("hard_swish", {}, lambda v: v * min(max(v / 6 + 0.5, 0), 1), [-3, 3], "hardswish", {}),
    ("elu", {}, lambda v: v if v > 0 else math.expm1(v), [], "elu", {}),
    ("elu", {"alpha": 0.7}, lambda v: v if v > 0 else 0.7 * math.expm1(v), [0], "elu", None),
    ("celu", {"alpha": 0.7}, lambda v: v if v > 0 else 0.7 * math.expm1(v / 0.7), [], "celu", None),
    ("celu", {"alpha": 3.0}, lambda v: v if v > 0 else 3 * math.expm1(v / 3), [], "celu", None),
    ("selu", {}, lambda v: S * v if v > 0 else S * A * math.expm1(v), [0], "selu", {}),
    ("gelu", {}, lambda v: v * (1 + math.erf(v / math.sqrt(2))) / 2, [], "gelu", {}),
    (
        "gelu",
        {"approximate": "tanh"},
        lambda v: v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))) / 2,
        [],
        "gelu",
        None,
    ),
    ("silu", {}, lambda v: v * sigmoid(v), [], "silu", {}),
    ("mish", {}, lambda v: v * math.tanh(softplus(v)), [], "mish", {}),
    ("softplus", {}, softplus, [], "softplus", {}),
    ("softplus", {"beta": 0.4}, lambda v: softplus(0.4 * v) / 0.4, [], "softplus", None),
    (
        "softplus",
        {"beta": 3.0},
        lambda v: softplus(3 * v) / 3,
        [],
        "softplus",
        {"beta": 3.0, "threshold": 90},
    ),
    ("softsign", {}, lambda v: v / (1 + abs(v)), [], "softsign", {}),
]
EACH = pytest.mark.parametrize(
    ("name", "options", "formula", "kinks", "theirs", "their_options"),
    TABLE,
    ids=[f"{name}-{options}" for name, options, *_ in TABLE],
)


def bound(name, options):
    return functools.partial(getattr(ops, name), **options)


def away_from(kinks, shape, seed=0, scale=3.0):
    """Random numbers, those close to a kink moved off it."""
    x = np.random.default_rng(seed).normal(size=shape) * scale
    for kink in kinks:
        x[abs(x - kink) < 1e-3] += 0.01
    return x


@EACH
def test_equals_its_formula(name, options, formula, kinks, theirs, their_options):
    x = np.concatenate([np.linspace(-9, 9, 401), [-700.0, 700.0, 1e-12, -1e-12], kinks])
    np.testing.assert_allclose(
        bound(name, options)(x)[0], [formula(v) for v in x.tolist()], rtol=1e-13, atol=1e-15
    )


@EACH
def test_gradient(name, options, formula, kinks, theirs, their_options):
    assert_pullback(bound(name, options), away_from(kinks, (4, 7)))


@EACH
def test_equals_pytorch(torch, name, options, formula, kinks, theirs, their_options):
    x = away_from([], (5, 6), seed=1)
    dy = np.random.default_rng(2).normal(size=x.shape)
    leaf = torch.tensor(x, requires_grad=True)
    options_there = options if their_options is None else their_options
    expected = getattr(torch.nn.functional, theirs)(leaf, **options_there)
    expected.backward(torch.tensor(dy))
    y, pullback = bound(name, options)(x)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-12, atol=1e-14)
    # PyTorch divides by its options in single precision in the backward of these two
    rtol = 1e-6 if name in ("hard_sigmoid", "celu") else 1e-12
    np.testing.assert_allclose(pullback(dy), leaf.grad.numpy(), rtol=rtol, atol=1e-14)


@EACH
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_m17_keeps_the_dtype(name, options, formula, kinks, theirs, their_options, dtype):
    x = away_from(kinks, (6, 5)).astype(dtype)
    y, pullback = bound(name, options)(x)
    assert y.dtype == pullback(np.ones_like(x)).dtype == dtype
    rtol = {"float16": 2e-3, "float32": 2e-6, "float64": 1e-13}[dtype]
    np.testing.assert_allclose(y, [[formula(v) for v in row] for row in x.tolist()], rtol=rtol, atol=rtol)


@EACH
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_no_finite_input_warns(name, options, formula, kinks, theirs, their_options, dtype):
    top = np.finfo(dtype).max / 4
    x = np.array([-top, -(top**0.5), top**0.5, top, -89, 89, -710, 710, 0], dtype=dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y, pullback = bound(name, options)(x)
        dx = pullback(np.ones_like(x))
    assert np.isfinite(y).all()
    assert np.isfinite(dx).all()


@EACH
@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1, 1)])
def test_small_shapes(name, options, formula, kinks, theirs, their_options, shape):
    y, pullback = bound(name, options)(np.full(shape, 0.25))
    dx = pullback(np.ones(shape))
    assert (type(y), y.shape, type(dx), dx.shape) == (np.ndarray, shape, np.ndarray, shape)


@EACH
def test_nan_stays_nan(name, options, formula, kinks, theirs, their_options):
    assert np.isnan(bound(name, options)(np.array([np.nan]))[0]).all()


@EACH
def test_wrong_types(name, options, formula, kinks, theirs, their_options):
    with pytest.raises(TypeError, match=f"{name}: expected an array, got list"):
        bound(name, options)([1.0])
    with pytest.raises(TypeError, match=f"{name}: expected a floating-point array, got int64"):
        bound(name, options)(np.ones(3, dtype=np.int64))


@pytest.mark.parametrize(
    ("name", "at", "expected"),
    [
        ("leaky_relu", [0.0], [0.01]),
        ("relu6", [0.0, 6.0], [0.0, 0.0]),
        ("hard_tanh", [-1.0, 1.0], [0.0, 0.0]),
        ("hard_sigmoid", [-3.0, 3.0], [0.0, 0.0]),
        ("hard_swish", [-3.0, 3.0], [0.0, 1.0]),
        ("elu", [0.0], [1.0]),
        ("selu", [0.0], [S * A]),
    ],
)
def test_the_derivative_at_a_kink_is_the_documented_one(name, at, expected):
    x = np.array(at)
    np.testing.assert_allclose(getattr(ops, name)(x)[1](np.ones_like(x)), expected, rtol=1e-15)


@pytest.mark.parametrize("features", [1, 5])
@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 5)])
def test_prelu(torch, features, shape):
    rng = np.random.default_rng(3)
    x, w, dy = rng.normal(size=shape), rng.normal(size=features), rng.normal(size=shape)
    y, pullback = ops.prelu(x, w)
    slopes = np.broadcast_to(w, shape)
    expected = [v if v > 0 else s * v for v, s in zip(x.ravel(), slopes.ravel(), strict=True)]
    np.testing.assert_allclose(y.ravel(), expected, rtol=1e-15)
    assert_pullback(ops.prelu, x, w)
    leaves = [torch.tensor(a, requires_grad=True) for a in (x.reshape(-1, 5), w)]
    torch.nn.functional.prelu(*leaves).backward(torch.tensor(dy.reshape(-1, 5)))
    dx, dw = pullback(dy)
    np.testing.assert_allclose(dx.reshape(-1, 5), leaves[0].grad.numpy(), rtol=1e-13)
    np.testing.assert_allclose(dw, leaves[1].grad.numpy(), rtol=1e-12)


def test_prelu_of_a_single_number_and_of_nothing():
    y, pullback = ops.prelu(np.array(-2.0), np.array([0.5]))
    dx, dw = pullback(np.array(3.0))
    assert (y, dx, dw.tolist()) == (-1.0, 1.5, [-6.0])
    assert [type(a) for a in (y, dx, dw)] == [np.ndarray] * 3
    assert ops.prelu(np.zeros((0, 5)), np.ones(5))[1](np.zeros((0, 5)))[1].tolist() == [0] * 5


def test_prelu_sums_half_precision_in_single():
    x = np.full((4096, 1), -1.0, dtype="float16")
    dx, dw = ops.prelu(x, np.array([0.25], dtype="float16"))[1](np.ones_like(x))
    assert (dx.dtype, dw.dtype, dw.tolist()) == ("float16", "float16", [-4096.0])


@pytest.mark.parametrize("shape", [(), (2,), (3, 1)])
def test_prelu_with_a_weight_of_another_shape(shape):
    with pytest.raises(
        ValueError, match=r"prelu: expected a weight \(1,\) or \(3,\) for an input \(4, 3\), got"
    ):
        ops.prelu(np.ones((4, 3)), np.ones(shape))


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_glu(torch, axis):
    x = np.random.default_rng(4).normal(size=(4, 6, 2))
    y, pullback = ops.glu(x, axis=axis)
    leaf = torch.tensor(x, requires_grad=True)
    expected = torch.nn.functional.glu(leaf, dim=axis)
    dy = np.random.default_rng(5).normal(size=y.shape)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-14)
    np.testing.assert_allclose(pullback(dy), leaf.grad.numpy(), rtol=1e-13)
    assert_pullback(functools.partial(ops.glu, axis=axis), x)
    assert ops.glu(x.astype("float32"), axis=axis)[1](dy.astype("float32")).dtype == np.float32


@given(seed=st.integers(0, 2**32 - 1), axis=st.integers(-3, 2))
def test_softmin_is_softmax_of_the_negative(seed, axis):
    x = np.random.default_rng(seed).normal(size=(2, 3, 4))
    np.testing.assert_array_equal(ops.softmin(x, axis=axis)[0], ops.softmax(-x, axis=axis)[0])
    assert_pullback(functools.partial(ops.softmin, axis=axis), x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ops.glu(x), r"glu: expected an even length along axis 1, got shape \(4, 3\)"),
        (lambda x: ops.glu(x, axis=2), "glu: expected axis between -2 and 1, got 2"),
        (lambda x: ops.softmin(x, axis=2), "softmin: expected axis between -2 and 1, got 2"),
        (
            lambda x: ops.gelu(x, approximate="erf"),
            'gelu: expected approximate as "none" or "tanh", got \'erf\'',
        ),
        (lambda x: ops.celu(x, alpha=0), "celu: expected alpha above 0 and finite, got 0"),
        (lambda x: ops.elu(x, alpha=math.inf), "elu: expected alpha finite, got inf"),
        (lambda x: ops.softplus(x, beta=-1.0), r"softplus: expected beta above 0 and finite, got -1\.0"),
        (
            lambda x: ops.leaky_relu(x, negative_slope=math.nan),
            "leaky_relu: expected negative_slope finite, got nan",
        ),
        (lambda x: ops.hard_tanh(x, low=1.0), r"hard_tanh: expected high above 1 and finite, got 1\.0"),
    ],
)
def test_options_out_of_range(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((4, 3)))


@pytest.mark.parametrize("alpha", ["1", None, True, np.ones(3)])
def test_options_that_are_no_numbers(alpha):
    with pytest.raises(TypeError, match=f"elu: expected alpha as a number, got {type(alpha).__name__}"):
        ops.elu(np.ones(3), alpha=alpha)


def test_a_float64_option_does_not_widen():
    x = np.ones(3, dtype="float32")
    assert ops.elu(x, alpha=np.float64(0.5))[0].dtype == np.float32


@pytest.mark.parametrize(
    ("op", "slope"), [("relu", 1), ("relu6", 1), ("hard_tanh", 1), ("elu", 1), ("celu", 1), ("selu", S)]
)
def test_a_nan_lets_the_gradient_through_as_in_pytorch(op, slope):
    x = np.array([math.nan, -math.inf, math.inf, 0.5])
    dx = getattr(ops, op)(x)[1](np.ones(4))
    np.testing.assert_allclose(dx, [slope, 0, slope if "hard" not in op and op != "relu6" else 0, slope])
