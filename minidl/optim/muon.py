"""Muon: momentum, orthogonalized as the matrix it is."""

import math
from typing import Any

from minidl.backend import Array, xp
from minidl.ops._precision import widen
from minidl.optim.base import Optimizer
from minidl.optim.flat import Flat
from minidl.optim.groups import Hyper, Parameters

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic ``a x + b x**3 + c x**5``, which brings singular values in (0, 1) close to 1 quickly."""


class Muon(Optimizer):
    """Momentum whose singular values are all brought close to 1 (Jordan et al., 2024).

        mean = momentum * mean + (1 - momentum) * g
        change = momentum * mean + (1 - momentum) * g       (without Nesterov: the mean)
        p -= lr * weight_decay * p
        p -= lr * sqrt(max(1, out / in)) * orthogonalize(change)

    For the weights of hidden layers only: every parameter is read as a matrix ``(in, out)``, where the last
    axis is ``out`` and all others together ``in``. Biases, norms, embeddings and the last layer belong to
    another optimizer.

    Args:
        parameters: those of two or more axes, or groups of them.
        lr: the learning rate, a number or a schedule, as is every other number here.
        weight_decay: how much the parameters shrink beside the step, in proportion to ``lr``.
        momentum: how much of the mean is kept from step to step.
        nesterov: look ahead along the mean.
        eps: the least norm that is divided by.

    Raises:
        ValueError: a parameter has fewer than two axes.

    Example:
        >>> from minidl.layers.parameter import Parameter
        >>> p = Parameter(xp.zeros((2, 2)))
        >>> p.grad = [[3.0, 0.0], [0.0, 0.1]]
        >>> Muon([p], lr=1.0).step()
        >>> xp.round(p.data, 1)
        array([[-0.7,  0. ],
               [ 0. , -1.1]])
    """

    slots = ("mean",)

    def __init__(
        self,
        parameters: Parameters,
        lr: Hyper = 1e-3,
        weight_decay: Hyper = 0.1,
        momentum: Hyper = 0.95,
        nesterov: bool = True,
        eps: Hyper = 1e-7,
    ) -> None:
        super().__init__(
            parameters, lr=lr, weight_decay=weight_decay, momentum=momentum, nesterov=nesterov, eps=eps
        )
        for p in self.parameters:
            if len(p.shape) < 2:
                raise ValueError(
                    f"Muon: expected parameters of at least 2 axes, got shape {p.shape}; "
                    "give biases and norms to another optimizer, such as AdamW"
                )

    def _update_run(self, flat: Flat, run: range, step: int, options: dict[str, Any]) -> None:
        """Update whole parameters in place of blocks, each as a matrix."""
        arrays = (
            flat.views(buffer)[run.start : run.stop] for buffer in (flat.data, flat.grad, flat.slot("mean"))
        )
        for data, grad, mean in zip(*arrays, strict=True):
            matrix = (data.size // data.shape[-1] if data.size else 0, data.shape[-1])
            p = widen(data.reshape(matrix))
            self.update(p, widen(grad.reshape(matrix)), mean.reshape(matrix), **options)
            if p.dtype != data.dtype:
                data[...] = p.reshape(data.shape)

    @staticmethod
    def update(
        p: Array,
        g: Array,
        mean: Array,
        lr: float,
        weight_decay: float,
        momentum: float,
        nesterov: bool,
        eps: float,
    ) -> None:
        """Change the matrix ``p`` by one step."""
        mean += (1.0 - momentum) * (g - mean)
        change = g + momentum * (mean - g) if nesterov else mean
        rows, columns = p.shape
        p *= 1.0 - lr * weight_decay
        p -= lr * math.sqrt(max(1.0, columns / max(1, rows))) * orthogonalize(change, eps)


def orthogonalize(matrix: Array, eps: float = 1e-7, steps: int = 5) -> Array:
    """Return a matrix with the same singular vectors and all singular values between about 0.7 and 1.2.

    Source: Bernstein and Newhouse, 2024; coefficients by Jordan et al., 2024.
    """
    x: Array = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / xp.maximum(xp.sqrt((x * x).sum()), eps)
    a, b, c = COEFFICIENTS
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x
