"""Loss objects: forward and backward in turn, called on arrays or Tensors; and the accuracy."""

import copy
import math
import pickle
import warnings

import pytest

from minidl import ops
from minidl.losses import (
    L1,
    BinaryCrossEntropy,
    CosineEmbedding,
    CrossEntropy,
    Focal,
    Hinge,
    Huber,
    KLDivergence,
    Loss,
    MeanSquaredError,
    MultiMargin,
    NegativeLogLikelihood,
    SmoothL1,
    Triplet,
    accuracy,
)
from minidl.tensor import Tensor
from tests.either import np

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(5, 4)) * 3
LABELS = RNG.integers(0, 4, 5)
P = RNG.dirichlet(np.ones(4), 5)
WEIGHT = RNG.random(4)

# loss, prediction, target, and the operation that it must be
CASES = [
    (CrossEntropy(), LOGITS, LABELS, ops.cross_entropy, {}),
    (CrossEntropy(), LOGITS, P, ops.cross_entropy, {}),
    (CrossEntropy(reduction="sum"), LOGITS, LABELS, ops.cross_entropy, {"reduction": "sum"}),
    (
        CrossEntropy(weight=WEIGHT, ignore_index=2, label_smoothing=0.1),
        LOGITS,
        LABELS,
        ops.cross_entropy,
        {"weight": WEIGHT, "ignore_index": 2, "label_smoothing": 0.1},
    ),
    (CrossEntropy(from_logits=False), P, LABELS, ops.cross_entropy_probabilities, {}),
    (CrossEntropy(from_logits=False), P, np.eye(4)[LABELS], ops.cross_entropy_probabilities, {}),
    (MeanSquaredError(), LOGITS, P, ops.mse_loss, {}),
    (MeanSquaredError(reduction="sum"), LOGITS, P, ops.mse_loss, {"reduction": "sum"}),
    (L1(), LOGITS, P, ops.l1_loss, {}),
    (L1(reduction="sum"), LOGITS, P, ops.l1_loss, {"reduction": "sum"}),
    (SmoothL1(beta=0.5, reduction="sum"), LOGITS, P, ops.smooth_l1_loss, {"beta": 0.5, "reduction": "sum"}),
    (Huber(delta=0.5, reduction="sum"), LOGITS, P, ops.huber_loss, {"delta": 0.5, "reduction": "sum"}),
    (
        NegativeLogLikelihood(weight=WEIGHT, ignore_index=2, reduction="sum"),
        np.log(P),
        LABELS,
        ops.nll_loss,
        {"weight": WEIGHT, "ignore_index": 2, "reduction": "sum"},
    ),
    (
        KLDivergence(log_target=True, reduction="sum"),
        np.log(P),
        np.log(P[::-1]),
        ops.kl_div,
        {"log_target": True, "reduction": "sum"},
    ),
    (
        BinaryCrossEntropy(pos_weight=WEIGHT, reduction="sum"),
        LOGITS,
        P,
        ops.binary_cross_entropy_with_logits,
        {"pos_weight": WEIGHT, "reduction": "sum"},
    ),
    (BinaryCrossEntropy(from_logits=False), P, P[::-1], ops.binary_cross_entropy, {}),
    (
        Focal(alpha=0.5, gamma=1.0, reduction="sum"),
        LOGITS,
        P,
        ops.focal_loss,
        {"alpha": 0.5, "gamma": 1.0, "reduction": "sum"},
    ),
    (
        Hinge(margin=0.5, reduction="sum"),
        LOGITS,
        np.sign(LOGITS[::-1]),
        ops.hinge_loss,
        {"margin": 0.5, "reduction": "sum"},
    ),
    (
        MultiMargin(p=2, margin=0.5, weight=WEIGHT, reduction="sum"),
        LOGITS,
        LABELS,
        ops.multi_margin_loss,
        {"p": 2, "margin": 0.5, "weight": WEIGHT, "reduction": "sum"},
    ),
]


@pytest.mark.parametrize(("loss", "prediction", "target", "op", "options"), CASES)
def test_a_loss_is_its_operation(loss, prediction, target, op, options):
    y, pullback = op(prediction, target=target, **options)
    assert loss.forward(prediction, target) == y
    np.testing.assert_array_equal(loss.backward(), pullback(np.ones_like(y)))
    value, again = loss.vjp(prediction, target)
    assert value == y
    np.testing.assert_array_equal(again(np.asarray(2.0)), pullback(np.asarray(2.0)))


@pytest.mark.parametrize(("loss", "prediction", "target", "op", "options"), CASES)
def test_on_tensors_it_records_and_on_arrays_it_is_forward(loss, prediction, target, op, options):
    expected, pullback = op(prediction, target=target, **options)
    leaf = Tensor(prediction, requires_grad=True)
    y = loss(leaf, target)
    assert isinstance(y, Tensor)
    y.backward()
    assert y.data == expected
    np.testing.assert_array_equal(leaf.grad, pullback(np.ones_like(expected)))
    assert loss(Tensor(prediction), Tensor(target)).data == expected
    assert loss(prediction, target) == expected
    np.testing.assert_array_equal(loss.backward(), leaf.grad)


PAIRS = [
    (
        CosineEmbedding(margin=0.1, reduction="sum"),
        (LOGITS, P),
        (np.array([1, -1, 1, -1, -1]),),
        ops.cosine_embedding_loss,
        {"margin": 0.1, "reduction": "sum"},
    ),
    (
        Triplet(margin=0.5, p=3, reduction="sum"),
        (LOGITS, P, P[::-1]),
        (),
        ops.triplet_margin_loss,
        {"margin": 0.5, "p": 3, "reduction": "sum"},
    ),
]


@pytest.mark.parametrize(("loss", "predictions", "targets", "op", "options"), PAIRS)
def test_losses_of_several_predictions_return_a_gradient_for_each(loss, predictions, targets, op, options):
    options = {**options, **({"target": targets[0]} if targets else {})}
    y, pullback = op(*predictions, **options)
    assert loss.forward(*predictions, *targets) == y
    for found, expected in zip(loss.backward(), pullback(np.ones_like(y)), strict=True):
        np.testing.assert_array_equal(found, expected)
    leaves = [Tensor(x, requires_grad=True) for x in predictions]
    result = loss(*leaves, *targets)
    result.backward()
    assert result.data == y
    for leaf, expected in zip(leaves, pullback(np.ones_like(y)), strict=True):
        np.testing.assert_array_equal(leaf.grad, expected)


def test_without_a_reduction_the_upstream_is_asked_for():
    loss = MeanSquaredError(reduction="none")
    losses = loss.forward(LOGITS, P)
    np.testing.assert_array_equal(losses, (LOGITS - P) ** 2)
    with pytest.raises(
        ValueError, match=r"expected an upstream gradient of shape \(5, 4\), got none; call backward"
    ):
        loss.backward()
    with pytest.raises(ValueError, match=r"expected shape \(5, 4\), got \(5,\)"):
        loss.backward(np.ones(5))
    np.testing.assert_allclose(loss.backward(losses), 2 * (LOGITS - P) * losses)


def test_a_float32_loss_takes_a_float32_upstream():
    loss = CrossEntropy(reduction="none")
    loss.forward(LOGITS.astype("float32"), LABELS)
    assert loss.backward(np.ones(5)).dtype == np.float32


@pytest.mark.parametrize("loss", [CrossEntropy(label_smoothing=0.1), MeanSquaredError()])
def test_backward_before_forward_and_backward_twice_name_the_loss(loss):
    name = repr(loss).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(
        RuntimeError, match=f"{name}: backward without a forward; call forward once before each"
    ):
        loss.backward()
    loss.forward(LOGITS, P)
    loss.backward()
    with pytest.raises(RuntimeError, match=f"{name}: backward without a forward"):
        loss.backward()


def test_a_forward_that_fails_leaves_nothing_to_go_back_through():
    loss = MeanSquaredError()
    loss.forward(LOGITS, P)
    with pytest.raises(ValueError, match="mse_loss: expected a target of shape") as caught:
        loss.forward(LOGITS, P[:2])
    assert caught.value.__notes__ == ["in MeanSquaredError()"]
    with pytest.raises(RuntimeError, match="backward without a forward"):
        loss.backward()


def test_m28_the_loss_reported_is_the_loss():
    logits, labels = np.log([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]), np.array([0, 2])
    np.testing.assert_allclose(CrossEntropy().forward(logits, labels), -(math.log(0.5) + math.log(0.8)) / 2)
    np.testing.assert_allclose(
        CrossEntropy(reduction="sum").forward(logits, labels), -math.log(0.5) - math.log(0.8)
    )


def test_m12_the_mean_of_squared_errors_and_its_gradient_divide_by_all_elements():
    loss = MeanSquaredError()
    assert loss.forward(np.full((2, 5), 3.0), np.ones((2, 5))) == 4
    np.testing.assert_array_equal(loss.backward(), np.full((2, 5), 2 * 2 / 10))


class TestSoftmaxTwice:
    """M24: probabilities handed to a loss from logits."""

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_m24_probabilities_are_noticed_once_for_each_loss(self, dtype):
        loss = CrossEntropy()
        with pytest.warns(
            UserWarning, match=r"CrossEntropy\(\): .* looks like probabilities.*from_logits=False"
        ) as caught:
            loss.forward(P.astype(dtype), LABELS)
        assert caught[0].filename == __file__
        loss.forward(P, LABELS)
        with pytest.warns(UserWarning, match="looks like probabilities"):
            CrossEntropy()(Tensor(P), LABELS)

    @pytest.mark.parametrize(
        "scores", [LOGITS, P * 1.01, P - 0.3, LOGITS * 0, LOGITS * 1e300, P[:0], P * math.nan]
    )
    def test_logits_are_not(self, scores):
        CrossEntropy().forward(scores, LABELS[: len(scores)])

    def test_only_the_first_forward_is_looked_at(self):
        loss = CrossEntropy()
        loss.forward(LOGITS, LABELS)
        loss.forward(P, LABELS)

    def test_a_loss_of_probabilities_expects_them(self):
        CrossEntropy(from_logits=False).forward(P, LABELS)


def test_a_target_that_waits_for_a_gradient_is_refused():
    with pytest.raises(
        ValueError, match=r"MeanSquaredError\(\): targets and weights take no gradient.*detach"
    ):
        MeanSquaredError()(Tensor(LOGITS, requires_grad=True), Tensor(P, requires_grad=True))


@pytest.mark.parametrize(
    ("loss", "text"),
    [
        (CrossEntropy(), "CrossEntropy()"),
        (
            CrossEntropy(from_logits=False, reduction="sum"),
            "CrossEntropy(from_logits=False, reduction='sum')",
        ),
        (
            CrossEntropy(weight=WEIGHT, ignore_index=-1, label_smoothing=0.1),
            "CrossEntropy(weight=<array (4,)>, ignore_index=-1, label_smoothing=0.1)",
        ),
        (MeanSquaredError(reduction="none"), "MeanSquaredError(reduction='none')"),
        (L1(), "L1()"),
        (SmoothL1(0.5), "SmoothL1(beta=0.5)"),
        (Huber(0.5), "Huber(delta=0.5)"),
        (NegativeLogLikelihood(ignore_index=0), "NegativeLogLikelihood(ignore_index=0)"),
        (KLDivergence(log_target=True), "KLDivergence(log_target=True)"),
        (BinaryCrossEntropy(False, 2.0), "BinaryCrossEntropy(from_logits=False, pos_weight=2.0)"),
        (Focal(alpha=None), "Focal(alpha=None)"),
        (Hinge(0.5, "sum"), "Hinge(margin=0.5, reduction='sum')"),
        (MultiMargin(2), "MultiMargin(p=2)"),
        (CosineEmbedding(0.5), "CosineEmbedding(margin=0.5)"),
        (Triplet(p=1), "Triplet(p=1.0)"),
    ],
)
def test_the_repr_says_what_was_asked_for(loss, text):
    assert repr(loss) == text


def test_a_reduction_is_checked_at_once():
    with pytest.raises(ValueError, match="CrossEntropy: expected a reduction of mean, sum, none, got 'avg'"):
        CrossEntropy(reduction="avg")


def test_a_loss_without_vjp_says_so():
    with pytest.raises(NotImplementedError, match=r"Loss: a loss defines vjp\(prediction, target\)"):
        Loss().forward(LOGITS, P)


class TestAccuracy:
    def test_is_the_share_of_rows_that_are_right(self):
        hits = sum(
            int(max(range(4), key=lambda k: row[k]) == label)
            for row, label in zip(LOGITS, LABELS, strict=True)
        )
        assert accuracy(LOGITS, LABELS) == hits / 5
        assert type(accuracy(LOGITS, LABELS)) is float
        assert accuracy(np.eye(3), np.arange(3)) == 1

    def test_of_every_position(self):
        assert accuracy(np.zeros((2, 3, 4)), np.array([[0, 0, 0], [0, 1, 2]])) == 4 / 6

    def test_of_nothing(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert math.isnan(accuracy(np.zeros((0, 4)), np.zeros(0, dtype=int)))

    @pytest.mark.parametrize(
        ("scores", "labels"), [((5, 4), (4,)), ((5, 4), (5, 4)), ((), ()), ((5, 0), (5,))]
    )
    def test_shapes_that_do_not_agree(self, scores, labels):
        with pytest.raises(ValueError, match=r"accuracy: expected scores \(..., K\) and labels \(...\), got"):
            accuracy(np.zeros(scores), np.zeros(labels, dtype=int))


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        (lambda: Huber(delta=-1), ValueError, "Huber: expected delta > 0, got -1"),
        (lambda: SmoothL1(beta=0), ValueError, "SmoothL1: expected beta > 0, got 0"),
        (lambda: Focal(alpha=2), ValueError, r"Focal: expected alpha in \[0, 1\] or None, got 2"),
        (lambda: Focal(gamma=-1), ValueError, "Focal: expected gamma >= 0, got -1"),
        (lambda: Hinge("1"), TypeError, "Hinge: expected margin as a number, got str"),
        (lambda: MultiMargin(3), ValueError, "MultiMargin: expected p as 1 or 2, got 3"),
        (
            lambda: MultiMargin(weight=[1.0]),
            TypeError,
            "MultiMargin: weight: expected an array, got list",
        ),
        (lambda: Triplet(p=0.5), ValueError, "Triplet: expected p >= 1 and finite, got 0.5"),
        (
            lambda: CosineEmbedding(None),
            TypeError,
            "CosineEmbedding: expected margin as a number, got None",
        ),
        (
            lambda: CrossEntropy(label_smoothing=2),
            ValueError,
            r"expected label_smoothing in \[0, 1\], got 2",
        ),
        (
            lambda: CrossEntropy(label_smoothing="a"),
            TypeError,
            "expected label_smoothing as a number, got str",
        ),
        (lambda: CrossEntropy("mean"), TypeError, "expected from_logits as True or False, got 'mean'"),
        (
            lambda: CrossEntropy(weight=[1, 2, 3]),
            TypeError,
            "CrossEntropy: weight: expected an array, got list",
        ),
        (
            lambda: CrossEntropy(weight=LOGITS),
            ValueError,
            r"CrossEntropy: weight: expected shape \(20,\), got \(5, 4\)",
        ),
        (
            lambda: CrossEntropy(ignore_index=1.5),
            TypeError,
            "CrossEntropy: expected ignore_index as an int or None, got 1.5",
        ),
        (
            lambda: NegativeLogLikelihood([1.0]),
            TypeError,
            "NegativeLogLikelihood: weight: expected an array, got list",
        ),
        (
            lambda: NegativeLogLikelihood(None, "x"),
            TypeError,
            "expected ignore_index as an int or None, got 'x'",
        ),
        (
            lambda: KLDivergence("sum"),
            TypeError,
            "KLDivergence: expected log_target as True or False, got 'sum'",
        ),
        (
            lambda: BinaryCrossEntropy("sum"),
            TypeError,
            "expected from_logits as True or False, got 'sum'",
        ),
        (
            lambda: BinaryCrossEntropy(pos_weight=[1.0]),
            TypeError,
            "BinaryCrossEntropy: pos_weight: expected a number or an array",
        ),
    ],
)
def test_a_loss_checks_its_options_at_once(loss, error, message):
    with pytest.raises(error, match=message):
        loss()


class Distance(Loss):
    """A user's loss that has an __init__ of its own and does not call that of Loss."""

    def __init__(self, gradient):
        self.gradient = gradient

    def vjp(self, prediction, target):
        return np.asarray(abs(prediction - target).sum()), lambda dy: self.gradient


def test_a_loss_need_not_call_the_constructor_of_its_base():
    loss = Distance(np.ones((5, 4)))
    with pytest.raises(RuntimeError, match="backward without a forward"):
        loss.backward()
    loss.forward(LOGITS, P)
    np.testing.assert_array_equal(loss.backward(), np.ones((5, 4)))


def test_a_value_or_gradient_that_is_no_array_is_refused():
    class Number(Loss):
        def vjp(self, prediction, target):
            return 1.0, lambda dy: dy

    with pytest.raises(TypeError, match=r"Number\(\): expected vjp to return .* got a value of type float"):
        Number().forward(LOGITS, P)
    loss = Distance(2.0)
    loss.forward(LOGITS, P)
    with pytest.raises(TypeError, match=r"Distance.*expected the pullback to return an array .* got float"):
        loss.backward()


def test_a_loss_can_be_pickled_and_copied_between_forward_and_backward():
    for loss in (CrossEntropy(weight=WEIGHT), MeanSquaredError()):
        value = loss.forward(LOGITS, LABELS if isinstance(loss, CrossEntropy) else P)
        for twin in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)):
            with pytest.raises(RuntimeError, match="backward without a forward"):
                twin.backward()
            np.testing.assert_array_equal(
                twin.forward(LOGITS, LABELS if isinstance(loss, CrossEntropy) else P), value
            )
        loss.backward()


def test_scores_that_are_nan_are_no_hits():
    scores = np.array([[math.nan, math.nan], [math.nan, 1.0], [0.0, 1.0]])
    assert accuracy(scores, np.array([0, 0, 1])) == 1 / 3
