"""The project's own environment, ``.venv``: made by the first run, repaired by the next if it was cut short.

A state file inside says whether the environment is complete and what it was made for, so that a second run
starts at once. The syntax is that of Python 3.7: an older Python than minidl needs gets a sentence.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)
NO_NETWORK = ("connection", "name resolution", "network is unreachable", "proxy", "timed out")


class SetupError(Exception):
    """One sentence for the user: what is missing, and what brings it."""


def enter(command: str, extras: list[str]) -> str:
    """Return the interpreter of a complete ``.venv``, or leave the program with one sentence.

    Args:
        command: what the user typed, as the sentence names it.
        extras: the optional dependencies of pyproject.toml that the command needs.
    """
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        return str(prepare(ROOT, extras))
    except SetupError as error:
        sys.exit(f"{command}: {error}, then run {command} again")
    except KeyboardInterrupt:
        print(f"\n{command}: interrupted; run {command} again to start over", file=sys.stderr)
        sys.exit(130)


def prepare(root: Path, extras: list[str]) -> Path:
    """Return the interpreter of ``root/.venv``, making or completing the environment where needed."""
    _check_python()
    folder = root / ".venv"
    before = _read_state(folder)
    wanted = {
        "complete": True,
        "extras": sorted({*extras, *before.get("extras", [])}),
        "made for": _fingerprint(root),
    }
    usable = before.get("complete", False) and _starts(_interpreter(folder))
    if usable and before == wanted:
        return _interpreter(folder)
    try:
        if usable:
            _write_state(folder, {**before, "complete": False})
        else:
            _make(folder)
        _install(root, wanted["extras"])
    except SetupError:
        # pip downloads everything before it changes anything: what worked before still works.
        if usable:
            _write_state(folder, before)
        else:
            _remove(folder)
        raise
    except BaseException:
        _remove(folder)
        raise
    _write_state(folder, wanted)
    return _interpreter(folder)


def _check_python() -> None:
    if sys.version_info < OLDEST_PYTHON:
        have, need = (".".join(map(str, version[:2])) for version in (sys.version_info, OLDEST_PYTHON))
        raise SetupError(f"this is Python {have} and minidl needs {need}; install Python {need} or newer")
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise SetupError(
            "this Python cannot make virtual environments, its ensurepip is missing; "
            "install it (on Debian and Ubuntu: sudo apt install python3-venv)"
        )


def _interpreter(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _starts(python: Path) -> bool:
    """Whether an interpreter runs, and is of the version of this one."""
    try:
        reply = subprocess.run([str(python), "-c", "import sys; print(sys.version)"], stdout=subprocess.PIPE)
    except OSError:
        return False
    return reply.returncode == 0 and reply.stdout.decode().split()[0] == sys.version.split()[0]


def _fingerprint(root: Path) -> str:
    """What an environment depends on: the declared packages, and the folder that it points to."""
    import tomllib  # new in Python 3.11

    declared = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    packages = [declared["project"], declared.get("build-system"), str(root)]
    return hashlib.sha256(json.dumps(packages).encode()).hexdigest()


def _state_file(folder: Path) -> Path:
    return folder / "minidl-state.json"


def _read_state(folder: Path) -> dict:
    """Return what is known of a folder; refuse one that somebody else has made."""
    if _state_file(folder).exists():
        try:
            return json.loads(_state_file(folder).read_text(encoding="utf-8"))
        except ValueError:
            return {"complete": False}
    if folder.exists() and any(folder.iterdir()):
        raise SetupError(f"{folder} is not an environment that this script has made; rename or remove it")
    return {}


def _write_state(folder: Path, state: dict) -> None:
    _state_file(folder).write_text(json.dumps(state), encoding="utf-8")


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _make(folder: Path) -> None:
    """Make an empty environment that is marked as incomplete from its first moment on."""
    print(f"making {folder.name}; this takes minutes the first time", flush=True)
    _remove(folder)
    try:
        folder.mkdir()
        _write_state(folder, {"complete": False})
    except OSError as error:
        raise SetupError(
            f"{folder} cannot be written ({error.strerror}); make its folder writable"
        ) from error
    base = getattr(sys, "_base_executable", None) or sys.executable
    _call([base, "-m", "venv", str(folder)], "venv")


def _install(root: Path, extras: list[str]) -> None:
    """Install the project, editable, with its extras."""
    print(f"installing minidl[{','.join(extras)}]", flush=True)
    python = str(_interpreter(root / ".venv"))
    project = f"{root}[{','.join(extras)}]"
    _call([python, "-m", "pip", "install", "--disable-pip-version-check", "--editable", project], "pip")


def _call(command: list[str], tool: str) -> None:
    """Run a command, showing on a terminal what it fetches; raise a sentence where it fails."""
    log = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            for raw in process.stdout or ():
                line = raw.decode(errors="replace").rstrip()
                log.append(line)
                if sys.stdout.isatty() and line.startswith(("Collecting", "Installing")):
                    print(f"\r{line[:78]:<78}", end="", flush=True)
        except BaseException:
            process.kill()
            raise
        finally:
            if sys.stdout.isatty():
                print(f"\r{'':<78}\r", end="", flush=True)
    if process.returncode == 0:
        return
    if any(sign in line.lower() for line in log for sign in NO_NETWORK):
        raise SetupError("the package index cannot be reached; connect to the network (or set PIP_INDEX_URL)")
    reasons = [line for line in log if "error" in line.lower()] or log or ["no reason given"]
    raise SetupError(f"{tool} failed ({reasons[-1].strip()}); mend that")
