"""Element by element: arithmetic with broadcasting, and simple functions of one number."""

import math
from collections.abc import Callable
from typing import TypeAlias

from minidl.backend import Array, check_array, check_float, xp

Operand: TypeAlias = "Array | float"
Unary: TypeAlias = "tuple[Array, Callable[[Array], Array]]"
Binary: TypeAlias = "tuple[Array, Callable[[Array], tuple[Array | None, Array | None]]]"


def operand(x: Operand, owner: str) -> Operand:
    """Return an array as it is and a number as a Python one, which never widens an array's dtype."""
    if isinstance(x, xp.ndarray):
        return x
    if isinstance(x, (int, float)):
        return x if isinstance(x, int) else float(x)
    if isinstance(x, (xp.floating, xp.integer)):
        return x.item()
    check_array(x, owner, "an array or a number")
    return x


def operands(x: Operand, w: Operand, owner: str) -> tuple[Operand, Operand]:
    """Return both sides of an operation, checked to be arrays or numbers whose shapes broadcast."""
    x, w = operand(x, owner), operand(w, owner)
    if isinstance(x, xp.ndarray) and isinstance(w, xp.ndarray) and x.shape != w.shape:
        for n, m in zip(reversed(x.shape), reversed(w.shape), strict=False):
            if n != m and 1 not in (n, m):
                raise ValueError(f"{owner}: expected shapes that broadcast, got {x.shape} and {w.shape}")
    return x, w


def unbroadcast(gradient: Array, x: Array) -> Array:
    """Sum a gradient over the axes along which ``x`` was broadcast: the adjoint of broadcasting.

    Returns an array of the shape and dtype of ``x``.
    """
    if gradient.shape != x.shape:
        gradient = gradient.sum(axis=tuple(range(gradient.ndim - x.ndim)))
        stretched = tuple(i for i, n in enumerate(x.shape) if n == 1 and gradient.shape[i] != 1)
        gradient = gradient.sum(axis=stretched, keepdims=True)
    return xp.asarray(gradient, dtype=x.dtype)


def _to_operand(gradient: Array, x: Operand) -> Array | None:
    """Return the gradient in the shape of its operand; a plain number has none."""
    return unbroadcast(gradient, x) if isinstance(x, xp.ndarray) else None


def add(x: Operand, w: Operand) -> Binary:
    """y = x + w."""
    x, w = operands(x, w, "add")
    y = xp.asarray(x + w)

    def pullback(dy: Array) -> tuple[Array | None, Array | None]:
        # dx = dy, dw = dy
        return _to_operand(dy, x), _to_operand(dy, w)

    return y, pullback


def subtract(x: Operand, w: Operand) -> Binary:
    """y = x - w."""
    x, w = operands(x, w, "subtract")
    y = xp.asarray(x - w)

    def pullback(dy: Array) -> tuple[Array | None, Array | None]:
        # dx = dy, dw = -dy
        return _to_operand(dy, x), _to_operand(-dy, w)

    return y, pullback


def multiply(x: Operand, w: Operand) -> Binary:
    """y = x w."""
    x, w = operands(x, w, "multiply")
    y = xp.asarray(x * w)

    def pullback(dy: Array) -> tuple[Array | None, Array | None]:
        # dx = dy w, dw = dy x
        return _to_operand(xp.asarray(dy * w), x), _to_operand(xp.asarray(dy * x), w)

    return y, pullback


def divide(x: Operand, w: Operand) -> Binary:
    """y = x / w."""
    x, w = operands(x, w, "divide")
    y = xp.asarray(x / w)

    def pullback(dy: Array) -> tuple[Array | None, Array | None]:
        # dx = dy / w, dw = -dy x / w^2
        dx = xp.asarray(dy / w)
        return _to_operand(dx, x), _to_operand(xp.asarray(-dx * (x / w)), w)

    return y, pullback


def power(x: Operand, w: Operand) -> Binary:
    """y = x^w; for an array exponent x > 0, and at x = 0 its gradient is zero."""
    x, w = operands(x, w, "power")
    y = xp.asarray(x**w)

    def pullback(dy: Array) -> tuple[Array | None, Array | None]:
        # dx = dy w x^(w-1), dw = dy y log x
        dx = dw = None
        if isinstance(x, xp.ndarray):
            lowered = xp.where(w == 0, 1, w - 1) if isinstance(w, xp.ndarray) else w - 1 if w else 1
            dx = unbroadcast(xp.asarray(dy * (w * x**lowered)), x)
        if isinstance(w, xp.ndarray):
            base = xp.asarray(x, dtype=w.dtype)
            dw = unbroadcast(xp.asarray(dy * y * xp.log(xp.where(base == 0, 1, base))), w)
        return dx, dw

    return y, pullback


def maximum(x: Operand, w: Operand) -> Binary:
    """y = max(x, w); where both are equal the first takes the gradient."""
    x, w = operands(x, w, "maximum")
    y = xp.asarray(xp.maximum(x, w))

    def pullback(dy: Array) -> tuple[Array | None, Array | None]:
        # dx = dy [x >= w], dw = dy [x < w]
        first = xp.asarray(x >= w)
        return _to_operand(xp.asarray(dy * first), x), _to_operand(xp.asarray(dy * ~first), w)

    return y, pullback


def minimum(x: Operand, w: Operand) -> Binary:
    """y = min(x, w); where both are equal the first takes the gradient."""
    x, w = operands(x, w, "minimum")
    y = xp.asarray(xp.minimum(x, w))

    def pullback(dy: Array) -> tuple[Array | None, Array | None]:
        # dx = dy [x <= w], dw = dy [x > w]
        first = xp.asarray(x <= w)
        return _to_operand(xp.asarray(dy * first), x), _to_operand(xp.asarray(dy * ~first), w)

    return y, pullback


def where(x: Operand, w: Operand, *, condition: Array) -> Binary:
    """y = x where the condition holds, w elsewhere."""
    check_array(condition, "where", "the condition as an array")
    x, w = operands(x, w, "where")
    y = xp.asarray(xp.where(condition, x, w))

    def pullback(dy: Array) -> tuple[Array | None, Array | None]:
        # dx = dy where the condition holds, dw = dy elsewhere
        return _to_operand(xp.where(condition, dy, 0), x), _to_operand(xp.where(condition, 0, dy), w)

    return y, pullback


def negative(x: Array) -> Unary:
    """y = -x."""
    check_array(x, "negative")

    def pullback(dy: Array) -> Array:
        # dx = -dy
        return xp.asarray(-dy)

    return xp.asarray(-x), pullback


def absolute(x: Array) -> Unary:
    """y = |x|, with derivative 0 at 0."""
    check_float(x, "absolute")

    def pullback(dy: Array) -> Array:
        # dx = dy sign(x)
        return xp.asarray(dy * xp.sign(x))

    return xp.asarray(abs(x)), pullback


def clip(x: Array, *, low: float | None = None, high: float | None = None) -> Unary:
    """y = min(max(x, low), high), with derivative 1 on the bounds."""
    check_float(x, "clip")
    if low is not None and high is not None and low > high:
        raise ValueError(f"clip: expected low <= high, got low={low}, high={high}")
    low = -math.inf if low is None else float(low)
    high = math.inf if high is None else float(high)
    y = xp.asarray(xp.minimum(xp.maximum(x, low), high))

    def pullback(dy: Array) -> Array:
        # dx = dy [low <= x <= high]
        return xp.asarray(dy * ((x >= low) & (x <= high)))

    return y, pullback


def exp(x: Array) -> Unary:
    """y = e^x."""
    check_float(x, "exp")
    y = xp.asarray(xp.exp(x))

    def pullback(dy: Array) -> Array:
        # dx = dy y
        return xp.asarray(dy * y)

    return y, pullback


def log(x: Array) -> Unary:
    """y = ln x."""
    check_float(x, "log")

    def pullback(dy: Array) -> Array:
        # dx = dy / x
        return xp.asarray(dy / x)

    return xp.asarray(xp.log(x)), pullback


def sqrt(x: Array) -> Unary:
    """y = square root of x."""
    check_float(x, "sqrt")
    y = xp.asarray(xp.sqrt(x))

    def pullback(dy: Array) -> Array:
        # dx = dy / 2y
        return xp.asarray(dy / (2 * y))

    return y, pullback
