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

VIEWS = {"moveaxis", "swapaxes", "reshape", "transpose", "broadcast_to", "expand_dims", "squeeze", "ravel", "flip"}
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
    if type(value) in (tuple, list):
        return type(value)(map(on_device, value))
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


for _name in ("normal", "standard_normal", "uniform", "random", "integers", "permutation", "choice", "permuted",
              "exponential", "gamma", "beta", "binomial", "poisson", "lognormal", "multivariate_normal"):
    setattr(Generator, _name, hosted(getattr(numpy.random.Generator, _name)))


def default_rng(seed: Any = None) -> Any:
    return Generator(numpy.random.default_rng(seed).bit_generator)


class Namespace:
    """A module of NumPy, its functions hosted."""

    def __init__(self, module: ModuleType, **own: Any) -> None:
        self._module = module
        vars(self).update(own)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        if inspect.ismodule(value):
            value = Namespace(value)
        elif callable(value) and not inspect.isclass(value):
            value = hosted(value)
        setattr(self, name, value)
        return value


if backend.name == "numpy":
    np: Any = numpy
else:
    _random = Namespace(numpy.random, default_rng=default_rng)
    np = Namespace(numpy, ndarray=xp.ndarray, random=_random)
