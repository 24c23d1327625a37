"""Schedules are functions of the step, equal to PyTorch's where it has them, and stay put after their end."""

import copy
import functools
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.layers import Parameter
from minidl.optim import SGD, Adam, schedules
from minidl.optim.schedules import Plateau

STEPS = 60


def theirs(torch, start: float, make, steps: int = STEPS) -> list[float]:
    """The rates of the first steps under a scheduler of PyTorch."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=start, momentum=0.9)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def ours(schedule) -> list[float]:
    return [schedule(step) for step in range(STEPS)]


PAIRS = {
    "constant": (schedules.constant(0.4), lambda lr, o: lr.ConstantLR(o, factor=1.0)),
    "step": (schedules.step_decay(0.4, every=7, factor=0.5), lambda lr, o: lr.StepLR(o, 7, 0.5)),
    "multi_step": (schedules.multi_step(0.4, [3, 4, 30]), lambda lr, o: lr.MultiStepLR(o, [3, 4, 30])),
    "exponential": (schedules.exponential(0.4, 0.9), lambda lr, o: lr.ExponentialLR(o, 0.9)),
    "linear": (schedules.polynomial(0.4, 25), lambda lr, o: lr.PolynomialLR(o, 25)),
    "polynomial": (schedules.polynomial(0.4, 25, power=2.5), lambda lr, o: lr.PolynomialLR(o, 25, 2.5)),
    "cosine": (schedules.cosine(0.4, 60, end=0.1), lambda lr, o: lr.CosineAnnealingLR(o, 60, 0.1)),
    "restarts": (
        schedules.cosine_restarts(0.4, 8, growth=2, end=0.1),
        lambda lr, o: lr.CosineAnnealingWarmRestarts(o, 8, 2, 0.1),
    ),
    "equal restarts": (
        schedules.cosine_restarts(0.4, 8),
        lambda lr, o: lr.CosineAnnealingWarmRestarts(o, 8),
    ),
    "one_cycle": (schedules.one_cycle(0.4, 60), lambda lr, o: lr.OneCycleLR(o, 0.4, 60)),
    "other one_cycle": (
        schedules.one_cycle(0.4, 60, warm_up=0.45, start_divisor=10, end_divisor=100),
        lambda lr, o: lr.OneCycleLR(o, 0.4, 60, pct_start=0.45, div_factor=10, final_div_factor=100),
    ),
    "warm_up": (schedules.warm_up(5, 0.4, start=0.1), lambda lr, o: lr.LinearLR(o, 0.25, 1.0, 5)),
    "chain": (
        schedules.chain(schedules.exponential(0.4, 0.9), schedules.cosine(0.4, 50), at=[10]),
        lambda lr, o: lr.SequentialLR(o, [lr.ExponentialLR(o, 0.9), lr.CosineAnnealingLR(o, 50)], [10]),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.filterwarnings("ignore:.*epoch parameter:UserWarning")
def test_the_schedules_equal_those_of_pytorch(torch, name) -> None:
    schedule, make = PAIRS[name]
    expected = theirs(torch, 0.4, lambda optimizer: make(torch.optim.lr_scheduler, optimizer))
    assert ours(schedule) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(st.integers(1, 50), st.floats(0.0, 1.0))
def test_one_cycle_has_its_peak_where_it_was_asked_for_and_ends_low(steps, warm_up) -> None:
    rates = [schedules.one_cycle(1.0, steps, warm_up)(step) for step in range(steps + 5)]
    top = max(rates)
    assert top <= 1.0
    assert rates.index(top) == pytest.approx(max(warm_up * steps - 1, 0), abs=1)
    assert len(set(rates[steps - 1 :])) == 1
    assert rates[-1] == pytest.approx(1.0 / 25 / 1e4) or warm_up * steps > steps - 2


@pytest.mark.parametrize(
    "schedule",
    [
        schedules.cosine(1.0, 10, end=0.25),
        schedules.polynomial(1.0, 10, end=0.25),
        schedules.warm_up(10, 0.25, start=1.0),
    ],
)
def test_after_its_end_a_schedule_stays_where_it_is(schedule) -> None:
    assert schedule(0) == 1.0
    assert [schedule(10), schedule(11), schedule(10**6)] == [0.25] * 3


def test_a_chained_schedule_counts_from_its_own_start() -> None:
    schedule = schedules.chain(1.0, schedules.exponential(1.0, 0.5), 0.0, at=[2, 4])
    assert [schedule(step) for step in range(6)] == [1.0, 1.0, 1.0, 0.5, 0.0, 0.0]
    schedule = schedules.warm_up(2, schedules.exponential(1.0, 0.5))
    assert [schedule(step) for step in range(5)] == [0.0, 0.5, 1.0, 0.5, 0.25]


@given(st.lists(st.floats(-10, 10), max_size=40), st.integers(0, 4), st.integers(0, 3))
def test_plateau_goes_down_as_in_pytorch(torch, losses, patience, cooldown) -> None:
    losses = [abs(loss) + 0.1 for loss in losses]
    mine = Plateau(0.4, factor=0.5, patience=patience, cooldown=cooldown, minimum=0.02)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.4)
    other = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=patience, cooldown=cooldown, min_lr=0.02, eps=0.0
    )
    for step, loss in enumerate(losses):
        mine.report(loss)
        other.step(loss)
        assert mine(step) == optimizer.param_groups[0]["lr"]


def test_plateau_takes_negative_infinite_and_nan_losses() -> None:
    schedule = Plateau(1.0, factor=0.5, patience=1)
    for loss in (-1.0, -2.0, -3.0):
        schedule.report(loss)
    assert schedule(0) == 1.0
    for loss in (math.nan, math.inf):
        schedule.report(loss)
    assert schedule(0) == 0.5


def test_a_restored_plateau_goes_on() -> None:
    first, second = Plateau(1.0, patience=2, cooldown=1), Plateau(1.0, patience=2, cooldown=1)
    losses = [3.0, 3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    for loss in losses[:5]:
        first.report(loss)
    second.load_state(first.state())
    for loss in losses[5:]:
        first.report(loss)
        second.report(loss)
        assert second.state() == first.state()
    assert first(0) < 1.0


COMPOSED = {
    "warm_up": lambda plateau: schedules.warm_up(2, plateau),
    "chain": lambda plateau: schedules.chain(0.3, plateau, at=[2]),
    "both": lambda plateau: schedules.warm_up(1, schedules.chain(0.3, plateau, at=[1])),
    "partial": lambda plateau: functools.partial(lambda step, *, then: then(step) / 2, then=plateau),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_a_plateau_inside_another_schedule_is_saved_with_its_optimizer(name) -> None:
    plateaus = [Plateau(0.4, factor=0.5, patience=0) for _ in range(2)]
    first, second = (SGD([Parameter(np.ones(2))], lr=COMPOSED[name](plateau)) for plateau in plateaus)
    for loss in (1.0, 1.0, 2.0):
        first.step()
        plateaus[0].report(loss)
    second.load_state(first.state())
    assert plateaus[1].state() == plateaus[0].state()
    assert second.lr == first.lr
    assert plateaus[0](0) == 0.1


def test_a_plateau_in_a_tuple_is_saved_with_its_optimizer() -> None:
    plateaus = [Plateau(0.9, factor=0.5, patience=0) for _ in range(2)]
    first, second = (Adam([Parameter(np.ones(2))], betas=(plateau, 0.999)) for plateau in plateaus)
    for loss in (1.0, 2.0):
        plateaus[0].report(loss)
    second.load_state(first.state())
    assert plateaus[1](0) == 0.45


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: schedules.cosine(0.1, 0), ValueError, "cosine: expected steps >= 1, got 0"),
        (lambda: schedules.one_cycle(0.1, 1e4), TypeError, "one_cycle: expected steps as an int, got float"),
        (lambda: schedules.one_cycle(0.1, 9, 2), ValueError, "expected warm_up between 0 and 1, got 2"),
        (lambda: schedules.step_decay(0.1, every=0), ValueError, "step_decay: expected every >= 1, got 0"),
        (lambda: schedules.cosine_restarts(0.1, 5, 0), ValueError, "expected growth >= 1, got 0"),
        (lambda: schedules.polynomial(0.1, -1), ValueError, "polynomial: expected steps >= 1, got -1"),
        (lambda: schedules.warm_up(0, 0.1), ValueError, "warm_up: expected steps >= 1, got 0"),
        (
            lambda: schedules.multi_step(0.1, [5, 5]),
            ValueError,
            "expected milestones as increasing steps above 0",
        ),
        (
            lambda: schedules.chain(0.1, 0.2, at=[]),
            ValueError,
            "expected one schedule more than .* got 2 and 0",
        ),
        (
            lambda: schedules.chain(0.1, 0.2, at=[0]),
            ValueError,
            "expected at as increasing steps above 0, got",
        ),
        (
            lambda: schedules.polynomial(0.1, 9, power=-1),
            ValueError,
            "polynomial: expected power >= 0, got -1",
        ),
        (
            lambda: schedules.one_cycle(0.1, 9, 0.3, 0),
            ValueError,
            "one_cycle: expected start_divisor > 0, got 0",
        ),
        (
            lambda: schedules.one_cycle(0.1, 9, end_divisor=0),
            ValueError,
            "one_cycle: expected end_divisor > 0, got 0",
        ),
        (lambda: Plateau(0.1, patience="5"), TypeError, "Plateau: expected patience as an int, got str"),
        (lambda: Plateau(0.1, patience=-1), ValueError, "Plateau: expected patience >= 0, got -1"),
        (lambda: Plateau(0.1, cooldown=-1), ValueError, "Plateau: expected cooldown >= 0, got -1"),
        (
            lambda: Plateau(0.1, minimum=1.0),
            ValueError,
            "Plateau: expected minimum <= start, got 1.0 and 0.1",
        ),
        (lambda: Plateau(0.1, factor=1.5), ValueError, "Plateau: expected factor between 0 and 1, got 1.5"),
        (lambda: Plateau(0.1).load_state({"best": 1.0}), ValueError, "Plateau: expected a state of .* got"),
    ],
)
def test_bad_arguments_are_refused(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()


def test_steps_may_be_counted_by_numpy() -> None:
    for make in (schedules.one_cycle, schedules.cosine, schedules.cosine_restarts, schedules.polynomial):
        assert ours(make(0.4, np.int64(20))) == ours(make(0.4, 20))
        with pytest.raises(TypeError, match=f"{make.__name__}: expected steps as an int, got bool"):
            make(0.4, True)
    assert ours(schedules.multi_step(0.4, np.array([3, 9]))) == ours(schedules.multi_step(0.4, [3, 9]))
    with pytest.raises(TypeError, match="chain: expected at as an int, got float"):
        schedules.chain(0.1, 0.2, at=[1.5])


@pytest.mark.parametrize("name", PAIRS)
def test_a_schedule_survives_pickling_and_copying(name) -> None:
    schedule = PAIRS[name][0]
    for other in (pickle.loads(pickle.dumps(schedule)), copy.deepcopy(schedule)):
        assert ours(other) == ours(schedule)
