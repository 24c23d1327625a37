"""Dropout: random elements become zero, the others grow so that the expectation stays."""

from typing import Any

from minidl import ops
from minidl.backend import Array, Seed, draw_seed
from minidl.tensor import Tensor, apply


def dropout(x: Array | Tensor, p: float = 0.5, seed: Seed = None) -> Any:
    """Set random elements to zero, and scale the others so that the expectation stays.

    ``y = x m / (1 - p)`` with a mask ``m`` that is 0 with probability ``p`` and 1 otherwise, element by
    element. The mask compares 16-bit random numbers, so ``p`` is rounded to a multiple of 1/65536.

    Args:
        x: an array of any shape.
        p: the probability of an element to be dropped, ``0 <= p < 1``; 0 is the identity.
        seed: an int gives the same mask for the same shape each time; ``None`` takes the default generator of
            ``minidl.seed``.

    Returns:
        ``y``, of the shape and dtype of ``x``.

    Raises:
        TypeError: not a floating-point array, or ``p`` no number.
        ValueError: ``p`` outside ``[0, 1)``.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.dropout(minidl.asarray([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), p=0.5, seed=2)
        array([ 2.,  0.,  6.,  0., 10., 12.], dtype=float32)

    Source: Srivastava et al., Dropout, 2014; the random numbers are Philox, Salmon et al., 2011.
    """
    return apply(ops.dropout, x, p=p, seed=draw_seed(seed))
