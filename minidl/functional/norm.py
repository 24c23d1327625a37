"""Normalisation: mean 0 and variance 1 over some axes, then a learned scale and shift.

The squares that a variance sums must fit the dtype: inputs up to some 1e16 in single precision. Beyond some
1e19 the variance is infinite, and the result 0 after NumPy's warning.
"""

from typing import Any

from minidl import ops
from minidl.backend import Array
from minidl.ops.norm import Result
from minidl.tensor import Tensor, apply


def batch_norm(
    x: Array | Tensor,
    weight: Array | Tensor | None = None,
    bias: Array | Tensor | None = None,
    mean: Array | None = None,
    var: Array | None = None,
    eps: float = 1e-5,
) -> Any:
    """Normalise each channel by the statistics of the batch and all positions, or by given ones.

    ``y = weight (x - mean) / sqrt(var + eps) + bias``, with the biased variance. Gradients flow through the
    statistics of the batch; given ones, as a network has for evaluation, are constants.

    Args:
        x: ``(N, ..., C)``, with more than one value for each channel unless the statistics are given.
        weight: the scale of each channel, ``(C,)``; 1 by default.
        bias: the shift of each channel, ``(C,)``; 0 by default.
        mean: ``(C,)``, given together with ``var``; by default the mean of the batch.
        var: ``(C,)``, given together with ``mean``; by default the variance of the batch.
        eps: added to the variance.

    Returns:
        ``y``, of the shape and dtype of ``x``.

    Raises:
        TypeError: not an array, not floating-point, or weights of another dtype.
        ValueError: shapes that do not agree, statistics of a single value, ``eps <= 0``, ``mean`` without
            ``var``.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.batch_norm(minidl.asarray([[1.0], [2.0], [3.0]])).ravel()
        array([-1.2247, 0. , 1.2247], dtype=float32)

    Source: Ioffe and Szegedy, Batch normalization, 2015.
    """
    if (mean is None) != (var is None):
        raise ValueError("batch_norm: expected both mean and var, or neither")
    if mean is None:
        return apply(_batch_norm, x, weight, bias, eps=eps)
    return apply(ops.batch_norm_inference, x, weight, bias, mean=mean, var=var, eps=eps)


def _batch_norm(x: Array, w: Array | None, b: Array | None, *, eps: float) -> Result:
    """Leave the statistics out of the value, whose gradient is that of y alone."""
    (y, _, _), pullback = ops.batch_norm(x, w, b, eps=eps)
    return y, pullback


def layer_norm(
    x: Array | Tensor,
    weight: Array | Tensor | None = None,
    bias: Array | Tensor | None = None,
    normalized_shape: tuple[int, ...] | None = None,
    eps: float = 1e-5,
) -> Any:
    """Normalise each sample over its last axes.

    ``y = weight (x - mean) / sqrt(var + eps) + bias``, with the biased variance over the last axes.
    Numbers beyond some 1e16 are too large for it in single precision, as their squares overflow.

    Args:
        x: ``(..., *normalized_shape)``.
        weight: the scale of each element, ``normalized_shape``; 1 by default.
        bias: the shift of each element, ``normalized_shape``; 0 by default.
        normalized_shape: the lengths of the axes to normalise over; by default those of the weight, or
            without one the last axis.
        eps: added to the variance.

    Returns:
        ``y``, of the shape and dtype of ``x``.

    Raises:
        TypeError: not an array, not floating-point, or weights of another dtype.
        ValueError: shapes that do not agree, a mean over a single value, ``eps <= 0``.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.layer_norm(minidl.asarray([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]]))
        array([[-1.2247,  0.    ,  1.2247],
               [-1.2247,  0.    ,  1.2247]], dtype=float32)

    Source: Ba, Kiros and Hinton, Layer normalization, 2016.
    """
    if normalized_shape is None:
        normalized_shape = x.shape[-1:] if weight is None else weight.shape
    return apply(ops.layer_norm, x, weight, bias, normalized_shape=normalized_shape, eps=eps)


def group_norm(
    x: Array | Tensor,
    num_groups: int,
    weight: Array | Tensor | None = None,
    bias: Array | Tensor | None = None,
    eps: float = 1e-5,
) -> Any:
    """Normalise each group of neighbouring channels over all positions, sample by sample.

    ``y = weight (x - mean) / sqrt(var + eps) + bias``, with the biased variance.

    Args:
        x: ``(N, ..., C)``.
        num_groups: divides the channels; 1 normalises all together, ``C`` each alone.
        weight: the scale of each channel, ``(C,)``; 1 by default.
        bias: the shift of each channel, ``(C,)``; 0 by default.
        eps: added to the variance.

    Returns:
        ``y``, of the shape and dtype of ``x``.

    Raises:
        TypeError: not an array, not floating-point, or weights of another dtype.
        ValueError: groups that do not divide the channels, statistics of a single value, shapes that do not
            agree.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.group_norm(minidl.asarray([[0.0, 2000.0, 0.0, 8000.0]]), num_groups=2)
        array([[-1.,  1., -1.,  1.]], dtype=float32)

    Source: Wu and He, Group normalization, 2018.
    """
    return apply(ops.group_norm, x, weight, bias, groups=num_groups, eps=eps)


def instance_norm(
    x: Array | Tensor,
    weight: Array | Tensor | None = None,
    bias: Array | Tensor | None = None,
    eps: float = 1e-5,
) -> Any:
    """Normalise each channel over the positions of its own sample.

    ``y = weight (x - mean) / sqrt(var + eps) + bias``, with the biased variance.

    Args:
        x: ``(N, ..., C)`` with more than one position.
        weight: the scale of each channel, ``(C,)``; 1 by default.
        bias: the shift of each channel, ``(C,)``; 0 by default.
        eps: added to the variance.

    Returns:
        ``y``, of the shape and dtype of ``x``.

    Raises:
        TypeError: not an array, not floating-point, or weights of another dtype.
        ValueError: a single position, whose variance would be zero; shapes that do not agree.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.instance_norm(minidl.asarray([[[0.0], [2000.0]], [[0.0], [8000.0]]])).reshape(2, 2)
        array([[-1.,  1.],
               [-1.,  1.]], dtype=float32)

    Source: Ulyanov, Vedaldi and Lempitsky, Instance normalization, 2016.
    """
    return apply(ops.instance_norm, x, weight, bias, eps=eps)


def rms_norm(
    x: Array | Tensor,
    weight: Array | Tensor | None = None,
    normalized_shape: tuple[int, ...] | None = None,
    eps: float = 1e-5,
) -> Any:
    """Divide each sample by the root of its mean square over the last axes.

    ``y = weight x / sqrt(mean(x^2) + eps)``: a layer norm that leaves the mean where it is.
    Numbers beyond some 1e16 are too large for it in single precision, as their squares overflow.

    Args:
        x: ``(..., *normalized_shape)``.
        weight: the scale of each element, ``normalized_shape``; 1 by default.
        normalized_shape: the lengths of the axes to normalise over; by default those of the weight, or
            without one the last axis.
        eps: added to the mean square.

    Returns:
        ``y``, of the shape and dtype of ``x``.

    Raises:
        TypeError: not an array, not floating-point, or a weight of another dtype.
        ValueError: shapes that do not agree, ``eps <= 0``.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> F.rms_norm(minidl.asarray([[1.0, 7.0]])).round(3)
        array([[0.2, 1.4]], dtype=float32)

    Source: Zhang and Sennrich, Root mean square layer normalization, 2019.
    """
    if normalized_shape is None:
        normalized_shape = x.shape[-1:] if weight is None else weight.shape
    return apply(ops.rms_norm, x, weight, normalized_shape=normalized_shape, eps=eps)
