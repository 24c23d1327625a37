"""A branching network with shared weights, written with Tensors; the same gradients as by layers."""

import argparse

import minidl
from minidl import functional as F
from minidl.backend import generator
from minidl.layers import Linear, Parallel, ReLU, Residual, Sequential, Tanh
from minidl.optim import Adam


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300, help="training steps (300)")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the data (0)")
    args = parser.parse_args()

    random = generator(args.seed)
    x = minidl.asarray(random.normal(size=(64, 4)), dtype="float32")
    target = minidl.asarray(random.normal(size=(64, 1)), dtype="float32")

    shared = Linear(4, 4, seed=args.seed)  # used by both branches, and once more for the residual
    head = Linear(8, 1, seed=args.seed + 1)

    def network(x):
        hidden = F.linear(x, shared.weight, shared.bias)
        again = F.linear(x + hidden, shared.weight, shared.bias)
        return F.linear(F.concatenate([F.tanh(again), F.relu(again)], axis=-1), head.weight, head.bias)

    loss = F.mse_loss(network(minidl.Tensor(x)), target)
    loss.backward()
    tape = [p.grad.copy() for p in (*shared.parameters(), *head.parameters())]

    model = Sequential(Residual(shared), shared, Parallel(Tanh(), ReLU()), head)
    model.zero_grad()
    criterion = minidl.MeanSquaredError()
    value = criterion.forward(model.forward(x), target)
    model.backward(criterion.backward())
    worst = max(float(abs(g - p.grad).max()) for g, p in zip(tape, model.parameters(), strict=True))
    print(f"loss by Tensors {loss.item():.6f}, by layers {float(value):.6f}")
    print(f"largest difference between their gradients: {worst:.1e}")

    optimizer = Adam(model.parameters(), lr=1e-2)
    for _ in range(args.steps):
        optimizer.zero_grad()
        loss = F.mse_loss(network(minidl.Tensor(x)), target)
        loss.backward()
        optimizer.step()
    print(f"loss after {args.steps} steps: {loss.item():.6f}")


if __name__ == "__main__":
    main()
