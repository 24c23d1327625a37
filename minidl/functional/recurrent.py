"""Recurrent networks: sequences in, the state after every step out."""

from collections.abc import Sequence
from typing import Any

from minidl import ops
from minidl.backend import Array
from minidl.tensor import Tensor, apply


def rnn(
    x: Array | Tensor,
    weights: Sequence[Array | Tensor | None],
    h: Array | Tensor | None = None,
    nonlinearity: str = "tanh",
    bidirectional: bool = False,
    mask: Array | None = None,
) -> Any:
    """Read sequences by a plain recurrent network.

    ``h_t = tanh(x_t w_ih + b_ih + h_(t-1) w_hh + b_hh)``, from ``h_0 = h``.

    Args:
        x: ``(N, T, C)``, at least one step.
        weights: ``w_ih (C, H)``, ``w_hh (H, H)``, ``b_ih (H,)``, ``b_hh (H,)``, and so on for each
            direction of each layer; above the first layer C is ``H directions``. Both biases may be None.
        h: the initial state ``(N, layers directions, H)``; zeros by default.
        nonlinearity: ``"tanh"`` or ``"relu"``, in place of tanh.
        bidirectional: whether in each layer a second network reads from the last step to the first.
        mask: which steps count: booleans ``(N, T)``, or the lengths ``(N,)`` of sequences that are padded at
            their ends. The state passes by steps that do not.

    Returns:
        ``(y, h)``: y ``(N, T, H directions)``, h of the last layer at every step, or 0 where it does not
        count; and the state after the last step that counts, ``(N, layers directions, H)``.

    Raises:
        TypeError: not arrays, not floating-point, or weights of another dtype.
        ValueError: shapes that do not fit, no steps, a mask of another shape, lengths outside 1 to T.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> from minidl.backend import xp
        >>> weights = [xp.ones((3, 5)), xp.ones((5, 5)), xp.zeros(5), xp.zeros(5)]
        >>> y, h = F.rnn(xp.ones((2, 7, 3)), weights)
        >>> y.shape, h.shape
        ((2, 7, 5), (2, 1, 5))

    Source: Elman, Finding structure in time, 1990.
    """
    return apply(ops.rnn, x, h, *weights, nonlinearity=nonlinearity, bidirectional=bidirectional, mask=mask)


def lstm(
    x: Array | Tensor,
    weights: Sequence[Array | Tensor | None],
    h: Array | Tensor | None = None,
    c: Array | Tensor | None = None,
    bidirectional: bool = False,
    mask: Array | None = None,
) -> Any:
    """Read sequences by a long short-term memory.

    With ``i, f, g, o = x_t w_ih + b_ih + h_(t-1) w_hh + b_hh``, side by side in this order:
    ``c_t = sigmoid(f) c_(t-1) + sigmoid(i) tanh(g)`` and ``h_t = sigmoid(o) tanh(c_t)``.

    Args:
        x: ``(N, T, C)``, at least one step.
        weights: ``w_ih (C, 4 H)``, ``w_hh (H, 4 H)``, ``b_ih (4 H,)``, ``b_hh (4 H,)``, and so on for each
            direction of each layer; above the first layer C is ``H directions``. Both biases may be None.
        h: the initial state ``(N, layers directions, H)``; zeros by default.
        c: the initial memory, of the shape of ``h``; zeros by default.
        bidirectional: whether in each layer a second network reads from the last step to the first.
        mask: which steps count: booleans ``(N, T)``, or the lengths ``(N,)`` of sequences that are padded at
            their ends. The state passes by steps that do not.

    Returns:
        ``(y, h, c)``: y ``(N, T, H directions)``, h of the last layer at every step, or 0 where it does not
        count; and the states after the last step that counts, ``(N, layers directions, H)``.

    Raises:
        TypeError: not arrays, not floating-point, or weights of another dtype.
        ValueError: shapes that do not fit, no steps, a mask of another shape, lengths outside 1 to T.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> from minidl.backend import xp
        >>> weights = [xp.ones((3, 20)), xp.ones((5, 20)), xp.zeros(20), xp.zeros(20)]
        >>> y, h, c = F.lstm(xp.ones((2, 7, 3)), weights)
        >>> y.shape, h.shape
        ((2, 7, 5), (2, 1, 5))

    Source: Hochreiter and Schmidhuber, Long short-term memory, 1997; Gers, Schmidhuber and Cummins, 2000.
    """
    return apply(ops.lstm, x, h, c, *weights, bidirectional=bidirectional, mask=mask)


def gru(
    x: Array | Tensor,
    weights: Sequence[Array | Tensor | None],
    h: Array | Tensor | None = None,
    bidirectional: bool = False,
    mask: Array | None = None,
) -> Any:
    """Read sequences by gated recurrent units.

    With ``a = x_t w_ih + b_ih`` and ``b = h_(t-1) w_hh + b_hh``, each for r, z, n side by side in this order:
    ``r = sigmoid(a_r + b_r)``, ``z = sigmoid(a_z + b_z)``, ``n = tanh(a_n + r b_n)`` and
    ``h_t = (1 - z) n + z h_(t-1)``.

    Args:
        x: ``(N, T, C)``, at least one step.
        weights: ``w_ih (C, 3 H)``, ``w_hh (H, 3 H)``, ``b_ih (3 H,)``, ``b_hh (3 H,)``, and so on for each
            direction of each layer; above the first layer C is ``H directions``. Both biases may be None.
        h: the initial state ``(N, layers directions, H)``; zeros by default.
        bidirectional: whether in each layer a second network reads from the last step to the first.
        mask: which steps count: booleans ``(N, T)``, or the lengths ``(N,)`` of sequences that are padded at
            their ends. The state passes by steps that do not.

    Returns:
        ``(y, h)``: y ``(N, T, H directions)``, h of the last layer at every step, or 0 where it does not
        count; and the state after the last step that counts, ``(N, layers directions, H)``.

    Raises:
        TypeError: not arrays, not floating-point, or weights of another dtype.
        ValueError: shapes that do not fit, no steps, a mask of another shape, lengths outside 1 to T.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> from minidl.backend import xp
        >>> weights = [xp.ones((3, 15)), xp.ones((5, 15)), xp.zeros(15), xp.zeros(15)]
        >>> y, h = F.gru(xp.ones((2, 7, 3)), weights)
        >>> y.shape, h.shape
        ((2, 7, 5), (2, 1, 5))

    Source: Cho et al., Learning phrase representations using RNN encoder-decoder, 2014.
    """
    return apply(ops.gru, x, h, *weights, bidirectional=bidirectional, mask=mask)
