"""What went wrong: a wrong gradient is compared with the known ways in which gradients are wrong.

Each row of ``KINDS`` has a name, the transform that makes this wrong gradient from the right one, and the
sentence that says so.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from minidl.backend import Array, generator, silent_overflow, xp
from minidl.testing.subject import Arrays

CLOSE = 1e-6  # how near a transform must come, relative to the largest entry


@dataclass(frozen=True)
class Evidence:
    """A wrong gradient, and all that is known about the right one.

    Args:
        argument: its name.
        got: the wrong gradient.
        x: the argument.
        y: the outputs.
        dy: their upstream gradients.
        jacobian: the derivatives by differences, ``(outputs, inputs)``.
        others: the right gradients of the other arguments, by name.
        pull: the pullback under test, for this argument.
    """

    argument: str
    got: Array
    x: Array
    y: Arrays
    dy: Arrays
    jacobian: Array
    others: dict[str, Array] = field(default_factory=dict)
    pull: Callable[[Arrays], Array] | None = None

    @cached_property
    def upstream(self) -> Array:
        """The upstream gradients in one row."""
        return xp.concatenate([d.reshape(-1) for d in self.dy])

    @cached_property
    def expected(self) -> Array:
        """The right gradient: the transposed Jacobian times the upstream."""
        return self.pulled(self.upstream)

    @property
    def keeps_shape(self) -> bool:
        """Whether there is one output, of the shape of the argument."""
        return len(self.y) == 1 and self.y[0].shape == self.x.shape

    def pulled(self, upstream: Array) -> Array:
        """Return the right gradient for another upstream, given as one row."""
        return (upstream @ self.jacobian).reshape(self.x.shape)

    def pulled_under_test(self, upstream: Array) -> Array | None:
        """Return what the pullback under test gives for another upstream, given as one row."""
        if self.pull is None:
            return None
        ends = [0, *_running_sum([d.size for d in self.dy])]
        parts = [
            upstream[start:stop].reshape(d.shape)
            for d, start, stop in zip(self.dy, ends, ends[1:], strict=False)
        ]
        return self.pull(tuple(parts))

    def resembles(self, candidate: Array | None) -> bool:
        """Tell whether a gradient is, to rounding, the wrong one that was found."""
        if candidate is None or candidate.shape != self.got.shape:
            return False
        scale = float(abs(self.got).max()) if self.got.size else 0.0
        return bool((abs(candidate - self.got) <= CLOSE * scale).all())


class Kind(NamedTuple):
    """A way to be wrong."""

    name: str
    transform: Callable[[Evidence], Iterator[Array | None]]
    sentence: str


class Diagnosis(NamedTuple):
    """The kind of mistake that fits, and a sentence about it."""

    name: str
    sentence: str


def diagnose(evidence: Evidence) -> Diagnosis | None:
    """Return the first kind of mistake whose transform gives the wrong gradient, or nothing."""
    for kind in KINDS:
        if any(evidence.resembles(candidate) for candidate in kind.transform(evidence)):
            return Diagnosis(kind.name, kind.sentence.format(**_facts(evidence)))
    return None


def _facts(e: Evidence) -> dict[str, str]:
    """What the sentences may mention."""
    factor = _factor(e)
    same = [name for name, other in e.others.items() if e.resembles(other)]
    return {
        "argument": e.argument,
        "factor": f"{factor:.6g}",
        "inverse": f"{1 / factor:.6g}" if factor else "inf",
        "other": same[0] if same else "another argument",
        "shape": str(e.x.shape),
        "got_shape": str(e.got.shape),
    }


def _factor(e: Evidence) -> float:
    """Return the factor by which the wrong gradient differs, if by any."""
    if e.got.shape != e.x.shape or not e.expected.size:
        return math.nan
    square = float((e.expected * e.expected).sum())
    return float((e.got * e.expected).sum()) / square if square else math.nan


def _counts(e: Evidence) -> set[int]:
    """The numbers that a mean may be taken over."""
    shapes = [e.x.shape, *(part.shape for part in e.y), *(other.shape for other in e.others.values())]
    counts = {math.prod(shape) for shape in shapes} | {n for shape in shapes for n in shape}
    counts |= {math.prod(shape[:-1]) for shape in shapes} | {math.prod(shape[1:]) for shape in shapes}
    return counts - {0, 1}


def _zero(e: Evidence) -> Iterator[Array | None]:
    yield xp.zeros_like(e.x)


def _negated(e: Evidence) -> Iterator[Array | None]:
    yield -e.expected


def _identity(e: Evidence) -> Iterator[Array | None]:
    if e.keeps_shape:
        yield e.dy[0]


def _for_ones(e: Evidence) -> Iterator[Array | None]:
    yield e.pulled(xp.ones_like(e.upstream))
    another = xp.asarray(generator(1).normal(size=e.upstream.shape))
    yield e.pulled_under_test(another)  # whatever comes in, the same comes out


def _averaged(e: Evidence) -> Iterator[Array | None]:
    yield from (e.expected / n for n in _counts(e))


def _summed(e: Evidence) -> Iterator[Array | None]:
    yield from (e.expected * n for n in _counts(e))


def _diagonal(e: Evidence) -> Iterator[Array | None]:
    if e.keeps_shape:
        yield xp.asarray(e.jacobian.diagonal() * e.upstream).reshape(e.x.shape)


def _transposed(e: Evidence) -> Iterator[Array | None]:
    if e.jacobian.shape[0] == e.jacobian.shape[1]:
        yield (e.jacobian @ e.upstream).reshape(e.x.shape)
    if e.x.ndim >= 2:
        swapped = e.expected.swapaxes(-1, -2)
        yield swapped
        yield swapped.reshape(e.x.shape)


def _of_another(e: Evidence) -> Iterator[Array | None]:
    yield from e.others.values()


def _unmasked(e: Evidence) -> Iterator[Array | None]:
    zero = abs(e.expected) <= CLOSE * abs(e.expected).max() if e.expected.size else e.expected == 0
    if e.got.shape == e.x.shape and zero.any() and not zero.all():
        yield xp.where(zero, e.got, e.expected)


def _unscaled(e: Evidence) -> Iterator[Array | None]:
    if e.keeps_shape:
        yield e.dy[0] * (abs(e.expected) > CLOSE * abs(e.expected).max())


def _along_other_axes(e: Evidence) -> Iterator[Array | None]:
    if not e.keeps_shape or e.pull is None or e.x.ndim < 2:
        return
    rows = [e.pulled_under_test(row) for row in xp.eye(e.upstream.size)]
    table = xp.stack([row.reshape(-1) for row in rows if row is not None])
    if _coupled_axes(table, e.x.shape) != _coupled_axes(e.jacobian, e.x.shape):
        yield e.got


def _coupled_axes(jacobian: Array, shape: tuple[int, ...]) -> set[int]:
    """Return the axes along which outputs depend on more than the input in their own place."""
    outs, ins = xp.nonzero(abs(jacobian) > CLOSE * abs(jacobian).max())
    pairs = zip(xp.unravel_index(outs, shape), xp.unravel_index(ins, shape), strict=True)
    return {axis for axis, (a, b) in enumerate(pairs) if (a != b).any()}


def _overwritten(e: Evidence) -> Iterator[Array | None]:
    shares = e.jacobian * e.upstream[:, None]
    present = abs(shares) > CLOSE * abs(shares).max() if shares.size else shares != 0
    if not present.size or int(present.sum(axis=0).max()) < 2:
        return
    columns = xp.arange(shares.shape[1])
    for rows in (present.argmax(axis=0), len(shares) - 1 - present[::-1].argmax(axis=0)):
        yield shares[rows, columns].reshape(e.x.shape)


def _flipped(e: Evidence) -> Iterator[Array | None]:
    for axis in range(e.x.ndim):
        yield xp.flip(e.expected, axis)
        yield xp.flip(e.expected, tuple(range(axis + 1)))


def _without_shortcut(e: Evidence) -> Iterator[Array | None]:
    if e.keeps_shape:
        yield e.expected - e.dy[0]


def _twice_the_shortcut(e: Evidence) -> Iterator[Array | None]:
    if e.keeps_shape:
        yield e.expected + e.dy[0]


def _unsummed(e: Evidence) -> Iterator[Array | None]:
    if len(e.y) == 1 and e.got.shape != e.x.shape:
        yield (e.jacobian.sum(axis=1) * e.upstream).reshape(e.y[0].shape)


def _narrowed(e: Evidence) -> Iterator[Array | None]:
    if e.got.shape != e.x.shape or e.got.dtype.kind != "f":
        return
    for dtype in (xp.float16, xp.float32):
        with silent_overflow():
            survives = e.got.dtype == dtype or bool((e.got.astype(dtype) == e.got).all())
        # what rounding to that dtype does to each entry, and what differences do to all of them
        allowed = 8 * float(xp.finfo(dtype).eps) * abs(e.expected) + 1e-9 * float(abs(e.expected).max())
        if (survives or dtype == xp.float32) and (abs(e.got - e.expected) <= allowed).all():
            yield e.got


def _bent(e: Evidence) -> Iterator[Array | None]:
    doubled = e.pulled_under_test(2 * e.upstream)
    if doubled is not None and abs(doubled - 2 * e.got).max() > CLOSE * abs(e.got).max():
        yield e.got


def _multiplied(e: Evidence) -> Iterator[Array | None]:
    yield _factor(e) * e.expected


def _running_sum(sizes: list[int]) -> list[int]:
    return [sum(sizes[: i + 1]) for i in range(len(sizes))]


KINDS = (
    Kind(
        "narrowed",
        _narrowed,
        "right, but in a lower precision: somewhere a cast or a narrow constant loses digits",
    ),
    Kind(
        "not summed",
        _unsummed,
        "{argument} was broadcast: sum its gradient over those axes, from {got_shape} to {shape}",
    ),
    Kind("zero", _zero, "the gradient of {argument} is zero everywhere"),
    Kind("sign", _negated, "the sign is wrong: every entry is the negative of the true one"),
    Kind(
        "identity",
        _identity,
        "the upstream gradient is passed on unchanged: the pullback must multiply it by the derivative",
    ),
    Kind(
        "upstream ignored",
        _for_ones,
        "the upstream gradient is ignored: the pullback must be the product of dy with the Jacobian",
    ),
    Kind(
        "averaged",
        _averaged,
        "averaged where it must be summed: every entry is 1/{inverse} of the true one; "
        "if the loss is a mean, the upstream gradient holds its 1/N already",
    ),
    Kind(
        "summed",
        _summed,
        "summed where it must be averaged: every entry is {factor} times the true one; "
        "a mean in the forward is a division in the backward",
    ),
    Kind(
        "diagonal",
        _diagonal,
        "only the diagonal of the Jacobian is used: each output depends on other inputs too",
    ),
    Kind("transposed", _transposed, "a transpose is missing: this is the gradient with two axes swapped"),
    Kind("other argument", _of_another, "this is the gradient of {other}: the order of the results is wrong"),
    Kind("not linear", _bent, "the pullback is not linear: twice the upstream must give twice as much"),
    Kind("overwritten", _overwritten, "contributions overwrite each other where they must be added"),
    Kind("scale forgotten", _unscaled, "the mask is right but its scale is forgotten"),
    Kind("mask forgotten", _unmasked, "the mask is forgotten: entries that must be zero are not"),
    Kind("flipped", _flipped, "the right entries in the reverse order along an axis"),
    Kind("shortcut forgotten", _without_shortcut, "the term dy of an identity branch is missing"),
    Kind("shortcut doubled", _twice_the_shortcut, "dy is added once too often"),
    Kind(
        "axis ignored",
        _along_other_axes,
        "the wrong axis: the pullback combines entries along other axes than the function does",
    ),
    Kind("factor", _multiplied, "off by a constant factor: every entry is {factor} times the true one"),
)
