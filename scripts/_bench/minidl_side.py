"""The workloads written with minidl, through its public names alone."""

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import minidl
from _bench.layers import Case, Growth, costs
from _bench.workloads import Weights, Workload, batch, normal
from minidl import optim


def network(name: str) -> minidl.Sequential:
    """Return the network with its fixed initial weights."""
    model = {"mlp": _mlp, "lenet": _lenet, "vgg": _vgg}[name]()
    weights = Weights()
    for parameter in model.parameters():
        if parameter.data.ndim > 1:
            parameter.data = weights.draw(parameter.data.shape)
    return model


def _mlp() -> minidl.Sequential:
    return minidl.Sequential(
        minidl.Linear(784, 256),
        minidl.ReLU(),
        minidl.Linear(256, 128),
        minidl.ReLU(),
        minidl.Linear(128, 10),
    )


def _lenet() -> minidl.Sequential:
    return minidl.Sequential(
        minidl.Conv(1, 32, kernel_size=3),
        minidl.ReLU(),
        minidl.Conv(32, 64, kernel_size=3),
        minidl.ReLU(),
        minidl.MaxPool(2),
        minidl.Flatten(),
        minidl.Linear(12 * 12 * 64, 128),
        minidl.ReLU(),
        minidl.Linear(128, 10),
    )


def _vgg() -> minidl.Sequential:
    layers: list[minidl.Layer] = []
    for before, after in ((3, 32), (32, 64)):
        for channels in (before, after):
            layers += [
                minidl.Conv(channels, after, kernel_size=3, padding="same"),
                minidl.BatchNorm(after),
                minidl.ReLU(),
            ]
        layers.append(minidl.MaxPool(2))
    return minidl.Sequential(
        *layers, minidl.Flatten(), minidl.Linear(8 * 8 * 64, 256), minidl.ReLU(), minidl.Linear(256, 10)
    )


def optimizer(name: str, model: minidl.Sequential) -> Any:
    """Return the optimizer of a network: momentum for LeNet, Adam for the others."""
    if name == "lenet":
        return optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    return optim.Adam(model.parameters(), lr=1e-3)


def step(workload: Workload, dtype: str = "float32") -> Callable[[], Any]:
    """Return the function to time; what it returns is the same number for every contender."""
    return {"train": _train, "infer": _infer, "ops": _op}[workload.part](workload, dtype)


def _train(workload: Workload, dtype: str) -> Callable[[], Any]:
    x, labels = batch(workload.shape, classes=10, dtype=dtype)
    model, criterion = network(workload.model).astype(dtype), minidl.CrossEntropy()
    update = optimizer(workload.model, model)

    def train() -> Any:
        loss = criterion.forward(model.forward(x), labels)
        model.backward(criterion.backward(), input_grad=False)
        update.step()
        update.zero_grad()
        return loss

    return train


def _infer(workload: Workload, dtype: str) -> Callable[[], Any]:
    x, _ = batch(workload.shape, classes=10, dtype=dtype)
    model = network(workload.model).astype(dtype)
    model.eval()
    return lambda: model.predict(x)


def _op(workload: Workload, dtype: str) -> Callable[[], Any]:
    x, labels = batch(workload.shape, classes=workload.shape[-1], dtype=dtype)
    if workload.model == "softmax":
        layer, (dy, _) = minidl.Softmax(axis=-1), batch(workload.shape[::-1], classes=2, dtype=dtype)
        dy = dy.reshape(workload.shape)

        def softmax() -> Any:
            layer.forward(x)
            return layer.backward(dy)

        return softmax
    criterion = minidl.CrossEntropy()

    def cross_entropy() -> Any:
        criterion.forward(x, labels)
        return criterion.backward()

    return cross_entropy


def convolution(kernel: int, size: int) -> Callable[[], Any]:
    """Return one forward and backward through a convolution: the same output for every kernel size."""
    x, _ = batch((size, 32, 32, 16), classes=2)
    layer = minidl.Conv(16, 32, kernel_size=kernel, padding="same")

    def forward_and_backward() -> Any:
        return layer.backward(layer.forward(x))

    return forward_and_backward


def layers(workload: Workload) -> Iterator[Case]:
    """Yield the layers of a network, each alone in a Sequential; not Flatten, which moves nothing."""
    shape = workload.shape
    for i, layer in enumerate(network(workload.model)):
        case, out = _alone(f"layer {i}", layer, shape, seed=i, input_grad=i > 0)
        if not isinstance(layer, minidl.Flatten):
            yield case
        shape = out


def grown(name: str, sizes: Growth) -> Case:
    """Return a convolution with kernels 3 x 3 that keeps the size of its images."""
    n, size, c_in, c_out = sizes
    layer = minidl.Conv(c_in, c_out, kernel_size=3, padding="same")
    layer.weight.data = Weights().draw(layer.weight.shape)
    return _alone(name, layer, (n, size, size, c_in), seed=0, input_grad=True)[0]


def _alone(
    name: str, layer: minidl.Layer, shape: tuple[int, ...], seed: int, input_grad: bool
) -> tuple[Case, tuple[int, ...]]:
    """Return a layer on random input, and the shape of its output."""
    x, model = normal(seed, shape), minidl.Sequential(layer)
    out = (len(x), *layer.predict(x[:1]).shape[1:])
    dy = normal(1000 + seed, out)
    matrices = [parameter for parameter in layer.parameters() if parameter.data.ndim > 1]

    def backward() -> Any:
        dx = model.backward(dy, input_grad=input_grad)
        return dx if input_grad else matrices[0].grad

    facts = costs(
        x=x.size,
        y=dy.size,
        parameters=sum(parameter.data.size for parameter in layer.parameters()),
        macs=sum(prod(out[:-1]) * parameter.data.size for parameter in matrices),
        input_grad=input_grad,
    )
    case = Case(name, lambda: model.forward(x), backward, layer.zero_grad, **facts, label=repr(layer))
    return case, out
