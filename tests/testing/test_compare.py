"""compare_backends: agreement is seen, and a planted mistake is named by its layer and direction."""

import numpy as np
import pytest

import minidl
from minidl import backend
from minidl.testing import BackendDifference, compare_backends
from minidl.testing._replay import recorded
from tests.testing import nets

IMAGES = np.random.default_rng(0).normal(size=(4, 6, 6, 2))


@pytest.fixture(autouse=True)
def _nothing_planted():
    nets.planted.clear()
    yield
    nets.planted.clear()


@pytest.mark.parametrize(
    ("name", "dtype"), [("convolutional", "float32"), ("in_half", "float16"), ("in_double", "float64")]
)
def test_every_layer_agrees(name, dtype) -> None:
    report = compare_backends(f"tests.testing.nets:{name}", minidl.asarray(IMAGES, dtype), seed=3)
    assert report.backend == backend.name
    shown = [row[0] for row in report.rows]
    assert shown[:2] == ["0: Conv(2, 4, kernel_size=3, padding='same')", "1: BatchNorm(4)"]
    assert "3.layer.0: Scaled()" in shown
    assert shown[-1] == "Sequential"
    assert f"{backend.name} agrees with NumPy in float64 on {len(shown)} calls" in str(report)


@pytest.mark.parametrize(
    "layer", [minidl.Dropout(0.5).eval(), minidl.Dropout(0), minidl.BatchNorm(600).eval()]
)
def test_every_layer_is_recorded_once_with_the_whole_batch(layer) -> None:
    model = minidl.Sequential(minidl.Linear(600, 600), layer, minidl.ReLU())
    recording = recorded(model)
    model.forward(backend.xp.zeros((4096, 600), "float32"))
    assert [(call.path, len(call.x)) for call in recording.forward] == [
        (path, 4096) for path in ("0", "1", "2", "")
    ]


def test_layers_over_sequences_agree() -> None:
    indices = minidl.asarray(np.random.default_rng(0).integers(0, 7, (2, 5)))
    assert len(compare_backends("tests.testing.nets:recurrent", indices).rows) == 5


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_planted_mistake_is_named_by_layer_and_direction(direction) -> None:
    nets.planted.append(direction)
    with pytest.raises(BackendDifference, match=rf"^3\.layer\.0: Scaled\(\), {direction}: ") as caught:
        compare_backends("tests.testing.nets:convolutional", minidl.asarray(IMAGES, "float32"))
    assert (caught.value.layer, caught.value.direction) == ("3.layer.0", direction)
    assert "differs from NumPy's in float64 by 1.0e-04, more than 2e-05" in str(caught.value)


def test_what_is_no_factory_is_refused() -> None:
    x = minidl.asarray(IMAGES, "float32")
    for factory in ("minidl.ReLU", "minidl:", ":relu"):
        with pytest.raises(ValueError, match='expected a factory as "module:function", got'):
            compare_backends(factory, x)
    with pytest.raises(TypeError, match=r"expected a layer from tests\.testing\.nets:no_layer, got int"):
        compare_backends("tests.testing.nets:no_layer", x)
    with pytest.raises(TypeError, match="compare_backends: expected a batch, got list"):
        compare_backends("minidl:ReLU", IMAGES.tolist())


def test_the_other_process_says_why_it_failed() -> None:
    nets.planted.append("alone")
    with pytest.raises(RuntimeError, match=r"process on NumPy failed:(.|\n)*only the other process comes"):
        compare_backends("tests.testing.nets:failing", minidl.asarray(IMAGES, "float32"))
