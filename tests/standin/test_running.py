"""How the suite runs on the stand-in: on request alone, and saying so; what is left out is there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minidl.backend import xp
from tests.either import Generator, np, on_host
from tests.standin import left_out, package

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> str:
    test = "tests/test_backend.py::test_checks_name_their_owner"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, test],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("MINIDL_")},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.skipif(package.installed(), reason="the run without the stand-in looks at both")
def test_it_runs_on_request_alone_and_says_so() -> None:
    assert "backend: cupy stand-in (rung 2), no GPU; it follows CuPy" in run("--standin")
    assert "backend: numpy" in run()


@pytest.mark.parametrize("start", left_out.REASONS)
def test_what_is_left_out_is_there(start) -> None:
    path, _, name = start.partition("::")
    assert (ROOT / path).exists()
    test = name.partition("[")[0].rpartition(".")[2]
    assert (
        not name
        or f"def {test}" in (ROOT / path).read_text(encoding="utf-8")
        or f"class {test}" in (ROOT / path).read_text(encoding="utf-8")
    )


def test_what_is_not_in_the_table_runs() -> None:
    assert left_out.reason_for("tests/ops/test_conv.py::test_equals_naive_loops") is None
    assert left_out.reason_for("tests/test_tiling.py::TestPlan::test_any") == left_out.CPU


def test_other_processes_have_no_stand_in() -> None:
    assert os.environ.get("MINIDL_BACKEND", "numpy") == "numpy" or not package.installed()


def test_numpy_for_tests_gives_arrays_of_the_backend() -> None:
    for array in (np.ones(2), np.arange(3) + 1, np.stack([np.ones(2)] * 2), np.linalg.svd(np.eye(2))[1]):
        assert type(array) is xp.ndarray
    assert type(np.moveaxis(np.ones((2, 3)), 0, 1)) is xp.ndarray
    assert np.ones((2, 3))[0, 0] == np.float64(1)
    x = np.zeros(3)
    np.add.at(x, np.array([0, 0, 2]), 1.0)
    assert x.tolist() == [2, 0, 1]
    np.testing.assert_allclose(x, [2, 0, 1])
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(x, [2, 0, 2])


def test_its_generator_draws_what_numpys_does() -> None:
    import numpy

    theirs = numpy.random.default_rng(3)
    ours = np.random.default_rng(3)
    assert isinstance(ours, numpy.random.Generator)
    assert isinstance(ours, Generator) == (np is not numpy)
    for name, arguments in {"normal": (0, 1, 3), "choice": ([1.0, -1.0], 4), "permutation": (5,)}.items():
        drawn = getattr(ours, name)(*arguments)
        assert type(drawn) is xp.ndarray
        assert on_host(drawn).tolist() == getattr(theirs, name)(*arguments).tolist()
    mixed, expected = np.arange(6), numpy.arange(6)
    ours.shuffle(mixed)
    theirs.shuffle(expected)
    assert mixed.tolist() == expected.tolist()
