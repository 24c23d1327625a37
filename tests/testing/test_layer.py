"""check_layer passes good layers, and each of its checks finds the breach that it is there for."""

import pytest

from minidl import ops
from minidl.backend import xp
from minidl.layers import BatchNorm, Buffer, Dropout, Layer, Linear, Parameter, ReLU, Residual, Sequential
from minidl.testing import LayerError, check_layer, layer_checks, strategies
from minidl.testing.contract import CHECKS
from tests.either import np

FEW = 5


class Scale(Layer):
    """A layer as a user writes it: y = x w."""

    def __init__(self, features):
        self.weight = Parameter([1.5] * features, name="weight")

    def vjp(self, x):
        if x.shape[-1:] != self.weight.shape:
            raise ValueError(f"{self!r}: expected (..., {self.weight.size}), got {x.shape}")
        return self.bind(ops.multiply, x, self.weight)

    def extra_repr(self):
        return str(self.weight.size)


class Wrong(Scale):
    """A layer whose vjp is changed by ``plant(self, x, y, pullback) -> (y, pullback)``."""

    def vjp(self, x):
        return self.plant(x, *super().vjp(x))


def on_gradient(change):
    def plant(self, x, y, pullback):
        def changed(dy, input_grad=True):
            dx, pairs = pullback(dy, input_grad=input_grad)
            return change(x, dy, dx, pairs)

        return y, changed

    return plant


def constant(self, x, y, pullback):
    self.first = getattr(self, "first", len(x)) or len(x)
    return y[: self.first], lambda dy, input_grad=True: pullback(np.resize(dy, y.shape), input_grad)


def drops_one(self, x, y, pullback):
    def squeezed(dy, input_grad=True):
        return pullback(dy.reshape(y.shape), input_grad)

    return (y[0] if len(y) == 1 else y), squeezed


def writes_input(self, x, y, pullback):
    x *= 1
    return y, pullback


def writes_upstream(self, x, y, pullback):
    def changed(dy, input_grad=True):
        dy *= 1
        return pullback(dy, input_grad)

    return y, changed


def widens(self, x, y, pullback):
    return y * np.float64(1), pullback


def shared_scratch(self, x, y, pullback):
    self.kept = x
    w = self.weight

    def changed(dy, input_grad=True):
        return (dy * w.data if input_grad else None), [
            (w, (dy * self.kept[: len(dy)]).sum(axis=tuple(range(dy.ndim - 1))))
        ] * w.requires_grad

    return y, changed


def of_batch(self, x, y, pullback):
    return y - y.sum(axis=0, keepdims=True), lambda dy, input_grad=True: pullback(
        dy - dy.sum(axis=0), input_grad
    )


def ignores_freeze(self, x, y, pullback):
    w = self.weight

    def changed(dy, input_grad=True):
        axes = tuple(range(dy.ndim - 1))
        return (dy * w.data if input_grad else None), [(w, (dy * x).sum(axis=axes))]

    return y, changed


PLANTED = {
    "gradients": on_gradient(lambda x, dy, dx, pairs: (None if dx is None else 1.001 * dx, pairs)),
    "linearity": on_gradient(lambda x, dy, dx, pairs: (None if dx is None else dx + 1e-3, pairs)),
    "batch equals rows": of_batch,
    "batch sizes": drops_one,
    "dtype kept": widens,
    "purity": writes_input,
    "re-entrancy": shared_scratch,
    "freeze": ignores_freeze,
}


def failures(layer, shape=(3,), **options):
    with pytest.raises(LayerError) as caught:
        check_layer(layer, shape, examples=FEW, **options)
    return caught.value.failures


def test_a_layer_of_a_user_passes():
    report = check_layer(Scale(3), input_shape=(3,), examples=FEW)
    assert list(report.examples) == list(CHECKS)
    assert str(report).startswith(f"Scale(3): all {len(CHECKS)} checks passed\n  gradients")


def test_the_layer_stays_as_it_is():
    layer = Sequential(Linear(3, 3, seed=0), BatchNorm(3))
    before = layer.state()
    check_layer(layer, (3,), couples_samples="training", least_batch=2, examples=FEW)
    assert layer.training
    assert layer.parameters()[0].grad is None
    for name, array in layer.state().items():
        np.testing.assert_array_equal(array, before[name])
        assert array.dtype == before[name].dtype


def test_a_factory_makes_a_layer_of_its_own():
    made = []

    def make():
        made.append(Scale(2))
        return made[-1]

    check_layer(make, (2,), examples=FEW)
    assert len(made) > 1


@pytest.mark.parametrize("check", layer_checks(Residual(Scale(3)), (3,), examples=FEW), ids=str)
def test_its_checks_are_tests_of_pytest(check):
    assert check() > 0


@pytest.mark.parametrize("name", PLANTED)
def test_a_breach_is_found_by_the_check_of_that_name(name):
    layer = type("Planted", (Wrong,), {"plant": PLANTED[name]})(3)
    assert name in failures(layer)


def test_a_call_that_takes_no_tensors_is_found():
    class ArraysOnly(Scale):
        def __call__(self, x):
            return self.forward(getattr(x, "data", x))

    assert "returns a ndarray" in str(failures(ArraysOnly(3))["tensors"])


def test_an_upstream_that_is_written_to_is_found():
    assert "purity" in failures(type("Planted", (Wrong,), {"plant": writes_upstream})(3))


def test_a_batch_size_that_freezes_is_found():
    assert "batch sizes" in failures(type("Planted", (Wrong,), {"plant": constant})(3))


def test_predict_that_is_not_evaluation_is_found():
    class Forgets(Dropout):
        def predict(self, x):
            return self.vjp(x)[0]

    assert "predict equals eval" in failures(Forgets(0.5, seed=0), couples_samples="training")


def test_predict_that_changes_the_mode_is_found():
    class Switches(Scale):
        def predict(self, x):
            return self.eval().vjp(x)[0]

    assert str(failures(Switches(3))["predict equals eval"]).startswith("predict changed the mode")


def test_a_state_that_does_not_bring_back_the_next_call_is_found():
    class Counting(Scale):
        def __init__(self, features):
            super().__init__(features)
            self.calls = 0

        def vjp(self, x):
            self.calls += 1
            y, pullback = super().vjp(x)
            return y * self.calls, pullback

    assert "state" in failures(Counting(3))


def test_a_state_that_is_no_copy_is_found():
    class Shares(Scale):
        def state(self):
            return {"weight": self.weight.data}

    assert "state() does not copy" in str(failures(Shares(3))["state"])


def test_a_buffer_that_drifts_in_a_pullback_is_found():
    class Drifts(Scale):
        def __init__(self, features):
            super().__init__(features)
            self.mean = Buffer(np.zeros(()))

        def predict(self, x):
            self.mean.data = self.mean.data + 1
            return super().predict(x)

    assert "predict changed the state" in str(failures(Drifts(3))["predict equals eval"])


def test_a_backward_without_a_forward_that_passes_is_found():
    class Lenient(Scale):
        def backward(self, dy, input_grad=True):
            return dy if self._step is None else super().backward(dy, input_grad)

    assert "not refused" in str(failures(Lenient(3))["forward and backward"])


def test_a_repr_that_is_of_no_use_is_found():
    for text in ("Scale at 0x7f", "a layer", "Sc\u00e4le"):
        layer = type("Odd", (Scale,), {"__repr__": lambda self, text=text: text})(3)
        assert "repr" in failures(layer)


def test_an_obscure_error_for_a_wrong_shape_is_found():
    class Obscure(Scale):
        def vjp(self, x):
            if x.shape[-1] != 3:
                raise IndexError("3")
            return super().vjp(x)

    assert "raises IndexError" in str(failures(Obscure(3))["wrong shape"])


def test_a_wrong_shape_that_is_broadcast_in_silence_is_found():
    class Silent(Layer):
        def __init__(self):
            self.weight = Parameter([1.0, 2.0, 3.0], name="weight")

        def vjp(self, x):
            if x.shape[-1:] not in ((1,), (3,)):
                raise ValueError(f"Silent: expected (..., 3), got {x.shape}")
            w = self.weight

            def pullback(dy, input_grad=True):
                axes = tuple(range(dy.ndim - 1))
                return (dy * w.data if input_grad else None), [(w, (dy * x).sum(axis=axes))]

            return x * w.data, pullback

    assert "is accepted, but its gradient" in str(failures(Silent())["wrong shape"])


def test_a_warning_is_a_failure():
    class Warns(ReLU):
        def vjp(self, x):
            xp.log(x * 0)
            return super().vjp(x)

    assert "gradients" in failures(Warns())


def test_all_failures_are_listed_with_an_example():
    layer = type("Planted", (Wrong,), {"plant": PLANTED["batch sizes"]})(3)
    with pytest.raises(LayerError, match=r"Planted\(3\): \d+ of 14 checks failed") as caught:
        check_layer(layer, (3,), examples=FEW)
    text = str(caught.value)
    assert all(f"- {name}: " in text for name in caught.value.failures)
    assert "with x = array([[" in text
    assert len(caught.value.failures) > 1


def test_samples_that_are_meant_to_be_coupled_are_declared():
    layer = type("Planted", (Wrong,), {"plant": of_batch})(3)
    assert "say couples_samples=True" in str(failures(layer)["batch equals rows"])
    check_layer(layer, (3,), couples_samples=True, examples=FEW)
    check_layer(BatchNorm(3), (3,), couples_samples="training", least_batch=2, examples=FEW)


def test_inputs_may_be_drawn_by_the_user():
    class Log(Layer):
        sample_wise = True

        def vjp(self, x):
            return self.bind(ops.log, x)

    def positive(shape):
        return strategies.arrays(shape, low=0.5, high=4.0)

    check_layer(Log(), (3,), inputs=positive, examples=FEW)
    assert "gradients" in failures(Log())


def test_no_layer_is_an_error():
    with pytest.raises(TypeError, match="expected a layer or a function that makes one, got int"):
        check_layer(3, (3,))
    with pytest.raises(TypeError, match="expected a layer from the function, got list"):
        check_layer(list, (3,))
    with pytest.raises(ValueError, match="expected couples_samples as False, True or 'training', got 'no'"):
        check_layer(Scale(3), (3,), couples_samples="no")


@pytest.mark.full
def test_right_layers_pass_a_thousand_examples():
    check_layer(lambda: Linear(3, 2, seed=0), (3,), examples=1000)
    check_layer(Scale(3), (3,), examples=1000)
    check_layer(BatchNorm(2), (2,), couples_samples="training", least_batch=2, examples=1000)
