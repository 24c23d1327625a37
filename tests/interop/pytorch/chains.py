"""Networks drawn layer by layer, on both sides at once: images, then rows, perhaps images again."""

import math
from typing import Any

from hypothesis import strategies as st

from minidl import layers


class Chain:
    """Layers of both sides so far, and the shape of a sample here."""

    def __init__(self, torch: Any, draw: Any, shape: tuple[int, ...]) -> None:
        self.torch, self.nn, self.draw = torch, torch.nn, draw
        self.shape = shape
        self.ours: list[Any] = []
        self.theirs: list[Any] = []

    def add(self, layer: Any, module: Any, shape: tuple[int, ...] | None = None) -> None:
        self.ours.append(layer)
        self.theirs.append(module)
        self.shape = self.shape if shape is None else shape

    def nets(self) -> tuple[Any, Any]:
        return layers.Sequential(self.ours).astype("float64"), self.nn.Sequential(*self.theirs).double()

    def branch(self, shape: tuple[int, ...] | None = None) -> "Chain":
        return Chain(self.torch, self.draw, shape or self.shape)

    @property
    def rank(self) -> int:
        return len(self.shape) - 1

    @property
    def channels(self) -> int:
        return self.shape[-1]

    def named(self, name: str) -> Any:
        return getattr(self.nn, f"{name}{max(self.rank, 1)}d")

    # Layers of images.

    def conv(self, channels: int | None = None) -> None:
        groups = self.draw(st.sampled_from([g for g in (1, 2, 3) if self.channels % g == 0]))
        channels = channels or groups * self.draw(st.integers(1, 3))
        groups = groups if channels % groups == 0 else 1
        options = {"padding": 1, "groups": groups, "bias": self.draw(st.booleans())}
        kernel = (3,) * self.rank
        module = self.named("Conv")(self.channels, channels, kernel, **options)
        self.add(
            layers.Conv(self.channels, channels, kernel, **options), module, (*self.shape[:-1], channels)
        )

    def conv_transpose(self) -> None:
        channels, kernel = self.draw(st.integers(1, 3)), (2,) * self.rank
        layer = layers.ConvTranspose(self.channels, channels, kernel, stride=2)
        module = self.named("ConvTranspose")(self.channels, channels, kernel, stride=2)
        self.add(layer, module, (*(2 * n for n in self.shape[:-1]), channels))

    def batch_norm(self) -> None:
        self.add(layers.BatchNorm(self.channels), self.named("BatchNorm")(self.channels))

    def group_norm(self) -> None:
        groups = self.draw(st.sampled_from([g for g in (1, 2, 3) if self.channels % g == 0]))
        self.add(layers.GroupNorm(groups, self.channels), self.nn.GroupNorm(groups, self.channels))

    def instance_norm(self) -> None:
        self.add(layers.InstanceNorm(self.channels), self.named("InstanceNorm")(self.channels, affine=True))

    def layer_norm(self) -> None:
        module = self.nn.LayerNorm((self.channels, *self.shape[:-1]))
        self.add(layers.LayerNorm(self.shape), module)

    def prelu(self) -> None:
        size = self.draw(st.sampled_from([1, self.channels]))
        self.add(layers.PReLU(size), self.nn.PReLU(size))

    def relu(self) -> None:
        self.add(layers.ReLU(), self.nn.ReLU())

    def max_pool(self) -> None:
        if min(self.shape[:-1]) >= 4:
            self.add(
                layers.MaxPool(2),
                self.named("MaxPool")(2),
                (*(n // 2 for n in self.shape[:-1]), self.channels),
            )

    def glu(self) -> None:
        if self.channels % 2 == 0:
            self.add(layers.GLU(), self.nn.GLU(dim=1), (*self.shape[:-1], self.channels // 2))

    def residual(self) -> None:
        branch = self.branch()
        branch.conv(self.channels)
        branch.batch_norm()
        inner, module = branch.nets()
        self.add(layers.Residual(inner), joined(self.torch, [module, self.nn.Identity()], sum))

    def dense(self) -> None:
        branch = self.branch()
        branch.conv()
        inner, module = branch.nets()
        both = joined(
            self.torch, [self.nn.Identity(), module], lambda parts: self.torch.cat(list(parts), dim=1)
        )
        shape = (*self.shape[:-1], self.channels + branch.channels)
        self.add(layers.Parallel(layers.Identity(), inner), both, shape)

    def images(self, steps: list[str]) -> None:
        for step in steps:
            if math.prod(self.shape) < 200:
                getattr(self, step)()

    # Rows.

    def flatten(self) -> None:
        self.add(layers.Flatten(), self.nn.Flatten(), (math.prod(self.shape),))

    def linear(self, features: int) -> None:
        bias = self.draw(st.booleans())
        module = self.nn.Linear(self.shape[-1], features, bias=bias)
        self.add(layers.Linear(self.shape[-1], features, bias=bias), module, (features,))

    def rows_norm(self) -> None:
        if self.shape[-1] > 1:
            self.add(layers.LayerNorm(self.shape), self.nn.LayerNorm(self.shape))

    def rows_rms_norm(self) -> None:
        self.add(layers.RMSNorm(self.shape), self.nn.RMSNorm(self.shape, eps=1e-5))

    def rows_residual(self) -> None:
        branch = self.branch()
        branch.linear(self.shape[-1])
        branch.rows(["relu"])
        inner, module = branch.nets()
        self.add(layers.Residual(inner), joined(self.torch, [module, self.nn.Identity()], sum))

    def rows(self, steps: list[str]) -> None:
        for step in steps:
            getattr(self, step)()

    def image_again(self) -> None:
        shape = (*(self.draw(st.integers(2, 3)) for _ in range(self.draw(st.integers(1, 2)))), 3)
        self.linear(math.prod(shape))
        self.rows(
            self.draw(st.lists(st.sampled_from(["batch_norm", "relu", "prelu", "rows_norm"]), max_size=2))
        )
        self.add(layers.Reshape(shape), self.nn.Unflatten(1, (shape[-1], *shape[:-1])), shape)
        self.conv()


def joined(torch: Any, branches: list[Any], merge: Any) -> Any:
    class Joined(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.branches = torch.nn.ModuleList(branches)

        def forward(self, x: Any) -> Any:
            return merge(branch(x) for branch in self.branches)

    return Joined()


OF_IMAGES = [
    "conv",
    "conv_transpose",
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "prelu",
    "relu",
]
OF_IMAGES += ["max_pool", "glu", "residual", "dense"]
OF_ROWS = ["batch_norm", "rows_norm", "rows_rms_norm", "prelu", "relu", "rows_residual"]


def drawn(torch: Any, draw: Any) -> tuple[Any, Any, tuple[int, ...]]:
    """Our network, PyTorch's and the shape of a sample here."""
    shape = draw(st.tuples(*[st.integers(2, 5)] * draw(st.integers(1, 3)), st.integers(1, 4)))
    chain = Chain(torch, draw, shape)
    chain.conv()
    chain.images(draw(st.lists(st.sampled_from(OF_IMAGES), max_size=4)))
    chain.flatten()
    chain.rows(draw(st.lists(st.sampled_from(OF_ROWS), max_size=2)))
    if draw(st.booleans()):
        chain.image_again()
        chain.flatten()
    chain.linear(3)
    return *chain.nets(), shape
