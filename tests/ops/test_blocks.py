"""Blocks: every row once and in order, the same bits on any number of cores, and next to no rounding."""

import itertools
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import threads
from minidl.ops import _blocks, _lowering, norm
from minidl.ops._blocks import even, in_blocks, product, total
from minidl.ops.conv import conv
from minidl.ops.linear import linear
from minidl.ops.loss import cross_entropy
from minidl.ops.norm import batch_norm
from minidl.ops.softmax import log_softmax, softmax

CORES = ["1", "2", "4"]


def normal(*shape: int, seed: int = 0, dtype: Any = np.float64) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few rows and parts of products of any size, on more threads than there may be cores."""
    monkeypatch.setenv("MINIDL_NUM_THREADS", "4")
    monkeypatch.setattr(_blocks, "BLOCK_BYTES", 256)
    monkeypatch.setattr(_blocks, "LEAST_WORK", 1)


@given(n=st.integers(0, 1000), most=st.integers(1, 1100))
def test_parts_are_even_and_cover_everything_once(n: int, most: int) -> None:
    parts = even(n, most)
    assert [i for part in parts for i in range(n)[part]] == list(range(n))
    sizes = [part.stop - part.start for part in parts]
    assert sizes[0] == max(sizes) <= max(most, 1)
    assert max(sizes) - min(sizes) <= 1
    assert len(parts) == max(1, -(-n // most))


@pytest.mark.usefixtures("small_blocks")
class TestInBlocks:
    @pytest.mark.parametrize("shape", [(0, 3), (1, 1000), (7, 3), (100, 3), (3, 100), (100, 0), (20, 4, 5)])
    def test_every_row_is_in_one_block_and_results_come_in_order(self, shape: tuple[int, ...]) -> None:
        found = in_blocks(np.zeros(shape), lambda block: range(shape[0])[block])
        assert list(itertools.chain.from_iterable(found)) == list(range(shape[0]))

    def test_a_block_has_no_more_bytes_than_it_may_unless_one_row_has(self) -> None:
        rows = np.zeros((100, 5))
        assert max(in_blocks(rows, lambda block: rows[block].nbytes)) <= 256
        assert in_blocks(np.zeros((3, 100)), lambda block: block) == [slice(i, i + 1) for i in range(3)]

    def test_a_repeated_row_counts_as_often_as_it_is_there(self) -> None:
        assert len(in_blocks(np.broadcast_to(np.zeros(8), (100, 8)), lambda block: block)) == 25

    def test_blocks_are_shared_out_to_threads(self) -> None:
        met = threading.Barrier(2, timeout=20)  # two blocks at once, or the barrier breaks
        in_blocks(np.zeros((2, 32)), lambda block: met.wait())

    def test_within_a_task_blocks_run_in_order_on_its_thread(self) -> None:
        def task(i: int) -> list[tuple[int, int]]:
            here = in_blocks(np.zeros((50, 8)), lambda block: (block.start, threading.get_ident()))
            assert {thread for _, thread in here} == {threading.get_ident()}
            return here

        for found in threads.run(task, 3):
            assert [start for start, _ in found] == sorted(start for start, _ in found)

    def test_the_exception_of_the_first_block_is_raised(self) -> None:
        def task(block: slice) -> None:
            raise KeyError(block.start)

        with pytest.raises(KeyError) as caught:
            in_blocks(np.zeros((50, 8)), task)
        assert caught.value.args == (0,)


def test_a_sum_is_taken_in_order_and_changes_none_of_its_parts() -> None:
    parts = [np.array([1e16]), np.array([1.0]), np.array([-1e16])]
    assert total(parts).tolist() == [0.0]
    assert total(parts[::2]).tolist() == [0.0]
    assert total(parts[:1]) is parts[0]
    assert [part[0] for part in parts] == [1e16, 1.0, -1e16]


class TestProduct:
    @pytest.mark.usefixtures("small_blocks")
    @pytest.mark.parametrize("sizes", [(41, 5, 6), (5, 41, 6), (5, 6, 41), (3, 3, 3), (2, 1, 1), (1, 7, 1)])
    @pytest.mark.parametrize(
        "layout", [np.ascontiguousarray, np.asfortranarray, lambda a: a[::-1].copy()[::-1]]
    )
    def test_equals_the_plain_product_cut_along_each_axis(
        self, sizes: tuple[int, int, int], layout: Callable[..., np.ndarray]
    ) -> None:
        a, b = layout(normal(*sizes[:2])), layout(normal(*sizes[1:], seed=1))
        np.testing.assert_allclose(product(a, b), np.einsum("ij,jk->ik", a, b), rtol=1e-12, atol=1e-12)

    @pytest.mark.usefixtures("small_blocks")
    @pytest.mark.parametrize(("sizes", "axis"), [((41, 5, 6), 0), ((5, 41, 6), 1), ((5, 6, 41), 2)])
    def test_parts_lie_along_the_longest_axis(
        self, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, int, int], axis: int
    ) -> None:
        seen: list[tuple[int, ...]] = []
        plain = SimpleNamespace(empty=np.empty, asarray=np.asarray, float16=np.float16)
        plain.matmul = lambda a, b, out: seen.append((*a.shape, b.shape[1])) or np.matmul(a, b, out=out)
        monkeypatch.setattr(_blocks, "xp", plain)
        monkeypatch.setattr(_blocks, "total", lambda parts: seen.append((0, len(parts), 0)) or sum(parts))
        np.testing.assert_allclose(
            product(normal(*sizes[:2]), normal(*sizes[1:])), normal(*sizes[:2]) @ normal(*sizes[1:])
        )
        expected = [(0, 4, 0)]
        if axis != 1:
            expected = [
                tuple(n if i == axis else size for i, size in enumerate(sizes)) for n in (11, 10, 10, 10)
            ]
        assert sorted(seen, reverse=True) == expected

    @pytest.mark.usefixtures("small_blocks")
    @pytest.mark.parametrize("sizes", [(0, 5, 6), (5, 0, 6), (5, 6, 0), (0, 0, 0)])
    def test_of_nothing(self, sizes: tuple[int, int, int]) -> None:
        assert product(np.ones(sizes[:2]), np.ones(sizes[1:])).tolist() == np.zeros(sizes[::2]).tolist()

    @pytest.mark.usefixtures("small_blocks")
    def test_half_precision_goes_by_way_of_single(self) -> None:
        y = product(np.ones((3, 20_000), np.float16), np.ones((20_000, 2), np.float16))
        assert y.dtype == np.float16
        assert y.tolist() == [[20_000.0] * 2] * 3  # added up in half precision parts stop at 2048

    @pytest.mark.usefixtures("small_blocks")
    def test_stacks_of_matrices_are_left_whole(self) -> None:
        a, b = normal(3, 4, 50), normal(3, 50, 6, seed=1)
        np.testing.assert_allclose(product(a, b), np.einsum("nij,njk->nik", a, b), rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize(("work", "parts"), [(1, []), (2, [2]), (3, [2]), (4, [4]), (9, [4])])
    def test_parts_are_two_or_four(
        self, monkeypatch: pytest.MonkeyPatch, work: int, parts: list[int]
    ) -> None:
        seen: list[int] = []
        monkeypatch.setattr(_blocks, "LEAST_WORK", 1000)
        monkeypatch.setattr(threads, "run", lambda task, n: seen.append(n) or [task(i) for i in range(n)])
        product(np.ones((10, 10)), np.ones((10, 10 * work)))
        assert seen == parts

    @pytest.mark.skipif(not threads.can_limit_blas(), reason="no BLAS here that can be limited")
    def test_each_part_uses_one_blas_thread(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[int] = []
        run = threads.run

        def watched(task: Callable[[int], Any], count: int) -> list[Any]:
            seen.extend(library.get_num_threads() for library in threads._libraries())
            return run(task, count)

        monkeypatch.setattr(threads, "run", watched)
        product(np.ones((256, 256)), np.ones((256, 256)))
        assert set(seen) == {1}


@pytest.mark.usefixtures("small_blocks")
class TestMoments:
    @pytest.mark.parametrize("rows", [2, 31, 32, 33, 1001])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_those_of_blocks_make_those_of_all(self, rows: int, dtype: Any) -> None:
        x = normal(rows, 3, dtype=dtype) * np.array([1, 10, 0.1], dtype) + np.array([0, 5, -3], dtype)
        x += np.linspace(0, 50, rows, dtype=dtype)[:, None]  # each block has a mean of its own
        mean, squares = norm._moments(x)
        wide, rounding = x.astype(np.float64), 20 * np.finfo(dtype).eps
        assert mean.dtype == squares.dtype == dtype
        np.testing.assert_allclose(mean, wide.mean(axis=0), rtol=rounding, atol=rounding)
        np.testing.assert_allclose(squares, wide.var(axis=0) * rows, rtol=rounding)

    def test_those_of_no_rows_are_zero(self) -> None:
        assert [part.tolist() for part in norm._moments(np.ones((0, 2)))] == [[0, 0]] * 2

    def test_many_blocks_far_from_zero_lose_no_more_than_one(self) -> None:
        x = (normal(10_000, 2) + 123456.7).astype(np.float32)
        mean, squares = norm._moments(x)
        wide = x.astype(np.float64)
        np.testing.assert_allclose(mean, wide.mean(axis=0), rtol=np.finfo(np.float32).eps)
        np.testing.assert_allclose(squares / len(x), wide.var(axis=0), rtol=1e-3)


def of_batch_norm(dtype: Any) -> list[np.ndarray]:
    x, dy = normal(600, 5, dtype=dtype) + dtype(3), normal(600, 5, seed=1, dtype=dtype)
    (y, mean, var), pullback = batch_norm(x, dy[0].copy(), dy[1].copy())
    return [y, mean, var, *pullback(dy), *pullback(dy, input_grad=False)[1:]]


def of_softmax(dtype: Any) -> list[np.ndarray]:
    x, dy = normal(300, 7, dtype=dtype), normal(300, 7, seed=1, dtype=dtype)
    found = [op(x) for op in (softmax, log_softmax)]
    return [*(y for y, _ in found), *(pullback(dy) for _, pullback in found)]


def of_cross_entropy(dtype: Any) -> list[np.ndarray]:
    x, labels = normal(300, 7, dtype=dtype), np.random.default_rng(1).integers(-1, 7, 300)
    labels[:2] = -1
    value, pullback = cross_entropy(x, target=labels, ignore_index=-1, weight=abs(x[0]))
    return [value, pullback(np.ones_like(value))]


def of_linear(dtype: Any) -> list[np.ndarray]:
    x, w, dy = normal(90, 40, dtype=dtype), normal(40, 60, dtype=dtype), normal(90, 60, seed=1, dtype=dtype)
    y, pullback = linear(x, w, w[0].copy())
    return [y, *pullback(dy), *pullback(dy, input_grad=False)[1:]]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("compute", [of_batch_norm, of_softmax, of_cross_entropy, of_linear])
class TestWhatIsCutIntoBlocks:
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_has_the_same_bits_on_any_number_of_cores(
        self, monkeypatch: pytest.MonkeyPatch, compute: Callable[[Any], list[np.ndarray]], dtype: Any
    ) -> None:
        found = []
        for cores in CORES:
            monkeypatch.setenv("MINIDL_NUM_THREADS", cores)
            found.append([a.tobytes() for a in compute(dtype)])
        assert found[0] == found[1] == found[2]

    def test_equals_what_is_left_whole(
        self, monkeypatch: pytest.MonkeyPatch, compute: Callable[[Any], list[np.ndarray]]
    ) -> None:
        found = compute(np.float64)
        monkeypatch.setattr(_blocks, "BLOCK_BYTES", 1 << 40)
        monkeypatch.setattr(_blocks, "LEAST_WORK", 1 << 60)
        for a, expected in zip(found, compute(np.float64), strict=True):
            np.testing.assert_allclose(a, expected, rtol=1e-11, atol=1e-12)


class TestImagesThatArePaddedTogether:
    @pytest.mark.parametrize("groups", [1, 2, 4])
    @pytest.mark.parametrize("padding", [0, 1, ((2, 0), (0, 3)), 4])
    @pytest.mark.parametrize("outputs", [4, 32])  # few gather the gradient, many scatter it
    def test_a_few_give_what_all_give(
        self, monkeypatch: pytest.MonkeyPatch, groups: int, padding: Any, outputs: int
    ) -> None:
        x, w = normal(7, 5, 6, 8), normal(3, 2, 8 // groups, outputs, seed=1)
        y, pullback = conv(x, w, padding=padding, groups=groups)
        dy = normal(*y.shape, seed=2)
        expected = [y, *pullback(dy)[:2]]
        for images in (1, 2, 3):
            monkeypatch.setattr(_lowering, "PADDED", images * max(x[:1].nbytes, dy[:1].nbytes))
            y, pullback = conv(x, w, padding=padding, groups=groups)
            for a, b in zip([y, *pullback(dy)[:2]], expected, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)

    def test_no_more_are_padded_at_a_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        x, seen, windows = normal(7, 5, 6, 8), [], _lowering.windows
        monkeypatch.setattr(_lowering, "PADDED", 3 * x[:1].nbytes)
        monkeypatch.setattr(_lowering, "windows", lambda x, *rest: seen.append(len(x)) or windows(x, *rest))
        conv(x, normal(3, 3, 8, 2, seed=1), padding=1)
        assert seen == [3, 2, 2]
