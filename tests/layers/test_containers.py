"""Containers: what they compute, how they are taken apart, where errors came from, and shared layers."""

import pytest

from minidl import Tensor
from minidl import functional as F
from minidl.layers import (
    BatchNorm,
    Conv,
    Dropout,
    Flatten,
    Identity,
    Layer,
    Linear,
    Parallel,
    ReLU,
    Residual,
    Sequential,
    Tanh,
)
from minidl.testing import check_gradients, check_layer
from tests.either import np

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 3))


def dense(n=3, m=3, seed=0) -> Linear:
    return Linear(n, m, seed=seed, dtype="float64")


class Doubled(Layer):
    """A user's layer that alters its input in place, as none should."""

    def vjp(self, x):
        x *= 2
        return x, lambda dy, input_grad=True: (2 * dy, [])


class Failing(Layer):
    def vjp(self, x):
        def pullback(dy, input_grad=True):
            raise ZeroDivisionError("in the backward pass")

        return x, pullback


CONTAINERS = {
    "empty": lambda: Sequential(),
    "sequential": lambda: Sequential(dense(3, 5), Tanh(), dense(5, 2, 1)),
    "nested": lambda: Sequential(Sequential(dense(), Sequential(Tanh())), dense(3, 2, 1)),
    "residual": lambda: Residual(Sequential(dense(), Tanh())),
    "shortcut": lambda: Residual(Sequential(dense(3, 2), Tanh()), shortcut=dense(3, 2, 1)),
    "concat": lambda: Parallel(dense(3, 2), Identity(), Tanh()),
    "add": lambda: Parallel(dense(), Identity(), Sequential(Tanh(), dense(seed=1)), merge="add"),
    "one branch": lambda: Parallel(dense(), merge="add"),
    "shared": lambda: (lambda a: Sequential(a, Tanh(), a, Residual(a)))(dense()),
}
FORMULAS = {
    "empty": lambda x: x,
    "sequential": lambda x, w, b, v, c: np.tanh(x @ w + b) @ v + c,
    "nested": lambda x, w, b, v, c: np.tanh(x @ w + b) @ v + c,
    "residual": lambda x, w, b: np.tanh(x @ w + b) + x,
    "shortcut": lambda x, w, b, v, c: np.tanh(x @ w + b) + x @ v + c,
    "concat": lambda x, w, b: np.concatenate([x @ w + b, x, np.tanh(x)], axis=1),
    "add": lambda x, w, b, v, c: x @ w + b + x + np.tanh(x) @ v + c,
    "one branch": lambda x, w, b: x @ w + b,
    "shared": lambda x, w, b: (np.tanh(x @ w + b) @ w + b) @ (w + np.eye(3)) + b,
}
EACH = pytest.mark.parametrize("name", CONTAINERS)


@EACH
def test_it_equals_its_formula_and_has_its_gradients(name):
    layer = CONTAINERS[name]()
    expected = FORMULAS[name](X, *(p.data for p in layer.parameters()))
    np.testing.assert_allclose(layer.forward(X), expected, rtol=1e-12)
    np.testing.assert_allclose(layer.predict(X), expected, rtol=1e-12)
    check_gradients(layer, X)


@pytest.mark.parametrize("name", ["empty", "shared"])
def test_it_keeps_what_a_layer_promises(name):
    check_layer(CONTAINERS[name](), input_shape=(3,))


@EACH
def test_the_gradient_of_the_input_can_be_refused(name):
    layer = CONTAINERS[name]()
    y, pullback = layer.vjp(X)
    (_, pairs), (none, others) = pullback(y), pullback(y, input_grad=False)
    assert none is None
    assert [id(p) for p, _ in others] == [id(p) for p, _ in pairs]
    for (_, a), (_, b) in zip(pairs, others, strict=True):
        np.testing.assert_array_equal(a, b)


def test_only_the_first_layer_is_told_that_the_gradient_of_the_input_is_not_wanted():
    asked = []

    class Asking(Identity):
        def vjp(self, x):
            return x, lambda dy, input_grad=True: (asked.append(input_grad), (dy, []))[1]

    Sequential(Asking(), Asking(), Asking()).vjp(X)[1](X, input_grad=False)
    assert asked == [True, True, False]


def test_predict_reaches_the_evaluation_of_every_branch():
    for layer in (
        Sequential(Dropout(0.9)),
        Residual(Dropout(0.9)),
        Parallel(Dropout(0.9), merge="add"),
        Sequential(BatchNorm(3, dtype="float64")),
    ):
        before = layer.state()
        y = layer.predict(X)
        np.testing.assert_allclose(y, 2 * X if isinstance(layer, Residual) else X, rtol=1e-4)
        assert all((array == before[path]).all() for path, array in layer.state().items())
        assert layer.training


def test_a_sequential_is_indexed_sliced_and_walked():
    model = Sequential([dense(), Tanh(), dense(3, 2, 1)])
    first, second, last = model
    assert (len(model), model[0], model[-1]) == (3, first, last)
    tail = model[1:]
    assert isinstance(tail, Sequential)
    assert list(tail) == [second, last]
    np.testing.assert_array_equal(tail.forward(model[:1].forward(X)), model.forward(X))
    assert [path for path, _ in tail.named_parameters()] == ["1.weight", "1.bias"]
    with pytest.raises(IndexError):
        model[3]
    assert Sequential((first, last)).layers == [first, last]


def test_names_are_paths():
    model = Sequential(Residual(dense(), shortcut=dense()), Parallel(dense(), dense()))
    assert [path.removesuffix(".weight") for path, _ in model.named_parameters()][::2] == [
        *("0.layer", "0.shortcut", "1.0", "1.1")
    ]


def test_they_are_spelled_as_they_are_made():
    model = Sequential(Residual(Sequential(Tanh())), Parallel(ReLU(), Identity(), merge="add"))
    assert repr(model) == (
        "Sequential(\n"
        "  (0) Residual(Sequential(\n"
        "    (0) Tanh()\n"
        "  )),\n"
        "  (1) Parallel(\n"
        "    (0) ReLU(),\n"
        "    (1) Identity(),\n"
        "    merge='add'\n"
        "  )\n"
        ")"
    )
    assert repr(Sequential()) == "Sequential()"
    assert repr(Residual(Tanh(), ReLU())) == "Residual(Tanh(), shortcut=ReLU())"


@pytest.mark.parametrize(
    ("layer", "alone"),
    [
        (Sequential(dense(), Tanh()), True),
        (Sequential(dense(), BatchNorm(3)), False),
        (Sequential(Doubled()), False),
        (Residual(Tanh()), True),
        (Residual(Tanh(), Dropout()), False),
        (Parallel(Tanh(), Identity()), True),
        (Parallel(Tanh(), Dropout()), False),
    ],
)
def test_it_treats_samples_alone_if_all_its_layers_do(layer, alone):
    assert layer.sample_wise is alone


@pytest.mark.parametrize("backward", [False, True])
def test_an_error_keeps_its_type_and_names_position_and_layer_also_nested(backward):
    bad = Failing() if backward else Linear(5, 2)
    model = Sequential(Tanh(), Sequential(Tanh(), Tanh(), bad), Tanh())
    kind = ZeroDivisionError if backward else TypeError
    with pytest.raises(kind) as caught:
        model.vjp(X)[1](X)
    notes = caught.value.__notes__
    assert notes[-2] == f"at position 2 of Sequential: {bad!r}"
    assert notes[-1].startswith("at position 1 of Sequential: Sequential(")
    if not backward:
        with pytest.raises(TypeError, match="expected float32 like the weights") as caught:
            model.predict(X)
        assert caught.value.__notes__ == ["in Linear(5, 2)", *notes[-2:]]


def test_an_error_in_a_branch_names_its_chain():
    for container in (Residual, Parallel):
        with pytest.raises(ValueError, match=r"expected \(\.\.\., 5\), got \(4, 3\)") as caught:
            Sequential(Tanh(), container(Sequential(dense(5, 2)))).forward(X)
        assert caught.value.__notes__[1] == "at position 0 of Sequential: Linear(5, 2)"
        assert caught.value.__notes__[-1].startswith(f"at position 1 of Sequential: {container.__name__}(")


def test_m20_branches_that_are_the_identity_leave_their_input_alone():
    x = np.array([1.0, 2.0, 3.0])
    add = Parallel(Identity(), Identity(), merge="add")
    assert add.forward(x).tolist() == [2, 4, 6]
    assert add.backward(x).tolist() == [2, 4, 6]
    assert Residual(Identity()).forward(x).tolist() == [2, 4, 6]
    assert x.tolist() == [1, 2, 3]


def test_m20_a_branch_that_alters_its_input_in_place_is_found():
    for container in (Residual(Doubled()), Parallel(Doubled(), Identity())):
        with pytest.raises(AssertionError, match="an argument was written to"):
            check_layer(container, input_shape=(3,))


@pytest.mark.parametrize("surface", ["layers", "layers on Tensors", "functions"])
def test_a_layer_used_twice_gets_both_contributions(surface):
    layer = dense()
    dy = RNG.normal(size=(4, 3))
    if surface == "layers":
        model = Sequential(layer, layer)
        model.forward(X)
        model.backward(dy)
    elif surface == "layers on Tensors":
        layer(layer(Tensor(X))).backward(dy)
    else:
        w, b = layer.weight, layer.bias
        F.linear(F.linear(Tensor(X), w, b), w, b).backward(dy)
    w, b = layer.weight.data, layer.bias.data
    inner = X @ w + b
    np.testing.assert_allclose(layer.weight.grad, inner.T @ dy + X.T @ (dy @ w.T), rtol=1e-12)
    np.testing.assert_allclose(layer.bias.grad, dy.sum(0) + (dy @ w.T).sum(0), rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Sequential(Tanh), TypeError, "position 0, got the class Tanh; add parentheses$"),
        (
            lambda: Sequential(Tanh(), int),
            TypeError,
            "Sequential: expected a layer at position 1, got the class",
        ),
        (lambda: Sequential(Tanh(), np.tanh), TypeError, "expected a layer at position 1, got [Uu]func"),
        (lambda: Sequential([Tanh(), 3]), TypeError, "expected a layer at position 1, got int"),
        (lambda: Sequential([Tanh()], [Tanh()]), TypeError, "expected a layer at position 0, got list"),
        (lambda: Parallel(Tanh), TypeError, "Parallel: expected a layer at position 0, got the class Tanh"),
        (lambda: Parallel(), ValueError, "Parallel: expected at least one branch, got none"),
        (lambda: Parallel(Tanh(), merge="sum"), ValueError, "expected merge as 'concat' or 'add', got 'sum'"),
        (
            lambda: Residual(Tanh),
            TypeError,
            "Residual: expected a layer, got the class Tanh; add parentheses",
        ),
        (lambda: Residual(Tanh(), shortcut=3), TypeError, "Residual: expected a layer as shortcut, got int"),
    ],
)
def test_what_is_no_layer_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            Residual(dense(3, 2)),
            r"expected both branches of one shape, got \(4, 2\) and a shortcut of \(4, 3\); give it",
        ),
        (
            Parallel(dense(3, 2), Tanh(), merge="add"),
            r"expected branches of one shape to add, got \(4, 2\), \(4",
        ),
        (Parallel(Flatten(), Identity()), r"concatenate: expected equal shapes outside axis"),
    ],
)
def test_branches_that_do_not_fit_are_refused(layer, message):
    x = X[..., None] if isinstance(layer, Parallel) and layer.merge == "concat" else X
    for use in (layer.forward, layer.predict):
        with pytest.raises(ValueError, match=message):
            use(x)


def test_a_channels_first_image_is_named_with_its_place():
    model = Sequential(Conv(3, 4, 3), ReLU())
    with pytest.raises(ValueError, match=r"channels-first input\? use minidl.channels_last\(x\)") as caught:
        model.forward(np.ones((2, 3, 8, 8), "float32"))
    assert caught.value.__notes__[-1] == "at position 0 of Sequential: Conv(3, 4, kernel_size=3)"


@pytest.mark.parametrize("run", ["forward", "predict"])
def test_an_error_names_the_branch_it_came_from(run):
    good, bad, x = Linear(3, 2, seed=0), Linear(5, 2, seed=0), np.zeros((1, 3), np.float32)
    for model, place in [
        (Parallel(good, bad), "at position 1 of Parallel"),
        (Residual(bad), "in the layer of Residual"),
        (Residual(good, shortcut=bad), "in the shortcut of Residual"),
    ]:
        with pytest.raises(ValueError, match="linear: expected") as caught:
            getattr(model, run)(x)
        assert caught.value.__notes__ == ["in Linear(5, 2)", f"{place}: Linear(5, 2)"]
