"""Initial weights: drawn by NumPy and then moved to the backend, so that both backends start equal.

An initializer is a function ``f(shape, *, fan_in=None, fan_out=None, seed=None, dtype=None) -> Array``. A
layer that knows its fans passes them; otherwise they follow from the shape, read as `fans` says.

    Linear(784, 10, weight_init=init.he_normal)
    Linear(784, 10, weight_init=init.constant(0.1))
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from minidl.backend import Array, Seed, asarray, generator, xp

if TYPE_CHECKING:
    import numpy.typing as npt

Shape: TypeAlias = tuple[int, ...]
Fan: TypeAlias = "int | None"
DType: TypeAlias = "npt.DTypeLike | None"
Initializer: TypeAlias = Callable[..., Array]


def fans(shape: Shape) -> tuple[int, int]:
    """Return ``(fan_in, fan_out)``: how many inputs one output sums, and how many outputs one input feeds.

    Args:
        shape: of a weight: ``(in, out)`` for Linear, ``(*kernel, in / groups, out)`` for Conv. The outputs of
            all groups count in ``fan_out``.

    Raises:
        ValueError: the shape has fewer than two axes; pass ``fan_in`` and ``fan_out`` instead.

    Example:
        >>> fans((784, 10))
        (784, 10)
        >>> fans((3, 3, 16, 32))
        (144, 288)
    """
    if len(shape) < 2:
        raise ValueError(
            f"init.fans: expected a shape of at least 2 axes, got {shape}; pass fan_in and fan_out"
        )
    *kernel, n_in, n_out = shape
    return math.prod(kernel) * n_in, math.prod(kernel) * n_out


def he_normal(
    shape: Shape, *, fan_in: Fan = None, fan_out: Fan = None, seed: Seed = None, dtype: DType = None
) -> Array:
    """Normal with variance ``2 / fan_in``, which keeps the scale through ReLUs (He et al., 2015).

    Example:
        >>> he_normal((784, 10), seed=0).shape
        (784, 10)
    """
    return _normal(shape, math.sqrt(2.0 / _fan_in(shape, fan_in)), seed, dtype)


def he_uniform(
    shape: Shape, *, fan_in: Fan = None, fan_out: Fan = None, seed: Seed = None, dtype: DType = None
) -> Array:
    """Uniform with variance ``2 / fan_in``, which keeps the scale through ReLUs (He et al., 2015)."""
    return _uniform(shape, math.sqrt(6.0 / _fan_in(shape, fan_in)), seed, dtype)


def glorot_normal(
    shape: Shape, *, fan_in: Fan = None, fan_out: Fan = None, seed: Seed = None, dtype: DType = None
) -> Array:
    """Normal with variance ``2 / (fan_in + fan_out)``, as for tanh (Glorot and Bengio, 2010)."""
    n_in, n_out = _fan_in(shape, fan_in), _fan_out(shape, fan_out)
    return _normal(shape, math.sqrt(2.0 / (n_in + n_out)), seed, dtype)


def glorot_uniform(
    shape: Shape, *, fan_in: Fan = None, fan_out: Fan = None, seed: Seed = None, dtype: DType = None
) -> Array:
    """Uniform with variance ``2 / (fan_in + fan_out)``, as for tanh (Glorot and Bengio, 2010)."""
    n_in, n_out = _fan_in(shape, fan_in), _fan_out(shape, fan_out)
    return _uniform(shape, math.sqrt(6.0 / (n_in + n_out)), seed, dtype)


def lecun_normal(
    shape: Shape, *, fan_in: Fan = None, fan_out: Fan = None, seed: Seed = None, dtype: DType = None
) -> Array:
    """Normal with variance ``1 / fan_in``, for SELU and linear layers (LeCun et al., 1998)."""
    return _normal(shape, math.sqrt(1.0 / _fan_in(shape, fan_in)), seed, dtype)


def lecun_uniform(
    shape: Shape, *, fan_in: Fan = None, fan_out: Fan = None, seed: Seed = None, dtype: DType = None
) -> Array:
    """Uniform with variance ``1 / fan_in``, for SELU and linear layers (LeCun et al., 1998)."""
    return _uniform(shape, math.sqrt(3.0 / _fan_in(shape, fan_in)), seed, dtype)


def fan_in_uniform(
    shape: Shape, *, fan_in: Fan = None, fan_out: Fan = None, seed: Seed = None, dtype: DType = None
) -> Array:
    """Uniform between ``-1 / sqrt(fan_in)`` and ``1 / sqrt(fan_in)``: what a layer uses by default."""
    return _uniform(shape, 1.0 / math.sqrt(_fan_in(shape, fan_in)), seed, dtype)


def zeros(
    shape: Shape, *, fan_in: Fan = None, fan_out: Fan = None, seed: Seed = None, dtype: DType = None
) -> Array:
    """All zeros, as for biases; fans and seed are ignored."""
    return xp.zeros(shape, _float_dtype(dtype))


def constant(value: float) -> Initializer:
    """Return the initializer that sets every element to ``value``.

    Example:
        >>> constant(0.5)((3,)).tolist()
        [0.5, 0.5, 0.5]
    """

    def initializer(
        shape: Shape, *, fan_in: Fan = None, fan_out: Fan = None, seed: Seed = None, dtype: DType = None
    ) -> Array:
        return xp.full(shape, value, _float_dtype(dtype))

    return initializer


def normal(std: float) -> Initializer:
    """Return the initializer that draws from a normal distribution around zero, whatever the fans."""
    if not std >= 0:
        raise ValueError(f"init.normal: expected std >= 0, got {std}")

    def initializer(
        shape: Shape, *, fan_in: Fan = None, fan_out: Fan = None, seed: Seed = None, dtype: DType = None
    ) -> Array:
        return _normal(shape, std, seed, dtype)

    return initializer


def draw(
    weight_init: Initializer | None,
    shape: Shape,
    *,
    fan_in: Fan = None,
    fan_out: Fan = None,
    seed: Seed = None,
    dtype: DType = None,
) -> Array:
    """Return the weight a layer asks for: by its ``weight_init``, or by `fan_in_uniform` where that is None.

    Raises:
        TypeError: ``weight_init`` is no function.
        ValueError: it returned another shape or dtype than it was asked for.
    """
    initializer = fan_in_uniform if weight_init is None else weight_init
    if not callable(initializer):
        raise TypeError(
            f"weight_init: expected a function such as init.he_normal, got {type(initializer).__name__}; "
            "for one value everywhere use init.constant(value)"
        )
    dtype = _float_dtype(dtype)
    weight = asarray(initializer(shape, fan_in=fan_in, fan_out=fan_out, seed=seed, dtype=dtype))
    if weight.shape != shape or weight.dtype != dtype:
        raise ValueError(f"weight_init: expected {dtype} {shape}, got {weight.dtype} {weight.shape}")
    return weight


def _fan_in(shape: Shape, given: Fan) -> int:
    return _checked("fan_in", fans(shape)[0] if given is None else given)


def _fan_out(shape: Shape, given: Fan) -> int:
    return _checked("fan_out", fans(shape)[1] if given is None else given)


def _checked(name: str, fan: int) -> int:
    if fan < 0:
        raise ValueError(f"init: expected {name} >= 0, got {fan}")
    return max(1, fan)  # an empty weight has none to divide by


def _float_dtype(dtype: DType) -> "np.dtype[np.generic]":
    resolved = np.dtype(np.float32 if dtype is None else dtype)
    if resolved.kind != "f":
        raise TypeError(f"init: expected a floating-point dtype, got {resolved}")
    return resolved


def _normal(shape: Shape, std: float, seed: Seed, dtype: DType) -> Array:
    return asarray((std * generator(seed).standard_normal(shape)).astype(_float_dtype(dtype)))


def _uniform(shape: Shape, bound: float, seed: Seed, dtype: DType) -> Array:
    return asarray(generator(seed).uniform(-bound, bound, shape).astype(_float_dtype(dtype)))
