"""No name and no argument is in the stand-in that the real CuPy lacks; asked of the wheel, without a GPU."""

import inspect

import numpy as np
import pytest

from tests import cupy_names
from tests.standin import package
from tests.standin.array import ndarray
from tests.standin.signatures import FUNCTIONS, METHODS
from tests.standin.ufuncs import NAMES

MODULES = package.modules()


@pytest.fixture(scope="module")
def cupy():
    if package.installed():
        pytest.skip("the stand-in plays CuPy in this run")
    return cupy_names.real_cupy() or pytest.skip("no wheel of CuPy is installed")


def described(function, name):
    """The arguments of a function with their defaults, as far as it tells them."""
    takes = cupy_names.arguments(function, name)
    assert takes is not None, name
    return takes


@pytest.mark.parametrize("name", [n for n in MODULES if n.startswith("cupy.") or n == "cupy"])
def test_every_name_is_in_the_real_module(cupy, name) -> None:
    real = pytest.importorskip(name)
    names = {n for n in vars(MODULES[name]) if not n.startswith("__")}
    assert {n for n in names if not hasattr(real, n)} == set()


@pytest.mark.parametrize("text", FUNCTIONS.strip().splitlines())
def test_every_function_takes_the_same_arguments(cupy, text) -> None:
    name = text.partition("(")[0]
    ours, theirs = MODULES["cupy"].__dict__[name], getattr(cupy, name)
    try:
        real = inspect.signature(theirs)
    except ValueError:
        assert described(ours, name) == described(theirs, name)
        return
    mine = inspect.signature(ours).parameters.values()
    assert [(p.name, p.kind, p.default) for p in mine] == [
        (p.name, p.kind, p.default) for p in real.parameters.values()
    ]


@pytest.mark.parametrize("text", METHODS.strip().splitlines())
def test_every_method_takes_the_same_arguments(cupy, text) -> None:
    name, _, rest = text.partition("(")
    theirs = (getattr(cupy.ndarray, name).__doc__ or "").splitlines()[0]
    spoken = inspect.signature(eval(f"lambda {rest[:-1]}: None"))
    found = cupy_names.arguments(getattr(cupy.ndarray, name), name)
    assert found is not None, theirs
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    assert {p.name for p in spoken.parameters.values() if p.kind in kinds} == found[0]
    if not {"get", "set", "item", "fill"} & {name}:
        assert callable(getattr(ndarray, name))


def test_an_array_has_nothing_that_the_real_one_lacks(cupy) -> None:
    mine = {n for n in dir(ndarray) if not n.startswith("_")}
    assert mine - set(dir(cupy.ndarray)) == set()
    special = {n for n in vars(ndarray) if n.startswith("__")} - {
        "__slots__",
        "__module__",
        "__firstlineno__",
    }
    assert special - set(dir(cupy.ndarray)) - {"__weakref__", "__static_attributes__"} == set()
    for absent in ("__index__", "__array_interface__", "setflags", "__imatmul__", "__contains__"):
        assert not hasattr(ndarray, absent)
        assert not hasattr(cupy.ndarray, absent)


def test_ufuncs_are_ufuncs_there_too(cupy) -> None:
    assert [n for n in NAMES if not isinstance(getattr(cupy, n), cupy.ufunc)] == []
    mine = {n for n in dir(package.ufuncs.ufunc) if not n.startswith("_")}
    assert mine - set(dir(cupy.ufunc)) == set()
    assert all(getattr(cupy, n).nargs == getattr(np, n).nargs for n in NAMES)


def test_streams_events_and_generators_have_no_more_methods(cupy) -> None:
    for ours, theirs in (
        (package.cuda.Stream, cupy.cuda.Stream),
        (package.cuda.Event, cupy.cuda.Event),
        (package.cuda.Device, cupy.cuda.Device),
        (package.Generator, cupy.random.Generator),
        (package.cuda.runtime, cupy.cuda.runtime),
    ):
        assert {n for n in dir(ours) if not n.startswith("_")} - set(dir(theirs)) == set(), theirs


def test_kernels_are_made_with_the_same_arguments(cupy) -> None:
    for name in ("RawKernel", "RawModule", "ElementwiseKernel"):
        mine = set(inspect.signature(getattr(package.kernels, name).__init__).parameters) - {"self"}
        theirs = described(getattr(cupy, name), name)[0]
        assert mine - theirs == set(), name
