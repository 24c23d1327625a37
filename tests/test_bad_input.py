"""Bad input to a whole model: one clear error that names its place, and a model that stays as it was."""

import pytest

import minidl
from minidl import losses
from minidl.layers import (
    AvgPool,
    BatchNorm,
    Conv,
    Dropout,
    Flatten,
    Linear,
    MaxPool,
    Parallel,
    ReLU,
    Residual,
    Sequential,
    Softmax,
)
from tests.either import np

IMAGES = np.random.default_rng(0).uniform(size=(4, 8, 8, 3)).astype("float32")
LABELS = np.array([0, 1, 2, 1])
DY = np.ones((4, 3), "float32")


class Foreign:
    """What an array of the other backend looks like."""

    shape, ndim, dtype = (4, 8, 8, 3), 4, np.dtype("float32")


Foreign.__module__, Foreign.__name__ = "cupy", "ndarray"


def network() -> Sequential:
    return Sequential(
        Sequential(Conv(3, 4, 3, seed=0), BatchNorm(4), ReLU()),
        Residual(Sequential(BatchNorm(4), Dropout(0.5, seed=1))),
        MaxPool(2),
        Flatten(),
        Linear(36, 3, seed=2),
    )


def assert_untouched(model, state, gradients) -> None:
    for path, array in model.state().items():
        np.testing.assert_array_equal(array, state[path], err_msg=path)
    for p, gradient in zip(model.parameters(), gradients, strict=True):
        assert (p.grad is None) if gradient is None else (p.grad == gradient).all()


FIRST, LAST = (
    "at position 0 of Sequential: Conv(3, 4, kernel_size=3)",
    "at position 4 of Sequential: Linear(36, 3)",
)
INPUTS = {
    "wrong rank": (IMAGES[0], ValueError, r"conv: expected \(N, H, W, 3\), got \(8, 8, 3\)", FIRST),
    "channel count": (
        IMAGES[..., :2],
        ValueError,
        r"conv: expected \(N, H, W, 3\), got \(4, 8, 8, 2\)",
        FIRST,
    ),
    "channels first": (
        IMAGES.transpose(0, 3, 1, 2),
        ValueError,
        r"got \(4, 3, 8, 8\); channels-first input\? use minidl.channels_last\(x\)",
        FIRST,
    ),
    "integers": (
        (IMAGES * 255).astype("uint8"),
        TypeError,
        r'conv: expected a floating-point array, got uint8; use minidl.asarray\(x, "float32"\)',
        FIRST,
    ),
    "float64": (
        IMAGES.astype("float64"),
        TypeError,
        r'expected float32 like the weights, got float64; use minidl.asarray\(x, "float32"\) or model.astype',
        FIRST,
    ),
    "a list": (
        IMAGES.tolist(),
        TypeError,
        r"expected an array, got list; convert it with minidl.asarray",
        FIRST,
    ),
    "the other backend": (
        Foreign(),
        TypeError,
        r"expected an array of numpy, got cupy.ndarray \(MINIDL_BACKEND=numpy\); convert it",
        FIRST,
    ),
    "a kernel larger than the image": (
        IMAGES[:, :2],
        ValueError,
        "conv: expected a kernel no larger than",
        FIRST,
    ),
    "another image size": (
        np.ones((4, 12, 12, 3), "float32"),
        ValueError,
        r"linear: expected \(\.\.\., 36\), got \(4, 100\)",
        LAST,
    ),
}


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize(("x", "error", "message", "place"), INPUTS.values(), ids=INPUTS)
def test_an_input_that_does_not_fit(x, error, message, place, fresh):
    model = network()
    if not fresh:
        model.forward(IMAGES)
        model.backward(DY)
    state = model.state()
    gradients = [None if p.grad is None else p.grad.copy() for p in model.parameters()]
    for use in (model.forward, model.vjp, model.predict, model):
        with pytest.raises(error, match=message) as caught:
            use(x)
        assert place in caught.value.__notes__
        assert_untouched(model, state, gradients)
    assert model.training
    with pytest.raises(RuntimeError, match="backward without a forward"):
        model.backward(DY)


@pytest.mark.parametrize(
    ("dy", "error", "message"),
    [
        (DY.T, ValueError, r"gradient: expected shape \(4, 3\), got \(3, 4\)"),
        (DY.tolist(), TypeError, "gradient: expected an array, got list"),
        (Foreign(), TypeError, r"gradient: expected an array of numpy, got cupy.ndarray"),
    ],
)
def test_a_gradient_that_does_not_fit(dy, error, message):
    model = network()
    with pytest.raises(
        RuntimeError, match=r"Sequential\((.|\n)*\): backward without a forward; call forward"
    ):
        model.backward(DY)
    model.forward(IMAGES)
    state = model.state()
    with pytest.raises(error, match=message):
        model.backward(dy)
    assert_untouched(model, state, [None] * len(model.parameters()))
    model.backward(DY)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (LABELS + 1, ValueError, "expected labels from 0 to 2, got 3"),
        (LABELS - 1, ValueError, "expected labels from 0 to 2, got -1"),
        (LABELS[:3], ValueError, r"expected labels of shape \(4,\) or .*, got a target of shape \(3,\)"),
        (LABELS.astype("float32"), TypeError, "expected .*int.*got float32"),
        (LABELS.tolist(), TypeError, "got list"),
    ],
)
@pytest.mark.usefixtures("costly_checks")
def test_labels_that_do_not_fit_reach_neither_loss_nor_model(labels, error, message):
    model, loss = network(), losses.CrossEntropy()
    logits = model.forward(IMAGES)
    state = model.state()
    with pytest.raises(error, match=message):
        loss.forward(logits, labels)
    with pytest.raises(RuntimeError, match="backward without a forward"):
        loss.backward()
    assert_untouched(model, state, [None] * len(model.parameters()))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Conv(3, 4, 3, stride=0).forward(IMAGES), ValueError, "expected stride .*at least 1, got 0"),
        (lambda: MaxPool(2, stride=0).forward(IMAGES), ValueError, "expected stride .*at least 1, got 0"),
        (lambda: AvgPool(0).forward(IMAGES), ValueError, "expected kernel_size .*at least 1, got 0"),
        (lambda: Conv(3, 4, 3, groups=2), ValueError, "groups"),
        (lambda: Dropout(1.0), ValueError, r"Dropout: expected 0 <= p < 1, got 1\.0"),
        (lambda: Dropout(-0.1), ValueError, r"got -0\.1"),
        (lambda: Softmax(axis=2).forward(DY), ValueError, "expected axis between -2 and 1, got 2"),
        (lambda: MaxPool(9).forward(IMAGES), ValueError, "expected a kernel no larger than its padded input"),
    ],
)
def test_options_that_make_no_sense(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_nan_and_inf_pass_through_in_their_sample():
    model = network().eval()
    x = IMAGES.copy()
    x[1, 0, 0, 0], x[2, 0, 0, 0] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        y = model.predict(x)
    assert np.isnan(y[1]).any()
    assert not np.isfinite(y[2]).all()
    np.testing.assert_array_equal(y[[0, 3]], model.predict(IMAGES)[[0, 3]])


def test_a_model_recovers_after_any_of_them():
    model, other = network(), network()
    for x, *_ in INPUTS.values():
        with pytest.raises((TypeError, ValueError)):
            model.forward(x)
    np.testing.assert_array_equal(model.forward(IMAGES), other.forward(IMAGES))
    np.testing.assert_array_equal(model.backward(DY), other.backward(DY))
    assert minidl.accuracy(model.predict(IMAGES), LABELS) <= 1


def test_statistics_of_a_branch_do_not_count_what_its_sum_refuses():
    model = Sequential(Residual(Sequential(BatchNorm(3), Conv(3, 4, 1))), Parallel(ReLU()))
    before = model.state()
    with pytest.raises(ValueError, match="expected both branches of one shape"):
        model.forward(IMAGES)
    assert_untouched(model, before, [None] * len(model.parameters()))
