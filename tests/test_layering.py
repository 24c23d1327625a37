"""The floors of the house: a module imports from floors below its own, and no package runs in a circle."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "minidl"

FLOORS = (
    {"memory", "special"},  # below the ground: they know nothing of minidl
    {"backend", "threads"},
    {"ops", "init", "tape"},
    {"tensor", "tiling"},
    {"functional"},
    {"layers"},
    {"optim", "losses", "data", "files", "summary"},
    {"training", "interop", "distributed", "testing"},
    {""},  # minidl/__init__.py
)

NUMPY = {
    "backend": "it is where NumPy or CuPy is chosen",
    "special": "it computes what NumPy lacks",
    "threads": "it asks which BLAS NumPy was built with",
    "init": "weights are drawn on the host, so that both backends start equal",
    "data": "files and shuffles are the host's",
    "files": "a weights file is read and written on the host",
    "interop.numpy_script": "its scripts are for machines with NumPy alone",
    "interop.pytorch": "the weights of others come from the host and go there",
    "optim.groups": "settings and saved states come from the host, as NumPy's numbers too",
    "testing": "the checks compute their references on the host",
    "training.explain": "single numbers are worked through on the host, without the layer's own code",
    "training.plots": "pictures are drawn on the host",
}


def name_of(path: Path) -> str:
    """The dotted name of a module of the package."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}


def imported(source: str, modules: dict[str, str]) -> Iterator[str]:
    """Every module that a source names in an import, at any depth: also for types, also in functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in modules else str(node.module)


def part(module: str) -> str:
    """``minidl.ops.conv`` is of ``ops``; the package itself is of nothing."""
    return [*module.split("."), ""][1]


def floor(module: str) -> int:
    floors = [n for n, parts in enumerate(FLOORS, start=-1) if part(module) in parts]
    assert floors, f"{module} has no floor"
    return floors[0]


def upward(modules: dict[str, str]) -> list[str]:
    """The imports that do not go down, those within one package aside."""
    return [
        f"{module} (floor {floor(module)}) imports {target} (floor {floor(target)})"
        for module, source in modules.items()
        for target in imported(source, modules)
        if target.split(".")[0] == "minidl"
        and part(target) != part(module)
        and floor(target) >= floor(module)
    ]


def circle(modules: dict[str, str]) -> list[str]:
    """The modules of a circle within one package, the first one again at the end; empty if there is none."""
    graph = {
        module: {target for target in imported(source, modules) if part(target) == part(module) != ""}
        for module, source in modules.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def numpy_users(modules: dict[str, str]) -> set[str]:
    return {
        m
        for m, source in modules.items()
        if any(t.split(".")[0] == "numpy" for t in imported(source, modules))
    }


def reasons(module: str) -> set[str]:
    """The entries of the list that cover a module: its own, or that of its package."""
    return {entry for entry in NUMPY if f"{module}.".startswith(f"minidl.{entry}.")}


def test_imports_go_down() -> None:
    assert upward(MODULES) == []


def test_no_package_runs_in_a_circle() -> None:
    assert circle(MODULES) == []


def test_only_modules_with_a_reason_import_numpy() -> None:
    assert {module for module in numpy_users(MODULES) if not reasons(module)} == set()


def test_every_reason_to_import_numpy_is_used() -> None:
    assert {reason for module in numpy_users(MODULES) for reason in reasons(module)} == NUMPY.keys()


@pytest.mark.parametrize(
    "planted",
    [
        "from minidl.layers import Linear",
        "from minidl.layers.linear import Linear",
        "from minidl import layers",
        "from minidl import Linear",
        "import minidl",
        "def later():\n    import minidl.losses",
        "if TYPE_CHECKING:\n    from minidl.functional import softmax",
    ],
)
def test_an_import_from_above_is_found(planted: str) -> None:
    modules = {"minidl": "", "minidl.layers": "", "minidl.layers.linear": "", "minidl.ops.conv": planted}
    assert len(upward(modules)) == 1


def test_an_import_of_the_same_floor_is_found() -> None:
    assert upward({"minidl.losses": "import minidl.data"}) != []


def test_imports_from_below_and_from_the_own_package_are_free() -> None:
    source = "import math\nfrom minidl.backend import xp\nfrom minidl.ops.shape import pad"
    assert upward({"minidl.ops.conv": source, "minidl.ops.shape": "", "minidl.backend": ""}) == []


@pytest.mark.parametrize("back", ["from minidl.ops.conv import conv", "from minidl.ops import conv"])
def test_a_circle_is_found(back: str) -> None:
    modules = {"minidl.ops": "", "minidl.ops.conv": "from minidl.ops.pool import f", "minidl.ops.pool": back}
    assert len(circle(modules)) == 3


def test_a_module_that_imports_its_own_package_is_in_a_circle() -> None:
    package = {
        "minidl.ops": "from minidl.ops.conv import conv",
        "minidl.ops.conv": "from minidl.ops import pad",
    }
    assert circle(package) != []


def test_a_module_without_a_floor_is_found() -> None:
    with pytest.raises(AssertionError, match=r"minidl\.extra has no floor"):
        upward({"minidl.extra": "import minidl.ops"})


def test_numpy_is_found_in_any_spelling() -> None:
    sources = ["import numpy", "import numpy as np", "from numpy import pad", "import numpy.typing as npt"]
    modules = {f"minidl.ops.op{n}": source for n, source in enumerate(sources)}
    assert numpy_users({**modules, "minidl.ops.last": "from minidl.backend import xp"}) == modules.keys()
