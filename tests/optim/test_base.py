"""What every optimizer does around its formula: buffers, counts, schedules, groups, state, errors."""

import copy
import math
import pickle

import numpy as np
import pytest

from minidl import backend, threads
from minidl.backend import BLOCK, asarray, to_numpy, xp
from minidl.layers.parameter import Parameter
from minidl.optim import flat
from minidl.optim.adam import Adam, AdamW
from minidl.optim.adaptive import RMSProp
from minidl.optim.base import Optimizer
from minidl.optim.lion import Lion
from minidl.optim.schedules import Plateau, cosine
from minidl.optim.sgd import SGD
from tests.optim.oracle import assert_equal, draw, ours


def ones(*shapes, dtype="float32") -> list[Parameter]:
    """Parameters of ones whose gradients are ones."""
    parameters = [Parameter(xp.ones(shape, dtype)) for shape in shapes]
    for p in parameters:
        p.grad = xp.ones(p.shape, dtype)
    return parameters


def values(parameters) -> list[np.ndarray]:
    return [to_numpy(p.data).copy() for p in parameters]


def test_the_buffers_hold_the_parameters_and_their_gradients() -> None:
    ps = ones((2, 3), (4,))
    ((data, grad),) = SGD(ps, lr=0.1).flat
    data[...] = 3.0
    grad[...] = 4.0
    for p in ps:
        assert (to_numpy(p.data) == 3.0).all()
        assert (to_numpy(p.grad) == 4.0).all()


def test_zero_grad_zeroes_the_arrays_that_are_there() -> None:
    ps = ones((2,), (3,))
    optimizer = SGD(ps, lr=0.1)
    grad = ps[1].grad
    optimizer.zero_grad()
    assert ps[1].grad is grad
    assert to_numpy(grad).tolist() == [0.0, 0.0, 0.0]


def test_the_gradient_is_not_written_to_by_a_step() -> None:
    for make in (lambda ps: SGD(ps, 0.1, 0.9, True, 0.1), lambda ps: Adam(ps, weight_decay=0.1), AdamW):
        ps = ones((3,))
        make(ps).step()
        assert to_numpy(ps[0].grad).tolist() == [1.0] * 3


def test_a_hyper_parameter_may_be_a_schedule_of_the_step() -> None:
    asked = []

    def rate(step: int) -> float:
        asked.append(step)
        return 0.5 / (step + 1)

    (p,) = ones((1,))
    optimizer = SGD([p], lr=rate)
    optimizer.step()
    assert to_numpy(p.data).tolist() == [0.5]
    assert optimizer.lr == 0.25
    optimizer.step()
    assert to_numpy(p.data).tolist() == [0.25]
    assert (optimizer.step_count, asked) == (2, [0, 1, 1])


def test_scheduled_betas_and_momentum_equal_constant_ones() -> None:
    start, gradients = draw(seed=0, steps=5)
    for scheduled, constant in (
        (lambda ps: Adam(ps, betas=(lambda step: 0.5, 0.9)), lambda ps: Adam(ps, betas=(0.5, 0.9))),
        (lambda ps: SGD(ps, 0.1, momentum=lambda step: 0.7), lambda ps: SGD(ps, 0.1, momentum=0.7)),
    ):
        assert_equal(ours(scheduled, start, gradients), ours(constant, start, gradients), 0.0)


def test_the_rate_can_be_changed_between_steps() -> None:
    (p,) = ones((1,))
    optimizer = SGD([p], lr=0.5)
    optimizer.lr = 0.25
    assert optimizer.lr == 0.25
    optimizer.step()
    assert to_numpy(p.data).tolist() == [0.75]
    optimizer.lr = cosine(1.0, steps=2)
    assert optimizer.lr == pytest.approx(0.5)


def test_frozen_parameters_stay_and_do_not_count() -> None:
    start, gradients = draw(seed=0, steps=6)
    ps = [Parameter(asarray(a.copy())) for a in start]
    optimizer = Adam(ps, lr=0.1, weight_decay=0.1)
    ps[1].requires_grad = False
    for step in gradients[:3]:
        for p, g in zip(ps, step, strict=True):
            p.grad = g
        optimizer.step()
    np.testing.assert_array_equal(to_numpy(ps[1].data), start[1])
    ps[1].requires_grad = True
    for step in gradients[3:]:
        for p, g in zip(ps, step, strict=True):
            p.grad = g
        optimizer.step()
    fresh = ours(lambda ps: Adam(ps, lr=0.1, weight_decay=0.1), start, gradients[3:])
    np.testing.assert_allclose(to_numpy(ps[1].data), fresh[1], rtol=1e-12)
    whole = ours(lambda ps: Adam(ps, lr=0.1, weight_decay=0.1), start, gradients)
    np.testing.assert_allclose(to_numpy(ps[0].data), whole[0], rtol=1e-12)


def test_a_long_buffer_has_the_same_bits_on_any_number_of_cores(monkeypatch) -> None:
    monkeypatch.setattr(flat, "BLOCK", 1000)
    found = []
    for cores in ("1", "2", "4"):
        monkeypatch.setenv("MINIDL_NUM_THREADS", cores)
        (p,) = ones((7003,))
        optimizer = Adam([p], lr=0.1)
        for step in range(3):
            p.grad = asarray(np.sin(np.arange(7003.0) + step), "float32")
            optimizer.step()
        found.append(to_numpy(p.data).tobytes())
    assert found[0] == found[1] == found[2]


def test_a_gpu_is_left_to_the_thread_that_asked(monkeypatch) -> None:  # another has another stream
    monkeypatch.setattr(flat, "BLOCK", 1000)
    monkeypatch.setattr(backend, "CORES", False)
    monkeypatch.setattr(threads, "run", None)
    (p,) = ones((7003,))
    SGD([p], lr=0.5).step()
    assert (to_numpy(p.data) == 0.5).all()


def test_long_buffers_are_updated_whole() -> None:
    (p,) = ones((BLOCK + 3,))
    optimizer = Adam([p], lr=0.5)
    optimizer.step()
    np.testing.assert_allclose(to_numpy(p.data), 0.5, rtol=1e-6)


@pytest.mark.parametrize("make", [lambda ps: SGD(ps, 0.01, momentum=0.9), Adam, AdamW])
def test_half_precision_follows_single_with_moments_in_single(make) -> None:
    start, gradients = draw(seed=0, steps=10)
    single = ours(make, [a.astype("float16").astype("float32") for a in start], [
        [g.astype("float16").astype("float32") for g in step] for step in gradients
    ])  # fmt: skip
    half = ours(
        make, [a.astype("float16") for a in start], [[g.astype("float16") for g in s] for s in gradients]
    )
    assert {a.dtype for a in half} == {np.dtype("float16")}
    assert_equal(half, single, 2e-2)


def test_parameters_of_several_dtypes_are_updated_each_in_its_own() -> None:
    ps = [*ones((2,)), *ones((3,), dtype="float64")]
    optimizer = Adam(ps, lr=0.5)
    optimizer.step()
    assert [(data.dtype, data.size) for data, _ in optimizer.flat] == [(np.float32, 2), (np.float64, 3)]
    for p in ps:
        np.testing.assert_allclose(to_numpy(p.data), 0.5, rtol=1e-6)


def test_a_shared_parameter_is_updated_once() -> None:
    (p,) = ones((1,))
    SGD([p, p], lr=0.25).step()
    assert to_numpy(p.data).tolist() == [0.75]


def test_groups_have_hyper_parameters_of_their_own() -> None:
    a, b, c = ones((1,), (1,), (1,))
    optimizer = SGD([{"parameters": [a, c]}, {"parameters": [b], "lr": 0.5}], lr=0.25)
    optimizer.step()
    assert [float(p.data[0]) for p in (a, b, c)] == [0.75, 0.5, 0.75]
    optimizer.groups[1]["lr"] = lambda step: 1.0 * step
    optimizer.lr = 0.0
    optimizer.step()
    assert [float(p.data[0]) for p in (a, b, c)] == [0.75, -0.5, 0.75]


def rebound(optimizer):
    for p in optimizer.parameters[1:]:
        p.rebind(p.data.copy(), p.grad.copy())
    return optimizer


def taken_over(optimizer):
    SGD(optimizer.parameters[:2], lr=0.1)
    return optimizer


@pytest.mark.parametrize("how", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o)), rebound, taken_over])
@pytest.mark.parametrize("make", [lambda ps: SGD(ps, 0.01, momentum=0.9), Adam])
def test_an_optimizer_goes_on_after_its_parameters_were_taken_out_of_the_buffers(make, how) -> None:
    start, gradients = draw(seed=0, steps=4)
    expected = ours(make, start, gradients)
    assert_equal(ours(make, start, gradients, between=how), expected, 0.0)


def test_after_a_change_of_dtype_training_goes_on_in_the_new_one() -> None:
    start, gradients = draw(seed=0, steps=6)

    def to_double(optimizer):
        for p in optimizer.parameters:
            p.rebind(p.data.astype("float64"), p.grad.astype("float64"))
        return optimizer

    single = [a.astype("float32") for a in start], [[g.astype("float32") for g in step] for step in gradients]
    changed = ours(Adam, *single, between=to_double)
    assert {a.dtype for a in changed} == {np.dtype("float64")}
    assert_equal(changed, ours(Adam, start, gradients), 1e-5)


@pytest.mark.parametrize("make", [lambda ps: SGD(ps, 0.01, momentum=0.9), Adam, AdamW])
def test_a_restored_optimizer_goes_on_bit_for_bit(make) -> None:
    start, gradients = draw(seed=0, steps=8)

    def restart(optimizer):
        state = optimizer.state()
        fresh = make([Parameter(p.data.copy()) for p in optimizer.parameters])
        fresh.load_state({name: to_numpy(array) for name, array in state.items()})
        return fresh

    assert_equal(ours(make, start, gradients, between=restart), ours(make, start, gradients), 0.0)


def test_a_state_is_a_copy_named_by_position() -> None:
    ps = ones((2, 3), (4,))
    optimizer = Adam(ps)
    assert sorted(optimizer.state()) == ["counts", "step"]
    optimizer.step()
    state = optimizer.state()
    assert {name: array.shape for name, array in state.items()} == {
        "step": (), "counts": (2,), "0.mean": (2, 3), "1.mean": (4,), "0.square": (2, 3), "1.square": (4,),
    }  # fmt: skip
    state["0.mean"][...] = 9.0
    assert to_numpy(optimizer.state()["0.mean"])[0, 0] == pytest.approx(0.1)


def test_loading_an_empty_state_forgets_the_moments() -> None:
    start, gradients = draw(seed=0, steps=3)
    ps = [Parameter(asarray(a.copy())) for a in start]
    optimizer = Adam(ps)
    beginning = optimizer.state()
    for attempt in range(2):
        for p, a in zip(ps, start, strict=True):
            p.data = a
        optimizer.load_state(beginning)
        for step in gradients:
            for p, g in zip(ps, step, strict=True):
                p.grad = g
            optimizer.step()
        if attempt == 0:
            first = values(ps)
    assert_equal(values(ps), first, 0.0)


def test_a_plateau_is_restored_with_its_optimizer() -> None:
    schedules = [Plateau(0.5, factor=0.5, patience=0) for _ in range(4)]
    a, b = ones((1,), (2,))
    optimizer = SGD([{"parameters": [a]}, {"parameters": [b], "lr": schedules[1]}], lr=schedules[0])
    for loss in (1.0, 2.0, 3.0):
        schedules[0].report(loss)
    schedules[1].report(7.0)
    other = SGD([{"parameters": ones((1,))}, {"parameters": ones((2,)), "lr": schedules[3]}], lr=schedules[2])
    other.load_state(optimizer.state())
    assert other.lr == optimizer.lr == 0.125
    assert schedules[3].state() == schedules[1].state()


def test_a_state_that_does_not_fit_is_refused_whole_and_listed() -> None:
    ps = ones((2, 3), (4,))
    optimizer = Adam(ps)
    optimizer.step()
    before = optimizer.state()
    bad = dict(before)
    del bad["1.mean"]
    bad["0.square"] = xp.zeros((3, 2))
    bad["0.velocity"] = xp.zeros((2, 3))
    bad["step"] = asarray(7)
    with pytest.raises(
        ValueError,
        match=r"Adam: expected the state of the same optimizer and model, got 0\.square of shape \(3, 2\) in "
        r"place of \(2, 3\); missing 1\.mean; unexpected 0\.velocity",
    ):
        optimizer.load_state(bad)
    assert optimizer.step_count == 1
    for name, array in optimizer.state().items():
        np.testing.assert_array_equal(to_numpy(array), to_numpy(before[name]))
    with pytest.raises(ValueError, match=r"counts of shape \(2,\) in place of \(1,\)"):
        Adam(ones((2, 3))).load_state(before)
    with pytest.raises(ValueError, match=r"SGD: expected .* unexpected 0\.mean"):
        SGD(ones((2, 3), (4,)), lr=0.1).load_state(before)


class Forgetful(Optimizer):
    """Declares no slots, and uses one."""

    def __init__(self, parameters, lr) -> None:
        super().__init__(parameters, lr=lr)

    @staticmethod
    def update(p, g, state, lr) -> None:
        p -= lr * g * (1.0 + state["memory"])


class Signed(Forgetful):
    """The smallest optimizer of a user's own."""

    @staticmethod
    def update(p, g, state, lr) -> None:
        p -= lr * xp.sign(g)


def test_an_optimizer_of_ones_own_is_one_function() -> None:
    (p,) = ones((3,))
    optimizer = Signed([p], lr=0.25)
    optimizer.step()
    assert to_numpy(p.data).tolist() == [0.75] * 3
    assert repr(optimizer) == "Signed(lr=0.25)"
    with pytest.raises(KeyError, match="'memory' is not among the slots"):
        Forgetful([p], lr=0.25).step()


class Model:
    def parameters(self):
        return ones((2,))

    def __iter__(self):
        return iter([])


used_up = iter([])
twice = ones((2,))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: SGD(Model(), 0.1),
            TypeError,
            r"SGD: expected Parameters, got Model; pass model\.parameters\(\)",
        ),
        (
            lambda: SGD(Model().parameters, 0.1),
            TypeError,
            r"expected Parameters, got method; pass model\.param",
        ),
        (lambda: SGD(ones((2,))[0], 0.1), TypeError, "SGD: expected Parameters, got Parameter; pass"),
        (lambda: SGD([np.zeros(3)], 0.1), TypeError, "SGD: expected Parameters, got ndarray among them"),
        (lambda: SGD([], 0.1), ValueError, "SGD: expected at least one parameter, got none; a generator"),
        (lambda: SGD(used_up, 0.1), ValueError, "SGD: expected at least one parameter, got none"),
        (lambda: SGD(ones((2,)), -0.1), ValueError, r"SGD: expected lr >= 0, got -0\.1"),
        (lambda: SGD(ones((2,)), float("nan")), ValueError, "SGD: expected lr >= 0, got nan"),
        (lambda: SGD(ones((2,)), "0.1"), TypeError, "SGD: expected lr as a number or a schedule, got str"),
        (lambda: SGD(ones((2,)), lambda step: -1.0).step(), ValueError, r"SGD: expected lr >= 0, got -1\.0"),
        (lambda: Adam(ones((2,)), betas=(0.9, 1.0)), ValueError, r"Adam: expected 0 <= betas < 1, got 1\.0"),
        (lambda: Adam(ones((2,)), eps=-1e-8), ValueError, "Adam: expected eps >= 0, got -1e-08"),
        (lambda: AdamW(ones((2,)), weight_decay=None), TypeError, "AdamW: expected weight_decay as a number"),
        (lambda: setattr(SGD(ones((2,)), 0.1), "lr", -1), ValueError, "SGD: expected lr >= 0, got -1"),
        (
            lambda: SGD([{"parameters": ones((2,)), "rate": 1.0}], 0.1),
            TypeError,
            "SGD: expected groups with lr, momentum, nesterov, weight_decay, got rate",
        ),
        (
            lambda: SGD([{"params": ones((2,)), "lr": 1.0}], 0.1),
            TypeError,
            'SGD: expected groups with "parameters", got params, lr',
        ),
        (
            lambda: SGD({"parameters": ones((2,))}, 0.1),
            TypeError,
            "SGD: expected groups as a list of dicts, got one dict",
        ),
        (
            lambda: SGD([{"parameters": ones((2,))}, ones((2,))[0]], 0.1),
            TypeError,
            "SGD: expected groups as a list of dicts, got Parameter among them",
        ),
        (
            lambda: SGD(ones((2,)), lambda step: None).step(),
            TypeError,
            "SGD: expected the schedule of lr to return a number, got NoneType at step 0",
        ),
        (
            lambda: SGD(ones((2,)), lambda step: "0.1").step(),
            TypeError,
            "SGD: expected the schedule of lr to return a number, got str at step 0",
        ),
        (lambda: SGD(ones((2,)), float("inf")), ValueError, "SGD: expected lr to be finite, got inf"),
        (lambda: SGD([{"parameters": ones((2,)), "lr": -1.0}], 0.1), ValueError, "expected lr >= 0, got -1"),
        (
            lambda: SGD([{"parameters": twice}, {"parameters": twice}], 0.1),
            ValueError,
            "SGD: expected each parameter in one group, got one in two of them",
        ),
    ],
)
def test_bad_arguments_are_refused(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()


def stepped(make, times=3):
    """An optimizer some steps on, over parameters of its own."""
    optimizer = make(ones((2, 3), (4,)))
    for _ in range(times):
        optimizer.step()
    return optimizer


KINDS = {
    "sgd": lambda ps: SGD(ps, lr=0.1),
    "momentum": lambda ps: SGD(ps, lr=0.1, momentum=0.9),
    "scheduled": lambda ps: SGD(ps, lr=0.1, momentum=lambda step: 0.9 * (step > 9)),
    "adam": Adam,
    "rmsprop": RMSProp,
    "centered": lambda ps: RMSProp(ps, centered=True),
    "lion": Lion,
    "grouped": lambda ps: SGD([{"parameters": ps[:1], "momentum": 0.9}, {"parameters": ps[1:]}], lr=0.1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_is_taken_back_by_an_optimizer_of_its_kind(kind) -> None:
    for times in (0, 3):
        optimizer = stepped(KINDS[kind], times)
        other = stepped(KINDS[kind], 1)
        other.load_state(optimizer.state())
        assert other.step_count == times
        assert other.state().keys() == optimizer.state().keys()


@pytest.mark.parametrize(
    ("saved", "loaded", "message"),
    [
        (
            "sgd",
            "adam",
            r"Adam: expected .* got missing 0\.mean; missing 0\.square; missing 1\.mean; missing",
        ),
        ("sgd", "momentum", r"SGD: expected .* got missing 0\.velocity; missing 1\.velocity"),
        ("sgd", "grouped", r"SGD: expected .* got missing 0\.velocity"),
        ("momentum", "sgd", r"SGD: expected .* got unexpected 0\.velocity; unexpected 1\.velocity"),
        ("momentum", "lion", r"Lion: .* missing 0\.mean; .*; unexpected 0\.velocity; unexpected 1\.velocity"),
        ("adam", "rmsprop", r"RMSProp: expected .* got unexpected 0\.mean; unexpected 1\.mean"),
        ("rmsprop", "centered", r"RMSProp: expected .* got missing 0\.mean; missing 1\.mean"),
    ],
)
def test_a_state_of_another_kind_is_refused(saved, loaded, message) -> None:
    optimizer = stepped(KINDS[loaded], 1)
    before = optimizer.state()
    with pytest.raises(ValueError, match=message):
        optimizer.load_state(stepped(KINDS[saved]).state())
    assert_same_state(optimizer, before)


def assert_same_state(optimizer, before) -> None:
    now = optimizer.state()
    assert now.keys() == before.keys()
    for name, array in now.items():
        np.testing.assert_array_equal(to_numpy(array), to_numpy(before[name]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("1.velocity", ["a"] * 4),
        ("1.velocity", np.array([None] * 4)),
        ("1.velocity", [[1.0], 2.0]),
        ("1.velocity", None),
        ("step", 2.5),
        ("step", "two"),
        ("step", -1),
        ("counts", [1.0, 2.0]),
        ("counts", [1, -2]),
        ("schedule.lr.best", "a"),
        ("schedule.lr", math.nan),
    ],
)
def test_a_state_with_something_that_is_no_number_changes_nothing(name, value) -> None:
    optimizer = stepped(lambda ps: SGD(ps, lr=Plateau(0.5), momentum=0.9))
    before = optimizer.state()
    key = "schedule.lr.bad_reports" if name == "schedule.lr" else name
    bad = {name: array + 1 for name, array in before.items()} | {key: value}
    with pytest.raises(ValueError, match=r"SGD: expected .* got .*" + name.replace(".", r"\.")):
        optimizer.load_state(bad)
    assert_same_state(optimizer, before)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Adam(ones((2,)), betas=0.9), TypeError, r"Adam: expected betas as a tuple of 2, got float"),
        (
            lambda: Adam(ones((2,)), betas=(0.9,)),
            ValueError,
            r"expected betas as a tuple of 2, got \(0\.9,\)",
        ),
        (lambda: Adam(ones((2,)), betas=[0.9, 0.99]), TypeError, "expected betas as a tuple of 2, got list"),
        (lambda: Adam(ones((2,)), betas=cosine(0.9, 5)), TypeError, "expected betas as a tuple of 2, got"),
        (
            lambda: Adam(ones((2,)), lr=(0.1, 0.2)),
            TypeError,
            "expected lr as a number or a schedule, got tup",
        ),
        (lambda: SGD(ones((2,)), lr=(0.1,)), TypeError, "expected lr as a number or a schedule, got tuple"),
        (
            lambda: Adam([{"parameters": ones((2,)), "betas": 0.9}]),
            TypeError,
            "Adam: expected betas as a tuple of 2, got float",
        ),
        (
            lambda: setattr(Adam(ones((2,))), "lr", (0.1,)),
            TypeError,
            "Adam: expected lr as a number or a sch",
        ),
    ],
)
def test_a_tuple_stands_where_the_default_is_one(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()


class Pair(Optimizer):
    """Takes a tuple that has no default."""

    def __init__(self, parameters, factors) -> None:
        super().__init__(parameters, factors=factors)

    @staticmethod
    def update(p, g, state, factors) -> None:
        p -= factors[0] * factors[1] * g


def test_an_option_without_a_default_may_be_a_tuple() -> None:
    (p,) = ones((1,))
    Pair([p], factors=(0.5, 0.5)).step()
    assert to_numpy(p.data).tolist() == [0.75]


def test_an_optimizer_with_a_schedule_survives_pickling() -> None:
    optimizer = stepped(lambda ps: SGD(ps, lr=cosine(0.1, steps=10)))
    other = pickle.loads(pickle.dumps(optimizer))
    assert (other.lr, other.step_count) == (optimizer.lr, 3)
    other.step()


def test_a_group_with_a_rate_of_its_own_keeps_it_when_the_rate_is_assigned() -> None:
    a, b = ones((1,), (1,))
    optimizer = SGD([{"parameters": [a]}, {"parameters": [b], "lr": 0.25}], lr=0.5)
    optimizer.lr = 0.0
    optimizer.step()
    assert [float(p.data[0]) for p in (a, b)] == [1.0, 0.75]
    optimizer.groups[1]["lr"] = 0.0
    optimizer.step()
    assert [float(p.data[0]) for p in (a, b)] == [1.0, 0.75]
    assert "optimizer.groups[i]" in type(optimizer).lr.__doc__
