"""Indexing as CuPy does it: whole numbers out of range wrap around, one element is an array without axes."""

from typing import Any

import numpy as np

from tests.standin import counting, host
from tests.standin.host import Memory


def _is_basic(part: Any) -> bool:
    return (
        part is None
        or part is Ellipsis
        or (isinstance(part, int | np.integer | slice) and type(part) is not bool)
    )


def _as_host(part: Any) -> Any:
    """Return one part of an index with arrays of NumPy's; CuPy takes lists and NumPy's arrays here."""
    if _is_basic(part):
        return part
    if isinstance(part, Memory):
        return part._host
    array = np.asarray(part)
    if array.dtype.kind not in "biu" and array.size:
        raise IndexError("arrays used as indices must be of integer or boolean type")
    counting.transfer("index")
    return array if array.size else array.astype(np.intp)


def _wrap(parts: list[Any], shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Bring whole numbers in arrays into the range of their axes, as CuPy does without a word."""
    used = sum(p.ndim if _is_mask(p) else p is not None and p is not Ellipsis for p in parts)
    axis, wrapped = 0, []
    for part in parts:
        if part is Ellipsis:
            axis += len(shape) - used
        elif _is_mask(part):
            axis += part.ndim
        elif part is not None:
            if isinstance(part, np.ndarray) and axis < len(shape) and shape[axis]:
                part = part.astype(np.int64) % shape[axis]
            axis += 1
        wrapped.append(part)
    return tuple(wrapped)


def _is_mask(part: Any) -> bool:
    return isinstance(part, np.ndarray) and part.dtype.kind == "b"


def key_of(array: Memory, index: Any) -> tuple[tuple[Any, ...], bool, bool]:
    """Return an index for NumPy, whether it is of slices and numbers alone, and whether it has a mask."""
    parts = list(index) if isinstance(index, tuple) else [index]
    basic = all(map(_is_basic, parts))
    if basic:
        key = tuple(parts) if any(part is Ellipsis for part in parts) else (*parts, Ellipsis)
        return key, True, False
    found = [_as_host(part) for part in parts]
    return _wrap(found, array._host.shape), False, any(map(_is_mask, found))


def get(array: Memory, index: Any) -> Any:
    key, basic, masked = key_of(array, index)
    if basic:
        return host.fresh(array._host[key], host.root(array))
    if masked:
        counting.wait("an index of booleans")
    counting.launch("getitem")
    return host.fresh(array._host[key])


class FlatIterator:
    """What ``x.flat`` is: the elements in order, each an array without axes."""

    def __init__(self, array: Memory) -> None:
        self.base, self._next = array, 0

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, int | slice):
            raise IndexError("unsupported iterator index")
        counting.launch("flat")
        return host.fresh(self.base._host.reshape(-1)[index].copy())

    def __setitem__(self, index: Any, value: Any) -> None:
        if not isinstance(index, int | slice):
            raise IndexError("unsupported iterator index")
        counting.launch("flat")
        self.base._host.flat[index] = host.unwrapped(value)

    def __iter__(self) -> "FlatIterator":
        return self

    def __next__(self) -> Any:
        if self._next == len(self):
            raise StopIteration
        self._next += 1
        return self[self._next - 1]

    def __len__(self) -> int:
        return self.base._host.size


def put(array: Memory, index: Any, value: Any) -> None:
    key, basic, masked = key_of(array, index)
    scalar = np.isscalar(value) or (not isinstance(value, Memory) and np.ndim(value) == 0)
    if not isinstance(value, Memory) and not scalar:
        if basic:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        counting.transfer("setitem")
    if masked and not scalar and getattr(value, "ndim", 1):
        counting.wait("values for an index of booleans")
    values = value._host if isinstance(value, Memory) else value
    counting.launch("setitem")
    with np.errstate(all="ignore"):
        array._host[key] = values
    if not basic and not masked:
        _spoil_contested(array._host, key, values)


def _spoil_contested(target: np.ndarray[Any, Any], key: tuple[Any, ...], values: Any) -> None:
    """Fill the places that an assignment gave two values: on a GPU, nobody knows which one stays."""
    places = np.arange(target.size).reshape(target.shape)[key].reshape(-1)
    given = np.broadcast_to(np.asarray(values, dtype=target.dtype), target[key].shape).reshape(-1)
    order = np.argsort(places, kind="stable")
    places, given = places[order], given[order]
    differs = (given[1:] != given[:-1]) & ((given[1:] == given[1:]) | (given[:-1] == given[:-1]))
    contested = np.unique(places[1:][(places[1:] == places[:-1]) & differs])
    if contested.size:
        spoiled = np.empty(contested.size, target.dtype)
        host.garbage(spoiled)
        target[np.unravel_index(contested, target.shape)] = spoiled
