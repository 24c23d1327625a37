"""A checkpoint is kept whole, found again, and loaded all or nothing."""

import errno
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import minidl
from minidl import backend
from minidl.data import DataLoader
from minidl.optim import EMA, Adam
from minidl.optim.schedules import Plateau
from minidl.training import Checkpoints
from tests.either import np


class Noted:
    """A part of one's own: a list of words and an array."""

    def __init__(self, *words: str) -> None:
        self.words = list(words)
        self.array = np.arange(len(words))

    def state(self) -> dict:
        return {"words": self.words, "array": self.array, "nothing": None}

    def load_state(self, state) -> None:
        if state.keys() != {"words", "array", "nothing"}:
            raise ValueError("not a state of Noted")
        self.words, self.array = state["words"], state["array"]


class Picky(Noted):
    """A part that loads nothing."""

    def load_state(self, state) -> None:
        raise ValueError("Picky: expected something else")


def parts_of(seed: int) -> dict:
    model = minidl.Sequential(
        minidl.Linear(3, 4, seed=seed),
        minidl.BatchNorm(4),
        minidl.Dropout(0.5, seed=seed),
        minidl.Linear(4, 2),
    )
    plateau = Plateau(0.1)
    return {
        "model": model,
        "optimizer": Adam(model.parameters(), lr=plateau),
        "ema": EMA(model.parameters()),
        "loader": DataLoader(np.arange(10), 2, shuffle=True, seed=seed),
        "plateau": plateau,
        "rng": np.random.default_rng(seed),
        "notes": Noted(*"abc"[:seed]),
    }


def used(seed: int) -> dict:
    """Parts after a step, with something in every one of them."""
    parts = parts_of(seed)
    parts["model"].forward(np.ones((5, 3), np.float32))
    parts["model"].backward(np.ones((5, 2), np.float32))
    parts["optimizer"].step()
    parts["ema"].update()
    parts["plateau"].report(0.5)
    next(iter(parts["loader"]))
    parts["rng"].random(3)
    return parts


def states_of(parts: dict) -> dict:
    return {
        name: backend.generator_state(part) if name == "rng" else dict(part.state())
        for name, part in parts.items()
    }


def assert_same_states(actual: dict, expected: dict) -> None:
    assert actual.keys() == expected.keys()
    for part, state in expected.items():
        assert actual[part].keys() == state.keys()
        for name, value in state.items():
            np.testing.assert_array_equal(actual[part][name], value, err_msg=f"{part}.{name}")
            assert np.asarray(actual[part][name]).dtype == np.asarray(value).dtype


def names(checkpoints: Checkpoints) -> list[str]:
    return [path.name for path in checkpoints.paths()]


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def saved(folder: Path, *steps: int, **options) -> Checkpoints:
    checkpoints = Checkpoints(folder, **options)
    for step in steps:
        checkpoints.save(step, notes=Noted(*map(str, range(step))))
    return checkpoints


def test_every_part_comes_back_as_it_was(tmp_path) -> None:
    parts, fresh = used(1), parts_of(2)
    Checkpoints(tmp_path).save(7, **parts)
    assert Checkpoints(tmp_path).restore(**fresh) == 7
    assert_same_states(states_of(fresh), states_of(parts))


def test_the_default_stream_goes_on_where_it_was(tmp_path) -> None:
    minidl.seed(5)
    checkpoints = saved(tmp_path, 1)
    expected = backend.generator().random(4)
    minidl.seed(6)
    checkpoints.restore(notes=Noted())
    np.testing.assert_array_equal(backend.generator().random(4), expected)


def test_a_checkpoint_is_one_safetensors_file_with_versions_and_checksums(tmp_path) -> None:
    path = Checkpoints(tmp_path / "run").save(12, **used(1), metric=0.5)
    assert os.listdir(tmp_path / "run") == [path.name] == ["checkpoint-000001-step-12.safetensors"]
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    manifest = json.loads(header["__metadata__"]["minidl"])
    assert manifest["format"] == 1
    assert manifest["minidl"] == minidl.__version__
    assert manifest["numpy"] == np.__version__
    assert {"model.0.weight", "optimizer.0.mean", "ema.0", "notes.array"} < manifest["sha256"].keys()
    assert manifest["extra"]["step"] == 12
    assert manifest["extra"]["metric"] == 0.5
    assert manifest["extra"]["parts"]["loader"] == {"seed": 1, "epoch": 0, "position": 1}


def test_the_last_ones_and_the_best_are_kept(tmp_path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step, metric in enumerate((0.5, 0.2, 0.4, float("nan"), 0.3)):
        checkpoints.save(step, metric=metric)
    assert [name.split("-step-")[1] for name in names(checkpoints)] == [
        f"{step}.safetensors" for step in (1, 3, 4)
    ]
    assert Checkpoints(tmp_path).best() == checkpoints.paths()[0]
    assert Checkpoints(tmp_path).restore(checkpoints.best()) == 1


def test_the_best_may_be_the_largest(tmp_path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1, best="max")
    for step, accuracy in enumerate((0.1, 0.9, 0.5, 0.8)):
        checkpoints.save(step, metric=accuracy)
    assert checkpoints.restore(checkpoints.best()) == 1
    assert len(checkpoints.paths()) == 2


def test_keep_none_keeps_all_and_no_metric_has_no_best(tmp_path) -> None:
    checkpoints = saved(tmp_path, *range(6), keep=None)
    assert len(checkpoints.paths()) == 6
    assert checkpoints.best() is None


def test_without_any_checkpoint_nothing_is_restored(tmp_path) -> None:
    checkpoints = Checkpoints(tmp_path / "later")
    assert checkpoints.latest() is checkpoints.best() is checkpoints.restore(notes=Noted()) is None
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_one_is_passed_over_with_a_warning(tmp_path) -> None:
    checkpoints = saved(tmp_path, 1, 2, 3)
    first, second, third = checkpoints.paths()
    damage(third)
    second.write_bytes(second.read_bytes()[:100])
    notes = Noted()
    with pytest.warns(UserWarning, match="passed over a damaged file") as caught:
        assert checkpoints.restore(notes=notes) == 1
    assert [w.filename for w in caught] == [__file__, __file__]
    assert notes.words == ["0"]
    assert "-step-3.safetensors: expected an intact safetensors file" in str(caught[0].message)
    with pytest.warns(UserWarning, match="passed over a damaged file"):
        assert checkpoints.latest() == first


def test_after_a_damaged_one_the_next_is_saved_and_found(tmp_path) -> None:
    checkpoints = saved(tmp_path, 1, 2)
    damage(checkpoints.paths()[-1])
    checkpoints = saved(tmp_path, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert checkpoints.restore(notes=Noted()) == 2


def test_the_latest_is_the_one_written_last_even_of_an_earlier_step(tmp_path) -> None:
    checkpoints = saved(tmp_path, 100, 200, 300, 150, keep=1)
    assert checkpoints.restore(notes=Noted()) == 150
    assert names(checkpoints) == ["checkpoint-000004-step-150.safetensors"]


def test_where_all_are_damaged_it_is_an_error_not_a_new_beginning(tmp_path) -> None:
    checkpoints = saved(tmp_path, 1, 2)
    for path in checkpoints.paths():
        damage(path)
    with (
        pytest.warns(UserWarning, match="passed over"),
        pytest.raises(ValueError, match="expected an intact checkpoint, got 2 damaged"),
    ):
        checkpoints.restore(notes=Noted())


def test_a_damaged_best_is_passed_over(tmp_path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step, metric in enumerate((0.3, 0.1, 0.2)):
        checkpoints.save(step, metric=metric, notes=Noted("a"))
    damage(checkpoints.paths()[1])
    with pytest.warns(UserWarning, match="passed over"):
        assert checkpoints.best() == checkpoints.paths()[2]
    checkpoints.paths()[1].write_bytes(b"")
    assert checkpoints.best() == checkpoints.paths()[2]


def test_a_named_checkpoint_is_restored_or_refused(tmp_path) -> None:
    checkpoints = saved(tmp_path, 1, 2)
    path = checkpoints.paths()[0]
    assert checkpoints.restore(path, notes=Noted()) == 1
    damage(path)
    with pytest.raises(ValueError, match=r"the content of 'notes\.array' is not what was written"):
        checkpoints.restore(path, notes=Noted())
    with pytest.raises(FileNotFoundError):
        checkpoints.restore(tmp_path / "none", notes=Noted())


def test_a_file_of_weights_is_no_checkpoint(tmp_path) -> None:
    minidl.save_weights(minidl.Linear(2, 2), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"w\.safetensors: expected a checkpoint, got a file of weights"):
        Checkpoints(tmp_path).restore(tmp_path / "w.safetensors")


@pytest.mark.parametrize("given", [["model"], ["model", "optimizer", "extra"]])
def test_other_parts_than_were_saved_are_refused(tmp_path, given) -> None:
    parts = used(1)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, model=parts["model"], optimizer=parts["optimizer"])
    fresh = {name: used(2).get(name, Noted()) for name in given}
    before = states_of(fresh)
    with pytest.raises(
        ValueError,
        match=r"expected a checkpoint of .*model.*, got one of model, optimizer; name the same",
    ):
        checkpoints.restore(**fresh)
    assert_same_states(states_of(fresh), before)


def test_without_strict_some_parts_are_loaded_and_the_stream_is_left_alone(tmp_path) -> None:
    parts, fresh = used(1), parts_of(2)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, **parts)
    minidl.seed(3)
    before = backend.generator_state()
    assert checkpoints.restore(strict=False, model=fresh["model"]) == 1
    assert_same_states({"model": fresh["model"].state()}, {"model": parts["model"].state()})
    assert backend.generator_state() == before
    with pytest.raises(ValueError, match="expected a checkpoint of other, got one of"):
        checkpoints.restore(strict=False, other=Noted())


@pytest.mark.parametrize("words", [1, 5000])  # the smallest part and the largest, which comes last
def test_where_one_part_refuses_all_others_and_the_stream_are_as_before(tmp_path, words) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, **used(1) | {"notes": Noted(*["a"] * words)})
    minidl.seed(3)
    fresh = used(2) | {"notes": Picky("x")}
    fresh["plateau"].report(0.1)  # its state is in the optimizer's too
    before, stream = states_of(fresh), backend.generator_state()
    with pytest.raises(ValueError, match="Picky: expected something else") as info:
        checkpoints.restore(**fresh)
    assert "nothing was loaded" in info.value.__notes__[-1]
    assert_same_states(states_of(fresh), before)
    assert backend.generator_state() == stream


def test_another_model_is_refused_with_the_list_of_what_does_not_fit(tmp_path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, model=minidl.Linear(2, 3))
    with pytest.raises(ValueError, match=r"shape of weight: expected \(3, 2\), got \(2, 3\)") as info:
        checkpoints.restore(model=minidl.Linear(3, 2))
    assert "checkpoint-000001-step-1.safetensors" in info.value.__notes__[-1]


def test_what_cannot_be_kept_is_named_and_nothing_is_written(tmp_path) -> None:
    checkpoints = Checkpoints(tmp_path / "run")
    with pytest.raises(TypeError, match=r"Checkpoints: expected loss with state\(\) and load_state\(state\)"):
        checkpoints.save(1, loss=3.0)
    with pytest.raises(TypeError, match="not JSON serializable") as info:
        checkpoints.save(1, notes=Noted(object()))
    assert "in the state of notes" in info.value.__notes__[0]
    with pytest.raises(ValueError, match=r"expected a Python name for each part, got 'a\.b'"):
        checkpoints.save(1, **{"a.b": Noted()})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", [-1, 1.0, "1", True])
def test_a_step_is_a_count(tmp_path, step) -> None:
    with pytest.raises(ValueError, match="Checkpoints: expected step as an int of at least 0"):
        Checkpoints(tmp_path).save(step)


@pytest.mark.parametrize("state", [None, [1]])
def test_a_state_is_a_dict(tmp_path, state) -> None:
    class Part:
        def state(self):
            return state

        def load_state(self, state):
            pass

    with pytest.raises(TypeError, match=r"expected mine\.state\(\) to return a dict, got (NoneType|list)"):
        Checkpoints(tmp_path).save(1, mine=Part())


def test_options_are_checked(tmp_path) -> None:
    with pytest.raises(ValueError, match="expected keep as an int of at least 1, or None, got 0"):
        Checkpoints(tmp_path, keep=0)
    with pytest.raises(ValueError, match="expected best as 'min' or 'max', got 'smallest'"):
        Checkpoints(tmp_path, best="smallest")


def test_other_files_in_the_folder_are_left_alone_and_half_written_ones_removed(tmp_path) -> None:
    stray = [".checkpoint-000001-step-1.safetensors.0f.tmp", "checkpoint-1.safetensors", "notes.txt"]
    for name in stray:
        (tmp_path / name).write_bytes(b"?")
    checkpoints = saved(tmp_path, 1, 2, keep=1)
    assert sorted(os.listdir(tmp_path)) == sorted([*stray[1:], *names(checkpoints)])


def test_a_file_that_cannot_be_removed_is_a_warning(tmp_path, monkeypatch) -> None:
    checkpoints = saved(tmp_path, 1, keep=1)

    def busy(self, missing_ok=False) -> None:
        raise PermissionError(errno.EACCES, "in use")

    monkeypatch.setattr(Path, "unlink", busy)
    with pytest.warns(UserWarning, match=r"step-1\.safetensors could not be removed \(in use\)") as caught:
        checkpoints.save(2)
    assert caught[0].filename == __file__
    monkeypatch.undo()
    assert len(checkpoints.paths()) == 2


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_after_a_full_disk_the_old_one_is_intact_and_training_goes_on(tmp_path, monkeypatch, call) -> None:
    parts = used(1)
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(1, **parts)
    before, content = states_of(parts), checkpoints.paths()[0].read_bytes()

    def full(*arguments) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(
        OSError, match=r"checkpoint of step 2 was not written \(No space left on device\); earlier ones are"
    ) as info:
        checkpoints.save(2, **parts)
    assert info.value.errno == errno.ENOSPC
    assert info.value.filename.endswith("-step-2.safetensors")
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["checkpoint-000001-step-1.safetensors"]
    assert checkpoints.paths()[0].read_bytes() == content
    assert_same_states(states_of(parts), before)
    checkpoints.save(3, **parts)
    assert checkpoints.restore(**parts) == 3


LIMITED = """
import resource, sys
from pathlib import Path
import minidl
from minidl.training import Checkpoints

model = minidl.Linear(100, 100)
checkpoints = Checkpoints(sys.argv[1], keep=1)
checkpoints.save(1, model=model)
content = checkpoints.paths()[0].read_bytes()
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
try:
    checkpoints.save(2, model=model)
except OSError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
assert [path.read_bytes() for path in Path(sys.argv[1]).iterdir()] == [content]
checkpoints.save(3, model=model)
print(checkpoints.restore(model=model))
"""

READ_ONLY = """
import os, sys
import minidl
from minidl.training import Checkpoints

model = minidl.Linear(100, 100)
checkpoints = Checkpoints(sys.argv[1], keep=1)
checkpoints.save(1, model=model)
os.chmod(sys.argv[1], 0o555)
if os.geteuid() == 0:
    os.seteuid(65534)  # root may write everywhere
try:
    checkpoints.save(2, model=model)
except PermissionError as error:
    print(error)
print(checkpoints.restore(model=model))
if os.getuid() == 0:
    os.seteuid(0)
os.chmod(sys.argv[1], 0o755)
checkpoints.save(3, model=model)
print(checkpoints.restore(model=model))
"""


def run(program: str, folder: Path) -> list[str]:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(folder)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_where_the_system_refuses_to_write_on_the_old_one_stays(tmp_path) -> None:
    error, step = run(LIMITED, tmp_path)
    assert "the checkpoint of step 2 was not written (File too large); earlier ones are intact" in error
    assert step == "3"


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no such mode")
def test_a_read_only_folder_is_an_error_and_the_old_one_stays(tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("read-only")
    outermost = tmp_path_factory.getbasetemp()  # of each worker, where there are several
    for private in (folder, outermost, outermost.parent, outermost.parent.parent):
        if private.name.startswith(("pytest-", "popen-", "read-only")):  # to be seen without being root
            private.chmod(0o711)
    error, *steps = run(READ_ONLY, folder)
    assert "the checkpoint of step 2 was not written (Permission denied); earlier ones are intact" in error
    assert steps == ["1", "3"]


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(OSError, match=r"checkpoint of step 1 was not written"):
        Checkpoints(tmp_path / "run").save(1)


@pytest.mark.parametrize("wing", ["training", "testing"])
def test_a_wing_is_imported_when_it_is_first_asked_for(wing) -> None:
    code = (
        f"import sys, minidl; assert 'minidl.{wing}' not in sys.modules; "
        f"assert minidl.{wing} is sys.modules['minidl.{wing}']"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_other_names_are_still_unknown() -> None:
    with pytest.raises(AttributeError, match="module 'minidl' has no attribute 'trainig'"):
        minidl.trainig  # noqa: B018
