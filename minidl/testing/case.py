"""One layer and one input, and what the checks of a layer have in common."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from minidl.backend import Array, xp
from minidl.layers.base import Layer
from minidl.testing.subject import as_parts

DTYPES = ("float16", "float32", "float64")
ROUNDING = 1e-9  # in float64: of sums in another order, relative to the largest entry

Step: TypeAlias = "tuple[Any, Callable[..., Any]]"


@dataclass(frozen=True)
class Case:
    """A layer of its own in float64, an input ``(N, ...)``, and what is known about the layer.

    Args:
        layer: a copy, free to be changed.
        x: the input, of which no array is shared.
        couples_samples: whether outputs depend on other samples: never, while "training", or always.
        least_batch: the smallest batch, beside an empty one, that it can train on.
        dtypes: those it can compute in.
        seed: of everything else that is random.
    """

    layer: Layer
    x: Array
    couples_samples: bool | str = False
    least_batch: int = 1
    dtypes: tuple[str, ...] = DTYPES
    seed: int = 0
    buffers: list[tuple[Any, Array]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.buffers.extend((buffer, buffer.data.copy()) for _, buffer in self.layer.buffers())

    def restore(self) -> None:
        """Bring back the buffers that the layer began with."""
        for buffer, data in self.buffers:
            buffer.data = data.copy()

    def vjp(self, x: Array) -> Step:
        """Run the layer from the buffers that it began with."""
        self.restore()
        y, pullback = self.layer.vjp(x)
        return y, pullback

    def upstream(self, y: Any, seed: int = 0) -> Any:
        """Return a random gradient for an output."""
        rng = np.random.default_rng([27_182, self.seed, seed])
        parts = tuple(xp.asarray(rng.normal(size=p.shape), dtype=p.dtype) for p in as_parts(y))
        return parts if isinstance(y, tuple) else parts[0]

    def gradients(self, pullback: Callable[..., Any], dy: Any) -> dict[str, Array]:
        """Return the gradients of the input and of all parameters by name."""
        dx, pairs = pullback(dy)
        names = {id(p): name for name, p in self.layer.named_parameters()}
        found: dict[str, Array] = {} if self.x.dtype.kind != "f" else {"x": dx}
        for parameter, gradient in pairs:
            name = names.get(id(parameter), "a parameter that the layer does not own")
            found[name] = found[name] + gradient if name in found else gradient
        return found


class ContractError(AssertionError):
    """A layer breaks one of its promises."""


def require(condition: object, message: str) -> None:
    """Raise unless a condition holds."""
    if not condition:
        raise ContractError(message)


def is_same(a: Any, b: Any) -> bool:
    """Tell whether outputs are equal to the bit, or both NaN."""
    return all(
        p.shape == q.shape and p.dtype == q.dtype and bool(((p == q) | ((p != p) & (q != q))).all())
        for p, q in zip(as_parts(a), as_parts(b), strict=True)
    )


def is_close(a: Any, b: Any) -> bool:
    """Tell whether outputs are equal to rounding."""
    for p, q in zip(as_parts(a), as_parts(b), strict=True):
        if p.shape != q.shape:
            return False
        scale = max(1.0, float(abs(q).max())) if q.size else 1.0
        if not bool((abs(p - q) <= ROUNDING * scale).all()):
            return False
    return True


def require_same(found: dict[str, Array], wanted: dict[str, Array], message: str, exact: bool = True) -> None:
    """Compare gradients by name."""
    require(found.keys() == wanted.keys(), f"{message}: gradients of {sorted(found)} and of {sorted(wanted)}")
    for name in found:
        equal = is_same if exact else is_close
        require(equal(found[name], wanted[name]), f"{message}: the gradient of {name} differs")
