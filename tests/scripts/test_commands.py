"""The commands over .venv hand on what they are given, and stop where something failed."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "scripts"


class Script:
    """A script of the folder, with the environment and the commands it would run replaced."""

    def __init__(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(FOLDER)
        for module in (name, "_venv"):
            monkeypatch.delitem(sys.modules, module, raising=False)
        self.module = importlib.import_module(name)
        del sys.modules[name], sys.modules["_venv"]  # names of that kind belong to others
        self.extras: list[str] = []
        self.commands: list[list[str]] = []
        self.failing = ""
        monkeypatch.setattr(self.module._venv, "enter", self.enter)
        monkeypatch.setattr(self.module, "subprocess", SimpleNamespace(run=self.run))

    def enter(self, command: str, extras: list[str]) -> str:
        self.extras = extras
        return "python"

    def run(self, command: list[str], **_: object) -> SimpleNamespace:
        self.commands.append(list(command))
        return SimpleNamespace(returncode=int(self.failing in command))

    def __call__(self, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["script", *arguments])
        return int(self.module.main())


@pytest.fixture
def script_test(monkeypatch: pytest.MonkeyPatch) -> Script:
    monkeypatch.setenv("MINIDL_TEST_PROFILE", "short")
    return Script("test", monkeypatch)


@pytest.fixture
def script_demo(monkeypatch: pytest.MonkeyPatch) -> Script:
    return Script("demo", monkeypatch)


@pytest.fixture
def script_docs(monkeypatch: pytest.MonkeyPatch) -> Script:
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "")
    return Script("docs", monkeypatch)


def test_everything_runs_and_pytest_last(script_test, monkeypatch) -> None:
    assert script_test(monkeypatch) == 0
    assert [command[2] for command in script_test.commands[:3]] == ["ruff", "ruff", "mypy"]
    assert script_test.commands[-1] == ["python", "-m", "pytest", "--cov", "--numprocesses=auto"]
    assert "oracles" not in script_test.extras


def test_a_failed_check_is_named_and_keeps_the_tests_from_running(script_test, monkeypatch, capsys) -> None:
    script_test.failing = "mypy"
    assert script_test(monkeypatch) == 1
    assert [command for command in script_test.commands if "pytest" in command] == []
    assert capsys.readouterr().out.endswith("scripts/test: mypy failed; the tests did not run\n")


def test_failed_tests_are_a_failure(script_test, monkeypatch) -> None:
    script_test.failing = "pytest"
    assert script_test(monkeypatch) == 1


def test_arguments_go_to_pytest_alone(script_test, monkeypatch) -> None:
    assert script_test(monkeypatch, "tests/ops", "-k", "conv") == 0
    assert script_test.commands == [["python", "-m", "pytest", "tests/ops", "-k", "conv"]]


def test_full_takes_the_large_counts(script_test, monkeypatch) -> None:
    assert script_test(monkeypatch, "--full") == 0
    assert script_test.module.os.environ["MINIDL_TEST_PROFILE"] == "full"
    assert script_test.commands[-1] == ["python", "-m", "pytest", "--cov", "--numprocesses=auto"]


def test_the_stand_in_for_cupy_runs_with_pytest_alone(script_test, monkeypatch) -> None:
    assert script_test(monkeypatch, "--standin", "tests/ops") == 0
    assert script_test.commands == [
        ["python", "-m", "pytest", "--standin", "--numprocesses=auto", "tests/ops"]
    ]
    script_test.failing = "--standin"
    assert script_test(monkeypatch, "--standin") == 1
    assert script_test.commands[1:] == [["python", "-m", "pytest", "--standin", "--numprocesses=auto"]]


def test_torch_is_installed_on_request(script_test, monkeypatch) -> None:
    script_test(monkeypatch, "--all")
    assert "oracles" in script_test.extras


def test_the_demo_hands_its_arguments_and_its_status_on(script_demo, monkeypatch) -> None:
    assert script_demo(monkeypatch, "--steps", "3") == 0
    assert script_demo.commands == [["python", str(FOLDER.parent / "examples" / "digits.py"), "--steps", "3"]]
    assert script_demo.extras == ["data", "plots"]
    script_demo.failing = "--steps"
    assert script_demo(monkeypatch, "--steps", "3") == 1


def test_the_documentation_is_built_strictly(script_docs, monkeypatch) -> None:
    assert script_docs(monkeypatch) == 0
    assert script_docs.commands == [["python", "-m", "mkdocs", "build", "--strict"]]
    assert script_docs.extras == ["docs"]
    script_docs.failing = "build"
    assert script_docs(monkeypatch) == 1


def test_the_documentation_is_shown_until_someone_ends_it(script_docs, monkeypatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    assert script_docs(monkeypatch, "--serve") == 0
    assert script_docs.commands == [["python", "-m", "mkdocs", "serve", "--strict"]]
    monkeypatch.setattr(script_docs.module.subprocess, "run", interrupted)
    assert script_docs(monkeypatch, "--serve") == 130
