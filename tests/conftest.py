"""What every test shares: the hypothesis profiles, the real data, the oracle, and a word on what was used."""

import os
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

settings.register_profile("short", max_examples=25, deadline=None, print_blob=True)
settings.register_profile("full", max_examples=500, deadline=None, print_blob=True)
settings.register_profile("standin", max_examples=5, deadline=None, derandomize=True, database=None)
settings.register_profile("ci", settings.get_profile("short"), derandomize=True, database=None)
settings.load_profile(
    os.environ.get("MINIDL_TEST_PROFILE") or ("ci" if os.environ.get("CI") == "true" else "short")
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--standin",
        action="store_true",
        help="run on the stand-in for CuPy in tests/standin, which needs no GPU and proves nothing about one",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Bring in the stand-in where it is asked for: before anything imports minidl, so this file does not."""
    if config.getoption("--standin"):
        from tests.standin import package

        package.install()
        settings.load_profile(os.environ.get("MINIDL_TEST_PROFILE") or "standin")


@pytest.fixture(scope="session")
def full() -> bool:
    """Whether this run should take the large counts."""
    return settings.get_current_profile_name() == "full"


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder with real data; a test that asks for it is skipped where there is none."""
    folder = os.environ.get("MINIDL_DATA")
    if not folder:
        pytest.skip("MINIDL_DATA")
    return Path(folder)


@pytest.fixture(scope="session")
def torch() -> ModuleType:
    """PyTorch, the oracle; a test that asks for it is skipped where it is not installed."""
    from tests.either import oracle

    return oracle(pytest.importorskip("torch", reason="PyTorch is not installed"))


@pytest.fixture
def costly_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at labels on CuPy too, as ``MINIDL_DEBUG=1`` does; on NumPy that is always done."""
    for name, module in list(sys.modules.items()):
        if name.startswith("minidl") and hasattr(module, "DEBUG"):
            monkeypatch.setattr(module, "DEBUG", True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--standin"):
        from tests.standin.left_out import mark

        mark(items)
    if settings.get_current_profile_name() != "full":
        for item in items:
            if "full" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="scripts/test --full"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the run rested on, so that a green line is not read as more than it is."""
    folder = os.environ.get("MINIDL_DATA")
    try:
        oracle = f"torch {metadata.version('torch')}"
    except metadata.PackageNotFoundError:
        oracle = "skipped"
    terminalreporter.write_line(f"backend: {_backend()}")
    data = f"MINIDL_DATA={folder}" if folder else "skipped (MINIDL_DATA)"
    terminalreporter.write_line(f"data tests: {data}")
    terminalreporter.write_line(f"oracle: {oracle}")
    terminalreporter.write_line(f"hypothesis profile: {settings.get_current_profile_name()}")


def _backend() -> str:
    """What the array code ran on."""
    from minidl import backend
    from tests.standin import package

    if package.installed():
        return f"cupy stand-in (rung 2), no GPU; it follows CuPy {package.VERSION}"
    return f"{backend.name} {backend.xp.__version__}"
