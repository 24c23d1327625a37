"""NumPy for tests that run on both backends: ``from tests.either import np``.

On NumPy it is NumPy itself. On CuPy it takes arrays of either kind, computes on the host, and gives arrays of
CuPy's back, so a test hands minidl what it expects and compares what comes back with what NumPy says. Tests
that are about the host (files, strides, NumPy's own arrays) import numpy as ever.
"""

import functools
import inspect
from types import ModuleType
from typing import Any

import numpy

from minidl import backend
from minidl.backend import to_numpy, xp

VIEWS = {
    "moveaxis",
    "swapaxes",
    "reshape",
    "transpose",
    "broadcast_to",
    "expand_dims",
    "squeeze",
    "ravel",
    "flip",
}
VIEWS |= {"diagonal", "split", "atleast_1d", "atleast_2d", "may_share_memory", "shares_memory", "asarray"}


def on_host(value: Any) -> Any:
    """Return the same with NumPy's arrays in place of the device's, in tuples, lists and dicts too."""
    if isinstance(value, xp.ndarray):
        return to_numpy(value)
    if type(value) in (tuple, list):
        return type(value)(map(on_host, value))
    if type(value) is dict:
        return {key: on_host(part) for key, part in value.items()}
    return value


def on_device(value: Any) -> Any:
    """Return the same with arrays of the backend in place of NumPy's; its scalars stay as they are."""
    if type(value) is numpy.ndarray and value.dtype.kind in "biufc":
        return xp.asarray(value)
    if type(value) is list:
        return [on_device(part) for part in value]
    if isinstance(value, tuple):  # named ones too
        return tuple(map(on_device, value))
    return value


def hosted(function: Any) -> Any:
    """Return a function of NumPy's arrays as one of the backend's."""
    if backend.name == "numpy":
        return function

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        name = getattr(function, "__name__", "")
        if name in VIEWS and args and isinstance(args[0], xp.ndarray):
            return getattr(xp, name)(*args, **kwargs)
        return on_device(function(*on_host(args), **on_host(kwargs)))

    return wrapper


class Generator(numpy.random.Generator):
    """NumPy's generator, whose numbers arrive as arrays of the backend."""

    def shuffle(self, x: Any, axis: int = 0) -> None:
        mixed = on_host(x)
        super().shuffle(mixed, axis)
        if isinstance(x, xp.ndarray):
            x[...] = xp.asarray(mixed)


def _drawing(name: str) -> Any:
    def draw(self: Generator, *args: Any, **kwargs: Any) -> Any:
        plain = numpy.random.Generator(self.bit_generator)  # one method may call another
        return on_device(getattr(plain, name)(*on_host(args), **on_host(kwargs)))

    return draw


for _name, _method in vars(numpy.random.Generator).items():
    if callable(_method) and not _name.startswith("_") and _name not in ("shuffle", "spawn"):
        setattr(Generator, _name, _drawing(_name))


def default_rng(seed: Any = None) -> Any:
    return Generator(numpy.random.default_rng(seed).bit_generator)


class Ufunc:
    """A ufunc of NumPy, hosted."""

    def __init__(self, ufunc: Any) -> None:
        self._ufunc = ufunc
        self.__name__ = ufunc.__name__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return hosted(self._ufunc)(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return hosted(getattr(self._ufunc, name))

    def at(self, a: Any, indices: Any, b: Any) -> None:
        changed = on_host(a).copy()
        self._ufunc.at(changed, on_host(indices), on_host(b))
        a[...] = xp.asarray(changed)


class Namespace:
    """A module of NumPy, its functions hosted."""

    def __init__(self, module: ModuleType, **own: Any) -> None:
        self._module = module
        vars(self).update(own)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        if inspect.ismodule(value):
            value = Namespace(value)
        elif isinstance(value, numpy.ufunc):
            value = Ufunc(value)
        elif callable(value) and not inspect.isclass(value):
            value = hosted(value)
        setattr(self, name, value)
        return value


class Oracle:
    """PyTorch, which takes arrays of the backend and gives NumPy's."""

    def __init__(self, torch: ModuleType) -> None:
        self._torch = torch
        for name in ("tensor", "from_numpy", "as_tensor", "asarray"):
            setattr(self, name, self._from_device(getattr(torch, name)))

    def _from_device(self, function: Any) -> Any:
        return lambda a, *args, **kwargs: function(on_host(a), *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._torch, name)


def oracle(torch: ModuleType) -> Any:
    return torch if backend.name == "numpy" else Oracle(torch)


if backend.name == "numpy":
    np: Any = numpy
else:
    _random = Namespace(numpy.random, default_rng=default_rng, Philox=hosted(numpy.random.Philox))
    np = Namespace(numpy, ndarray=xp.ndarray, random=_random)
