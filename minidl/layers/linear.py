"""The dense layer."""

from minidl import init, ops
from minidl.backend import Array, Seed
from minidl.layers.base import Layer, Pullback, check_sizes
from minidl.layers.parameter import Parameter


class Linear(Layer):
    """y = x W + b on the last axis: ``(..., in)`` to ``(..., out)``; see `minidl.functional.linear`.

    Args:
        in_features: length of the last axis of the input.
        out_features: length of the last axis of the output.
        bias: whether to add b.
        seed, dtype, weight_init: of the fresh weight ``(in_features, out_features)``; the bias starts at
        zero.

    Example:
        >>> from minidl.backend import xp
        >>> Linear(784, 10, seed=0).forward(xp.zeros((32, 784), xp.float32)).shape
        (32, 10)
    """

    sample_wise = True

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        seed: Seed = None,
        dtype: init.DType = None,
        weight_init: init.Initializer | None = None,
    ) -> None:
        shape = _, out_features = check_sizes("Linear", in_features=in_features, out_features=out_features)
        self.weight = Parameter(init.draw(weight_init, shape, seed=seed, dtype=dtype), name="weight")
        self.bias = Parameter(init.zeros((out_features,), dtype=dtype), name="bias") if bias else None

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.linear, x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return ", ".join([*map(str, self.weight.shape), *([] if self.bias is not None else ["bias=False"])])
