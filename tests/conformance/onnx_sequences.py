"""ONNX operators on sequences and images of other sizes, through minidl's public functions.

What minidl does not have, an adapter refuses by a ValueError; the test lists the cases that ask for it.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import minidl
from minidl import functional as F
from minidl.backend import xp

ORDER = {"gru": (1, 0, 2), "lstm": (0, 2, 3, 1), "rnn": (0,)}  # minidl's gates, by their place in ONNX


def recurrent(function: Callable[..., Any], states: int) -> Callable[..., Any]:
    """A recurrent network of one layer with minidl's activations."""

    def adapter(
        x, w, r, b=None, lengths=None, h=None, c=None, peepholes=None, *, hidden_size, layout=0,
        direction="forward", linear_before_reset=0,
    ) -> Any:  # fmt: skip
        """Of x (T, N, C), w (D, G H, C), r (D, G H, H), b (D, 2 G H), h and c (D, N, H)."""
        if peepholes is not None:
            raise ValueError("recurrent: expected no peepholes, minidl's gates do not look at the memory")
        if direction == "reverse":
            raise ValueError("recurrent: expected forward or bidirectional, got reverse")
        order = ORDER[function.__name__]
        x = x if layout else x.swapaxes(0, 1)
        if function is F.gru and not linear_before_reset:
            refuse_reset_before(x, b, h, hidden_size)
        weights = []
        for i in range(len(w)):
            matrices = [gates(a[i], order).T for a in (w, r)]
            biases = [None, None] if b is None else [gates(a, order) for a in xp.split(b[i], 2)]
            weights += [*matrices, *biases]
        initial = [s if s is None or layout else s.swapaxes(0, 1) for s in (h, c)[:states]]
        options = {"mask": lengths, "bidirectional": direction == "bidirectional"}
        y, *last = function(x, weights, *initial, **options)
        y = y.reshape(*y.shape[:2], len(w), hidden_size)  # (N, T, D, H)
        return (y, *last) if layout else (y.transpose(1, 2, 0, 3), *(s.swapaxes(0, 1) for s in last))

    return adapter


def gates(a: Any, order: Sequence[int]) -> Any:
    """The gates along the first axis in minidl's order."""
    parts = xp.split(a, len(order))
    return xp.concatenate([parts[i] for i in order])


def refuse_reset_before(x: Any, b: Any, h: Any, hidden_size: int) -> None:
    """Refuse ONNX's default, r applied to h before its product: minidl applies it after, as PyTorch does.

    Both are the same for one step from a state of zeros without a bias that the product brings.
    """
    biased = b is not None and bool(xp.any(b[:, -hidden_size:] != 0))
    if x.shape[1] > 1 or h is not None or biased:
        raise ValueError("recurrent: expected linear_before_reset=1, got 0")


def attention(
    q, k, v, mask=None, past_key=None, past_value=None, lengths=None, *, is_causal=0, scale=None,
    softcap=0.0, q_num_heads=None, kv_num_heads=None, qk_matmul_output_mode=0,
) -> Any:  # fmt: skip
    """Attention of (N, heads, T, D), or of (N, T, heads D); the scores themselves, minidl never has."""
    if softcap:
        raise ValueError("attention: expected no softcap, minidl's scores are not bounded")
    flat = q.ndim == 3
    if flat:
        q, k, v = in_heads(q, q_num_heads), in_heads(k, kv_num_heads), in_heads(v, kv_num_heads)
    past = 0 if past_key is None else past_key.shape[2]
    if past:
        k, v = F.concatenate([past_key, k], axis=2), F.concatenate([past_value, v], axis=2)
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    steps, size = xp.arange(q.shape[2])[:, None], xp.arange(k.shape[2])
    allowed = xp.ones((len(q), 1, q.shape[2], k.shape[2]), dtype=bool)
    if is_causal:
        allowed = allowed & (size <= past + steps)
    if lengths is not None:
        allowed = allowed & (size < lengths[:, None, None, None])
    keys, values = (xp.repeat(a, q.shape[1] // a.shape[1], axis=1) for a in (k, v))  # shared by several heads
    queries = q
    if mask is not None:
        short = [(0, 0)] * (mask.ndim - 1) + [(0, k.shape[2] - mask.shape[-1])]
        if mask.dtype == bool:
            allowed = allowed & xp.pad(mask, short)
        else:
            mask = F.pad(mask, short, value=-math.inf)
            allowed = allowed & (mask > -math.inf)
            queries, keys = with_bias(queries, keys, xp.where(mask > -math.inf, mask, 0), scale)
    y = F.scaled_dot_product_attention(queries, keys, values, allowed, scale=scale)
    y = y.swapaxes(1, 2).reshape(len(q), q.shape[2], -1) if flat else y
    return y, k, v, None


def in_heads(x: Any, heads: int) -> Any:
    return x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)


def with_bias(q: Any, k: Any, bias: Any, scale: float) -> Any:
    """More features, whose products add ``bias[t, s]`` to each scaled score: 1 for the query's own step."""
    own = xp.broadcast_to(xp.eye(q.shape[2], dtype=q.dtype), (*q.shape[:3], q.shape[2]))
    wanted = xp.broadcast_to((bias / scale).astype(k.dtype).swapaxes(-1, -2), (*k.shape[:3], q.shape[2]))
    return F.concatenate([q, own], axis=-1), F.concatenate([k, wanted], axis=-1)


def rotary(x, cos, sin, positions=None, *, interleaved=0, num_heads=0, rotary_embedding_dim=0) -> Any:
    """The angles of minidl come from positions; tables of other numbers have none."""
    if not xp.allclose(cos**2 + sin**2, 1):
        raise ValueError("rotary: expected tables of cosines and sines of the same angles")
    return F.rotary_positions(x)


def pad(x, pads, value=None, axes=None, *, mode="constant") -> Any:
    numbers, some = pads.tolist(), range(x.ndim) if axes is None else axes.tolist()
    width = [(0, 0)] * x.ndim
    for axis, before, after in zip(some, numbers[: len(some)], numbers[len(some) :], strict=True):
        width[axis] = (before, after)
    return F.pad(x, width, value=0.0 if value is None else value.item(), mode=mode)


def resize(
    x, roi=None, scales=None, sizes=None, *, mode="nearest", axes=None, antialias=0, exclude_outside=0,
    coordinate_transformation_mode="half_pixel", nearest_mode="round_prefer_floor",
    keep_aspect_ratio_policy="stretch", cubic_coeff_a=-0.75, extrapolation_value=0.0,
) -> Any:  # fmt: skip
    """Resizing where ONNX's places of the pixels are those of `minidl.functional.upsample`."""
    axes = list(range(x.ndim)) if axes is None else axes
    asked = dict(zip(axes, (scales if sizes is None else sizes).tolist(), strict=True))
    if keep_aspect_ratio_policy != "stretch":
        choose = min if keep_aspect_ratio_policy == "not_larger" else max
        ratio = choose(size / x.shape[axis] for axis, size in asked.items())
        asked = {axis: round(ratio * x.shape[axis]) for axis in asked}
    size = [asked.get(a, x.shape[a] if scales is None else 1.0) for a in range(x.ndim)]
    if scales is not None:
        size = [n * factor for n, factor in zip(x.shape, size, strict=True)]
    whole = [math.floor(n) for n in size]
    if mode == "linear" and (size != whole or antialias):
        raise ValueError(f"resize: expected a whole size and no antialias, got {size}")
    if coordinate_transformation_mode != "half_pixel":
        raise ValueError(f"resize: expected half pixels, got {coordinate_transformation_mode}")
    if mode not in ("linear", "nearest") or (mode == "nearest" and nearest_mode != "round_prefer_floor"):
        raise ValueError(f"resize: expected linear or nearest by round_prefer_floor, got {mode}")
    y = F.upsample(minidl.channels_last(x), size=whole[2:], mode="bilinear" if mode == "linear" else mode)
    return minidl.channels_first(y)


SEQUENCES: dict[str, Callable[..., Any]] = {
    "Attention": attention,
    "GRU": recurrent(F.gru, 1),
    "LSTM": recurrent(F.lstm, 2),
    "Pad": pad,
    "RNN": recurrent(F.rnn, 1),
    "Resize": resize,
    "RotaryEmbedding": rotary,
    "Upsample": lambda x, scales, mode: resize(x, None, scales, mode=mode),
}
