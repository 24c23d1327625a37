"""Derivatives of whole functions: the pullback of any composition, and its Jacobian."""

from collections.abc import Callable
from typing import Any

from minidl.backend import Array, check_float, xp
from minidl.tape import backpropagate, no_grad
from minidl.tensor import Tensor, check_upstream


def vjp(f: Callable[..., Any], *arrays: Array) -> tuple[Any, Callable[[Any], Any]]:
    """Return ``f(*arrays)`` and its pullback, for any function built from ``minidl.functional`` and layers.

    The pullback takes a gradient of the shape of the result and returns one for each array: bare if there is
    one array, a tuple otherwise. It may be called any number of times.

    Args:
        f: takes Tensors, one for each array, and returns a Tensor or a tuple of them.
        *arrays: floating-point arrays; Tensors are taken as their data.

    Returns:
        ``(y, pullback)``: y an array or a tuple of arrays, as ``f`` returns one Tensor or several.

    Raises:
        TypeError: ``f`` returns something else than Tensors.

    Example:
        >>> from minidl.backend import asarray
        >>> y, pullback = vjp(lambda x: (x * x).sum(), asarray([1.0, 2.0]))
        >>> pullback(asarray(1.0))
        array([2., 4.], dtype=float32)
    """
    inputs = [Tensor(a, requires_grad=True) for a in arrays]
    with no_grad(recording=True):
        result = f(*inputs)
    parts = result if isinstance(result, tuple) else (result,)
    for part in parts:
        if not isinstance(part, Tensor):
            raise TypeError(
                f"vjp: expected f to return a Tensor, or a tuple of them, got {type(part).__name__}"
            )
    values = tuple(t.data for t in parts)
    y = values if isinstance(result, tuple) else values[0]

    def pullback(dy: Any) -> Any:
        dy = check_upstream(dy, y, "vjp")
        upstream = dy if isinstance(result, tuple) else (dy,)
        found = backpropagate(list(zip(parts, upstream, strict=True)), release=False)
        gradients = {id(leaf): gradient for leaf, gradient in found}
        dx = tuple(gradients[id(x)] if id(x) in gradients else xp.zeros_like(x._data) for x in inputs)
        return dx if len(dx) > 1 else dx[0]

    return y, pullback


def jacobian(f: Callable[[Any], Any], x: Array, per_sample: bool = False) -> Array:
    """Return the matrix of all first derivatives of a function built from ``minidl.functional`` and layers.

    It is put together row by row, one pullback for each element of the result (of one sample,
    ``per_sample``).

    Args:
        f: takes a Tensor and returns a Tensor.
        x: floating-point; ``(N, ...)`` where ``per_sample``.
        per_sample: the function treats each sample alone: give the derivatives within each one.

    Returns:
        ``y.shape + x.shape``; where ``per_sample``, ``(N, *y.shape[1:], *x.shape[1:])``.

    Raises:
        TypeError: ``x`` is not an array of floating-point numbers.
        ValueError: ``per_sample``, and the result does not have N rows.

    Example:
        >>> import minidl
        >>> from minidl import functional as F
        >>> jacobian(F.softmax, minidl.asarray([1.0, 2.0]))
        array([[ 0.196612, -0.196612],
               [-0.196612,  0.196612]], dtype=float32)
    """
    check_float(x, "jacobian")
    y, pullback = vjp(f, x)
    if isinstance(y, tuple):
        raise TypeError(f"jacobian: expected f to return one Tensor, got {len(y)}")
    if per_sample and (not x.ndim or not y.ndim or len(y) != len(x)):
        raise ValueError(
            f"jacobian: expected (N, ...) to (N, ...) for per_sample, got {x.shape} to {y.shape}"
        )
    inner = y.shape[1:] if per_sample else y.shape
    rows = []
    for index in xp.ndindex(*inner):
        dy = xp.zeros_like(y)
        dy[(slice(None), *index) if per_sample else index] = 1
        rows.append(pullback(dy))
    if not rows:
        return xp.zeros((*y.shape, *(x.shape[1:] if per_sample else x.shape)), dtype=x.dtype)
    table = xp.stack(rows, axis=1 if per_sample else 0)
    return table.reshape(*y.shape, *(x.shape[1:] if per_sample else x.shape))
