"""Attention layers; the math is in `minidl.functional`."""

from typing import Any

from minidl import init, ops
from minidl.backend import Array, Seed, generator
from minidl.layers._repr import arguments
from minidl.layers._sequence import SequenceLayer
from minidl.layers.base import Pullback, check_sizes
from minidl.layers.parameter import Parameter
from minidl.ops.multi_head import check_heads


class MultiHeadAttention(SequenceLayer):
    """Attend in several heads; see `functional.multi_head_attention`.

    An array ``(N, T, E)`` attends to itself; a tuple ``(query, key, value)`` of such arrays to another.
    ``forward``, ``predict``, ``vjp`` and a call also take ``mask``: booleans ``(N, S)``, ``(N, T, S)`` or
    ``(N, heads, T, S)``, true where a key may be seen, or lengths ``(N,)``.

    Args:
        embed_dim: E.
        num_heads: how many heads; they divide E.
        causal: whether a step sees only itself and those before it.
        bias: whether the projections add biases.
        rotary: whether queries and keys are turned by their positions.
        seed, dtype, weight_init: of the fresh weights ``in_weight (E, 3 E)`` and ``out_weight (E, E)``.

    Example:
        >>> from minidl.backend import xp
        >>> layer = MultiHeadAttention(16, num_heads=4, causal=True, seed=0)
        >>> layer.forward(xp.zeros((2, 7, 16), xp.float32)).shape
        (2, 7, 16)
    """

    sample_wise = True

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        causal: bool = False,
        bias: bool = True,
        rotary: bool = False,
        *,
        seed: Seed = None,
        dtype: init.DType = None,
        weight_init: init.Initializer | None = None,
    ) -> None:
        (embed_dim,) = check_sizes("MultiHeadAttention", embed_dim=embed_dim)
        num_heads = check_heads(embed_dim, num_heads, "MultiHeadAttention")
        if rotary and embed_dim // num_heads % 2:
            raise ValueError(
                f"MultiHeadAttention: expected heads of an even size for rotary positions, "
                f"got {embed_dim // num_heads}"
            )
        rng = generator(seed)
        for name, width in (("in", 3 * embed_dim), ("out", embed_dim)):
            weight = init.draw(weight_init, (embed_dim, width), seed=rng, dtype=dtype)
            setattr(self, f"{name}_weight", Parameter(weight, name=f"{name}_weight"))
            zeros = Parameter(init.zeros((width,), dtype=dtype), name=f"{name}_bias") if bias else None
            setattr(self, f"{name}_bias", zeros)
        self.num_heads = num_heads
        self.causal = causal
        self.rotary = rotary

    in_weight: Parameter
    in_bias: Parameter | None
    out_weight: Parameter
    out_bias: Parameter | None

    def vjp(self, x: Any, mask: Array | None = None) -> tuple[Any, Pullback]:
        if isinstance(x, tuple) and len(x) != 3:
            raise ValueError(f"{self!r}: expected (query, key, value), got {len(x)} arrays")
        weights = self.in_weight, self.in_bias, self.out_weight, self.out_bias
        options: dict[str, Any] = {"num_heads": self.num_heads, "causal": self.causal, "rotary": self.rotary}
        return self.bind(_attend, x, *weights, mask=mask, **options)

    def extra_repr(self) -> str:
        return arguments(
            self.in_weight.shape[0],
            num_heads=(self.num_heads, None),
            causal=(self.causal, False),
            bias=(self.in_bias is not None, True),
            rotary=(self.rotary, False),
        )


def _attend(x: Any, *weights: Any, **options: Any) -> Any:
    """Attend to itself, or for a tuple (query, key, value) to another; the gradient has the form of x."""
    inputs = x if isinstance(x, tuple) else (x, None, None)
    y, pullback = ops.multi_head_attention(*inputs, *weights, **options)

    def grouped(dy: Array, *, input_grad: bool = True) -> tuple[Any, ...]:
        dx, dk, dv, *rest = pullback(dy, input_grad=input_grad)
        return (dx, dk, dv) if isinstance(x, tuple) else dx, *rest

    return y, grouped
