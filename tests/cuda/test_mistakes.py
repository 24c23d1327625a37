"""Mistakes planted in the kernels are noticed: those that CUDA makes easy, and those of the mathematics."""

from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pytest

from minidl import backend, ops, optim
from minidl.backend import xp
from minidl.layers.parameter import Parameter
from minidl.ops import _lowering
from minidl.ops._kernels import (
    _program,
    activation,
    adam,
    batch_norm,
    columns,
    dropout,
    layer_norm,
    loss,
    pool,
    softmax,
    windows,
)
from tests.cuda import emulator
from tests.cuda.kernels import Draws, agree, equal, formula, needs_kernels, running

pytestmark = [needs_kernels, pytest.mark.skipif(backend.name != "numpy", reason="plants in what is emulated")]

ORDERS = ("forward", "backward")


def both_ways(op: Any, kernel: Any, *arrays: Any, **options: Any) -> None:
    for order in ORDERS:
        agree(op, kernel, arrays, order, options, Draws(1, str(arrays[0].dtype)))


def draws(*shapes: tuple[int, ...]) -> list[Any]:
    draw = Draws(0, "float32")
    return [draw(*shape) for shape in shapes]


def check_softmax() -> None:
    both_ways(ops.softmax, softmax.softmax, *draws((3, 70)), axis=-1)
    both_ways(ops.softmax, softmax.softmax, *draws((3, 4, 5)), axis=1)


def check_loss() -> None:
    target = xp.asarray([0, 2, 1, 5])
    (x,) = draws((4, 6))
    x[1] = np.nan  # which is ignored
    both_ways(ops.cross_entropy, loss.cross_entropy, x, target=target, ignore_index=2)


def check_batch_norm() -> None:
    both_ways(ops.batch_norm, batch_norm.batch_norm, *draws((2999, 5), (5,), (5,)))


def check_layer_norm() -> None:
    both_ways(ops.layer_norm, layer_norm.layer_norm, *draws((9, 40), (40,), (40,)), normalized_shape=(40,))


def check_columns() -> None:
    x = Draws(0, "float32").whole(90, 5)
    for order in ORDERS:
        with running(order):
            equal(columns.column_sums(x), x.sum(axis=0))


def check_pool() -> None:
    x = Draws(0, "float32").whole(2, 7, 5, 3)
    options: Any = {"kernel_size": 3, "stride": 2, "padding": 1}
    both_ways(ops.max_pool, pool.max_pool, x, **options)
    both_ways(ops.avg_pool, pool.avg_pool, x, **options, count_include_pad=False)


def check_windows() -> None:
    (x,) = draws((2, 6, 5, 3))
    window = _lowering.make_window((6, 5), 3, (2, 1), 1, 1, "test")
    with running("forward"):
        rows = windows.im2row(x, window)
        back = windows.row2im(xp.moveaxis(rows, -2, 0), window)
    equal(rows, formula(_lowering.im2row)(x, window))
    equal(back, formula(_lowering.row2im)(xp.moveaxis(rows, -2, 0), window))


def check_dropout() -> None:
    for order in ORDERS:
        agree(
            ops.dropout,
            dropout.dropout,
            tuple(draws((100,))),
            order,
            {"seed": 3, "counter": 5},
            Draws(1, "float32"),
            bound=0.0,
        )


def check_adam() -> None:
    results = []
    for update in (formula(optim.Adam.update), adam.adam):
        p = Parameter(draws((300,))[0])
        p.grad = Draws(7, "float32")(300)
        with running("forward"), mock.patch.object(optim.Adam, "update", staticmethod(update)):
            optimizer = optim.Adam([p], weight_decay=0.1)
            optimizer.step()
            optimizer.step()
        results.append(p.data)
    equal(results[1], results[0])


def check_relu() -> None:
    both_ways(ops.relu, activation.relu, *draws((300,)))


class Mistake(NamedTuple):
    name: str
    program: _program.Program
    old: str
    new: str
    check: Callable[[], None]


FIRST_BARRIER = "part[threadIdx.x] = mine;\n  __syncthreads();"
MISTAKES = [
    Mistake(
        "a sum without its first barrier",
        softmax.PROGRAM,
        FIRST_BARRIER,
        "part[threadIdx.x] = mine;",
        check_softmax,
    ),
    Mistake(
        "shared memory written before all have read it",
        layer_norm.PROGRAM,
        "__syncthreads();  // before",
        "// before",
        check_layer_norm,
    ),
    Mistake(
        "a barrier inside a branch",
        softmax.PROGRAM,
        "total = block_sum(total, part);",
        "if (threadIdx.x < n) total = block_sum(total, part);",
        check_softmax,
    ),
    Mistake(
        "lanes without a barrier",
        columns.PROGRAM,
        "+= part[threadIdx.x + half * width];\n    __syncthreads();",
        "+= part[threadIdx.x + half * width];",
        check_columns,
    ),
    Mistake("one column too many", columns.PROGRAM, "lane == 0 && c < columns", "lane == 0", check_columns),
    Mistake(
        "one element too many",
        activation.PROGRAM,
        "EACH(i, count) dx[i] = (T)((W)dy[i] * ((W)y[i] != 0",
        "EACH(i, count + 1) dx[i] = (T)((W)dy[i] * ((W)y[i] != 0",
        check_relu,
    ),
    Mistake(
        "the last chunk counts as a whole one",
        batch_norm.PROGRAM,
        "left < per ? left : per",
        "per",
        check_batch_norm,
    ),
    Mistake(
        "the inner axis is forgotten",
        softmax.PROGRAM,
        "over(r, inner) * n * inner + rest(r, inner)",
        "r * n",
        check_softmax,
    ),
    Mistake(
        "the label is not subtracted", loss.PROGRAM, "k == label ? part - share : part", "part", check_loss
    ),
    Mistake("ignored rows have a gradient", loss.PROGRAM, "out ? (T)0.0f :", "false ? (T)0.0f :", check_loss),
    Mistake(
        "ignored rows count", loss.PROGRAM, "const W count = kept ?", "const W count = true ?", check_loss
    ),
    Mistake("the mean is not sent back", layer_norm.PROGRAM, "(dz - sum - ", "(dz - ", check_layer_norm),
    Mistake("the last of equal entries wins", pool.PROGRAM, "first < 0 && ON_IMAGE", "ON_IMAGE", check_pool),
    Mistake(
        "the padding is on the other side",
        pool.PROGRAM,
        "q##a * s##a + k##a * d##a - b##a",
        "q##a * s##a + k##a * d##a",
        check_pool,
    ),
    Mistake("padding counts", pool.PROGRAM, "padded ? p >=", "true ? p >=", check_pool),
    Mistake("windows between the strides", windows.PROGRAM, " || rest(r##a, s##a) != 0", "", check_windows),
    Mistake(
        "a group's run of channels is cut short", windows.PROGRAM, "j < run", "j < run - 1", check_windows
    ),
    Mistake("nine rounds of Philox", dropout.PROGRAM, "round < 10", "round < 9", check_dropout),
    Mistake(
        "the counter from zero",
        dropout.PROGRAM,
        "philox((Word)block + 1,",
        "philox((Word)block,",
        check_dropout,
    ),
    Mistake(
        "a step of another order of rounding",
        adam.PROGRAM,
        "decayed * (W)share1",
        "(decayed - decayed * (W)keep1)",
        check_adam,
    ),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_planted_mistake_is_noticed(mistake: Mistake) -> None:
    body = mistake.program.body
    assert body.count(mistake.old) >= 1, "plant it anew"
    with (
        mock.patch.object(mistake.program, "body", body.replace(mistake.old, mistake.new, 1)),
        pytest.raises((AssertionError, IndexError, RuntimeError)),
    ):
        mistake.check()


@pytest.mark.parametrize("check", dict.fromkeys(m.check for m in MISTAKES), ids=lambda check: check.__name__)
def test_without_a_mistake_nothing_is_noticed(check: Callable[[], None]) -> None:
    check()


def test_quotients_are_right_beyond_32_bits() -> None:
    numbers = [0, 1, 7, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 5, 2**40 + 3, 2**62 + 11]
    i, n = (
        np.array(side, np.int64) for side in zip(*[(a, b) for a in numbers for b in numbers[1:]], strict=True)
    )
    source = (
        f"{_program.PRELUDE}typedef float T;\ntypedef float W;\n"
        + """
    extern "C" __global__ void divide(const Int* i, const Int* n, Int* q, Int* r, Int count) {
      EACH(k, count) {
        q[k] = over(i[k], n[k]);
        r[k] = rest(i[k], n[k]);
      }
    }
    """
    )
    q, r = np.empty_like(i), np.empty_like(i)
    emulator.compile_kernel(source, "divide")((1,), (1,), (i, n, q, r, i.size))
    np.testing.assert_array_equal(q, i // n)
    np.testing.assert_array_equal(r, i % n)
