"""Lion: steps of equal length in every coordinate."""

from minidl.backend import Array, xp
from minidl.ops._kernels._choice import fused
from minidl.optim.base import Optimizer, State
from minidl.optim.groups import Hyper, Parameters


class Lion(Optimizer):
    """The sign of an interpolated momentum (Chen et al., 2023).

        p -= lr * weight_decay * p
        p -= lr * sign(beta1 * mean + (1 - beta1) * g)
        mean = beta2 * mean + (1 - beta2) * g

    Args:
        parameters: ``model.parameters()``, or groups of them.
        lr: the length of a step in each coordinate, a number or a schedule, as is every other number here;
            a third to a tenth of what Adam takes.
        betas: how much of the mean enters the step, and how much of it is kept.
        weight_decay: how much the parameters shrink beside the step, in proportion to ``lr``.
    """

    slots = ("mean",)

    def __init__(
        self,
        parameters: Parameters,
        lr: Hyper = 1e-4,
        betas: tuple[Hyper, Hyper] = (0.9, 0.99),
        weight_decay: Hyper = 0.0,
    ) -> None:
        super().__init__(parameters, lr=lr, betas=betas, weight_decay=weight_decay)

    @staticmethod
    @fused("optimizers:lion")
    def update(
        p: Array, g: Array, state: State, lr: float, betas: tuple[float, float], weight_decay: float
    ) -> None:
        """Change ``p`` by one step."""
        mean = state["mean"]
        p *= 1.0 - lr * weight_decay
        p -= lr * xp.sign(mean + (1.0 - betas[0]) * (g - mean))
        mean += (1.0 - betas[1]) * (g - mean)
