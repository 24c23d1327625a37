"""One row of the table of layers."""

from collections.abc import Callable
from typing import Any, NamedTuple

from minidl.training.explain.by_hand import differences
from minidl.training.explain.worked import Hand


class Entry(NamedTuple):
    """What the page says about one kind of layer.

    Args:
        forward: the formula of the output, in the notation of `minidl.training.explain.notation`.
        pullback: the formulas of the gradients.
        names: what the letters stand for, and whatever else helps.
        output: works out an element of the output: ``output(call, index) -> Working``.
        gradient: works out an element of the gradient of the input.
        multiply_adds: takes a call and counts those of its matrix products; 0 where there are none.
        of: the parameter whose gradient is worked out where the input has none.

    Example:
        >>> Entry("y = x^2", "dx = 2 x dy").forward
        'y = x^2'
    """

    forward: str
    pullback: str
    names: str = ""
    output: Hand = differences.output_again
    gradient: Hand = differences.gradient_again
    multiply_adds: Callable[[Any], int] | None = None
    of: str = ""
