"""Positions: what tells the steps of a sequence apart."""

from typing import Any

from minidl import ops
from minidl.backend import Array
from minidl.tensor import Tensor, apply


def learned_positions(x: Array | Tensor, weight: Array | Tensor) -> Any:
    """Add a vector of its own to each step.

    ``y[n, t, :] = x[n, t, :] + weight[t, :]``

    Args:
        x: ``(N, T, C)``.
        weight: ``(L, C)`` with L at least T.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not arrays, not floating-point, or weights of another dtype.
        ValueError: shapes that do not fit, or more steps than vectors.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> weight = minidl.asarray([[0.5], [2.0], [9.0]])
        >>> F.learned_positions(minidl.asarray([[[1.0], [1.0]]]), weight).ravel()
        array([1.5, 3. ], dtype=float32)

    Source: Gehring et al., Convolutional sequence to sequence learning, 2017.
    """
    return apply(ops.learned_positions, x, weight)


def sinusoidal_positions(x: Array | Tensor, base: float = 10000.0) -> Any:
    """Add waves of many lengths, whose phases tell the position.

    ``y[..., t, 2i] = x[..., t, 2i] + sin(t / base^(2i / C))`` and
    ``y[..., t, 2i + 1] = x[..., t, 2i + 1] + cos(t / base^(2i / C))``

    Args:
        x: ``(..., T, C)`` with an even C.
        base: the longest wave has about ``2 pi base`` steps.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, or not floating-point.
        ValueError: an odd C, or a base that is not positive.

    Example:
        >>> from minidl import functional as F
        >>> from minidl.backend import xp
        >>> F.sinusoidal_positions(xp.zeros((2, 2))).tolist()
        [[0.0, 1.0], [0.841471, 0.540302]]

    Source: Vaswani et al., Attention is all you need, 2017.
    """
    return apply(ops.sinusoidal_positions, x, base=base)


def rotary_positions(x: Array | Tensor, base: float = 10000.0) -> Any:
    """Turn pairs of features by angles that grow with the position, so that products tell distances.

    With ``a = t / base^(2i / D)``, the pair ``(u, v) = (x[..., t, i], x[..., t, i + D / 2])`` becomes
    ``(u cos a - v sin a, v cos a + u sin a)``.

    Args:
        x: ``(..., T, D)`` with an even D: the queries or the keys of each head.
        base: the longest wave has about ``2 pi base`` steps.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: not an array, or not floating-point.
        ValueError: an odd D, or a base that is not positive.

    Example:
        >>> from minidl import functional as F
        >>> from minidl.backend import xp
        >>> F.rotary_positions(xp.asarray([[1.0, 0.0], [1.0, 0.0]])).tolist()
        [[1.0, 0.0], [0.540302, 0.841471]]

    Source: Su et al., RoFormer: enhanced transformer with rotary position embedding, 2021.
    """
    return apply(ops.rotary_positions, x, base=base)
