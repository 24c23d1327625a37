"""Multi-head attention: projections, attention in each head by itself, and a projection back."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from minidl.backend import Array, check_array, check_int, check_rank, check_shape, xp
from minidl.ops._sequence import valid_steps
from minidl.ops.attention import scaled_dot_product_attention
from minidl.ops.linear import linear
from minidl.ops.positions import rotary_positions

Attended: TypeAlias = "tuple[Array, Callable[..., tuple[Any, ...]]]"
OWNER = "multi_head_attention"


def multi_head_attention(
    query: Array,
    key: Array | None,
    value: Array | None,
    w_in: Array,
    b_in: Array | None,
    w_out: Array,
    b_out: Array | None,
    *,
    num_heads: int,
    mask: Array | None = None,
    causal: bool = False,
    rotary: bool = False,
) -> Attended:
    """y = concat over heads of softmax(q k^T / sqrt(D)) v, times w_out, with q, k, v = inputs times w_in."""
    num_heads = check_int(num_heads, OWNER, "num_heads")
    inputs = _check_inputs(query, key, value, w_in, num_heads)
    parts, project = _projected(inputs, w_in, b_in)
    heads = [_split(part, num_heads) for part in parts]
    turns: list[Any] = []
    if rotary:
        turned = [rotary_positions(head) for head in heads[:2]]
        heads[:2], turns = [y for y, _ in turned], [turn for _, turn in turned]
    allowed = _allowed(mask, query.shape, parts[1].shape)
    attended, attend = scaled_dot_product_attention(*heads, mask=allowed, causal=causal)
    y, combine = linear(_joined(attended), w_out, b_out)

    def pullback(dy: Array, *, input_grad: bool = True) -> tuple[Any, ...]:
        # back through the projection, the heads and their inputs, each by its own pullback
        dattended, dw_out, db_out = combine(dy)
        dheads: list[Array] = list(attend(_split(dattended, num_heads)))
        for i, turn in enumerate(turns):
            dheads[i] = turn(dheads[i])
        dinputs, dw_in, db_in = project([_joined(d) for d in dheads], input_grad)
        return *dinputs, dw_in, db_in, dw_out, db_out

    return y, pullback


def _projected(
    inputs: Sequence[Array], w: Array, b: Array | None
) -> tuple[Sequence[Array], Callable[..., tuple[list[Any], Array, Array | None]]]:
    """Return queries, keys and values: by one product where they come from one input, else by three."""
    if len(inputs) == 1:
        y, pullback = linear(inputs[0], w, b)

        def together(dparts: Sequence[Array], input_grad: bool) -> Any:
            dx, dw, db = pullback(xp.concatenate(dparts, axis=-1), input_grad=input_grad)
            return [dx, None, None], dw, db

        width = w.shape[0]
        return [y[..., i * width : (i + 1) * width] for i in range(3)], together
    weights = xp.split(w, 3, axis=1)
    biases: Sequence[Array | None] = [None] * 3 if b is None else xp.split(b, 3)
    linears = [linear(*arrays) for arrays in zip(inputs, weights, biases, strict=True)]

    def each(dparts: Sequence[Array], input_grad: bool) -> Any:
        done = [p(d, input_grad=input_grad) for (_, p), d in zip(linears, dparts, strict=True)]
        dx, dw, db = zip(*done, strict=True)
        return list(dx), xp.concatenate(dw, axis=1), None if b is None else xp.concatenate(db)

    return [y for y, _ in linears], each


def _split(x: Any, heads: int) -> Array:
    """(N, T, E) to (N, heads, T, E / heads)."""
    n, steps, features = x.shape
    heads_last: Array = x.reshape(n, steps, heads, features // heads)
    return heads_last.swapaxes(1, 2)


def _joined(x: Array) -> Array:
    """(N, heads, T, D) to (N, T, heads D)."""
    n, heads, steps, features = x.shape
    return x.swapaxes(1, 2).reshape(n, steps, heads * features)


def _allowed(mask: Array | None, query: tuple[int, ...], key: tuple[int, ...]) -> Array | None:
    """Return a mask that broadcasts to (N, heads, T, S)."""
    if mask is None:
        return None
    check_array(mask, OWNER, "the mask as an array")
    if mask.ndim == 4:
        return mask
    if mask.ndim != 3:
        steps = valid_steps(mask, key[0], key[1], OWNER)
        return None if steps is None else steps[:, None, None, :]
    if mask.shape[0] not in (1, query[0]):
        raise ValueError(f"{OWNER}: expected a mask ({query[0]}, {query[1]}, {key[1]}), got {mask.shape}")
    return mask[:, None]


def _check_inputs(
    query: Array, key: Array | None, value: Array | None, w_in: Array, num_heads: int
) -> list[Array]:
    """Refuse what does not fit together; return the one input, or the three."""
    check_rank(w_in, OWNER, at_least=2)
    check_heads(w_in.shape[0], num_heads, OWNER)
    check_shape(w_in, (w_in.shape[0], 3 * w_in.shape[0]), f"{OWNER}: w_in")
    if (key is None) != (value is None):
        raise ValueError(f"{OWNER}: expected both a key and a value, or neither")
    inputs = [query] if key is None or value is None else [query, key, value]
    for x in inputs:
        check_array(x, OWNER)
        if x.ndim != 3 or x.shape[2] != w_in.shape[0] or not x.shape[1]:
            raise ValueError(f"{OWNER}: expected (N, T, {w_in.shape[0]}) of at least one step, got {x.shape}")
    return inputs


def check_heads(features: int, num_heads: int, owner: str) -> int:
    """Return a number of heads; refuse one that does not divide the features."""
    num_heads = check_int(num_heads, owner, "num_heads")
    if num_heads < 1 or features % num_heads:
        raise ValueError(f"{owner}: expected num_heads that divide the {features} features, got {num_heads}")
    return num_heads
