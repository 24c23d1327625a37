"""What a gradient check says: the report of one that passes, the exception of one that does not."""

from dataclasses import dataclass, field
from typing import NamedTuple

from minidl.backend import Array


class GradientError(AssertionError):
    """A gradient is wrong, or a pullback does what none may do.

    Args:
        message: all of it.
        diagnosis: the name of the known mistake that fits, if any.
        argument: whose gradient it is.
        index: the first wrong entry.
        expected: what it should be.
        got: what it is.
    """

    def __init__(
        self,
        message: str,
        diagnosis: str | None = None,
        argument: str | None = None,
        index: tuple[int, ...] | None = None,
        expected: float | None = None,
        got: float | None = None,
    ) -> None:
        super().__init__(message)
        self.diagnosis = diagnosis
        self.argument = argument
        self.index = index
        self.expected = expected
        self.got = got


class Checked(NamedTuple):
    """One argument whose gradient is right, and the largest relative error that was seen."""

    argument: str
    shape: tuple[int, ...]
    error: float


@dataclass(frozen=True)
class GradientReport:
    """What was checked; printing it shows a line for each argument.

    Args:
        name: of the function.
        method: "central" or "complex".
        checked: the arguments.
        kinks: how many points were replaced because the function has a kink there.
        jacobians: by argument, the derivatives by differences, where they were asked for.
    """

    name: str
    method: str
    checked: list[Checked]
    kinks: int = 0
    jacobians: dict[str, Array] = field(default_factory=dict)

    def __str__(self) -> str:
        width = max(len(row.argument) for row in self.checked) if self.checked else 0
        lines = [f"{self.name}: gradients are right ({self.method} differences, kinks avoided: {self.kinks})"]
        lines += [f"  {r.argument:<{width}}  {r.shape}  error {r.error:.1e}" for r in self.checked]
        return "\n".join(lines)
