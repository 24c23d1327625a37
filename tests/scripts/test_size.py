"""The size budget counts code: no docstring, no comment, no blank line."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "size.py"
SOURCE = '''"""A module.

Of two paragraphs.
"""

import math  # counted


class Box:
    """A class."""

    def area(self):  # counted
        """Return
        the area.
        """
        # a comment

        text = """of two
        lines"""
        return text
'''


def test_docstrings_comments_and_blank_lines_do_not_count() -> None:
    size = runpy.run_path(str(SCRIPT))
    assert sorted(size["code_lines"](SOURCE)) == [6, 9, 12, 18, 19, 20]
    assert size["function_sizes"](SOURCE) == [("area", 12, 4)]


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), str(folder)], capture_output=True, text=True)


@pytest.mark.parametrize(("lines", "status"), [(250, 0), (251, 1)])
def test_a_file_over_the_limit_is_an_offence(tmp_path: Path, lines: int, status: int) -> None:
    (tmp_path / "long.py").write_text("x = 1\n\n" * lines)
    result = run(tmp_path)
    assert result.returncode == status
    assert (f"long.py: {lines} lines of code, limit 250" in result.stdout) == bool(status)
    assert result.stdout.endswith(f"{lines} lines of code in 1 files\n")


@pytest.mark.parametrize(("lines", "status"), [(40, 0), (41, 1)])
def test_a_function_over_the_limit_is_an_offence(tmp_path: Path, lines: int, status: int) -> None:
    (tmp_path / "long.py").write_text("x = 1\ndef f():\n    # why\n" + "    x = 1\n" * (lines - 1))
    result = run(tmp_path)
    assert result.returncode == status
    assert (f"long.py:2: f has {lines} lines of code, limit 40" in result.stdout) == bool(status)
