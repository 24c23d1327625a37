"""RMSProp, Adagrad and Adadelta: steps scaled by what is known of the size of past gradients."""

from typing import ClassVar

from minidl.backend import Array, xp
from minidl.ops._kernels._choice import fused
from minidl.optim.base import Optimizer, State
from minidl.optim.groups import Hyper, Parameters


class RMSProp(Optimizer):
    """Divide each gradient by a running root mean square (Tieleman and Hinton, 2012).

    With ``g`` the gradient plus ``weight_decay * p``:

        square = alpha * square + (1 - alpha) * g ** 2
        velocity = momentum * velocity + g / (sqrt(square) + eps)
        p -= lr * velocity

    Args:
        parameters: ``model.parameters()``, or groups of them.
        lr: the learning rate, a number or a schedule, as is every other number here.
        alpha: how much of the mean square is kept from step to step.
        eps: added to the root, so that small gradients do not make large steps.
        weight_decay: the strength of an L2 penalty.
        momentum: the share of the velocity that is kept from step to step.
        centered: divide by a running standard deviation instead (Graves, 2013).
    """

    slots = ("mean", "square", "velocity")
    optional: ClassVar = {"mean": "centered", "velocity": "momentum"}

    def __init__(
        self,
        parameters: Parameters,
        lr: Hyper = 1e-2,
        alpha: Hyper = 0.99,
        eps: Hyper = 1e-8,
        weight_decay: Hyper = 0.0,
        momentum: Hyper = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(
            parameters,
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
        )

    @staticmethod
    @fused("optimizers:rmsprop")
    def update(
        p: Array,
        g: Array,
        state: State,
        lr: float,
        alpha: float,
        eps: float,
        weight_decay: float,
        momentum: float,
        centered: bool,
    ) -> None:
        """Change ``p`` by one step."""
        if weight_decay:
            g = g + weight_decay * p
        square = state["square"]
        square += (1.0 - alpha) * (g * g - square)
        variance = square
        if centered:
            mean = state["mean"]
            mean += (1.0 - alpha) * (g - mean)
            variance = xp.maximum(square - mean * mean, 0.0)  # rounding must not make it negative
        change = g / (xp.sqrt(variance) + eps)
        if momentum:
            velocity = state["velocity"]
            velocity *= momentum
            velocity += change
            change = velocity
        p -= lr * change


class Adagrad(Optimizer):
    """Divide each gradient by the root of the sum of all past squares (Duchi, Hazan and Singer, 2011).

    With ``g`` the gradient plus ``weight_decay * p`` and ``t`` the number of the step from 1:

        total += g ** 2
        p -= lr / (1 + (t - 1) * lr_decay) * g / (sqrt(total) + eps)

    Args:
        parameters: ``model.parameters()``, or groups of them.
        lr: the learning rate, a number or a schedule, as is every other number here.
        lr_decay: how fast the rate falls with the number of steps.
        weight_decay: the strength of an L2 penalty.
        initial_accumulator_value: what the sum of squares begins with.
        eps: added to the root, so that small gradients do not make large steps.
    """

    slots = ("total",)

    def __init__(
        self,
        parameters: Parameters,
        lr: Hyper = 1e-2,
        lr_decay: Hyper = 0.0,
        weight_decay: Hyper = 0.0,
        initial_accumulator_value: Hyper = 0.0,
        eps: Hyper = 1e-10,
    ) -> None:
        super().__init__(
            parameters,
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
        )

    @staticmethod
    @fused("optimizers:adagrad")
    def update(
        p: Array,
        g: Array,
        state: State,
        lr: float,
        lr_decay: float,
        weight_decay: float,
        initial_accumulator_value: float,
        eps: float,
    ) -> None:
        """Change ``p`` by one step."""
        if weight_decay:
            g = g + weight_decay * p
        total = state["total"]
        total += g * g
        p -= lr / (1.0 + (state.step - 1) * lr_decay) * g / (xp.sqrt(total + initial_accumulator_value) + eps)


class Adadelta(Optimizer):
    """Give each step the size of past steps, relative to past gradients (Zeiler, 2012).

    With ``g`` the gradient plus ``weight_decay * p``:

        square = rho * square + (1 - rho) * g ** 2
        change = sqrt((moved + eps) / (square + eps)) * g
        moved = rho * moved + (1 - rho) * change ** 2
        p -= lr * change

    Args:
        parameters: ``model.parameters()``, or groups of them.
        lr: a factor for the steps, a number or a schedule, as is every other number here.
        rho: how much of both mean squares is kept from step to step.
        eps: added to both, so that the first steps are not zero.
        weight_decay: the strength of an L2 penalty.
    """

    slots = ("moved", "square")

    def __init__(
        self,
        parameters: Parameters,
        lr: Hyper = 1.0,
        rho: Hyper = 0.9,
        eps: Hyper = 1e-6,
        weight_decay: Hyper = 0.0,
    ) -> None:
        super().__init__(parameters, lr=lr, rho=rho, eps=eps, weight_decay=weight_decay)

    @staticmethod
    @fused("optimizers:adadelta")
    def update(
        p: Array, g: Array, state: State, lr: float, rho: float, eps: float, weight_decay: float
    ) -> None:
        """Change ``p`` by one step."""
        if weight_decay:
            g = g + weight_decay * p
        square, moved = state["square"], state["moved"]
        square += (1.0 - rho) * (g * g - square)
        change = xp.sqrt(moved + eps) / xp.sqrt(square + eps) * g
        moved += (1.0 - rho) * (change * change - moved)
        p -= lr * change
