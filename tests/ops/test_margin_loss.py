"""Losses with a margin: hinge, multi-class margin, cosine embedding, triplets."""

import functools
import math

import pytest

from minidl import backend
from minidl.ops.margin_loss import cosine_embedding_loss, hinge_loss, multi_margin_loss, triplet_margin_loss
from tests.either import np
from tests.numerics import assert_pullback

REDUCTIONS = ("mean", "sum", "none")
RNG = np.random.default_rng(0)
X, LABELS, WEIGHT = RNG.normal(size=(6, 4)) * 2, RNG.integers(0, 4, 6), RNG.random(4)
SIGNS = np.sign(RNG.normal(size=(6, 4)))
A, B, C = RNG.normal(size=(3, 6, 4))
TOGETHER = np.array([1, -1, -1, 1, -1, -1])


def reported(losses, reduction):
    return {"none": losses, "sum": np.sum(losses), "mean": np.mean(losses)}[reduction]


@pytest.mark.parametrize("reduction", REDUCTIONS)
class TestHinge:
    @pytest.mark.parametrize("margin", [1.0, 0.3])
    def test_equals_loops_and_has_its_gradient(self, reduction, margin):
        losses = [max(0.0, margin - float(t * x)) for t, x in zip(SIGNS.flat, X.flat, strict=True)]
        asked = {"target": SIGNS, "margin": margin, "reduction": reduction}
        np.testing.assert_allclose(
            hinge_loss(X, **asked)[0], reported(np.reshape(losses, (6, 4)), reduction), rtol=1e-14
        )
        assert_pullback(functools.partial(hinge_loss, **asked), X)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("margin", [1.0, 0.3])
@pytest.mark.parametrize("weight", [None, WEIGHT])
class TestMultiMargin:
    def test_equals_loops_and_has_its_gradient(self, reduction, p, margin, weight):
        losses = []
        for row, label in zip(X.tolist(), LABELS.tolist(), strict=True):
            short = [max(0.0, margin - row[label] + row[k]) ** p for k in range(4) if k != label]
            losses.append((1 if weight is None else weight[label]) * sum(short) / 4)
        asked = {"target": LABELS, "p": p, "margin": margin, "weight": weight, "reduction": reduction}
        np.testing.assert_allclose(multi_margin_loss(X, **asked)[0], reported(losses, reduction), rtol=1e-14)
        assert_pullback(functools.partial(multi_margin_loss, **asked), X)

    def test_agrees_with_torch(self, reduction, p, margin, weight, torch):
        y, pullback = multi_margin_loss(
            X, target=LABELS, p=p, margin=margin, weight=weight, reduction=reduction
        )
        leaf = torch.tensor(X, requires_grad=True)
        theirs = torch.nn.functional.multi_margin_loss(
            leaf,
            torch.tensor(LABELS),
            p=p,
            margin=margin,
            weight=None if weight is None else torch.tensor(weight),
            reduction=reduction,
        )
        dy = np.asarray(RNG.normal(size=y.shape))
        theirs.backward(torch.tensor(dy))
        np.testing.assert_allclose(y, theirs.detach(), rtol=1e-13)
        np.testing.assert_allclose(pullback(dy), leaf.grad, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("margin", [0.0, -0.5, 0.2])
class TestCosineEmbedding:
    def test_equals_loops_and_has_its_gradients(self, reduction, margin):
        losses = []
        for a, b, t in zip(A.tolist(), B.tolist(), TOGETHER.tolist(), strict=True):
            cosine = sum(map(float.__mul__, a, b)) / math.hypot(*a) / math.hypot(*b)
            losses.append(1 - cosine if t == 1 else max(0.0, cosine - margin))
        asked = {"target": TOGETHER, "margin": margin, "reduction": reduction}
        np.testing.assert_allclose(
            cosine_embedding_loss(A, B, **asked)[0], reported(losses, reduction), rtol=1e-13
        )
        assert_pullback(functools.partial(cosine_embedding_loss, **asked), A, B)

    def test_agrees_with_torch(self, reduction, margin, torch):
        y, pullback = cosine_embedding_loss(A, B, target=TOGETHER, margin=margin, reduction=reduction)
        leaves = [torch.tensor(x, requires_grad=True) for x in (A, B)]
        theirs = torch.nn.functional.cosine_embedding_loss(
            *leaves, torch.tensor(TOGETHER), margin=margin, reduction=reduction
        )
        dy = np.asarray(RNG.normal(size=y.shape))
        theirs.backward(torch.tensor(dy))
        np.testing.assert_allclose(y, theirs.detach(), rtol=1e-10)  # torch adds 1e-12 to the squared lengths
        for gradient, leaf in zip(pullback(dy), leaves, strict=True):
            np.testing.assert_allclose(gradient, leaf.grad, rtol=1e-9, atol=1e-11)


def test_a_single_row_without_a_batch():
    for y, pullback in (
        hinge_loss(np.asarray(0.5), target=np.asarray(1), reduction="none"),
        multi_margin_loss(X[0], target=np.asarray(1), reduction="none"),
        cosine_embedding_loss(A[0], B[0], target=np.asarray(1), reduction="none"),
        triplet_margin_loss(A[0], B[0], C[0], reduction="none"),
    ):
        assert type(y) is np.ndarray
        assert y.shape == ()
        gradients = pullback(np.ones_like(y))
        for gradient in gradients if isinstance(gradients, tuple) else (gradients,):
            assert type(gradient) is np.ndarray


def test_a_vector_of_zeros_has_cosine_zero_and_no_gradient():
    a, b = np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[1.0, 2.0], [0.0, 0.0]])
    y, pullback = cosine_embedding_loss(a, b, target=np.ones(2), reduction="none")
    np.testing.assert_array_equal(y, [1, 1])
    da, db = pullback(np.ones(2))
    np.testing.assert_array_equal(da[0], [0, 0])
    np.testing.assert_array_equal(db[1], [0, 0])


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
@pytest.mark.parametrize("margin", [1.0, 0.1])
class TestTriplet:
    def test_equals_loops_and_has_its_gradients(self, reduction, p, margin):
        def distance(a, b):
            return sum(abs(u - v) ** p for u, v in zip(a, b, strict=True)) ** (1 / p)

        losses = [
            max(0.0, distance(a, b) - distance(a, c) + margin)
            for a, b, c in zip(A.tolist(), B.tolist(), C.tolist(), strict=True)
        ]
        asked = {"p": p, "margin": margin, "reduction": reduction}
        np.testing.assert_allclose(
            triplet_margin_loss(A, B, C, **asked)[0], reported(losses, reduction), rtol=1e-13
        )
        assert_pullback(functools.partial(triplet_margin_loss, **asked), A, B, C)

    def test_agrees_with_torch(self, reduction, p, margin, torch):
        y, pullback = triplet_margin_loss(A, B, C, p=p, margin=margin, reduction=reduction)
        leaves = [torch.tensor(x, requires_grad=True) for x in (A, B, C)]
        theirs = torch.nn.functional.triplet_margin_loss(
            *leaves, margin=margin, p=p, eps=0, reduction=reduction
        )
        dy = np.asarray(RNG.normal(size=y.shape))
        theirs.backward(torch.tensor(dy))
        np.testing.assert_allclose(y, theirs.detach(), rtol=1e-12)
        for gradient, leaf in zip(pullback(dy), leaves, strict=True):
            np.testing.assert_allclose(gradient, leaf.grad, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_equal_vectors_have_no_direction_and_no_gradient(p):
    y, pullback = triplet_margin_loss(A, A, A, p=p, margin=0.5)
    assert y == 0.5
    for gradient in pullback(np.ones_like(y)):
        np.testing.assert_array_equal(gradient, np.zeros_like(A))


# every loss, as (operation, arrays, options)
ALL = {
    "hinge": (hinge_loss, (X,), {"target": SIGNS}),
    "multi_margin": (multi_margin_loss, (X,), {"target": LABELS, "weight": WEIGHT}),
    "cosine": (cosine_embedding_loss, (A, B), {"target": TOGETHER}),
    "triplet": (triplet_margin_loss, (A, B, C), {}),
}


@pytest.mark.parametrize("name", ALL)
class TestEachLoss:
    def test_what_is_right_by_more_than_the_margin_costs_nothing(self, name):
        op, arrays, options = ALL[name]
        if name == "cosine":
            options = {**options, "target": -np.ones(6), "margin": 1.0}
        else:
            options = {**options, "margin": -100.0}
        y, pullback = op(*arrays, **options)
        assert y == 0
        gradients = pullback(np.ones_like(y))
        for gradient in gradients if isinstance(gradients, tuple) else (gradients,):
            np.testing.assert_array_equal(gradient, np.zeros_like(gradient))

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    @pytest.mark.parametrize("reduction", REDUCTIONS)
    def test_m17_dtypes(self, name, dtype, reduction):
        op, arrays, options = ALL[name]
        y, pullback = op(*(a.astype(dtype) for a in arrays), reduction=reduction, **options)
        assert type(y) is np.ndarray
        assert y.dtype == np.result_type(dtype, "float32")
        gradients = pullback(y)
        assert {g.dtype for g in (gradients if isinstance(gradients, tuple) else (gradients,))} == {
            np.dtype(dtype)
        }

    def test_of_nothing(self, name):
        op, arrays, options = ALL[name]
        options = {k: v[:0] if k == "target" else v for k, v in options.items()}
        y, pullback = op(*(a[:0] for a in arrays), **options)
        assert np.isnan(y)
        gradients = pullback(y)
        assert {g.shape for g in (gradients if isinstance(gradients, tuple) else (gradients,))} == {(0, 4)}

    def test_reduction(self, name):
        op, arrays, options = ALL[name]
        with pytest.raises(
            ValueError, match=f"{op.__name__}: expected a reduction of mean, sum, none, got 'avg'"
        ):
            op(*arrays, **options, reduction="avg")

    def test_types(self, name):
        op, arrays, options = ALL[name]
        with pytest.raises(TypeError, match=f"{op.__name__}: expected an array, got list"):
            op([1.0], *arrays[1:], **options)
        with pytest.raises(TypeError, match=f"{op.__name__}: expected a floating-point array, got int64"):
            op(np.zeros((6, 4), dtype=int), *arrays[1:], **options)


class TestBadInput:
    @pytest.mark.parametrize("bad", [0, 2, -0.5])
    @pytest.mark.usefixtures("costly_checks")
    def test_targets_that_are_no_signs(self, bad, monkeypatch):
        targets = np.where(np.arange(6) == 3, bad, 1.0)
        cases = (
            lambda: hinge_loss(X[:, 0], target=targets, reduction="none"),
            lambda: cosine_embedding_loss(A, B, target=targets, reduction="none"),
            lambda: cosine_embedding_loss(A, B, target=-targets, reduction="none"),
        )
        for call in cases:
            with pytest.raises(
                ValueError, match=r"expected targets of -1 and 1, got .*; of labels 0 and 1 make 2"
            ):
                call()
        monkeypatch.setattr(backend, "name", "cupy")
        monkeypatch.setattr(backend, "DEBUG", False)
        for call in cases:
            y, pullback = call()
            np.testing.assert_array_equal(np.isnan(y), np.arange(6) == 3)
            gradients = pullback(np.ones(6))
            first = gradients[0] if isinstance(gradients, tuple) else gradients[:, None]
            np.testing.assert_array_equal(np.isnan(first).any(axis=1), np.arange(6) == 3)

    def test_shapes(self):
        with pytest.raises(
            ValueError, match=r"hinge_loss: expected a target of shape \(6, 4\) like the prediction"
        ):
            hinge_loss(X, target=SIGNS[:, 0])
        with pytest.raises(
            ValueError, match=r"multi_margin_loss: expected labels of shape \(6,\), got a target of \(6, 4\)"
        ):
            multi_margin_loss(X, target=SIGNS)
        with pytest.raises(
            ValueError, match=r"cosine_embedding_loss: target: expected shape \(6,\), got \(5,\)"
        ):
            cosine_embedding_loss(A, B, target=TOGETHER[:5])
        with pytest.raises(ValueError, match=r"cosine_embedding_loss: expected shape \(6, 4\), got \(6, 3\)"):
            cosine_embedding_loss(A, B[:, :3], target=TOGETHER)
        with pytest.raises(
            ValueError, match=r"triplet_margin_loss: expected vectors \(..., D\), got shape \(\)"
        ):
            triplet_margin_loss(np.asarray(1.0), np.asarray(1.0), np.asarray(1.0))

    def test_dtypes_that_differ(self):
        with pytest.raises(
            TypeError, match="triplet_margin_loss: expected float64 like the first argument, got float32"
        ):
            triplet_margin_loss(A, B, C.astype("float32"))

    @pytest.mark.usefixtures("costly_checks")
    def test_labels_out_of_range(self):
        with pytest.raises(ValueError, match="multi_margin_loss: expected labels from 0 to 3, got 4"):
            multi_margin_loss(X, target=np.full(6, 4))

    @pytest.mark.parametrize("p", [0, 3, 1.5])
    def test_p_of_the_multi_margin(self, p):
        with pytest.raises(ValueError, match="multi_margin_loss: expected p as 1 or 2, got"):
            multi_margin_loss(X, target=LABELS, p=p)

    @pytest.mark.parametrize("p", [0.5, math.inf, math.nan])
    def test_p_of_the_triplet(self, p):
        with pytest.raises(ValueError, match="triplet_margin_loss: expected p >= 1 and finite, got"):
            triplet_margin_loss(A, B, C, p=p)


@pytest.mark.parametrize("scale", [1e30, 1e-30, 1e-3])
def test_the_cosine_of_large_and_small_vectors(scale):
    a, b = (np.array(rows, np.float32) for rows in ([[3, 4], [0, 0]], [[4, 3], [1, 2]]))
    t = np.array([1, 1])
    y, pullback = cosine_embedding_loss(
        a * np.float32(scale), b * np.float32(scale), target=t, reduction="none"
    )
    np.testing.assert_allclose(y, [1 - 24 / 25, 1], rtol=1e-5)
    da, _ = pullback(np.ones_like(y))
    np.testing.assert_allclose(da[0], np.array([-0.0448, 0.0336]) / scale, rtol=1e-4)
