"""Initial weights have the variance their papers ask for, and depend on the seed alone."""

import math

import pytest

from minidl import backend, init
from minidl.backend import to_numpy
from tests.either import np

RANDOM = {
    init.he_normal: lambda n_in, n_out: 2 / n_in,
    init.he_uniform: lambda n_in, n_out: 2 / n_in,
    init.glorot_normal: lambda n_in, n_out: 2 / (n_in + n_out),
    init.glorot_uniform: lambda n_in, n_out: 2 / (n_in + n_out),
    init.lecun_normal: lambda n_in, n_out: 1 / n_in,
    init.lecun_uniform: lambda n_in, n_out: 1 / n_in,
    init.fan_in_uniform: lambda n_in, n_out: 1 / (3 * n_in),
}


def test_m22_fans_of_a_linear_weight_are_its_own_two_axes() -> None:
    assert init.fans((784, 10)) == (784, 10)


def test_fans_of_a_convolution_count_the_window() -> None:
    assert init.fans((3, 5, 16, 32)) == (240, 480)
    assert init.fans((7, 4, 8)) == (28, 56)


@pytest.mark.parametrize("initializer", RANDOM, ids=lambda f: f.__name__)
@pytest.mark.parametrize("shape", [(300, 100), (3, 3, 20, 150)])
def test_the_variance_is_the_documented_one_and_the_mean_zero(initializer, shape) -> None:
    weight = to_numpy(initializer(shape, seed=0))
    variance = RANDOM[initializer](*init.fans(shape))
    assert weight.shape == shape
    assert weight.dtype == np.float32
    assert np.var(weight) == pytest.approx(variance, rel=0.05)
    assert abs(np.mean(weight)) < 5 * math.sqrt(variance / weight.size)


@pytest.mark.parametrize("initializer", RANDOM, ids=lambda f: f.__name__)
def test_fans_that_are_given_win_over_the_shape(initializer) -> None:
    weight = to_numpy(initializer((30_000,), fan_in=40, fan_out=160, seed=0))
    assert np.var(weight) == pytest.approx(RANDOM[initializer](40, 160), rel=0.05)


@pytest.mark.parametrize(
    ("initializer", "bound"),
    [
        (init.he_uniform, math.sqrt(6 / 50)),
        (init.glorot_uniform, math.sqrt(6 / 450)),
        (init.lecun_uniform, math.sqrt(3 / 50)),
        (init.fan_in_uniform, 1 / math.sqrt(50)),
    ],
)
def test_uniform_weights_fill_their_interval(initializer, bound) -> None:
    largest = np.abs(to_numpy(initializer((50, 400), seed=0))).max()
    assert 0.999 * bound < largest <= bound * (1 + 1e-6)


@pytest.mark.parametrize("initializer", RANDOM, ids=lambda f: f.__name__)
def test_equal_seeds_give_equal_weights_in_every_dtype(initializer) -> None:
    double = to_numpy(initializer((5, 7), seed=3, dtype="float64"))
    for dtype in ("float16", "float32", "float64"):
        weight = to_numpy(initializer((5, 7), seed=3, dtype=dtype))
        assert weight.dtype == dtype
        np.testing.assert_array_equal(weight, double.astype(dtype))
    assert not np.array_equal(double, to_numpy(initializer((5, 7), seed=4, dtype="float64")))


def test_a_generator_moves_on_and_no_seed_means_the_default_generator() -> None:
    generator = np.random.default_rng(0)
    first, second = (to_numpy(init.he_normal((4, 4), seed=generator)) for _ in range(2))
    assert not np.array_equal(first, second)
    backend.seed(5)
    first = to_numpy(init.he_normal((4, 4)))
    backend.seed(5)
    np.testing.assert_array_equal(first, to_numpy(init.he_normal((4, 4))))


def test_zeros_constant_and_normal_need_no_fans() -> None:
    assert to_numpy(init.zeros((3,), seed=0)).tolist() == [0.0, 0.0, 0.0]
    assert to_numpy(init.constant(0.5)((2, 1), fan_in=7)).tolist() == [[0.5], [0.5]]
    assert init.constant(0.5)((2,), dtype="float64").dtype == np.float64
    assert np.std(to_numpy(init.normal(0.02)((100, 100), seed=0))) == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("initializer", [*RANDOM, init.zeros], ids=lambda f: f.__name__)
def test_an_empty_weight_is_drawn_without_a_division_by_zero(initializer) -> None:
    assert initializer((0, 4), seed=0).shape == (0, 4)


def test_draw_takes_the_layers_choice_or_the_default() -> None:
    default = to_numpy(init.draw(None, (6, 2), seed=1))
    np.testing.assert_array_equal(default, to_numpy(init.fan_in_uniform((6, 2), seed=1)))
    chosen = to_numpy(init.draw(init.he_normal, (6, 2), fan_in=3, fan_out=2, seed=1, dtype="float64"))
    np.testing.assert_array_equal(chosen, to_numpy(init.he_normal((6, 2), fan_in=3, seed=1, dtype="float64")))


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"init\.fans: expected a shape of at least 2 axes, got \(3,\); pass fan_in"
    ):
        init.he_normal((3,))
    with pytest.raises(ValueError, match=r"init: expected fan_in >= 0, got -1"):
        init.he_normal((3, 2), fan_in=-1)
    with pytest.raises(TypeError, match=r"init: expected a floating-point dtype, got int64"):
        init.zeros((3,), dtype="int64")
    with pytest.raises(ValueError, match=r"init\.normal: expected std >= 0, got -1"):
        init.normal(-1)
    with pytest.raises(
        TypeError, match=r"weight_init: expected a function such as init\.he_normal, got float; .*"
    ):
        init.draw(0.5, (3, 2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"weight_init: expected float32 \(3, 2\), got float32 \(2, 3\)"):
        init.draw(lambda shape, **_: np.zeros((2, 3), np.float32), (3, 2))
