"""Every example says what it takes, runs as it stands, and prints what its readers look for."""

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from minidl.files import read_tensors
from tests.either import np
from tests.examples import FOLDER, load

NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
EXTRAS = {
    "digits": ("sklearn", "matplotlib"),
    "digits_mpi": ("sklearn", "tqdm"),
    "resnet_digits": ("sklearn", "tqdm"),
    "cifar_resnet": ("matplotlib", "pooch"),
    "unet_denoise": ("sklearn", "matplotlib", "PIL"),
    "vae_digits": ("sklearn", "matplotlib"),
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


def is_a_picture(path: Path) -> bool:
    matplotlib = pytest.importorskip("matplotlib.image")
    picture = matplotlib.imread(path)
    return picture.shape[0] > 100 and picture.std() > 0.01


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


def write_text(folder: Path, characters: int = 2_000) -> Path:
    path = folder / "text.txt"
    path.write_text("To be, or not to be: that is the question. " * (characters // 43 + 1), encoding="utf-8")
    return path


def test_char_gpt_resumes_as_if_it_had_not_stopped(tmp_path):
    text = str(write_text(tmp_path))
    straight = lines_of(run("char_gpt", tmp_path, text, "--steps", "3", "--length", "20", "--out", "a"))
    assert re.fullmatch(r"step 3: validation loss \d\.\d{4} nats per character", straight[0])
    assert len("\n".join(straight[1:])) == 20
    again = lines_of(run("char_gpt", tmp_path, text, "--length=20", "--out=a", "--resume", "--steps=3"))
    assert again == straight[1:]
    assert len(list((tmp_path / "a").glob("*.safetensors"))) == 1


def test_char_gpt_goes_on_with_the_next_batch(tmp_path, monkeypatch):
    example = load("char_gpt")
    text = str(write_text(tmp_path))

    def weights(folder: str, *arguments: str) -> dict:
        command = ["char_gpt.py", text, "--length", "0", "--out", str(tmp_path / folder), *arguments]
        monkeypatch.setattr(sys, "argv", command)
        example.main()
        return read_tensors(max((tmp_path / folder).iterdir()))[0]

    # The schedule of the rate depends on the number of steps: the two runs share its warm-up.
    weights("parts", "--steps", "2")
    parts, whole = weights("parts", "--steps", "4", "--resume"), weights("whole", "--steps", "4")
    assert parts.keys() == whole.keys()
    for name in parts:
        np.testing.assert_array_equal(parts[name], whole[name])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.txt"], "expected a text file of 1280 characters or more"),
        (["tiny.txt"], "expected a text file of 1280 characters or more"),
        (["text.txt", "--out", "held"], "--resume"),
    ],
)
def test_char_gpt_refuses_in_one_sentence(tmp_path, monkeypatch, capsys, arguments, said):
    write_text(tmp_path)
    (tmp_path / "tiny.txt").write_text("To be")
    (tmp_path / "held").mkdir()
    (tmp_path / "held/checkpoint-000001-step-1.safetensors").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["char_gpt.py", *arguments])
    with pytest.raises(SystemExit) as caught:
        load("char_gpt").main()
    assert caught.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_vae_digits_draws_its_map(tmp_path):
    lines = lines_of(run("vae_digits", tmp_path, "--steps", "3", "--out", "a/b"))
    assert re.fullmatch(r"3 steps; an unseen image takes \d\d\.\d\d nats .* two numbers", lines[-1])
    assert is_a_picture(tmp_path / "a/b/vae_digits.png")


def test_unet_denoise_draws_before_and_after(tmp_path):
    lines = lines_of(run("unet_denoise", tmp_path, "--steps", "1", "--out", "a/b"))
    assert re.search(r"1 steps; .*: \d\d\.\d\d dB before, \d\d\.\d\d dB after", lines[-1])
    assert is_a_picture(tmp_path / "a/b/unet_denoise.png")


def place_cifar(folder: Path, count: int = 8) -> None:
    """Write images of noise in the format of CIFAR-10."""
    rng = np.random.default_rng(0)
    for name in ("data_batch_1", "data_batch_2", "test_batch"):
        rows = rng.integers(0, 256, (count, 1 + 3 * 32 * 32), dtype=np.uint8)
        rows[:, 0] %= 10
        (folder / f"{name}.bin").write_bytes(rows.tobytes())


def test_cifar_resnet_reads_its_images_from_a_folder(tmp_path):
    place_cifar(tmp_path)
    lines = lines_of(run("cifar_resnet", tmp_path, "--steps", "2", "--folder", ".", "--out", "a"))
    assert re.match(r"2 steps, test accuracy \d+\.\d\d%; wrote ", lines[-1])
    assert is_a_picture(tmp_path / "a/cifar_resnet.png")


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_cifar_resnet_says_how_to_go_on_without_its_images(tmp_path, damage):
    if damage == "short":
        place_cifar(tmp_path)
        (tmp_path / "data_batch_2.bin").write_bytes(b"short")
    done = run("cifar_resnet", tmp_path, "--folder", ".")
    assert done.returncode == 1
    assert re.fullmatch(r"cifar_resnet: no data_batch\*\.bin .* --folder", done.stderr.strip())


def test_cifar_resnet_offline_says_how_to_go_on(tmp_path, monkeypatch):
    pooch = pytest.importorskip("pooch")

    def unreachable(*_, **__):
        raise ConnectionError

    monkeypatch.setattr(pooch, "retrieve", unreachable)
    with pytest.raises(SystemExit, match=r"^cifar_resnet: no download .* name its folder by --folder$"):
        load("cifar_resnet").download()


def test_numpy_to_gpu_times_both_backends_or_says_that_there_is_no_gpu(tmp_path):
    lines = lines_of(run("numpy_to_gpu", tmp_path, "--steps", "2", "--batch", "2"))
    assert re.fullmatch(r"numpy: \d+\.\d ms a step, loss \d\.\d{4} to \d\.\d{4}", lines[0])
    assert re.match(r"cupy: (no GPU here, or no CuPy; |\d+\.\d ms a step)", lines[1])


def test_each_example_has_a_test():
    source = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in NAMES if f'run("{name}"' not in source] == []
