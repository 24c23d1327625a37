"""Smooth relatives of ReLU as layers over the ops of the same names; see `minidl.functional`."""

from minidl import ops
from minidl.backend import Array
from minidl.layers._repr import arguments
from minidl.layers.base import Layer, Pullback
from minidl.ops._options import check_number
from minidl.ops.gates import check_approximate


class GELU(Layer):
    """y = x P(z < x) for a standard normal z, exact or by a tanh; see `functional.gelu`.

    Example:
        >>> from minidl.backend import asarray
        >>> GELU(approximate="tanh").forward(asarray([-1.0, 2.0])).tolist()
        [-0.158808, 1.954598]
    """

    sample_wise = True

    def __init__(self, approximate: str = "none") -> None:
        check_approximate(approximate, "GELU")
        self.approximate = approximate

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.gelu, x, approximate=self.approximate)

    def extra_repr(self) -> str:
        return arguments(approximate=(self.approximate, "none"))


class SiLU(Layer):
    """y = x / (1 + e^-x); see `functional.silu`."""

    sample_wise = True

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.silu, x)


class Mish(Layer):
    """y = x tanh(log(1 + e^x)); see `functional.mish`."""

    sample_wise = True

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.mish, x)


class Softplus(Layer):
    """y = log(1 + e^(beta x)) / beta; see `functional.softplus`."""

    sample_wise = True

    def __init__(self, beta: float = 1.0) -> None:
        self.beta = check_number(beta, "beta", "Softplus", above=0)

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.softplus, x, beta=self.beta)

    def extra_repr(self) -> str:
        return arguments(beta=(self.beta, 1.0))


class Softsign(Layer):
    """y = x / (1 + |x|); see `functional.softsign`."""

    sample_wise = True

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.softsign, x)
