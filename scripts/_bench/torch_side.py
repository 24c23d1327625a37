"""The workloads written with PyTorch, eager, with its own layout and its own number of threads."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from _bench.layers import Case, Growth
from _bench.workloads import FLATTENED, Weights, Workload, batch, normal


def network(name: str) -> nn.Sequential:
    """Return the network with the initial weights that minidl starts from, put into PyTorch's layout."""
    model = {"mlp": _mlp, "lenet": _lenet, "vgg": _vgg}[name]()
    weights, flattened = Weights(), FLATTENED.get(name)
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, nn.Conv2d):
                c_out, c_in, height, width = layer.weight.shape
                drawn = torch.from_numpy(weights.draw((height, width, c_in, c_out)))
                layer.weight.copy_(drawn.permute(3, 2, 0, 1))
                layer.bias.zero_()
            elif isinstance(layer, nn.Linear):
                drawn = torch.from_numpy(weights.draw((layer.in_features, layer.out_features)))
                if flattened:
                    drawn = drawn.reshape(*flattened, -1).permute(2, 0, 1, 3).reshape(drawn.shape)
                    flattened = None
                layer.weight.copy_(drawn.T)
                layer.bias.zero_()
    return model


def _mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))


def _lenet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(12 * 12 * 64, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def _vgg() -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in ((3, 32), (32, 64)):
        for channels in (before, after):
            layers += [nn.Conv2d(channels, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 8 * 64, 256), nn.ReLU(), nn.Linear(256, 10))


def optimizer(name: str, model: nn.Sequential) -> torch.optim.Optimizer:
    """Return the optimizer of a network: momentum for LeNet, Adam for the others."""
    if name == "lenet":
        return torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    return torch.optim.Adam(model.parameters(), lr=1e-3)


def _tensors(
    shape: tuple[int, ...], classes: int, dtype: str = "float32"
) -> tuple[torch.Tensor, torch.Tensor]:
    x, labels = batch(shape, classes, dtype)
    if x.ndim == 4:
        x = x.transpose(0, 3, 1, 2).copy()
    return torch.from_numpy(x), torch.from_numpy(labels)


def step(workload: Workload, dtype: str = "float32") -> Callable[[], Any]:
    """Return the function to time; what it returns is the same number for every contender."""
    return {"train": _train, "infer": _infer, "ops": _op}[workload.part](workload, dtype)


def _train(workload: Workload, dtype: str) -> Callable[[], Any]:
    x, labels = _tensors(workload.shape, classes=10, dtype=dtype)
    model = network(workload.model).to(x.dtype)
    update = optimizer(workload.model, model)

    def train() -> Any:
        update.zero_grad()
        loss = functional.cross_entropy(model(x), labels)
        loss.backward()
        update.step()
        return loss.detach()

    return train


def _infer(workload: Workload, dtype: str) -> Callable[[], Any]:
    x, _ = _tensors(workload.shape, classes=10, dtype=dtype)
    model = network(workload.model).to(x.dtype).eval()

    def infer() -> Any:
        with torch.inference_mode():
            return model(x)

    return infer


def _op(workload: Workload, dtype: str) -> Callable[[], Any]:
    x, labels = _tensors(workload.shape, classes=workload.shape[-1], dtype=dtype)
    x.requires_grad_()
    dy = _tensors(workload.shape[::-1], classes=2, dtype=dtype)[0].reshape(workload.shape)

    def softmax() -> Any:
        x.grad = None
        functional.softmax(x, dim=-1).backward(dy)
        return x.grad

    def cross_entropy() -> Any:
        x.grad = None
        functional.cross_entropy(x, labels).backward()
        return x.grad

    return {"softmax": softmax, "cross-entropy": cross_entropy}[workload.model]


def layers(workload: Workload) -> Iterator[Case]:
    """Yield the layers of a network with the input and upstream that minidl's have, channels first."""
    n, *spatial, channels = workload.shape
    shape, flattened = (n, channels, *spatial), None
    for i, layer in enumerate(network(workload.model)):
        if isinstance(layer, nn.Flatten):
            flattened = FLATTENED[workload.model]
            shape = (n, shape[1] * shape[2] * shape[3])
            continue
        x = _channels_first(i, shape, flattened)
        flattened = None
        shape = (n, *layer(x[:2]).shape[1:])
        yield _alone(f"layer {i}", layer, x, _channels_first(1000 + i, shape), input_grad=i > 0)


def grown(name: str, sizes: Growth) -> Case:
    """Return a convolution with kernels 3 x 3 that keeps the size of its images."""
    n, size, c_in, c_out = sizes
    layer = nn.Conv2d(c_in, c_out, 3, padding=1)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(Weights().draw((3, 3, c_in, c_out))).permute(3, 2, 0, 1))
        layer.bias.zero_()
    x, dy = _channels_first(0, (n, c_in, size, size)), _channels_first(1000, (n, c_out, size, size))
    return _alone(name, layer, x, dy, input_grad=True)


def _channels_first(
    seed: int, shape: tuple[int, ...], flattened: tuple[int, int, int] | None = None
) -> torch.Tensor:
    """Return the random numbers that minidl has, in PyTorch's order; also where they have been flattened."""
    if flattened:
        drawn = normal(seed, shape).reshape(-1, *flattened).transpose(0, 3, 1, 2).reshape(shape)
    elif len(shape) == 4:
        n, c, h, w = shape
        drawn = normal(seed, (n, h, w, c)).transpose(0, 3, 1, 2).copy()
    else:
        drawn = normal(seed, shape)
    return torch.from_numpy(drawn)


def _alone(name: str, layer: nn.Module, x: torch.Tensor, dy: torch.Tensor, input_grad: bool) -> Case:
    x.requires_grad_(input_grad)
    kept = []

    def forward() -> torch.Tensor:
        kept[:] = [layer(x)]
        return kept[0].detach()

    def backward() -> Any:
        kept[0].backward(dy)
        return x.grad if input_grad else layer.weight.grad

    def reset() -> None:
        x.grad = None
        layer.zero_grad()

    return Case(name, forward, backward, reset)
