"""The environment of the scripts: made once, never half, and every obstacle is one sentence."""

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "_venv.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("_venv", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Tools:
    """Stands in for venv and pip: remembers what was called, and does to pip what it is told."""

    def __init__(self, interpreter: Callable[[Path], Path]) -> None:
        self.calls: list[str] = []
        self.pip_fails_with: BaseException | None = None
        self.interpreter = interpreter

    def __call__(self, command: list[str], tool: str) -> None:
        self.calls.append(tool)
        if tool == "venv":
            python = self.interpreter(Path(command[-1]))
            python.parent.mkdir()
            try:
                python.symlink_to(sys.executable)
            except OSError:
                shutil.copy(sys.executable, python)
        elif self.pip_fails_with:
            raise self.pip_fails_with


@pytest.fixture
def venv() -> ModuleType:
    return load()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("[project]")
    return tmp_path


@pytest.fixture
def tools(venv: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Tools:
    tools = Tools(venv._interpreter)
    monkeypatch.setattr(venv, "_call", tools)
    return tools


def state(project: Path) -> dict[str, object]:
    return dict(json.loads((project / ".venv" / "minidl-state.json").read_text()))


def test_the_first_run_makes_it_and_the_second_has_nothing_to_do(venv, project, tools) -> None:
    first = venv.prepare(project, ["data"])
    assert tools.calls == ["venv", "pip"]
    assert venv.prepare(project, ["data"]) == first
    assert tools.calls == ["venv", "pip"]


def test_changed_packages_are_installed_without_starting_over(venv, project, tools) -> None:
    venv.prepare(project, ["data"])
    (project / "pyproject.toml").write_text("[project]\ndependencies = ['numpy']")
    venv.prepare(project, ["data"])
    assert tools.calls == ["venv", "pip", "pip"]


def test_the_settings_of_a_tool_install_nothing(venv, project, tools) -> None:
    venv.prepare(project, ["data"])
    (project / "pyproject.toml").write_text("[project]\n[tool.ruff]\nline-length = 110")
    venv.prepare(project, ["data"])
    assert tools.calls == ["venv", "pip"]


def test_two_commands_with_different_extras_do_not_undo_each_other(venv, project, tools) -> None:
    venv.prepare(project, ["data"])
    venv.prepare(project, ["testing"])
    venv.prepare(project, ["data"])
    assert tools.calls == ["venv", "pip", "pip"]
    assert state(project)["extras"] == ["data", "testing"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), SystemExit(143)], ids=["ctrl-c", "terminated"])
def test_an_interrupted_first_run_leaves_nothing_and_the_second_repairs(
    venv, project, tools, interruption
) -> None:
    tools.pip_fails_with = interruption
    with pytest.raises(type(interruption)):
        venv.prepare(project, ["data"])
    assert not (project / ".venv").exists()
    tools.pip_fails_with = None
    assert venv.prepare(project, ["data"]).exists()


def test_a_failed_first_run_leaves_nothing(venv, project, tools) -> None:
    tools.pip_fails_with = venv.SetupError("no network")
    with pytest.raises(venv.SetupError, match="no network"):
        venv.prepare(project, ["data"])
    assert not (project / ".venv").exists()


def test_what_a_killed_run_left_is_made_anew(venv, project, tools) -> None:
    venv.prepare(project, ["data"])
    (project / ".venv" / "minidl-state.json").write_text('{"complete": false}')
    (project / ".venv" / "half").touch()
    venv.prepare(project, ["data"])
    assert not (project / ".venv" / "half").exists()
    assert state(project)["complete"] is True


def test_a_damaged_state_file_is_taken_for_a_killed_run(venv, project, tools) -> None:
    venv.prepare(project, ["data"])
    (project / ".venv" / "minidl-state.json").write_text("{")
    venv.prepare(project, ["data"])
    assert tools.calls == ["venv", "pip", "venv", "pip"]


def test_a_missing_interpreter_is_made_anew(venv, project, tools) -> None:
    venv.prepare(project, ["data"]).unlink()
    assert venv.prepare(project, ["data"]).exists()


def test_another_version_of_python_makes_it_anew(venv, project, tools, monkeypatch) -> None:
    venv.prepare(project, ["data"])
    monkeypatch.setattr(sys, "version", "3.99.0 (of tomorrow)")
    venv.prepare(project, ["data"])
    assert tools.calls == ["venv", "pip", "venv", "pip"]


def test_a_failed_update_keeps_what_worked(venv, project, tools) -> None:
    python = venv.prepare(project, ["data"])
    before = state(project)
    tools.pip_fails_with = venv.SetupError("no network")
    with pytest.raises(venv.SetupError):
        venv.prepare(project, ["data", "onnx"])
    assert state(project) == before
    assert venv.prepare(project, ["data"]) == python


def test_an_environment_of_somebody_else_is_refused_and_left_alone(venv, project, tools) -> None:
    (project / ".venv").mkdir()
    (project / ".venv" / "precious").touch()
    with pytest.raises(venv.SetupError, match="rename or remove it"):
        venv.prepare(project, ["data"])
    assert (project / ".venv" / "precious").exists()
    assert tools.calls == []


def test_an_old_python_is_refused_with_both_versions(venv, project, tools, monkeypatch) -> None:
    monkeypatch.setattr(venv, "OLDEST_PYTHON", (99, 0))
    with pytest.raises(venv.SetupError, match=r"this is Python 3\.\d+ and minidl needs 99\.0"):
        venv.prepare(project, ["data"])


def test_a_python_without_ensurepip_is_refused_with_the_command_that_brings_it(
    venv, project, tools, monkeypatch
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ensurepip" else find_spec(name)
    )
    with pytest.raises(venv.SetupError, match="sudo apt install python3-venv"):
        venv.prepare(project, ["data"])
    assert not (project / ".venv").exists()


def test_a_folder_that_cannot_be_written_is_one_sentence(venv, project, tools, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(venv.SetupError, match="Permission denied"):
        venv.prepare(project, ["data"])


@pytest.mark.parametrize(
    ("printed", "sentence"),
    [
        ("Retrying after connection broken by NewConnectionError", "the package index cannot be reached"),
        ("ERROR: No matching distribution found for numpy", r"pip failed \(ERROR: No matching distribution"),
        ("", r"pip failed \(no reason given\)"),
    ],
)
def test_a_failed_command_is_one_sentence(venv, printed: str, sentence: str) -> None:
    code = f"print({printed!r}, end=''); raise SystemExit(1)"
    with pytest.raises(venv.SetupError, match=sentence):
        venv._call([sys.executable, "-c", code], "pip")


def test_the_sentence_names_the_command_and_is_all_that_is_said(venv, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise venv.SetupError("pip is missing; install it")

    monkeypatch.setattr(venv, "prepare", fail)
    monkeypatch.setattr(venv.signal, "signal", lambda *_: None)
    with pytest.raises(
        SystemExit, match=r"^scripts/test: pip is missing; install it, then run scripts/test again$"
    ):
        venv.enter("scripts/test", ["data"])
