"""Kernels of one's own, compiled for the CPU by `tests.cuda.emulator`."""

from typing import Any

import numpy as np

from tests.cuda import emulator
from tests.standin import counting, host
from tests.standin.host import Memory


class RawKernel:
    """A kernel in CUDA C; arguments that do not fit, which a GPU would take for others, are refused."""

    def __init__(
        self,
        code: str,
        name: str,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        translate_cucomplex: bool = False,
        *,
        enable_cooperative_groups: bool = False,
        jitify: bool = False,
    ) -> None:
        self.code, self.name, self.options, self.backend = code, name, options, backend
        self._run: Any = None

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: Any, *, shared_mem: int = 0
    ) -> None:
        if not isinstance(grid, tuple) or not isinstance(block, tuple):
            raise TypeError(f"{self.name}: grid and block are tuples")
        if self._run is None:
            self._run = emulator.compile_kernel(self.code, self.name)
        self._run(grid, block, [_in_memory(a, self.name) if isinstance(a, Memory) else a for a in args])
        counting.launch(self.name)


def _in_memory(array: Memory, owner: str) -> Any:
    """Return an array as its numbers lie in memory, which is all that a kernel sees of it."""
    seen = array._host
    if not seen.flags.c_contiguous:
        seen = seen.transpose(
            sorted(range(seen.ndim), key=lambda axis: (-seen.strides[axis], seen.shape[axis]))
        )
        if not seen.flags.c_contiguous:
            raise ValueError(f"{owner}: an argument has gaps, which its pointer does not tell the kernel")
    return seen


class RawModule:
    """A program of several kernels."""

    def __init__(
        self,
        code: str | None = None,
        *,
        path: str | None = None,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        name_expressions: Any = None,
        jitify: bool = False,
    ) -> None:
        if code is None or path is not None or name_expressions is not None:
            raise NotImplementedError("the stand-in compiles plain source only")
        self.code, self.options = code, options

    def get_function(self, name: str) -> RawKernel:
        return RawKernel(self.code, name, self.options)


class ElementwiseKernel:
    """A kernel of which only the loop's body is written."""

    def __init__(
        self,
        in_params: str,
        out_params: str,
        operation: str,
        name: str = "kernel",
        reduce_dims: bool = True,
        preamble: str = "",
        no_return: bool = False,
        return_tuple: bool = False,
    ) -> None:
        self.in_params, self.out_params, self.operation, self.name = in_params, out_params, operation, name
        self.nin, self.nout = (len([p for p in t.split(",") if p.strip()]) for t in (in_params, out_params))
        self._run: Any = None
        self._preamble, self._return_tuple = preamble, return_tuple

    def __call__(self, *args: Any, size: int | None = None, block_size: int = 128, stream: Any = None) -> Any:
        for value in args:
            if not isinstance(value, Memory | int | float | complex | np.generic):
                raise TypeError(f"Unsupported type {type(value)}")
        if len(args) not in (self.nin, self.nin + self.nout):
            raise TypeError(f"Wrong number of arguments for {self.name!r}")
        if self._run is None:
            texts = (self.in_params, self.out_params, self.operation, self.name, self._preamble)
            self._run = emulator.elementwise(*texts)
        results = self._run(*map(host.unwrapped, args), **({} if size is None else {"size": size}))
        counting.launch(self.name)
        if len(args) > self.nin:
            given = args[self.nin :]
            return given if self._return_tuple or self.nout > 1 else given[0]
        return host.wrapped((results,) if self._return_tuple and self.nout == 1 else results, [])
