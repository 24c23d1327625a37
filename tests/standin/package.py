"""The package that plays CuPy: its modules, put together, and the one way to bring it in."""

import functools
import importlib
import math
import os
import sys
from types import ModuleType
from typing import Any

import numpy as np

from tests.standin import counting, cuda, functions, host, kernels, ufuncs
from tests.standin.array import ndarray

VERSION = "14.2.0"  # of the CuPy whose behaviour it follows
NUMPYS = [
    "bool_",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
    "intp",
    "uintp",
    "generic",
    "number",
    "integer",
    "signedinteger",
    "unsignedinteger",
    "inexact",
    "floating",
    "complexfloating",
    "dtype",
    "finfo",
    "iinfo",
    "newaxis",
    "pi",
    "e",
    "inf",
    "nan",
    "ndindex",
    "promote_types",
    "issubdtype",
    "broadcast_shapes",
]


DEVICE = [
    "Stream",
    "Event",
    "Device",
    "alloc_pinned_memory",
    "PinnedMemoryPointer",
    "get_current_stream",
    "get_elapsed_time",
    "is_available",
    "using_allocator",
    "runtime",
]


class Generator:
    """CuPy's generator, with the few methods that it has; its streams are its own."""

    def __init__(self, seed: Any = None) -> None:
        self._host = np.random.default_rng(seed)

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        return _drawn(self._host.random(size, dtype))

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        return _drawn(self._host.standard_normal(size, dtype))

    def integers(
        self, low: Any, high: Any = None, size: Any = None, dtype: Any = np.int64, endpoint: bool = False
    ) -> Any:
        return _drawn(self._host.integers(low, high, size, dtype, endpoint))

    def uniform(self, low: float = 0.0, high: float = 1.0, size: Any = None, dtype: Any = np.float64) -> Any:
        return _drawn(self._host.uniform(low, high, size).astype(dtype))


def _drawn(values: Any) -> Any:
    counting.launch("random")
    return host.fresh(values)


def _module(name: str, **contents: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(contents)
    return module


def _asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> Any:
    return a.get(stream, order, out, blocking) if isinstance(a, ndarray) else np.asarray(a, order=order)  # type: ignore[call-overload]


def _get_array_module(*args: Any) -> Any:
    return sys.modules["cupy"] if any(isinstance(a, ndarray) for a in args) else np


def _erf(x: Any) -> Any:
    if not isinstance(x, ndarray):
        raise TypeError(f"Unsupported type {type(x)}")
    each = np.frompyfunc(math.erf, 1, 1)
    return host.call("erf", lambda a: np.asarray(each(a), dtype=a.dtype), (x,), {})


@functools.cache
def modules() -> dict[str, ModuleType]:
    """Return the modules of the stand-in by the names under which CuPy's are imported."""
    tricks = _module("cupy.lib.stride_tricks", as_strided=functions.as_strided)
    lib = _module("cupy.lib", stride_tricks=tricks)
    device = _module("cupy.cuda", **{k: getattr(cuda, k) for k in DEVICE})
    random = _module("cupy.random", default_rng=Generator, Generator=Generator)
    cupy = _module(
        "cupy",
        __version__=VERSION,
        ndarray=ndarray,
        ufunc=ufuncs.ufunc,
        **{name: getattr(np, name) for name in NUMPYS},
        **functions.ALL,
        **ufuncs.UFUNCS,
        **{name: getattr(kernels, name) for name in ("RawKernel", "RawModule", "ElementwiseKernel")},
        asnumpy=_asnumpy,
        get_array_module=_get_array_module,
        is_available=cuda.is_available,
        lib=lib,
        cuda=device,
        random=random,
    )
    vars(cupy)["bool"] = np.bool_
    special = _module("cupyx.scipy.special", erf=_erf)
    scipy = _module("cupyx.scipy", special=special)
    cupyx = _module("cupyx", scipy=scipy)
    found = (cupy, lib, tricks, device, random, cupyx, scipy, special)
    return {module.__name__: module for module in found}


def install() -> None:
    """Let ``import cupy`` find the stand-in from now on, and minidl choose it.

    The variable is set for this choice alone: other processes that a test starts have no stand-in.
    """
    if "minidl" in sys.modules or "cupy" in sys.modules:
        raise RuntimeError("the stand-in must be there before minidl and CuPy are imported")
    sys.modules.update(modules())
    before = os.environ.get("MINIDL_BACKEND", "numpy")
    os.environ["MINIDL_BACKEND"] = "cupy"
    importlib.import_module("minidl.backend")
    os.environ["MINIDL_BACKEND"] = before


def installed() -> bool:
    """Tell whether it is the stand-in that plays CuPy."""
    return getattr(sys.modules.get("cupy"), "ndarray", None) is ndarray
