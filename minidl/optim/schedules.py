"""Schedules: functions ``step -> float`` that any hyper-parameter of an optimizer takes in place of a number.

The optimizer counts the steps from 0 and asks ``schedule(step)`` before each update. All schedules but
`Plateau` are pure functions of the step: a resumed optimizer finds its place in them by its step count alone.
What a `Plateau` remembers is in the optimizer's state, also where it stands in a `chain` or a `warm_up`.
All can be pickled and copied; a function of your own can if it stands in a module, a lambda never.

    AdamW(model.parameters(), lr=one_cycle(1e-3, steps=2_000))
    SGD(model.parameters(), lr=warm_up(100, cosine(0.1, steps=5_000)), momentum=0.9)
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import TypeAlias

from minidl.backend import check_int

Schedule: TypeAlias = Callable[[int], float]


def constant(value: float) -> Schedule:
    """Return the schedule that stays at ``value``.

    Example:
        >>> constant(0.1)(1_000)
        0.1
    """
    return partial(_constant, value)


def _constant(value: float, step: int) -> float:
    return value


def step_decay(start: float, every: int, factor: float = 0.1) -> Schedule:
    """Return the schedule that multiplies by ``factor`` after every so many steps.

    Example:
        >>> halving = step_decay(1.0, every=10, factor=0.5)
        >>> halving(9), halving(10), halving(20)
        (1.0, 0.5, 0.25)
    """
    every = _check_steps("step_decay", "every", every)
    return partial(_step_decay, start, every, factor)


def _step_decay(start: float, every: int, factor: float, step: int) -> float:
    return start * factor ** (step // every)


def multi_step(start: float, milestones: Sequence[int], factor: float = 0.1) -> Schedule:
    """Return the schedule that multiplies by ``factor`` at each milestone.

    Example:
        >>> schedule = multi_step(1.0, [10, 50], factor=0.5)
        >>> schedule(9), schedule(10), schedule(50)
        (1.0, 0.5, 0.25)
    """
    return partial(_multi_step, start, _increasing("multi_step", "milestones", milestones), factor)


def _multi_step(start: float, milestones: list[int], factor: float, step: int) -> float:
    return start * factor ** bisect_right(milestones, step)


def exponential(start: float, factor: float) -> Schedule:
    """Return the schedule that multiplies by ``factor`` at every step.

    Example:
        >>> exponential(1.0, 0.5)(3)
        0.125
    """
    return partial(_exponential, start, factor)


def _exponential(start: float, factor: float, step: int) -> float:
    return start * factor**step


def polynomial(start: float, steps: int, power: float = 1.0, end: float = 0.0) -> Schedule:
    """Return the schedule from ``start`` to ``end`` along ``(1 - t) ** power``; a straight line by default.

    Example:
        >>> polynomial(1.0, steps=10)(5)
        0.5
    """
    steps = _check_steps("polynomial", "steps", steps)
    if not power >= 0:
        raise ValueError(f"polynomial: expected power >= 0, got {power}")
    return partial(_polynomial, start, end, steps, power)


def _polynomial(start: float, end: float, steps: int, power: float, step: int) -> float:
    return end + (start - end) * math.pow(1.0 - min(step / steps, 1.0), power)


def cosine(start: float, steps: int, end: float = 0.0) -> Schedule:
    """Return the schedule from ``start`` to ``end`` along half a cosine (Loshchilov and Hutter, 2017).

    After ``steps`` steps it stays at ``end``.

    Example:
        >>> schedule = cosine(1.0, steps=10)
        >>> schedule(0), round(schedule(5), 6), schedule(10), schedule(11)
        (1.0, 0.5, 0.0, 0.0)
    """
    steps = _check_steps("cosine", "steps", steps)
    return partial(_cosine, start, end, steps)


def _cosine(start: float, end: float, steps: int, step: int) -> float:
    return _half_cosine(start, end, min(step / steps, 1.0))


def cosine_restarts(start: float, steps: int, growth: int = 1, end: float = 0.0) -> Schedule:
    """Return the cosine that starts anew after ``steps`` steps, each cycle ``growth`` times as long.

    Source: Loshchilov and Hutter, 2017.

    Example:
        >>> schedule = cosine_restarts(1.0, steps=10, growth=2)
        >>> schedule(0), schedule(10), round(schedule(20), 6), schedule(30)
        (1.0, 1.0, 0.5, 1.0)
    """
    steps = _check_steps("cosine_restarts", "steps", steps)
    growth = _check_steps("cosine_restarts", "growth", growth)
    return partial(_cosine_restarts, start, end, steps, growth)


def _cosine_restarts(start: float, end: float, length: int, growth: int, step: int) -> float:
    if growth == 1:
        step %= length
    while step >= length:
        step -= length
        length *= growth
    return _half_cosine(start, end, step / length)


def one_cycle(
    peak: float, steps: int, warm_up: float = 0.3, start_divisor: float = 25.0, end_divisor: float = 1e4
) -> Schedule:
    """Return the schedule that rises to ``peak`` and falls to almost nothing, both along half a cosine.

    Args:
        peak: the largest value.
        steps: length of the whole cycle; later steps stay at the last value.
        warm_up: the share of the steps spent rising, between 0 and 1.
        start_divisor: the first value is ``peak / start_divisor``,
        end_divisor: and the last one the first value ``/ end_divisor``.

    Source: Smith and Topin, 2018.

    Example:
        >>> schedule = one_cycle(1.0, steps=101, warm_up=0.5)
        >>> schedule(0), round(max(map(schedule, range(101))), 3), schedule(100)
        (0.04, 1.0, 4e-06)
    """
    steps = _check_steps("one_cycle", "steps", steps)
    if not 0.0 <= warm_up <= 1.0:
        raise ValueError(f"one_cycle: expected warm_up between 0 and 1, got {warm_up}")
    for name, divisor in (("start_divisor", start_divisor), ("end_divisor", end_divisor)):
        if not divisor > 0:
            raise ValueError(f"one_cycle: expected {name} > 0, got {divisor}")
    start = peak / start_divisor
    return partial(_one_cycle, start, peak, start / end_divisor, steps, max(warm_up * steps - 1.0, 0.0))


def _one_cycle(start: float, peak: float, end: float, steps: int, top: float, step: int) -> float:
    step = min(step, steps - 1)
    if step < top:
        return _half_cosine(start, peak, step / top)
    return _half_cosine(peak, end, (step - top) / max(steps - 1.0 - top, 1.0))


def warm_up(steps: int, then: float | Schedule, start: float = 0.0) -> Schedule:
    """Return the schedule that goes straight from ``start`` to ``then``, and continues with that.

    Args:
        steps: length of the warm-up; step number ``steps`` is the first of what follows.
        then: a number or a schedule, which sees its own steps counted from 0.
        start: the value at step 0.

    Example:
        >>> schedule = warm_up(10, then=0.1)
        >>> schedule(0), schedule(5), schedule(10), schedule(100)
        (0.0, 0.05, 0.1, 0.1)
    """
    steps = _check_steps("warm_up", "steps", steps)
    return partial(_warm_up, start, steps, as_schedule(then))


def _warm_up(start: float, steps: int, following: Schedule, step: int) -> float:
    if step >= steps:
        return following(step - steps)
    return start + (following(0) - start) * step / steps


def chain(*schedules: float | Schedule, at: Sequence[int]) -> Schedule:
    """Return one schedule after another, each with its own steps counted from 0.

    Args:
        *schedules: numbers or schedules, in order.
        at: the steps at which the second, the third, ... takes over.

    Example:
        >>> schedule = chain(0.1, exponential(1.0, 0.5), at=[100])
        >>> schedule(99), schedule(100), schedule(101)
        (0.1, 1.0, 0.5)
    """
    at = _increasing("chain", "at", at)
    if len(schedules) != len(at) + 1:
        raise ValueError(
            f"chain: expected one schedule more than steps in at, got {len(schedules)} and {len(at)}"
        )
    return partial(_chain, [as_schedule(part) for part in schedules], [0, *at])


def _chain(parts: list[Schedule], starts: list[int], step: int) -> float:
    index = bisect_right(starts, step) - 1
    return parts[index](step - starts[index])


class Plateau:
    """A schedule that goes down when a reported number stops getting better.

    Args:
        start: the first value.
        factor: by which the value is multiplied,
        patience: after more than so many reports in a row without a new best,
        threshold: where new best means smaller than ``best * (1 - threshold)``.
        cooldown: so many reports after a reduction are not counted.
        minimum: the value never falls below this.

    Example:
        >>> lr = Plateau(1.0, factor=0.5, patience=1)
        >>> for loss in (3.0, 2.0, 2.0, 2.0):
        ...     lr.report(loss)
        >>> lr(step=0)
        0.5
    """

    def __init__(
        self,
        start: float,
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        cooldown: int = 0,
        minimum: float = 0.0,
    ) -> None:
        if not 0.0 < factor < 1.0:
            raise ValueError(f"Plateau: expected factor between 0 and 1, got {factor}")
        for name, reports in (("patience", patience), ("cooldown", cooldown)):
            if check_int(reports, "Plateau", name) < 0:
                raise ValueError(f"Plateau: expected {name} >= 0, got {reports}")
        if minimum > start:
            raise ValueError(f"Plateau: expected minimum <= start, got {minimum} and {start}")
        self.factor, self.patience, self.threshold = factor, patience, threshold
        self.cooldown, self.minimum = cooldown, minimum
        self.value = start
        self.best = math.inf
        self.bad_reports = 0
        self.resting = 0

    def __call__(self, step: int) -> float:
        return self.value

    def report(self, loss: float) -> None:
        """Take note of a loss, say of the validation after an epoch; smaller is better."""
        margin = self.threshold * abs(self.best) if math.isfinite(self.best) else 0.0
        if loss < self.best - margin:
            self.best = float(loss)
            self.bad_reports = 0
        else:
            self.bad_reports += 1
        if self.resting > 0:
            self.resting -= 1
            self.bad_reports = 0
        if self.bad_reports > self.patience:
            self.value = max(self.value * self.factor, self.minimum)
            self.bad_reports, self.resting = 0, self.cooldown

    def state(self) -> dict[str, float]:
        """Return what `load_state` needs to go on from here."""
        return {
            "value": self.value,
            "best": self.best,
            "bad_reports": self.bad_reports,
            "resting": self.resting,
        }

    def load_state(self, state: dict[str, float]) -> None:
        """Go on from where `state` was taken."""
        if state.keys() != self.state().keys():
            raise ValueError(f"Plateau: expected a state of {sorted(self.state())}, got {sorted(state)}")
        value, best = float(state["value"]), float(state["best"])
        self.bad_reports, self.resting = int(state["bad_reports"]), int(state["resting"])
        self.value, self.best = value, best


def as_schedule(value: float | Schedule) -> Schedule:
    """Return a schedule as it is, and a number as the schedule that stays there."""
    return value if callable(value) else constant(value)


def _half_cosine(start: float, end: float, t: float) -> float:
    return end + (start - end) * (1.0 + math.cos(math.pi * t)) / 2.0


def _check_steps(owner: str, name: str, steps: int) -> int:
    steps = check_int(steps, owner, name)
    if steps < 1:
        raise ValueError(f"{owner}: expected {name} >= 1, got {steps}")
    return steps


def _increasing(owner: str, name: str, steps: Sequence[int]) -> list[int]:
    steps = [check_int(step, owner, name) for step in steps]
    if any(a >= b for a, b in pairwise([0, *steps])):
        raise ValueError(f"{owner}: expected {name} as increasing steps above 0, got {steps}")
    return steps
