"""Adamax, NAdam and RAdam: Adam with another norm, with Nesterov's momentum, with a rectified start."""

import math
from collections.abc import Iterable
from functools import partial

from minidl.backend import Array, xp
from minidl.ops._kernels._choice import fused
from minidl.optim.adam import moments
from minidl.optim.base import Optimizer, State
from minidl.optim.groups import Hyper, Parameters


class Adamax(Optimizer):
    """Adam with the largest gradient in place of the root mean square (Kingma and Ba, 2015).

    With ``g`` the gradient plus ``weight_decay * p`` and ``t`` the number of the step from 1:

        mean = beta1 * mean + (1 - beta1) * g
        largest = max(beta2 * largest, abs(g) + eps)
        p -= lr / (1 - beta1 ** t) * mean / largest

    Arguments as for `Adam`.
    """

    slots = ("largest", "mean")

    def __init__(
        self,
        parameters: Parameters,
        lr: Hyper = 2e-3,
        betas: tuple[Hyper, Hyper] = (0.9, 0.999),
        eps: Hyper = 1e-8,
        weight_decay: Hyper = 0.0,
    ) -> None:
        super().__init__(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    @staticmethod
    @fused("adam:adamax")
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
        mean, largest = state["mean"], state["largest"]
        mean += (1.0 - betas[0]) * (g - mean)
        xp.maximum(betas[1] * largest, xp.abs(g) + eps, out=largest)
        p -= lr / (1.0 - betas[0] ** state.step) * mean / largest


class NAdam(Optimizer):
    """Adam with Nesterov's momentum (Dozat, 2016).

    With ``g`` the gradient plus ``weight_decay * p``, ``t`` the number of the step from 1, mean and square as
    in Adam, ``mu[t] = beta1 * (1 - 0.96 ** (t * momentum_decay) / 2)`` and ``Mu[t] = mu[1] * ... * mu[t]``:

        root = sqrt(square / (1 - beta2 ** t)) + eps
        p -= lr * (1 - mu[t]) / (1 - Mu[t]) * g / root
        p -= lr * mu[t + 1] / (1 - Mu[t + 1]) * mean / root

    Args:
        parameters: ``model.parameters()``, or groups of them.
        lr: the learning rate, a number or a schedule, as is every other number here.
        betas: how much of the mean and of the square is kept from step to step.
        eps: added to the root, so that small gradients do not make large steps.
        weight_decay: the strength of an L2 penalty.
        momentum_decay: how fast the momentum grows to its full value.
        decoupled_weight_decay: shrink the parameters beside the step instead, as `AdamW` does.
    """

    slots = ("mean", "square")

    def __init__(
        self,
        parameters: Parameters,
        lr: Hyper = 2e-3,
        betas: tuple[Hyper, Hyper] = (0.9, 0.999),
        eps: Hyper = 1e-8,
        weight_decay: Hyper = 0.0,
        momentum_decay: Hyper = 4e-3,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            parameters,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            momentum_decay=momentum_decay,
            decoupled_weight_decay=decoupled_weight_decay,
        )

    @staticmethod
    def update(
        p: Array,
        g: Array,
        state: State,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        momentum_decay: float,
        decoupled_weight_decay: bool,
    ) -> None:
        """Change ``p`` by one step."""
        decays = _decays(lr, weight_decay, decoupled_weight_decay)
        mu = partial(_nesterov_momentum, betas[0], momentum_decay)
        t, product = state.step, _product(map(mu, range(1, state.step + 1)))
        rates = lr * (1.0 - mu(t)) / (1.0 - product), lr * mu(t + 1) / (1.0 - product * mu(t + 1))
        _relative_step(p, g, state, betas, eps, decays, rates, math.sqrt(1.0 - betas[1] ** state.step))


class RAdam(Optimizer):
    """Adam that takes plain momentum steps until its squares can be trusted (Liu et al., 2020).

    With ``g`` the gradient plus ``weight_decay * p``, ``t`` the number of the step from 1, mean and square as
    in Adam, ``limit = 2 / (1 - beta2) - 1`` and ``length = limit - 2 * t * beta2 ** t / (1 - beta2 ** t)``:

        scale = rectification * sqrt(1 - beta2 ** t) / (sqrt(square) + eps)  where length > 5, otherwise 1
        p -= lr * mean / (1 - beta1 ** t) * scale

    Arguments as for `NAdam`.
    """

    slots = ("mean", "square")

    def __init__(
        self,
        parameters: Parameters,
        lr: Hyper = 1e-3,
        betas: tuple[Hyper, Hyper] = (0.9, 0.999),
        eps: Hyper = 1e-8,
        weight_decay: Hyper = 0.0,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            parameters,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            decoupled_weight_decay=decoupled_weight_decay,
        )

    @staticmethod
    def update(
        p: Array,
        g: Array,
        state: State,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        decoupled_weight_decay: bool,
    ) -> None:
        """Change ``p`` by one step."""
        decays = _decays(lr, weight_decay, decoupled_weight_decay)
        step = lr / (1.0 - betas[0] ** state.step)
        rectification = _rectification(state.step, betas[1])
        if rectification is not None:
            step *= rectification * math.sqrt(1.0 - betas[1] ** state.step)
        divisor = None if rectification is None else 1.0
        _relative_step(p, g, state, betas, eps, decays, (0.0, step), divisor)


def _decays(lr: float, weight_decay: float, decoupled: bool) -> tuple[float, float]:
    """Return the strength of the L2 penalty, and what the parameters are multiplied by beside the step."""
    return (0.0, 1.0 - lr * weight_decay) if decoupled else (weight_decay, 1.0)


@fused("adam:relative_step")
def _relative_step(
    p: Array,
    g: Array,
    state: State,
    betas: tuple[float, float],
    eps: float,
    decays: tuple[float, float],
    rates: tuple[float, float],
    divisor: float | None,
) -> None:
    """Take a step along the gradient and one along the mean, over a root of the square or over nothing."""
    penalty, shrink = decays
    g = g + penalty * p if penalty else g
    if shrink != 1.0:
        p *= shrink
    mean, square, _ = moments(g, state, betas)
    root = 1.0 if divisor is None else xp.sqrt(square) / divisor + eps
    if rates[0]:
        p -= rates[0] * g / root
    p -= rates[1] * mean / root


def _nesterov_momentum(beta1: float, momentum_decay: float, step: int) -> float:
    return beta1 * (1.0 - 0.5 * math.pow(0.96, step * momentum_decay))


def _product(factors: Iterable[float]) -> float:
    """Multiply factors below 1, until more of them change nothing in ``1 - product``."""
    product = 1.0
    for factor in factors:
        product *= factor
        if product < 1e-17:
            return 0.0
    return product


def _rectification(step: int, beta2: float) -> float | None:
    """Return the factor that corrects the variance of adaptive steps, None while it cannot be told."""
    limit = 2.0 / (1.0 - beta2) - 1.0
    length = limit - 2.0 * step * beta2**step / (1.0 - beta2**step)
    if length <= 5.0:
        return None
    return math.sqrt((length - 4.0) * (length - 2.0) * limit / ((limit - 4.0) * (limit - 2.0) * length))
