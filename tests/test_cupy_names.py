"""Rung 3: every name and keyword that minidl asks of CuPy is there in the package that is installed."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from tests import cupy_names
from tests.standin import package

PACKAGE = Path(__file__).resolve().parent.parent / "minidl"
SOURCES = {
    path.relative_to(PACKAGE.parent).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(PACKAGE.rglob("*.py"))
}
HOST_ONLY = {  # what is asked of NumPy's arrays alone, or of something else than an array
    "minidl/testing/strategies.py": {"setflags": "of NumPy's arrays, behind a look at what it is"},
}


@pytest.fixture(scope="module")
def cupy() -> ModuleType:
    if package.installed():
        pytest.skip("the stand-in plays CuPy in this run")
    found = cupy_names.real_cupy()
    if found is None:
        pytest.skip("no wheel of CuPy is installed")
    return found


def complaints(source: str, cupy: ModuleType, host_only: dict[str, str] | None = None) -> list[str]:
    found = [cupy_names.complaint(use, cupy) for use in cupy_names.uses(source)]
    found += [
        cupy_names.method_complaint(use, cupy)
        for use in cupy_names.methods(source)
        if use.path[0] not in (host_only or {})
    ]
    return [text for text in found if text]


@pytest.mark.parametrize("path", SOURCES)
def test_every_name_and_keyword_is_in_cupy(cupy, path) -> None:
    assert complaints(SOURCES[path], cupy, HOST_ONLY.get(path)) == []


def test_what_is_let_pass_is_there() -> None:
    for path, names in HOST_ONLY.items():
        assert {use.path[0] for use in cupy_names.methods(SOURCES[path])} >= names.keys()


def test_modules_that_are_imported_by_name_are_there(cupy) -> None:
    found = re.findall(r'import_module\("(cupyx?[\w.]*)"\)\.(\w+)', "\n".join(SOURCES.values()))
    assert found
    for module, name in found:
        assert hasattr(pytest.importorskip(module), name), (module, name)


def test_many_uses_are_seen() -> None:
    seen = [use for source in SOURCES.values() for use in cupy_names.uses(source)]
    assert len(seen) > 300
    assert any(use.path == ("lib", "stride_tricks", "as_strided") and use.called for use in seen)
    assert any(use.keywords for use in seen)
    assert sum(len(list(cupy_names.methods(source))) for source in SOURCES.values()) > 300


@pytest.mark.parametrize(
    ("planted", "message"),
    [
        ("xp.errstate(all='ignore')", "line 1: CuPy has no errstate"),
        ("y = xp.geomspace(1, 2, 3)", "CuPy has no geomspace"),
        ("xp.lib.stride_tricks.no_view(x)", "CuPy has no lib.stride_tricks.no_view"),
        ("xp.sum(x, where=m)", "sum takes no where in CuPy"),
        ("xp.sum(x, axis=0, initial=0)", "sum takes no initial in CuPy"),
        ("xp.add(x, y, where=m)", "add takes no where in CuPy"),
        ("xp.exp(x, out=y, where=m)", "exp takes no where in CuPy"),
        ("xp.einsum('ij->i', x, out=y)", "einsum takes no out in CuPy"),
        ("xp.lib.stride_tricks.as_strided(x, s, t, writeable=False)", "as_strided takes no writeable"),
        ("xp.clip(x, 0, 1, out, 'same_kind')", "clip takes 4 arguments in CuPy, not 5"),
        ("xp.ElementwiseKernel('T x', 'T y', 'y = x', kernel='k')", "takes no kernel in CuPy"),
        ("x.sum(axis=0, where=m)", "sum takes no where in CuPy"),
        ("(x * y).mean(axis=0, initial=0)", "mean takes no initial"),
        ("x.astype(d, subok=True, device=0)", "astype takes no device"),
        ("x.max(axis=0, initial=0)", "max takes no initial"),
        ("x.setflags(write=False)", "CuPy's arrays have no setflags"),
        ("f(x).ctypes.data", "CuPy's arrays have no ctypes"),
        ("\n\nx.setflags", "line 3: CuPy's arrays have no setflags"),
    ],
)
def test_a_planted_mistake_is_found(cupy, planted, message) -> None:
    found = complaints(planted, cupy)
    assert len(found) == bool(message)
    assert message in "".join(found)


@pytest.mark.parametrize(
    "right",
    [
        "xp.sum(x, axis=0, keepdims=True)",
        "xp.maximum(x, 0, out=x)",
        "xp.pad(x, 1, constant_values=2)",
        "xp.einsum('ij->i', *arrays, optimize=True)",
        "xp.zeros((2, 3), dtype=x.dtype)",
        "xp.dtype('float32').name",
        "x.sum(axis=0, dtype=xp.float32).reshape(2, -1)",
        "words.sort(key=len)",
        "numbers.get(name, 0)",
        "np.ndarray.setflags",
    ],
)
def test_what_is_right_passes(cupy, right) -> None:
    assert complaints(right, cupy) == []
