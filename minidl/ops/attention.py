"""Attention: every query takes a weighted mean of the values, block by block.

No more than a block of scores is ever stored, so memory grows with the length and not with its square. Where
there are more, the backward pass computes them again (Rabe and Staats, 2021; Dao et al., 2022).
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

from minidl import backend
from minidl.backend import Array, check_array, xp
from minidl.ops._options import check_number
from minidl.ops._precision import check_operands, widen
from minidl.ops._rows import maxima, sums

Gradients: TypeAlias = "tuple[Array, Array, Array]"
Index: TypeAlias = "tuple[slice, ...]"

SCORES = 1 << 20  # how many scores make a block: a few megabytes
ROWS = 16  # how many queries it has at least, for products worth their call


class Block(NamedTuple):
    """Some heads, the queries of each that a block is about, and the keys that these may see."""

    of_rows: Index  # of the queries
    of_keys: Index
    allowed: Array | None  # booleans, broadcastable to the scores


def scaled_dot_product_attention(
    q: Array,
    k: Array,
    v: Array,
    *,
    mask: Array | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> tuple[Array, Callable[[Array], Gradients]]:
    """y = softmax(scale q k^T) v, over the keys that each query may see; 0 where there are none."""
    _check_attention(q, k, v, mask)
    factor = _scale(scale, q.shape[-1])
    queries, keys, values = (_laid_out(widen(a)) for a in (q, k, v))
    y = xp.empty_like(queries, shape=(*q.shape[:-1], v.shape[-1]))
    norms = xp.empty((*q.shape[:-1], 1), dtype=queries.dtype)  # log of the sum of e^score
    kept = None  # the shares of the only block
    for block in _blocks(q.shape, k.shape[-2], mask, causal):
        shares, top, total = _shares(_scores(queries, keys, block, factor))
        xp.matmul(shares, values[block.of_keys], out=y[block.of_rows])
        if shares.shape == (*q.shape[:-1], k.shape[-2]):
            kept = shares
        else:
            norms[block.of_rows] = top + xp.log(total)

    def pullback(dy: Array) -> Gradients:
        # p = softmax(scale q k^T), dv = p^T dy, ds = p (dy v^T - sum of dy y) scale, dq = ds k, dk = ds^T q
        dy = widen(dy)
        means = sums(dy, y)
        dq, dk, dv = xp.empty_like(queries), xp.zeros_like(keys), xp.zeros_like(values)
        for block in _blocks(q.shape, k.shape[-2], mask, causal):
            of_rows, of_keys = block.of_rows, block.of_keys
            p = xp.exp(_scores(queries, keys, block, factor) - norms[of_rows]) if kept is None else kept
            ds = dy[of_rows] @ values[of_keys].swapaxes(-1, -2)
            ds -= means[of_rows]
            ds *= p
            ds *= factor
            xp.matmul(ds, keys[of_keys], out=dq[of_rows])
            _add(dk[of_keys], ds.swapaxes(-1, -2), queries[of_rows], block)
            _add(dv[of_keys], p.swapaxes(-1, -2), dy[of_rows], block)
        return _as(q.dtype, dq), _as(q.dtype, dk), _as(q.dtype, dv)

    return y.astype(q.dtype, copy=False), pullback


def _add(total: Array, a: Array, b: Array, block: Block) -> None:
    """Add a @ b to a gradient of keys or values: each block of rows has its part in it."""
    if block.of_rows[-1].start:
        total += a @ b
    else:  # the first
        xp.matmul(a, b, out=total)


def _laid_out(x: Array) -> Array:
    """Return an array as products take it: NumPy's as it lies, so that heads side by side stay in place.

    Those of a GPU would copy what is not contiguous each time.
    """
    return x if backend.CORES else xp.ascontiguousarray(x)


def _as(dtype: Any, gradient: Array) -> Array:
    return gradient.astype(dtype, copy=False)


def _scale(scale: float | None, features: int) -> float:
    if scale is None:
        return 1 / math.sqrt(max(1, features))
    return check_number(scale, "scale", "scaled_dot_product_attention")


def _scores(queries: Array, keys: Array, block: Block, factor: float) -> Array:
    """Return how well the queries of a block match its keys, minus infinity where they may not look."""
    scores = queries[block.of_rows] @ keys[block.of_keys].swapaxes(-1, -2)
    scores *= factor
    if block.allowed is not None:
        xp.copyto(scores, -math.inf, where=~block.allowed)
    return scores


def _shares(scores: Array) -> tuple[Array, Array, Array]:
    """Turn scores into their softmax, in place; return it with its shift and the sum of e^(score - shift)."""
    top = maxima(scores)
    top = xp.where(top == -math.inf, 0, top)
    scores -= top
    xp.exp(scores, out=scores)
    total = sums(scores)
    total = xp.where(total == 0, 1, total)  # of a query that sees no key
    scores /= total
    return scores, top, total


def _blocks(shape: tuple[int, ...], steps: int, mask: Array | None, causal: bool) -> Iterator[Block]:
    """Cut (..., queries, keys) into blocks of whole rows."""
    lead, length = shape[:-2], shape[-2]
    full = None if mask is None else xp.broadcast_to(mask, (*lead, length, steps))
    count = min(length, max(ROWS, SCORES // max(1, steps)))
    for heads in _heads(lead, max(1, SCORES // max(1, count * steps))):
        for i in range(0, length, count):
            rows = slice(i, min(i + count, length))
            keys = slice(0, min(rows.stop, steps) if causal else steps)
            allowed = None if full is None else full[(*heads, rows, keys)]
            if causal:
                seen = xp.arange(rows.start, rows.stop)[:, None] >= xp.arange(keys.stop)
                allowed = seen if allowed is None else allowed & seen
            yield Block((*heads, rows), (*heads, keys), allowed)


def _heads(lead: tuple[int, ...], most: int) -> Iterator[Index]:
    """Cut the axes before those of queries and keys into blocks of at most so many heads."""
    if not lead:
        yield ()
        return
    inner = max(1, math.prod(lead[1:]))
    together = max(1, most // inner)
    for i in range(0, lead[0], together):
        for rest in _heads(lead[1:], most):
            yield slice(i, min(i + together, lead[0])), *rest


def _check_attention(q: Array, k: Array, v: Array, mask: Array | None) -> None:
    """Refuse what does not fit together."""
    owner = "scaled_dot_product_attention"
    check_operands(q, k, owner)
    check_operands(q, v, owner)
    if q.ndim < 2 or not q.shape[-2] * q.shape[-1]:
        raise ValueError(f"{owner}: expected queries (..., T, D) of at least one step, got {q.shape}")
    if k.ndim != q.ndim or k.shape[:-2] != q.shape[:-2] or k.shape[-1] != q.shape[-1] or not k.shape[-2]:
        expected = ", ".join([*map(str, q.shape[:-2]), "S", str(q.shape[-1])])
        raise ValueError(f"{owner}: expected keys ({expected}) of at least one step, got {k.shape}")
    if v.shape[:-1] != k.shape[:-1]:
        raise ValueError(f"{owner}: expected a value for each key {k.shape}, got {v.shape}")
    if mask is None:
        return
    check_array(mask, owner, "the mask as an array")
    if mask.dtype.kind != "b":
        raise TypeError(
            f"{owner}: expected the mask as booleans, true where a query may see a key, got {mask.dtype}"
        )
    full = (*q.shape[:-1], k.shape[-2])
    tail = full[len(full) - mask.ndim :]
    if mask.ndim > len(full) or any(m not in (1, n) for m, n in zip(mask.shape, tail, strict=True)):
        raise ValueError(f"{owner}: expected a mask that broadcasts to {full}, got {mask.shape}")
