"""The layer that transformers are stacked from."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from minidl import init
from minidl.backend import Array, Seed, generator
from minidl.layers._repr import arguments
from minidl.layers._sequence import SequenceLayer
from minidl.layers.activation import ReLU
from minidl.layers.attention import MultiHeadAttention
from minidl.layers.base import Layer, Pullback, check_sizes
from minidl.layers.containers import Sequential
from minidl.layers.dropout import Dropout
from minidl.layers.gates import GELU
from minidl.layers.linear import Linear
from minidl.layers.norm import LayerNorm

Stage: TypeAlias = "Callable[[Any], tuple[Any, Pullback]]"

ACTIVATIONS: dict[str, type[Layer]] = {"relu": ReLU, "gelu": GELU}


class TransformerEncoderLayer(SequenceLayer):
    """Let each step look at the others, then think by itself: ``(N, T, E)`` to the same.

    ``h = norm1(x + drop(attention(x)))`` and ``y = norm2(h + drop(feed_forward(h)))``, where the feed-forward
    network is Linear, activation, Dropout, Linear. With ``norm_first`` it is
    ``h = x + drop(attention(norm1(x)))`` and ``y = h + drop(feed_forward(norm2(h)))`` (Vaswani et al., 2017;
    Xiong et al., 2020). ``forward``, ``predict``, ``vjp`` and a call take ``mask``, as those of
    `MultiHeadAttention` do.

    Args:
        embed_dim: E.
        num_heads: how many heads; they divide E.
        hidden_features: the width inside the feed-forward network.
        dropout: the probability of an element to be dropped, at three places.
        activation: ``"relu"`` or ``"gelu"``.
        norm_first: whether to normalise before and not after.
        causal: whether a step sees only itself and those before it.
        rotary: whether queries and keys are turned by their positions.
        seed, dtype, weight_init: of all fresh weights.

    Example:
        >>> from minidl.backend import asarray, xp
        >>> layer = TransformerEncoderLayer(16, num_heads=4, hidden_features=32, seed=0)
        >>> layer.forward(xp.zeros((2, 7, 16), xp.float32), mask=asarray([7, 4])).shape
        (2, 7, 16)
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        hidden_features: int = 2048,
        dropout: float = 0.1,
        activation: str = "relu",
        norm_first: bool = False,
        causal: bool = False,
        rotary: bool = False,
        *,
        seed: Seed = None,
        dtype: init.DType = None,
        weight_init: init.Initializer | None = None,
    ) -> None:
        owner = "TransformerEncoderLayer"
        embed_dim, hidden_features = check_sizes(owner, embed_dim=embed_dim, hidden_features=hidden_features)
        if activation not in ACTIVATIONS:
            names = ", ".join(ACTIVATIONS)
            raise ValueError(f"{owner}: expected activation as one of {names}, got {activation!r}")
        fresh: dict[str, Any] = {"seed": generator(seed), "dtype": dtype, "weight_init": weight_init}
        self.attention = MultiHeadAttention(embed_dim, num_heads, causal=causal, rotary=rotary, **fresh)
        self.dropout1 = Dropout(dropout, seed=fresh["seed"])
        self.norm1 = LayerNorm(embed_dim, dtype=dtype)
        self.feed_forward = Sequential(
            Linear(embed_dim, hidden_features, **fresh),
            ACTIVATIONS[activation](),
            Dropout(dropout, seed=fresh["seed"]),
            Linear(hidden_features, embed_dim, **fresh),
        )
        self.dropout2 = Dropout(dropout, seed=fresh["seed"])
        self.norm2 = LayerNorm(embed_dim, dtype=dtype)
        self.hidden_features = hidden_features
        self.activation = activation
        self.norm_first = norm_first

    @property
    def sample_wise(self) -> bool:  # type: ignore[override]  # what its dropout says
        """Whether each sample of the output depends on the same sample of the input alone."""
        return self.dropout1.sample_wise and self.dropout2.sample_wise

    def vjp(self, x: Array, mask: Array | None = None) -> tuple[Array, Pullback]:
        attend = [lambda x: self.attention.vjp(x, mask), self.dropout1.vjp]
        think = [self.feed_forward.vjp, self.dropout2.vjp]
        if self.norm_first:
            return _chained([_residual(self.norm1.vjp, *attend), _residual(self.norm2.vjp, *think)], x)
        return _chained([_residual(*attend), self.norm1.vjp, _residual(*think), self.norm2.vjp], x)

    def predict(self, x: Array, mask: Array | None = None) -> Array:
        """Chain the ``predict`` of each layer, without dropout."""
        if self.norm_first:
            h = x + self.attention.predict(self.norm1.predict(x), mask)
            return h + self.feed_forward.predict(self.norm2.predict(h))  # type: ignore[no-any-return]  # Any
        h = self.norm1.predict(x + self.attention.predict(x, mask))
        return self.norm2.predict(h + self.feed_forward.predict(h))  # type: ignore[no-any-return]  # Any, as layers give

    def extra_repr(self) -> str:
        return arguments(
            self.attention.in_weight.shape[0],
            num_heads=(self.attention.num_heads, None),
            hidden_features=(self.hidden_features, 2048),
            dropout=(self.dropout1.p, 0.1),
            activation=(self.activation, "relu"),
            norm_first=(self.norm_first, False),
            causal=(self.attention.causal, False),
            rotary=(self.attention.rotary, False),
        )


def _chained(stages: Sequence[Stage], x: Any) -> tuple[Any, Pullback]:
    """Run one stage after the other; the pullback goes through them last to first."""
    pullbacks: list[Pullback] = []
    for stage in stages:
        x, pullback = stage(x)
        pullbacks.append(pullback)

    def chained(dy: Any, input_grad: bool = True) -> Any:
        found: list[Any] = []
        for i in reversed(range(len(pullbacks))):
            dy, pairs = pullbacks[i](dy, input_grad=input_grad or i > 0)
            found[:0] = pairs
        return dy, found

    return x, chained


def _residual(*stages: Stage) -> Stage:
    """y = x + stages(x)."""

    def residual(x: Array) -> tuple[Array, Pullback]:
        y, pullback = _chained(stages, x)

        def joined(dy: Array, input_grad: bool = True) -> Any:
            # dx = dy + the pullback of the stages
            dx, pairs = pullback(dy, input_grad=input_grad)
            return (dx + dy if input_grad else None), pairs

        return x + y, joined

    return residual
