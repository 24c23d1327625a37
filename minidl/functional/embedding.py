"""Embedding: rows of a table looked up by their numbers."""

from typing import Any

from minidl import ops
from minidl.backend import Array
from minidl.tensor import Tensor, apply


def embedding(indices: Array, weight: Array | Tensor, padding_idx: int | None = None) -> Any:
    """Look up rows of a table.

    ``y[..., :] = weight[indices[...], :]``. The gradient of a row is the sum over the places where it was
    looked up, in a fixed order: the same bits every time, on either backend.

    Args:
        indices: ``(...)``, whole numbers from 0 to below V.
        weight: ``(V, D)``.
        padding_idx: the number of a row that gets no gradient; negative ones count from the end.

    Returns:
        ``(..., D)`` in the dtype of ``weight``.

    Raises:
        TypeError: not arrays, indices that are not whole numbers, weights that are not floating-point.
        ValueError: an index outside the table (on CuPy it makes its row NaN instead), a padding index outside
            it, a weight that is no table.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> table = minidl.asarray([[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]])
        >>> F.embedding(minidl.asarray([2, 1, 2]), table)
        array([[3., 4.],
               [1., 2.],
               [3., 4.]], dtype=float32)

    Source: Bengio et al., A neural probabilistic language model, 2003.
    """
    return apply(ops.embedding, indices, weight, padding_idx=padding_idx)
