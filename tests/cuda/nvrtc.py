"""NVIDIA's run-time compiler, which needs neither a GPU nor a driver: from its wheel, through ctypes."""

import ctypes
import functools
import importlib.util
from pathlib import Path
from typing import Any


@functools.cache
def library() -> Any:
    """The compiler, None where its wheel is not installed."""
    try:
        spec = importlib.util.find_spec("nvidia")
    except ModuleNotFoundError:
        spec = None
    folders = [Path(p) for p in (spec.submodule_search_locations or ())] if spec else []
    for path in (p for folder in folders for p in sorted(folder.glob("*/lib/libnvrtc.so.*"))):
        if "alt" not in path.name:
            return ctypes.CDLL(str(path))
    return None


def missing() -> str | None:
    """Why nothing can be compiled here, None where it can."""
    return None if library() else "NVRTC is not installed (nvidia-cuda-nvrtc-cu12)"


@functools.cache
def architectures() -> list[int]:
    """What the compiler makes code for, such as 70 for sm_70."""
    count = ctypes.c_int()
    library().nvrtcGetNumSupportedArchs(ctypes.byref(count))
    found = (ctypes.c_int * count.value)()
    library().nvrtcGetSupportedArchs(found)
    return list(found)


def compiled(source: str, architecture: int, options: tuple[str, ...] = ()) -> str:
    """Compile a source to machine code; return what the compiler said, raise what it refused."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    nvrtc = library()
    _check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None))
    try:
        arguments = [f"--gpu-architecture=sm_{architecture}".encode(), *(o.encode() for o in options)]
        status = nvrtc.nvrtcCompileProgram(
            program, len(arguments), (ctypes.c_char_p * len(arguments))(*arguments)
        )
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, log)
        if status:
            raise ValueError(f"sm_{architecture}: {log.value.decode()}")
        return log.value.decode()
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _check(status: int) -> None:
    assert status == 0, f"NVRTC: error {status}"
