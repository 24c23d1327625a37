"""check_layer: everything that a layer promises, in one call or as one test for each promise."""

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from minidl.backend import Array, xp
from minidl.layers.base import Layer
from minidl.testing.case import DTYPES, Case
from minidl.testing.contract import CHECKS

EXAMPLE = "with x = "


class LayerError(AssertionError):
    """A layer breaks promises.

    Args:
        message: lists them all.
        failures: the exception of each check that failed, by name.
    """

    def __init__(self, message: str, failures: dict[str, Exception]) -> None:
        super().__init__(message)
        self.failures = failures


@dataclass(frozen=True)
class LayerReport:
    """The checks that a layer passed; printing it shows them."""

    layer: str
    examples: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        width = max(map(len, self.examples), default=0)
        lines = [f"{self.layer}: all {len(self.examples)} checks passed"]
        lines += [f"  {name:<{width}}  {n} examples" for name, n in self.examples.items()]
        return "\n".join(lines)


@dataclass(frozen=True)
class LayerCheck:
    """One promise of one layer: calling it draws examples and raises if one breaks the promise.

    Args:
        name: of the check.
        make: returns a fresh layer.
        input_shape: of one sample.
        inputs: ``shape -> strategy`` for the inputs.
        couples_samples: see `check_layer`; as are the next ones.
        least_batch: the smallest batch it can train on.
        dtypes: those it can compute in.
        examples: how many are drawn.
        shrink: whether a failure is made small, which takes a moment.
    """

    name: str
    make: Callable[[], Layer]
    input_shape: tuple[int, ...]
    inputs: Callable[[tuple[int, ...]], Any] | None = None
    couples_samples: bool | str = False
    least_batch: int = 1
    dtypes: tuple[str, ...] = DTYPES
    examples: int | None = None
    shrink: bool = True

    def __str__(self) -> str:
        return self.name

    def __call__(self) -> int:
        """Run the check; return how many examples it saw."""
        from hypothesis import HealthCheck, Phase, given, settings
        from hypothesis import strategies as st

        from minidl.testing.strategies import arrays

        layer = copy.deepcopy(self.make()).astype(xp.float64)
        seen: list[Array] = []

        @settings(
            max_examples=self.examples or settings().max_examples,
            deadline=None,
            database=None,
            phases=(Phase.generate, *([Phase.shrink] if self.shrink else [])),
            print_blob=False,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        @given(data=st.data(), n=st.integers(self.least_batch, self.least_batch + 3), seed=st.integers(0, 99))
        def probe(data: Any, n: int, seed: int) -> None:
            x = data.draw((self.inputs or arrays)((n, *self.input_shape)), label="x")
            seen.append(x)
            self._run(layer, x, seed)

        try:
            probe()
        except Exception as error:
            if seen:  # the last example is the smallest that fails
                error.add_note(f"{EXAMPLE}{seen[-1]!r}")
            raise
        return len(seen)

    def _run(self, layer: Layer, x: Array, seed: int) -> None:
        """Run the check on one example, with warnings as errors."""
        case = Case(copy.deepcopy(layer), x, self.couples_samples, self.least_batch, self.dtypes, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            CHECKS[self.name](case)


def layer_checks(
    layer_or_factory: Layer | Callable[[], Layer],
    input_shape: Sequence[int],
    *,
    inputs: Callable[[tuple[int, ...]], Any] | None = None,
    couples_samples: bool | str = False,
    least_batch: int = 1,
    dtypes: Sequence[str] = DTYPES,
    examples: int | None = None,
) -> list[LayerCheck]:
    """Return the checks of `check_layer`, to be run one by one.

    Takes the arguments of `check_layer`. With pytest each becomes a test of its own:

        @pytest.mark.parametrize("check", layer_checks(Scale(3), (3,)), ids=str)
        def test_scale(check):
            check()
    """
    if isinstance(layer_or_factory, Layer):
        layer = layer_or_factory

        def make() -> Layer:
            return layer
    elif callable(layer_or_factory):
        make = layer_or_factory
    else:
        got = type(layer_or_factory).__name__
        raise TypeError(f"check_layer: expected a layer or a function that makes one, got {got}")
    if not isinstance(make(), Layer):
        raise TypeError(f"check_layer: expected a layer from the function, got {type(make()).__name__}")
    if couples_samples not in (False, True, "training"):
        raise ValueError(
            f"check_layer: expected couples_samples as False, True or 'training', got {couples_samples!r}"
        )
    shape = tuple(input_shape)
    return [
        LayerCheck(name, make, shape, inputs, couples_samples, least_batch, tuple(dtypes), examples)
        for name in CHECKS
    ]


def check_layer(
    layer_or_factory: Layer | Callable[[], Layer],
    input_shape: Sequence[int],
    *,
    inputs: Callable[[tuple[int, ...]], Any] | None = None,
    couples_samples: bool | str = False,
    least_batch: int = 1,
    dtypes: Sequence[str] = DTYPES,
    examples: int | None = None,
) -> LayerReport:
    """Check all that a layer promises, on examples that hypothesis draws and shrinks.

    The gradients of the input and of every parameter; that the pullback is linear, re-entrant and writes to
    nothing; that a batch equals its rows, of any number; that dtypes are kept; ``forward``, ``backward``,
    ``predict``, ``freeze``, ``state``, the repr, Tensors, and errors on wrong shapes. It runs on copies in
    float64: the layer stays as it is.

    Args:
        layer_or_factory: the layer, or a function without arguments that makes one.
        input_shape: of one sample, without N.
        inputs: ``shape -> strategy`` for other inputs than different numbers from -4 to 4, none near 0.
        couples_samples: whether outputs depend on the other samples of the batch: ``"training"`` if only
            in training, as in BatchNorm and Dropout; True if always.
        least_batch: the smallest batch, beside an empty one, that the layer can train on.
        dtypes: those that the layer can compute in.
        examples: how many for each check; by default what the settings of hypothesis say.

    Returns:
        A report of the checks.

    Raises:
        LayerError: an AssertionError that lists all promises broken, each with an example.
        TypeError: there is no layer.

    Example:
        >>> from minidl.layers import Linear
        >>> print(check_layer(Linear(3, 2), input_shape=(3,), examples=5))
        Linear(3, 2): all 14 checks passed
          gradients             5 examples
          ...
    """
    checks = layer_checks(
        layer_or_factory,
        input_shape,
        inputs=inputs,
        couples_samples=couples_samples,
        least_batch=least_batch,
        dtypes=dtypes,
        examples=examples,
    )
    report, failures = LayerReport(repr(checks[0].make())), {}
    for check in checks:
        try:
            report.examples[check.name] = check()
        except Exception as error:
            failures[check.name] = error
    if failures:
        lines = [f"{report.layer}: {len(failures)} of {len(checks)} checks failed"]
        lines += [f"- {name}: {_told(error)}" for name, error in failures.items()]
        raise LayerError("\n".join(lines), failures)
    return report


def _told(error: Exception) -> str:
    """Return the message of an exception with its notes, indented."""
    text = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
    notes = [note for note in getattr(error, "__notes__", []) if note.startswith(("in ", "at ", EXAMPLE))]
    return "\n".join([text, *notes]).replace("\n", "\n    ")
