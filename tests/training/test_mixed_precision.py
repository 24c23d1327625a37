"""Float16 in the layers, float32 in all that is kept: equal to the same by hand, and close to float32."""

import copy
import math

import pytest

import minidl
from minidl import optim
from minidl.backend import asarray, to_numpy, xp
from minidl.data import DataLoader, digits
from minidl.training import Checkpoints, micro_batches
from minidl.training.mixed_precision import LEAST, MOST, MixedPrecision
from tests.cases import LAYERS
from tests.either import np
from tests.training.resuming import OPTIMIZERS

WITH_PARAMETERS = [case for case in LAYERS if case.make().parameters()]

RNG = np.random.default_rng(0)
X = RNG.standard_normal((8, 6)).astype("float32")
LABELS = RNG.integers(4, size=8)


def network() -> minidl.Sequential:
    return minidl.Sequential(
        minidl.Linear(6, 16, seed=0), minidl.BatchNorm(16), minidl.ReLU(), minidl.Linear(16, 4, seed=1)
    )


def step(mixed: MixedPrecision, x=X, labels=LABELS) -> bool:
    """The loop's body, and `zero_grad`."""
    criterion = minidl.CrossEntropy()
    criterion.forward(mixed.forward(asarray(x)), asarray(labels))
    mixed.backward(criterion.backward(), input_grad=False)
    done = mixed.step()
    mixed.model.zero_grad()
    return done


def overflow(mixed: MixedPrecision) -> None:
    """A backward pass whose gradients are too large for float16."""
    y = mixed.forward(asarray(X))
    mixed.backward(xp.full_like(y, 1e6), input_grad=False)


def everything(*parts) -> list[np.ndarray]:
    return [to_numpy(value) for part in parts for value in part.state().values()]


def assert_same(some, others) -> None:
    assert len(some) == len(others)
    for a, b in zip(some, others, strict=True):
        np.testing.assert_array_equal(a, b)


def by_hand(model, optimizer, steps: int, scale: float) -> None:
    """The same training over a second model in float16, whose weights are copied from the first."""
    half, criterion = copy.deepcopy(model).astype("float16"), minidl.CrossEntropy()
    for _ in range(steps):
        half.zero_grad()
        for p, q in zip(half.parameters(), model.parameters(), strict=True):
            p.data = q.data.astype("float16")
        criterion.forward(half.forward(X.astype("float16")).astype("float32"), LABELS)
        half.backward((criterion.backward() * np.float32(scale)).astype("float16"))
        for p, q in zip(half.parameters(), model.parameters(), strict=True):
            q.grad = p.grad.astype("float32") / np.float32(scale)
        optimizer.step()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_twenty_steps_are_to_the_bit_those_over_a_second_model_in_float16(name) -> None:
    model, other = network(), network()
    mixed = MixedPrecision(model, OPTIMIZERS[name](model.parameters()), scale=1024.0)
    assert [step(mixed) for _ in range(20)] == [True] * 20
    by_hand(other, OPTIMIZERS[name](other.parameters()), 20, 1024.0)
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_twenty_steps_end_within_two_hundredths_of_their_way_from_those_in_float32(name) -> None:
    def smooth() -> minidl.Sequential:
        return minidl.Sequential(minidl.Linear(6, 16, seed=0), minidl.Tanh(), minidl.Linear(16, 4, seed=1))

    start, model, other, criterion = smooth(), smooth(), smooth(), minidl.CrossEntropy()
    mixed = MixedPrecision(model, OPTIMIZERS[name](model.parameters()))
    optimizer = OPTIMIZERS[name](other.parameters())
    for _ in range(20):
        criterion.forward(other.forward(X), LABELS)
        other.backward(criterion.backward())
        optimizer.step()
        other.zero_grad()
        assert step(mixed)
    ends = [np.concatenate([p.data.ravel() for p in m.parameters()]) for m in (start, model, other)]
    way = np.linalg.norm(ends[2] - ends[0])
    assert way > 1e-3
    assert np.linalg.norm(ends[1] - ends[2]) < 0.02 * way
    np.testing.assert_allclose(mixed.predict(X), model.predict(X), atol=5e-3)


def test_gradients_are_close_to_float32_however_small() -> None:
    model, criterion = network(), minidl.CrossEntropy()
    mixed = MixedPrecision(model, optim.SGD(model.parameters(), 0.1))
    grads = []
    for run in (model, mixed):
        criterion.forward(run.forward(X), LABELS)
        dx = run.backward(criterion.backward(asarray(np.float32(1e-6))))
        grads.append([dx, *(p.grad.copy() for p in model.parameters())])
        model.zero_grad()
    for exact, got in zip(*grads, strict=True):
        assert got.dtype == np.float32
        scale = abs(grads[0][1]).max()  # the bias before BatchNorm has rounding alone
        np.testing.assert_allclose(got, exact, rtol=5e-3, atol=5e-3 * scale)


def test_output_weights_and_statistics_are_float32() -> None:
    model = network()
    mixed = MixedPrecision(model, optim.Adam(model.parameters()))
    assert mixed.forward(X).dtype == mixed.predict(X).dtype == np.float32
    assert {a.dtype for a in model.state().values()} == {np.dtype("float32")}
    before = model.predict(X)
    np.testing.assert_allclose(mixed.predict(X), before, atol=1e-2)
    assert (mixed.predict(X) != before).any()


def test_what_is_too_large_skips_the_step_halves_the_scale_and_keeps_all_else() -> None:
    model = network()
    optimizer = optim.Adam(model.parameters(), lr=optim.schedules.cosine(0.01, steps=50))
    mixed = MixedPrecision(model, optimizer, scale=1024.0)
    assert step(mixed)
    overflow(mixed)
    before = everything(model, optimizer)
    assert mixed.step() is False
    assert_same(everything(model, optimizer), before)
    assert optimizer.step_count == 1
    assert mixed.state() == {"scale": 512.0, "good_steps": 0, "skipped_steps": 1}
    model.zero_grad()
    assert step(mixed)
    assert optimizer.step_count == 2


def test_the_scale_finds_its_way_down() -> None:
    model, criterion = network(), minidl.CrossEntropy(reduction="sum")
    mixed = MixedPrecision(model, optim.SGD(model.parameters(), 0.001), scale=MOST)
    done = []
    for _ in range(40):
        criterion.forward(mixed.forward(X * 10), LABELS)
        mixed.backward(criterion.backward(), input_grad=False)
        done.append(mixed.step())
        model.zero_grad()
    assert not done[0]
    assert all(done[-20:])
    assert mixed.scale == MOST * 0.5 ** done.count(False)


def test_the_scale_doubles_after_so_many_good_steps_in_a_row() -> None:
    model = network()
    mixed = MixedPrecision(model, optim.SGD(model.parameters(), 0.01), scale=64.0, growth_interval=3)
    scales = [mixed.scale for _ in range(7) if step(mixed)]
    assert scales == [64.0, 64.0, 128.0, 128.0, 128.0, 256.0, 256.0]
    overflow(mixed)
    assert not mixed.step()
    model.zero_grad()
    assert [mixed.scale for _ in range(3) if step(mixed)] == [128.0, 128.0, 256.0]


def test_the_scale_grows_no_further_than_float16_can_gain_from() -> None:
    model = network()
    mixed = MixedPrecision(model, optim.SGD(model.parameters(), 0.01), scale=MOST, growth_interval=1)
    for p in model.parameters():
        p.grad = xp.zeros(p.shape, "float32")
    assert mixed.step()
    assert mixed.scale == MOST


def test_gradients_that_stay_infinite_are_an_error_in_the_end() -> None:
    model = network()
    mixed = MixedPrecision(model, optim.SGD(model.parameters(), 0.01), scale=2 * LEAST)
    model[0].weight.grad = xp.full((6, 16), math.inf, "float32")
    assert not mixed.step()
    with pytest.raises(FloatingPointError, match="expected finite gradients at some scale"):
        mixed.step()


@pytest.mark.parametrize("clip", [optim.clip_grad_value, optim.clip_grad_norm])
def test_clipping_sees_true_gradients_and_hides_no_overflow(clip) -> None:
    model, criterion = network(), minidl.CrossEntropy()
    mixed = MixedPrecision(model, optim.SGD(model.parameters(), 0.01))
    norms = []
    for run in (model, mixed):
        criterion.forward(run.forward(X), LABELS)
        run.backward(criterion.backward())
        norms.append(float(optim.clip_grad_norm(model.parameters(), 0.01)))
        model.zero_grad()
    assert norms[1] == pytest.approx(norms[0], rel=2e-3)
    overflow(mixed)
    clip(model.parameters(), 1.0)
    assert not mixed.step()


def test_micro_batches_add_up_to_the_batch_across_a_change_of_scale() -> None:
    grads = []
    for count in (1, 3):
        model, criterion = minidl.Sequential(minidl.Linear(6, 4, seed=0)), minidl.CrossEntropy()
        mixed = MixedPrecision(model, optim.SGD(model.parameters(), 0.01), scale=2.0**10)
        for (x, labels), share in micro_batches((X, LABELS), count):
            criterion.forward(mixed.forward(x), labels)
            mixed.backward(criterion.backward(share), input_grad=False)
            mixed.scale *= 4
        grads.append(model[0].weight.grad)
    np.testing.assert_allclose(grads[1], grads[0], atol=2e-4)
    overflow(mixed)
    criterion.forward(mixed.forward(X), LABELS)
    mixed.backward(criterion.backward(), input_grad=False)
    assert np.isnan(model[0].weight.grad).all()
    assert not mixed.step()


def test_an_average_of_weights_is_that_of_float32_weights() -> None:
    model = network()
    mixed, ema = MixedPrecision(model, optim.SGD(model.parameters(), 0.1)), optim.EMA(model.parameters(), 0.5)
    expected = model[0].weight.data.copy()
    for _ in range(3):
        step(mixed)
        ema.update()
        expected += 0.5 * (model[0].weight.data - expected)
    np.testing.assert_array_equal(ema.averages[0], expected)
    with ema.applied():
        half = mixed.predict(X)
        np.testing.assert_allclose(half, model.predict(X), atol=1e-2)
    assert (mixed.predict(X) != half).any()


def test_two_optimizers_step_together_or_not_at_all() -> None:
    model = network()
    matrices = [p for p in model.parameters() if p.data.ndim > 1]
    rest = [p for p in model.parameters() if p.data.ndim == 1]
    optimizers = optim.Muon(matrices, lr=0.02), optim.AdamW(rest, lr=0.01)
    mixed = MixedPrecision(model, *optimizers)
    assert step(mixed)
    rest[0].grad = xp.full(16, math.nan, "float32")
    before = everything(model, *optimizers)
    assert not mixed.step()
    assert_same(everything(model, *optimizers), before)


def test_frozen_parameters_are_computed_with_and_left_alone() -> None:
    model = network()
    model[0].freeze()
    mixed = MixedPrecision(model, optim.SGD(model[3].parameters(), 0.1))
    frozen, head = model[0].weight.data.copy(), model[3].weight.data.copy()
    assert step(mixed)
    np.testing.assert_array_equal(model[0].weight.data, frozen)
    assert (model[3].weight.data != head).any()


def test_a_run_goes_on_from_a_checkpoint_bit_for_bit(tmp_path) -> None:
    def parts() -> dict:
        model = network()
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        scaler = MixedPrecision(model, optimizer, scale=2.0**10, growth_interval=3)
        return {"model": model, "optimizer": optimizer, "scaler": scaler}

    first, second = parts(), parts()
    overflow(first["scaler"])
    first["scaler"].step()
    first["model"].zero_grad()
    for _ in range(5):
        step(first["scaler"])
    Checkpoints(tmp_path).save(5, **first)
    step(second["scaler"])
    assert Checkpoints(tmp_path).restore(**second) == 5
    assert second["scaler"].state() == {"scale": 1024.0, "good_steps": 2, "skipped_steps": 1}
    for run in (first, second):
        for _ in range(4):
            step(run["scaler"])
    assert first["scaler"].state() == second["scaler"].state()
    assert_same(
        everything(first["model"], first["optimizer"]), everything(second["model"], second["optimizer"])
    )


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "expected a state of scale, good_steps, skipped_steps, got "),
        ({"scale": 3.0, "good_steps": 0, "skipped_steps": 0}, "expected scale as a power of two"),
        ({"scale": 2.0, "good_steps": -1, "skipped_steps": 0}, "expected counts of at least 0"),
    ],
)
def test_a_foreign_state_is_refused_and_nothing_loaded(state, message) -> None:
    mixed = MixedPrecision(model := network(), optim.SGD(model.parameters(), 0.1))
    before = mixed.state()
    with pytest.raises(ValueError, match=message):
        mixed.load_state(state)
    assert mixed.state() == before


def test_an_error_in_the_model_leaves_the_weights_in_float32() -> None:
    mixed = MixedPrecision(model := network(), optimizer := optim.SGD(model.parameters(), 0.1))
    with pytest.raises(ValueError, match="6"):
        mixed.forward(X[:, :5])
    with pytest.raises(RuntimeError, match="backward without a forward"):
        mixed.backward(X)
    assert {p.dtype for p in model.parameters()} == {np.dtype("float32")}
    assert all(p.data.base is optimizer.flat[0][0] for p in model.parameters())


def test_bad_arguments_are_refused() -> None:
    model = network()
    optimizer = optim.SGD(model.parameters(), 0.1)
    with pytest.raises(TypeError, match="expected a layer, got SGD"):
        MixedPrecision(optimizer, model)
    with pytest.raises(TypeError, match="expected at least one optimizer after the model"):
        MixedPrecision(model)
    with pytest.raises(TypeError, match="expected optimizers, got list"):
        MixedPrecision(model, [optimizer])
    with pytest.raises(ValueError, match=r"expected scale as a power of two from .* got 1000"):
        MixedPrecision(model, optimizer, scale=1000)
    with pytest.raises(ValueError, match="growth_interval of at least 1, got 0"):
        MixedPrecision(model, optimizer, growth_interval=0)
    with pytest.raises(ValueError, match="expected parameters in float32, got float16"):
        MixedPrecision(network().astype("float16"), optimizer)


def test_several_inputs_and_outputs_and_a_mask_go_through() -> None:
    layer = minidl.LSTM(3, 4, seed=0)
    mixed = MixedPrecision(layer, optim.SGD(layer.parameters(), 0.1), scale=256.0)
    x, mask = RNG.standard_normal((2, 5, 3)).astype("float32"), np.arange(5) < np.array([[3], [5]])
    h, c, dh = (RNG.standard_normal((2, 1, 4)).astype("float32") for _ in range(3))
    dy = RNG.standard_normal((2, 5, 4)).astype("float32")
    found = []
    for run in (layer, mixed):
        layer.zero_grad()
        outputs = run.forward((x, h, c), mask)
        found.append([*outputs, *run.backward((dy, dh, None)), layer.parameters()[0].grad.copy()])
    for exact, got in zip(*found, strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, exact, atol=2e-2)


def test_gradients_of_parameters_that_are_no_optimizers_do_not_stop_it_for_ever() -> None:
    model = minidl.Sequential(minidl.Linear(3, 4, seed=0), minidl.Linear(4, 2, seed=1))
    head = optim.SGD(model[1].parameters(), 0.1)
    mixed = MixedPrecision(model, head, scale=2.0**24)  # too large: the first steps overflow
    taken = []
    for _ in range(20):
        mixed.forward(np.ones((2, 3), "float32"))
        mixed.backward(np.ones((2, 2), "float32"), input_grad=False)
        taken.append(mixed.step())
        head.zero_grad()
    assert not taken[0]
    assert all(taken[-5:])


def test_a_scale_that_is_no_number_is_refused() -> None:
    model = minidl.Linear(2, 2, seed=0)
    with pytest.raises(TypeError, match="MixedPrecision: expected scale as a number, got str"):
        MixedPrecision(model, optim.SGD(model.parameters(), 0.1), scale="large")


def test_digits_are_learnt_as_well_as_in_float32() -> None:
    images, labels = digits()
    found = []
    for mixing in (False, True):
        minidl.seed(0)
        model = minidl.Sequential(
            minidl.Conv(1, 16, 3, padding="same"),
            minidl.BatchNorm(16),
            minidl.ReLU(),
            minidl.MaxPool(2),
            minidl.Flatten(),
            minidl.Linear(256, 10),
        )
        optimizer, criterion = optim.AdamW(model.parameters(), lr=3e-3), minidl.CrossEntropy()
        mixed = MixedPrecision(model, optimizer)
        run, update = (mixed, mixed.step) if mixing else (model, optimizer.step)
        loader = DataLoader((images[:1400], labels[:1400]), 64, shuffle=True, seed=0)
        for _ in range(6):
            for x, y in loader:
                criterion.forward(run.forward(x), y)
                run.backward(criterion.backward(), input_grad=False)
                update()
                optimizer.zero_grad()
        found.append(float(minidl.accuracy(model.predict(asarray(images[1400:])), asarray(labels[1400:]))))
    assert found[0] > 0.9
    assert abs(found[1] - found[0]) <= 0.01


@pytest.mark.parametrize("case", WITH_PARAMETERS, ids=str)
def test_every_layer_gives_in_half_what_it_gives_in_single(case) -> None:
    layer, rng = case.make(), np.random.default_rng(1)
    shape = (4, *case.input_shape)
    whole = "inputs" in case.options
    x = rng.integers(2, size=shape) if whole else rng.uniform(-1.0, 1.0, shape).astype("float32")
    mixed = MixedPrecision(layer, optim.SGD(layer.parameters(), 0.1), scale=256.0)
    before, found = layer.state(), []
    for run in (layer, mixed):
        layer.load_state(before)
        layer.zero_grad()
        y = run.forward(x)
        run.backward(np.random.default_rng(2).standard_normal(y.shape).astype("float32"), not whole)
        found.append([y, *(p.grad.copy() for p in layer.parameters()), *layer.state().values()])
    for exact, got in zip(*found, strict=True):
        assert got.dtype == exact.dtype
        np.testing.assert_allclose(got, exact, rtol=0.02, atol=0.02 * max(1.0, abs(exact).max()))
