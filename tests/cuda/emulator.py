"""CUDA C on the CPU: compiles the source of kernels with g++ and runs it over NumPy's memory.

Two ways of running, see `cooperative`: by default each block is one thread, which is fast and asks of a
kernel that it work with blocks of any power of two. The other way runs all threads of a block as coroutines
that change at ``__syncthreads``, in a chosen order: a missing barrier shows in one order or the other, and
threads that do not all arrive at a barrier are an error. It is no GPU: it knows nothing of speed, caches,
warps or weak memory.
"""

import contextlib
import ctypes
import functools
import hashlib
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SHIM = Path(__file__).with_name("shim.h")
FLAGS = ["-std=c++17", "-O1", "-fPIC", "-shared", "-ffp-contract=off", "-w"]
KERNEL = re.compile(r"__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\(")
ORDERS = {"forward": 0, "backward": 1, "shuffled": 2}
MARGIN = 64  # bytes on either side of a guarded buffer
C_NAMES = {
    "bool": "bool",
    "int8": "signed char",
    "int16": "short",
    "int32": "int",
    "int64": "long long",
    "uint8": "unsigned char",
    "uint16": "unsigned short",
    "uint32": "unsigned int",
    "uint64": "unsigned long long",
    "float16": "float16",
    "float32": "float",
    "float64": "double",
}

_order: list[str] = []  # what `cooperative` asks for, innermost last
_lock = threading.Lock()  # a block's shared memory is static


def missing() -> str | None:
    """Why kernels cannot be compiled here, None where they can."""
    if sys.platform != "linux":
        return "kernels are emulated on Linux only"
    return None if shutil.which("g++") else "g++ is not installed, so no kernel can be emulated"


@contextlib.contextmanager
def cooperative(order: str) -> Iterator[None]:
    """Run blocks of as many threads as asked for: ``"forward"``, ``"backward"`` or ``"shuffled"``."""
    assert order in ORDERS, order
    _order.append(order)
    try:
        yield
    finally:
        _order.pop()


def compile_kernel(source: str, name: str) -> Callable[[Any, Any, Sequence[Any]], None]:
    """Return ``launch(grid, block, args)`` for a kernel of some CUDA C source.

    As for ``cupy.RawKernel``, args are arrays, NumPy's scalars, and Python's bools, ints (``long long``) and
    floats (``double``). Types that differ from the kernel's are refused, which on a GPU would be garbage.
    """
    library = _library(source)
    if name not in KERNEL.findall(source):
        raise ValueError(f"there is no kernel {name!r} in the source")
    signature = getattr(library, f"emulated_signature_{name}")
    signature.restype = ctypes.c_char_p
    expected = signature().decode().split()
    run = getattr(library, f"emulated_launch_{name}")
    run.restype = ctypes.c_char_p

    def launch(grid: Any, block: Any, args: Sequence[Any]) -> None:
        grid, block = _dimensions(grid, (2**31 - 1, 65535, 65535)), _dimensions(block, (1024, 1024, 64))
        if math.prod(block) > 1024:
            raise ValueError(f"{name}: a block has at most 1024 threads, got {block}")
        if len(args) != len(expected):
            raise TypeError(f"{name}: expected {len(expected)} arguments, got {len(args)}")
        memory: dict[tuple[int, int], _Guarded] = {}  # an array that comes twice is one
        buffers = [
            memory.setdefault((a.ctypes.data, a.nbytes), _Guarded(a, i))
            if isinstance(a, np.ndarray)
            else _scalar(a)
            for i, a in enumerate(args)
        ]
        for i, (buffer, wanted) in enumerate(zip(buffers, expected, strict=True)):
            _check(args[i], buffer, wanted, f"{name}: argument {i}")
        pointers = (ctypes.c_void_p * len(args))(*[b.address for b in buffers])
        order = ORDERS[_order[-1]] if _order else -1
        with _lock:
            error = run(pointers, *grid, *(block if _order else (1, 1, 1)), order)
        if error:
            raise RuntimeError(f"{name}: {error.decode()}")
        for i, (buffer, wanted) in enumerate(zip(buffers, expected, strict=True)):
            buffer.release(f"{name}: argument {i}", written=wanted.startswith("P"))

    return launch


def elementwise(
    in_params: str, out_params: str, operation: str, name: str, preamble: str = ""
) -> Callable[..., Any]:
    """Return what ``cupy.ElementwiseKernel`` would: a function of arrays and scalars that broadcasts them.

    Letters that are no types stand for types which the arguments tell; ``raw`` parameters are indexed.
    """
    inputs, outputs = _parameters(in_params), _parameters(out_params)

    def kernel(*args: Any, size: int | None = None) -> Any:
        given = [np.asarray(a) for a in args]
        every = [*inputs, *outputs]
        known = _resolve(every, given)
        plain = [a for a, p in zip(given, every, strict=False) if not p.raw]
        shape = np.broadcast_shapes(*(a.shape for a in plain)) if size is None else (size,)
        results = given[len(inputs) :] or [np.empty(shape, known[p.kind]) for p in outputs]
        if any(r.shape != shape for r, p in zip(results, outputs, strict=True) if not p.raw):
            raise ValueError(f"{name}: outputs must have the shape {shape}")
        memory = [
            np.array(a if p.raw else np.broadcast_to(a, shape), known[p.kind], order="C")
            for a, p in zip([*given[: len(inputs)], *results], every, strict=True)
        ]
        source = _elementwise_source(every, len(inputs), known, operation, name, preamble)
        launch = compile_kernel(source, name)
        launch((max(1, -(-math.prod(shape) // 128)),), (128,), [*memory, math.prod(shape)])
        for result, a in zip(results, memory[len(inputs) :], strict=True):
            result[...] = a
        return results[0] if len(results) == 1 else tuple(results)

    return kernel


class _Parameter:
    def __init__(self, text: str) -> None:
        *modifiers, self.kind, self.name = text.split()
        self.raw = "raw" in modifiers


def _parameters(text: str) -> list[_Parameter]:
    return [_Parameter(part) for part in text.split(",") if part.strip()]


def _resolve(parameters: list[_Parameter], given: list[np.ndarray[Any, Any]]) -> dict[str, np.dtype[Any]]:
    """Find the type behind each letter; refuse an array whose type is another."""
    known = {p.kind: np.dtype(p.kind) for p in parameters if p.kind in C_NAMES}
    for p, a in zip(parameters, given, strict=False):
        dtype = known.setdefault(p.kind, a.dtype)
        if dtype != a.dtype and (a.ndim or not np.can_cast(a.dtype, dtype, "same_kind")):
            raise TypeError(f"{p.name}: expected {dtype}, got {a.dtype}")
    return known


def _elementwise_source(
    parameters: list[_Parameter],
    inputs: int,
    known: dict[str, np.dtype[Any]],
    operation: str,
    name: str,
    preamble: str,
) -> str:
    typedefs = [f"typedef {C_NAMES[d.name]} {kind};" for kind, d in known.items() if kind != d.name]
    types = {kind: kind if kind != d.name else C_NAMES[d.name] for kind, d in known.items()}
    arguments, bindings = [], []
    for position, p in enumerate(parameters):
        const = "const " if position < inputs else ""
        arguments.append(f"{const}{types[p.kind]}* {p.name}{'' if p.raw else '_all'}")
        if not p.raw:
            bindings.append(f"{const}{types[p.kind]}& {p.name} = {p.name}_all[i];")
    return "\n".join(
        [
            *typedefs,
            preamble,
            f'extern "C" __global__ void {name}({", ".join(arguments)}, long long n_all) {{',
            "long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;",
            "for (; i < n_all; i += (long long)gridDim.x * blockDim.x) {",
            *bindings,
            operation,
            "; } }",
        ]
    )


class _Guarded:
    """A copy of an array between margins, which shows what was written outside."""

    def __init__(self, array: np.ndarray[Any, Any], number: int) -> None:
        self.array = array
        self.margin = 0x71 + number % 10  # of each buffer another large float, so that a copy shows too
        self.bytes = np.full(array.nbytes + 2 * MARGIN, self.margin, np.uint8)
        self.bytes[MARGIN : MARGIN + array.nbytes] = np.frombuffer(array.tobytes(), np.uint8)
        self.pointer = ctypes.c_void_p(self.bytes.ctypes.data + MARGIN)
        self.address = ctypes.addressof(self.pointer)

    def release(self, owner: str, written: bool) -> None:
        stop = MARGIN + self.array.nbytes
        if not (self.bytes[:MARGIN] == self.margin).all() or not (self.bytes[stop:] == self.margin).all():
            raise IndexError(f"{owner}: written out of bounds")
        if written and self.array.nbytes:
            self.array[...] = self.bytes[MARGIN:stop].view(self.array.dtype).reshape(self.array.shape)


class _Scalar:
    def __init__(self, value: Any) -> None:
        self.value = value
        self.bytes = np.array([value])
        self.address = self.bytes.ctypes.data

    def release(self, owner: str, written: bool) -> None:
        """Nothing can have been written."""


def _scalar(value: Any) -> _Scalar:
    """Python's numbers take the types that CuPy gives them."""
    if isinstance(value, np.generic):
        return _Scalar(value)
    kinds: dict[type, Any] = {bool: np.bool_, int: np.int64, float: np.float64}
    if type(value) not in kinds:
        raise TypeError(f"expected an array or a number, got {type(value).__name__}")
    return _Scalar(kinds[type(value)](value))


def _check(argument: Any, buffer: Any, wanted: str, owner: str) -> None:
    dtype = buffer.array.dtype if isinstance(buffer, _Guarded) else buffer.bytes.dtype
    got = ("P" if isinstance(buffer, _Guarded) else "") + f"{dtype.kind}{dtype.itemsize}"
    if got.lower() != wanted.lower():
        raise TypeError(f"{owner}: expected {wanted}, got {got}")
    if isinstance(buffer, _Guarded):
        if not argument.flags.c_contiguous:
            raise ValueError(f"{owner}: expected a contiguous array, a kernel sees the memory alone")
        if wanted.startswith("P") and not argument.flags.writeable:
            raise ValueError(f"{owner}: the kernel may write to it, but it is read-only")


def _dimensions(value: Any, most: tuple[int, int, int]) -> tuple[int, int, int]:
    sizes = tuple(int(n) for n in value)
    sizes += (1,) * (3 - len(sizes))
    if any(not 1 <= n <= limit for n, limit in zip(sizes, most, strict=True)):
        raise ValueError(f"a grid or block of {sizes} cannot be launched, the most is {most}")
    return sizes  # type: ignore[return-value]


@functools.cache
def _library(source: str) -> ctypes.CDLL:
    """Compile a source, once for all processes: the file is named by what it was made from."""
    reason = missing()
    if reason:
        raise RuntimeError(reason)
    names = KERNEL.findall(source)
    if not names:
        raise ValueError("there is no __global__ function in the source")
    text = f"{SHIM.read_text(encoding='utf-8')}\n{source}\n" + "\n".join(f"EMULATED({n})" for n in names)
    key = hashlib.sha256(" ".join([*FLAGS, text]).encode()).hexdigest()
    folder = Path(tempfile.gettempdir()) / f"minidl-emulated-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise RuntimeError(f"{folder} belongs to somebody else")
    path = folder / f"{key}.so"
    if not path.exists():
        own = folder / f"{key}.{os.getpid()}.{threading.get_ident()}"
        done = subprocess.run(
            ["g++", *FLAGS, "-x", "c++", "-", "-o", str(own)], input=text, capture_output=True, text=True
        )
        if done.returncode:
            raise ValueError(f"the kernel does not compile:\n{done.stderr}")
        own.replace(path)
    return ctypes.CDLL(str(path))
