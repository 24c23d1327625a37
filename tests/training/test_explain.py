"""`explain` shows one batch layer by layer, as data and as pages, and leaves the model as it was."""

import copy
import html.parser
import json
import re

import pytest

import minidl
from minidl import backend, layers, tiling
from minidl.backend import asarray, to_numpy, xp
from minidl.optim import SGD
from minidl.training import MixedPrecision, explain
from minidl.training.explain import Entry
from minidl.training.explain.notation import in_html, in_unicode
from tests.either import np
from tests.training.explaining import drawn

X = drawn((6, 8, 8, 1))
LABELS = np.random.default_rng(1).integers(3, size=6)


def nested() -> minidl.Sequential:
    """A model with layers in layers, a shared one, and everything that has a state."""
    shared = minidl.Linear(16, 16, seed=4)
    return minidl.Sequential(
        minidl.Conv(1, 4, kernel_size=3, padding=1, seed=0),
        minidl.BatchNorm(4),
        minidl.ReLU(),
        layers.Residual(
            minidl.Sequential(minidl.Conv(4, 4, kernel_size=3, padding=1, seed=1), minidl.ReLU())
        ),
        minidl.MaxPool(4),
        minidl.Flatten(),
        minidl.Dropout(0.5, seed=2),
        shared,
        layers.Parallel(minidl.Tanh(), minidl.Sequential(shared)),
        minidl.Linear(32, 3, seed=3),
    )


@pytest.fixture(scope="module")
def page():
    return explain(nested(), X, LABELS)


def test_every_call_has_a_record_under_its_path_in_the_order_of_execution(page) -> None:
    assert [(r.path, r.kind, r.depth) for r in page.records] == [
        ("", "Sequential", 0),
        ("0", "Conv", 1),
        ("1", "BatchNorm", 1),
        ("2", "ReLU", 1),
        ("3", "Residual", 1),
        ("3.layer", "Sequential", 2),
        ("3.layer.0", "Conv", 3),
        ("3.layer.1", "ReLU", 3),
        ("4", "MaxPool", 1),
        ("5", "Flatten", 1),
        ("6", "Dropout", 1),
        ("7", "Linear", 1),
        ("8", "Parallel", 1),
        ("8.0", "Tanh", 2),
        ("8.1", "Sequential", 2),
        ("7", "Linear", 3),
        ("9", "Linear", 1),
    ]
    assert page.disagreements == []


def test_a_shared_layer_says_which_use_it_is_and_has_the_gradients_of_each(page) -> None:
    first, second = (record for record in page.records if record.path == "7")
    assert (first.title, second.title) == ("7: Linear, use 1 of 2", "7: Linear, use 2 of 2")
    assert first.named("d weight") != second.named("d weight")
    assert page.records[0].parameters == sum(p.size for p in nested().parameters())


def test_the_statistics_are_those_of_the_step(page) -> None:
    model, loss = nested(), minidl.CrossEntropy()
    y = model.forward(X)
    value = loss.forward(y, LABELS)
    dx = model.backward(loss.backward())
    whole = page.records[0]
    assert page.loss.value == pytest.approx([float(value)], rel=1e-6)
    for name, array in (("x", X), ("y", y), ("dx", dx)):
        a, s = to_numpy(array).astype("float64"), whole.named(name)
        assert (s.shape, s.dtype, s.nans, s.infinities) == (a.shape, "float32", 0, 0)
        expected = [a.mean(), a.std(), a.min(), a.max(), (a == 0).mean()]
        assert [s.mean, s.std, s.least, s.largest, s.zeros] == pytest.approx(expected, rel=1e-4, abs=1e-9)
    weight = to_numpy(model[0].weight.grad)
    assert page.records[1].named("d weight").std == pytest.approx(weight.std(), rel=1e-4)


def test_costs_are_those_of_the_summary_times_the_samples(page) -> None:
    rows = {row.path: row for row in minidl.summary(nested(), (8, 8, 1)).rows if row.multiply_adds}
    assert set(rows) >= {"0", "9"}
    for record in page.records:
        if record.path in rows and record.use == 1:
            row = rows[record.path]
            assert record.multiply_adds == 6 * row.multiply_adds
            assert record.activation_bytes == 6 * row.activation_bytes
    leaves = [r.multiply_adds for r in page.records if r.kind in ("Conv", "Linear")]
    assert page.records[0].multiply_adds == sum(leaves)


@pytest.mark.parametrize(
    ("layer", "x", "count"),
    [
        (layers.ConvTranspose(2, 3, kernel_size=2, stride=2), drawn((2, 4, 4, 2)), 2 * 16 * 4 * 2 * 3),
        (layers.LSTM(3, 5), drawn((2, 7, 3)), 2 * 7 * (3 * 20 + 5 * 20)),
        (layers.MultiHeadAttention(4, 2), drawn((2, 7, 4)), 2 * (4 * 7 * 16 + 2 * 7 * 7 * 4)),
    ],
)
def test_products_of_other_layers_count_too(layer, x, count) -> None:
    page = explain(layer, x, xp.zeros(layer.predict(x).shape[:-1], "int64"))
    assert page.records[0].multiply_adds == count


def snapshot(model: minidl.Layer) -> dict[str, object]:
    grads = {f"d {n}": None if p.grad is None else p.grad.copy() for n, p in model.named_parameters()}
    own = {f"vars {path}": sorted(vars(layer)) for path, layer in model.named_layers()}
    modes = {f"mode {path}": layer.training for path, layer in model.named_layers()}
    return model.state() | grads | own | modes


def test_nothing_of_the_model_changes() -> None:
    model, loss = nested(), minidl.CrossEntropy()
    model.forward(X)
    loss.forward(model.forward(X), LABELS)
    model[9].weight.grad = xp.ones((32, 3), "float32")
    model[3].eval()
    minidl.seed(5)
    step, arrays, stream = model._step, [p.data for p in model.parameters()], backend.generator_state()
    before, inner = snapshot(model), vars(loss).copy()
    buffers = [buffer.data for _, buffer in model.buffers()]
    explain(model, X, LABELS, loss)
    after = snapshot(model)
    assert before.keys() == after.keys()
    for name, value in before.items():
        same = (value == after[name]).all() if hasattr(value, "dtype") else value == after[name]
        assert same, name
    assert model._step is step
    assert all(p.data is a for p, a in zip(model.parameters(), arrays, strict=True))
    assert all(b.data is a for (_, b), a in zip(model.buffers(), buffers, strict=True))
    assert backend.generator_state() == stream
    assert vars(loss) == inner
    model.backward(loss.backward())  # the step that was under way goes on


def test_nothing_changes_where_the_model_or_the_loss_raises() -> None:
    model = nested()
    before = snapshot(model)
    with pytest.raises(ValueError, match="CrossEntropy"):
        explain(model, X, LABELS[:2])
    with pytest.raises(ValueError, match="expected"):
        explain(model, X[:, :5], LABELS)
    for name, value in snapshot(model).items():
        assert (value == before[name]).all() if hasattr(value, "dtype") else value == before[name]


def test_random_numbers_that_a_layer_draws_are_given_back() -> None:
    class Noisy(minidl.Layer):
        def vjp(self, x):
            return x + float(backend.generator().random()), lambda dy, input_grad=True: (dy, [])

    minidl.seed(3)
    expected = backend.generator().random()
    minidl.seed(3)
    page = explain(Noisy(), drawn((2, 3)), asarray([0, 1]))
    assert page.disagreements == []
    assert backend.generator().random() == expected


def test_dropout_is_that_of_the_next_step(page) -> None:
    model = nested()
    explain(model, X, LABELS)
    kept = page.records[10].named("y")
    assert kept == explain(model, X, LABELS).records[10].named("y")
    assert model[6].stream.data.tolist()[1] == 0


def test_a_batch_that_training_would_tile_is_run_whole() -> None:
    model = minidl.Sequential(
        minidl.Conv(8, 64, kernel_size=3, padding=1, seed=0), minidl.ReLU(), minidl.Flatten()
    )
    x = drawn((32, 16, 16, 8))
    records = explain(model, x, drawn((32, 16384)), minidl.MeanSquaredError()).records
    assert [record.named("y").shape[0] for record in records] == [32] * 4


def test_whole_runs_each_stage_once() -> None:
    sizes = []

    class Counting(minidl.Layer):
        sample_wise = True

        def vjp(self, x):
            sizes.append(len(x))
            return x, lambda dy, input_grad=True: (dy, [])

    model = minidl.Sequential(minidl.Conv(8, 64, kernel_size=3, padding=1, seed=0), Counting())
    with tiling.whole():
        model.vjp(drawn((64, 32, 32, 8)))
    assert sizes == [64]


def test_nan_is_shown_where_it_first_appears() -> None:
    model = nested()
    model[7].weight.data[2, 3] = float("nan")
    page = explain(model, X, LABELS)
    assert page.nonfinite.startswith("the first number that is not finite is in 7.weight")
    assert "The first number that is not finite is in 7.weight" in page.html
    dense = next(r for r in page.records if r.path == "7")
    assert (dense.named("x").nans, dense.named("y").nans) == (0, 6)
    assert dense.output.target == "y[0, 3]"  # what is not finite is worked through
    assert dense.output.value != dense.output.value
    assert dense.output.agrees


def test_nan_and_infinity_in_the_batch_are_counted() -> None:
    x = drawn((4, 3))
    x[1, 2], x[2, 0] = float("nan"), float("inf")
    page = explain(minidl.Linear(3, 2, seed=0), x, asarray([0, 1, 0, 1]))
    seen = page.records[0].named("x")
    assert (seen.nans, seen.infinities) == (1, 1)
    assert np.isfinite([seen.mean, seen.std, seen.least, seen.largest]).all()
    assert "the input of the batch: nan and inf in 2 of 12 numbers" in page.nonfinite
    assert "<td class=bad>1</td>" in page.html


def test_a_finite_batch_has_none(page) -> None:
    assert page.nonfinite == ""


def test_the_records_are_plain_data(page) -> None:
    assert json.loads(json.dumps([record._asdict() for record in page.records]))[0]["kind"] == "Sequential"
    json.dumps(page.loss._asdict())


def test_the_repr_is_a_table_in_ascii(page) -> None:
    text = repr(page)
    assert text.isascii()
    assert text.startswith("A batch of shape (6, 8, 8, 1) went through")
    assert len(text.splitlines()) == 3 + len(page.records)
    assert max(map(len, text.splitlines()[2:])) <= 110


class Balanced(html.parser.HTMLParser):
    """Collects the tags of a page, and those that were not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


def test_the_html_is_well_formed_and_needs_no_network(page) -> None:
    parser = Balanced()
    parser.feed(page.html)
    assert parser.open == []
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in parser.tags}
    assert "http" not in page.html
    assert "url(" not in page.html
    ids = {f"#{attrs['id']}" for _, attrs in parser.tags if "id" in attrs}
    assert {attrs["href"] for tag, attrs in parser.tags if tag == "a"} <= ids
    assert page._repr_html_() in page.html


def test_both_pages_show_formulas_and_every_layer(page) -> None:
    for text in (page.markdown, page.html):
        assert all(record.title.partition(": ")[2] in text for record in page.records)
        assert "1 of 2" in text
    assert in_unicode("dx = dy W^T, dW = x^T dy, db = sum_n dy_n") in page.markdown
    assert "dx = dy W<sup>T</sup>" in page.html


def test_tables_of_markdown_have_the_same_cells_in_each_line(page) -> None:
    for block in re.findall(r"(?:^\|.*\n)+", page.markdown, flags=re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1


def test_names_cannot_become_markup() -> None:
    class Sneaky(minidl.ReLU):
        """<script>alert(1)</script> | `x` *bold*."""

        def vjp(self, x):
            return super().vjp(x)

        def extra_repr(self) -> str:
            return "<script>` | "

    page = explain(minidl.Sequential(Sneaky()), drawn((2, 3)), asarray([0, 1]))
    assert "<script" not in page.html
    outside = re.sub(
        r"^`.*`, in training$", "", page.markdown, flags=re.MULTILINE
    )  # what is code is no markup
    assert re.findall(r"(?<!\\)<script", outside) == []


def test_a_layer_that_was_not_called_is_named() -> None:
    class Idle(minidl.Sequential):
        def __init__(self) -> None:
            super().__init__(minidl.Linear(3, 2, seed=0))
            self.spare = minidl.Linear(3, 2, seed=1)

    page = explain(Idle(), drawn((2, 3)), asarray([0, 1]))
    assert page.unused == ["spare"]
    assert "Not used by this batch: spare." in page.markdown


@pytest.mark.parametrize("name", ["page.html", "page.HTM", "page.md", "page.markdown"])
def test_a_page_is_saved_by_its_ending(page, tmp_path, name) -> None:
    page.save(tmp_path / name)
    expected = page.html if "h" in name.lower().rpartition(".")[2][:1] else page.markdown
    assert (tmp_path / name).read_text(encoding="utf-8") == expected
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_another_ending_is_refused_and_nothing_is_written(page, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"Explanation\.save: expected a path ending in \.html or \.md, got"):
        page.save(tmp_path / "page.pdf")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        page.save(tmp_path / "none" / "page.md")
    assert list(tmp_path.iterdir()) == []


def test_the_sample_and_the_element_can_be_chosen() -> None:
    model = nested()
    page = explain(model, X, LABELS, sample=-1, elements={"0": (2, 0, 7, 3), "9": (1, 2)})
    targets = {record.path: record.output.target for record in page.records}
    assert (targets["0"], targets["9"]) == ("y[2, 0, 7, 3]", "y[1, 2]")
    assert targets["4"].startswith("y[5, ")
    assert page.loss.gradient.target == f"dy[5, {int(LABELS[5])}]"
    assert page.disagreements == []


def test_inputs_in_a_tuple_and_masks_have_statistics_but_no_numbers() -> None:
    class Masked(minidl.Layer):
        def __init__(self) -> None:
            self.rnn = layers.RNN(3, 4, seed=0)

        def vjp(self, x):
            return self.rnn.vjp(x, asarray([2, 5]))

    record = explain(Masked(), drawn((2, 5, 3)), asarray(np.zeros((2, 5), "int64"))).records[1]
    assert (record.output, record.remark) == (None, "with a mask no number is worked through")
    attention, x = layers.MultiHeadAttention(4, 2, seed=0), drawn((2, 5, 4))
    page = explain(attention, (x, x, x), asarray(np.zeros((2, 5), "int64")))
    assert [s.name for s in page.records[0].statistics[:4]] == ["x.0", "x.1", "x.2", "y"]
    assert "several inputs" in page.records[0].remark


def test_a_function_over_layers_shows_the_layers_inside() -> None:
    inner = minidl.Linear(3, 3, seed=0)
    model = minidl.Sequential(
        minidl.Function(lambda x, layer: layer(x) * layer(x), inner), minidl.Linear(3, 2, seed=1)
    )
    page = explain(model, drawn((4, 3)), asarray([0, 1, 0, 1]))
    assert [record.title for record in page.records[1:4]] == [
        "0: Function",
        "0.parts.0: Linear, use 1 of 2",
        "0.parts.0: Linear, use 2 of 2",
    ]
    assert page.disagreements == []


def test_a_model_of_whole_numbers_has_no_gradient_of_its_input() -> None:
    model = minidl.Sequential(layers.Embedding(5, 4, seed=0), minidl.Flatten(), minidl.Linear(12, 2, seed=1))
    page = explain(model, asarray([[0, 1, 4], [2, 2, 2]]), asarray([0, 1]))
    assert (page.records[0].gradient, page.records[0].remark) == (None, "there is no gradient dx")
    assert page.records[1].gradient.target.startswith("d weight[")
    assert page.disagreements == []


def test_a_label_that_is_no_class_does_not_hide_the_page() -> None:
    labels = asarray([7, 1])
    if backend.name == "numpy":
        with pytest.raises(ValueError, match="expected labels"):
            explain(LINEAR, drawn((2, 3)), labels)
    else:  # where nobody waits for the device, it makes the loss NaN
        page = explain(LINEAR, drawn((2, 3)), labels)
        assert page.loss.gradient is None
        assert page.nonfinite != ""


def test_a_model_without_parameters_and_frozen_ones_are_explained() -> None:
    assert explain(minidl.ReLU(), drawn((2, 3)), asarray([0, 1])).records[0].parameters == 0
    frozen = minidl.Linear(3, 2, seed=0).freeze()
    record = explain(minidl.Sequential(frozen), drawn((2, 3)), asarray([0, 1])).records[1]
    assert record.named("d weight") is None
    assert record.gradient.agrees


def test_evaluation_is_explained_as_evaluation() -> None:
    page = explain(nested().eval(), X, LABELS)
    assert not any(record.training for record in page.records)
    assert page.disagreements == []
    assert "in evaluation" in page.markdown


def test_an_unreduced_loss_names_the_remedy() -> None:
    with pytest.raises(ValueError, match="reduction='mean'"):
        explain(
            minidl.Linear(3, 2, seed=0), drawn((2, 3)), asarray([0, 1]), minidl.CrossEntropy(reduction="none")
        )


LINEAR = minidl.Linear(3, 2, seed=0)


@pytest.mark.parametrize(
    ("model", "batch", "options", "error", "message"),
    [
        ({}, drawn((2, 3)), {}, TypeError, "explain: expected a layer, got dict"),
        (LINEAR, [[1.0]], {}, TypeError, "explain: expected the batch as an array, got list"),
        (LINEAR, (), {}, TypeError, "explain: expected the batch as an array, got tuple"),
        (LINEAR, drawn(()), {}, ValueError, r"explain: expected a batch \(N, \.\.\.\), got a single number"),
        (LINEAR, drawn((0, 3)), {}, ValueError, "one of the 0 samples, got 0"),
        (LINEAR, drawn((2, 3)), {"sample": 2}, ValueError, "one of the 2 samples, got 2"),
        (LINEAR, drawn((2, 3)), {"sample": 0.5}, TypeError, "explain: expected sample as an int"),
        (LINEAR, drawn((2, 3)), {"loss": max}, TypeError, "a loss with forward and backward, got builtin"),
        (LINEAR, drawn((2, 3)), {"entries": {minidl.Linear: "y"}}, TypeError, "expected entries as"),
        (LINEAR, drawn((2, 3)), {"entries": {"Linear": Entry("", "")}}, TypeError, "expected entries as"),
        (
            LINEAR,
            drawn((2, 3)),
            {"elements": {"5": (0, 0)}},
            ValueError,
            "elements of called layers, '', got '5'",
        ),
        (LINEAR, drawn((2, 3)), {"elements": {"": (0, 2)}}, ValueError, r"an element of the output \(2, 2\)"),
        (LINEAR, drawn((2, 3)), {"elements": {"": 0}}, ValueError, r"output \(2, 2\) of '', got 0"),
    ],
)
def test_what_cannot_be_explained_is_named(model, batch, options, error, message) -> None:
    with pytest.raises(error, match=message):
        explain(model, batch, asarray([0, 1]), **options)


def test_mixed_precision_is_sent_to_its_model() -> None:
    model = minidl.Linear(3, 2, seed=0)
    mixed = MixedPrecision(model, SGD(model.parameters(), lr=0.1))
    with pytest.raises(TypeError, match=r"expected a layer, got MixedPrecision; pass mixed\.model"):
        explain(mixed, drawn((2, 3)), asarray([0, 1]))


@pytest.mark.parametrize(
    ("text", "plain", "marked"),
    [
        ("x^T", "x\u1d40", "x<sup>T</sup>"),
        ("h_{t-1}", "h\u209c\u208b\u2081", "h<sub>t-1</sub>"),
        ("y_{p, o}", "y_(p, o)", "y<sub>p, o</sub>"),
        ("sum_j e^{x_j}", "\u2211\u2c7c e^(x\u2c7c)", "\u2211<sub>j</sub> e<sup>x<sub>j</sub></sup>"),
        ("sqrt(var + epsilon)", "\u221a(var + \u03b5)", "\u221a(var + \u03b5)"),
        ("2 * -0.5 - 1e-05", "2 \u22c5 \u22120.5 \u2212 1e-05", "2 \u22c5 \u22120.5 \u2212 1e-05"),
        ("running_mean, W_ih", "running_mean, W_ih", "running_mean, W_ih"),
        ("a < b", "a < b", "a &lt; b"),
    ],
)
def test_formulas_are_set_in_signs(text, plain, marked) -> None:
    assert in_unicode(text) == plain
    assert in_html(text) == marked


def test_deep_copies_are_explained_alike(page) -> None:
    assert explain(copy.deepcopy(nested()), X, LABELS).records == page.records
