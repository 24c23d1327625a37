"""What a source asks of CuPy, read from its syntax tree, and compared with the package that is installed."""

import ast
import importlib
import inspect
import re
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np


class Use(NamedTuple):
    """A dotted name below ``xp`` somewhere; if it is called, with how many arguments and which keywords."""

    line: int
    path: tuple[str, ...]
    called: bool = False
    positional: int = 0
    keywords: tuple[str, ...] = ()


# Names of array methods that lists, dicts, strings, layers or files have too: only a keyword tells.
SHARED = {
    "copy",
    "get",
    "set",
    "sort",
    "fill",
    "item",
    "partition",
    "repeat",
    "round",
    "data",
    "size",
    "shape",
}
SHARED |= {
    "min",
    "max",
    "all",
    "any",
    "clip",
    "view",
    "base",
    "real",
    "imag",
    "T",
    "device",
    "dtype",
    "flags",
}
TYPES = "str|tuple|bool|int|Py_ssize_t|_ndarray_base|dict|object|size_t"
NUMPYS = {name for name in dir(np.ndarray) if not name.startswith("__")}
MODULES = [(name,) for name in ("xp", "np", "json", "self", "ops", "F", "math", "st", "minidl")]
OPTIONS = {"einsum": {"dtype", "optimize"}, "pad": {"constant_values", "reflect_type", "stat_length"}}


def real_cupy() -> ModuleType | None:
    """The package itself, None where no wheel is installed; it needs no GPU to be asked for names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it misses a CUDA toolkit, which names do not need
        try:
            return importlib.import_module("cupy")
        except ImportError:
            return None


def chain(node: ast.AST) -> tuple[str, ...]:
    """``xp.lib.stride_tricks`` as a tuple of names; empty if it begins with something else than a name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


def uses(source: str) -> Iterator[Use]:
    """Every name below ``xp``, the longest form of each; ``**`` and ``*`` tell nothing of what they pass."""
    tree = ast.parse(source)
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    called = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or id(node) in inner or chain(node)[:1] != ("xp",):
            continue
        yield _use(node, chain(node)[1:], called.get(id(node)))


def _use(node: ast.Attribute, path: tuple[str, ...], call: ast.Call | None) -> Use:
    if call is None:
        return Use(node.lineno, path)
    plain = [a for a in call.args if not isinstance(a, ast.Starred)]
    return Use(node.lineno, path, True, len(plain), tuple(k.arg for k in call.keywords if k.arg))


def methods(source: str) -> Iterator[Use]:
    """Every attribute that is one of NumPy's arrays, on whatever it may be asked of but modules."""
    tree = ast.parse(source)
    called = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in NUMPYS and chain(node)[:1] not in MODULES:
            yield _use(node, (node.attr,), called.get(id(node)))


def arguments(function: Any, name: str) -> tuple[set[str], float] | None:
    """The keywords that a function of CuPy takes, how many arguments without one; None if it does not say."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        text = _documented(function.__doc__ or "", name)
        if text is None:
            return None
        signature = inspect.signature(eval(f"lambda {text}: None"))
    parameters = signature.parameters.values()
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    positional = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    open_ended = any(p.kind == p.VAR_POSITIONAL for p in parameters)
    return named | OPTIONS.get(name, set()), float("inf") if open_ended else positional


def _documented(doc: str, name: str) -> str | None:
    """The arguments in the first ``name(...)`` of a docstring, untyped: compiled functions tell no more."""
    found = re.search(rf"\b{name}\(", doc)
    if not found:
        return None
    depth, stop = 1, found.end()
    while depth:
        depth += {"(": 1, ")": -1}.get(doc[stop], 0)
        stop += 1
    text = doc[found.end() : stop - 1].replace("\\*", "*")
    return re.sub(r"^self,? ?", "", re.sub(rf"\b(?:{TYPES}) (?=\w)", "", text))


def complaint(use: Use, cupy: ModuleType) -> str | None:
    """What is wrong with a use of ``xp``: a name that CuPy lacks, a keyword, or too many arguments."""
    value: Any = cupy
    for depth, name in enumerate(use.path):
        if not hasattr(value, name):
            return f"line {use.line}: CuPy has no {'.'.join(use.path[: depth + 1])}"
        value = getattr(value, name)
    if not use.called or (inspect.isclass(value) and issubclass(value, np.generic | np.dtype)):
        return None
    return _misused(use, arguments(value, use.path[-1]))


def method_complaint(use: Use, cupy: ModuleType) -> str | None:
    """What is wrong with an attribute of an array."""
    (name,) = use.path
    if not hasattr(cupy.ndarray, name):
        return f"line {use.line}: CuPy's arrays have no {name}"
    if not use.called or (name in SHARED and not {"axis", "out", "keepdims"} & set(use.keywords)):
        return None
    return _misused(use, arguments(getattr(cupy.ndarray, name), name))


def _misused(use: Use, takes: tuple[set[str], float] | None) -> str | None:
    if takes is None:
        return None
    keywords, most = takes
    unknown = [k for k in use.keywords if k not in keywords]
    if unknown:
        return f"line {use.line}: {'.'.join(use.path)} takes no {', '.join(unknown)} in CuPy"
    if use.positional > most:
        return (
            f"line {use.line}: {'.'.join(use.path)} takes {most:.0f} arguments in CuPy, not {use.positional}"
        )
    return None
