"""Freed memory is kept: asked of glibc once, and never against a user's own settings."""

import ctypes
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from minidl import memory


class Glibc:
    """What stands in for the C library, and remembers what it was asked."""

    def __init__(self, answer: int = 1) -> None:
        self.asked: list[tuple[int, int]] = []
        self.answer = answer

    def mallopt(self, setting: int, value: int) -> int:
        self.asked.append((setting, value))
        return self.answer


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Glibc:
    """A C library on a Linux where the user has set nothing."""
    found = Glibc()
    for name in list(os.environ):
        if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES":
            monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: found)
    return found


keep_freed = memory.keep_freed.__wrapped__


def test_both_thresholds_are_raised(library: Glibc) -> None:
    assert keep_freed() is True
    assert library.asked == [(-1, 256 << 20), (-3, 32 << 20)]  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD


def test_a_refusal_is_reported(library: Glibc) -> None:
    library.answer = 0
    assert keep_freed() is False


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_a_users_own_settings_stay(library: Glibc, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    assert keep_freed() is False
    assert library.asked == []


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_are_left_alone(library: Glibc, monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert keep_freed() is False
    assert library.asked == []


def test_a_c_library_without_the_setting_is_left_alone(
    library: Glibc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    assert keep_freed() is False


PROGRAM = """
import resource
import numpy as np
from minidl import memory

def faults(n=200):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(n):
        np.ones(1 << 20)  # 8 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

assert memory.keep_freed()
assert memory.keep_freed()
faults(1)
assert faults() < 20_000, "pages are given anew"  # of 400,000
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="settings of glibc")
def test_arrays_of_one_size_find_the_pages_of_those_before() -> None:
    if not hasattr(ctypes.CDLL(None), "mallopt") or "glibc" not in "".join(os.confstr("CS_GNU_LIBC_VERSION")):
        pytest.skip("another C library")
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_") and k != "GLIBC_TUNABLES"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
