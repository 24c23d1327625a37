"""Attention: every query takes a weighted mean of the values, block by block.

No more than a block of scores is ever stored, so memory grows with the length and not with its square. Where
there are more, the backward pass computes them again (Rabe and Staats, 2021; Dao et al., 2022).
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

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
    """Where some queries of some heads are, and the keys that these may see."""

    of_rows: Index  # of heads and queries
    of_keys: Index  # of heads and keys
    first: bool  # whether no queries of these heads came before
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
    norms = xp.empty((*q.shape[:-1], 1), dtype=queries.dtype)  # log of the sum of e^score, of many blocks
    kept = None  # the shares of the only block
    for block in _blocks(q.shape, k.shape[-2], mask, causal):
        shares, top, total = _shares(_scores(queries, keys, block, factor))
        xp.matmul(shares, values[block.of_keys], out=y[block.of_rows])
        if shares.shape[:-1] == q.shape[:-1]:
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
            _add_product(ds.swapaxes(-1, -2), queries[of_rows], dk[of_keys], block.first)
            _add_product(p.swapaxes(-1, -2), dy[of_rows], dv[of_keys], block.first)
        dq, dk, dv = (d.astype(q.dtype, copy=False) for d in (dq, dk, dv))
        return dq, dk, dv

    return y.astype(q.dtype, copy=False), pullback


def _add_product(a: Array, b: Array, out: Array, first: bool) -> None:
    """Add a @ b to an array, which the first product overwrites."""
    if first:
        xp.matmul(a, b, out=out)
    else:
        out += a @ b


def _laid_out(x: Array) -> Array:
    """Return an array as the products take it.

    NumPy's leave heads that lie side by side where they are, which saves a tenth of a layer's time; CuPy's
    would copy an operand that is not contiguous at every call.
    """
    return x if backend.CORES else xp.ascontiguousarray(x)


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
            yield Block((*heads, rows), (*heads, keys), i == 0, allowed)


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
