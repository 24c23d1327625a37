"""W ranks with batch B / W train as one rank with batch B does; a group of one changes nothing."""

import copy
import pickle

import pytest

import minidl
from minidl import distributed
from minidl.data import DataLoader
from minidl.distributed import Group
from minidl.layers import BatchNorm, Dropout, Linear, ReLU, Sequential
from minidl.optim import SGD, Adam, clip_grad_norm
from tests.distributed import simulated
from tests.distributed.simulated import run
from tests.either import np

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(31, 4))
LABELS = RNG.integers(0, 3, 31)


def network(seed: int = 0, dtype: str = "float64") -> Sequential:
    return Sequential(Linear(4, 8, seed=seed), BatchNorm(8), ReLU(), Linear(8, 3, seed=seed + 1)).astype(
        dtype
    )


def steps_of(group, model, optimizer, epochs=3, max_norm=1e9, reduction="mean", batch=8, count=26):
    """Train the model, and return the flat gradient of every step."""
    images = IMAGES[:count].astype(model[0].weight.dtype)
    loader = group.shard(DataLoader((images, LABELS[:count]), batch, shuffle=True, seed=5))
    criterion = minidl.CrossEntropy(reduction=reduction)
    found = []
    for _ in range(epochs):
        for x, y in loader:
            criterion.forward(model.forward(x), y)
            model.backward(criterion.backward(), input_grad=False)
            if reduction == "mean":
                group.average_gradients(optimizer, len(x))
            else:
                group.sum_gradients(optimizer)
            clip_grad_norm(model.parameters(), max_norm)
            found.append([grad.copy() for _, grad in optimizer.flat])
            optimizer.step()
            optimizer.zero_grad()
    return found


def trained(group, dtype="float64", synchronized=True, **options):
    model = network(group.rank, dtype)  # each rank from weights of its own, until they are connected
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    group.broadcast(model, optimizer)
    if synchronized:
        group.synchronize_batch_norm(model)
    return steps_of(group, model, optimizer, **options), model.state()


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize(("dtype", "count", "bound"), [("float64", 26, 1e-12), ("float32", 31, 1e-6)])
def test_the_gradients_of_all_steps_are_those_of_one_process(size, dtype, count, bound):
    """Of 26 samples the last batch has 2, so some ranks have none; of 31 it has 7."""
    ((expected, state),) = run(1, lambda group: trained(group, dtype, count=count))
    for gradients, final in run(size, lambda group: trained(group, dtype, count=count)):
        for found, wanted in zip(gradients, expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=bound)
        for path, array in final.items():
            np.testing.assert_allclose(array, state[path], rtol=0, atol=10 * bound, err_msg=path)


def test_after_each_step_all_ranks_have_the_same_bits():
    (first, state), *others = run(3, trained)
    for gradients, final in others:
        for one, other in zip(first, gradients, strict=True):
            np.testing.assert_array_equal(one, other)
        assert all((final[path] == state[path]).all() for path in state)


def test_clipping_after_the_mean_is_that_of_one_process():
    (expected, _), *_ = run(1, lambda group: trained(group, max_norm=0.1))
    (found, _), *_ = run(2, lambda group: trained(group, max_norm=0.1))
    np.testing.assert_allclose(found[-1], expected[-1], rtol=0, atol=1e-12)


def test_a_sum_over_samples_is_summed():
    def program(group):
        model = Linear(4, 3, seed=0).astype("float64")
        return steps_of(group, Sequential(model), SGD(model.parameters(), lr=0.01), reduction="sum")

    (expected,) = run(1, program)
    for found in run(3, program):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_batch_norm_is_local_unless_asked_otherwise():
    (found, _), *_ = run(2, lambda group: trained(group, synchronized=False, batch=26, epochs=1))
    (one, _), *_ = run(1, lambda group: trained(group, batch=26, epochs=1))
    assert abs(found[0][0] - one[0][0]).max() > 1e-4


def test_the_weight_is_what_the_mean_divides_by():
    """Labels to be ignored: each rank weighs as many as it counted."""

    def program(group):
        x = minidl.asarray(np.array_split(IMAGES[:26], group.size)[group.rank])
        y = np.array_split(np.where(np.arange(26) < 11, -1, LABELS[:26]), group.size)[group.rank]
        model, criterion = Linear(4, 3, seed=0).astype("float64"), minidl.CrossEntropy(ignore_index=-1)
        optimizer = SGD(model.parameters(), lr=0.1)
        criterion.forward(model.forward(x), y)
        model.backward(criterion.backward())
        group.average_gradients(optimizer, int((y >= 0).sum()))
        return optimizer.flat[0][1]

    (expected,) = run(1, program)
    for found in run(2, program):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


def test_each_dtype_goes_round_once_and_half_precision_as_single():
    def program(group):
        layers = [Linear(2, 2, seed=0).astype(dtype) for dtype in ("float16", "float32", "float64")]
        optimizer = SGD([p for layer in layers for p in layer.parameters()], lr=0.1)
        for layer in layers:
            layer.weight.grad = 60000.0 * (group.rank + 1) / 2
        group.average_gradients(optimizer, 3 - 2 * group.rank)
        return [layer.weight.grad[0, 0] for layer in layers], group.messages, group.bytes

    for grads, messages, size in run(2, program):
        assert grads == [np.float16(37500), 37500, 37500]  # (3 * 30000 + 60000) / 4; the sum is no float16
        assert messages == 3
        assert size == 7 * (4 + 4 + 8)


def test_where_no_rank_has_samples_the_gradient_is_zero():
    def program(group):
        layer = Linear(2, 2)
        layer.weight.grad = np.nan
        optimizer = SGD(layer.parameters(), lr=0.1)
        group.average_gradients(optimizer, 0)
        return layer.weight.grad

    assert not np.any(run(2, program))


def test_a_nan_reaches_all_ranks():
    def program(group):
        layer = Linear(2, 2)
        layer.weight.grad = np.nan if group.rank else 1.0
        optimizer = SGD(layer.parameters(), lr=0.1)
        group.average_gradients(optimizer, 4)
        return np.isnan(layer.weight.grad).all()

    assert run(3, program) == [True] * 3


def test_the_state_of_an_optimizer_is_that_of_rank_0():
    def program(group):
        model = Linear(2, 2, seed=group.rank)
        optimizer = Adam(model.parameters())
        for _ in range(3 if group.rank == 0 else 0):  # as if rank 0 alone had restored a checkpoint
            model.weight.grad = 1.0
            optimizer.step()
        group.broadcast(model, optimizer)
        return optimizer.state()

    first, second = run(2, program)
    assert first.keys() == second.keys()
    assert all((first[name] == second[name]).all() for name in first)
    assert int(second["step"]) == 3


def test_dropout_differs_between_ranks_and_repeats():
    def program(group):
        model = Sequential(Dropout(seed=group.rank), Dropout(seed=7))
        model.forward(np.ones(8)) if group.rank else None
        group.broadcast(model)
        before = [layer.stream.data.copy() for layer in model]
        group.broadcast(model)
        assert all((layer.stream.data == old).all() for layer, old in zip(model, before, strict=True))
        return model[0].forward(np.ones(64)).tolist()

    masks = run(3, program)
    assert masks == run(3, program)
    assert masks[0] == Dropout(seed=0).forward(np.ones(64)).tolist()  # rank 0 is as one process
    assert masks[0] != masks[1] != masks[2] != masks[0]


def test_an_unseeded_shuffle_is_that_of_rank_0():
    def program(group):
        loader = group.shard(DataLoader(np.arange(10), batch_size=4, shuffle=True))
        return [batch.tolist() for _ in range(2) for batch in loader]

    first, second = run(2, program)
    epoch = [number for pair in zip(first, second, strict=True) for part in pair for number in part]
    assert sorted(epoch) == sorted([*range(10)] * 2)


def test_loaders_that_differ_are_refused_with_both():
    with pytest.raises(
        ValueError, match=r"shard: expected .* \(4, False, False, 3\), as on rank 0, got .* 2\) on"
    ):
        run(2, lambda group: group.shard(DataLoader(np.arange(10 - 2 * group.rank), batch_size=4)))


def test_a_stream_is_shared_out_too():
    def program(group):
        return [batch.tolist() for batch in group.shard(DataLoader(iter(range(5)), batch_size=2))]

    assert run(3, program) == [[[], [], []], [[0], [2], []], [[1], [3], [4]]]


def test_models_that_differ_are_refused():
    with pytest.raises(ValueError, match="shape of weight"):
        run(2, lambda group: group.broadcast(Linear(2 + group.rank, 3)))


def test_parts_that_differ_are_refused_before_anybody_waits():
    with pytest.raises(
        ValueError, match=r"connect: expected parts .* \('Linear', 'SGD'\), .* got \('Linear',\)"
    ):
        run(2, lambda group: group.broadcast(*_parts()[: 2 - group.rank]))


def _parts():
    model = Linear(2, 3)
    return model, SGD(model.parameters(), lr=0.1)


def test_a_large_and_a_complex_sum_keep_their_kind():
    assert run(2, lambda group: group.sum(np.asarray([2**40, True])).tolist()) == [[2**41, 2]] * 2
    assert run(2, lambda group: group.sum(np.asarray([1j])).tolist()) == [[2j]] * 2


def test_ranks_that_wait_for_each_other_are_found_by_these_tests(monkeypatch):
    monkeypatch.setattr(simulated, "TIMEOUT", 0.1)
    with pytest.raises(TimeoutError):
        run(2, lambda group: group.sum(1) if group.rank == 0 else None)


def test_means_and_sums_are_over_all_ranks():
    def program(group):
        loss = minidl.asarray([1.0, 3.0, np.nan])[group.rank]
        total, floats = group.sum(group.rank), group.sum([0.5])
        return group.mean(loss, [3, 1, 0][group.rank]), total.tolist(), floats.tolist()

    assert run(3, program) == [(1.5, 3, [1.5])] * 3
    assert np.isnan(run(2, lambda group: group.mean(1.0, 0))).all()


def test_a_sum_leaves_its_argument_as_it_is():
    ones = np.ones(3)
    run(2, lambda group: group.sum(ones))
    assert ones.tolist() == [1, 1, 1]


def test_once_is_rank_0_alone_and_the_others_wait_for_it(tmp_path):
    def program(group):
        model = Linear(2, 2, seed=group.rank)
        path = group.once(lambda: (minidl.save_weights(model, tmp_path / "w"), tmp_path / "w")[1])
        minidl.load_weights(model, path)
        return model.weight.data

    for weight in run(3, program):
        np.testing.assert_array_equal(weight, Linear(2, 2, seed=0).weight.data)


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(weight):
    optimizer = SGD(Linear(2, 2).parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"average_gradients: expected a finite weight >= 0"):
        Group().average_gradients(optimizer, weight)
    with pytest.raises(ValueError, match=r"mean: expected"):
        Group().mean(1.0, weight)


@pytest.mark.parametrize("weight", [None, "3", True, np.ones(2)])
def test_a_weight_of_another_type_is_refused(weight):
    with pytest.raises(TypeError, match="average_gradients: expected weight as a number"):
        Group().average_gradients(SGD(Linear(2, 2).parameters(), lr=0.1), weight)


def test_a_part_without_a_state_is_refused():
    with pytest.raises(TypeError, match=r"connect: expected parts with state\(\) .*, got list"):
        distributed.connect(Linear(2, 2).parameters())


def test_alone_nothing_changes():
    model = network()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    group = distributed.connect(model, optimizer, Dropout(seed=1))
    assert (group.rank, group.size) == (0, 1)
    group.synchronize_batch_norm(model)
    assert model[1].peers is None
    optimizer.flat[0][1][:] = 3.0
    group.average_gradients(optimizer, 7)
    group.sum_gradients(optimizer)
    assert (optimizer.flat[0][1] == 3.0).all()
    assert group.mean(2.5, 10) == 2.5
    assert group.once(lambda: 5) == 5


def test_a_model_that_knows_its_peers_can_be_copied_and_pickled():
    def program(group):
        model = network()
        group.synchronize_batch_norm(model)
        return copy.deepcopy(model), pickle.loads(pickle.dumps(model))

    for again in run(2, program)[0]:
        assert again[1].peers is not None


def test_the_group_says_which_rank_it_is():
    assert run(2, repr) == ["Group(rank=0, size=2)", "Group(rank=1, size=2)"]
