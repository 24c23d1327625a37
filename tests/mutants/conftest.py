"""The table of mistakes and who noticed them, shown at the end of the run."""

import pytest

NOTICED: dict[str, list[str]] = {}


@pytest.fixture
def noticed() -> dict[str, list[str]]:
    return NOTICED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not NOTICED:
        return
    width = max(map(len, NOTICED))
    caught = sum(map(bool, NOTICED.values()))
    terminalreporter.section(f"planted mistakes: {caught} of {len(NOTICED)} noticed")
    for name, watchers in NOTICED.items():
        terminalreporter.write_line(f"{name:<{width}}  {', '.join(watchers) or 'NOBODY'}")
