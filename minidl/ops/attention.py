"""Attention: every query takes a weighted mean of the values, block by block.

No more than a block of scores is ever stored, so memory grows with the length and not with its square. Where
there are more, the backward pass computes them again (Rabe and Staats, 2021; Dao et al., 2022).
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

from minidl.backend import Array, check_array, xp
from minidl.ops._options import check_number
from minidl.ops._precision import check_operands, widen

Gradients: TypeAlias = "tuple[Array, Array, Array]"

SCORES = 1 << 20  # how many scores make a block: a few megabytes
ROWS = 16  # how many queries it has at least, for products worth their call


class Block(NamedTuple):
    """Some heads, the queries of each that a block is about, and the keys that these may see."""

    heads: slice
    rows: slice
    keys: slice
    allowed: Array | None  # booleans, broadcastable to (heads, rows, keys)


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
    queries, keys, values = (widen(a).reshape(math.prod(a.shape[:-2]), *a.shape[-2:]) for a in (q, k, v))
    y = xp.empty((*queries.shape[:2], v.shape[-1]), dtype=queries.dtype)
    norms = xp.empty((*queries.shape[:2], 1), dtype=queries.dtype)  # log of the sum of e^score
    kept = None  # the shares of the only block
    for block in _blocks(q.shape, k.shape[-2], mask, causal):
        shares, norms[block.heads, block.rows] = _shares(_scores(queries, keys, block, factor))
        y[block.heads, block.rows] = shares @ values[block.heads, block.keys]
        kept = shares if y[block.heads, block.rows].shape == y.shape else None

    def pullback(dy: Array) -> Gradients:
        # p = softmax(scale q k^T), dv = p^T dy, ds = p (dy v^T - sum of dy y) scale, dq = ds k, dk = ds^T q
        drows = widen(dy).reshape(y.shape)
        means = (drows * y).sum(axis=-1, keepdims=True)
        dq, dk, dv = (xp.zeros(a.shape, dtype=a.dtype) for a in (queries, keys, values))
        for block in _blocks(q.shape, k.shape[-2], mask, causal):
            of_rows, of_keys = (block.heads, block.rows), (block.heads, block.keys)
            p = xp.exp(_scores(queries, keys, block, factor) - norms[of_rows]) if kept is None else kept
            ds = drows[of_rows] @ values[of_keys].swapaxes(1, 2)
            ds -= means[of_rows]
            ds *= p
            ds *= factor
            dq[of_rows] = ds @ keys[of_keys]
            dk[of_keys] += ds.swapaxes(1, 2) @ queries[of_rows]
            dv[of_keys] += p.swapaxes(1, 2) @ drows[of_rows]
        return _like(dq, q), _like(dk, k), _like(dv, v)

    return y.reshape(*q.shape[:-1], v.shape[-1]).astype(q.dtype, copy=False), pullback


def _like(gradient: Array, x: Array) -> Array:
    return gradient.reshape(x.shape).astype(x.dtype, copy=False)


def _scale(scale: float | None, features: int) -> float:
    if scale is None:
        return 1 / math.sqrt(max(1, features))
    return check_number(scale, "scale", "scaled_dot_product_attention")


def _scores(queries: Array, keys: Array, block: Block, factor: float) -> Array:
    """Return how well the queries of a block match its keys, minus infinity where they may not look."""
    scores = queries[block.heads, block.rows] @ keys[block.heads, block.keys].swapaxes(1, 2)
    scores *= factor
    return scores if block.allowed is None else xp.where(block.allowed, scores, -math.inf)


def _shares(scores: Array) -> tuple[Array, Array]:
    """Turn scores into their softmax, in place; return it with the log of the sum of e^score."""
    top = scores.max(axis=-1, keepdims=True)
    top = xp.where(top == -math.inf, 0, top)
    scores -= top
    xp.exp(scores, out=scores)
    total = scores.sum(axis=-1, keepdims=True)
    total = xp.where(total == 0, 1, total)  # of a query that sees no key
    scores /= total
    return scores, top + xp.log(total)


def _blocks(shape: tuple[int, ...], steps: int, mask: Array | None, causal: bool) -> Iterator[Block]:
    """Cut (heads, queries, keys) into blocks of whole rows."""
    lead, length = shape[:-2] or (1,), shape[-2]
    heads = math.prod(lead)
    full = None if mask is None else xp.broadcast_to(mask, (*lead, length, steps))
    count = min(length, max(ROWS, SCORES // max(1, steps)))
    together = max(1, SCORES // max(1, count * steps))
    for h in range(0, heads, together):
        some = slice(h, min(h + together, heads))
        for i in range(0, length, count):
            rows = slice(i, min(i + count, length))
            keys = slice(min(rows.stop, steps) if causal else steps)
            yield Block(some, rows, keys, _allowed(full, lead, some, rows, keys, causal))


def _allowed(
    full: Array | None, lead: tuple[int, ...], heads: slice, rows: slice, keys: slice, causal: bool
) -> Array | None:
    """Return which keys each query of a block may see; None stands for all."""
    allowed = None
    if causal:
        allowed = xp.arange(rows.start, rows.stop)[:, None] >= xp.arange(keys.stop)
    if full is not None:
        at = xp.unravel_index(xp.arange(heads.start, heads.stop), lead)
        index: Any = (*at, rows, keys)
        given = full[index]
        allowed = given if allowed is None else given & allowed
    return allowed


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
