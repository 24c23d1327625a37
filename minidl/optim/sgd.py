"""Stochastic gradient descent, with momentum."""

from typing import ClassVar

from minidl.backend import Array
from minidl.ops._kernels._choice import fused
from minidl.optim.base import Optimizer, State
from minidl.optim.groups import Hyper, Parameters


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum (Polyak, 1964) or Nesterov's (Sutskever et al., 2013).

    With ``g`` the gradient plus ``weight_decay * p``:

        velocity = momentum * velocity + g
        p -= lr * velocity                      (Nesterov: p -= lr * (g + momentum * velocity))

    Args:
        parameters: ``model.parameters()``, or groups of them.
        lr: the learning rate, a number or a schedule, as is every other number here.
        momentum: the share of the velocity that is kept from step to step.
        nesterov: look ahead along the velocity; needs momentum.
        weight_decay: the strength of an L2 penalty.

    Example:
        >>> from minidl.layers.parameter import Parameter
        >>> p = Parameter([1.0, 2.0])
        >>> optimizer = SGD([p], lr=0.5)
        >>> p.grad = [1.0, 1.0]
        >>> optimizer.step()
        >>> p.data
        array([0.5, 1.5], dtype=float32)
    """

    slots = ("velocity",)
    optional: ClassVar = {"velocity": "momentum"}

    def __init__(
        self,
        parameters: Parameters,
        lr: Hyper,
        momentum: Hyper = 0.0,
        nesterov: bool = False,
        weight_decay: Hyper = 0.0,
    ) -> None:
        if nesterov and momentum == 0.0:
            raise ValueError("SGD: expected momentum > 0 for nesterov=True, got 0")
        super().__init__(parameters, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)

    @staticmethod
    @fused("optimizers:sgd")
    def update(
        p: Array, g: Array, state: State, lr: float, momentum: float, nesterov: bool, weight_decay: float
    ) -> None:
        """Change ``p`` by one step."""
        if weight_decay:
            g = g + weight_decay * p
        if momentum:
            velocity = state["velocity"]
            velocity *= momentum
            velocity += g
            g = g + momentum * velocity if nesterov else velocity
        p -= lr * g
