"""Every number that `explain` works through by plain arithmetic is the layer's own, at every place."""

import math
from itertools import product

import pytest

import minidl
from minidl import layers
from minidl.backend import to_numpy
from minidl.training.explain import Entry, Working, explain
from minidl.training.explain.seen import look_at
from minidl.training.explain.table import TABLE, entry_of
from minidl.training.explain.worked import close, work_through
from tests.either import np
from tests.training.explaining import CASES, drawn, made


class Weighed(minidl.losses.Loss):
    """A loss whose gradient is drawn, and another one at every number."""

    def vjp(self, prediction, weights):
        return minidl.asarray((prediction * weights).sum()), lambda dy: (weights * dy).astype(
            prediction.dtype
        )


def seen(case: str, dtype: str = "float32"):
    """Run a case with a drawn upstream gradient."""
    layer, x = made(case)
    if dtype != "float32":
        layer.astype(dtype)
        x = x.astype(dtype) if x.dtype.kind == "f" else x
    dy = drawn(layer.predict(x).shape, seed=3, dtype=dtype)
    return look_at(layer, Weighed(), x, (dy,)).root


def worked(call, own=None):
    """Work through each element of the output and of the gradient."""
    entry = entry_of(call.layer, own or {})
    y = to_numpy(call.y)
    for index in product(*map(range, y.shape)):
        yield work_through(call, "y", y, index, entry.output)
    dx = call.gradient(entry.of) if entry.of else to_numpy(call.dx)
    for index in product(*map(range, dx.shape)):
        yield work_through(call, "dx", dx, index, entry.gradient)


def test_the_table_covers_every_public_layer_and_every_row_has_a_case() -> None:
    public = {
        value
        for value in vars(layers).values()
        if isinstance(value, type) and issubclass(value, layers.Layer) and value is not layers.Layer
    }
    assert public == TABLE.keys()
    assert public <= {type(part) for make, _ in CASES.values() for _, part in make().named_layers()}


@pytest.mark.parametrize("kind", TABLE)
def test_every_row_has_formulas_in_ascii(kind) -> None:
    entry = TABLE[kind]
    assert entry.forward.count("=") >= 1
    assert entry.pullback
    assert (entry.forward + entry.pullback + entry.names).isascii()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_every_number_by_hand_is_the_layers_own(case, dtype) -> None:
    wrong = [(w.target, w.value, w.found) for w in worked(seen(case, dtype)) if not w.agrees]
    assert wrong == []


@pytest.mark.parametrize("case", ["linear", "conv", "batch norm", "softmax", "layer norm", "gelu", "lstm"])
def test_half_precision_agrees_to_its_own_digits(case) -> None:
    assert all(w.agrees for w in worked(seen(case, "float16")))


@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("embedding")])
def test_a_number_that_is_off_by_a_thousandth_is_told_of(case) -> None:
    call = seen(case)
    off = 1 + 1e-3
    y, dx = to_numpy(call.y) * np.float32(off), to_numpy(call.dx) * np.float32(off)
    entry = entry_of(call.layer, {})
    for name, array, hand in (("y", y, entry.output), ("dx", dx, entry.gradient)):
        index = np.unravel_index(int(abs(to_numpy(array)).argmax()), array.shape)
        assert not work_through(call, name, to_numpy(array), tuple(map(int, index)), hand).agrees


@pytest.mark.parametrize("case", CASES)
def test_the_page_works_through_both_numbers_of_every_layer(case) -> None:
    layer, x = made(case)
    page = explain(layer, x, drawn(layer.predict(x).shape, seed=3), Weighed(), sample=1)
    assert page.disagreements == []
    for record in page.records:
        assert (record.output is None, record.gradient is None, record.remark) == (False, False, "")
        assert record.output.target.startswith("y[")


def test_a_wrong_pullback_of_ones_own_layer_is_told_of() -> None:
    class Doubled(minidl.Layer):
        """Twice the sine."""

        slope = 2.0

        def vjp(self, x):
            return minidl.asarray(2 * np.sin(x)), lambda dy, input_grad=True: (
                minidl.asarray(self.slope * np.cos(x) * dy),
                [],
            )

    layer, x = Doubled(), drawn((3, 4))
    right = explain(layer, x, drawn((3, 4), seed=1), Weighed())
    assert right.disagreements == []
    assert right.records[0].names.startswith("Twice the sine. ")
    layer.slope = 1.99
    wrong = explain(layer, x, drawn((3, 4), seed=1), Weighed())
    assert [line.partition("[")[0] for line in wrong.disagreements] == ["the model: Doubled: dx"]
    assert "NOT the same" in wrong.markdown
    assert "Plain arithmetic gives other numbers for" in wrong.html


def test_an_entry_teaches_the_page_a_layer_of_ones_own() -> None:
    class Scaled(minidl.Layer):
        def vjp(self, x):
            return 3 * x, lambda dy, input_grad=True: (3 * dy, [])

    def times_three(call, index):
        x = float(call.host("x")[index])
        return Working(3 * x, abs(x), [f"y = 3 * {x:.3f}"])

    entry = Entry("y = 3 x", "dx = 3 dy", output=times_three, multiply_adds=lambda call: 7)
    page = explain(Scaled(), drawn((3, 4)), drawn((3, 4)), Weighed(), entries={Scaled: entry})
    assert (page.records[0].forward, page.records[0].multiply_adds) == ("y = 3 x", 7)
    assert page.records[0].output.steps[0].startswith("y = 3 * ")
    assert page.disagreements == []


def test_a_subclass_that_keeps_the_mathematics_keeps_the_entry() -> None:
    class Net(minidl.Sequential):
        def __init__(self) -> None:
            super().__init__(minidl.Linear(4, 3))

    class Doubled(minidl.Linear):
        def vjp(self, x):
            return super().vjp(2 * x)

    assert entry_of(Net(), {}) is TABLE[minidl.Sequential]
    assert entry_of(Doubled(4, 3), {}).forward == "y = Doubled(x)"


def test_of_many_outputs_the_largest_are_rows_and_the_others_one() -> None:
    class Mixed(minidl.Layer):
        """Every number times the sum of all."""

        def vjp(self, x):
            total = x.sum()
            return x * total, lambda dy, input_grad=True: (dy * total + (x * dy).sum(), [])

    page = explain(Mixed(), drawn((3, 300)), drawn((3, 300), seed=1), Weighed())
    assert page.disagreements == []
    worked = page.records[0].gradient
    assert len(worked.rows) == 501
    assert worked.rows[-1][0] == "400 others"
    assert sum(row[-1] for row in worked.rows) == pytest.approx(worked.value, rel=1e-9)


def test_batch_norm_over_several_processes_has_no_numbers_by_hand() -> None:
    class Alone:
        count = 12

        def sum(self, *arrays):
            return arrays

    layer = minidl.BatchNorm(4)
    call = seen("batch norm")
    call.layer.peers = Alone()
    for hand in (entry_of(layer, {}).output, entry_of(layer, {}).gradient):
        with pytest.raises(ValueError, match="of all processes"):
            hand(call, (0, 0, 0, 0))


def test_a_layer_that_refuses_is_left_without_numbers() -> None:
    class Stubborn(minidl.Layer):
        def vjp(self, x):
            return x, lambda dy, input_grad=True: (dy, [])

        def __deepcopy__(self, memo):
            raise TypeError("no copies")

    record = explain(Stubborn(), drawn((3, 4)), drawn((3, 4)), Weighed()).records[0]
    assert (record.output, record.gradient) == (None, None)
    assert "y could not be worked through: TypeError: no copies" in record.remark


@pytest.mark.parametrize("case", ["linear", "conv", "layer norm"])
def test_cross_entropy_is_worked_through_too(case) -> None:
    layer, x = made(case)
    y = layer.predict(x)
    labels = np.random.default_rng(0).integers(y.shape[-1], size=y.shape[:-1])
    gradient = explain(layer, x, labels).loss.gradient
    assert gradient.agrees
    assert gradient.value < 0  # at the label


def test_squares_are_worked_through_and_other_losses_are_named() -> None:
    layer, x = made("linear")
    page = explain(layer, x, drawn((4, 3)), minidl.MeanSquaredError())
    assert page.loss.gradient.agrees
    smooth = explain(layer, x, np.zeros(4, "int64"), minidl.CrossEntropy(label_smoothing=0.1))
    assert smooth.loss.gradient is None


@pytest.mark.parametrize(
    ("value", "found", "same"),
    [
        (1.0, 1.0 + 2.0**-20, True),
        (1.0, 1.0001, False),
        (math.nan, math.nan, True),
        (math.nan, 1.0, False),
        (math.inf, math.inf, True),
        (math.inf, -math.inf, False),
        (0.0, 1e-37, True),
        (0.0, 1e-9, False),
    ],
)
def test_two_numbers_are_the_same_up_to_rounding(value, found, same) -> None:
    assert close(value, found, 0.0, np.dtype("float32")) is same
