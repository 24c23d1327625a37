"""Between the stand-in's arrays and the NumPy arrays that they hide: in, out, and one call on the host."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tests.standin import counting

KINDS = "?bhilqBHILQefdFD"  # the dtypes, by character, that CuPy knows


class Memory:
    """What `array.ndarray` is built from; here, so that this file need not import that one."""

    __slots__ = ("_base", "_host")
    _base: Any
    _host: np.ndarray[Any, Any]


made: list[type[Memory]] = []  # the class of the arrays, once it is there


def fresh(host: Any, base: Memory | None = None) -> Any:
    """Return an array of the stand-in over a NumPy array; a view if it has a base."""
    array = object.__new__(made[0])
    array._host = host if isinstance(host, np.ndarray) else np.asarray(host)
    array._base = base
    if base is None:
        counting.allocation(array._host.nbytes)
    return array


def root(array: Memory) -> Memory:
    """Return the array that owns the memory: the base of every view of it."""
    return array if array._base is None else array._base


def unwrapped(value: Any) -> Any:
    """Return an argument with NumPy's arrays for ours; refuse NumPy's own, as CuPy does."""
    if isinstance(value, Memory):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if type(value) is tuple or type(value) is list:
        return type(value)(map(unwrapped, value))
    return value


def owners(values: Iterable[Any]) -> list[Memory]:
    """Return the arrays among some arguments."""
    found = []
    for value in values:
        if isinstance(value, Memory):
            found.append(value)
        elif type(value) is tuple or type(value) is list:
            found += owners(value)
    return found


def wrapped(result: Any, given: list[Memory]) -> Any:
    """Return a result with our arrays for NumPy's: the same one, a view of one given, or a new one."""
    if isinstance(result, tuple | list):
        return type(result)(wrapped(part, given) for part in result)
    if not isinstance(result, np.ndarray):
        return fresh(result)
    for array in given:
        if array._host is result:
            return array
        inside = result.base is not None and (result.base is array._host or result.base is array._host.base)
        if inside or (result.size and array._host.size and np.may_share_memory(result, array._host)):
            return fresh(result, root(array))
    return fresh(result)


FREE = {"empty", "empty_like"}  # which leave memory as it is


def call(name: str, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """Call a function of NumPy on the memory of our arrays. NumPy may warn; a GPU does not."""
    given = owners([*args, *kwargs.values()])
    host_args = [unwrapped(a) for a in args]
    host_kwargs = {key: unwrapped(value) for key, value in kwargs.items()}
    with np.errstate(all="ignore"):
        result = function(*host_args, **host_kwargs)
    out = wrapped(result, given)
    parts = out if type(out) is tuple else (out,)
    only_views = all(isinstance(part, Memory) and part._base is not None for part in parts)
    if not only_views and name not in FREE:
        counting.launch(name)
    return out


def known_dtype(dtype: Any) -> np.dtype[Any]:
    """Return a dtype, or refuse it if CuPy has none like it."""
    found = np.dtype(dtype)
    if found.char not in KINDS:
        raise ValueError(f"Unsupported dtype {found}")
    if not found.isnative:
        raise ValueError(f"Unsupported dtype {found.str} with big-endian byte-order")
    return found


def garbage(array: np.ndarray[Any, Any]) -> None:
    """Fill memory with what nobody should read: NaN, or a number that nobody expects."""
    if array.dtype.kind in "fc":
        array[...] = np.nan
    elif array.dtype.kind == "b":
        array[...] = True
    else:
        array[...] = np.array(0x5A5A5A5A5A5A5A5A).astype(array.dtype)
