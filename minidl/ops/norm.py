"""Normalisation: mean 0 and variance 1 over some axes, then a learned scale and shift."""

import math
from collections.abc import Callable
from typing import Protocol, TypeAlias

from minidl.backend import Array, check_float, check_shape, xp
from minidl.ops._blocks import in_blocks, total
from minidl.ops._kernels._choice import fused
from minidl.ops._options import read_number
from minidl.ops._precision import check_operands, widen
from minidl.ops._rows import column_sums, on_rows, sums

Gradients: TypeAlias = "tuple[Array | None, Array | None, Array | None]"
Result: TypeAlias = "tuple[Array, Callable[..., Gradients]]"
Statistics: TypeAlias = "tuple[Array, Array, Array]"


@fused("batch_norm:batch_norm")
def batch_norm(
    x: Array, w: Array | None = None, b: Array | None = None, *, eps: float = 1e-5
) -> tuple[Statistics, Callable[..., Gradients]]:
    """y = w (x - mean) / sqrt(var + eps) + b with the mean and variance of each channel over all other axes.

    The value is ``(y, mean, var)`` with the biased variance; the pullback takes the gradient of y.
    """
    return shared_batch_norm(x, w, b, eps=eps)


class Peers(Protocol):
    """The other processes, where each has a part of a batch and all are normalised as one."""

    count: int
    """The rows of the whole batch that `moments` saw last."""

    def moments(self, count: int, mean: Array, squares: Array) -> tuple[int, Array, Array]:
        """Return the count, the mean and the sum of squared deviations of the whole batch from the parts'."""

    def totals(self, count: int, parts: tuple[Array, Array]) -> tuple[Array, Array]:
        """Return the sums over the whole batch, in the measure of this part's upstream gradient."""


def shared_batch_norm(
    x: Array,
    w: Array | None = None,
    b: Array | None = None,
    *,
    eps: float = 1e-5,
    peers: Peers | None = None,
) -> tuple[Statistics, Callable[..., Gradients]]:
    """Compute `batch_norm` of a batch of which x is all, or a part while the peers have the others.

    The gradients of w and b are those of the part.
    """
    channels = _check_channels(x, w, b, "batch_norm")
    eps = check_eps(eps, "batch_norm")
    rows = x.reshape(_row_count(x), channels)
    count = len(rows) if peers else _check_count(len(rows), x, "batch_norm")
    mean, squares = _moments(rows)
    if peers:
        count, mean, squares = peers.moments(count, mean, squares)
        count = _check_count(count, x, "batch_norm")
    var = squares / count
    inverse = 1 / xp.sqrt(var + eps)
    scale = inverse if w is None else inverse * w
    y = xp.empty(rows.shape, mean.dtype)

    def normalise(block: slice) -> None:
        part = on_rows(xp.subtract, rows[block], mean, out=y[block])
        on_rows(xp.multiply, part, scale, out=part)
        if b is not None:
            on_rows(xp.add, part, b, out=part)

    in_blocks(rows, normalise)

    def pullback(dy: Array, *, input_grad: bool = True) -> Gradients:
        # z = (x - mean) / sqrt(var + eps), dw = sum dy z, db = sum dy,
        # dx = w / sqrt(var + eps) (dy - db / count - z dw / count)
        drows = dy.reshape(rows.shape)
        db, dw = _gradient_sums(drows, rows, mean)
        dw = dw * inverse
        dx = None
        if input_grad:
            all_dw, all_db = peers.totals(len(rows), (dw, db)) if peers else (dw, db)
            dx = _spread(drows, rows, mean, all_dw * inverse / count, all_db / count, scale)
            dx = dx.astype(x.dtype, copy=False).reshape(x.shape)
        return dx, _like(dw, w), _like(db, b)

    return (y.astype(x.dtype, copy=False).reshape(x.shape), mean, var), pullback


def _moments(rows: Array) -> tuple[Array, Array]:
    """Return the mean of each column and its sum of squared deviations, merged from those of blocks.

    Source: Chan, Golub and LeVeque, 1983.
    """

    def of_block(block: slice) -> tuple[Array, Array, int]:
        part = widen(rows[block])
        n = max(len(part), 1)
        mean = column_sums(part) / n
        centred = on_rows(xp.subtract, part, mean, out=xp.empty_like(part))
        return mean, column_sums(centred, centred), n

    parts = in_blocks(rows, of_block)
    first, squares, _ = parts[0]
    if len(parts) == 1:
        return first, squares
    count = sum(n for _, _, n in parts)
    # The differences are small where the means are large, and so is what is lost in adding them up.
    mean = first + total([(part - first) * (n / count) for part, _, n in parts])
    between = [(part - mean) ** 2 * n for part, _, n in parts]
    return mean, total([*(squares for _, squares, _ in parts), *between])


def _gradient_sums(drows: Array, rows: Array, mean: Array) -> tuple[Array, Array]:
    """Return the column sums of dy and of dy (x - mean)."""

    def of_block(block: slice) -> tuple[Array, Array]:
        part, centred = widen(drows[block]), xp.empty(rows[block].shape, mean.dtype)
        on_rows(xp.subtract, rows[block], mean, out=centred)
        return column_sums(part), column_sums(part, centred)

    db, dw = zip(*in_blocks(rows, of_block), strict=True)
    return total(db), total(dw)


def _spread(drows: Array, rows: Array, mean: Array, slope: Array, offset: Array, scale: Array) -> Array:
    """Return scale (dy - offset - slope (x - mean))."""
    dx = xp.empty(rows.shape, mean.dtype)

    def of_block(block: slice) -> None:
        part = on_rows(xp.subtract, rows[block], mean, out=dx[block])
        on_rows(xp.multiply, part, slope, out=part)
        on_rows(xp.add, part, offset, out=part)
        xp.subtract(drows[block], part, out=part)
        on_rows(xp.multiply, part, scale, out=part)

    in_blocks(rows, of_block)
    return dx


@fused("batch_norm:batch_norm_inference")
def batch_norm_inference(
    x: Array, w: Array | None = None, b: Array | None = None, *, mean: Array, var: Array, eps: float = 1e-5
) -> Result:
    """y = w (x - mean) / sqrt(var + eps) + b with statistics that are given, one number for each channel."""
    channels = _check_channels(x, w, b, "batch_norm")
    eps = check_eps(eps, "batch_norm")
    check_shape(mean, (channels,), "batch_norm: mean")
    check_shape(var, (channels,), "batch_norm: variance")
    rows = widen(x).reshape(_row_count(x), channels)
    inverse = (1 / xp.sqrt(var + eps)).astype(rows.dtype, copy=False)
    scale = inverse if w is None else inverse * w
    centred = rows - mean.astype(rows.dtype, copy=False)
    y = _shifted(centred * scale, b).astype(x.dtype, copy=False).reshape(x.shape)

    def pullback(dy: Array, *, input_grad: bool = True) -> Gradients:
        # dx = dy w / sqrt(var + eps), dw = sum dy (x - mean) / sqrt(var + eps), db = sum dy
        drows = widen(dy).reshape(rows.shape)
        dx = (drows * scale).astype(x.dtype, copy=False).reshape(x.shape) if input_grad else None
        dw = None if w is None else _like(column_sums(drows, centred) * inverse, w)
        return dx, dw, None if b is None else _like(column_sums(drows), b)

    return y, pullback


@fused("batch_norm:moved")
def moved(running: Array, new: Array, weight: float) -> Array:
    """Return running statistics, moved towards those of a batch."""
    return (1 - weight) * running + weight * new


@fused("layer_norm:layer_norm")
def layer_norm(
    x: Array,
    w: Array | None = None,
    b: Array | None = None,
    *,
    normalized_shape: tuple[int, ...],
    eps: float = 1e-5,
) -> Result:
    """y = w (x - mean) / sqrt(var + eps) + b with the statistics over the last axes, those normalised."""
    _check_trailing(x, w, b, normalized_shape, "layer_norm")
    eps = check_eps(eps, "layer_norm")
    count = _check_count(math.prod(normalized_shape), x, "layer_norm")
    z, standardize_pullback = _standardize(x, tuple(range(-len(normalized_shape), 0)), count, eps)
    return _affine(x, w, b, z, standardize_pullback)


def group_norm(
    x: Array, w: Array | None = None, b: Array | None = None, *, groups: int, eps: float = 1e-5
) -> Result:
    """y = w (x - mean) / sqrt(var + eps) + b with the statistics of each sample and group of channels."""
    channels = _check_channels(x, w, b, "group_norm")
    eps = check_eps(eps, "group_norm")
    if groups < 1 or channels % groups:
        raise ValueError(f"group_norm: expected groups that divide the {channels} channels, got {groups}")
    return _grouped(x, w, b, groups, eps, "group_norm")


def instance_norm(x: Array, w: Array | None = None, b: Array | None = None, *, eps: float = 1e-5) -> Result:
    """y = w (x - mean) / sqrt(var + eps) + b with the statistics of each sample and channel."""
    channels = _check_channels(x, w, b, "instance_norm")
    eps = check_eps(eps, "instance_norm")
    return _grouped(x, w, b, channels, eps, "instance_norm")


def rms_norm(
    x: Array, w: Array | None = None, *, normalized_shape: tuple[int, ...], eps: float = 1e-5
) -> tuple[Array, Callable[..., tuple[Array | None, Array | None]]]:
    """y = w x / sqrt(mean(x^2) + eps) with the mean over the last axes, those normalised."""
    _check_trailing(x, w, None, normalized_shape, "rms_norm")
    eps = check_eps(eps, "rms_norm")
    axes = tuple(range(-len(normalized_shape), 0))
    count = max(math.prod(normalized_shape), 1)
    wide = widen(x)
    inverse = 1 / xp.sqrt(sums(wide, wide, axes) / count + eps)
    z = wide * inverse

    def scale_pullback(dz: Array) -> Array:
        # dx = (dz - z mean(dz z)) / sqrt(mean(x^2) + eps)
        return xp.asarray((dz - z * (sums(dz, z, axes) / count)) * inverse)

    y, affine_pullback = _affine(x, w, None, z, scale_pullback)

    def pullback(dy: Array, *, input_grad: bool = True) -> tuple[Array | None, Array | None]:
        # that of y = w z with z = x / sqrt(mean(x^2) + eps); there is no bias
        dx, dw, _ = affine_pullback(dy, input_grad=input_grad)
        return dx, dw

    return y, pullback


def _grouped(x: Array, w: Array | None, b: Array | None, groups: int, eps: float, owner: str) -> Result:
    """Standardize over all positions and the channels of a group, then scale and shift each channel."""
    n, channels = x.shape[0], x.shape[-1]
    shape = (n, math.prod(x.shape[1:-1]), groups, channels // max(groups, 1))
    count = _check_count(shape[1] * shape[3], x, owner)
    z, standardize_pullback = _standardize(x.reshape(shape), (1, 3), count, eps)

    def back(dz: Array) -> Array:
        # dx = that of z, group by group
        return standardize_pullback(dz.reshape(shape)).reshape(x.shape)

    return _affine(x, w, b, z.reshape(x.shape), back)


def _standardize(
    x: Array, axes: tuple[int, ...], count: int, eps: float
) -> tuple[Array, Callable[[Array], Array]]:
    """z = (x - mean) / sqrt(var + eps) over the axes, of so many values, at least in single precision."""
    z = widen(x)
    z = z - sums(z, axis=axes) / count
    inverse = 1 / xp.sqrt(sums(z, z, axes) / count + eps)
    z *= inverse

    def pullback(dz: Array) -> Array:
        # dx = (dz - mean(dz) - z mean(dz z)) / sqrt(var + eps)
        dx = dz - sums(dz, axis=axes) / count
        dx -= z * (sums(dz, z, axes) / count)
        return xp.asarray(dx * inverse)

    return z, pullback


def _affine(x: Array, w: Array | None, b: Array | None, z: Array, back: Callable[[Array], Array]) -> Result:
    """y = w z + b on the last axes, where z came from x and ``back`` returns to it."""
    y = _shifted(z.copy() if w is None else z * w, b).astype(x.dtype, copy=False)

    def pullback(dy: Array, *, input_grad: bool = True) -> Gradients:
        # dx = back(dy w), dw = sum dy z, db = sum dy
        dy = widen(dy)
        dx = back(dy if w is None else dy * w).astype(x.dtype, copy=False) if input_grad else None
        dw = None if w is None else _like(column_sums(_as_rows(dy, w), _as_rows(z, w)), w)
        return dx, dw, None if b is None else _like(column_sums(_as_rows(dy, b)), b)

    return y, pullback


def _row_count(x: Array) -> int:
    return math.prod(x.shape[:-1])


def _as_rows(a: Array, w: Array) -> Array:
    """Return an array as rows of the size of the weight that its last axes meet."""
    return a.reshape(math.prod(a.shape[: a.ndim - w.ndim]), w.size)


def _shifted(fresh: Array, b: Array | None) -> Array:
    """Add the bias in place to an array that nobody else holds."""
    if b is not None:
        fresh += b
    return fresh


def _like(gradient: Array, w: Array | None) -> Array | None:
    """Return a gradient in the shape and dtype of its parameter; an absent one has none."""
    return None if w is None else gradient.reshape(w.shape).astype(w.dtype, copy=False)


def _check_count(count: int, x: Array, owner: str) -> int:
    """Return what a mean over so many values divides by: 1 for none, whose sum is 0; one is refused."""
    if count == 1:
        raise ValueError(
            f"{owner}: expected more than one value for each mean and variance, got shape {x.shape}; "
            "the variance of one value is zero"
        )
    return max(count, 1)


def check_eps(eps: float, owner: str) -> float:
    """Return what is added to a variance, as a Python float."""
    number = read_number(eps, "eps", owner)
    if not 0 < number < math.inf:
        raise ValueError(f"{owner}: expected a finite eps > 0, got {eps}")
    return number


def _check_trailing(x: Array, w: Array | None, b: Array | None, shape: tuple[int, ...], owner: str) -> None:
    """Refuse an input whose last axes are not those of the shape, of its weight and of its bias."""
    check_float(x, owner)
    if not shape or x.shape[-len(shape) :] != tuple(shape):
        raise ValueError(f"{owner}: expected (..., {', '.join(map(str, shape))}), got {x.shape}")
    for parameter, name in ((w, "weight"), (b, "bias")):
        if parameter is not None:
            check_operands(x, parameter, owner)
            check_shape(parameter, tuple(shape), f"{owner}: {name}")


def _check_channels(x: Array, w: Array | None, b: Array | None, owner: str) -> int:
    """Return the number of channels, on the last axis, with which weight and bias must agree."""
    check_float(x, owner)
    if x.ndim < 2:
        raise ValueError(f"{owner}: expected (N, ..., C), got {x.shape}")
    channels = x.shape[-1] if w is None else w.size
    first = x.ndim > 2 and x.shape[1] == channels != x.shape[-1]
    if first:
        raise ValueError(
            f"{owner}: expected (N, ..., {channels}), got {x.shape}; "
            "channels-first input? use minidl.channels_last(x)"
        )
    _check_trailing(x, w, b, (channels,), owner)
    return channels
