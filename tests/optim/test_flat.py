"""Parameters in one buffer: what is written on one side is seen on the other."""

import numpy as np
import pytest

from minidl.backend import BLOCK, asarray, to_numpy, xp
from minidl.layers.parameter import Parameter
from minidl.optim.flat import Flat, blocks, gradients, pack


def parameters(*shapes, dtype="float32") -> list[Parameter]:
    rng = np.random.default_rng(0)
    return [Parameter(asarray(np.asarray(rng.standard_normal(shape), dtype))) for shape in shapes]


def test_packing_keeps_values_and_gradients_and_makes_them_views() -> None:
    ps = parameters((2, 3), (), (4,))
    before = [to_numpy(p.data).copy() for p in ps]
    ps[0].grad = xp.ones((2, 3), "float32")
    (flat,) = pack(ps)
    assert flat.data.shape == flat.grad.shape == (11,)
    for p, value in zip(ps, before, strict=True):
        np.testing.assert_array_equal(to_numpy(p.data), value)
    assert to_numpy(flat.grad).tolist() == [1.0] * 6 + [0.0] * 5
    flat.data[...] = 7.0
    flat.grad[6] = 5.0
    assert all((to_numpy(p.data) == 7.0).all() for p in ps)
    assert float(ps[1].grad) == 5.0
    ps[2].data = xp.arange(4.0)
    assert to_numpy(flat.data[7:]).tolist() == [0.0, 1.0, 2.0, 3.0]


def test_each_dtype_has_its_own_buffer() -> None:
    a, b = parameters((3,), (2,)), parameters((5,), dtype="float64")
    flats = pack([a[0], *b, a[1]])
    assert [(flat.data.dtype, flat.data.size, flat.positions) for flat in flats] == [
        (np.float32, 5, [0, 2]),
        (np.float64, 5, [1]),
    ]


@pytest.mark.parametrize("shapes", [((2, 3), (), (4,)), ((0, 3), (2,))])
def test_a_buffer_is_intact_until_a_parameter_leaves_it(shapes) -> None:
    ps = parameters(*shapes)
    (flat,) = pack(ps)
    assert flat.is_intact()
    ps[-1].rebind(ps[-1].data.copy(), ps[-1].grad)
    assert not flat.is_intact()
    (flat,) = pack(ps)
    ps[-1].rebind(ps[-1].data, ps[-1].grad.copy())
    assert not flat.is_intact()


def test_runs_join_neighbours_of_equal_key_and_leave_out_none() -> None:
    (flat,) = pack(parameters((2,), (3,), (4,), (5,), (6,)))
    runs = list(flat.runs(["a", "a", None, "b", "a"]))
    assert runs == [("a", range(2)), ("b", range(3, 4)), ("a", range(4, 5))]
    assert [list(flat.blocks(run)) for _, run in runs] == [[slice(0, 5)], [slice(9, 14)], [slice(14, 20)]]
    assert list(flat.runs([None] * 5)) == []


def test_blocks_cover_a_stretch_without_overlap() -> None:
    cut = list(blocks(10, 10 + 2 * BLOCK + 5))
    assert [s.start for s in cut] == [10, 10 + BLOCK, 10 + 2 * BLOCK]
    assert [s.stop for s in cut] == [10 + BLOCK, 10 + 2 * BLOCK, 15 + 2 * BLOCK]
    assert list(blocks(3, 3)) == []


def test_slots_start_at_zero_and_are_single_precision_for_half() -> None:
    for dtype, expected in (("float16", "float32"), ("float32", "float32"), ("float64", "float64")):
        (flat,) = pack(parameters((3,), dtype=dtype))
        assert flat.slot("mean").dtype == expected
        assert to_numpy(flat.slot("mean")).tolist() == [0.0] * 3
        assert flat.slot("mean") is flat.slot("mean")
        assert flat.slot("mean") is not flat.slot("square")


def test_gradients_come_as_one_buffer_where_they_fill_it() -> None:
    ps, alone = parameters((2, 3), (4,)), parameters((3, 2), ())
    (flat,) = pack(ps)
    alone[0].grad = xp.ones((2, 3), "float32").T
    alone[1].grad = xp.asarray(2.0, dtype="float32")
    found = gradients([*ps, *alone])
    assert found[0] is flat.grad
    assert [g.shape for g in found] == [(10,), (3, 2), (1,)]
    for g in found:
        g *= 3.0
    assert float(to_numpy(alone[0].grad).sum() + to_numpy(alone[1].grad)) == 24.0


def test_gradients_of_a_part_of_a_buffer_leave_the_rest_out() -> None:
    ps = parameters((2, 3), (4,), (5,))
    pack(ps)
    assert [g.shape for g in gradients(ps[:2])] == [(2, 3), (4,)]
    ps[0].requires_grad = False
    assert [g.shape for g in gradients(ps)] == [(4,), (5,)]
    assert gradients(parameters((3,))) == []


def test_flat_keeps_the_order_it_was_given() -> None:
    ps = parameters((2,), (3,))
    flat = Flat([ps[1], ps[0]], [1, 0])
    np.testing.assert_array_equal(to_numpy(flat.data[:3]), to_numpy(ps[1].data))
    assert [view.shape for view in flat.views(flat.grad)] == [(3,), (2,)]
