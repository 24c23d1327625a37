"""The functions of the stand-in: CuPy's arguments, NumPy's results, and a count of what they cost."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.standin import counting, host
from tests.standin.array import ndarray
from tests.standin.host import Memory, fresh
from tests.standin.signatures import FUNCTIONS, METHODS

ARRAY_FIRST = {
    "a",
    "x",
    "arr",
    "ary",
    "m",
    "array",
    "ar",
    "a1",
    "dst",
    "element",
    "prototype",
    "A",
    "condition",
}
PLAIN = {
    "isscalar",
    "ndim",
    "shape",
    "size",
    "may_share_memory",
    "result_type",
    "can_cast",
}  # no arrays come back
PLAIN |= {"iscomplexobj", "isrealobj"}
WAITING = {
    "nonzero",
    "flatnonzero",
    "argwhere",
    "unique",
    "unravel_index",
    "bincount",
    "shares_memory",
    "delete",
}
WAITING |= {"extract", "compress", "choose", "ravel_multi_index"}  # of the size or the range of the result
WRAPPING = {"take", "take_along_axis", "put_along_axis"}  # indices out of range
FILLED = {"empty", "empty_like"}
PAD_OPTIONS = {
    "constant": {"constant_values"},
    "edge": set(),
    "reflect": {"reflect_type"},
    "symmetric": {"reflect_type"},
    "wrap": set(),
    "empty": set(),
}


def declared(text: str, body: Callable[..., Any], method: bool = False) -> Callable[..., Any]:
    """Return a function of the arguments that a line of `signatures` lists, and of no others."""
    name, _, rest = text.partition("(")
    signature = inspect.signature(eval(f"lambda {rest[:-1]}: None"))
    parameters = signature.parameters.values()
    keywords = {p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    positional = [p.name for p in parameters if p.kind == p.POSITIONAL_OR_KEYWORD]
    open_ended = any(p.kind == p.VAR_KEYWORD for p in parameters)
    most = 10**6 if any(p.kind == p.VAR_POSITIONAL for p in parameters) else len(positional)

    def function(*args: Any, **kwargs: Any) -> Any:
        given = args[1:] if method else args
        if len(given) > most or (kwargs and not open_ended and not keywords >= kwargs.keys()):
            signature.bind(*given, **kwargs)  # which raises
        if kwargs and not method and positional[:1] and positional[0] in kwargs:
            args = (kwargs.pop(positional[0]),)
        return body(*args, **kwargs)

    function.__name__ = function.__qualname__ = name
    function.__module__ = "cupy"
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function


def _generic(text: str) -> Callable[..., Any]:
    """Return the function of NumPy that has the same name, between checks."""
    name, first = text.split("(")[0], text.split("(")[1].split(",")[0].split("=")[0].rstrip(")")
    numpy_function = getattr(np, name)

    def body(*args: Any, **kwargs: Any) -> Any:
        if first in ARRAY_FIRST and name not in PLAIN and args and not isinstance(args[0], Memory):
            raise TypeError(f"{name}: expected cupy.ndarray, got {type(args[0])}")
        if name in WAITING:
            counting.wait(name)
        if name in PLAIN:
            return numpy_function(*map(host.unwrapped, args), **kwargs)
        if kwargs.get("kind") not in (None, "stable"):
            raise ValueError("kind can only be None or 'stable'")
        if name in WRAPPING:
            args, kwargs = _with_wrapped_indices(name, args, kwargs)
        _check_dtype(kwargs)
        if name == "copyto" and isinstance(args[1], np.ndarray) and args[1].ndim:
            raise ValueError("non-scalar numpy.ndarray cannot be used for copyto")
        result = host.call(name, numpy_function, args, {k: v for k, v in kwargs.items() if v is not None})
        if name in FILLED:
            host.garbage(result._host)
        return result

    return body


def _check_dtype(kwargs: dict[str, Any]) -> None:
    if kwargs.get("dtype") is not None:
        host.known_dtype(kwargs["dtype"])


def _with_wrapped_indices(name: str, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    a, indices, *rest = args if len(args) > 1 else (args[0], kwargs.pop("indices"))
    axis = kwargs.get("axis", rest[-1] if rest else None)
    length = a.size if axis is None else a.shape[axis]
    if isinstance(indices, Memory) and length:
        indices = fresh(indices._host % length)
    return (a, indices, *rest), kwargs


def _array(
    obj: Any,
    dtype: Any = None,
    copy: Any = True,
    order: str = "K",
    subok: bool = False,
    ndmin: int = 0,
    *,
    blocking: bool = False,
) -> Any:
    """Take numbers from anywhere: arrays of the device as they are, of the host in a copy to the device."""
    if subok:
        raise NotImplementedError("subok=True is not supported")
    if isinstance(obj, Memory):
        if not copy and dtype in (None, obj._host.dtype) and ndmin <= obj._host.ndim:
            return obj
        made = host.call("array", lambda a: np.array(a, dtype, order=order, ndmin=ndmin), (obj,), {})
        host.known_dtype(made.dtype)
        return made
    if _holds_arrays(obj):
        counting.launch("array of arrays")
        obj = _unpacked(obj)
    else:
        counting.transfer("array")
    found = np.array(obj, dtype=dtype, order=order, ndmin=ndmin)
    found = found.astype(found.dtype.newbyteorder("="), copy=False)
    host.known_dtype(found.dtype)
    return fresh(found)


def _holds_arrays(obj: Any) -> bool:
    return isinstance(obj, list | tuple) and any(isinstance(o, Memory) or _holds_arrays(o) for o in obj)


def _unpacked(obj: Any) -> Any:
    if isinstance(obj, Memory):
        return obj._host
    return [_unpacked(o) for o in obj] if isinstance(obj, list | tuple) else obj


def _asarray(
    a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False
) -> Any:
    return _array(a, dtype, bool(copy), order or "K")


def _filled(name: str) -> Callable[..., Any]:
    def body(shape: Any, *args: Any, **kwargs: Any) -> Any:
        given = [*args, *kwargs.values()]
        dtype = kwargs.get("dtype", args[-1] if name == "full" and len(args) > 1 else None)
        if name != "full" and args:
            dtype = args[0]
        host.known_dtype(dtype if dtype is not None else float)
        if any(isinstance(value, np.ndarray) for value in given):
            raise TypeError("Unsupported type <class 'numpy.ndarray'>")
        result = host.call(name, getattr(np, name), (shape, *args), kwargs)
        if name == "empty":
            host.garbage(result._host)
        return result

    return body


def _matmul(
    *args: Any,
    axes: Any = None,
    axis: Any = None,
    keepdims: bool = False,
    casting: str = "same_kind",
    dtype: Any = None,
    signature: Any = None,
    order: str = "K",
    out: Any = None,
) -> Any:
    """Half-precision products are taken in float32, as CuPy does."""
    if not all(isinstance(a, Memory) for a in args[:2]):
        raise TypeError("matmul: expected cupy.ndarray")
    a, b = (x._host for x in args[:2])
    wanted = np.result_type(a, b) if dtype is None else np.dtype(dtype)
    if wanted == np.float16:
        a, b = a.astype(np.float32), b.astype(np.float32)
    with np.errstate(all="ignore"):
        product = np.matmul(a, b).astype(wanted, copy=False)
    counting.launch("matmul")
    if out is None:
        return fresh(product)
    out._host[...] = product
    return out


matmul = declared(
    "matmul(*args, axes=None, axis=None, keepdims=False, casting='same_kind', dtype=None, "
    "signature=None, order='K', out=None)",
    _matmul,
)


def _einsum(*operands: Any, **kwargs: Any) -> Any:
    if kwargs.keys() - {"dtype", "optimize"}:
        raise TypeError(f"Did not understand the following kwargs: {list(kwargs)}")
    if not all(isinstance(o, Memory) for o in operands[1:]):
        raise TypeError("einsum: expected cupy.ndarray")
    return host.call("einsum", np.einsum, operands, kwargs)


def _pad(array: Any, pad_width: Any, mode: str = "constant", **kwargs: Any) -> Any:
    if mode not in PAD_OPTIONS:
        raise ValueError(f"mode '{mode}' is not supported")
    if kwargs.keys() - PAD_OPTIONS[mode]:
        raise ValueError(f"unsupported keyword arguments for mode '{mode}': {set(kwargs)}")
    if not isinstance(array, Memory):
        raise TypeError("pad: expected cupy.ndarray")
    return host.call("pad", np.pad, (array, pad_width, mode), kwargs)


def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if not isinstance(condition, Memory):
        condition.astype("?")  # NumPy's arrays get no further than to the ufunc behind this
        raise TypeError(f"Unsupported type {type(condition)}")
    if x is None and y is None:
        counting.wait("where of one argument")
        return host.call("nonzero", np.nonzero, (condition,), {})
    return host.call("where", np.where, (condition, x, y), {})


def _repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    if isinstance(repeats, Memory):
        counting.wait("repeat by an array")
    elif not isinstance(repeats, int | list | tuple):
        raise TypeError(f"'repeats' does not accept {type(repeats)}; convert with cupy.array() first")
    return host.call("repeat", np.repeat, (a, repeats, axis), {})


def _searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    if not isinstance(a, Memory) or not isinstance(v, Memory | int | float | complex):
        raise NotImplementedError("Only int or ndarray are supported")
    return host.call("searchsorted", np.searchsorted, (a, v, side, sorter), {})


def as_strided(x: Any, shape: Any = None, strides: Any = None) -> Any:
    """Return a view of other shape and strides, not to be written to: threads of a GPU would race."""
    view = np.lib.stride_tricks.as_strided(x._host, shape, strides, writeable=False)
    return fresh(view, host.root(x))


SPECIAL: dict[str, Callable[..., Any]] = {
    "array": _array,
    "asarray": _asarray,
    "einsum": _einsum,
    "pad": _pad,
    "where": _where,
    "repeat": _repeat,
    "searchsorted": _searchsorted,
    **{name: _filled(name) for name in ("zeros", "ones", "empty", "full")},
}
NAMED = {text.split("(")[0]: text for text in FUNCTIONS.strip().splitlines()}
ALL = {name: declared(text, SPECIAL.get(name) or _generic(text)) for name, text in NAMED.items()}
ALL["matmul"] = matmul
array = ALL["array"]


def _method(text: str) -> Callable[..., Any]:
    """Return a method of NumPy's arrays of the same name; reductions give arrays without axes."""
    name = text.split("(")[0]

    def body(self: Any, *args: Any, **kwargs: Any) -> Any:
        if name in WAITING:
            counting.wait(name)
        if name == "take":
            return ALL["take"](self, *args, **kwargs)
        if name in ("argmax", "argmin"):
            kwargs.pop("dtype", None)
        _check_dtype(kwargs)
        if kwargs.get("kind") not in (None, "stable"):
            raise ValueError("kind can only be None or 'stable'")
        return host.call(
            name, lambda a, *rest, **options: getattr(a, name)(*rest, **options), (self, *args), kwargs
        )

    return body


for _text in METHODS.strip().splitlines():
    if not hasattr(ndarray, _text.split("(")[0]):
        setattr(ndarray, _text.split("(")[0], declared(_text, _method(_text), method=True))
