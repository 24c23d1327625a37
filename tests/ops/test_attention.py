"""Attention: against loops over queries, PyTorch, and finite differences; and its memory."""

import functools
import math
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import backend
from minidl.ops import attention
from minidl.ops.attention import scaled_dot_product_attention as attend
from minidl.ops.multi_head import _joined, _split
from tests.either import np
from tests.numerics import assert_pullback

RNG = np.random.default_rng(0)


def arrays(lead, queries, keys, features=4, values=3, seed=0):
    rng = np.random.default_rng(seed)
    shapes = ((queries, features), (keys, features), (keys, values))
    return [rng.normal(size=(*lead, *shape)) for shape in shapes]


def naive(q, k, v, mask=None, causal=False, scale=None):
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    y = np.zeros((*q.shape[:-1], v.shape[-1]))
    full = np.broadcast_to(True if mask is None else mask, (*q.shape[:-1], k.shape[-2]))
    for at in np.ndindex(*q.shape[:-1]):
        *head, t = at
        head = tuple(head)
        seen = [s for s in range(k.shape[-2]) if full[(*at, s)] and not (causal and s > t)]
        powers = [math.exp(scale * float(q[at] @ k[(*head, s)])) for s in seen]
        for s, power in zip(seen, powers, strict=True):
            y[at] += power / sum(powers) * v[(*head, s)]
    return y


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a few scores, so that small arrays are cut in both directions."""
    monkeypatch.setattr(attention, "SCORES", 12)
    monkeypatch.setattr(attention, "ROWS", 2)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", ["no", "keys", "all"])
@pytest.mark.parametrize(("queries", "keys"), [(5, 5), (3, 7), (7, 2), (1, 1)])
def test_equals_loops_and_has_their_gradient(lead, causal, masked, queries, keys):
    q, k, v = arrays(lead, queries, keys)
    shape = {"no": None, "keys": (keys,), "all": (*lead, queries, keys)}[masked]
    mask = None if shape is None else RNG.random(shape) < 0.6
    y, _ = attend(q, k, v, mask=mask, causal=causal)
    np.testing.assert_allclose(y, naive(q, k, v, mask, causal), rtol=1e-11, atol=1e-14)
    assert_pullback(functools.partial(attend, mask=mask, causal=causal), q, k, v)


@given(sizes=st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4)), block=st.integers(1, 40))
def test_the_blocks_do_not_change_the_result(sizes, block):
    q, k, v = arrays((2, 2), *sizes)
    mask = RNG.random((2, 1, *sizes[:2])) < 0.7
    whole, whole_pullback = attend(q, k, v, mask=mask)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "SCORES", block)
        patch.setattr(attention, "ROWS", 1)
        y, pullback = attend(q, k, v, mask=mask)
        gradients = pullback(y)
    np.testing.assert_allclose(y, whole, rtol=1e-12, atol=1e-14)
    for a, b in zip(gradients, whole_pullback(y), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(
    "options", [{}, {"causal": True}, {"scale": 0.3}, {"mask": RNG.random((2, 1, 6, 5)) < 0.5}]
)
def test_equals_pytorch(torch, options):
    q, k, v = arrays((2, 3), 6, 5, features=4, values=7)
    leaves = [torch.tensor(a, requires_grad=True) for a in (q, k, v)]
    theirs = {"is_causal": options.get("causal", False), "scale": options.get("scale")}
    if "mask" in options:
        theirs["attn_mask"] = torch.tensor(options["mask"])
    expected = torch.nn.functional.scaled_dot_product_attention(*leaves, **theirs)
    y, pullback = attend(q, k, v, **options)
    dy = RNG.normal(size=y.shape)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-11, atol=1e-14)
    for found, leaf in zip(pullback(dy), leaves, strict=True):
        np.testing.assert_allclose(found, leaf.grad.numpy(), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("causal", [False, True])
def test_4096_positions_need_no_square_of_scores(causal):
    q, k, v = (a.astype("float32") for a in arrays((1, 1), 4096, 4096, features=16, values=16))
    square = 4 * 4096 * 4096
    tracemalloc.start()
    y, pullback = attend(q, k, v, causal=causal)
    pullback(y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < square / 2


def test_twice_the_length_takes_no_more_than_twice_the_memory():
    peaks = []
    for length in (2048, 4096):
        q, k, v = (a.astype("float32") for a in arrays((1,), length, length, features=8, values=8))
        tracemalloc.start()
        y, pullback = attend(q, k, v)
        pullback(y)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] <= 2 * peaks[0]


def test_a_query_that_may_see_nothing_gives_zeros_and_passes_no_gradient():
    q, k, v = arrays((), 3, 4)
    mask = np.array([[True] * 4, [False] * 4, [True] * 4])
    y, pullback = attend(q, k, v, mask=mask)
    assert y[1].tolist() == [0, 0, 0]
    dq, dk, dv = pullback(np.array([[0.0] * 3, [1.0] * 3, [0.0] * 3]))
    assert not dq.any()
    assert not dk.any()
    assert not dv.any()


def test_what_is_masked_may_hold_anything_finite():
    q, k, v = arrays((), 3, 4)
    mask = np.array([True, True, True, False])
    y = attend(q, k, v, mask=mask)[0]
    k[3], v[3] = 1e200, -1e200
    np.testing.assert_array_equal(attend(q, k, v, mask=mask)[0], y)


def test_extreme_scores_neither_overflow_nor_divide_by_zero():
    q, k, v = np.array([[1000.0]]), np.array([[1000.0], [-1000.0]]), np.array([[1.0], [5.0]])
    y, pullback = attend(q, k, v)
    assert y.tolist() == [[1.0]]
    assert all(np.isfinite(g).all() for g in pullback(np.ones((1, 1))))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_m17_keeps_the_dtype(dtype):
    q, k, v = (a.astype(dtype) for a in arrays((2,), 3, 4))
    y, pullback = attend(q, k, v, scale=np.float64(0.5), mask=np.ones((3, 4), bool), causal=True)
    assert {a.dtype for a in (y, *pullback(y))} == {np.dtype(dtype)}


def test_an_empty_batch():
    q, k, v = arrays((0, 2), 3, 4)
    y, pullback = attend(q, k, v)
    assert y.shape == (0, 2, 3, 3)
    assert [g.shape for g in pullback(y)] == [q.shape, k.shape, v.shape]


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (
            ((2, 0, 4), (2, 3, 4), (2, 3, 3)),
            r"expected queries \(\.\.\., T, D\) of at least one step, got \(2, 0, 4\)",
        ),
        (((4,), (3, 4), (3, 3)), r"expected queries"),
        (
            ((2, 5, 4), (2, 0, 4), (2, 0, 3)),
            r"expected keys \(2, S, 4\) of at least one step, got \(2, 0, 4\)",
        ),
        (((2, 5, 4), (2, 3, 5), (2, 3, 3)), r"expected keys \(2, S, 4\)"),
        (((2, 5, 4), (3, 3, 4), (3, 3, 3)), r"expected keys \(2, S, 4\)"),
        (((2, 5, 4), (3, 4), (3, 3)), r"expected keys \(2, S, 4\)"),
        (((2, 5, 4), (2, 3, 4), (2, 4, 3)), r"expected a value for each key \(2, 3, 4\), got \(2, 4, 3\)"),
    ],
)
def test_shapes_that_do_not_fit(shapes, message):
    with pytest.raises(ValueError, match=f"scaled_dot_product_attention: {message}"):
        attend(*(np.ones(shape) for shape in shapes))


@pytest.mark.parametrize("shape", [(4,), (2, 3), (3, 5, 3), (1, 2, 5, 3)])
def test_a_mask_of_the_wrong_shape(shape):
    q, k, v = arrays((2,), 5, 3)
    with pytest.raises(ValueError, match=r"expected a mask that broadcasts to \(2, 5, 3\), got"):
        attend(q, k, v, mask=np.ones(shape, bool))


def test_wrong_types():
    q, k, v = arrays((2,), 5, 3)
    with pytest.raises(
        TypeError, match="expected the mask as booleans, true where a query may see a key, got float64"
    ):
        attend(q, k, v, mask=np.ones((5, 3)))
    with pytest.raises(TypeError, match="expected float32 like the weights, got float64"):
        attend(q, k.astype("float32"), v)
    with pytest.raises(TypeError, match="expected scale as a number, got str"):
        attend(q, k, v, scale="1")


def counted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[Any]:
    """Note every call of a function of the module."""
    calls: list[Any] = []
    original = getattr(attention, name)
    monkeypatch.setattr(attention, name, lambda *args: calls.append(args) or original(*args))
    return calls


@pytest.mark.parametrize(("queries", "keys"), [(5, 5), (5, 9), (9, 5)])
@pytest.mark.parametrize("causal", [False, True])
def test_the_shares_of_a_single_block_are_kept(
    monkeypatch: pytest.MonkeyPatch, queries: int, keys: int, causal: bool
) -> None:
    calls = counted(monkeypatch, "_scores")
    y, pullback = attend(
        np.ones((2, queries, 4)), np.ones((2, keys, 4)), np.ones((2, keys, 4)), causal=causal
    )
    pullback(y)
    assert len(calls) == 1


def test_blocks_hold_as_many_heads_as_they_may() -> None:
    whole = [[*attention._heads((3, 5), most)] for most in (15, 14, 10, 5, 4, 1)]
    assert [len(blocks) for blocks in whole] == [1, 2, 2, 3, 6, 15]
    assert [*attention._heads((3, 5), 11)] == [
        (slice(0, 2), slice(0, 5)),
        (slice(2, 3), slice(0, 5)),
    ]
    assert [*attention._heads((), 1)] == [()]


@pytest.mark.skipif(not backend.CORES, reason="CuPy's products copy heads side by side")
def test_heads_side_by_side_are_neither_copied_nor_torn_apart() -> None:
    parts = np.random.default_rng(0).normal(size=(2, 6, 12)).astype(np.float32)
    q, k, v = (_split(part, 2) for part in np.split(parts, 3, axis=-1))
    y, pullback = attend(q, k, v)
    for heads in (y, *pullback(y)):
        assert np.shares_memory(_joined(heads), heads)
