"""Kernels side by side with their formulas: on a GPU as they are, elsewhere through the emulator."""

import contextlib
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import strategies as st

import minidl.ops._kernels as package
from minidl import backend
from minidl.backend import xp
from minidl.ops._kernels import _program
from minidl.ops._kernels._program import Program
from tests.cuda import emulator

ON_GPU = backend.name == "cupy"  # or a stand-in for one
REASON = None if ON_GPU else emulator.missing()
needs_kernels = pytest.mark.skipif(REASON is not None, reason=str(REASON))

DTYPES = ("float16", "float32", "float64")
BOUNDS = {"float16": 4e-3, "float32": 2e-5, "float64": 1e-12}  # relative to the largest value
MODES = (None,) if ON_GPU else (None, *emulator.ORDERS)

dtypes = st.sampled_from(DTYPES)
modes = st.sampled_from(MODES)
seeds = st.integers(0, 2**32 - 1)


def programs() -> dict[str, Program]:
    """Every program of the package, by the name of its module."""
    modules = [
        importlib.import_module(f"{package.__name__}.{m.name}")
        for m in pkgutil.iter_modules(package.__path__)
    ]
    return {
        f"{module.__name__.rpartition('.')[2]}.{name}": value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, Program)
    }


launches: list[str] = []  # the kernels that `running` has run, one entry for each launch


@contextlib.contextmanager
def running(mode: str | None) -> Iterator[None]:
    """Run kernels, in blocks of one thread or, in a mode, of all; fresh memory is poisoned."""
    launches.clear()
    if ON_GPU:
        yield
        return

    def compiled(source: str, name: str) -> Any:
        launch = emulator.compile_kernel(source, name)
        return lambda grid, block, args: (launches.append(name), launch(grid, block, args))

    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(_program, "raw_kernel", compiled))
        stack.enter_context(mock.patch.object(np, "empty", _poisoned))
        if mode:
            stack.enter_context(emulator.cooperative(mode))
        yield


def _poisoned(shape: Any, dtype: Any = float) -> Any:
    array = np.zeros(shape, dtype)
    array.fill(np.nan if array.dtype.kind == "f" else -77)
    return array


def formula(op: Any) -> Callable[..., Any]:
    """What a kernel takes the place of."""
    return getattr(op, "__wrapped__", op)  # type: ignore[no-any-return]


class Draws:
    """Arrays of one dtype from one seed."""

    def __init__(self, seed: int, dtype: str) -> None:
        self.generator = np.random.default_rng(seed)
        self.dtype = dtype

    def __call__(self, *shape: int, scale: float = 1.0, offset: float = 0.0) -> Any:
        return xp.asarray((scale * self.generator.standard_normal(shape) + offset).astype(self.dtype))

    def whole(self, *shape: int, low: int = -3, high: int = 4) -> Any:
        return xp.asarray(self.generator.integers(low, high, shape).astype(self.dtype))

    def strided(self, *shape: int) -> Any:
        """The same, but not contiguous: every second number, from last to first."""
        return self(*shape[:-1], 2 * shape[-1])[..., ::-2]


def close(got: Any, want: Any, dtype: str, bound: float | None = None, beside: tuple[Any, ...] = ()) -> None:
    """They agree in shape, dtype, where they are NaN or infinite, and up to the bound.

    The bound is relative to the largest number in what is wanted and in the arrays beside it.
    """
    if isinstance(want, tuple):
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            close(g, w, dtype, bound, beside)
        return
    if want is None:
        assert got is None
        return
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    got, want = backend.to_numpy(got), backend.to_numpy(want)
    bound = BOUNDS[dtype] if bound is None else bound
    largest = max([1e-30, *map(_largest, (want, *beside))])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(got, want, rtol=bound, atol=bound * largest)


def _largest(a: Any) -> float:
    a = backend.to_numpy(a)
    return float(np.abs(a[np.isfinite(a)].astype(np.float64)).max(initial=0))


def equal(got: Any, want: Any) -> None:
    """They agree to the bit, the sign of a zero aside."""
    close(got, want, "float64", bound=0.0)


def agree(
    op: Any,
    kernel: Any,
    arrays: tuple[Any, ...],
    mode: str | None,
    options: dict[str, Any],
    dy: Any,
    **how: Any,
) -> None:
    """Kernel and formula give the same value, and the same gradients of it."""
    dtype = str(arrays[0].dtype)
    with np.errstate(all="ignore"):
        y, back = formula(op)(*arrays, **options)
        before = [backend.to_numpy(a).copy() for a in arrays if a is not None]
        with running(mode):
            got, got_back = kernel(*arrays, **options)
        close(got, y, dtype, beside=(arrays[0],), **how)
        value = y[0] if isinstance(y, tuple) else y
        upstream = dy(*value.shape).astype(value.dtype) if callable(dy) else dy
        want = back(upstream)
        with running(mode):
            found = got_back(upstream)
        close(found, want, dtype, beside=(upstream,), **how)
        with running(mode):
            equal(got_back(upstream), found)  # a second time, the same bits
    for a, b in zip([a for a in arrays if a is not None], before, strict=True):
        np.testing.assert_array_equal(backend.to_numpy(a), b)
