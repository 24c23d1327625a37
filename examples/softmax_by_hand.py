"""Softmax by hand: forward, backward, a finite-difference check, and the whole Jacobian."""

import argparse

import minidl
from minidl import functional as F
from minidl.backend import generator, xp


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3, help="how many random directions to check (3)")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers (0)")
    args = parser.parse_args()
    random = generator(args.seed)

    x = minidl.asarray([2.0, 1.0, 0.1], dtype="float64")
    e = xp.exp(x - x.max())  # shifted, so that no exponential can overflow
    y = e / e.sum()
    print("scores       ", x)
    print("probabilities", y)

    dy = minidl.asarray([1.0, 0.0, 0.0], dtype="float64")  # "I want the first one to grow"
    dx = y * (dy - (dy * y).sum())
    print("gradient     ", dx)

    _, pullback = minidl.vjp(F.softmax, x)  # the library's own softmax, and its pullback
    print("the library's", pullback(dy))

    for _ in range(args.steps):
        direction, h = minidl.asarray(random.normal(size=3)), 1e-6
        ahead, behind = F.softmax(x + h * direction), F.softmax(x - h * direction)
        slope = float((ahead - behind) @ dy) / (2 * h)
        print(
            f"along a random direction: finite difference {slope:+.9f}, gradient {float(dx @ direction):+.9f}"
        )

    jacobian = minidl.jacobian(F.softmax, x)
    print("Jacobian: diag(y) - y y^T\n", jacobian)
    print("largest difference from the formula:", float(abs(jacobian - (xp.diag(y) - xp.outer(y, y))).max()))


if __name__ == "__main__":
    main()
