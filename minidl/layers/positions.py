"""Positions as layers: thin surfaces over the ops of the same names, explained in `minidl.functional`."""

from minidl import init, ops
from minidl.backend import Array, Seed
from minidl.layers._repr import arguments
from minidl.layers.base import Layer, Pullback, check_sizes
from minidl.layers.parameter import Parameter
from minidl.ops._options import check_number


class LearnedPositions(Layer):
    """Add a learned vector to each step: ``(N, T, C)`` to the same; see `functional.learned_positions`.

    Args:
        max_length: L, the most steps a sequence may have.
        features: C.
        seed, dtype, weight_init: of the fresh weight ``(L, C)``, by default uniform between -1 and 1: each
            output takes a single weight.

    Example:
        >>> from minidl.backend import xp
        >>> LearnedPositions(512, 16, seed=0).forward(xp.zeros((2, 7, 16), xp.float32)).shape
        (2, 7, 16)
    """

    sample_wise = True

    def __init__(
        self,
        max_length: int,
        features: int,
        *,
        seed: Seed = None,
        dtype: init.DType = None,
        weight_init: init.Initializer | None = None,
    ) -> None:
        shape = check_sizes("LearnedPositions", max_length=max_length, features=features)
        weight = init.draw(weight_init, shape, fan_in=1, seed=seed, dtype=dtype)
        self.weight = Parameter(weight, name="weight")

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.learned_positions, x, self.weight)

    def extra_repr(self) -> str:
        return arguments(*self.weight.shape)


class _Waves(Layer):
    """Positions by waves of many lengths."""

    sample_wise = True

    def __init__(self, base: float = 10000.0) -> None:
        self.base = check_number(base, "base", type(self).__name__, above=0)

    def extra_repr(self) -> str:
        return arguments(base=(self.base, 10000.0))


class SinusoidalPositions(_Waves):
    """Add sines and cosines of many lengths: ``(N, T, C)`` with an even C to the same.

    See `functional.sinusoidal_positions`.
    """

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.sinusoidal_positions, x, base=self.base)


class RotaryPositions(_Waves):
    """Turn pairs of features by angles that grow with the position: ``(N, ..., T, D)`` to the same.

    See `functional.rotary_positions`.

    For the queries and keys of attention; ``MultiHeadAttention(..., rotary=True)`` does it in each head.
    """

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.rotary_positions, x, base=self.base)
