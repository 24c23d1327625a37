"""Pictures show the numbers they were given, say what they are, and leave pyplot alone."""

import math
import sys

import pytest

from minidl.layers import BatchNorm, Conv, Linear, ReLU, Sequential
from minidl.optim import schedules
from minidl.training import plots
from minidl.training.confusion import ConfusionMatrix
from minidl.training.history import History
from tests.either import np

pytest.importorskip("matplotlib")

RNG = np.random.default_rng(0)
IMAGES = RNG.random((6, 8, 8, 1))
LABELS = np.array([0, 1, 2, 0, 1, 2])
SCORES = np.eye(3)[[0, 2, 2, 1, 1, 0]] * np.array([1, 2, 3, 4, 5, 6])[:, None]


def history(steps: int = 30, epochs: int = 3) -> History:
    found = History()
    for step in range(1, steps + 1):
        found.record(step, loss=100 / step, lr=0.1)
        if epochs and step % (steps // epochs) == 0:
            found.end_epoch(validation_loss=1.0, accuracy=0.5)
    return found


def drawn_limit(layer: Conv) -> float:
    return float(abs(layer.weight.data).max())


def picture(path) -> np.ndarray:
    from matplotlib.image import imread

    return imread(path)


class TestCurves:
    def test_names_with_the_same_last_word_share_a_panel(self):
        figure = plots.curves(history())
        assert [axes.get_ylabel() for axes in figure.axes] == [
            "loss (log scale)",
            "learning rate",
            "accuracy",
        ]
        assert {axes.get_xlabel() for axes in figure.axes} == {"step"}
        assert [line.get_label() for line in figure.axes[0].lines[:2]] == ["loss", "validation loss"]
        assert figure.get_suptitle() == "Training over 30 steps, 3 epochs"

    def test_the_lines_are_the_numbers(self):
        found = history(epochs=0)
        x, y = plots.curves(found).axes[0].lines[0].get_data()
        assert list(x) == found.steps("loss")
        assert list(y) == found["loss"]

    def test_a_long_series_is_drawn_by_its_means_and_faintly_itself(self):
        found = History()
        for step in range(1000):
            found.record(step, loss=step % 2 + step / 1000)
        itself, means = plots.curves(found).axes[0].lines
        assert list(itself.get_ydata()) == found["loss"]
        assert itself.get_alpha() < 0.5
        np.testing.assert_allclose(means.get_ydata(), 0.5 + np.asarray(means.get_xdata()) / 1000)

    def test_dotted_lines_end_the_epochs(self):
        dotted = [line for line in plots.curves(history()).axes[1].lines if line.get_linestyle() == ":"]
        assert [line.get_xdata()[0] for line in dotted] == [10, 20, 30]

    def test_names_can_be_chosen(self):
        assert len(plots.curves(history(), names=["accuracy"]).axes) == 1
        assert plots.curves(history(), names="lr").axes[0].get_ylabel() == "learning rate"

    def test_a_run_that_diverged_is_drawn_too(self, tmp_path):
        found = History()
        for step, loss in enumerate([2.0, 1.0, math.nan, math.inf, math.nan]):
            found.record(step, loss=loss, bad=math.nan)
        plots.curves(found, path=tmp_path / "curves.png")

    def test_many_panels_have_rows(self):
        found = History()
        found.record(1, **dict.fromkeys("abcd", 1.0))
        assert len(plots.curves(found).axes) == 4


class TestSchedule:
    def test_the_line_is_the_schedule(self):
        one_cycle = schedules.one_cycle(0.1, 100)
        figure = plots.schedule(one_cycle, 100)
        x, y = figure.axes[0].lines[0].get_data()
        assert list(x) == list(range(100))
        assert list(y) == [one_cycle(step) for step in range(100)]
        assert figure.axes[0].get_title() == "Learning rate over 100 steps"

    def test_several_are_drawn_by_name(self):
        figure = plots.schedule({"a": schedules.cosine(1.0, 5), "b": 0.5}, 10, label="momentum")
        assert [line.get_label() for line in figure.axes[0].lines] == ["a", "b"]
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
        assert figure.axes[0].get_ylabel() == "momentum"

    def test_a_long_one_is_sampled(self):
        assert len(plots.schedule(schedules.Plateau(0.1), 10**6).axes[0].lines[0].get_xdata()) == 5000


class TestFilters:
    def test_of_one_channel_are_the_weights_with_one_scale(self):
        layer = Conv(1, 5, 3, seed=0)
        axes, colors = plots.filters(layer).axes
        drawn = np.ma.filled(axes.images[0].get_array(), math.nan)  # three in a row, a line between
        for i in range(5):
            y, x = 4 * (i // 3), 4 * (i % 3)
            np.testing.assert_array_equal(drawn[y : y + 3, x : x + 3], layer.weight.data[:, :, 0, i])
        assert drawn.shape == (7, 11)
        assert np.isnan(drawn).sum() == 7 * 11 - 5 * 9
        assert axes.images[0].get_clim() == pytest.approx((-drawn_limit(layer), drawn_limit(layer)))
        assert colors.get_ylabel() == "weight"

    def test_of_three_channels_are_coloured_around_grey(self):
        layer = Conv(3, 2, 3, seed=0)
        layer.weight.data[0, 0, :, 0] = 0
        (axes,) = plots.filters(layer).axes
        drawn = np.asarray(axes.images[0].get_array())
        np.testing.assert_allclose(
            drawn[:3, 4:7] - 0.5, layer.weight.data[..., 1] / 2 / drawn_limit(layer), atol=1e-6
        )
        assert (drawn[0, 0] == 0.5).all()
        assert (drawn[:, 3] == 1).all()

    def test_of_many_channels_have_a_row_for_each_filter(self):
        figure = plots.filters(Conv(32, 8, 3))
        assert figure.axes[0].images[0].get_array().shape == (4 * 4 - 1, 16 * 4 - 1)
        assert "filters 1-4 of 8; columns: channels 1-16 of 32" in figure.get_suptitle()

    def test_over_one_axis_have_a_row_for_each_channel(self):
        layer = Conv(6, 2, (9,), seed=0)
        drawn = plots.filters(layer).axes[0].images[0].get_array()
        np.testing.assert_array_equal(drawn[:, 10:], layer.weight.data[:, :, 1].T)

    def test_are_those_of_the_first_convolution_of_a_model(self):
        model = Sequential(BatchNorm(1), Sequential(Conv(1, 2, 3), ReLU()), Conv(2, 9, 3))
        assert plots.filters(model).get_suptitle() == "Kernels of layer 1.0\nConv(1, 2, kernel_size=3)"

    def test_of_zeros_can_be_drawn(self, tmp_path):
        layer = Conv(1, 80, 3)
        layer.weight.data[...] = 0
        assert "the first 64 of 80" in plots.filters(layer, tmp_path / "zero.png").get_suptitle()


class TestConfusionMatrix:
    COUNTS = np.array([[8, 2, 0], [0, 0, 0], [5, 0, 5]])

    def test_counts_are_written_and_shares_are_coloured(self):
        axes = plots.confusion_matrix(self.COUNTS).axes[0]
        np.testing.assert_allclose(axes.images[0].get_array(), [[0.8, 0.2, 0], [0, 0, 0], [0.5, 0, 0.5]])
        written = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in axes.texts}
        assert written == {(0, 0): "8", (0, 1): "2", (2, 0): "5", (2, 2): "5"}
        assert axes.get_title() == "Confusion matrix: 65.0 % of 20 are right"
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "label")

    def test_the_metric_is_taken_too_and_classes_have_names(self):
        metric = ConfusionMatrix(3)
        metric.update(SCORES, LABELS)
        axes = plots.confusion_matrix(metric, names=["cat", "horse", "$"]).axes[0]
        assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "horse", r"\$"]
        assert len(axes.texts) == 6

    def test_of_nothing_and_of_many_classes(self, tmp_path):
        figure = plots.confusion_matrix(np.zeros((2, 2), int), path=tmp_path / "a.png")
        assert figure.axes[0].get_title() == "Confusion matrix: none of 0 are right"
        figure = plots.confusion_matrix(np.eye(100, dtype=int))
        assert not figure.axes[0].texts
        assert len(figure.axes[0].get_xticks()) == 10


class TestMistakes:
    def test_the_surest_come_first(self):
        figure = plots.mistakes(IMAGES, LABELS, SCORES, names=["cat", "dog", "frog"])
        titles = [axes.get_title() for axes in figure.axes]
        assert titles == [
            "label frog\npredicted cat",
            "label cat\npredicted dog",
            "label dog\npredicted frog",
        ]
        np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), IMAGES[5, :, :, 0])
        assert figure.get_suptitle() == "3 of 6 images are misclassified, the surest first"

    def test_predicted_classes_do_too(self):
        figure = plots.mistakes(IMAGES, LABELS, SCORES.argmax(-1), count=2)
        assert [axes.get_title() for axes in figure.axes] == ["label 1\npredicted 2", "label 0\npredicted 1"]
        assert figure.get_suptitle() == "3 of 6 images are misclassified; the first 2"

    def test_a_row_with_a_nan_is_a_mistake(self):
        scores = SCORES.copy()
        scores[0, 1] = math.nan
        last = plots.mistakes(IMAGES, LABELS, scores).axes[-1]
        assert last.get_title() == "label 0\npredicted nothing (NaN)"

    def test_where_all_are_right_the_picture_says_so(self, tmp_path):
        figure = plots.mistakes(IMAGES, LABELS, LABELS, path=tmp_path / "none.png")
        assert figure.get_suptitle() == "0 of 6 images are misclassified"
        assert figure.axes[0].texts[0].get_text() == "all are right"

    @pytest.mark.parametrize(
        ("images", "expected"),
        [
            (IMAGES[..., 0], IMAGES[..., 0]),
            ((IMAGES * 255).astype("uint8"), (IMAGES * 255).astype("uint8")[..., 0] / 255),
            (RNG.random((6, 8, 8, 3)), None),
            (np.full((6, 8, 8, 1), 7.0), np.zeros((6, 8, 8))),
            (np.linspace(-1, 3, 6 * 64).reshape(6, 8, 8, 1), np.linspace(0, 1, 6 * 64).reshape(6, 8, 8)),
        ],
    )
    def test_images_of_any_range_are_drawn_between_0_and_1(self, images, expected):
        drawn = plots.mistakes(images, LABELS, SCORES).axes[0].images[0].get_array()
        np.testing.assert_allclose(drawn, images[5] if expected is None else expected[5])


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_picture_is_written_where_a_path_is_named_and_pyplot_stays_out(tmp_path, ending):
    before = "matplotlib.pyplot" in sys.modules
    path = tmp_path / f"curves.{ending}"
    figure = plots.curves(history(), path=path)
    plots.mistakes(IMAGES, LABELS, SCORES, path=tmp_path / f"mistakes.{ending}")
    assert path.stat().st_size > 1000
    assert ("matplotlib.pyplot" in sys.modules) == before
    assert type(figure).__name__ == "Figure"
    if ending == "png":
        assert picture(path).std() > 0.01


def test_without_matplotlib_an_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(
        ImportError, match=r'plots: matplotlib is not installed; pip install "minidl\[plots\]"'
    ):
        plots.schedule(0.1, 10)


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda: plots.curves(History()), ValueError, "curves: expected a history with numbers in it"),
        (lambda: plots.curves(history(), names=["los"]), KeyError, "'los' was not recorded"),
        (lambda: plots.curves([1.0]), TypeError, "curves: expected a History, got list"),
        (lambda: plots.schedule("a", 5), TypeError, "schedule: expected a schedule or a number, got str"),
        (
            lambda: plots.schedule(lambda step: None, 5),
            TypeError,
            "to return numbers, got NoneType at step 0",
        ),
        (lambda: plots.confusion_matrix(np.full((2, 2), np.nan)), ValueError, "expected counts, got numbers"),
        (lambda: plots.schedule({}, 5), ValueError, "schedule: expected at least one schedule"),
        (
            lambda: plots.confusion_matrix(np.zeros((0, 0))),
            ValueError,
            r"expected counts \(K, K\), got \(0, 0",
        ),
        (
            lambda: plots.mistakes(IMAGES, LABELS - 1, SCORES),
            ValueError,
            "labels of at least 0, got -1; leave",
        ),
        (lambda: plots.schedule(0.1, 0), ValueError, "schedule: expected steps >= 1, got 0"),
        (lambda: plots.filters(Linear(2, 2)), TypeError, "filters: expected a Conv .* got Linear"),
        (lambda: plots.filters(Conv(1, 1, (3, 3, 3))), TypeError, "filters: expected a Conv over one or two"),
        (lambda: plots.filters(3), TypeError, "filters: expected a Conv over one or two axes, .* got int"),
        (
            lambda: plots.confusion_matrix(np.ones((2, 3))),
            ValueError,
            r"expected counts \(K, K\), got \(2, 3",
        ),
        (lambda: plots.confusion_matrix(np.eye(2), names=["a"]), ValueError, "a name for each of 2 classes"),
        (lambda: plots.confusion_matrix(np.eye(2), names="ab"), ValueError, "a name for each of 2 classes"),
        (lambda: plots.mistakes(IMAGES, LABELS[:3], SCORES), ValueError, "mistakes: expected images"),
        (
            lambda: plots.mistakes(IMAGES, LABELS + SCORES.shape[1], SCORES),
            ValueError,
            f"expected labels below {SCORES.shape[1]}, the number of scores, got",
        ),
        (
            lambda: plots.mistakes(IMAGES, LABELS, SCORES[:, 0]),
            TypeError,
            r"expected scores \(N, K\) or whole numbers as predicted classes, got float",
        ),
        (
            lambda: plots.mistakes(np.zeros((6, 3, 8, 8)), LABELS, SCORES),
            ValueError,
            r"got \(6, 3, 8, 8\); channels first\? use minidl.channels_last",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, error, message):
    with pytest.raises(error, match=message):
        draw()
