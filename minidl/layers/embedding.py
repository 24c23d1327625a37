"""The layer that turns whole numbers, such as words, into vectors."""

from minidl import init, ops
from minidl.backend import Array, Seed
from minidl.layers._repr import arguments
from minidl.layers.base import Layer, Pullback, check_sizes
from minidl.layers.parameter import Parameter
from minidl.ops.embedding import check_padding_idx


class Embedding(Layer):
    """Look up rows of a table: ``(N, ...)`` whole numbers to ``(N, ..., D)``; see `functional.embedding`.

    Args:
        num_embeddings: V, the number of rows.
        embedding_dim: D, the length of each.
        padding_idx: the number of a row that starts at zero and stays as it is.
        seed, dtype, weight_init: of the fresh weight ``(V, D)``, by default uniform between -1 and 1: each
            output is a single weight.

    Example:
        >>> from minidl.backend import asarray
        >>> Embedding(1000, 16, seed=0).forward(asarray([[3, 1, 4], [1, 5, 9]])).shape
        (2, 3, 16)
    """

    sample_wise = True

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        seed: Seed = None,
        dtype: init.DType = None,
        weight_init: init.Initializer | None = None,
    ) -> None:
        shape = num_embeddings, _ = check_sizes(
            "Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim
        )
        weight = init.draw(weight_init, shape, fan_in=1, seed=seed, dtype=dtype)
        self.padding_idx = check_padding_idx(padding_idx, num_embeddings, "Embedding")
        if self.padding_idx is not None:
            weight[self.padding_idx] = 0
        self.weight = Parameter(weight, name="weight")

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.embedding, x, self.weight, padding_idx=self.padding_idx)

    def extra_repr(self) -> str:
        return arguments(*self.weight.shape, padding_idx=(self.padding_idx, None))
