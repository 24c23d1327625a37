"""Bent lines as layers over the ops of the same names; see `minidl.functional`."""

from minidl import init, ops
from minidl.backend import Array, Seed
from minidl.layers._repr import arguments
from minidl.layers.base import Layer, Pullback, check_sizes
from minidl.layers.parameter import Parameter
from minidl.ops._options import check_number


class LeakyReLU(Layer):
    """y = x where x > 0, else negative_slope x; see `functional.leaky_relu`."""

    sample_wise = True

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = check_number(negative_slope, "negative_slope", "LeakyReLU")

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.leaky_relu, x, negative_slope=self.negative_slope)

    def extra_repr(self) -> str:
        return arguments(negative_slope=(self.negative_slope, 0.01))


class PReLU(Layer):
    """y = x where x > 0, else weight x, with learned slopes; see `minidl.functional.prelu`.

    Args:
        num_parameters: 1 for one slope, or the length of the last axis for one for each of its entries.
        seed, dtype, weight_init: of the weight ``(num_parameters,)``, by default 0.25 everywhere.

    Example:
        >>> from minidl.backend import asarray
        >>> PReLU().forward(asarray([-2.0, 3.0]))
        array([-0.5, 3. ], dtype=float32)
    """

    sample_wise = True

    def __init__(
        self,
        num_parameters: int = 1,
        *,
        seed: Seed = None,
        dtype: init.DType = None,
        weight_init: init.Initializer | None = None,
    ) -> None:
        shape = check_sizes("PReLU", num_parameters=num_parameters)
        weight = init.draw(
            init.constant(0.25) if weight_init is None else weight_init,
            shape,
            fan_in=1,
            fan_out=1,
            seed=seed,
            dtype=dtype,
        )
        self.weight = Parameter(weight, name="weight")

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.prelu, x, self.weight)

    def extra_repr(self) -> str:
        return "" if self.weight.size == 1 else str(self.weight.size)


class ReLU6(Layer):
    """y = min(max(x, 0), 6); see `functional.relu6`."""

    sample_wise = True

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.relu6, x)


class HardTanh(Layer):
    """y = min(max(x, low), high); see `functional.hard_tanh`."""

    sample_wise = True

    def __init__(self, low: float = -1.0, high: float = 1.0) -> None:
        self.low = check_number(low, "low", "HardTanh")
        self.high = check_number(high, "high", "HardTanh", above=self.low)

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.hard_tanh, x, low=self.low, high=self.high)

    def extra_repr(self) -> str:
        return arguments(low=(self.low, -1.0), high=(self.high, 1.0))


class HardSigmoid(Layer):
    """y = min(max(x / 6 + 1/2, 0), 1); see `functional.hard_sigmoid`."""

    sample_wise = True

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.hard_sigmoid, x)


class HardSwish(Layer):
    """y = x min(max(x / 6 + 1/2, 0), 1); see `functional.hard_swish`."""

    sample_wise = True

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.hard_swish, x)


class ELU(Layer):
    """y = x where x > 0, else alpha (e^x - 1); see `functional.elu`."""

    sample_wise = True

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = check_number(alpha, "alpha", "ELU")

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.elu, x, alpha=self.alpha)

    def extra_repr(self) -> str:
        return arguments(alpha=(self.alpha, 1.0))


class CELU(Layer):
    """y = x where x > 0, else alpha (e^(x / alpha) - 1); see `functional.celu`."""

    sample_wise = True

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = check_number(alpha, "alpha", "CELU", above=0)

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.celu, x, alpha=self.alpha)

    def extra_repr(self) -> str:
        return arguments(alpha=(self.alpha, 1.0))


class SELU(Layer):
    """y = 1.0507 x where x > 0, else 1.0507 1.6733 (e^x - 1), with these numbers in full.

    See `functional.selu`.
    """

    sample_wise = True

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.selu, x)
