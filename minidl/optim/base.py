"""Optimizer: everything around an update formula that all optimizers share.

An optimizer is one function, ``update(p, g, state, ...)`` on 1-D slices, and a constructor that names its
hyper-parameters:

    class PlainSGD(Optimizer):
        def __init__(self, parameters, lr):
            super().__init__(parameters, lr=lr)

        @staticmethod
        def update(p, g, state, lr):
            p -= lr * g
"""

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from minidl.backend import Array, asarray, copy_into, to_numpy, xp
from minidl.layers.parameter import Parameter
from minidl.ops._precision import widen
from minidl.optim.flat import Flat, pack, share
from minidl.optim.groups import Hyper, Parameters, as_groups, check, read_state, resolve, tuple_lengths


class State:
    """What an update remembers of its slice: arrays by name, zeros at first, and ``step``, counted from 1."""

    def __init__(self, flat: Flat, block: slice, step: int, slots: Collection[str]) -> None:
        self._flat = flat
        self._block = block
        self._slots = slots
        self.step = step

    def __getitem__(self, name: str) -> Array:
        if name not in self._slots:
            raise KeyError(f"{name!r} is not among the slots {self._slots} that the optimizer declares")
        return self._flat.slot(name)[self._block]


class Optimizer:
    """Updates parameters from their gradients, by a formula that a subclass gives.

    The parameters move into one flat buffer for each dtype, and so do their gradients. Frozen ones are not
    updated. Schedules are asked for the optimizer's step, formulas count the updates of each parameter.

    Args:
        parameters: ``model.parameters()``; or groups: a list of dicts, each with ``"parameters"`` and the
            hyper-parameters that differ for them.
        **options: hyper-parameters by name: numbers, schedules ``step -> float``, tuples of these, or bools.

    Raises:
        TypeError: something is no Parameter, or a hyper-parameter no number.
        ValueError: there are no parameters, one is in two groups, or a hyper-parameter is out of its range.
    """

    slots: ClassVar[tuple[str, ...]] = ()
    """The names under which the update keeps arrays in its state."""

    optional: ClassVar[Mapping[str, str]] = {}
    """The slots that need a hyper-parameter other than 0 or False: the name of each and that of the other."""

    update: ClassVar[Callable[..., None]]
    """``update(p, g, state, **options)`` changes ``p`` and ``state[name]`` in place, never ``g``.

    A large buffer is updated in blocks, several at once and in no fixed order: an update that draws random
    numbers or writes to anything else is not the same every time.
    """

    def __init__(self, parameters: Parameters, **options: Any) -> None:
        self.options = options
        self._lengths = tuple_lengths(type(self))
        self.groups = as_groups(parameters, options, type(self).__name__, self._lengths)
        self.parameters = [p for group in self.groups for p in group["parameters"]]
        self.step_count = 0
        self._counts = [0] * len(self.parameters)
        self._flats = pack(self.parameters)

    @property
    def lr(self) -> float:
        """The learning rate of the next step; assign a number or a schedule to change it.

        It is that of all groups without one of their own: change those by ``optimizer.groups[i]["lr"]``.
        """
        return self._options_of({})["lr"]  # type: ignore[no-any-return]  # options hold anything

    @lr.setter
    def lr(self, value: Hyper) -> None:
        check(type(self).__name__, {"lr": value}, self._lengths)
        self.options["lr"] = value

    @property
    def flat(self) -> list[tuple[Array, Array]]:
        """The buffers with all parameters and all gradients: a pair ``(data, grad)`` for each dtype."""
        self._ensure_packed()
        return [(flat.data, flat.grad) for flat in self._flats]

    def converted(self, dtype: Any) -> Iterator[tuple[Parameter, Array]]:
        """Yield each parameter with a copy of its values in another dtype: views of one array per buffer."""
        self._ensure_packed()
        for flat in self._flats:
            yield from zip(flat.parameters, flat.views(flat.data.astype(dtype)), strict=True)

    def zero_grad(self) -> None:
        """Set all gradients to zero."""
        for _, grad in self.flat:
            grad.fill(0)

    def step(self) -> None:
        """Update all parameters that are not frozen."""
        self._ensure_packed()
        options = [self._options_of(group) for group in self.groups]
        groups = [number for number, group in enumerate(self.groups) for _ in group["parameters"]]
        keys = [
            (group, count) if parameter.requires_grad else None
            for parameter, group, count in zip(self.parameters, groups, self._counts, strict=True)
        ]
        for flat in self._flats:
            for (group, count), run in flat.runs([keys[i] for i in flat.positions]):
                self._update_run(flat, run, count + 1, options[group])
        self._counts = [count + (key is not None) for count, key in zip(self._counts, keys, strict=True)]
        self.step_count += 1

    def _update_run(self, flat: Flat, run: range, step: int, options: dict[str, Any]) -> None:
        """Update neighbours in the buffer, block by block, half precision by way of single."""

        def update(block: slice) -> None:
            p = widen(flat.data[block])
            self.update(p, widen(flat.grad[block]), State(flat, block, step, self.slots), **options)
            if p.dtype != flat.data.dtype:
                flat.data[block] = p

        share(update, list(flat.blocks(run)))

    def state(self) -> dict[str, Array]:
        """Return copies of what the next steps depend on: counts, the arrays of the updates, and schedules.

        Names count the parameters by position: ``"0.mean"``. Hyper-parameters that are numbers are left out.
        """
        arrays = {"step": asarray(self.step_count), "counts": asarray(self._counts)}
        present = {name for flat in self._flats for name in flat.slots}
        for name in self._slots_in_use(self._counts, present):
            for flat in self._flats:
                views = flat.views(flat.slot(name))
                arrays |= {f"{i}.{name}": view.copy() for i, view in zip(flat.positions, views, strict=True)}
        for prefix, schedule in self._stateful_schedules():
            arrays |= {f"{prefix}.{key}": xp.asarray(value) for key, value in schedule.state().items()}
        return arrays

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state` was taken, by the same kind of optimizer over parameters of these shapes.

        Raises:
            ValueError: names are missing or unexpected, shapes differ, or something is no number; all of it
                is listed, nothing is loaded.
        """
        owner, count = type(self).__name__, len(self.parameters)
        counters = {"step": (), "counts": (count,)}
        read = read_state(owner, {name: state[name] for name in counters if name in state}, counters)
        counts = [int(count) for count in to_numpy(read["counts"])]
        schedules = self._stateful_schedules()
        present = {name.partition(".")[2] for name in state if name.partition(".")[0].isdecimal()}
        slots = self._slots_in_use(counts, present)
        shapes: dict[str, tuple[int, ...]] = {**counters}
        shapes |= {f"{i}.{slot}": p.shape for slot in slots for i, p in enumerate(self.parameters)}
        shapes |= {f"{prefix}.{key}": () for prefix, schedule in schedules for key in schedule.state()}
        arrays = read_state(owner, state, shapes)
        for prefix, schedule in schedules:
            _load_schedule(owner, prefix, copy.deepcopy(schedule), arrays)  # a trial
        self.step_count, self._counts = int(arrays["step"]), counts
        for flat in self._flats:
            flat.slots.clear()
            for slot in slots:
                for i, view in zip(flat.positions, flat.views(flat.slot(slot)), strict=True):
                    copy_into(view, arrays[f"{i}.{slot}"])
        for prefix, schedule in schedules:
            _load_schedule(owner, prefix, schedule, arrays)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self.options.items())})"
        )

    def _ensure_packed(self) -> None:
        """Gather parameters that a copy, another dtype or another optimizer took out of the buffers."""
        if not all(flat.is_intact() for flat in self._flats):
            state = self.state()
            self._flats = pack(self.parameters)
            self.load_state(state)

    def _options_of(self, group: Mapping[str, Any]) -> dict[str, Any]:
        """Return the hyper-parameters of a group at this step, as numbers."""
        values = {name: group.get(name, value) for name, value in self.options.items()}
        return resolve(type(self).__name__, values, self.step_count, self._lengths)

    def _slots_in_use(self, counts: Sequence[int], present: Collection[str]) -> list[str]:
        """Return the slots that so many updates have filled, or may have filled and are present."""
        updates = {id(p): count for p, count in zip(self.parameters, counts, strict=True)}
        required, possible = set(), set()
        for group in self.groups:
            begun = any(p.size and updates[id(p)] for p in group["parameters"])
            for slot in self.slots:
                needs = self.optional.get(slot)
                value = True if needs is None else group.get(needs, self.options[needs])
                if value:
                    possible.add(slot)
                if value and begun and not callable(value):  # a schedule may have been 0 so far
                    required.add(slot)
        return sorted(required | (possible & set(present)))

    def _stateful_schedules(self) -> list[tuple[str, Any]]:
        """Return the schedules that remember something, such as `Plateau`, each with a name for its state."""
        everywhere = [("schedule", self.options)]
        everywhere += [(f"schedule.{number}", group) for number, group in enumerate(self.groups)]
        return [
            found
            for prefix, options in everywhere
            for name, value in options.items()
            for found in _remembering(f"{prefix}.{name}", value)
        ]


def _remembering(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what remembers something in a hyper-parameter: the schedule, or those that it is made of."""
    if hasattr(value, "load_state"):
        yield name, value
        return
    if isinstance(value, partial):  # as `chain` and `warm_up` are
        value = [*value.args, *value.keywords.values()]
    for i, part in enumerate(value if isinstance(value, (list, tuple)) else ()):
        yield from _remembering(f"{name}.{i}", part)


def _load_schedule(owner: str, prefix: str, schedule: Any, arrays: Mapping[str, Any]) -> None:
    """Hand a schedule its part of an optimizer's state."""
    try:
        schedule.load_state({key: float(arrays[f"{prefix}.{key}"]) for key in schedule.state()})
    except ValueError as error:
        raise ValueError(
            f"{owner}: expected the state of the same schedules, got {prefix}: {error}"
        ) from error
