"""The first number that is not finite is found where it is made, and nothing is changed by the search."""

import itertools

import pytest

import minidl
from minidl import backend, layers, ops, optim
from minidl.backend import asarray, xp
from minidl.layers.base import Layer
from minidl.optim.flat import BLOCK
from minidl.training import MixedPrecision, find_nonfinite
from minidl.training.nonfinite import finite_gradients
from tests.either import np

RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 4)).astype("float32")
LABELS = RNG.integers(3, size=6)
LOSS = minidl.CrossEntropy()


class Spoiled(Layer):
    """The identity, but for the first element of its output or of its gradient."""

    def __init__(self, kind: str, value: float) -> None:
        self.kind, self.value = kind, value

    def vjp(self, x):
        return self.bind(self.op, x)

    def op(self, x):
        def spoil(a, kind):
            a = a.copy()
            a.reshape(-1)[0] = self.value if kind == self.kind else a.reshape(-1)[0]
            return a

        return spoil(x, "output"), lambda dy: spoil(dy, "gradient")


def nested(place: str, spoiled: Layer) -> minidl.Sequential:
    """A model with layers in layers, one of which is the spoiled one."""

    def at(name: str) -> Layer:
        return spoiled if name == place else layers.Identity()

    return minidl.Sequential(
        at("0"),
        minidl.Linear(4, 4, seed=0),
        layers.Residual(minidl.Sequential(minidl.Linear(4, 4, seed=1), at("2.layer.1")), at("2.shortcut")),
        minidl.BatchNorm(4),
        minidl.Dropout(0.5, seed=0),
        layers.Parallel(minidl.Tanh(), minidl.Sequential(layers.Sequential(at("5.1.0.0")))),
        minidl.Linear(8, 3, seed=2),
        at("7"),
    )


PLACES = ["0", "2.layer.1", "2.shortcut", "5.1.0.0", "7"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["output", "gradient"])
@pytest.mark.parametrize("place", PLACES)
def test_the_innermost_layer_that_makes_it_is_named_by_its_path(place, kind, value) -> None:
    found = find_nonfinite(nested(place, Spoiled(kind, value)), LOSS, X, LABELS)
    assert (found.kind, found.path) == (kind, place)
    what = "nan" if np.isnan(value) else "inf"
    of = "the output of" if kind == "output" else "the gradient of the input of"
    size = found.place.rpartition(" of ")[2]
    assert found.place == f"{of} layer {place}, Spoiled(): {what} in 1 of {size}"
    assert str(found) == f"the first number that is not finite is in {found.place}; {found.advice}"
    assert str(found).isascii()


@pytest.mark.parametrize("kind", ["output", "gradient"])
@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(PLACES, 2)))
def test_of_two_that_follow_one_another_the_first_one_is_named(first, second, kind) -> None:
    order = sorted({first, second}, reverse=kind == "gradient")
    model = nested(first, Spoiled(kind, np.nan))
    for path, layer in nested(second, Spoiled(kind, np.nan)).named_layers():
        if isinstance(layer, Spoiled):
            parent = dict(model.named_layers())[path.rpartition(".")[0]]
            attribute = path.rpartition(".")[2]
            if attribute.isdecimal():
                parent.layers[int(attribute)] = layer
            else:
                setattr(parent, attribute, layer)
    found = find_nonfinite(model, LOSS, X, LABELS)
    assert found.path == order[0]  # of two branches too


def test_a_finite_batch_has_none() -> None:
    assert find_nonfinite(nested("", Spoiled("output", np.nan)), LOSS, X, LABELS) is None


@pytest.mark.parametrize("kind", ["output", "gradient", "none"])
def test_the_search_leaves_everything_as_it_was(kind) -> None:
    model = nested("7", Spoiled(kind, np.nan))
    model[6].weight.grad = xp.ones((8, 3), "float32")
    model.forward(X[:2])
    before = model.state()
    find_nonfinite(model, LOSS, X, LABELS)
    assert model._step[0].shape == (2, 3)
    for name, value in model.state().items():
        np.testing.assert_array_equal(value, before[name])
    assert model[1].weight.grad is None
    assert (model[6].weight.grad == 1).all()
    assert all("vjp" not in vars(layer) for _, layer in model.named_layers())
    assert model.forward(X).shape == (6, 3)


def test_an_instance_with_a_vjp_of_its_own_keeps_it() -> None:
    model = minidl.Sequential(minidl.Linear(4, 3, seed=0))
    mine = model[0].vjp
    model[0].vjp = mine
    assert find_nonfinite(model, LOSS, X, LABELS) is None
    assert vars(model[0])["vjp"] is mine


def test_a_container_that_makes_it_itself_is_named() -> None:
    model = minidl.Sequential(layers.Residual(layers.Identity()), minidl.Linear(4, 3, seed=0))
    found = find_nonfinite(model, LOSS, np.full((2, 4), 3e38, "float32"), LABELS[:2])
    assert (found.kind, found.path) == ("output", "0")
    assert found.place == "the output of layer 0, Residual(Identity()): inf in 8 of 8 numbers"


def test_the_gradient_of_a_parameter_is_named() -> None:
    class Root(Layer):
        def __init__(self) -> None:
            self.scale = minidl.Parameter([0.0] * 3, name="scale")

        def vjp(self, x):
            return self.bind(self.op, x, self.scale)

        def op(self, x, w):
            y, pullback = ops.multiply(x, xp.sqrt(w))

            def back(dy):
                dx, dw = pullback(dy)
                with np.errstate(all="ignore"):
                    return dx, 0.5 * dw / xp.sqrt(w)

            return y, back

    model = minidl.Sequential(minidl.Linear(4, 3, seed=0), Root())
    found = find_nonfinite(model, LOSS, X, LABELS)
    assert (found.kind, found.path) == ("gradient", "1")
    assert found.place.startswith("the gradient of scale of layer 1, Root(): inf")


def test_a_batch_or_a_weight_that_is_not_finite_is_named_first() -> None:
    model = nested("7", Spoiled("output", np.nan))
    x = X.copy()
    x[1, 2] = np.nan
    found = find_nonfinite(model, LOSS, x, LABELS)
    assert (found.kind, found.path, found.place) == (
        "batch",
        "",
        "the input of the batch: nan in 1 of 24 numbers",
    )
    found = find_nonfinite(model, minidl.MeanSquaredError(), X, np.full((6, 3), np.inf))
    assert found.place == "the target of the batch: inf in 18 of 18 numbers"
    model[2].layer[0].bias.data[0] = np.inf
    found = find_nonfinite(model, LOSS, X, LABELS)
    assert (found.kind, found.path) == ("state", "2.layer.0.bias")
    assert found.place == "2.layer.0.bias, before the step: inf in 1 of 4 numbers"


def test_an_infinite_number_in_a_buffer_may_be_meant_and_nan_may_not() -> None:
    model = nested("7", Spoiled("output", np.nan))
    model[3].running_var.data[1] = np.inf
    assert find_nonfinite(model, LOSS, X, LABELS).path == "7"
    model[3].running_var.data[1] = np.nan
    found = find_nonfinite(model, LOSS, X, LABELS)
    assert (found.kind, found.path) == ("state", "3.running_var")


def test_the_loss_is_named_where_the_prediction_is_finite() -> None:
    model = minidl.Sequential(minidl.Linear(4, 3, seed=0), minidl.Softmax())
    loss = minidl.CrossEntropy(from_logits=False)
    found = find_nonfinite(model, loss, X * 1e4, LABELS)
    assert (found.kind, found.path) == ("loss", "")
    assert "from_logits=False): inf, from finite predictions" in found.place
    ignored = find_nonfinite(model[:1], minidl.CrossEntropy(ignore_index=0), X, LABELS * 0)
    assert "nan, from finite predictions" in ignored.place
    assert "ignored" in ignored.advice


def test_the_slope_of_a_loss_is_looked_at() -> None:
    class Rooted(minidl.losses.Loss):
        def vjp(self, prediction, target):
            return asarray(np.float32(0.0)), lambda dy: prediction * np.float32(np.inf)

    found = find_nonfinite(minidl.Linear(4, 3, seed=0), Rooted(), X, LABELS)
    assert (found.kind, found.place) == ("loss", "the gradient of Rooted(): inf in 18 of 18 numbers")


def test_in_tiles_it_is_found_too() -> None:
    model = minidl.Sequential(
        minidl.Conv(2, 16, 3, padding=1, seed=0),
        minidl.Sequential(minidl.Conv(16, 16, 3, padding=1, seed=1), Overflow()),
        minidl.Flatten(),
        minidl.Linear(16 * 256, 3, seed=2),
    )
    x = RNG.standard_normal((160, 16, 16, 2)).astype("float32")
    found = find_nonfinite(model, LOSS, x, RNG.integers(3, size=160))
    assert (found.kind, found.path) == ("output", "1.1")
    assert backend.name != "numpy" or any(
        piece.samples for pieces in model._plans.pieces.values() for piece in pieces
    )


class Overflow(Layer):
    sample_wise = True

    def vjp(self, x):
        return self.bind(lambda x: (x + np.float32(np.inf), lambda dy: dy), x)


def test_in_mixed_precision_what_float16_cannot_hold_is_named() -> None:
    model = minidl.Sequential(minidl.Linear(4, 4, seed=0), minidl.Sequential(minidl.Linear(4, 3, seed=1)))
    mixed = MixedPrecision(model, optim.SGD(model.parameters(), 0.1))
    assert find_nonfinite(mixed, LOSS, X, LABELS) is None
    model[1][0].weight.data = model[1][0].weight.data * 1e5
    assert find_nonfinite(model, LOSS, X, LABELS) is None
    found = find_nonfinite(mixed, LOSS, X, LABELS)
    assert (found.kind, found.path) == ("output", "1.0")
    assert "65504" in found.advice
    with np.errstate(over="ignore"):
        found = find_nonfinite(mixed, LOSS, X * 1e6, LABELS)
    assert (found.kind, found.place) == ("batch", "the input of the batch, as float16")
    assert mixed.scale == 2.0**16


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_number_among_many_makes_gradients_not_finite(value, packed) -> None:
    ps = [minidl.Parameter(xp.zeros(n, "float32")) for n in (3, BLOCK + 5)]
    for p in ps:
        p.grad = xp.ones(p.shape, "float32")
    if packed:
        optim.SGD(ps, 0.1)
    assert finite_gradients(ps)
    ps[1].grad[BLOCK + 3] = value
    assert not finite_gradients(ps)
    ps[1].requires_grad = False
    assert finite_gradients(ps)
    assert finite_gradients([])
    assert asarray(finite_gradients(ps)).shape == ()
