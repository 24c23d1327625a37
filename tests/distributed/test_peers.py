"""BatchNorm over the parts of a batch is BatchNorm over the batch: values, gradients and statistics."""

import pytest

from minidl.backend import asarray
from minidl.layers import BatchNorm
from tests.distributed.simulated import run
from tests.either import np

RNG = np.random.default_rng(1)
CUTS = {"even": [0, 4, 8, 12], "uneven": [0, 1, 4, 12], "one without samples": [0, 5, 5, 12]}


def step(layer, x, dy):
    return layer.forward(x), layer.backward(dy), layer.weight.grad, layer.bias.grad


@pytest.mark.parametrize("cuts", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("shape", [(12, 3), (12, 2, 2, 3)])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_parts_are_normalised_as_one_batch(cuts, shape, momentum):
    x = RNG.normal(loc=5, scale=3, size=shape)
    dy = RNG.normal(size=shape)
    whole = BatchNorm(3, momentum=momentum).astype("float64")
    whole.weight.data = [0.5, 2.0, -1.0]
    y, dx, dw, db = step(whole, x, dy)

    def program(group):
        layer = BatchNorm(3, momentum=momentum).astype("float64")
        layer.weight.data = whole.weight.data
        group.synchronize_batch_norm(layer)
        part = slice(*cuts[group.rank : group.rank + 2])
        share = max(part.stop - part.start, 1) / 12  # the upstream of a mean over the part alone
        y, dx, dw, db = step(layer, x[part], dy[part] / share)
        return y, dx * share, dw * share, db * share, layer

    parts = run(3, program)
    np.testing.assert_allclose(np.concatenate([part[0] for part in parts]), y, rtol=0, atol=1e-13)
    np.testing.assert_allclose(np.concatenate([part[1] for part in parts]), dx, rtol=0, atol=1e-13)
    np.testing.assert_allclose(sum(part[2] for part in parts), dw, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(sum(part[3] for part in parts), db, rtol=1e-12, atol=1e-13)
    for *_, layer in parts:
        for name, value in whole.state().items():
            np.testing.assert_allclose(layer.state()[name], value, rtol=1e-13, err_msg=name)


def test_one_row_on_each_rank_is_enough_and_one_in_all_is_refused():
    def program(group, rows):
        layer = BatchNorm(2)
        group.synchronize_batch_norm(layer)
        return layer.forward(np.full((rows[group.rank], 2), group.rank, np.float32)).tolist()

    first, second = run(2, lambda group: program(group, (1, 1)))
    np.testing.assert_allclose([first, second], [[[-1, -1]], [[1, 1]]], atol=1e-4)
    with pytest.raises(ValueError, match="expected more than one value for each mean and variance"):
        run(2, lambda group: program(group, (1, 0)))


def test_no_row_anywhere_leaves_the_statistics():
    def program(group):
        layer = BatchNorm(2)
        group.synchronize_batch_norm(layer)
        layer.forward(np.zeros((0, 2), np.float32))
        return layer.running_var.data.tolist()

    assert run(2, program) == [[1, 1], [1, 1]]


def test_a_large_mean_costs_no_digits():
    x = RNG.normal(loc=1e4, size=(64, 1)).astype("float32")

    def program(group):
        layer = BatchNorm(1)
        group.synchronize_batch_norm(layer)
        return layer.forward(np.array_split(x, 2)[group.rank])

    wide = x.astype("float64")
    expected = (wide - wide.mean()) / np.sqrt(wide.var() + 1e-5)
    np.testing.assert_allclose(np.concatenate(run(2, program)), expected, atol=2e-3)


def test_evaluation_and_predict_ask_nobody():
    def program(group):
        layer = BatchNorm(2)
        group.synchronize_batch_norm(layer)
        if group.rank == 0:
            layer.predict(np.ones((3, 2), np.float32))
            layer.eval().forward(np.ones((3, 2), np.float32))
        return group.messages

    assert run(2, program) == [0, 0]


def test_it_costs_one_message_each_way():
    def program(group):
        layer = BatchNorm(4)
        group.synchronize_batch_norm(layer)
        layer.forward(np.eye(4, dtype=np.float32) + group.rank)
        layer.backward(np.eye(4, dtype=np.float32))
        return group.messages, group.bytes

    assert run(2, program) == [(2, 8 * 2 * 9 + 8 * 2 * 4)] * 2


def test_half_precision_stays():
    def program(group):
        layer = BatchNorm(2).astype("float16")
        group.synchronize_batch_norm(layer)
        y = layer.forward(asarray(RNG.normal(size=(4, 2)), "float16"))
        return y.dtype, layer.backward(y).dtype, layer.weight.grad.dtype, layer.running_mean.data.dtype

    assert run(2, program) == [("float16", "float16", "float16", "float32")] * 2
