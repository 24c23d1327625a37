"""Options: a number of NumPy's is as good as one of Python's, and changes no dtype."""

import pytest

from minidl import layers, ops
from tests.either import np

X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
LABELS = np.array([0, 2, 1, 0])
SIGNS = np.sign(X)
HARD = (X > 0).astype(np.float32)


@pytest.mark.parametrize("number", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize(
    ("op", "target", "options"),
    [
        (ops.cross_entropy, LABELS, {"label_smoothing": 0.25}),
        (ops.huber_loss, -X, {"delta": 0.5}),
        (ops.smooth_l1_loss, -X, {"beta": 0.5}),
        (ops.hinge_loss, SIGNS, {"margin": 0.5}),
        (ops.multi_margin_loss, LABELS, {"margin": 0.5}),
        (ops.focal_loss, HARD, {"alpha": 0.5, "gamma": 1.5}),
        (ops.binary_cross_entropy_with_logits, HARD, {"pos_weight": 3.0}),
        (ops.softplus, None, {"beta": 0.5}),
    ],
)
def test_numbers_of_numpy_change_nothing(op, target, options, number):
    asked = {} if target is None else {"target": target}
    y, pullback = op(X, **asked, **options)
    same, its_pullback = op(X, **asked, **{name: number(value) for name, value in options.items()})
    assert same.dtype == np.float32
    np.testing.assert_array_equal(same, y)
    np.testing.assert_array_equal(its_pullback(np.ones_like(y)), pullback(np.ones_like(y)), strict=True)


def test_numbers_of_numpy_in_losses_of_several_predictions():
    signs = np.array([1, -1, 1, -1])
    for margin in (0.5, np.float64(0.5)):
        assert ops.cosine_embedding_loss(X, X[::-1], target=signs, margin=margin)[0].dtype == np.float32
        assert ops.triplet_margin_loss(X, X + 1, X - 1, margin=margin, p=margin * 4)[0].dtype == np.float32


@pytest.mark.parametrize(
    "layer",
    [
        lambda n: layers.BatchNorm(3, eps=n(1e-3), momentum=n(0.1)),
        lambda n: layers.LayerNorm(3, eps=n(1e-3)),
        lambda n: layers.RMSNorm(3, eps=n(1e-3)),
        lambda n: layers.Dropout(n(0.5)),
    ],
)
def test_numbers_of_numpy_widen_no_layer(layer):
    for number in (np.float64, np.float32):
        made = layer(number)
        assert made.forward(X).dtype == made.backward(X).dtype == np.float32
        assert all(b.data.dtype != np.float64 for _, b in made.buffers())
        assert "np." not in repr(made)


def test_numbers_of_numpy_widen_no_norm():
    eps = np.float64(1e-3)
    for y, _ in (ops.layer_norm(X, normalized_shape=(3,), eps=eps), ops.instance_norm(X[None], eps=eps)):
        assert y.dtype == np.float32
    for part in ops.batch_norm(X, eps=eps)[0]:
        assert part.dtype == np.float32


def test_a_truth_value_or_a_text_is_no_number():
    for bad in (True, np.bool_(True), "0.5", np.ones(1), None):
        with pytest.raises(
            TypeError, match=f"huber_loss: expected delta as a number, got {type(bad).__name__}"
        ):
            ops.huber_loss(X, target=X, delta=bad)
    with pytest.raises(TypeError, match="expected label_smoothing as a number, got str"):
        ops.cross_entropy(X, target=LABELS, label_smoothing="a")
