"""An op of one's own: its formula and its pullback, used as a function, as a layer, and proved."""

import argparse

import minidl
from minidl.backend import generator, xp
from minidl.layers import Layer, Linear, Parameter, Sequential
from minidl.tensor import apply
from minidl.testing import check_gradients, check_layer


def snake(x, a):
    """y = x + sin^2(a x) / a (Ziyin, Hartwig and Ueda, 2020)."""
    if x.shape[-1:] != a.shape:
        raise ValueError(f"snake: expected (..., {a.size}), got {x.shape}")
    y = x + xp.sin(a * x) ** 2 / a

    def pullback(dy):
        # dx = dy (1 + sin 2ax), da = sum of dy (x sin 2ax / a - sin^2(ax) / a^2)
        wave = xp.sin(2 * a * x)
        da = dy * (x * wave / a - xp.sin(a * x) ** 2 / a**2)
        return dy * (1 + wave), da.sum(axis=tuple(range(x.ndim - 1)))

    return y, pullback


class Snake(Layer):
    sample_wise = True

    def __init__(self, features):
        self.frequency = Parameter([1.0] * features, name="frequency")

    def vjp(self, x):
        return self.bind(snake, x, self.frequency)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=5, help="how often to check at random arrays (5)")
    parser.add_argument("--seed", type=int, default=0, help="of the random arrays (0)")
    args = parser.parse_args()
    random = generator(args.seed)

    for _ in range(args.steps):
        x, a = random.normal(size=(4, 3)), random.uniform(0.5, 2.0, size=3)
        report = check_gradients(snake, minidl.asarray(x), minidl.asarray(a))
    print(report)
    print(check_layer(Snake(3), input_shape=(3,)))

    x = minidl.Tensor(random.normal(size=(4, 3)), requires_grad=True)
    apply(snake, x, minidl.asarray([1.0, 1.0, 1.0], dtype="float64")).sum().backward()
    print("as a function of a Tensor, its gradient:\n", x.grad)
    print(Sequential(Linear(3, 3), Snake(3), Linear(3, 1)))


if __name__ == "__main__":
    main()
