"""The functions of an example, for the tests that measure what it reaches."""

import runpy
from pathlib import Path
from types import SimpleNamespace

FOLDER = Path(__file__).resolve().parent.parent / "examples"


def load(name: str) -> SimpleNamespace:
    """Return what the script defines, without running its ``main``."""
    return SimpleNamespace(**runpy.run_path(str(FOLDER / f"{name}.py"), run_name=name))
