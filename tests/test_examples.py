"""Every example says what it takes, runs as it stands, and prints what its readers look for."""

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.either import np
from tests.examples import FOLDER, load

NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
EXTRAS = {
    "digits": ("sklearn", "matplotlib"),
    "digits_mpi": ("sklearn", "tqdm"),
    "resnet_digits": ("sklearn", "tqdm"),
}
EACH = pytest.mark.parametrize("name", NAMES)


def run(name: str, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run an example in a folder of its own, where warnings are errors."""
    for module in EXTRAS.get(name, ()):
        pytest.importorskip(module)
    return subprocess.run(
        [sys.executable, "-W", "error", str(FOLDER / f"{name}.py"), *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(FOLDER.parent), os.environ.get("PYTHONPATH", "")]),
            "PYTHONIOENCODING": "cp1252",  # a console that knows few characters
            "MPLCONFIGDIR": str(folder),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def lines_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def place_mnist(folder: Path, count: int = 9_100) -> None:
    """Write images of noise in the format of MNIST."""
    rng = np.random.default_rng(0)
    for split in ("train", "t10k"):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, count, dtype=np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
            (folder / f"{split}-{kind}-ubyte").write_bytes(header + array.tobytes())


@EACH
def test_help_names_steps_and_seed(name, monkeypatch, capsys):
    for module in EXTRAS.get(name, ()):
        pytest.importorskip(module)
    example = load(name)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit) as caught:
        example.main()
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert "--steps" in said
    assert "--seed" in said
    assert " ".join(example.__doc__.split()[:3]) in said


def test_digits_ends_with_both_accuracies_and_leaves_a_curve_and_the_weights(tmp_path):
    lines = lines_of(run("digits", tmp_path, "--steps", "3", "--split", "2", "--out", "a/b"))
    match = re.fullmatch(r"test accuracy (\d+\.\d\d) % \(reloaded (\d+\.\d\d) %\)", lines[-1])
    assert match
    assert match[1] == match[2]
    matplotlib = pytest.importorskip("matplotlib.image")
    picture = matplotlib.imread(tmp_path / "a/b/digits.png")
    assert picture.shape[0] > 100
    assert picture.std() > 0.01
    assert (tmp_path / "a/b/digits.safetensors").stat().st_size > 4 * 9_000


def test_digits_mpi_runs_without_mpiexec_too(tmp_path):
    lines = lines_of(run("digits_mpi", tmp_path, "--steps", "3", "--out", "a/b"))
    assert lines[-2].startswith("1 x 3 steps, wrote ")
    assert re.fullmatch(r"test accuracy \d+\.\d\d %", lines[-1])
    assert (tmp_path / "a/b/digits_mpi.safetensors").stat().st_size > 4 * 9_000


@pytest.mark.parametrize("options", [(), ("--small",)], ids=["all", "small"])
def test_mnist_reads_its_images_from_a_folder(tmp_path, options):
    place_mnist(tmp_path)
    lines = lines_of(run("mnist", tmp_path, "--steps", "2", *options, MINIDL_DATA=str(tmp_path)))
    assert re.fullmatch(r"2 steps, last loss \d\.\d{4}", lines[-2])
    assert re.fullmatch(r"test accuracy \d+\.\d\d%", lines[-1])


def test_mnist_without_its_images_says_which_file_is_missing(tmp_path):
    done = run("mnist", tmp_path, "--steps", "1", MINIDL_DATA=str(tmp_path))
    assert done.returncode == 1
    assert re.search(r"FileNotFoundError: .*t10k-images-idx3-ubyte", done.stderr.splitlines()[-1])


def test_mnist_on_real_images(tmp_path, data_folder):
    lines = lines_of(run("mnist", tmp_path, "--small", "--steps", "60", MINIDL_DATA=str(data_folder)))
    assert float(lines[-1].removeprefix("test accuracy ").rstrip("%")) > 70


def test_resnet_digits_reports_its_accuracy(tmp_path):
    lines = lines_of(run("resnet_digits", tmp_path, "--steps", "2", "--seed", "1"))
    assert re.fullmatch(
        r"2 steps, last loss \d\.\d{4}, accuracy on the last 360 images \d+\.\d\d%", lines[-1]
    )


def test_softmax_by_hand_agrees_with_the_library(tmp_path):
    lines = lines_of(run("softmax_by_hand", tmp_path, "--steps", "2"))
    hand, library = (line.split("[")[1] for line in lines if line.startswith(("gradient", "the library's")))
    assert hand == library
    slopes = [line for line in lines if line.startswith("along a random direction")]
    assert len(slopes) == 2
    for line in slopes:
        difference, gradient = map(float, re.findall(r"[+-]\d\.\d{9}", line))
        assert difference == pytest.approx(gradient, abs=1e-8)
    assert float(lines[-1].split(": ")[1]) < 1e-12


def test_tensor_autograd_has_the_gradients_of_layers_and_trains(tmp_path):
    lines = lines_of(run("tensor_autograd", tmp_path, "--steps", "20"))
    by_tensors, by_layers = re.findall(r"\d\.\d{6}", lines[0])
    assert by_tensors == by_layers
    assert float(lines[1].split(": ")[1]) < 1e-6
    assert float(lines[2].split(": ")[1]) < float(by_tensors)


def test_custom_op_is_proved(tmp_path):
    said = "\n".join(lines_of(run("custom_op", tmp_path, "--steps", "1")))
    assert "snake: gradients are right" in said
    assert re.search(r"Snake\(\): all \d+ checks passed", said)


def test_each_example_has_a_test():
    source = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in NAMES if f'run("{name}"' not in source] == []
