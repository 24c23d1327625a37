"""What is drawn for layers of sequences, and how PyTorch calls them."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tests.conformance.rows import Arrays, Settings, normal, small
from tests.either import np


@st.composite
def recurrent(draw: st.DrawFn, **more: st.SearchStrategy[Any]) -> tuple[Settings, tuple[int, ...]]:
    shape = draw(st.tuples(small, st.integers(1, 5), small))
    drawn = draw(st.fixed_dictionaries({"hidden_size": small}, optional=RECURRENT | more))
    return {"input_size": shape[-1], **drawn}, shape


RECURRENT: dict[str, st.SearchStrategy[Any]] = {
    "num_layers": st.integers(1, 2),
    "bias": st.booleans(),
    "bidirectional": st.booleans(),
}


def sequences(states: int) -> Callable[..., list[np.ndarray]]:
    """Sequences alone, or with the initial states."""

    def inputs(rng: np.random.Generator, shape: tuple[int, ...], settings: Settings) -> list[np.ndarray]:
        runs = settings.get("num_layers", 1) * (2 if settings.get("bidirectional") else 1)
        count = states * int(rng.integers(2))
        return [
            normal(rng, shape),
            *(normal(rng, (shape[0], runs, settings["hidden_size"])) for _ in range(count)),
        ]

    return inputs


def with_states(layer: Any, settings: Settings, x: Any, *states: Any) -> Any:
    """PyTorch has the batch of states on their second axis, and always returns the last ones."""
    first = [h.transpose(0, 1).contiguous() for h in states]
    if not first:
        return layer(x)[0]
    y, last = layer(x, first[0] if len(first) == 1 else tuple(first))
    return y, *(h.transpose(0, 1) for h in (last if isinstance(last, tuple) else (last,)))


@st.composite
def attentive(draw: st.DrawFn) -> tuple[Settings, tuple[int, ...]]:
    heads, size = draw(small), draw(small)
    settings = {"embed_dim": heads * size, "num_heads": heads}
    settings |= draw(st.fixed_dictionaries({}, optional={"bias": st.booleans(), "causal": st.booleans()}))
    return settings, (draw(small), draw(st.integers(1, 5)), heads * size)


def queries(rng: np.random.Generator, shape: tuple[int, ...], settings: Settings) -> list[np.ndarray]:
    """Sequences that look at themselves, or queries, keys and values."""
    if settings.get("causal") or rng.integers(2):
        return [normal(rng, shape)]
    n, _, size = shape
    length = int(rng.integers(1, 6))
    return [normal(rng, shape), normal(rng, (n, length, size)), normal(rng, (n, length, size))]


@st.composite
def transformers(draw: st.DrawFn) -> tuple[Settings, tuple[int, ...]]:
    heads, size = draw(small), draw(st.integers(2, 3))
    settings = {"embed_dim": heads * size, "num_heads": heads, "hidden_features": draw(small), "dropout": 0.0}
    more = {name: draw(st.booleans()) for name in ("causal", "norm_first")}
    more["activation"] = draw(st.sampled_from(["relu", "gelu"]))
    return settings | more, (draw(small), draw(st.integers(1, 5)), heads * size)


def attend(layer: Any, settings: Settings, *inputs: Any) -> Any:
    query, key, value = inputs if len(inputs) == 3 else inputs * 3
    return layer(query, key, value, attn_mask=later_steps(query, settings), need_weights=False)[0]


def encode(layer: Any, settings: Settings, x: Any) -> Any:
    return layer(x, src_mask=later_steps(x, settings))


def later_steps(x: Any, settings: Settings) -> Any:
    """What no step may see, or nothing."""
    return x.new_ones(x.shape[1], x.shape[1]).triu(1).bool() if settings.get("causal") else None


def projections(arrays: Arrays) -> Arrays:
    names = {"in_weight": "in_proj_weight", "in_bias": "in_proj_bias"}
    names |= {"out_weight": "out_proj.weight", "out_bias": "out_proj.bias"}
    return {names[k]: a.T for k, a in arrays.items()}


def their_encoder(nn: Any, rank: int, causal: bool = False, **settings: Any) -> Any:
    names = {"embed_dim": "d_model", "num_heads": "nhead", "hidden_features": "dim_feedforward"}
    options = {names.get(key, key): value for key, value in settings.items()}
    return nn.TransformerEncoderLayer(**options, batch_first=True)


def encoder_parts(arrays: Arrays) -> Arrays:
    attention = {k.removeprefix("attention."): a for k, a in arrays.items() if k.startswith("attention.")}
    parts = {f"self_attn.{k}": a for k, a in projections(attention).items()}
    for ours, theirs in (
        ("feed_forward.0", "linear1"),
        ("feed_forward.3", "linear2"),
        ("norm1", "norm1"),
        ("norm2", "norm2"),
    ):
        for kind in ("weight", "bias"):
            if f"{ours}.{kind}" in arrays:
                parts[f"{theirs}.{kind}"] = arrays[f"{ours}.{kind}"].T
    return parts
