"""Shape: the same numbers in another arrangement, and the way back for gradients."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

from minidl.backend import Array, check_array, check_axis, xp
from minidl.ops.elementwise import unbroadcast

Result: TypeAlias = "tuple[Array, Callable[[Array], Array]]"
Many: TypeAlias = "tuple[Array, Callable[[Array], tuple[Array, ...]]]"


def reshape(x: Array, *, shape: tuple[int, ...]) -> Result:
    """y = x in another shape, in C order; one length may be -1."""
    check_array(x, "reshape")
    known = math.prod(n for n in shape if n != -1)
    fits = known == x.size if -1 not in shape else known and not x.size % known
    if not fits or shape.count(-1) > 1 or min(shape, default=0) < -1:
        raise ValueError(
            f"reshape: expected a shape of {x.size} numbers, got {shape} for an array of shape {x.shape}"
        )

    def pullback(dy: Array) -> Array:
        # dx = dy in the shape of x
        return dy.reshape(x.shape)

    return x.reshape(shape), pullback


def flatten(x: Array) -> Result:
    """y = x with all axes but the first, the batch, made one: (N, ...) to (N, K)."""
    check_array(x, "flatten")
    if not x.ndim:
        raise ValueError("flatten: expected (N, ...), got a 0-d array")
    return reshape(x, shape=(x.shape[0], math.prod(x.shape[1:])))


def reshape_samples(x: Array, *, shape: tuple[int, ...]) -> Result:
    """y = x with each sample in another shape: (N, ...) to (N, *shape); one length may be -1."""
    check_array(x, "reshape")
    if not x.ndim:
        raise ValueError("reshape: expected (N, ...), got a 0-d array")
    size, known = math.prod(x.shape[1:]), math.prod(n for n in shape if n != -1)
    inferred = size // known if known else 0  # a -1 cannot be left to an empty batch
    full = tuple(inferred if n == -1 else n for n in shape)
    if shape.count(-1) > 1 or math.prod(full) != size:
        raise ValueError(
            f"reshape: expected samples of {math.prod(full)} numbers for {shape}, got shape {x.shape}"
        )
    return reshape(x, shape=(x.shape[0], *full))


def transpose(x: Array, *, axes: Sequence[int] | None = None) -> Result:
    """y = x with its axes in another order, by default reversed."""
    check_array(x, "transpose")
    order = (
        tuple(reversed(range(x.ndim)))
        if axes is None
        else tuple(check_axis(a, x.ndim, "transpose") for a in axes)
    )
    if sorted(order) != list(range(x.ndim)):
        raise ValueError(f"transpose: expected each of the {x.ndim} axes once, got {axes}")

    def pullback(dy: Array) -> Array:
        # dx = dy with its axes put back
        return dy.transpose([order.index(a) for a in range(x.ndim)])

    return x.transpose(order), pullback


def getitem(x: Array, *, index: Any) -> Result:
    """y = x[index], with all of NumPy's indexing."""
    check_array(x, "getitem")
    parts = index if isinstance(index, tuple) else (index,)
    repeats = not all(part is None or part is ... or isinstance(part, (int, slice)) for part in parts)

    def pullback(dy: Array) -> Array:
        # dx[index] += dy: what was taken twice gets both gradients
        dx = xp.zeros(x.shape, dtype=dy.dtype)
        if repeats:
            xp.add.at(dx, index, dy)
        else:
            dx[index] = dy
        return dx

    return xp.asarray(x[index]), pullback


def broadcast_to(x: Array, *, shape: tuple[int, ...]) -> Result:
    """y = x repeated along new axes and along those of length 1."""
    check_array(x, "broadcast_to")
    ends = zip(reversed(x.shape), reversed(shape), strict=False)
    if len(shape) < x.ndim or any(n not in (1, m) for n, m in ends):
        raise ValueError(f"broadcast_to: expected a shape to which {x.shape} broadcasts, got {shape}")
    y = xp.broadcast_to(x, shape)

    def pullback(dy: Array) -> Array:
        # dx = dy summed over the repeats
        return unbroadcast(dy, x)

    return y, pullback


def concatenate(*arrays: Array, axis: int = 0) -> Many:
    """y = the arrays one after the other along an existing axis."""
    axis = _check_joined(arrays, axis, "concatenate", arrays[0].ndim if arrays else 0, skip_axis=True)
    ends = [0]
    for x in arrays:
        ends.append(ends[-1] + x.shape[axis])

    def pullback(dy: Array) -> tuple[Array, ...]:
        # dx_i = the part of dy that x_i filled
        before = (slice(None),) * axis
        parts = (dy[(*before, slice(*span))] for span in pairwise(ends))
        return tuple(part.astype(x.dtype, copy=False) for part, x in zip(parts, arrays, strict=True))

    return xp.concatenate(arrays, axis=axis), pullback


def stack(*arrays: Array, axis: int = 0) -> Many:
    """y = the arrays side by side along a new axis."""
    axis = _check_joined(arrays, axis, "stack", arrays[0].ndim + 1 if arrays else 0, skip_axis=False)

    def pullback(dy: Array) -> tuple[Array, ...]:
        # dx_i = dy[..., i, ...]
        return tuple(xp.asarray(dx, x.dtype) for dx, x in zip(xp.moveaxis(dy, axis, 0), arrays, strict=True))

    return xp.stack(arrays, axis=axis), pullback


def _check_joined(arrays: Sequence[Array], axis: int, owner: str, ndim: int, *, skip_axis: bool) -> int:
    """Check that the arrays fit together and return the axis counted from the front."""
    if not arrays:
        raise ValueError(f"{owner}: expected at least one array, got none")
    for x in arrays:
        check_array(x, owner)
    axis = check_axis(axis, ndim, owner)
    shapes = [x.shape for x in arrays]
    outside = [s[:axis] + s[axis + 1 :] if skip_axis else s for s in shapes]
    if len({len(s) for s in shapes}) > 1 or len(set(outside)) > 1:
        kind = f"equal shapes outside axis {axis}" if skip_axis else "equal shapes"
        raise ValueError(f"{owner}: expected {kind}, got {', '.join(map(str, shapes))}")
    return axis
