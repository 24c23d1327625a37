"""Which array of a PyTorch state belongs to which array of a model: by path, by a mapping, or in order."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, TypeAlias

from minidl.interop.pytorch.layouts import COUNTER, Slot, joined

Shapes: TypeAlias = Mapping[str, "tuple[int, ...]"]
Names: TypeAlias = "Mapping[str, str] | Sequence[str] | None"


def own_names(slots: Sequence[Slot], names: Any, owner: str) -> list[str]:
    """Return what PyTorch calls each array: by its path here, the beginning replaced where ``names`` says so.

    Raises:
        ValueError: an entry of ``names`` is the path of nothing, or two arrays get one name.
    """
    names = {} if names is None else names
    if not isinstance(names, Mapping) or not all(isinstance(n, str) for pair in names.items() for n in pair):
        raise TypeError(
            f"{owner}: expected names as a dict from paths here to names there, got {names!r:.100}"
        )
    used: set[str] = set()
    found = [_renamed(slot, names, used) for slot in slots]
    if unused := names.keys() - used:
        raise ValueError(
            f"{owner}: expected names by paths of layers and arrays of the model, got "
            f"{', '.join(map(repr, sorted(unused)))}"
        )
    first: dict[str, Slot] = {}
    for name, slot in zip(found, slots, strict=True):
        if first.setdefault(name, slot) is not slot:
            both = f"{first[name].path} and {slot.path}"
            raise ValueError(f"{owner}: expected a name for each array, got {name!r} for both {both}")
    return found


def _renamed(slot: Slot, names: Mapping[str, str], used: set[str]) -> str:
    """Replace the longest beginning of a path that has an entry."""
    if slot.path in names:
        used.add(slot.path)
        return names[slot.path]
    parts = slot.unit.split(".") if slot.unit else []
    for n in range(len(parts), -1, -1):
        beginning = ".".join(parts[:n])
        if beginning in names:
            used.add(beginning)
            return joined(names[beginning], *parts[n:], slot.name)
    return slot.torch_name


def match(slots: Sequence[Slot], shapes: Shapes, names: Names, ordered: bool, owner: str) -> list[str | None]:
    """Return the name in a PyTorch state of each array of a model, ``None`` for one that may be missing.

    Args:
        slots: the arrays of the model.
        shapes: the shape of each array of the state, by name.
        names: the caller's mapping, or all names of the state in the order of definition.
        ordered: whether the state is in the order of definition.
        owner: the function that errors name.

    Raises:
        ValueError: with the lists of missing, unexpected and mis-shaped names.
    """
    if names is not None and not isinstance(names, Mapping):
        shapes, names, ordered = _reordered(shapes, names, owner), None, True
    found: list[str | None] = [*own_names(slots, names, owner)]
    problems = _differences(slots, found, shapes)
    if names is None and any(not line.startswith("shape") for line in problems):
        advice = "pass names={path here: name there, ...}, which may be paths of layers"
        if ordered and not _sorted(shapes):
            found = _in_order(slots, shapes)
            by_path, problems = problems, _differences(slots, found, shapes)
            if len(by_path) < len(problems):
                problems = by_path
        else:
            advice += ", or names=[...] with all their names as they were defined: these are sorted"
        problems += [advice] if problems else []
    if problems:
        raise ValueError(f"{owner}: the state does not fit, nothing was changed\n  " + "\n  ".join(problems))
    return [name if name in shapes else None for name in found]


def _reordered(shapes: Shapes, names: Sequence[str], owner: str) -> Shapes:
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{owner}: expected names as a dict or a list of all names, got {names!r:.100}")
    if other := sorted({*names} ^ {*shapes}) or len(names) != len(shapes):
        raise ValueError(
            f"{owner}: expected names as a list of all names of the state, once; see {other!r:.100}"
        )
    return {name: shapes[name] for name in names}


def _sorted(shapes: Shapes) -> bool:
    """Tell whether names are in alphabetical order: PyTorch defines the weight before the bias."""
    place = {name: i for i, name in enumerate(shapes)}
    pairs = [(name, name.replace("bias", "weight")) for name in place if "bias" in name.rpartition(".")[2]]
    return any(place[bias] < place.get(weight, -1) for bias, weight in pairs)


def _differences(slots: Sequence[Slot], found: Sequence[str | None], shapes: Shapes) -> list[str]:
    """Return a line for each name that is missing, unexpected or of another shape."""
    present = {id(slot.holder) for slot, name in zip(slots, found, strict=True) if name in shapes}
    missing, wrong = [], []
    for slot, name in zip(slots, found, strict=True):
        if name is None or name not in shapes:
            if slot.name != COUNTER and id(slot.holder) not in present:
                missing.append(f"missing: {name or slot.torch_name} {slot.torch_shape}, for {slot.path}")
        elif slot.torch_shape != shapes[name]:
            own = f"expected {slot.torch_shape} for {slot.path}"
            wrong.append(f"shape of {name}: {own}, got {shapes[name]}")
    expected = {*found}
    unexpected = [f"unexpected: {name} {shape}" for name, shape in shapes.items() if name not in expected]
    return missing + unexpected + wrong


def _in_order(slots: Sequence[Slot], shapes: Shapes) -> list[str | None]:
    """Give each layer the next module whose arrays have the names of the layer's."""
    left = dict.fromkeys(shapes)
    found: list[str | None] = []
    for _, group in groupby(slots, key=lambda slot: slot.unit):
        unit = list(group)
        prefix = _next_module(unit, left)
        for slot in unit:
            name = None if prefix is None else prefix + slot.name
            found.append(name if name in left or name not in shapes else None)
            left.pop(name or "", None)
        for name in [*left]:  # what else that module has
            if prefix is not None and name.startswith(prefix) and "." not in name[len(prefix) :]:
                del left[name]
    return found


def _next_module(unit: Sequence[Slot], left: Mapping[str, None]) -> str | None:
    """Return what comes before the names of a layer's arrays in the next module that has one of them."""
    own = sorted((slot.name for slot in unit if slot.name != COUNTER), key=len, reverse=True)
    for name in left:
        for suffix in own:
            if name == suffix or name.endswith(f".{suffix}"):
                return name.removesuffix(suffix)
    return None
