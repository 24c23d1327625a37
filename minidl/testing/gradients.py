"""check_gradients: is this pullback the derivative of this function, and nothing but a pullback?"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minidl.backend import Array, to_numpy, xp
from minidl.testing.diagnosis import Evidence, diagnose
from minidl.testing.differences import (
    Slope,
    central,
    complex_step,
    jittered,
    line,
    numeric_jacobian,
    scale_of,
)
from minidl.testing.report import Checked, GradientError, GradientReport
from minidl.testing.subject import Arrays, Gradients, Subject, as_subject

METHODS = ("central", "complex")
ATTEMPTS = 8  # how often a point with a kink is replaced by one beside it
JITTERS = 3  # how often rounding is looked at
NUDGE = 1e-3  # how far beside, relative to the numbers in the array
LARGEST_JACOBIAN = 1 << 22  # elements of the table that a diagnosis looks at


class Point(NamedTuple):
    """A function at some arrays: its outputs, a random upstream, and the gradients under test."""

    subject: Subject
    arrays: Arrays
    y: Arrays
    dy: Arrays
    gradients: Gradients
    pull: Callable[[Arrays], Gradients]


def check_gradients(
    f: Any,
    *arrays: Array,
    method: str = "central",
    rtol: float = 1e-8,
    directions: int = 2,
    jacobian: bool = False,
    seed: int = 0,
) -> GradientReport:
    """Compare a pullback with differences, in float64, by random upstreams and random directions.

    ``sum(dy * (f(x + h v) - f(x - h v))) / 2h`` must be ``sum(pullback(dy) * v)`` for random dy and v. Every
    argument has directions of its own. Where two steps disagree about the derivative there is a kink, such
    as that of ReLU at 0: the point is replaced by one beside it. The pullback must also give the same answer
    when called again, and write to nothing that it was given.

    Args:
        f: an op ``(*arrays) -> (y, pullback)``; a layer, whose parameters are checked too and which is left
            as it is; or a function built from ``minidl.functional``.
        *arrays: where to check; floating-point ones are converted to float64, of integers no gradient is
            asked for.
        method: "central" differences, or one "complex" step, whose error is near 1e-15, for functions that
            take complex numbers and are analytic.
        rtol: the relative error allowed, beside what the differences themselves are uncertain about.
        directions: how many random directions for each argument.
        jacobian: compare every entry of the Jacobian too, and return it in the report.
        seed: of the upstreams and directions.

    Returns:
        A report of the arguments and errors.

    Raises:
        GradientError: a gradient is wrong; the message says which, where, and if it is one of the known
            mistakes, which one.
        TypeError: ``f`` is no function, or refuses complex numbers.
        ValueError: an unknown method.

    Example:
        >>> from minidl import asarray, ops
        >>> print(check_gradients(ops.tanh, asarray([0.5, -1.0])))
        tanh: gradients are right (central differences, kinks avoided: 0)
          x  (2,)  error ...
        >>> def cube(x):
        ...     return x**3, lambda dy: 2 * dy * x**2
        >>> check_gradients(cube, asarray([1.0, 2.0]))
        Traceback (most recent call last):
            ...
        minidl.testing.report.GradientError: cube: the gradient of x is wrong
          at (0,): expected ..., got ...
          diagnosis: off by a constant factor: every entry is 0.666667 times the true one
    """
    if method not in METHODS:
        raise ValueError(f"check_gradients: expected a method of {', '.join(METHODS)}, got {method!r}")
    subject = as_subject(f, arrays)
    rng = np.random.default_rng([31_415, seed])  # a stream that nobody's test data come from
    point, kinks, checked = _at(subject, subject.arrays, rng), 0, []
    for i, name in enumerate(subject.arguments):
        if subject.arrays[i].dtype.kind != "f":
            continue
        errors = [0.0]
        for _ in range(directions if subject.arrays[i].size else 0):
            point, slope, direction, moved = _slope_beside_kinks(point, i, method, rtol, rng)
            kinks += moved
            errors.append(_compare(point, i, slope, direction, rtol))
        checked.append(Checked(name, subject.arrays[i].shape, max(errors)))
    report = GradientReport(subject.name, method, checked, kinks)
    if jacobian:
        report.jacobians.update(_check_jacobians(point))
    return report


def _at(subject: Subject, arrays: Arrays, rng: np.random.Generator) -> Point:
    """Evaluate at some arrays with a random upstream, and see that the pullback keeps to the rules."""
    before = [array.copy() for array in arrays]
    y, pull = subject.run(arrays)
    _check_untouched(subject, "an argument", arrays, before)
    _check_values(subject, y)
    _check_repeats(subject, y, subject.run(arrays)[0])
    dy = tuple(xp.asarray(rng.normal(size=part.shape)) for part in y)
    kept = [array.copy() for array in (*dy, *y)]
    gradients = pull(dy)
    point = Point(subject, arrays, y, dy, gradients, pull)
    _check_structure(point)
    first = [None if g is None else g.copy() for g in gradients]
    again = pull(dy)
    for name, g, h in zip(subject.arguments, first, again, strict=False):
        if g is not None and (h is None or not _same(g, h)):
            raise GradientError(
                f"{subject.name}: the pullback gives another gradient of {name} when it is called again; "
                "it must not change what it has captured",
                "not re-entrant",
                name,
            )
    _check_untouched(subject, "an argument", arrays, before)
    _check_untouched(subject, "the upstream gradient", dy, kept[: len(dy)])
    _check_untouched(subject, "the value", y, kept[len(dy) :])
    return point._replace(gradients=tuple(first))


def _check_untouched(subject: Subject, what: str, now: Sequence[Array], then: Sequence[Array]) -> None:
    if not all(_same(a, b) for a, b in zip(now, then, strict=True)):
        raise GradientError(f"{subject.name}: {what} was written to", "written to")


def _same(a: Array, b: Array) -> bool:
    return bool(a.shape == b.shape and ((a == b) | ((a != a) & (b != b))).all())


def _check_values(subject: Subject, y: tuple[Any, ...]) -> None:
    for part in y:
        if not isinstance(part, xp.ndarray) or part.dtype != xp.float64:
            got = part.dtype if isinstance(part, xp.ndarray) else type(part).__name__
            raise GradientError(
                f"{subject.name}: expected a float64 array as the value for float64 arguments, got {got}",
                "narrowed" if isinstance(part, xp.ndarray) else None,
            )
        if not xp.isfinite(part).all():
            text = f"{subject.name}: the value is not finite here, so it has no derivative"
            raise GradientError(text, "value not finite")


def _check_repeats(subject: Subject, y: Arrays, again: Arrays) -> None:
    """See that the same arguments give the same value, to rounding."""
    for a, b in zip(y, again, strict=True):
        if a.shape != b.shape or float(abs(a - b).sum()) > 1e-9 * float(abs(a).sum()):
            raise GradientError(
                f"{subject.name}: the value changes from call to call, so it has no derivative; "
                "random numbers must follow from a seed or from a Buffer",
                "not repeatable",
            )


def _check_structure(point: Point) -> None:
    """See that there is one gradient for each argument, of its shape and dtype."""
    name, _, arrays, _ = point.subject
    surplus = point.gradients[len(arrays) :]  # None for optional arguments that are absent
    if len(point.gradients) < len(arrays) or any(g is not None for g in surplus):
        first: Any = point.gradients[0] if point.gradients else None
        got = "a list" if isinstance(first, list) else len(point.gradients)
        raise GradientError(
            f"{name}: expected a tuple of {len(arrays)} gradients, one for each argument, got {got}"
        )
    for i, (argument, x, g) in enumerate(zip(point.subject.arguments, arrays, point.gradients, strict=False)):
        if x.dtype.kind != "f":
            continue
        if not isinstance(g, xp.ndarray):
            raise GradientError(
                f"{name}: expected an array as the gradient of {argument}, got {type(g).__name__}",
                "missing",
                argument,
            )
        if g.shape != x.shape:
            raise _explained(point, i, f"has shape {g.shape}, expected {x.shape}")
        if g.dtype != x.dtype:
            raise _explained(point, i, f"is {g.dtype}, expected {x.dtype}")
        if not xp.isfinite(g).all():
            index = tuple(int(n) for n in np.argwhere(~np.isfinite(to_numpy(g)))[0])
            text = f"{name}: the gradient of {argument} is not finite: at {index} it is {float(g[index])}"
            raise GradientError(text, "not finite", argument, index, None, float(g[index]))


def _slope_beside_kinks(
    point: Point, i: int, method: str, rtol: float, rng: np.random.Generator
) -> tuple[Point, Slope, Array, int]:
    """Return the derivative in a random direction, here or at a point nearby where there is one."""
    for attempt in range(ATTEMPTS):
        x, g = point.arrays[i], point.gradients[i]
        direction = xp.asarray(rng.normal(size=x.shape))
        along = line(point.subject.run, point.arrays, i, direction)
        if method == "complex":
            return point, complex_step(along, point.dy, scale_of(x), point.subject.name), direction, attempt
        size = float(xp.sqrt((g * g).sum())) if g is not None else 0.0
        settings = (along, point.y, point.dy, scale_of(x), size, rtol)
        slope = central(*settings)
        if not slope.smooth:  # a kink, or rounding that the function has made larger
            slope = central(*settings, rounding=_rounding(point, i, direction)[0])
        if slope.smooth:
            return point, slope, direction, attempt
        try:
            point = _at(point.subject, tuple(_nudged(array, rng) for array in point.arrays), rng)
        except GradientError as error:  # a step out of the domain: try another from the same point
            if error.diagnosis != "value not finite":
                raise
    raise GradientError(
        f"{point.subject.name}: no derivative by {point.subject.arguments[i]} was found here or nearby: "
        "the value jumps, or has kinks everywhere",
        "not differentiable",
        point.subject.arguments[i],
    )


def _rounding(point: Point, i: int, direction: Array) -> tuple[float, float]:
    """Return how far rounding moves the weighted value, and the derivative claimed by a pullback.

    Both are seen where the arrays differ by rounding: an ill-conditioned function makes it larger.
    """
    rng, of_value, of_claim = np.random.default_rng(0), 0.0, 0.0
    g = point.gradients[i]
    for _ in range(JITTERS):
        y, pull = point.subject.run(tuple(jittered(x, rng) for x in point.arrays))
        gaps = zip(y, point.y, point.dy, strict=True)
        of_value = max(of_value, sum(float((abs(a - b) * abs(d)).sum()) for a, b, d in gaps))
        h = pull(point.dy)[i]
        if g is not None and h is not None:
            of_claim = max(of_claim, abs(float(((h - g) * direction).sum())))
    return 8 * of_value, 8 * of_claim


def _nudged(x: Array, rng: np.random.Generator) -> Array:
    if x.dtype.kind != "f":
        return x
    return xp.asarray(x + NUDGE * scale_of(x) * xp.asarray(rng.normal(size=x.shape)))


def _compare(point: Point, i: int, slope: Slope, direction: Array, rtol: float) -> float:
    """Return the relative error of a gradient in one direction; raise if it is too large."""
    g = point.gradients[i]
    if g is None:
        return 0.0
    claimed = float((g * direction).sum())
    size = float(xp.sqrt((g * g).sum())) + abs(slope.value)
    error = abs(claimed - slope.value)
    if not error <= rtol * size + 2 * slope.doubt:
        of_value, of_claim = _rounding(point, i, direction)
        if not error <= rtol * size + 2 * slope.doubt + of_value / slope.step + of_claim:
            raise _explained(point, i, "is wrong")
    measurable = size + slope.doubt / rtol  # what is smaller cannot be told from rounding
    return error / measurable if measurable else 0.0


def _explained(point: Point, i: int, what: str) -> GradientError:
    """Return the error that says where a gradient is wrong, and why if that is known."""
    argument = point.subject.arguments[i]
    message = f"{point.subject.name}: the gradient of {argument} {what}"
    entries = sum(part.size for part in point.y) * sum(x.size for x in point.arrays)
    if entries > LARGEST_JACOBIAN:
        return GradientError(f"{message}\n  no diagnosis: too large; try smaller arrays", None, argument)
    evidence = _evidence(point, i)
    found = diagnose(evidence)
    index, expected, got = _first_wrong(evidence)
    if index is not None:
        message += f"\n  at {index}: expected {expected:.9g}, got {got:.9g}"
    message += f"\n  diagnosis: {found.sentence}" if found else "\n  diagnosis: none of the known mistakes"
    return GradientError(message, found.name if found else None, argument, index, expected, got)


def _evidence(point: Point, i: int) -> Evidence:
    """Gather what a diagnosis needs."""
    run, arrays = point.subject.run, point.arrays
    upstream = xp.concatenate([d.reshape(-1) for d in point.dy])
    others = {
        name: (upstream @ numeric_jacobian(run, arrays, j)).reshape(arrays[j].shape)
        for j, name in enumerate(point.subject.arguments)
        if j != i and arrays[j].dtype.kind == "f"
    }

    def pull(dy: Arrays) -> Array:
        gradient = point.pull(dy)[i]
        return xp.zeros_like(arrays[i]) if gradient is None else gradient

    got = point.gradients[i]
    return Evidence(
        point.subject.arguments[i],
        pull(point.dy) if got is None else got,
        arrays[i],
        point.y,
        point.dy,
        numeric_jacobian(run, arrays, i),
        others,
        pull,
    )


def _first_wrong(e: Evidence) -> tuple[tuple[int, ...] | None, float, float]:
    """Return the first entry that is clearly wrong, what it should be and what it is."""
    if e.got.shape != e.x.shape or not e.got.size:
        return None, 0.0, 0.0
    gaps = to_numpy(abs(e.got - e.expected))
    clear = gaps > min(1e-6 * float(abs(e.expected).max()), float(gaps.max()) / 2)
    index = tuple(int(n) for n in np.argwhere(clear)[0]) if clear.any() else None
    return (index, 0.0, 0.0) if index is None else (index, float(e.expected[index]), float(e.got[index]))


def _check_jacobians(point: Point) -> dict[str, Array]:
    """Compare the Jacobian by the pullback with that by differences, entry by entry."""
    tables = {}
    for i, name in enumerate(point.subject.arguments):
        if point.arrays[i].dtype.kind != "f":
            continue
        table = numeric_jacobian(point.subject.run, point.arrays, i)
        evidence = _evidence(point, i)
        rows = [evidence.pulled_under_test(row) for row in xp.eye(evidence.upstream.size)]
        y = xp.concatenate([part.reshape(-1) for part in point.y])
        columns = abs(table).max(axis=0) if table.size else xp.zeros(table.shape[1])
        for number, row in enumerate(rows):
            gap = abs(row.reshape(-1) - table[number]) if row is not None else xp.zeros(1)
            rounding = 1e-8 * float(abs(y[number])) / scale_of(point.arrays[i])
            if gap.size and not bool((gap <= 1e-6 * columns + rounding + 1e-300).all()):
                raise _explained(point, i, f"of output {number} is wrong")
        outputs = point.y[0].shape if len(point.y) == 1 else (evidence.upstream.size,)
        tables[name] = table.reshape(*outputs, *point.arrays[i].shape)
    return tables
