"""A product, its bias and a rectifier: one pass over the outputs where the operations take two.

A step saves a launch and a pass through memory for each such layer.
"""

from collections.abc import Callable
from typing import Any

from minidl.backend import Array
from minidl.ops._kernels._program import packed
from minidl.ops._kernels.activation import add_bias_and_rectify, pulled_back
from minidl.ops._rows import column_sums


def rectified(product: Callable[..., Any]) -> Callable[..., Any]:
    """Return the operation ``relu(product(x, w, b))`` for a product that is `linear` or `conv`.

    Not for half precision, in which the operations add the bias before they round.
    """

    def run(x: Array, w: Array, b: Array, **options: Any) -> Any:
        y, back = product(x, w, None, **options)
        y = packed(y)
        add_bias_and_rectify(y, b)

        def pullback(dy: Array, *, input_grad: bool = True) -> Any:
            # dz = dy [y > 0], then dx and dw are those of the product, db = sum of dz over the rows
            dz = pulled_back("relu_back", y, dy)
            dx, dw, _ = back(dz, input_grad=input_grad)
            return dx, dw, column_sums(dz.reshape(dz.size // dz.shape[-1], dz.shape[-1]))

        return y, pullback

    return run
