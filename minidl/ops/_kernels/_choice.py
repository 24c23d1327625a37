"""Where it is decided whether a formula or its kernel runs."""

import functools
import importlib
from collections.abc import Callable
from typing import Any, TypeVar

from minidl import backend

F = TypeVar("F", bound=Callable[..., Any])


def fused(place: str) -> Callable[[F], F]:
    """Let a kernel take the place of the formula that follows, where the backend is CuPy.

    A kernel has the signature of its formula and returns NotImplemented for what it leaves to it: rare
    options, empty arrays, and everything that the formula refuses. The formula stays, as ``__wrapped__``, to
    be the oracle.

    Args:
        place: ``module:function`` of the kernel's launch, below this package.
    """
    if backend.name != "cupy":
        return lambda formula: formula
    return lambda formula: replaced(formula, place)


def replaced(formula: F, place: str) -> F:
    """Return a function that asks the kernel first and the formula if that declines."""

    @functools.cache
    def kernel() -> Callable[..., Any]:
        module, _, function = place.partition(":")
        found: Callable[..., Any] = getattr(
            importlib.import_module(f"minidl.ops._kernels.{module}"), function
        )
        return found

    @functools.wraps(formula)
    def chosen(*args: Any, **options: Any) -> Any:
        result = kernel()(*args, **options)
        return formula(*args, **options) if result is NotImplemented else result

    return chosen  # type: ignore[return-value]  # wraps keeps the type
