"""`fit` is the hand-written loop, to the bit, and ends, saves and goes on as it says."""

import copy
import math
import signal
import threading

import pytest

import minidl
from minidl import optim
from minidl.backend import asarray, to_numpy
from minidl.data import DataLoader
from minidl.optim import schedules
from minidl.training import Accuracy, Checkpoints, EarlyStopping, MixedPrecision, evaluate, fit, micro_batches
from tests.either import np
from tests.training.resuming import OPTIMIZERS

RNG = np.random.default_rng(0)
X = RNG.random((40, 6, 6, 1), dtype=np.float32)
LABELS = RNG.integers(3, size=40)
LOSS = minidl.CrossEntropy()


def network() -> minidl.Sequential:
    return minidl.Sequential(
        minidl.Conv(1, 4, kernel_size=3, seed=0),
        minidl.BatchNorm(4),
        minidl.ReLU(),
        minidl.Dropout(0.3, seed=1),
        minidl.Flatten(),
        minidl.Linear(64, 3, seed=2),
    )


def loader(n: int = 32, **options) -> DataLoader:
    return DataLoader((X[:n], LABELS[:n]), batch_size=8, **({"shuffle": True, "seed": 0} | options))


def validation() -> DataLoader:
    return DataLoader((X[32:], LABELS[32:]), batch_size=3)


def ends(*parts) -> list[np.ndarray]:
    return [to_numpy(value) for part in parts for value in part.state().values()]


def assert_same(some, others) -> None:
    assert len(some) == len(others)
    for a, b in zip(some, others, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_weights_are_those_of_the_loop_by_hand_to_the_bit(name) -> None:
    model, other = network(), network()
    optimizer = OPTIMIZERS[name](model.parameters())
    batches = loader()
    losses = []
    for _ in range(3):
        for x, labels in batches:
            losses.append(float(LOSS.forward(model.forward(x), labels)))
            model.backward(LOSS.backward(), input_grad=False)
            optimizer.step()
            optimizer.zero_grad()
            model.zero_grad()  # Muon has not all of them
    second = OPTIMIZERS[name](other.parameters())

    def clear(event) -> None:
        if event.kind == "step":
            event.model.zero_grad()

    history = fit(other, LOSS, second, loader(), epochs=3, callbacks=[clear], progress=False)
    assert_same(ends(model, optimizer), ends(other, second))
    assert history["loss"] == losses
    assert [row["loss"] for row in history.epochs] == pytest.approx(
        np.mean(np.reshape(losses, (3, 4)), axis=1).tolist()
    )


def test_with_parts_clipping_an_average_and_mixed_precision_too() -> None:
    model, other = network(), network()
    optimizer = optim.Adam(model.parameters(), 0.01)
    ema = optim.EMA(model.parameters(), 0.9)
    mixed = MixedPrecision(model, optimizer, growth_interval=3)
    batches = loader(29)
    for _ in range(2):
        for batch in batches:
            for (x, labels), share in micro_batches(batch, 3):
                LOSS.forward(mixed.forward(x), labels)
                mixed.backward(LOSS.backward(share), input_grad=False)
            optim.clip_grad_norm(model.parameters(), 0.5)
            mixed.step()
            optimizer.zero_grad()
            ema.update()
    second = optim.Adam(other.parameters(), 0.01)
    average, scaler = optim.EMA(other.parameters(), 0.9), MixedPrecision(other, second, growth_interval=3)

    def around(event) -> None:
        if event.kind == "gradients":
            optim.clip_grad_norm(event.model.parameters(), 0.5)
        if event.kind == "step":
            average.update()

    fit(
        other,
        LOSS,
        second,
        loader(29),
        epochs=2,
        callbacks=[around],
        micro_batches=3,
        mixed_precision=scaler,
        progress=False,
    )
    assert_same(ends(model, optimizer, ema), ends(other, second, average))
    assert scaler.state() == mixed.state()
    assert scaler.state() != {"scale": 2.0**16, "good_steps": 8, "skipped_steps": 0}


def test_the_loss_of_a_batch_in_parts_is_that_of_the_batch() -> None:
    for reduction in ("mean", "sum"):
        losses = []
        for parts in (1, 3):
            model = minidl.Sequential(minidl.Flatten(), minidl.Linear(36, 3, seed=0))
            criterion = minidl.CrossEntropy(reduction=reduction)
            optimizer = optim.SGD(model.parameters(), 0.01)
            history = fit(
                model, criterion, optimizer, loader(29), epochs=2, micro_batches=parts, progress=False
            )
            losses.append(history["loss"])
        np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)


def test_metrics_and_validation_are_those_of_the_hand_written_ones() -> None:
    model = network()
    rows = []

    def look(event) -> None:
        if event.kind == "epoch":
            rows.append(event.values)
            scores = evaluate(event.model, LOSS, validation(), {"accuracy": Accuracy()})
            assert scores == {"loss": event.values["val_loss"], "accuracy": event.values["val_accuracy"]}
            logits = model.predict(asarray(X[32:]))
            assert scores["accuracy"] == float(minidl.accuracy(logits, LABELS[32:]))
            assert scores["loss"] == pytest.approx(float(LOSS.forward(logits, LABELS[32:])), rel=1e-6)

    history = fit(
        model,
        LOSS,
        optim.Adam(model.parameters(), 0.01),
        loader(),
        validation(),
        epochs=3,
        metrics={"accuracy": Accuracy()},
        callbacks=[look],
        progress=False,
    )
    assert rows == history.epochs
    assert [row["step"] for row in rows] == [4, 8, 12]
    assert rows[0].keys() == {"epoch", "step", "loss", "accuracy", "val_loss", "val_accuracy"}
    assert len({row["accuracy"] for row in rows}) > 1


def test_validation_is_evaluation_and_each_layer_goes_back_to_its_own_mode() -> None:
    model = network()
    model[1].eval()
    seen = []

    class Spy(minidl.Layer):
        def vjp(self, x):
            seen.append((self.training, "forward"))
            return x, lambda dy, input_grad=True: (dy, [])

        def predict(self, x):
            seen.append((self.training, "predict"))
            return x

    model.layers.append(Spy())
    fit(model, LOSS, optim.SGD(model.parameters(), 0.1), loader(), validation(), progress=False)
    assert seen == [(True, "forward")] * 4 + [(False, "predict")] * 3
    assert [layer.training for layer in model] == [True, False, True, True, True, True, True]
    np.testing.assert_array_equal(model[1].running_mean.data, 0)
    with pytest.raises(TypeError, match="expected batches"):
        evaluate(model, LOSS, [X])
    assert model.training


def test_events_come_in_order_and_say_where_they_are() -> None:
    seen = []

    def note(event) -> None:
        seen.append((event.kind, event.epoch, event.step, event.reason))

    model = network()
    fit(
        model,
        LOSS,
        optim.SGD(model.parameters(), 0.1),
        loader(16),
        epochs=2,
        callbacks=[note],
        progress=False,
    )
    steps = [[("gradients", e, s, ""), ("step", e, s, "")] for e, s in ((1, 1), (1, 2), (2, 3), (2, 4))]
    assert seen == [
        *steps[0],
        *steps[1],
        ("epoch", 1, 2, ""),
        *steps[2],
        *steps[3],
        ("epoch", 2, 4, ""),
        ("end", 2, 4, "epochs"),
    ]


def reason_of(model, *arguments, callbacks=(), **options) -> tuple[str, list[float]]:
    reasons = []

    def note(event) -> None:
        if event.kind == "end":
            reasons.append(event.reason)

    history = fit(model, LOSS, *arguments, callbacks=[*callbacks, note], progress=False, **options)
    return reasons[0], history["loss"]


def test_a_callback_ends_it_after_the_step_or_the_epoch() -> None:
    for kind, steps in (("step", 3), ("gradients", 3), ("epoch", 4)):

        def stop(event, kind=kind) -> None:
            if event.kind == kind and event.step >= 3:
                event.stop()

        model = network()
        reason, losses = reason_of(
            model, optim.SGD(model.parameters(), 0.1), loader(), epochs=5, callbacks=[stop]
        )
        assert (reason, len(losses)) == ("callback", steps)


def test_patience_ends_it_with_the_best_weights() -> None:
    model = network()
    stopping = EarlyStopping(model, patience=2, mode="max")
    scores = iter([0.1, 0.5, 0.4, 0.3, 0.9])
    kept = []

    class Scripted(Accuracy):
        def compute(self) -> float:
            return next(scores)

    def keep(event) -> None:
        if event.kind == "epoch":
            kept.append(ends(event.model))

    reason, losses = reason_of(
        model,
        optim.SGD(model.parameters(), 0.1),
        loader(),
        epochs=9,
        metrics={"score": Scripted()},
        callbacks=[keep],
        stopping=stopping,
        monitor="score",
    )
    assert (reason, len(losses)) == ("patience", 16)
    assert_same(ends(model), kept[1])


@pytest.mark.parametrize("keep_best", [True, False])
def test_with_a_validation_it_ends_with_the_best_weights_if_asked_to(keep_best) -> None:
    model, kept = network(), []

    def keep(event) -> None:
        if event.kind == "epoch":
            kept.append((event.values["val_loss"], ends(event.model)))

    optimizer = optim.SGD(model.parameters(), 0.3, momentum=0.9)
    reason_of(model, optimizer, loader(), validation(), epochs=8, callbacks=[keep], keep_best=keep_best)
    best = min(kept, key=lambda pair: pair[0])
    assert best is not kept[-1]
    assert_same(ends(model), best[1] if keep_best else kept[-1][1])


def press(step: int, kind: str = "step"):
    """A callback that presses Ctrl-C."""

    def callback(event) -> None:
        if event.kind == kind and event.step == step:
            signal.raise_signal(signal.SIGINT)

    return callback


def test_ctrl_c_ends_it_after_the_step_with_the_best_weights_and_the_handler_as_before() -> None:
    model, kept = network(), []

    def keep(event) -> None:
        if event.kind == "epoch":
            kept.append((event.values["val_loss"], ends(event.model)))

    before = signal.getsignal(signal.SIGINT)
    optimizer = optim.SGD(model.parameters(), 0.3, momentum=0.9)
    reason, losses = reason_of(
        model, optimizer, loader(), validation(), epochs=50, callbacks=[keep, press(34)]
    )
    assert (reason, len(losses)) == ("interrupt", 34)
    assert_same(ends(model), min(kept, key=lambda pair: pair[0])[1])
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_interrupts_at_once() -> None:
    model, seen = network(), []

    def twice(event) -> None:
        signal.raise_signal(signal.SIGINT)
        seen.append(event.step)
        signal.raise_signal(signal.SIGINT)
        seen.append("too far")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(model, LOSS, optim.SGD(model.parameters(), 0.1), loader(), callbacks=[twice], progress=False)
    assert seen == [1]
    assert signal.getsignal(signal.SIGINT) is before


def run_of(folder, *, ctrl_c: int = 0, kind: str = "step", seed: int = 0, **options) -> tuple:
    """A run with everything that has a state; where it was pressed, it is to be continued."""
    minidl.seed(seed)
    model = network()
    plateau = schedules.Plateau(0.1, patience=0, factor=0.5)
    optimizers = [
        optim.SGD(model[5].parameters(), plateau, momentum=0.9),
        optim.Adam(model[0].parameters() + model[1].parameters(), 0.01),
    ]
    ema, mixed = optim.EMA(model.parameters(), 0.9), MixedPrecision(model, *optimizers, growth_interval=3)

    def around(event) -> None:
        if event.kind == "step":
            ema.update()
        if event.kind == "epoch":
            plateau.report(event.values["val_loss"])

    history = fit(
        model,
        LOSS,
        optimizers,
        loader(),
        validation(),
        epochs=4,
        metrics={"accuracy": Accuracy()},
        callbacks=[around, press(ctrl_c, kind)],
        mixed_precision=mixed,
        stopping=EarlyStopping(model, patience=3),
        checkpoints=Checkpoints(folder, keep=None),
        parts={"ema": ema},
        progress=False,
        **options,
    )
    return ends(model, *optimizers, ema), mixed.state(), history.to_dict()


@pytest.mark.parametrize(
    ("ctrl_c", "kind"), [(1, "step"), (2, "gradients"), (4, "step"), (6, "step"), (8, "epoch"), (16, "step")]
)
def test_after_ctrl_c_it_goes_on_as_if_nothing_had_happened(tmp_path, ctrl_c, kind) -> None:
    whole, scale, history = run_of(tmp_path / "whole")
    *_, cut = run_of(tmp_path / "cut", ctrl_c=ctrl_c, kind=kind)
    assert cut["series"]["loss"]["values"] == history["series"]["loss"]["values"][:ctrl_c]
    resumed, *same = run_of(tmp_path / "cut", seed=99)
    assert same == [scale, history]
    assert_same(whole, resumed)


def test_ctrl_c_in_the_validation_repeats_it_on_resumption(tmp_path) -> None:
    model, other = network(), network()
    options = {"epochs": 2, "progress": False, "metrics": {"accuracy": Accuracy()}}
    expected = fit(model, LOSS, optim.Adam(model.parameters()), loader(), validation(), **options)

    class Pressing(DataLoader):
        def __iter__(self):
            for number, batch in enumerate(super().__iter__()):
                if number == 1 and self.press:
                    signal.raise_signal(signal.SIGINT)
                yield batch

    batches = Pressing((X[32:], LABELS[32:]), batch_size=3)
    batches.press = True
    options |= {"checkpoints": Checkpoints(tmp_path)}
    first = fit(other, LOSS, optim.Adam(other.parameters()), loader(), batches, **options)
    assert (len(first["loss"]), first.epochs) == (4, [])
    batches.press = False
    other = network()
    second = fit(other, LOSS, optim.Adam(other.parameters()), loader(), batches, **options)
    assert second.to_dict() == expected.to_dict()
    assert_same(ends(model), ends(other))


def test_a_finished_run_is_not_begun_again_but_may_be_made_longer(tmp_path) -> None:
    def go(folder, epochs) -> tuple:
        model = network()
        optimizer = optim.Adam(model.parameters())
        checkpoints = Checkpoints(tmp_path / folder)
        history = fit(
            model, LOSS, optimizer, loader(), epochs=epochs, checkpoints=checkpoints, progress=False
        )
        return ends(model, optimizer), history.to_dict()

    weights, history = go("a", 2)
    again, same = go("a", 2)
    assert same == history
    assert_same(again, weights)
    longer, long_history = go("a", 4)
    straight, straight_history = go("b", 4)
    assert long_history == straight_history
    assert_same(longer, straight)


def test_it_saves_as_often_as_asked_and_marks_the_best(tmp_path) -> None:
    model = network()
    checkpoints = Checkpoints(tmp_path, keep=None)
    history = fit(
        model,
        LOSS,
        optim.SGD(model.parameters(), 0.3, momentum=0.9),
        loader(),
        validation(),
        epochs=4,
        checkpoints=checkpoints,
        save_every=3,
        progress=False,
    )
    steps = [int(path.stem.rpartition("-")[2]) for path in checkpoints.paths()]
    assert steps == [3, 4, 6, 8, 9, 12, 12, 15, 16]
    best = min(history.epochs, key=lambda row: row["val_loss"])
    assert int(checkpoints.best().stem.rpartition("-")[2]) == best["step"]


class Breaking(minidl.Layer):
    """The identity, until it has been called so often."""

    def __init__(self, calls: int, kind: str) -> None:
        self.calls, self.kind = minidl.layers.parameter.Buffer(np.array(calls)), kind

    def vjp(self, x):
        self.calls.data = self.calls.data - 1
        spoil = np.float32(np.nan if self.calls.data == -1 else 0)  # that one time
        forward, backward = (spoil, 0) if self.kind == "output" else (0, spoil)
        return self.bind(lambda x: (x + forward, lambda dy: dy + backward), x)


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize(
    ("kind", "what"), [("output", "the loss is nan"), ("gradient", "a gradient is not finite")]
)
def test_what_is_not_finite_ends_it_before_the_update_and_names_step_and_layer(kind, what, parts) -> None:
    model = network()
    model.layers.insert(2, minidl.Sequential(Breaking(5 * parts + (parts > 1), kind)))
    optimizer = optim.SGD(model.parameters(), 0.1)
    kept = []

    def keep(event) -> None:
        if event.kind == "step":
            kept.append(ends(event.model, optimizer))

    with pytest.raises(FloatingPointError) as caught:
        fit(model, LOSS, optimizer, loader(), epochs=3, callbacks=[keep], micro_batches=parts, progress=False)
    place = "the output of" if kind == "output" else "the gradient of the input of"
    message = str(caught.value)
    assert message.startswith(f"fit: in step 6 {what}: the first number that is not finite is in {place}")
    assert "layer 2.0, Breaking(): nan in" in message
    assert len(kept) == 5
    assert_same(ends(model, optimizer), kept[-1])
    assert all((p.grad == 0).all() for p in model.parameters())


def test_what_is_not_there_when_the_batch_is_run_again_is_said_so() -> None:
    model = network()
    forgetful = Breaking(0, "output")
    forgetful.state = dict
    vars(forgetful)["calls"] = type("Counter", (), {"data": np.array(0)})()  # no Buffer: it is not put back
    model.layers.append(forgetful)
    with pytest.raises(FloatingPointError, match="run again, the batch gives finite numbers"):
        fit(model, LOSS, optim.SGD(model.parameters(), 0.1), loader(), progress=False)


def test_several_inputs_are_a_tuple_in_the_batch() -> None:
    class Sum(minidl.Layer):
        def __init__(self) -> None:
            self.linear = minidl.Linear(36, 3, seed=0)

        def vjp(self, x):
            y, pullback = self.linear.vjp((x[0] + x[1]).reshape(len(x[0]), -1))
            return y, pullback

    data = [((asarray(X[i : i + 8]), asarray(X[i : i + 8])), LABELS[i : i + 8]) for i in (0, 8)]
    losses = []
    for parts in (1, 3):
        model = Sum()
        optimizer = optim.SGD(model.parameters(), 0.1)
        history = fit(model, LOSS, optimizer, data, data[:1], epochs=2, micro_batches=parts, progress=False)
        losses.append(history["loss"] + history["val_loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_mixed_precision_passes_over_gradients_and_stops_at_a_loss() -> None:
    model = network()
    optimizer = optim.SGD(model.parameters(), 0.01)
    mixed = MixedPrecision(model, optimizer, scale=2.0**24)
    fit(
        model,
        minidl.CrossEntropy(reduction="sum"),
        optimizer,
        loader(),
        epochs=3,
        mixed_precision=mixed,
        progress=False,
    )
    assert mixed.skipped_steps > 0
    model[5].weight.data[0] = 1e38
    with (
        np.errstate(over="ignore", invalid="ignore"),
        pytest.raises(FloatingPointError, match=r"layer 5, Linear\(64, 3\): .* float16 ends at 65504"),
    ):
        fit(model, LOSS, optimizer, loader(), mixed_precision=mixed, progress=False)


def test_it_looks_for_what_is_not_finite_as_often_as_asked() -> None:
    for check_every, step in ((1, 2), (3, 3), (4, 4)):
        model = network()
        model.layers.append(Breaking(1, "output"))
        with pytest.raises(FloatingPointError, match=f"fit: in step {step} the loss is nan"):
            fit(
                model,
                LOSS,
                optim.SGD(model.parameters(), 0.1),
                loader(),
                check_every=check_every,
                progress=False,
            )
    model = network()
    model.layers.append(Breaking(1, "output"))
    history = fit(model, LOSS, optim.SGD(model.parameters(), 0.1), loader(), check_every=0, progress=False)
    assert math.isnan(history.epochs[0]["loss"])


def test_mixed_precision_over_something_else_is_refused() -> None:
    model, other = network(), network()
    optimizers = [optim.SGD(m.parameters(), 0.1) for m in (model, other)]
    for mixed in (MixedPrecision(other, optimizers[0]), MixedPrecision(model, optimizers[1])):
        with pytest.raises(ValueError, match="expected mixed_precision over the same model and optimizers"):
            fit(model, LOSS, optimizers[0], loader(), mixed_precision=mixed, progress=False)


def test_in_another_thread_it_works_and_leaves_ctrl_c_alone() -> None:
    model, found = network(), []

    def work() -> None:
        found.append(fit(model, LOSS, optim.SGD(model.parameters(), 0.1), loader(), progress=False))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(found[0]["loss"]) == 4
    assert signal.getsignal(signal.SIGINT) is before


def test_where_ctrl_c_is_ignored_it_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        model = network()
        reason, losses = reason_of(model, optim.SGD(model.parameters(), 0.1), loader(), callbacks=[press(1)])
        assert (reason, len(losses)) == ("epochs", 4)
    finally:
        signal.signal(signal.SIGINT, before)


def test_old_gradients_do_not_count() -> None:
    model, other = network(), network()
    for m in (model, other):
        optimizer = optim.SGD(m.parameters(), 0.1)
        if m is other:
            m[5].weight.grad = np.ones((64, 3), "float32")
        fit(m, LOSS, optimizer, loader(), progress=False)
    assert_same(ends(model), ends(other))


def test_gradients_of_what_no_optimizer_updates_do_not_pile_up() -> None:
    model, norms = minidl.Sequential(minidl.Linear(2, 3, seed=0), minidl.Linear(3, 2, seed=1)), []
    batches = [(asarray([[1.0, 2.0]]), asarray([1]))] * 3

    def note(event) -> None:
        if event.kind == "gradients":
            norms.append(float(optim.clip_grad_norm(event.model[0].parameters(), 10.0)))

    head = optim.SGD(model[1].parameters(), 0.0)
    fit(model, LOSS, head, batches, callbacks=[note], progress=False)
    assert norms[0] == norms[1] == norms[2] > 0


@pytest.mark.parametrize("parts", [1, 2])
def test_a_batch_without_samples_is_named_as_such(parts) -> None:
    model = network()
    batches = [(asarray(X[:8]), LABELS[:8]), (asarray(X[:0]), LABELS[:0])]
    with pytest.raises(FloatingPointError, match="in step 2 the loss is nan: the batch has no samples"):
        fit(
            model,
            LOSS,
            optim.SGD(model.parameters(), 0.1),
            batches,
            micro_batches=parts,
            progress=False,
        )


def test_a_part_without_samples_does_not_count_in_an_evaluation() -> None:
    model, metrics = network(), {"accuracy": Accuracy()}
    whole, nothing = (asarray(X[:8]), LABELS[:8]), (asarray(X[:0]), LABELS[:0])
    assert evaluate(model, LOSS, [whole, nothing], metrics) == evaluate(model, LOSS, [whole], metrics)


def test_a_checkpoint_of_another_run_is_refused_with_the_way_out(tmp_path) -> None:
    arguments = {"checkpoints": Checkpoints(tmp_path), "progress": False}
    for metrics in ({}, {"accuracy": Accuracy()}):
        model = network()
        run = (model, LOSS, optim.SGD(model.parameters(), 0.1), loader())
        if not metrics:
            fit(*run, **arguments)
            continue
        with pytest.raises(ValueError, match="expected a checkpoint of") as caught:
            fit(*run, metrics=metrics, **arguments)
        assert "name another folder to begin anew" in caught.value.__notes__[-1]


def test_zero_epochs_do_nothing() -> None:
    model = network()
    before = ends(model)
    history = fit(model, LOSS, optim.SGD(model.parameters(), 0.1), loader(), epochs=0, progress=False)
    assert history.epochs == []
    assert_same(ends(model), before)


def test_a_list_of_batches_will_do() -> None:
    model = network()
    batches = [(asarray(X[:8]), LABELS[:8]), [asarray(X[8:12]), LABELS[8:12]]]
    history = fit(model, LOSS, optim.SGD(model.parameters(), 0.1), batches, epochs=2, progress=False)
    row = history.epochs[0]
    assert row["loss"] == pytest.approx((8 * history["loss"][0] + 4 * history["loss"][1]) / 12)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": print}, TypeError, "expected a layer as the model, got builtin_function_or_method"),
        ({"model": network().eval()}, ValueError, r"after eval\(\); call model.train\(\)"),
        ({"optimizer": []}, TypeError, "expected an optimizer, got none"),
        ({"optimizer": [1]}, TypeError, "expected an optimizer, or several, got int"),
        ({"train": []}, ValueError, "expected batches to train on, got none in epoch 1"),
        ({"train": iter([(asarray(X), LABELS)])}, ValueError, "got none in epoch 2; an iterator"),
        ({"train": [X]}, TypeError, r"expected batches \(x, target\), got ndarray"),
        ({"train": (X, LABELS)}, TypeError, r"for \(x, target\) pass DataLoader\(\(x, target\), "),
        ({"train": None}, TypeError, "fit: expected train as batches, got NoneType"),
        ({"train": loader}, TypeError, "fit: expected train as batches, got function"),
        ({"validation": 0.2}, TypeError, "fit: expected validation as batches, got float"),
        ({"optimizer": optim.SGD}, TypeError, "expected an optimizer, or several, got type"),
        ({"optimizer": None}, TypeError, "expected an optimizer, or several, got NoneType"),
        (
            {"optimizer": optim.SGD(network().parameters(), 0.1)},
            ValueError,
            "expected optimizers of the model's parameters, got none of these",
        ),
        ({"loss": minidl.CrossEntropy}, TypeError, "expected a loss with forward and backward, got type"),
        ({"metrics": [Accuracy()]}, TypeError, "expected metrics as a dict, got list"),
        ({"metrics": {"a": Accuracy}}, TypeError, "expected metrics such as Accuracy.., got type"),
        ({"metrics": {"step": Accuracy()}}, ValueError, "expected names for metrics such as 'accuracy'"),
        ({"callbacks": None}, TypeError, "expected a list of callbacks, got NoneType"),
        ({"stopping": True}, TypeError, "expected stopping as an EarlyStopping, got bool"),
        ({"checkpoints": "run"}, TypeError, "expected checkpoints as Checkpoints.folder., got str"),
        ({"mixed_precision": "float16"}, TypeError, "expected mixed_precision as True, False or a Mixed"),
        ({"parts": [1]}, TypeError, "expected parts as a dict, got list"),
        ({"save_every": 5}, ValueError, "expected checkpoints beside save_every"),
        ({"validation": []}, ValueError, "expected batches to validate on, got none"),
        ({"epochs": -1}, ValueError, "expected epochs of at least 0, got -1"),
        ({"epochs": 1.5}, TypeError, "expected epochs as an int"),
        ({"metrics": {"loss": Accuracy()}}, ValueError, "expected names for metrics such as 'accuracy'"),
        ({"metrics": {"my score": Accuracy()}}, ValueError, "expected names for metrics such as 'accuracy'"),
        ({"loss": lambda y, t: y}, TypeError, "expected a loss with forward and backward, got function"),
        ({"callbacks": print}, TypeError, "expected a list of callbacks, got a function"),
        ({"callbacks": [None]}, TypeError, "expected functions as callbacks, got NoneType"),
        ({"micro_batches": 0}, ValueError, "expected micro_batches >= 1 and check_every >= 0, got 0 and 1"),
        ({"check_every": -1}, ValueError, "got 1 and -1"),
        ({"save_every": -1}, ValueError, "expected save_every of at least 0"),
        ({"monitor": "val_loss"}, ValueError, "expected monitor as one of loss, got 'val_loss'"),
        (
            {"validation": [(asarray(X), LABELS)], "metrics": {"a": Accuracy()}, "monitor": "val_a"},
            ValueError,
            "expected stopping beside monitor='val_a'",
        ),
        ({"parts": {"model": 1}}, ValueError, "expected other names in parts than model"),
        (
            {"checkpoints": Checkpoints("nowhere"), "train": [(asarray(X), LABELS)]},
            TypeError,
            r"expected train with state\(\) and load_state\(\)",
        ),
    ],
)
def test_bad_arguments_are_refused(change, error, message) -> None:
    model = network()
    arguments = {
        "model": model,
        "loss": LOSS,
        "optimizer": optim.SGD(model.parameters(), 0.01),
        "train": loader(),
        "epochs": 2,
        "progress": False,
    }
    with pytest.raises(error, match=message):
        fit(**arguments | change)


def test_evaluation_leaves_the_model_and_does_not_depend_on_how_batches_are_cut() -> None:
    model = network()
    before = copy.deepcopy(ends(model))
    whole = evaluate(model, LOSS, [(asarray(X), LABELS)], {"accuracy": Accuracy()})
    cut = evaluate(model, LOSS, DataLoader((X, LABELS), batch_size=7), {"accuracy": Accuracy()})
    assert cut == pytest.approx(whole, rel=1e-6)
    assert_same(ends(model), before)
