"""The names of ``import minidl``: what waits to be asked for is there all the same, and typed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import minidl

SOURCE = ast.parse(Path(minidl.__file__).read_text(encoding="utf-8"))


def typed() -> dict[str, str]:
    """The names that a type checker sees and a running program imports on demand, with their homes."""
    (block,) = (node for node in SOURCE.body if isinstance(node, ast.If))
    return {alias.name: str(node.module) for node in block.body for alias in node.names}


def test_what_is_typed_is_what_is_imported_on_demand() -> None:
    homes = {name: f"minidl.{home}" for name, home in minidl._HOMES.items()}
    assert typed() == {**homes, **dict.fromkeys([*minidl._MODULES, "layers"], "minidl")}


@pytest.mark.parametrize("name", sorted(typed()))
def test_a_name_asked_for_first_is_itself(name: str) -> None:
    code = f"import minidl; print(minidl.{name}.__name__, minidl.{name} is minidl.{name})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    home = typed()[name]
    expected = f"minidl.{name}" if home == "minidl" else name
    assert result.stdout == f"{expected} True\n", result.stderr


def test_dir_lists_what_was_not_asked_for_yet() -> None:
    assert {*typed(), "Linear", "xp"} <= set(dir(minidl))


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'minidl' has no attribute 'Lineal'"):
        minidl.Lineal  # noqa: B018
