"""Models that `compare_backends` imports by name, in this process and in another."""

from typing import Any

import minidl
from minidl import ops

planted: list[str] = []  # which mistakes this process makes: the other one starts without any


class Scaled(minidl.Layer):
    """Twice its input, unless a mistake is planted."""

    def vjp(self, x: Any) -> Any:
        y, pullback = ops.multiply(x, x.dtype.type(2) * (x == x))
        forward = 1 + 1e-4 * ("forward" in planted)
        backward = 1 + 1e-4 * ("backward" in planted)
        return y * x.dtype.type(forward), lambda dy, input_grad=True: (
            pullback(dy)[0] * dy.dtype.type(backward),
            [],
        )

    def __repr__(self) -> str:
        return "Scaled()"


def convolutional() -> minidl.Sequential:
    return minidl.Sequential(
        minidl.Conv(2, 4, 3, padding="same"),
        minidl.BatchNorm(4),
        minidl.ReLU(),
        minidl.Residual(minidl.Sequential(Scaled(), minidl.Tanh())),
        minidl.MaxPool(2),
        minidl.Dropout(0.25),
        minidl.Flatten(),
        minidl.Linear(36, 5),
        minidl.LogSoftmax(),
    )


def in_half() -> minidl.Layer:
    return convolutional().astype("float16")


def in_double() -> minidl.Layer:
    return convolutional().astype("float64")


def recurrent() -> minidl.Sequential:
    return minidl.Sequential(
        minidl.Embedding(7, 4), minidl.LSTM(4, 3), minidl.MultiHeadAttention(3, 1), minidl.LayerNorm(3)
    )


def no_layer() -> int:
    return 3


def failing() -> minidl.Layer:
    if not planted:
        raise LookupError("only the other process comes here")
    return minidl.ReLU()
