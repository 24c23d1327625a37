"""Attention: weighted means of values, with weights from how well queries match keys."""

from typing import Any

from minidl import ops
from minidl.backend import Array
from minidl.tensor import Tensor, apply


def scaled_dot_product_attention(
    query: Array | Tensor,
    key: Array | Tensor,
    value: Array | Tensor,
    mask: Array | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> Any:
    """Take a weighted mean of the values for each query.

    ``y[..., t, :] = sum over s of p[t, s] value[..., s, :]`` with
    ``p[t, :] = softmax(scale query[..., t, :] . key[..., s, :])`` over the s that t may see; 0 where it may
    see none. Scores are computed block by block, forward and backward: memory grows with the length, not with
    its square.

    Args:
        query: ``(..., T, D)``.
        key: ``(..., S, D)``, with the leading axes of the query.
        value: ``(..., S, V)``, one for each key.
        mask: booleans that broadcast to ``(..., T, S)``, true where a query may see a key.
        causal: whether query t sees only the keys up to t.
        scale: what the products are multiplied by; ``1 / sqrt(D)`` by default.

    Returns:
        ``(..., T, V)`` in the dtype of the query.

    Raises:
        TypeError: not arrays, not floating-point, different dtypes, a mask that is not of booleans.
        ValueError: shapes that do not fit, no queries or keys, a mask that does not broadcast.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> from minidl.backend import xp
        >>> equal = xp.zeros((3, 2), xp.float32)  # all scores are 0
        >>> value = minidl.asarray([[1.0], [2.0], [6.0]])
        >>> F.scaled_dot_product_attention(equal, equal, value).tolist()
        [[3.0], [3.0], [3.0]]
        >>> F.scaled_dot_product_attention(equal, equal, value, causal=True).tolist()
        [[1.0], [1.5], [3.0]]

    Source: Vaswani et al., Attention is all you need, 2017; in blocks: Rabe and Staats, 2021, and Dao et al.,
    2022.
    """
    return apply(ops.scaled_dot_product_attention, query, key, value, mask=mask, causal=causal, scale=scale)


def multi_head_attention(
    query: Array | Tensor,
    key: Array | Tensor | None,
    value: Array | Tensor | None,
    in_weight: Array | Tensor,
    in_bias: Array | Tensor | None,
    out_weight: Array | Tensor,
    out_bias: Array | Tensor | None,
    num_heads: int,
    mask: Array | None = None,
    causal: bool = False,
    rotary: bool = False,
) -> Any:
    """Attend in several heads, each to a projection of its own.

    ``q, k, v = query W_q + b_q, key W_k + b_k, value W_v + b_v`` with ``in_weight = [W_q, W_k, W_v]`` side by
    side, each cut into heads along its last axis; ``y = [attention of each head] out_weight + out_bias``.

    Args:
        query: ``(N, T, E)``.
        key: ``(N, S, E)``; None for self-attention, where key and value are the query.
        value: ``(N, S, E)``, or None with the key.
        in_weight: ``(E, 3 E)``.
        in_bias: ``(3 E,)``, or nothing.
        out_weight: ``(E, E)``.
        out_bias: ``(E,)``, or nothing.
        num_heads: how many heads; they divide E.
        mask: what may be seen, as booleans: keys ``(N, S)``, or keys for each query ``(N, T, S)``, or for
            each head too, ``(N, heads, T, S)``; or the lengths ``(N,)`` of keys padded at their ends.
        causal: whether query t sees only the keys up to t.
        rotary: whether queries and keys are turned by their positions, as in `rotary_positions`.

    Returns:
        ``(N, T, E)``.

    Raises:
        TypeError: not arrays, not floating-point, different dtypes.
        ValueError: shapes that do not fit, heads that do not divide E, no steps, a mask of another shape.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> from minidl.backend import xp
        >>> weights = xp.ones((4, 12)), None, xp.ones((4, 4)), None
        >>> F.multi_head_attention(xp.ones((2, 5, 4)), None, None, *weights, num_heads=2).shape
        (2, 5, 4)

    Source: Vaswani et al., Attention is all you need, 2017.
    """
    arrays = query, key, value, in_weight, in_bias, out_weight, out_bias
    options: dict[str, Any] = {"num_heads": num_heads, "mask": mask, "causal": causal, "rotary": rotary}
    return apply(ops.multi_head_attention, *arrays, **options)
