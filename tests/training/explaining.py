"""One model or more for every public layer, with the shape of an input, for the tests of `explain`."""

import minidl
from minidl import layers
from minidl.layers import Conv, ConvTranspose
from tests.either import np

RNG = np.random.default_rng(5)


def drawn(shape, seed: int = 0, dtype: str = "float32"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def settled(layer: minidl.Layer, seed: int = 1) -> minidl.Layer:
    """Give all parameters and statistics other numbers than those that hide a mistake."""
    rng = np.random.default_rng(seed)
    for parameter in layer.parameters():
        parameter.data = (0.5 + rng.random(parameter.shape)).astype("float32") * rng.choice(
            [-1.0, 1.0], parameter.shape
        ).astype("float32")
    for part in (layer, *(inner for _, inner in layer.named_layers())):
        if isinstance(part, minidl.BatchNorm):
            part.running_mean.data = rng.standard_normal(part.running_mean.data.shape).astype("float32")
            part.running_var.data = (1 + rng.random(part.running_var.data.shape)).astype("float32")
    return layer


ROWS, STEPS, IMAGES, LINE = (4, 6), (2, 5, 4), (2, 5, 6, 4), (2, 7, 4)

CASES = {
    "linear": (lambda: minidl.Linear(6, 3), ROWS),
    "linear without a bias, of steps": (lambda: minidl.Linear(4, 3, bias=False), STEPS),
    "conv": (lambda: Conv(4, 3, kernel_size=3), IMAGES),
    "conv with everything": (
        lambda: Conv(4, 6, kernel_size=(3, 2), stride=(2, 1), padding=((1, 0), 1), dilation=(1, 2), groups=2),
        IMAGES,
    ),
    "conv, same": (lambda: Conv(4, 2, kernel_size=(4,), stride=2, padding="same", bias=False), LINE),
    "transposed conv": (lambda: ConvTranspose(4, 3, kernel_size=2, stride=2), IMAGES),
    "transposed conv with everything": (
        lambda: ConvTranspose(
            4, 6, kernel_size=3, stride=2, padding=((1, 0), 1), output_padding=1, dilation=2, groups=2
        ),
        IMAGES,
    ),
    "transposed conv, same": (lambda: ConvTranspose(4, 3, kernel_size=3, stride=2, padding="same"), IMAGES),
    "max pool": (lambda: layers.MaxPool(2), IMAGES),
    "max pool with everything": (lambda: layers.MaxPool(3, stride=(1, 2), padding=1, ceil_mode=True), IMAGES),
    "dilated max pool": (lambda: layers.MaxPool(2, stride=1, dilation=2), IMAGES),
    "avg pool": (lambda: layers.AvgPool(2), IMAGES),
    "avg pool over padding": (lambda: layers.AvgPool(3, stride=2, padding=1), IMAGES),
    "avg pool without padding": (
        lambda: layers.AvgPool(3, stride=2, padding=1, count_include_pad=False, ceil_mode=True),
        IMAGES,
    ),
    "avg pool beyond the padding": (lambda: layers.AvgPool(2, stride=2, padding=1, ceil_mode=True), LINE),
    "global max": (layers.GlobalMaxPool, IMAGES),
    "global mean": (layers.GlobalAvgPool, IMAGES),
    "adaptive": (lambda: layers.AdaptiveAvgPool((3, 4)), IMAGES),
    "nearest": (lambda: layers.Upsample(size=(7, 3)), IMAGES),
    "bilinear": (lambda: layers.Upsample(2, mode="bilinear"), IMAGES),
    "pad": (lambda: layers.Pad((1, (0, 2)), value=2.0), IMAGES),
    "pad by the edge": (lambda: layers.Pad(2, mode="edge"), LINE),
    "pad by the mirror": (lambda: layers.Pad((2, (1, 3)), mode="reflect"), IMAGES),
    "batch norm": (lambda: minidl.BatchNorm(4, eps=0.1), IMAGES),
    "batch norm of rows": (lambda: minidl.BatchNorm(6), ROWS),
    "batch norm in evaluation": (lambda: minidl.BatchNorm(6).eval(), ROWS),
    "layer norm": (lambda: minidl.LayerNorm(4), STEPS),
    "layer norm of two axes": (lambda: minidl.LayerNorm((5, 4), eps=0.1), STEPS),
    "group norm": (lambda: layers.GroupNorm(2, 4), IMAGES),
    "group norm of rows": (lambda: layers.GroupNorm(2, 6), ROWS),
    "instance norm": (lambda: layers.InstanceNorm(4), IMAGES),
    "rms norm": (lambda: layers.RMSNorm(4), STEPS),
    "softmax": (minidl.Softmax, ROWS),
    "softmax of samples": (lambda: minidl.Softmax(axis=0), ROWS),
    "softmin": (lambda: layers.Softmin(axis=1), STEPS),
    "log softmax": (lambda: minidl.LogSoftmax(axis=-2), STEPS),
    "glu": (layers.GLU, ROWS),
    "glu along steps": (lambda: layers.GLU(axis=1), (2, 6, 3)),
    "relu": (minidl.ReLU, ROWS),
    "relu6": (layers.ReLU6, ROWS),
    "hard tanh": (lambda: layers.HardTanh(-0.5, 0.7), ROWS),
    "hard sigmoid": (layers.HardSigmoid, ROWS),
    "hard swish": (layers.HardSwish, ROWS),
    "leaky relu": (lambda: layers.LeakyReLU(0.2), ROWS),
    "prelu": (layers.PReLU, ROWS),
    "prelu of channels": (lambda: layers.PReLU(4), STEPS),
    "elu": (lambda: layers.ELU(0.7), ROWS),
    "celu": (lambda: layers.CELU(0.7), ROWS),
    "selu": (layers.SELU, ROWS),
    "sigmoid": (minidl.Sigmoid, ROWS),
    "tanh": (minidl.Tanh, ROWS),
    "gelu": (layers.GELU, ROWS),
    "gelu by tanh": (lambda: layers.GELU("tanh"), ROWS),
    "silu": (layers.SiLU, ROWS),
    "mish": (layers.Mish, ROWS),
    "softplus": (lambda: layers.Softplus(2.0), ROWS),
    "softsign": (layers.Softsign, ROWS),
    "dropout": (lambda: minidl.Dropout(0.3, seed=4), STEPS),
    "dropout in evaluation": (lambda: minidl.Dropout(0.3, seed=4).eval(), STEPS),
    "identity": (layers.Identity, STEPS),
    "flatten": (minidl.Flatten, IMAGES),
    "reshape": (lambda: layers.Reshape((10, 2)), STEPS),
    "embedding": (lambda: layers.Embedding(5, 3, seed=0), (3, 4)),
    "embedding with padding": (lambda: layers.Embedding(5, 3, padding_idx=1, seed=0), (3, 4)),
    "learned positions": (lambda: layers.LearnedPositions(9, 4), STEPS),
    "sinusoidal positions": (layers.SinusoidalPositions, STEPS),
    "rotary positions": (layers.RotaryPositions, STEPS),
    "rnn": (lambda: layers.RNN(4, 3), STEPS),
    "rnn with everything": (
        lambda: layers.RNN(4, 3, num_layers=2, bidirectional=True, bias=False, nonlinearity="relu"),
        STEPS,
    ),
    "lstm": (lambda: layers.LSTM(4, 3, num_layers=2, bidirectional=True), STEPS),
    "gru": (lambda: layers.GRU(4, 3, num_layers=2), STEPS),
    "attention": (lambda: layers.MultiHeadAttention(4, 2), STEPS),
    "causal, rotary attention": (
        lambda: layers.MultiHeadAttention(4, 2, causal=True, rotary=True, bias=False),
        STEPS,
    ),
    "sequential": (lambda: minidl.Sequential(minidl.Linear(6, 3), minidl.Tanh()), ROWS),
    "nothing": (minidl.Sequential, ROWS),
    "residual": (lambda: layers.Residual(minidl.Linear(6, 6)), ROWS),
    "residual with a shortcut": (lambda: layers.Residual(minidl.Linear(6, 2), minidl.Linear(6, 2)), ROWS),
    "parallel": (lambda: layers.Parallel(minidl.Linear(6, 2), minidl.Tanh(), minidl.Linear(6, 1)), ROWS),
    "parallel, added": (lambda: layers.Parallel(layers.Identity(), minidl.Tanh(), merge="add"), ROWS),
    "transformer": (lambda: layers.TransformerEncoderLayer(4, 2, hidden_features=5, seed=0), STEPS),
    "transformer, norms first": (
        lambda: layers.TransformerEncoderLayer(
            4, 2, hidden_features=5, activation="gelu", norm_first=True, causal=True, seed=0
        ),
        STEPS,
    ),
    "function": (lambda: minidl.Function(lambda x: (x * x).sum(axis=1)), ROWS),
}


def made(case: str) -> tuple[minidl.Layer, object]:
    """Return the layer of a case and an input."""
    make, shape = CASES[case]
    if case.startswith("embedding"):
        return settled(make()), np.random.default_rng(0).integers(5, size=shape)
    return settled(make()), drawn(shape)
