"""Adam and its relatives: steps scaled by running averages of the gradient and of its square."""

import math

from minidl.backend import Array, xp
from minidl.ops._kernels._choice import fused
from minidl.optim.base import Optimizer, State
from minidl.optim.groups import Hyper, Parameters


class Adam(Optimizer):
    """Adaptive moments (Kingma and Ba, 2015).

    With ``g`` the gradient plus ``weight_decay * p`` and ``t`` the number of the step from 1:

        mean   = beta1 * mean   + (1 - beta1) * g
        square = beta2 * square + (1 - beta2) * g ** 2
        p -= lr * mean / (1 - beta1 ** t) / (sqrt(square / (1 - beta2 ** t)) + eps)

    Args:
        parameters: ``model.parameters()``, or groups of them.
        lr: the learning rate, a number or a schedule, as is every other number here.
        betas: how much of the mean and of the square is kept from step to step.
        eps: added to the root, so that small gradients do not make large steps.
        weight_decay: the strength of an L2 penalty, which here is scaled like the gradient; see `AdamW`.
    """

    slots = ("mean", "square")

    def __init__(
        self,
        parameters: Parameters,
        lr: Hyper = 1e-3,
        betas: tuple[Hyper, Hyper] = (0.9, 0.999),
        eps: Hyper = 1e-8,
        weight_decay: Hyper = 0.0,
    ) -> None:
        super().__init__(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    @staticmethod
    @fused("adam:adam")
    def update(
        p: Array,
        g: Array,
        state: State,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        """Change ``p`` by one step."""
        if weight_decay:
            g = g + weight_decay * p
        _adam(p, g, state, lr, betas, eps)


class AdamW(Optimizer):
    """Adam with decoupled weight decay: before the step, ``p -= lr * weight_decay * p``.

    Arguments as for `Adam`. Source: Loshchilov and Hutter, 2019.
    """

    slots = ("mean", "square")

    def __init__(
        self,
        parameters: Parameters,
        lr: Hyper = 1e-3,
        betas: tuple[Hyper, Hyper] = (0.9, 0.999),
        eps: Hyper = 1e-8,
        weight_decay: Hyper = 1e-2,
    ) -> None:
        super().__init__(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    @staticmethod
    @fused("adam:adamw")
    def update(
        p: Array,
        g: Array,
        state: State,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        """Change ``p`` by one step."""
        p *= 1.0 - lr * weight_decay
        _adam(p, g, state, lr, betas, eps)


def _adam(p: Array, g: Array, state: State, lr: float, betas: tuple[float, float], eps: float) -> None:
    """Take Adam's step, in place and with one scratch array, which stays in the cache.

    The square has grown to a share of what it will be, its root to the root of that: eps and the step are
    multiplied by it, in place of dividing the root.
    """
    mean, square, scratch = moments(g, state, betas)
    grown = math.sqrt(1.0 - betas[1] ** state.step)
    xp.sqrt(square, out=scratch)
    scratch += eps * grown
    xp.divide(mean, scratch, out=scratch)
    scratch *= lr / (1.0 - betas[0] ** state.step) * grown
    p -= scratch


def moments(g: Array, state: State, betas: tuple[float, float]) -> tuple[Array, Array, Array]:
    """Bring the means of the gradient and of its square up to date; return them, and scratch space."""
    mean, square = state["mean"], state["square"]
    scratch = g * (1.0 - betas[0])
    mean *= betas[0]
    mean += scratch
    xp.multiply(g, math.sqrt(1.0 - betas[1]), out=scratch)
    scratch *= scratch
    square *= betas[1]
    square += scratch
    return mean, square, scratch
