"""On CuPy, a layer with a bias and the rectifier behind it run as one stage."""

import itertools
from collections.abc import Sequence
from typing import Any

from minidl import backend, ops
from minidl.backend import Array, xp
from minidl.layers.activation import ReLU
from minidl.layers.base import Layer, Pullback
from minidl.layers.conv import Conv
from minidl.layers.linear import Linear

PRODUCTS = {Linear: ops.linear, Conv: ops.conv}


def stages(layers: Sequence[Layer]) -> Sequence[Any]:
    """Return what runs in place of a chain of layers: as many stages, the layers themselves on NumPy."""
    if backend.name == "numpy" or backend.DEBUG:  # which names the layer that makes the first NaN
        return layers
    out: list[Any] = list(layers)
    for i, (layer, following) in enumerate(itertools.pairwise(layers)):
        if _fits(layer, following):
            out[i : i + 2] = [_Rectified(layer), _Passed()]
    return out


def _fits(layer: Any, following: Layer) -> bool:
    """Tell whether two layers may run as one; not if somebody has put a function of their own on them."""
    if type(layer) not in PRODUCTS or type(following) is not ReLU or layer.bias is None:
        return False
    own = {"vjp", "predict"} & {*vars(layer), *vars(following)}
    return not own and layer.weight.dtype == layer.bias.dtype != xp.float16


class _Rectified:
    """A layer whose operation is followed by a rectifier."""

    sample_wise = True

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.layer, name)

    def bind(self, op: Any, x: Array, *parameters: Any, **options: Any) -> tuple[Array, Pullback]:
        from minidl.ops._kernels.rectified import rectified  # which needs CuPy

        return self.layer.bind(rectified(op), x, *parameters, **options)

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return type(self.layer).vjp(self, x)  # type: ignore[arg-type]  # the layer's own, over this bind

    def predict(self, x: Array) -> Array:
        return self.vjp(x)[0]


class _Passed:
    """The place of a layer that has been run already."""

    sample_wise = True

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return x, lambda dy, input_grad=True: (dy, [])

    def predict(self, x: Array) -> Array:
        return x
