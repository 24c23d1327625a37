"""What is timed: the networks and operations, their data, their arithmetic, and the bars they are held to."""

from dataclasses import dataclass, replace
from math import prod
from typing import Any

Product = tuple[int, int, int]  # of (rows per sample, inner) by (inner, columns)

PRODUCTS: dict[str, tuple[Product, ...]] = {
    "mlp": ((1, 784, 256), (1, 256, 128), (1, 128, 10)),
    "lenet": ((26 * 26, 9, 32), (24 * 24, 288, 64), (1, 9216, 128), (1, 128, 10)),
    "vgg": (
        (32 * 32, 27, 32),
        (32 * 32, 288, 32),
        (16 * 16, 288, 64),
        (16 * 16, 576, 64),
        (1, 4096, 256),
        (1, 256, 10),
    ),
}
FLATTENED = {"lenet": (12, 12, 64), "vgg": (8, 8, 64)}  # (H, W, C) where the dense head begins
MOVED = {"softmax": 5, "cross-entropy": 3}  # arrays read or written, forward and backward, at the very least


@dataclass(frozen=True)
class Workload:
    """One row of the tables; ``must`` and ``goal`` bound the ratio of its time to PyTorch's."""

    part: str
    name: str
    model: str
    shape: tuple[int, ...]
    must: float
    goal: float

    def of_batch(self, size: int) -> "Workload":
        """Return the same work on a batch of another size."""
        return replace(self, shape=(size, *self.shape[1:]))

    @property
    def flops(self) -> int:
        """The arithmetic of all products: training takes three per layer, the first layer two."""
        each = [2 * self.shape[0] * prod(product) for product in PRODUCTS.get(self.model, ())]
        return 3 * sum(each) - each[0] if self.part == "train" else sum(each)

    @property
    def traffic(self) -> int:
        """The bytes that an operation must read and write even if nothing else does."""
        return 4 * MOVED.get(self.model, 0) * prod(self.shape)


VGG = Workload("train", "VGG-like train, batch 64", "vgg", (64, 32, 32, 3), 1.4, 1.1)
WORKLOADS = [
    Workload("train", "MLP train, batch 32", "mlp", (32, 784), 1.05, 0.65),
    Workload("train", "MLP train, batch 128", "mlp", (128, 784), 1.25, 0.9),
    Workload("train", "MLP train, batch 1024", "mlp", (1024, 784), 1.1, 0.9),
    Workload("train", "LeNet train, batch 64", "lenet", (64, 28, 28, 1), 1.25, 0.95),
    VGG,
    Workload("infer", "LeNet inference, batch 1", "lenet", (1, 28, 28, 1), 1.1, 0.9),
    Workload("infer", "LeNet inference, batch 256", "lenet", (256, 28, 28, 1), 0.55, 0.35),
    Workload("ops", "softmax (1024, 1000), forward and backward", "softmax", (1024, 1000), 2.8, 2.0),
    Workload(
        "ops", "cross-entropy (1024, 1000), forward and backward", "cross-entropy", (1024, 1000), 1.6, 1.2
    ),
]
BY_NAME = {workload.name: workload for workload in WORKLOADS}

OVERHEAD_BARS = {"functional": 4.0, "layer": 5.0, "Tensor": 7.0}  # times np.maximum(x, 0) on 8x8
IMPORT_BAR = 1.3  # times the import of NumPy
MEMORY_BARS = (1.0, 0.6)  # times the growth of PyTorch's
FILES = {  # against whom saving and loading are timed
    "save 1 GiB": ["minidl", "safetensors", "safetensors+fsync"],
    "load 1 GiB": ["minidl", "safetensors"],
}
FILE_SPEED_BAR = 0.4  # of the speed of safetensors, which neither hashes nor waits for the disk
FILE_MEMORY_BAR = 2.0  # files, the model included
KERNEL_BAR = 1.1  # kernels 7 against kernels 3, in either direction


def batch(shape: tuple[int, ...], classes: int, dtype: str = "float32") -> tuple[Any, Any]:
    """Return an input and its labels, the same for every contender."""
    import numpy as np

    generator = np.random.default_rng(0)
    x = generator.standard_normal(shape, dtype=np.float32)
    return x.astype(dtype), generator.integers(0, classes, shape[0])


def normal(seed: int, shape: tuple[int, ...]) -> Any:
    """Return random numbers in single precision, the same for every contender."""
    import numpy as np

    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


class Weights:
    """Draws initial weights in minidl's layout, uniform within 1/sqrt(fan-in), the same in every process."""

    def __init__(self) -> None:
        import numpy as np

        self.generator = np.random.default_rng(1)

    def draw(self, shape: tuple[int, ...]) -> Any:
        """Return the next weight; the last axis is the one that leads out of the layer."""
        bound = prod(shape[:-1]) ** -0.5
        return self.generator.uniform(-bound, bound, shape).astype("float32")
