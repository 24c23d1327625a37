"""Clipping scales all gradients by one factor, as PyTorch does, and leaves short ones alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import backend, threads
from minidl.backend import BLOCK, asarray, to_numpy, xp
from minidl.layers.parameter import Parameter
from minidl.optim import clip, flat
from minidl.optim.clip import clip_grad_norm, clip_grad_value
from minidl.optim.sgd import SGD


def with_gradients(*gradients) -> list[Parameter]:
    parameters = [Parameter(xp.zeros(g.shape, g.dtype)) for g in gradients]
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = asarray(g.copy())
    return parameters


@given(
    st.integers(0, 100),
    st.floats(0.0, 20.0),
    st.booleans(),
    st.sampled_from(["float32", "float64"]),
    st.booleans(),
)
def test_the_norm_and_the_gradients_equal_pytorchs(torch, seed, max_norm, packed, dtype, frozen) -> None:
    rng = np.random.default_rng(seed)
    arrays = [np.asarray(rng.standard_normal(shape)).astype(dtype) for shape in ((3, 4), (), (5,))]
    ps = with_gradients(*arrays)
    ts = [torch.zeros(a.shape, dtype=getattr(torch, dtype)) for a in arrays]
    for t, a in zip(ts, arrays, strict=True):
        t.grad = torch.tensor(a)
    if packed:
        SGD(ps, lr=0.1)
    if frozen:
        ps[2].requires_grad = False
        ts.pop()
    norm = clip_grad_norm(ps, max_norm)
    expected = torch.nn.utils.clip_grad_norm_(ts, max_norm)
    assert isinstance(norm, xp.ndarray)
    assert (norm.shape, norm.dtype) == ((), dtype)
    assert float(norm) == pytest.approx(float(expected), rel=1e-6)
    for p, t in zip(ps, ts, strict=False):
        np.testing.assert_allclose(to_numpy(p.grad), t.grad.numpy(), rtol=1e-5, atol=1e-7)
    if frozen:
        np.testing.assert_array_equal(to_numpy(ps[2].grad), arrays[2])


def test_a_short_gradient_is_left_as_it_is() -> None:
    (p,) = with_gradients(np.array([3.0, 4.0], np.float32))
    assert float(clip_grad_norm([p], 5.5)) == 5.0
    assert to_numpy(p.grad).tolist() == [3.0, 4.0]


def test_the_norm_of_many_blocks_is_that_of_all() -> None:
    (p,) = with_gradients(np.full(BLOCK + 7, 2.0, np.float32))
    assert float(clip_grad_norm([p], 1.0)) == pytest.approx(2.0 * (BLOCK + 7) ** 0.5, rel=1e-6)
    assert np.linalg.norm(to_numpy(p.grad).astype(float)) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("large", [1e-25, 1e-12, 1.0, 1e14, 1e18, 1e25])
def test_the_norm_is_that_of_double_precision_whatever_the_range(large: float) -> None:
    g = np.random.default_rng(0).normal(size=5 * 1024 + 3) * np.logspace(-30, 0, 5 * 1024 + 3) * large
    (p,) = with_gradients(g.astype(np.float32))
    expected = np.linalg.norm(to_numpy(p.grad).astype(np.float64))
    assert float(clip_grad_norm([p], np.inf)) == pytest.approx(expected, rel=1e-6, abs=0)


def test_what_is_passed_over_once_stays_on_this_core_for_longer_than_an_update(monkeypatch) -> None:
    used = []
    monkeypatch.setattr(threads, "run", lambda task, count: used.append(count) or [*map(task, range(count))])
    monkeypatch.setattr(flat, "BLOCK", 8)
    for blocks in (4, 23, 24):
        clip_grad_norm(with_gradients(np.ones(8 * blocks, np.float32)), 1.0)
    assert used == ([24, 24] if backend.CORES else [])


def test_half_precision_is_summed_in_single() -> None:
    (p,) = with_gradients(np.full(400, 300.0, np.float16))
    norm = clip_grad_norm([p], 20.0)
    assert (norm.dtype, float(norm)) == (np.float32, 6000.0)
    assert p.grad.dtype == np.float16
    assert to_numpy(p.grad)[0] == pytest.approx(1.0, rel=1e-3)


def test_without_gradients_the_norm_is_zero() -> None:
    assert float(clip_grad_norm([], 1.0)) == 0.0
    assert float(clip_grad_norm([Parameter(xp.zeros(3, "float32"))], 1.0)) == 0.0


def test_values_are_clipped_one_by_one() -> None:
    ps = with_gradients(np.array([[3.0, -0.25]], np.float32), np.array(-8.0, np.float32))
    clip_grad_value(ps, 0.5)
    assert to_numpy(ps[0].grad).tolist() == [[0.5, -0.25]]
    assert float(ps[1].grad) == -0.5


@pytest.mark.parametrize("clip", [clip_grad_norm, clip_grad_value])
def test_bad_arguments_are_refused(clip) -> None:
    for limit in (-1.0, float("nan")):
        with pytest.raises(ValueError, match=rf"{clip.__name__}: expected max_\w+ >= 0, got {limit}"):
            clip([], limit)
    with pytest.raises(TypeError, match=rf"{clip.__name__}: expected Parameters, got ndarray among them"):
        clip([np.zeros(3)], 1.0)


@pytest.mark.parametrize("scale", [1e30, 1e-30])
@pytest.mark.parametrize("packed", [False, True])
def test_the_norm_of_huge_and_of_tiny_gradients_is_no_infinity_and_no_zero(scale, packed) -> None:
    ps = with_gradients(np.full(BLOCK + 3, 3 * scale, np.float32), np.full((2, 2), 4 * scale, np.float32))
    expected = scale * (9 * (BLOCK + 3) + 16 * 4) ** 0.5
    if packed:
        SGD(ps, lr=0.1)
    norm = clip_grad_norm(ps, expected / 4)
    assert norm.dtype == np.float32
    assert float(norm) == pytest.approx(expected, rel=1e-6)
    if scale > 1:  # tiny ones vanish beside the 1e-6 of the formula
        for p, value in zip(ps, (3, 4), strict=True):
            np.testing.assert_allclose(to_numpy(p.grad), scale * value / 4, rtol=1e-6)


def test_a_norm_beyond_single_precision_is_infinite_and_clips_all_the_same() -> None:
    (p,) = with_gradients(np.full(400, 3e38, np.float32))
    assert float(clip_grad_norm([p], 20.0)) == np.inf
    np.testing.assert_allclose(to_numpy(p.grad), 1.0, rtol=1e-6)


def test_infinite_gradients_are_not_hidden() -> None:
    (p,) = with_gradients(np.array([np.inf, 1.0], np.float32))
    with np.errstate(invalid="ignore"):
        assert float(clip_grad_norm([p], 1.0)) == np.inf
    assert np.isnan(to_numpy(p.grad)[0])


@pytest.mark.parametrize("clip", [clip_grad_norm, clip_grad_value])
@pytest.mark.parametrize("limit", ["1", None, True, (1.0,)])
def test_a_limit_that_is_no_number_is_refused(clip, limit) -> None:
    with pytest.raises(
        TypeError, match=rf"{clip.__name__}: expected max_\w+ as a number, got {type(limit).__name__}"
    ):
        clip([], limit)


def test_a_limit_may_be_numpys_and_infinite() -> None:
    (p,) = with_gradients(np.array([3.0, 4.0], np.float32))
    assert float(clip_grad_norm([p], np.inf)) == float(clip_grad_norm([p], np.float32(5.5))) == 5.0
    clip_grad_value([p], np.int64(3))
    assert to_numpy(p.grad).tolist() == [3.0, 3.0]
    assert p.grad.dtype == np.float32


def test_the_norm_wakes_no_threads_of_blas(monkeypatch) -> None:
    guards = []

    def watched(part):
        guards.append(threads._guards)
        return (part * part).sum()

    monkeypatch.setattr(clip, "_sum_of_squares", watched)
    clip_grad_norm(with_gradients(np.ones(3, np.float32)), 1.0)
    assert guards == [1]
