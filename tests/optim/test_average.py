"""The running average of weights follows its formula, stands in for them on request, and leaves no trace."""

import numpy as np
import pytest

from minidl.backend import BLOCK, asarray, to_numpy, xp
from minidl.layers.parameter import Parameter
from minidl.optim.average import EMA
from minidl.optim.sgd import SGD


def test_the_average_follows_its_formula_and_pytorch(torch) -> None:
    rng = np.random.default_rng(0)
    values = [rng.standard_normal((3, 2)) for _ in range(6)]
    p = Parameter(asarray(values[0].copy()))
    ema = EMA([p], decay=0.9)
    expected = values[0]
    theirs = torch.tensor(values[0].copy())
    update = torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
    for value in values[1:]:
        p.data = asarray(value)
        ema.update()
        expected = 0.9 * expected + 0.1 * value
        update([theirs], [torch.tensor(value)], None)
    np.testing.assert_allclose(to_numpy(ema.averages[0]), expected, rtol=1e-13)
    np.testing.assert_allclose(to_numpy(ema.averages[0]), theirs.numpy(), rtol=1e-13)


def test_long_parameters_are_averaged_whole_and_the_decay_may_be_scheduled() -> None:
    p = Parameter(xp.zeros(BLOCK + 3, "float32"))
    ema = EMA([p], decay=lambda step: min(0.9, step / 2))
    p.data = xp.ones(BLOCK + 3, "float32")
    ema.update()
    assert (to_numpy(ema.averages[0]) == 1.0).all()
    p.data = xp.zeros(BLOCK + 3, "float32")
    ema.update()
    assert (to_numpy(ema.averages[0]) == 0.5).all()


def test_averages_stand_in_for_the_weights_only_inside_with() -> None:
    p = Parameter(xp.zeros(2, "float32"))
    optimizer = SGD([p], lr=0.1)
    ema = EMA([p], decay=0.5)
    p.data = xp.ones(2, "float32")
    ema.update()
    with ema.applied():
        assert to_numpy(p.data).tolist() == [0.5, 0.5]
        assert to_numpy(optimizer.flat[0][0]).tolist() == [0.5, 0.5]
    assert to_numpy(p.data).tolist() == [1.0, 1.0]
    with pytest.raises(KeyError), ema.applied():
        raise KeyError
    assert to_numpy(p.data).tolist() == [1.0, 1.0]


def test_half_precision_is_averaged_in_single() -> None:
    p = Parameter(xp.ones(2, "float16"))
    ema = EMA([p], decay=0.9999)
    p.data = xp.full(2, 2.0, "float16")
    for _ in range(100):
        ema.update()
    assert ema.averages[0].dtype == np.float32
    assert to_numpy(ema.averages[0])[0] == pytest.approx(2 - 0.9999**100, rel=1e-5)


def test_a_restored_average_goes_on() -> None:
    p = Parameter(xp.zeros((2, 3), "float32"))
    first, second = EMA([p], decay=0.5), EMA([p], decay=0.5)
    p.data = xp.ones((2, 3), "float32")
    first.update()
    second.load_state({name: to_numpy(array) for name, array in first.state().items()})
    assert second.step_count == 1
    np.testing.assert_array_equal(to_numpy(second.averages[0]), to_numpy(first.averages[0]))
    with pytest.raises(
        ValueError, match=r"EMA: expected .* 0 of shape \(4,\) in place of \(2, 3\); missing step"
    ):
        second.load_state({"0": np.zeros(4)})


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"EMA: expected 0 <= decay < 1, got 1\.0"):
        EMA([Parameter(xp.zeros(2))], decay=1.0)
    with pytest.raises(TypeError, match="EMA: expected Parameters, got ndarray among them"):
        EMA([np.zeros(2)])
