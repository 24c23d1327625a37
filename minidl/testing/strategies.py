"""What hypothesis draws for tests of ops and layers: shapes, arrays, labels, views and kernels.

All shrink to something short to read: few axes, few and round numbers.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minidl.backend import Array, asarray, xp

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise ImportError(
        'minidl.testing.strategies: hypothesis is not installed; pip install "minidl[testing]"'
    ) from error

GAP = 1 / 16  # how far from a kink a number stays
Index = tuple[int, ...]


def shapes(
    least_axes: int = 1, most_axes: int = 4, least: int = 1, most: int = 4
) -> "st.SearchStrategy[tuple[int, ...]]":
    """Shapes with so many axes of such lengths.

    Example:
        >>> from hypothesis import find
        >>> find(shapes(least_axes=2), lambda shape: True)
        (1, 1)
    """
    axis = st.integers(least, most)
    return st.lists(axis, min_size=least_axes, max_size=most_axes).map(tuple)


@st.composite
def arrays(
    draw: st.DrawFn,
    shape: "tuple[int, ...] | st.SearchStrategy[tuple[int, ...]]",
    *,
    low: float = -4.0,
    high: float = 4.0,
    away_from: Sequence[float] = (0.0,),
    dtype: Any = "float64",
) -> Array:
    """Arrays of different round numbers between bounds, none of them near a kink.

    Args:
        draw: given by hypothesis.
        shape: one shape, or a strategy for shapes.
        low: no number is smaller.
        high: no number is larger.
        away_from: where the function under test has kinks. There are no ties either.
        dtype: of the array.

    Example:
        >>> from hypothesis import find
        >>> find(arrays((3,)), lambda x: True)
        array([-0.125,  0.125, -0.25 ])
    """
    size = draw(shape) if isinstance(shape, st.SearchStrategy) else shape
    count = math.prod(size)
    levels = _levels(count, low, high, away_from)
    seed = draw(st.integers(0, 2**32 - 1))
    if seed:
        levels = np.random.default_rng(seed).permutation(levels)
    return xp.asarray(levels[:count].reshape(size).astype(dtype))


def _levels(count: int, low: float, high: float, away_from: Sequence[float]) -> "np.ndarray[Any, Any]":
    """Return at least twice as many multiples of a power of two, those nearest to the middle first."""
    for fineness in range(3, 40):
        step = 2.0**-fineness
        levels = np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step
        near = [abs(levels - kink) < GAP for kink in away_from]
        levels = levels[~np.any(near, axis=0)] if near else levels
        if len(levels) >= 2 * count:
            return levels[np.argsort(abs(levels - (low + high) / 2), kind="stable")]
    raise ValueError(f"arrays: expected room for {count} numbers between {low} and {high}")


def extreme_logits(shape: "tuple[int, ...]", *, dtype: Any = "float64") -> "st.SearchStrategy[Array]":
    """Finite scores whose exponentials overflow, vanish, tie, or nearly tie.

    Example:
        >>> from hypothesis import find
        >>> find(extreme_logits((2,)), lambda x: True)
        array([0., 0.])
    """
    largest = math.log(float(np.finfo(dtype).max))
    edges = (0.0, 1.0, -1.0, largest - 1, largest + 1, -largest - 1, 100 * largest, -100 * largest)
    fits = [edge for edge in edges if abs(edge) <= float(np.finfo(dtype).max)]
    count = math.prod(shape)
    numbers = st.lists(st.sampled_from(fits), min_size=count, max_size=count)
    return numbers.map(lambda values: asarray(np.array(values, dtype=dtype).reshape(shape)))


def labels(shape: "tuple[int, ...]", classes: int) -> "st.SearchStrategy[Array]":
    """Integer labels of so many classes.

    Example:
        >>> from hypothesis import find
        >>> int(find(labels((2,), classes=3), lambda target: target.max() == 2).max())
        2
    """
    count = math.prod(shape)
    numbers = st.lists(st.integers(0, classes - 1), min_size=count, max_size=count)
    return numbers.map(lambda values: asarray(np.array(values, dtype=np.int64).reshape(shape)))


def strided(array: Array) -> Array:
    """Return the same values as a view that is contiguous in no sense: steps of two, first axis reversed."""
    if not array.ndim:
        return array.copy()
    whole = xp.zeros(tuple(2 * n + 1 for n in array.shape), dtype=array.dtype)
    steps = tuple(slice(-2, 0, -2) if axis == 0 else slice(1, None, 2) for axis in range(array.ndim))
    view = whole[steps]
    view[...] = array
    return view


def read_only(array: Array) -> Array:
    """Return a copy that refuses to be written to; on CuPy, which has none, just a copy."""
    copied = array.copy()
    if isinstance(copied, np.ndarray):
        copied.setflags(write=False)
    return copied


def views(array: Array) -> "st.SearchStrategy[Array]":
    """The same values as they are, as a strided view, and read-only.

    Example:
        >>> from hypothesis import find
        >>> find(views(xp.ones(2)), lambda x: not x.flags.c_contiguous).strides
        (-16,)
    """
    return st.sampled_from((lambda a: a, strided, read_only)).map(lambda make: make(array))


class Geometry(NamedTuple):
    """The size of an image and the options of a kernel over it, one entry for each axis."""

    size: Index
    kernel_size: Index
    stride: Index
    padding: tuple[tuple[int, int], ...]
    dilation: Index

    def options(self, *left_out: str) -> dict[str, Any]:
        """The keyword arguments of an operation, all but those left out."""
        return {name: value for name, value in self._asdict().items() if name not in ("size", *left_out)}


@st.composite
def geometries(draw: st.DrawFn, ranks: tuple[int, ...] = (1, 2, 3), ceil: bool = False) -> Geometry:
    """Kernels that fit their image, as often as not only just; with ``ceil``, padded as pooling allows.

    Example:
        >>> from hypothesis import find
        >>> find(geometries(ranks=(2,)), lambda g: max(g.stride) > 1).size
        (1, 1)
    """
    axes = []
    for _ in range(draw(st.sampled_from(ranks))):
        kernel, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
        reach = (kernel - 1) * dilation + 1
        most = min(2, reach - 1) if ceil else 2
        before, after = draw(st.integers(0, most)), draw(st.integers(0, most))
        size = max(1, reach - before - after) + draw(st.integers(0, 4))
        axes.append((size, kernel, draw(st.integers(1, 3)), (before, after), dilation))
    return Geometry(*zip(*axes, strict=True))
