"""The functions that scripts are put together from, and their texts."""

import dis
import inspect
from collections.abc import Callable, Iterable, Iterator
from types import CodeType
from typing import Any

from minidl.interop.numpy_script.parts import activations, dense, images, norms, sequences, updates

MODULES = (dense, activations, images, norms, sequences, updates)
FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: value
    for module in MODULES
    for name, value in vars(module).items()
    if inspect.isfunction(value) and value.__module__ == module.__name__
}


def texts(names: Iterable[str]) -> list[str]:
    """Return the sources of functions and of those that they call, each after what it calls."""
    ordered: list[str] = []

    def visit(name: str) -> None:
        for called in _called(FUNCTIONS[name].__code__):
            visit(called)
        if name not in ordered:
            ordered.append(name)

    for name in names:
        visit(name)
    return [inspect.getsource(FUNCTIONS[name]).rstrip() for name in ordered]


def _called(code: CodeType) -> Iterator[str]:
    """Yield the functions of the parts that a function names, or one that it defines."""
    for instruction in dis.get_instructions(code):
        if instruction.opname == "LOAD_GLOBAL" and instruction.argval in FUNCTIONS:
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _called(constant)
