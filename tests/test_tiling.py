"""Tiled execution equals untiled execution, whatever the number of cores, and is itself to the last bit."""

import copy
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import threads, tiling
from minidl.backend import Array
from minidl.ops.activation import relu
from minidl.ops.conv import conv
from minidl.ops.linear import linear
from tests.either import np

CORES = ["1", "2", "4"]


def unlocated(error: Exception, i: int) -> None:
    """Nobody is told."""


class Weight:
    def __init__(self, *shape: int) -> None:
        self.data = np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32) / shape[0]


class Stage:
    """A stage without a layer: an op with its weights."""

    sample_wise = True

    def __init__(self, op: Callable[..., Any], *weights: Weight, **options: Any) -> None:
        self.op, self.weights, self.options = op, weights, options
        self.seen: list[tuple[int, ...]] = []  # the shapes of the inputs of vjp
        self.threads: set[str] = set()

    def parameters(self) -> Iterator[Weight]:
        return iter(self.weights)

    def vjp(self, x: Array) -> tuple[Array, tiling.Pullback]:
        self.seen.append(x.shape)
        self.threads.add(threading.current_thread().name)
        y, pull = self.op(x, *(weight.data for weight in self.weights), **self.options)

        def pullback(dy: Array, input_grad: bool = True) -> tuple[Array | None, tiling.Pairs]:
            if not self.weights:
                return pull(dy), []
            dx, *gradients = pull(dy, input_grad=input_grad)
            return dx, list(zip(self.weights, gradients, strict=False))

        return y, pullback

    def predict(self, x: Array) -> Array:
        return self.op(x, *(weight.data for weight in self.weights), **self.options)[0]


class Coupled(Stage):
    """Takes the mean of the batch away: needs all of it."""

    sample_wise = False

    def __init__(self) -> None:
        super().__init__(lambda x: (x - x.mean(axis=0), lambda dy: dy - dy.mean(axis=0)))


def images() -> list[Stage]:
    """Two convolutions and a dense head: tiles of images, then a product that is left whole."""
    return [
        Stage(conv, Weight(3, 3, 3, 16), padding="same"),
        Stage(relu),
        Stage(conv, Weight(3, 3, 16, 32), Weight(32)),
        Stage(relu),
        Stage(lambda x: (x.reshape(len(x), -1), lambda dy: dy.reshape(x.shape))),
        Stage(linear, Weight(14 * 14 * 32, 10)),
    ]


def image_batch(n: int = 40) -> Array:
    return np.random.default_rng(0).standard_normal((n, 16, 16, 3), dtype=np.float32)


def untiled(stages: list[Any], x: Array, dy: Array) -> tuple[Array, Array, list[Array]]:
    y, pullback = tiling._chain(stages, x, unlocated)
    dx, pairs = pullback(dy)
    return y, dx, [gradient for _, gradient in pairs]


def tiled(stages: list[Any], x: Array, dy: Array) -> tuple[Array, Array, list[Array]]:
    y, pullback = tiling.vjp(stages, x, tiling.Plans(), unlocated)
    dx, pairs = pullback(dy)
    return y, dx, [gradient for _, gradient in pairs]


def forward_and_backward(stages: list[Any], x: Array) -> Array:
    return tiling.vjp(stages, x, tiling.Plans(), unlocated)[1](x)[0]


def upstream(n: int, *shape: int) -> Array:
    return np.random.default_rng(1).standard_normal((n, *shape), dtype=np.float32)


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles even where so little work would be left whole."""
    monkeypatch.setattr(tiling, "LEAST_WORK", 0)
    monkeypatch.setattr(tiling, "LEAST_TILE_WORK", 0)


class TestEquality:
    @pytest.mark.parametrize("cores", CORES)
    @pytest.mark.parametrize("n", [16, 40, 41])
    def test_tiled_equals_untiled(self, monkeypatch: pytest.MonkeyPatch, cores: str, n: int) -> None:
        monkeypatch.setenv("MINIDL_NUM_THREADS", cores)
        stages, x, dy = images(), image_batch(n), upstream(n, 10)
        expected = untiled(stages, x, dy)
        found = tiled(stages, x, dy)
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-5, atol=1e-6)
        for ours, theirs in zip(found[2], expected[2], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)
            assert ours.dtype == np.float32

    def test_tiles_were_used(self) -> None:
        stages = images()
        tiled(stages, image_batch(40), upstream(40, 10))
        assert stages[2].seen == [(10, 16, 16, 16)] * 4
        assert stages[5].seen == [(40, 14 * 14 * 32)]

    def test_any_number_of_cores_gives_the_same_bits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stages, x, dy = images(), image_batch(), upstream(40, 10)
        found = []
        for cores in CORES:
            monkeypatch.setenv("MINIDL_NUM_THREADS", cores)
            y, dx, gradients = tiled(stages, x, dy)
            found.append([a.tobytes() for a in (y, dx, *gradients)])
        assert found[0] == found[1] == found[2]

    def test_tiles_run_on_several_threads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MINIDL_NUM_THREADS", "4")
        stages, together = images(), threading.Barrier(4, timeout=30)  # breaks unless four tiles wait at once
        stages[1].op = lambda x: (len(x) > 1 and together.wait(), relu(x))[1]
        tiled(stages, image_batch(64), upstream(64, 10))
        assert len(stages[1].threads) == 4

    def test_without_the_gradient_of_the_input(self) -> None:
        stages, x, dy = images(), image_batch(), upstream(40, 10)
        _, pullback = tiling.vjp(stages, x, tiling.Plans(), unlocated)
        dx, pairs = pullback(dy, input_grad=False)
        assert dx is None
        for (_, ours), theirs in zip(pairs, untiled(stages, x, dy)[2], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)

    def test_a_pullback_gives_the_same_answer_twice_and_on_any_thread(self) -> None:
        stages, x, dy = images(), image_batch(), upstream(40, 10)
        _, pullback = tiling.vjp(stages, x, tiling.Plans(), unlocated)
        first = pullback(dy)
        before = [gradient.copy() for _, gradient in first[1]]
        second: list[Any] = []
        thread = threading.Thread(target=lambda: second.append(pullback(dy)))
        thread.start()
        thread.join(timeout=60)
        np.testing.assert_array_equal(second[0][0], first[0])
        for (_, later), (_, now), kept in zip(second[0][1], first[1], before, strict=True):
            np.testing.assert_array_equal(later, now)
            np.testing.assert_array_equal(now, kept)

    def test_keys_come_in_the_order_of_the_stages_and_as_often_as_they_are_used(self) -> None:
        shared = Stage(conv, Weight(3, 3, 16, 16), Weight(16), padding="same")
        first = Stage(conv, Weight(3, 3, 3, 16), padding="same")
        _, pullback = tiling.vjp([first, shared, shared], image_batch(), tiling.Plans(), unlocated)
        keys = [key for key, _ in pullback(upstream(40, 16, 16, 16))[1]]
        assert keys == [*first.weights, *shared.weights, *shared.weights]

    def test_predict_is_vjp_without_the_pullback(self) -> None:
        stages, x = images(), image_batch()
        np.testing.assert_array_equal(
            tiling.predict(stages, x, tiling.Plans(), unlocated),
            tiling.vjp(stages, x, tiling.Plans(), unlocated)[0],
        )

    def test_predict_equals_the_untiled_stages(self) -> None:
        stages, x = images(), image_batch(41)
        expected = tiling._predicted(stages, x, unlocated)
        np.testing.assert_allclose(
            tiling.predict(stages, x, tiling.Plans(), unlocated), expected, rtol=1e-5, atol=1e-6
        )

    def test_half_precision_gradients_are_added_up_in_single(self) -> None:
        total = tiling._OrderedSum()
        key = object()
        for tile in range(1000):
            total.put(tile, [(key, np.full(3, 2.0 if tile == 0 else 1e-4, dtype=np.float16))])
        ((found, gradient),) = total.pairs()
        assert found is key
        assert gradient.dtype == np.float16
        np.testing.assert_allclose(gradient, 2.1, rtol=1e-3)  # in half precision it would stay at 2

    def test_gradients_handed_in_are_not_written_to(self) -> None:
        total, gradients = tiling._OrderedSum(), [np.ones(3, np.float32) for _ in range(4)]
        for tile, gradient in enumerate(gradients):
            total.put(tile, [("key", gradient)])
        np.testing.assert_array_equal(total.pairs()[0][1], [4, 4, 4])
        np.testing.assert_array_equal(gradients, np.ones((4, 3)))

    @given(st.permutations(range(6)))
    def test_the_order_in_which_tiles_finish_does_not_matter(self, order: list[int]) -> None:
        values = np.float32([1e8, 1, -1e8, 3.3, 1e-5, 7])  # a sum that depends on its order
        expected = np.float32(0)
        for value in values:
            expected += value
        total = tiling._OrderedSum()
        for tile in order:
            total.put(tile, [("key", np.asarray(values[tile]))])
        ((_, found),) = total.pairs()
        assert isinstance(found, np.ndarray)
        assert found == expected


class TestPlan:
    @staticmethod
    def plan(*costs: tuple[int, int, int], n: int = 64) -> list[tuple[int, int, int]]:
        found = tiling._new_plan([tiling._Cost(*cost) for cost in costs], len(costs), n)
        return [tuple(piece) for piece in found]

    def test_images_go_in_tiles_of_sixteen(self) -> None:
        assert self.plan((1 << 24, 1 << 10, 1), (1 << 20, 1 << 10, 0)) == [(0, 2, 16)]

    def test_what_a_tile_gives_fits_the_cache(self) -> None:
        assert self.plan((1 << 24, 1 << 18, 1), (1 << 20, 1 << 18, 0)) == [(0, 2, 8)]

    def test_little_work_is_left_whole(self) -> None:
        assert self.plan((1 << 19, 1, 1)) == [(0, 1, 0)]

    def test_very_large_samples_go_one_by_one(self) -> None:
        assert self.plan((1 << 30, 1 << 22, 1), n=2) == [(0, 1, 1)]

    def test_small_samples_go_in_larger_tiles(self) -> None:
        assert self.plan((1 << 16, 1 << 10, 0), n=4096) == [(0, 1, 128)]

    def test_a_small_batch_of_much_work_is_halved(self) -> None:
        assert self.plan((1 << 24, 1, 1), n=12) == [(0, 1, 6)]

    def test_a_batch_that_fits_one_tile_for_the_sake_of_its_weights_is_left_whole(self) -> None:
        assert self.plan((1 << 24, 1, 16), n=16) == [(0, 1, 0)]

    def test_a_dense_layer_has_the_whole_batch(self) -> None:
        image, light, dense = (1 << 24, 1, 1), (1 << 20, 1, 0), (1 << 20, 1, sys.maxsize)
        assert self.plan(image, light, dense, light, dense, n=1024) == [
            (0, 2, 16),
            (2, 3, 0),
            (3, 4, 16),
            (4, 5, 0),
        ]

    def test_whole_stages_in_a_row_are_one_piece(self) -> None:
        image, light, dense = (1 << 24, 1, 1), (1 << 10, 1, 0), (1 << 20, 1, sys.maxsize)
        assert self.plan(image, dense, light, dense, n=64) == [(0, 1, 16), (1, 4, 0)]

    def test_a_convolution_of_few_rows_has_larger_tiles_of_its_own(self) -> None:
        large, small = (1 << 24, 1, 1), (1 << 22, 1, 64)
        assert self.plan(large, small, small, n=128) == [(0, 1, 16), (1, 3, 64)]

    def test_stages_that_need_no_more_than_the_usual_tile_stay_together(self) -> None:
        assert self.plan((1 << 22, 1, 1), (1 << 22, 1, 4), (1 << 22, 1, 16)) == [(0, 3, 16)]

    @given(
        st.lists(
            st.tuples(
                st.integers(0, 1 << 26), st.integers(0, 1 << 22), st.sampled_from([0, 8, 64, sys.maxsize])
            ),
            min_size=1,
        ),
        st.integers(2, 5000),
    )
    def test_pieces_cover_every_stage_once(self, costs: list[tuple[int, int, int]], n: int) -> None:
        pieces = self.plan(*costs, n=n)
        assert [stage for start, stop, _ in pieces for stage in range(start, stop)] == list(range(len(costs)))
        assert all(0 <= samples < n for _, _, samples in pieces)

    @given(st.integers(1, 3000), st.integers(1, 300))
    def test_tiles_cover_every_sample_once_and_are_even(self, n: int, samples: int) -> None:
        sizes = [tile.stop - tile.start for tile in tiling._tiles(n, samples)]
        joined = [i for tile in tiling._tiles(n, samples) for i in range(n)[tile]]
        assert joined == list(range(n))
        assert max(sizes) <= samples
        assert max(sizes) - min(sizes) <= 1

    def test_costs_are_multiply_adds_and_memory_traffic(self) -> None:
        first, second, _, _, flatten, _ = images()
        dense = Stage(linear, Weight(16 * 16 * 16, 10))
        costs = tiling._costs([first, second, flatten, dense], image_batch(1))
        large, small = 16 * 16 * 16, 16 * 16 * 3
        assert costs == [
            (16 * 16 * 27 * 16 + 32 * (small + large), 4 * large, 0),
            (32 * 2 * large, 4 * large, 0),
            (32 * 2 * large, 4 * large, 0),
            (large * 10 + 32 * (large + 10), 4 * 10, tiling.DENSE_ROWS),
        ]

    def test_dense_layers_have_tiles_of_many_samples_or_none(self) -> None:
        for n, shapes in ((512, [512]), (513, [256, 257]), (1024, [512, 512])):
            stages = [Stage(linear, Weight(300, 600)), Stage(relu), Stage(linear, Weight(600, 10))]
            tiled(stages, upstream(n, 300), upstream(n, 10))
            assert all(sorted(shape[0] for shape in stage.seen) == shapes for stage in stages), n

    def test_dense_layers_with_more_weights_than_a_tile_has_numbers_are_left_whole(self) -> None:
        dense = Stage(linear, Weight(1100, 1100))
        tiled([dense], upstream(1024, 1100), upstream(1024, 1100))
        assert dense.seen == [(1024, 1100)]

    def test_where_blas_cannot_be_limited_products_are_left_whole(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(threads, "can_limit_blas", lambda: False)
        stages = images()
        tiled(stages, image_batch(400), upstream(400, 10))
        assert [shape[0] for shape in stages[0].seen] == [400]
        assert [shape[0] for shape in stages[2].seen] == [400]
        assert len(stages[1].seen) > 1

    def test_a_plan_is_kept_for_its_shape(self, monkeypatch: pytest.MonkeyPatch) -> None:
        plans = tiling.Plans()
        stages = images()
        tiling.vjp(stages, image_batch(40), plans, unlocated)
        assert len(plans.pieces) == 1
        monkeypatch.setattr(tiling, "_costs", None)  # not asked again
        tiling.vjp(stages, image_batch(40), plans, unlocated)
        tiling.predict(stages, image_batch(40), plans, unlocated)

    def test_plans_do_not_pile_up(self) -> None:
        plans = tiling.Plans()
        for n in range(2, 2 * tiling.MOST_PLANS):
            tiling.vjp([Stage(relu)], np.ones((n, 1), np.float32), plans, unlocated)
        assert len(plans.pieces) <= tiling.MOST_PLANS

    @pytest.mark.parametrize(
        "x", [np.ones((1, 3), np.float32), np.ones((0, 3), np.float32), np.ones(5, np.float32)]
    )
    def test_one_sample_no_sample_and_no_axes_are_left_whole(self, x: Array) -> None:
        y, pullback = tiling.vjp([Stage(relu)], x, tiling.Plans(), unlocated)
        np.testing.assert_array_equal(y, x)
        np.testing.assert_array_equal(pullback(x)[0], x)

    def test_a_stage_that_mixes_samples_all_the_same_is_left_whole(self) -> None:
        merge = Stage(lambda x: (x.reshape(-1, 1), lambda dy: dy.reshape(x.shape)))
        x = np.ones((2000, 1000), np.float32)
        y, pullback = tiling.vjp([merge], x, tiling.Plans(), unlocated)
        assert y.shape == (2_000_000, 1)
        assert pullback(y)[0].shape == x.shape


class TestCoupledStages:
    def test_they_see_the_whole_batch_once_and_the_others_tiles(self) -> None:
        stages = images()
        stages.insert(2, Coupled())
        tiled(stages, image_batch(200), upstream(200, 10))
        assert stages[2].seen == [(200, 16, 16, 16)]
        assert 1 < len(stages[0].seen) <= len(stages[3].seen)
        assert sum(shape[0] for shape in stages[0].seen) == 200
        assert max(shape[0] for shape in stages[3].seen) <= 16

    def test_the_result_is_that_of_the_untiled_chain(self) -> None:
        stages = images()
        stages.insert(2, Coupled())
        x, dy = image_batch(41), upstream(41, 10)
        expected, found = untiled(stages, x, dy), tiled(stages, x, dy)
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-5, atol=1e-6)
        for ours, theirs in zip(found[2], expected[2], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)


class TestNesting:
    @pytest.mark.usefixtures("small_tiles")
    @pytest.mark.parametrize("cores", CORES)
    def test_a_chain_inside_a_tile_has_no_tiles_of_its_own(
        self, monkeypatch: pytest.MonkeyPatch, cores: str
    ) -> None:
        class Container(Stage):
            def __init__(self, *stages: Stage) -> None:
                super().__init__(relu)
                self.stages = stages

            def vjp(self, x: Array) -> tuple[Array, tiling.Pullback]:
                return tiling.vjp(self.stages, x, tiling.Plans(), unlocated)

            def predict(self, x: Array) -> Array:
                return tiling.predict(self.stages, x, tiling.Plans(), unlocated)

            def parameters(self) -> Iterator[Weight]:
                return (weight for stage in self.stages for weight in stage.parameters())

        monkeypatch.setenv("MINIDL_NUM_THREADS", cores)
        stages = images()
        tiling.vjp([Container(*stages)], image_batch(300), tiling.Plans(), unlocated)
        assert {shape[0] for shape in stages[0].seen} == {150}  # for the dense head; alone they have 16

    def test_concurrent_callers_do_not_disturb_each_other(self) -> None:
        stages, x, dy = images(), image_batch(), upstream(40, 10)
        expected = [a.tobytes() for a in tiled(stages, x, dy)[:2]]
        found: list[bool] = []

        def call() -> None:
            for _ in range(3):
                found.append([a.tobytes() for a in tiled(copy.copy(stages), x, dy)[:2]] == expected)

        callers = [threading.Thread(target=call) for _ in range(4)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(timeout=60)
        assert found == [True] * 12


class TestExceptions:
    class OwnError(Exception):
        pass

    def failing(self, where: str) -> Stage:
        """Fails in the tiles that hold a negative number at their first place."""

        def fail(x: Array) -> None:
            if len(x) > 1 and x.flat[0] < 0:
                error = self.OwnError(float(x.flat[0]))
                error.add_note("layer 1: Failing()")
                raise error

        def op(x: Array) -> tuple[Array, Callable[[Array], Array]]:
            if where == "forward":
                fail(x)

            def pullback(dy: Array) -> Array:
                if where == "backward":
                    fail(dy)
                return dy

            return x, pullback

        return Stage(op)

    @pytest.mark.parametrize("cores", CORES)
    @pytest.mark.parametrize("where", ["forward", "backward"])
    def test_type_and_notes_of_the_lowest_tile_are_kept(
        self, monkeypatch: pytest.MonkeyPatch, cores: str, where: str
    ) -> None:
        monkeypatch.setenv("MINIDL_NUM_THREADS", cores)
        x = np.ones((64, 128, 128), np.float32)
        for tile, number in ((2, -2), (3, -3), (6, -6)):
            x[8 * tile] = number
        with pytest.raises(self.OwnError) as caught:
            forward_and_backward([self.failing(where)], x)
        assert caught.value.args == (-2.0,)
        assert caught.value.__notes__ == ["layer 1: Failing()"]

    @pytest.mark.parametrize("cores", CORES)
    @pytest.mark.parametrize("position", [0, 1, 3, 4])
    @pytest.mark.parametrize("where", ["forward", "backward", "predict"])
    def test_the_number_of_the_stage_is_told_once(
        self, monkeypatch: pytest.MonkeyPatch, cores: str, position: int, where: str
    ) -> None:
        monkeypatch.setenv("MINIDL_NUM_THREADS", cores)
        x = -np.ones((64, 128, 128), np.float32)
        still = Stage(lambda x: (x, lambda dy: dy))
        stages: list[Stage] = [still, still, Coupled(), still, still]
        stages[2].op = still.op
        stages[position] = self.failing("backward" if where == "backward" else "forward")

        def locate(error: Exception, i: int) -> None:
            error.add_note(f"at {i}")

        def run() -> None:
            if where == "predict":
                tiling.predict(stages, x, tiling.Plans(), locate)
            else:
                tiling.vjp(stages, x, tiling.Plans(), locate)[1](x)

        with pytest.raises(self.OwnError) as caught:
            run()
        assert caught.value.__notes__ == ["layer 1: Failing()", f"at {position}"]

    @pytest.mark.skipif(not threads.can_limit_blas(), reason="no BLAS here that can be limited")
    @pytest.mark.parametrize("where", ["forward", "backward"])
    def test_blas_threads_are_restored(self, where: str) -> None:
        x = -np.ones((64, 128, 128), np.float32)
        before = [library.get_num_threads() for library in threads._libraries()]
        threads._set_blas_threads([3] * len(before))
        try:
            with pytest.raises(self.OwnError):
                forward_and_backward([self.failing(where)], x)
            assert {library.get_num_threads() for library in threads._libraries()} == {3}
            with pytest.raises(self.OwnError):
                tiling.predict([self.failing("forward")], x, tiling.Plans(), unlocated)
            assert {library.get_num_threads() for library in threads._libraries()} == {3}
        finally:
            threads._set_blas_threads(before)

    def test_a_wrong_shape_is_reported_with_the_batch_that_the_caller_knows(self) -> None:
        with pytest.raises(ValueError, match=r"\(40, 16, 16, 3\)"):
            tiling.vjp([Stage(conv, Weight(3, 3, 5, 16))], image_batch(40), tiling.Plans(), unlocated)

    def test_every_product_uses_one_blas_thread(self) -> None:
        seen: list[int] = []

        def op(x: Array) -> tuple[Array, Callable[[Array], Array]]:
            seen.extend(library.get_num_threads() for library in threads._libraries())
            return x, lambda dy: (
                seen.extend(library.get_num_threads() for library in threads._libraries()),
                dy,
            )[1]

        if not threads.can_limit_blas():
            pytest.skip("no BLAS here that can be limited")
        x = np.ones((64, 128, 128), np.float32)
        tiling.vjp([Stage(op), Coupled()], x, tiling.Plans(), unlocated)[1](x)
        assert set(seen[1:]) == {1}


def network() -> minidl.Sequential:
    """Everything that tiles must get right: products, a coupled layer, random numbers, a dense head."""
    return minidl.Sequential(
        minidl.Conv(3, 16, kernel_size=3, padding="same", seed=0),
        minidl.BatchNorm(16),
        minidl.ReLU(),
        minidl.Residual(
            minidl.Sequential(minidl.Conv(16, 16, kernel_size=3, padding="same", seed=1), minidl.ReLU())
        ),
        minidl.Dropout(0.2, seed=2),
        minidl.Conv(16, 32, kernel_size=3, stride=2, seed=3),
        minidl.Flatten(),
        minidl.Linear(7 * 7 * 32, 10, seed=4),
    )


class TestSequential:
    def train(self, model: minidl.Sequential, make: Callable[..., Any], steps: int = 10) -> dict[str, Array]:
        criterion, optimizer = minidl.CrossEntropy(), make(model.parameters(), lr=0.01)
        generator = np.random.default_rng(0)
        for _ in range(steps):
            x = generator.standard_normal((64, 16, 16, 3), dtype=np.float32)
            labels = generator.integers(0, 10, 64)
            criterion.forward(model.forward(x), labels)
            model.backward(criterion.backward(), input_grad=False)
            optimizer.step()
            optimizer.zero_grad()
        return model.state()

    @pytest.mark.usefixtures("small_tiles")
    @pytest.mark.parametrize("make", [minidl.optim.SGD, minidl.optim.Adam])
    def test_ten_steps_give_the_same_bits_on_any_number_of_cores(
        self, monkeypatch: pytest.MonkeyPatch, make: Callable[..., Any]
    ) -> None:
        states = []
        for cores in CORES:
            monkeypatch.setenv("MINIDL_NUM_THREADS", cores)
            model = network()
            states.append({name: array.tobytes() for name, array in self.train(model, make).items()})
            pieces = [piece.samples for plan in model._plans.pieces.values() for piece in plan]
            assert pieces == [16, 16, 16, 0]  # before, between and behind the coupled layers; the dense head
        assert states[0] == states[1] == states[2]

    @pytest.mark.usefixtures("small_tiles")
    def test_training_equals_untiled_training(self, monkeypatch: pytest.MonkeyPatch) -> None:
        tiled_state = self.train(network(), minidl.optim.SGD)
        monkeypatch.setattr(tiling, "LEAST_WORK", 1 << 62)
        for name, array in self.train(network(), minidl.optim.SGD).items():
            np.testing.assert_allclose(tiled_state[name], array, rtol=1e-3, atol=1e-4)

    @pytest.mark.usefixtures("small_tiles")
    @pytest.mark.parametrize("training", [True, False])
    def test_predict_equals_the_layers_one_by_one(self, training: bool) -> None:
        model, x = network().train(training), image_batch(64)
        expected = x
        for layer in model:
            expected = layer.predict(expected)
        np.testing.assert_allclose(model.predict(x), expected, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("sample_wise", [True, False])
    def test_a_users_layer_takes_part_when_it_says_so(self, sample_wise: bool) -> None:
        class Swish(minidl.Layer):
            def __init__(self) -> None:
                self.seen: list[int] = []

            def vjp(self, x: Array) -> tuple[Array, tiling.Pullback]:
                self.seen.append(len(x))
                return self.bind(swish, x)

        def swish(x: Array) -> tuple[Array, Callable[[Array], Array]]:
            gate = 1 / (1 + np.exp(-x))
            return x * gate, lambda dy: dy * gate * (1 + x * (1 - gate))

        layer = Swish()
        layer.sample_wise = sample_wise
        model = minidl.Sequential(minidl.Conv(3, 32, kernel_size=3, seed=0), layer)
        model.forward(image_batch(200))
        parts = [n for n in layer.seen if n > 1]  # one sample is shown to it for the plan
        assert (len(parts) > 1) == sample_wise
        assert sum(parts) == 200

    @pytest.mark.parametrize("cores", CORES)
    def test_an_exception_keeps_its_type_and_names_position_and_layer(
        self, monkeypatch: pytest.MonkeyPatch, cores: str
    ) -> None:
        class OwnError(Exception):
            pass

        class Fails(minidl.Layer):
            sample_wise = True

            def vjp(self, x: Array) -> tuple[Array, tiling.Pullback]:
                return self.bind(fail, x)

        def fail(x: Array) -> tuple[Array, Callable[[Array], Array]]:
            if len(x) > 1:
                raise OwnError("a tile")
            return x, lambda dy: dy

        monkeypatch.setenv("MINIDL_NUM_THREADS", cores)
        inner = minidl.Sequential(minidl.ReLU(), Fails())
        model = minidl.Sequential(minidl.Conv(3, 32, kernel_size=3, seed=0), inner)
        with pytest.raises(OwnError, match="a tile") as caught:
            model.forward(image_batch(200))
        inside, position, outside = caught.value.__notes__
        assert "Fails()" in inside
        assert position.startswith("at position 1 of Sequential: Fails()")
        assert outside.startswith("at position 1 of Sequential: Sequential(")

    def test_a_model_is_copied_and_pickled_with_its_plans(self) -> None:
        model, x = network().eval(), image_batch(64)
        expected = model.predict(x)
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            np.testing.assert_array_equal(other.predict(x), expected)
