"""Activations as layers: thin surfaces over the ops of the same names, explained in `minidl.functional`."""

from minidl import ops
from minidl.backend import Array, check_int
from minidl.layers.base import Layer, Pullback


class ReLU(Layer):
    """y = max(x, 0); see `functional.relu`."""

    sample_wise = True

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.relu, x)


class Sigmoid(Layer):
    """y = 1 / (1 + e^-x); see `functional.sigmoid`."""

    sample_wise = True

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.sigmoid, x)


class Tanh(Layer):
    """y = tanh x; see `functional.tanh`."""

    sample_wise = True

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.tanh, x)


class _AlongAxis(Layer):
    """A function along one axis; along the first it couples the samples of a batch."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = check_int(axis, type(self).__name__, "axis")

    def extra_repr(self) -> str:
        return "" if self.axis == -1 else f"axis={self.axis}"


class Softmax(_AlongAxis):
    """Turn scores into probabilities along an axis: y_i = e^(x_i) / sum_j e^(x_j); see `functional.softmax`.

    Its backward is the exact product with the Jacobian, so it composes with any loss. To train a classifier,
    leave it away and let ``CrossEntropy()`` take the logits: that is faster and exact for extreme ones.

    Example:
        >>> from minidl.backend import asarray
        >>> layer = Softmax()
        >>> layer.forward(asarray([1.0, 2.0]))
        array([0.268941, 0.731059], dtype=float32)
        >>> layer.backward(asarray([1.0, 0.0]))
        array([ 0.196612, -0.196612], dtype=float32)
    """

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.softmax, x, axis=self.axis)


class LogSoftmax(_AlongAxis):
    """y_i = x_i - log sum_j e^(x_j) along an axis; see `functional.log_softmax`."""

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.log_softmax, x, axis=self.axis)


class Softmin(_AlongAxis):
    """y_i = e^(-x_i) / sum_j e^(-x_j) along an axis; see `functional.softmin`."""

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.softmin, x, axis=self.axis)


class GLU(_AlongAxis):
    """y = a sigmoid(b), where a and b are the two halves of the input along an axis; see `functional.glu`."""

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.glu, x, axis=self.axis)
