"""Softmax, cross-entropy and layer norm: the kernels agree with the formulas over drawn shapes and dtypes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import ops
from minidl.backend import to_numpy, xp
from minidl.ops._kernels import layer_norm as norms
from minidl.ops._kernels import loss as losses
from minidl.ops._kernels import softmax as softmaxes
from tests.cuda.kernels import (
    Draws,
    agree,
    close,
    dtypes,
    formula,
    launches,
    modes,
    needs_kernels,
    running,
    seeds,
)

pytestmark = needs_kernels

shapes = st.lists(st.integers(1, 7), min_size=1, max_size=4).map(tuple)
OPS = [(ops.softmax, softmaxes.softmax), (ops.log_softmax, softmaxes.log_softmax)]


@pytest.mark.parametrize(("op", "kernel"), OPS, ids=["softmax", "log_softmax"])
@given(shape=shapes, axis=st.integers(0, 3), dtype=dtypes, mode=modes, seed=seeds)
def test_softmax(op: Any, kernel: Any, shape: Any, axis: int, dtype: str, mode: Any, seed: int) -> None:
    draw = Draws(seed, dtype)
    axis = axis % (2 * len(shape)) - len(shape)
    agree(op, kernel, (draw(*shape, scale=4),), mode, {"axis": axis}, draw.strided)


@pytest.mark.parametrize(("op", "kernel"), OPS, ids=["softmax", "log_softmax"])
@pytest.mark.parametrize("columns", [31, 300, 1000])
def test_softmax_of_rows_longer_than_a_block(op: Any, kernel: Any, columns: int) -> None:
    draw = Draws(1, "float32")
    agree(op, kernel, (draw(3, columns),), "shuffled", {"axis": -1}, draw)


@pytest.mark.parametrize(("op", "kernel"), OPS, ids=["softmax", "log_softmax"])
def test_softmax_of_numbers_without_bounds(op: Any, kernel: Any) -> None:
    inf, nan = np.inf, np.nan
    rows = [[-inf, 0, 1], [-inf] * 3, [inf, 0, 1], [nan, 0, 1], [0, 1, nan], [1e30, -1e30, 0], [0, 800, -800]]
    agree(op, kernel, (xp.asarray(rows, dtype="float32"),), "backward", {"axis": -1}, Draws(0, "float32"))


@given(
    lead=st.lists(st.integers(1, 4), max_size=2),
    classes=st.integers(1, 40),
    reduction=st.sampled_from(["mean", "sum", "none"]),
    ignore_index=st.sampled_from([None, -100, 0]),
    weighted=st.booleans(),
    labels=st.sampled_from(["int64", "int32", "uint8", "uint64"]),
    dtype=dtypes,
    mode=modes,
    seed=seeds,
)
def test_cross_entropy(
    lead: Any,
    classes: int,
    reduction: str,
    ignore_index: Any,
    weighted: bool,
    labels: str,
    dtype: str,
    mode: Any,
    seed: int,
) -> None:
    draw = Draws(seed, dtype)
    target = draw.generator.integers(0, classes, lead)
    if ignore_index is not None:
        target = np.where(draw.generator.random(lead) < 0.3, ignore_index, target)
    options = {
        "target": xp.asarray(target.astype(labels if ignore_index != -100 else "int64")),
        "weight": abs(draw(classes)) if weighted else None,
        "ignore_index": ignore_index,
        "reduction": reduction,
    }
    agree(ops.cross_entropy, losses.cross_entropy, (draw(*lead, classes, scale=3),), mode, options, draw)


def test_a_label_beyond_63_bits_is_no_negative_number() -> None:
    target = xp.asarray([2**64 - 1, 1], dtype="uint64")
    with running(None):
        loss, _ = losses.cross_entropy(xp.ones((2, 3)), target=target, ignore_index=-1, reduction="none")
    assert np.isnan(to_numpy(loss)).tolist() == [True, False]


def test_cross_entropy_of_a_label_out_of_range_is_nan_in_its_row_alone() -> None:
    draw = Draws(2, "float32")
    x, target = draw(5, 4), xp.asarray([0, 4, -1, 3, 2])
    with running("forward"):
        loss, back = losses.cross_entropy(x, target=target, reduction="none")
        dx = to_numpy(back(xp.ones(5, dtype="float32")))
        mean, _ = losses.cross_entropy(x, target=target)
    assert np.isnan(to_numpy(loss)).tolist() == [False, True, True, False, False]
    assert np.isnan(dx).all(axis=1).tolist() == [False, True, True, False, False]
    assert np.isfinite(dx[[0, 3, 4]]).all()
    assert np.isnan(to_numpy(mean))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_where_all_rows_are_ignored(reduction: str) -> None:
    draw = Draws(3, "float32")
    x = draw(3, 4)
    x[1] = np.nan
    options = {"target": xp.asarray([-1, -1, -1]), "ignore_index": -1, "reduction": reduction}
    agree(ops.cross_entropy, losses.cross_entropy, (x,), "backward", options, draw)


def test_cross_entropy_of_logits_without_bounds() -> None:
    rows = [[-np.inf, 0, 1], [0, 800, 0], [-np.inf] * 3, [np.nan, 0, 1], [0, -800, 800]]
    x = xp.asarray(rows, dtype="float32")
    for target in ([0, 0, 0, 1, 2], [1, 1, 2, 0, 0]):
        options = {"target": xp.asarray(target), "reduction": "none"}
        agree(ops.cross_entropy, losses.cross_entropy, (x,), None, options, Draws(4, "float32"))


def test_many_rows_and_many_classes() -> None:
    draw = Draws(5, "float32")
    for rows, classes in ((700, 5), (3, 700)):
        options = {"target": xp.asarray(draw.generator.integers(0, classes, rows))}
        agree(ops.cross_entropy, losses.cross_entropy, (draw(rows, classes),), "forward", options, draw)


def test_a_step_of_cross_entropy_is_three_launches() -> None:
    draw = Draws(6, "float32")
    with running(None):
        value, back = losses.cross_entropy(draw(4, 3), target=xp.asarray([0, 1, 2, 0]))
        seen = list(launches)
    with running(None):
        back(xp.ones_like(value))
        assert not seen or [*seen, *launches] == ["cross_entropy", "total_loss", "cross_entropy_back"]


@given(
    lead=st.lists(st.integers(1, 5), max_size=2),
    normalized=st.lists(st.integers(2, 6), min_size=1, max_size=2).map(tuple),
    w=st.booleans(),
    b=st.booleans(),
    dtype=dtypes,
    mode=modes,
    seed=seeds,
)
def test_layer_norm(lead: Any, normalized: Any, w: bool, b: bool, dtype: str, mode: Any, seed: int) -> None:
    draw = Draws(seed, dtype)
    arrays = (
        draw(*lead, *normalized, offset=2),
        draw(*normalized) if w else None,
        draw(*normalized) if b else None,
    )
    options = {"normalized_shape": normalized, "eps": 1e-2}
    bound = None if dtype != "float32" else 1e-4
    agree(ops.layer_norm, norms.layer_norm, arrays, mode, options, draw.strided, bound=bound)


def test_layer_norm_of_rows_longer_than_a_block_and_of_many_rows() -> None:
    draw = Draws(7, "float64")
    for rows, columns in ((3, 700), (130, 5), (9, 300)):
        arrays = draw(rows, columns, offset=5), draw(columns), draw(columns)
        options = {"normalized_shape": (columns,)}
        agree(ops.layer_norm, norms.layer_norm, arrays, "shuffled", options, draw)


def test_layer_norm_of_large_numbers_loses_no_more_than_the_formula() -> None:
    draw = Draws(8, "float32")
    x = draw(4, 50, offset=1e4)
    exact = formula(ops.layer_norm)(x.astype("float64"), normalized_shape=(50,))[0].astype("float32")
    with running("forward"):
        y, _ = norms.layer_norm(x, normalized_shape=(50,))
    close(y, exact, "float32", bound=2e-3)


@pytest.mark.parametrize(
    ("kernel", "arguments", "options"),
    [
        (softmaxes.softmax, (xp.zeros((0, 3)),), {}),
        (softmaxes.softmax, (xp.zeros((2, 3)),), {"axis": 2}),
        (softmaxes.softmax, (xp.zeros(3, dtype="int64"),), {}),
        (softmaxes.softmax, ([1.0],), {}),
        (losses.cross_entropy, (xp.zeros((2, 3)),), {"target": xp.zeros((2, 3))}),
        (losses.cross_entropy, (xp.zeros(()),), {"target": xp.zeros((), dtype="int64")}),
        (losses.cross_entropy, (xp.zeros((2, 3)),), {"target": xp.zeros(3, dtype="int64")}),
        (
            losses.cross_entropy,
            (xp.zeros((2, 3)),),
            {"target": xp.zeros(2, dtype="int64"), "label_smoothing": 0.1},
        ),
        (
            losses.cross_entropy,
            (xp.zeros((2, 3)),),
            {"target": xp.zeros(2, dtype="int64"), "reduction": "max"},
        ),
        (norms.layer_norm, (xp.zeros((2, 3)),), {"normalized_shape": (2,)}),
        (norms.layer_norm, (xp.zeros((2, 1)),), {"normalized_shape": (1,)}),
        (norms.layer_norm, (xp.zeros((2, 3)),), {"normalized_shape": (3,), "eps": 0.0}),
    ],
)
def test_what_a_kernel_does_not_take_is_left_to_the_formula(
    kernel: Any, arguments: Any, options: Any
) -> None:
    assert kernel(*arguments, **options) is NotImplemented
