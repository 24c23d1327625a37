"""The same networks on both sides: PyTorch's, with attribute names of their own, and ours."""

from itertools import pairwise
from typing import Any

import numpy as np

import minidl
from minidl.backend import asarray, to_numpy
from minidl.layers import (
    GRU,
    LSTM,
    BatchNorm,
    Conv,
    Dropout,
    Embedding,
    Flatten,
    GlobalAvgPool,
    Layer,
    LayerNorm,
    Linear,
    MaxPool,
    ReLU,
    Residual,
    Sequential,
    TransformerEncoderLayer,
)

SIZES = (8, 8, 16, 24, 32)  # channels of a residual network's stem and four stages


def block(channels_in: int, channels: int, stride: int) -> Sequential:
    same = stride == 1 and channels_in == channels
    shortcut = Sequential(Conv(channels_in, channels, 1, stride=stride, bias=False), BatchNorm(channels))
    branch = Sequential(
        Conv(channels_in, channels, 3, stride=stride, padding=1, bias=False),
        BatchNorm(channels),
        ReLU(),
        Conv(channels, channels, 3, padding=1, bias=False),
        BatchNorm(channels),
    )
    return Sequential(Residual(branch, None if same else shortcut), ReLU())


def resnet18() -> Sequential:
    """Four stages of two blocks; see He et al. (2016)."""
    stem = [Conv(3, 8, 7, stride=2, padding=3, bias=False), BatchNorm(8), ReLU(), MaxPool(3, 2, padding=1)]
    stages = []
    for i, (before, channels) in enumerate(pairwise(SIZES)):
        stages += [block(before, channels, 2 if i else 1), block(channels, channels, 1)]
    return Sequential(*stem, *stages, GlobalAvgPool(), Linear(32, 10))


def their_resnet18(torch: Any) -> Any:
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, channels_in: int, channels: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(channels)
            self.relu = nn.ReLU()
            self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(channels)
            self.downsample = None
            if stride != 1 or channels_in != channels:
                short = nn.Conv2d(channels_in, channels, 1, stride, bias=False)
                self.downsample = nn.Sequential(short, nn.BatchNorm2d(channels))

        def forward(self, x: Any) -> Any:
            y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
            return self.relu(y + (x if self.downsample is None else self.downsample(x)))

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False)
            self.bn1 = nn.BatchNorm2d(8)
            self.maxpool = nn.MaxPool2d(3, 2, 1)
            for i, (before, channels) in enumerate(pairwise(SIZES)):
                blocks = Block(before, channels, 2 if i else 1), Block(channels, channels, 1)
                setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
            self.fc = nn.Linear(32, 10)

        def forward(self, x: Any) -> Any:
            x = self.maxpool(self.bn1(self.conv1(x)).relu())
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return self.fc(x.mean(dim=(2, 3)))

    return Network()


def lenet() -> Sequential:
    return Sequential(
        Conv(1, 6, 5, padding=2),
        ReLU(),
        MaxPool(2),
        Conv(6, 16, 5),
        ReLU(),
        MaxPool(2),
        Flatten(),
        Linear(400, 120),
        ReLU(),
        Dropout(),
        Linear(120, 84),
        ReLU(),
        Linear(84, 10),
    )


def their_lenet(torch: Any) -> Any:
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


class Reader(Layer):
    """A network of one's own: words, a recurrent network over them, one number at every step."""

    def __init__(self, kind: type[Layer]) -> None:
        self.words = Embedding(20, 6)
        self.network: Any = kind(6, 5, num_layers=2, bidirectional=True)
        self.head = Linear(10, 3)

    def vjp(self, x: Any) -> Any:
        return Sequential(self.words, self.network, self.head).vjp(x)


def lstm() -> Layer:
    return Reader(LSTM)


def gru() -> Layer:
    return Reader(GRU)


def their_reader(torch: Any, kind: str) -> Any:
    nn = torch.nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(20, 6)
            self.recurrence = getattr(nn, kind)(6, 5, num_layers=2, bidirectional=True, batch_first=True)
            self.out = nn.Linear(10, 3)

        def forward(self, x: Any) -> Any:
            return self.out(self.recurrence(self.embedding(x))[0])

    return Network()


def their_lstm(torch: Any) -> Any:
    return their_reader(torch, "LSTM")


def their_gru(torch: Any) -> Any:
    return their_reader(torch, "GRU")


def transformer() -> Sequential:
    encoders = [TransformerEncoderLayer(16, 4, hidden_features=32) for _ in range(3)]
    return Sequential(Embedding(20, 16), Sequential(*encoders), LayerNorm(16), Linear(16, 5))


def their_transformer(torch: Any) -> Any:
    nn = torch.nn
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    norm = nn.LayerNorm(16)
    encoder = nn.TransformerEncoder(layer, 3, norm=norm, enable_nested_tensor=False)
    return nn.Sequential(nn.Embedding(20, 16), encoder, nn.Linear(16, 5))


def pictures(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(3, 28, 28, 1)).astype("float32")


def colours(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(2, 32, 32, 3)).astype("float32")


def words(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 20, (4, 7))


NETS = {
    "LeNet": (lenet, their_lenet, pictures),
    "ResNet-18": (resnet18, their_resnet18, colours),
    "LSTM": (lstm, their_lstm, words),
    "GRU": (gru, their_gru, words),
    "Transformer": (transformer, their_transformer, words),
}


def shuffled(module: Any, seed: int = 0) -> Any:
    """Give every array of a PyTorch module random values, variances positive ones; to evaluation."""
    rng = np.random.default_rng(seed)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            drawn = rng.normal(size=tuple(tensor.shape)) * (0.3 if tensor.ndim > 1 else 1)
            tensor.copy_(tensor.new_tensor(abs(drawn) + 0.5 if name.endswith("var") else drawn))
    return module.eval()


def ours(model: Layer, x: np.ndarray) -> np.ndarray:
    return to_numpy(model.eval().predict(asarray(x)))


def theirs(torch: Any, module: Any, x: np.ndarray) -> np.ndarray:
    first = minidl.to_numpy(minidl.channels_first(asarray(x))) if x.ndim > 3 else x
    with torch.no_grad():
        return module.eval()(torch.from_numpy(first)).numpy()


def assert_close(a: np.ndarray, b: np.ndarray) -> None:
    """Equal to 1e-5 of the largest value."""
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1.0, abs(b).max()))


def tensors(torch: Any, state: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name: torch.from_numpy(array) for name, array in state.items()}
