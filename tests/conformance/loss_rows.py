"""The losses that are compared with PyTorch: one row each.

Classes are on the last axis here and on the second there. A name may say more after a blank.
"""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from minidl import losses
from minidl.backend import asarray
from tests.conformance.rows import Row, Settings, exact, images, named, normal, positive, with_shapes
from tests.either import np

reductions = {"reduction": st.sampled_from(["mean", "sum", "none"])}
margin = {"margin": st.sampled_from([0.0, 0.5, 1.0])}
matrices = st.tuples(st.integers(2, 5), st.integers(2, 5))
TO_ARRAYS = ("weight", "pos_weight")


def weighing(loss: type[losses.Loss]) -> Callable[..., losses.Loss]:
    """A loss whose weights are given as lists, as they are drawn."""
    return lambda **s: loss(**{k: asarray(v, "float64") if k in TO_ARRAYS else v for k, v in s.items()})


@st.composite
def classifications(
    draw: st.DrawFn, shapes: Any = images, **more: st.SearchStrategy[Any]
) -> tuple[Settings, tuple[int, ...]]:
    shape = draw(shapes)
    settings: Settings = draw(st.fixed_dictionaries({}, optional=reductions | more))
    if draw(st.booleans()):
        settings["weight"] = [draw(st.sampled_from([0.25, 0.5, 1.0, 3.0])) for _ in range(shape[-1])]
    return settings, shape


@st.composite
def questions(draw: st.DrawFn) -> tuple[Settings, tuple[int, ...]]:
    settings, shape = draw(with_shapes(reductions))
    if draw(st.booleans()):
        settings["pos_weight"] = [draw(st.sampled_from([0.25, 1.0, 3.0])) for _ in range(shape[-1])]
    return settings, shape


def labelled(rng: np.random.Generator, shape: tuple[int, ...], settings: Settings) -> list[np.ndarray]:
    """Scores and labels; the first label counts, or a mean could be one of nothing."""
    labels = rng.integers(0, shape[-1], shape[:-1])
    labels.flat[0] = 0 if settings.get("ignore_index") == shape[-1] - 1 else shape[-1] - 1
    return [normal(rng, shape), labels]


def labelled_probabilities(rng: Any, shape: tuple[int, ...], settings: Settings) -> list[np.ndarray]:
    return [probabilities(rng, shape), labelled(rng, shape, settings)[1]]


def distributions(rng: Any, shape: tuple[int, ...], settings: Settings) -> list[np.ndarray]:
    target = probabilities(rng, shape)
    return [
        normal(rng, shape),
        exact(np.log(target)) if settings.get("log_target") else target,
    ]


def probabilities(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    weights = abs(normal(rng, shape)) + 1
    return exact(weights / weights.sum(axis=-1, keepdims=True))


def answered(rng: Any, shape: tuple[int, ...], settings: Settings) -> list[np.ndarray]:
    return [normal(rng, shape), rng.integers(0, 2, shape).astype(np.float64)]


def answered_probabilities(rng: Any, shape: tuple[int, ...], settings: Settings) -> list[np.ndarray]:
    return [exact(rng.uniform(0.1, 0.9, shape)), answered(rng, shape, {})[1]]


def two(rng: np.random.Generator, shape: tuple[int, ...], settings: Settings) -> list[np.ndarray]:
    return [normal(rng, shape), normal(rng, shape)]


def three(rng: np.random.Generator, shape: tuple[int, ...], settings: Settings) -> list[np.ndarray]:
    return [*two(rng, shape, settings), normal(rng, shape)]


def pairs(rng: np.random.Generator, shape: tuple[int, ...], settings: Settings) -> list[np.ndarray]:
    return [*two(rng, shape, settings), rng.choice([-1.0, 1.0], shape[:-1])]


def their_divergence(nn: Any, rank: int, reduction: str = "mean", **settings: Any) -> Any:
    each_element = nn.KLDivLoss(**settings, reduction="none")
    if reduction == "none":  # here a loss for each row, there one for each element
        return lambda x, target: each_element(x, target).sum(-1)
    return nn.KLDivLoss(**settings, reduction="batchmean" if reduction == "mean" else reduction)


smoothing = {"label_smoothing": st.sampled_from([0.0, 0.1, 0.75])}
ignored = {"ignore_index": st.sampled_from([-100, 0, 1])}

LOSSES = {
    "BinaryCrossEntropy": Row(
        weighing(losses.BinaryCrossEntropy), named("BCEWithLogitsLoss"), questions(), answered
    ),
    "BinaryCrossEntropy of probabilities": Row(
        lambda **s: losses.BinaryCrossEntropy(**s, from_logits=False),
        named("BCELoss"),
        with_shapes(reductions),
        answered_probabilities,
    ),
    "CosineEmbedding": Row(
        losses.CosineEmbedding,
        named("CosineEmbeddingLoss"),
        with_shapes(reductions | margin, matrices),
        pairs,
        predictions=2,
    ),
    "CrossEntropy": Row(
        weighing(losses.CrossEntropy),
        named("CrossEntropyLoss"),
        classifications(**smoothing, **ignored),
        labelled,
        channels=True,
    ),
    "CrossEntropy of distributions": Row(
        weighing(losses.CrossEntropy),
        named("CrossEntropyLoss"),
        classifications(**smoothing),
        distributions,
        channels=True,
    ),
    "CrossEntropy of probabilities": Row(
        lambda **s: weighing(losses.CrossEntropy)(**s, from_logits=False),
        lambda nn, rank, **s: lambda p, labels: nn.NLLLoss(**s)(p.log(), labels),
        classifications(**ignored),
        labelled_probabilities,
        channels=True,
    ),
    "Huber": Row(losses.Huber, named("HuberLoss"), with_shapes(reductions | {"delta": positive}), two),
    "KLDivergence": Row(
        losses.KLDivergence,
        their_divergence,
        with_shapes(reductions | {"log_target": st.booleans()}, matrices),
        distributions,
    ),
    "L1": Row(losses.L1, named("L1Loss"), with_shapes(reductions), two),
    "MeanSquaredError": Row(losses.MeanSquaredError, named("MSELoss"), with_shapes(reductions), two),
    "MultiMargin": Row(
        weighing(losses.MultiMargin),
        named("MultiMarginLoss"),
        classifications(matrices, p=st.integers(1, 2), margin=positive),
        labelled,
    ),
    "NegativeLogLikelihood": Row(
        weighing(losses.NegativeLogLikelihood),
        named("NLLLoss"),
        classifications(**ignored),
        labelled,
        channels=True,
    ),
    "SmoothL1": Row(
        losses.SmoothL1, named("SmoothL1Loss"), with_shapes(reductions | {"beta": positive}), two
    ),
    "Triplet": Row(
        losses.Triplet,
        lambda nn, rank, **s: nn.TripletMarginLoss(**s, eps=1e-30),
        # not p = 1: it has kinks, and PyTorch decides there by its eps; tests/ops has it beside them
        with_shapes(reductions | {"margin": positive, "p": st.sampled_from([1.5, 2.0, 3.0])}, matrices),
        three,
        predictions=3,
    ),
}

LOSSES_WITHOUT = {
    "Focal": "not in PyTorch; its own tests have the formula",
    "Hinge": "not in PyTorch; its own tests have the formula",
    "Loss": "the base class",
}
