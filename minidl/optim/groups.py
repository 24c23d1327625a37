"""What an optimizer is given: parameters, perhaps in groups, and hyper-parameters, perhaps scheduled."""

import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

from minidl.layers.parameter import Parameter
from minidl.optim.schedules import Schedule

Hyper: TypeAlias = float | Schedule
Parameters: TypeAlias = Iterable[Parameter] | Iterable[Mapping[str, Any]]

COUNTERS = {"step", "counts"}  # the parts of a state that are whole numbers
BELOW_ONE = {"alpha", "betas", "decay", "rho"}  # shares of the past; all others are only not negative


def as_groups(
    parameters: Any, options: Mapping[str, Any], owner: str, lengths: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Return groups, dicts of ``"parameters"`` and the options that differ for them; check everything."""
    groups = _groups(parameters, owner)
    check(owner, options, lengths)
    for group in groups:
        given = collect(group.pop("parameters"), owner)
        if unknown := group.keys() - options.keys():
            raise TypeError(
                f"{owner}: expected groups with {', '.join(options)}, got {', '.join(sorted(unknown))}"
            )
        check(owner, group, lengths)
        group["parameters"] = given
    everything = [id(p) for group in groups for p in group["parameters"]]
    if not everything:
        raise ValueError(
            f"{owner}: expected at least one parameter, got none; a generator that was used up? "
            "pass model.parameters()"
        )
    if len(set(everything)) < len(everything):
        raise ValueError(f"{owner}: expected each parameter in one group, got one in two of them")
    return groups


def _groups(parameters: Any, owner: str) -> list[dict[str, Any]]:
    """Return copies of the groups that were given, or one group of all parameters."""
    if isinstance(parameters, Mapping):
        raise TypeError(f"{owner}: expected groups as a list of dicts, got one dict; put it between brackets")
    if _are_many(parameters):
        parameters = list(parameters)
    if not (isinstance(parameters, list) and parameters and isinstance(parameters[0], Mapping)):
        return [{"parameters": parameters}]
    for group in parameters:
        if not isinstance(group, Mapping):
            raise TypeError(
                f"{owner}: expected groups as a list of dicts, got {type(group).__name__} among them"
            )
        if "parameters" not in group:
            raise TypeError(f'{owner}: expected groups with "parameters", got {", ".join(map(str, group))}')
    return [dict(group) for group in parameters]


def collect(parameters: Any, owner: str) -> list[Parameter]:
    """Return the parameters once each, and refuse everything else."""
    if not _are_many(parameters):
        raise TypeError(
            f"{owner}: expected Parameters, got {type(parameters).__name__}; pass model.parameters()"
        )
    unique = list({id(p): p for p in parameters}.values())
    for p in unique:
        if not isinstance(p, Parameter):
            raise TypeError(f"{owner}: expected Parameters, got {type(p).__name__} among them")
    return unique


def _are_many(parameters: Any) -> bool:
    """Tell a collection of parameters from a model, whose layers it may hand out, and from one parameter."""
    single = hasattr(parameters, "parameters") or isinstance(parameters, Parameter)
    return isinstance(parameters, Iterable) and not single


def tuple_lengths(optimizer: type) -> dict[str, int]:
    """Return the lengths of the tuples among the defaults of a constructor, 0 for each plain number."""
    defaults = {name: p.default for name, p in inspect.signature(optimizer).parameters.items()}
    known = {name: default for name, default in defaults.items() if default is not inspect.Parameter.empty}
    return {"lr": 0} | {name: len(d) if isinstance(d, tuple) else 0 for name, d in known.items()}


def check(owner: str, options: Mapping[str, Any], lengths: Mapping[str, int]) -> None:
    """Refuse a hyper-parameter that is no number, no schedule, or out of the range its name stands for.

    Args:
        owner: the optimizer.
        options: hyper-parameters by name.
        lengths: of those that are tuples, 0 of those that must be none; any other may be either.
    """
    for name, value in options.items():
        length = lengths.get(name, len(value) if isinstance(value, tuple) else 0)
        if length and not isinstance(value, tuple):
            raise TypeError(f"{owner}: expected {name} as a tuple of {length}, got {type(value).__name__}")
        if length and len(value) != length:
            raise ValueError(f"{owner}: expected {name} as a tuple of {length}, got {value}")
        for part in value if length else (value,):
            if callable(part):
                continue
            if not isinstance(part, (int, float, np.floating, np.integer)):
                raise TypeError(
                    f"{owner}: expected {name} as a number or a schedule, got {type(part).__name__}"
                )
            if name in BELOW_ONE and not 0 <= part < 1:
                raise ValueError(f"{owner}: expected 0 <= {name} < 1, got {part}")
            if not part >= 0:
                raise ValueError(f"{owner}: expected {name} >= 0, got {part}")
            if part == math.inf:
                raise ValueError(f"{owner}: expected {name} to be finite, got {part}")


def resolve(owner: str, options: Mapping[str, Any], step: int, lengths: Mapping[str, int]) -> dict[str, Any]:
    """Return the options with each schedule replaced by its number at a step, and check these."""
    values = {
        name: _at(value, step, f"{owner}: expected the schedule of {name}") for name, value in options.items()
    }
    check(owner, values, lengths)
    return values


def _at(value: Any, step: int, expected: str) -> Any:
    if isinstance(value, tuple):
        return tuple(_at(part, step, expected) for part in value)
    if callable(value):
        value = value(step)
    try:
        return value if isinstance(value, bool) else float(value + 0.0)  # which no text has
    except (TypeError, ValueError):
        raise TypeError(f"{expected} to return a number, got {type(value).__name__} at step {step}") from None


def read_state(owner: str, state: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return the arrays of a state; refuse one of another optimizer or model, listing what does not fit."""
    problems = [f"missing {name}" for name in shapes.keys() - state.keys()]
    problems += [f"unexpected {name}" for name in state.keys() - shapes.keys()]
    arrays = {}
    for name in shapes.keys() & state.keys():
        try:
            array = state[name] if hasattr(state[name], "dtype") else np.asarray(state[name])
        except ValueError:
            problems.append(f"{name} of uneven rows")
            continue
        whole = name in COUNTERS
        if array.shape != shapes[name]:
            problems.append(f"{name} of shape {array.shape} in place of {shapes[name]}")
        elif array.dtype.kind not in ("iu" if whole else "iuf"):
            problems.append(f"{name} of {array.dtype} in place of {'whole ' if whole else ''}numbers")
        elif whole and (array < 0).any():
            problems.append(f"{name} below 0")
        arrays[name] = array
    if problems:
        raise ValueError(
            f"{owner}: expected the state of the same optimizer and model, got {'; '.join(sorted(problems))}"
        )
    return arrays
