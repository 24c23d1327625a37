"""What holds for the repository as a whole: its files, its budget, its version, its scripts."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OPTIONAL = {
    "cupy",
    "hypothesis",
    "matplotlib",
    "mpi4py",
    "onnx",
    "pooch",
    "scipy",
    "sklearn",
    "torch",
    "tqdm",
}
COMMANDS = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("examples", "scripts")
    for path in (ROOT / folder).glob("*.py")
    if not path.name.startswith("_")
)
ELSEWHERE = re.compile(
    r"(?<![\w.~:/-])/(?:home|mnt|opt|root|tmp|Users|var|work)/"  # a folder of one machine
    r"|\b[A-Z]:\\"
    r"|\.\./share[d]"
    r"|\bissues? ?#?\d",
)
PIN = re.compile(r"\b(?:hatchling|hypothesis|mypy|onnx|pytest|pytest-cov|ruff|torch) ?[=~]= ?\d")


def tracked_texts() -> Iterator[tuple[str, str]]:
    """The name and the text of every text file under version control."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    for name in filter(None, listing.stdout.split("\0")):
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b"\0"
        if b"\0" not in content:
            yield name, content.decode("utf-8")


def literals(source: str, docstrings: bool) -> Iterator[ast.Constant]:
    """The string literals of a source, pieces of f-strings included."""
    tree = ast.parse(source)
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    first = [node.body[0] for node in ast.walk(tree) if isinstance(node, documented) and node.body]
    skipped = [] if docstrings else [node.value for node in first if isinstance(node, ast.Expr)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in skipped:
            yield node


def not_ascii(source: str, docstrings: bool) -> list[int]:
    """The lines of the literals that a cp1252 console may not be able to print."""
    return [node.lineno for node in literals(source, docstrings) if not str(node.value).isascii()]


@pytest.mark.parametrize(
    ("folder", "docstrings"),
    [("minidl", False), ("examples", True), ("scripts", True)],
    ids=lambda value: str(value),
)
def test_what_a_program_can_print_is_ascii(folder: str, docstrings: bool) -> None:
    found = {
        path.relative_to(ROOT).as_posix(): lines
        for path in (ROOT / folder).rglob("*.py")
        if (lines := not_ascii(path.read_text(encoding="utf-8"), docstrings))
    }
    assert found == {}


def test_a_literal_outside_ascii_is_found() -> None:
    source = 'def f(x):\n    """y = \u221ax"""\n    return f"{x}\u00b2"\n'
    assert not_ascii(source, docstrings=False) == [3]
    assert not_ascii(source, docstrings=True) == [2, 3]


def test_no_file_names_a_place_outside_the_project() -> None:
    found = {
        name: match.group()
        for name, text in tracked_texts()
        if name != ".ci/run" and (match := ELSEWHERE.search(text))
    }
    assert found == {}


@pytest.mark.parametrize(
    "text",  # in pieces, or this file would be found too
    ["open('/tm" + "p/x')", "C:" + r"\Users", "../" + "shared/data", "see issue " + "12"],
)
def test_a_place_outside_the_project_is_found(text: str) -> None:
    assert ELSEWHERE.search(text)


def test_the_version_of_a_tool_stands_in_one_file() -> None:
    assert {name for name, text in tracked_texts() if PIN.search(text)} == {"pyproject.toml"}


def test_the_version_of_minidl_stands_in_one_place() -> None:
    import minidl

    pattern = re.compile(rf"(?<![\d.]){re.escape(minidl.__version__)}(?![\d.])")
    places = {name: len(pattern.findall(text)) for name, text in tracked_texts()}
    assert places.pop("CHANGELOG.md") >= 1
    assert {name: count for name, count in places.items() if count} == {"minidl/__init__.py": 1}


def test_the_size_budget_is_kept() -> None:
    result = subprocess.run([sys.executable, "scripts/size.py"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_importing_minidl_imports_nothing_optional() -> None:
    code = "import sys, minidl; print(*{name.partition('.')[0] for name in sys.modules})"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert OPTIONAL & set(result.stdout.split()) == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = subprocess.run([sys.executable, command, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("usage: ")


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
@pytest.mark.parametrize("command", ["scripts/demo", "scripts/docs", "scripts/gpu", "scripts/test"])
def test_the_shells_are_three_lines_over_a_python_file(command: str) -> None:
    assert len((ROOT / command).read_text(encoding="utf-8").splitlines()) == 3
    result = subprocess.run([str(ROOT / command), "--help"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"usage: {command}")
