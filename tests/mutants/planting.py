"""Plant a mistake in minidl, in memory: one function runs changed source until the end of a ``with``."""

import importlib
import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any, NamedTuple


class Mutant(NamedTuple):
    """A mistake: which lines of which function become which, and where it should be noticed.

    ``where`` is ``module:function`` or ``module:Class.method``, below ``minidl``. ``watch`` names rows of the
    contract: ``op softmax``, ``layer Softmax``, ``loss CrossEntropy``, ``training test_name``, ``checker``.
    """

    name: str
    where: str
    old: str
    new: str
    watch: tuple[str, ...]


def function_at(where: str) -> FunctionType:
    """The function itself, behind static methods and properties."""
    module, _, path = where.partition(":")
    found: Any = importlib.import_module(f"minidl.{module}")
    for name in path.split("."):
        found = inspect.getattr_static(found, name)
    found = getattr(found, "__func__", None) or getattr(found, "fget", None) or found
    assert isinstance(found, FunctionType), where
    return found


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """Swap the code of the function, so that whoever has imported it runs the mistake."""
    function = function_at(mutant.where)
    source = textwrap.dedent(inspect.getsource(function))
    found = source.count(mutant.old)
    assert found == 1, f"{mutant.name}: {mutant.old!r} stands {found} times in {mutant.where}: plant it anew"
    names: dict[str, Any] = {}
    exec(compile(source.replace(mutant.old, mutant.new), mutant.where, "exec"), function.__globals__, names)
    changed = names[function.__name__]
    changed = getattr(changed, "__func__", None) or getattr(changed, "fget", None) or changed
    kept = function.__code__, function.__kwdefaults__, function.__defaults__
    function.__code__ = changed.__code__
    function.__kwdefaults__, function.__defaults__ = changed.__kwdefaults__, changed.__defaults__
    try:
        yield
    finally:
        function.__code__, function.__kwdefaults__, function.__defaults__ = kept
