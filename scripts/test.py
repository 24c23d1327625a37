"""Make .venv, install the project, and run every check: lint, format, types, size budget, tests, coverage.

Any other argument goes to pytest, and then pytest alone runs: scripts/test tests/ops -k conv
"""

import argparse
import os
import subprocess
import sys

import _venv

CHECKS = {
    "ruff check": ["-m", "ruff", "check"],
    "ruff format --check": ["-m", "ruff", "format", "--check"],
    "mypy": ["-m", "mypy"],
    "size budget": ["scripts/size.py"],
}


def main() -> int:
    """Run what the command line asks for; the last line printed is pytest's own summary."""
    parser = argparse.ArgumentParser(
        prog="scripts/test",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--full", action="store_true", help="the large counts: more examples, the slow tests")
    parser.add_argument(
        "--all",
        action="store_true",
        help="install also PyTorch, ONNX Runtime, MPI, CuPy's wheel and the docs' tools, and test with them",
    )
    parser.add_argument(
        "--standin",
        action="store_true",
        help="pytest alone, on a stand-in for CuPy that needs no GPU and proves nothing about one",
    )
    options, selection = parser.parse_known_args()

    extras = ["check", "data", "onnx", "plots", "testing"] + ["oracles"] * options.all
    python = _venv.enter("scripts/test", extras)
    if options.full:
        os.environ["MINIDL_TEST_PROFILE"] = "full"
    if options.standin:
        return run(python, "-m", "pytest", "--standin", "--numprocesses=auto", *selection)
    if selection:
        return run(python, "-m", "pytest", *selection)
    failed = []
    for name, arguments in CHECKS.items():
        print(f"--- {name}", flush=True)
        if run(python, *arguments) != 0:
            failed.append(name)
    if failed:
        print(f"scripts/test: {', '.join(failed)} failed; the tests did not run")
        return 1
    print("--- pytest", flush=True)
    return run(python, "-m", "pytest", "--cov", "--numprocesses=auto")


def run(*command: str) -> int:
    """Run a command in the root of the project and return its exit status."""
    return subprocess.run(command, cwd=_venv.ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
