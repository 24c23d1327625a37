"""The summary: shapes, parameters, multiply-adds and bytes of each layer, counted by hand."""

import pytest

import minidl
from minidl.layers import (
    BatchNorm,
    Conv,
    Dropout,
    Flatten,
    Identity,
    Linear,
    MaxPool,
    Parallel,
    ReLU,
    Residual,
    Sequential,
    Tanh,
)
from minidl.summary import HEADINGS, Row
from tests.either import np


def test_each_layer_of_a_convolutional_net():
    model = Sequential(
        Conv(3, 4, 3, padding=1, groups=1), ReLU(), MaxPool(2), Flatten(), Linear(64, 10, bias=False)
    )
    table = minidl.summary(model, (8, 8, 3))
    assert table.rows == [
        Row("0", "Conv(3, 4, kernel_size=3, padding=1)", (8, 8, 4), 112, 64 * 108, 1024),
        Row("1", "ReLU()", (8, 8, 4), 0, 0, 1024),
        Row("2", "MaxPool(2)", (4, 4, 4), 0, 0, 256),
        Row("3", "Flatten()", (64,), 0, 0, 256),
        Row("4", "Linear(64, 10, bias=False)", (10,), 640, 640, 40),
    ]
    assert (table.parameters, table.multiply_adds, table.activation_bytes) == (752, 7552, 2600)


def test_groups_and_strides_and_other_axes():
    rows = minidl.summary(Sequential(Conv(4, 6, (5,), stride=2, groups=2)), (13, 4)).rows
    assert rows[0][2:] == ((5, 6), 5 * 2 * 6 + 6, 5 * (5 * 2 * 6), 5 * 6 * 4)
    assert minidl.summary(Linear(3, 2), (7, 3)).rows[0][2:] == ((7, 2), 8, 7 * 6, 56)


def test_branches_come_before_what_joins_them():
    model = Sequential(
        Residual(Sequential(Linear(3, 3), Tanh()), shortcut=Identity()), Parallel(ReLU(), Tanh())
    )
    rows = minidl.summary(model, (3,)).rows
    assert [(row.path, row.layer, row.output_shape) for row in rows] == [
        ("0.layer.0", "Linear(3, 3)", (3,)),
        ("0.layer.1", "Tanh()", (3,)),
        ("0.shortcut", "Identity()", (3,)),
        ("0", "Residual", (3,)),
        ("1.0", "ReLU()", (3,)),
        ("1.1", "Tanh()", (3,)),
        ("1", "Parallel", (6,)),
    ]


def test_a_shared_layer_counts_once_in_the_total():
    shared = Linear(3, 3)
    table = minidl.summary(Sequential(shared, Tanh(), shared), (3,))
    assert table.parameters == 12
    assert table.multiply_adds == 18


def test_half_the_bytes_in_half_precision_and_the_dtype_of_the_parameters_by_default():
    model = Sequential(Linear(4, 2, dtype="float16"))
    assert minidl.summary(model, (4,)).activation_bytes == 4
    assert minidl.summary(ReLU(), (4,), dtype="float64").activation_bytes == 32


def test_the_model_stays_as_it_was():
    model = Sequential(Linear(3, 4), BatchNorm(4), Dropout(), Linear(4, 2))
    before = model.state()
    minidl.summary(model, (3,))
    assert all((array == before[path]).all() for path, array in model.state().items())
    assert model.training
    with pytest.raises(RuntimeError, match="without a forward"):
        model.backward(np.ones((1, 2), "float32"))


def test_the_table_is_aligned():
    lines = str(minidl.summary(Sequential(Linear(300, 200), ReLU()), (300,))).splitlines()
    assert lines[0].split("  ")[0] == HEADINGS[0]
    assert lines[1] == "-" * len(lines[0])
    assert [line.split()[-1] for line in lines[2:4]] == ["800", "800"]
    assert lines[-1].split() == ["total", "60,200", "60,000", "1,600"]
    assert len({len(line) for line in lines}) == 1
    assert repr(minidl.summary(ReLU(), (1,))).isascii()


def test_an_input_that_does_not_fit_is_refused_by_the_layer_it_reaches():
    with pytest.raises(ValueError, match=r"linear: expected \(\.\.\., 3\), got \(1, 4\)") as caught:
        minidl.summary(Sequential(Tanh(), Linear(3, 2)), (4,))
    assert "in Linear(3, 2)" in caught.value.__notes__
    with pytest.raises(TypeError, match="summary: expected a layer, got int"):
        minidl.summary(3, (4,))


@pytest.mark.parametrize("shape", [3, None, "33", 2.0, ("a",), (3, -1), (2.5,)])
def test_the_shape_of_a_sample_is_a_tuple_of_lengths(shape):
    with pytest.raises(
        (TypeError, ValueError), match=r"summary: expected input_shape as a tuple of lengths, .* got"
    ):
        minidl.summary(Linear(3, 2), shape)


def test_the_shape_of_a_sample_may_be_a_list_and_numpys():
    expected = minidl.summary(Linear(3, 2), (3,)).rows
    assert minidl.summary(Linear(3, 2), [3]).rows == expected
    assert minidl.summary(Linear(3, 2), (np.int64(3),)).rows == expected
