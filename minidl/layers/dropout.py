"""Dropout as a layer: it counts its calls, so that each has a mask of its own that can be repeated."""

from typing import Any

from minidl import ops
from minidl.backend import Array, Seed, draw_seed, to_numpy
from minidl.layers.base import Layer, Pullback
from minidl.layers.parameter import Buffer
from minidl.ops.dropout import check_probability


class Dropout(Layer):
    """Set random elements to zero while training, and scale the others; see `functional.dropout`.

    Evaluation and ``predict`` are the identity. The state holds the seed of the layer and the number of
    training calls that drew a mask: restoring it repeats the masks exactly, on either backend.

    Args:
        p: the probability of an element to be dropped, ``0 <= p < 1``.
        seed: of the masks; by default drawn from the default generator, now.
        dtype: taken for the sake of uniformity; the output has the dtype of the input.

    Example:
        >>> from minidl.backend import xp
        >>> layer = Dropout(p=0.5, seed=0)
        >>> before = layer.state()
        >>> y = layer.forward(xp.ones(8))
        >>> layer.load_state(before)
        >>> bool((layer.forward(xp.ones(8)) == y).all())
        True
    """

    def __init__(self, p: float = 0.5, *, seed: Seed = None, dtype: Any = None) -> None:
        self.p = check_probability(p, "Dropout")
        self.stream = Buffer(to_numpy([draw_seed(seed), 0]))  # on the host, to be read without a wait

    @property
    def sample_wise(self) -> bool:  # type: ignore[override]  # what its mask says
        """Whether each sample of the output depends on the same sample of the input alone: without a mask."""
        return self.p == 0 or not self.training

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        if not self.training or self.p == 0:
            return self._identity(x)
        seed, counter = self.stream.data.tolist()
        step = self.bind(ops.dropout, x, p=self.p, seed=seed, counter=counter)
        self.stream.data = to_numpy([seed, counter + 1])
        return step

    def predict(self, x: Array) -> Array:
        """Return the input as it is, whatever the mode."""
        return self._identity(x)[0]

    def _identity(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.dropout, x, p=0.0, seed=0)

    def extra_repr(self) -> str:
        return f"p={self.p}"
