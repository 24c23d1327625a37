"""What is drawn for layers of images: settings and shapes that fit each other."""

from typing import Any

from hypothesis import strategies as st

from tests.conformance.rows import Settings, images, normal, slope, small
from tests.either import np


@st.composite
def per_axis(draw: st.DrawFn, rank: int, values: st.SearchStrategy[int]) -> Any:
    """An int for all axes, or one for each."""
    return draw(st.one_of(values, st.tuples(*[values] * rank)))


def each(value: Any, rank: int) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,) * rank


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Settings, tuple[int, ...]]:
    rank = draw(small)
    kernel, dilation = draw(st.tuples(*[small] * rank)), draw(per_axis(rank, st.integers(1, 2)))
    stride, groups = draw(per_axis(rank, small)), draw(st.integers(1, 2))
    odd = {1, *kernel} <= {1, 3}  # elsewhere PyTorch warns of a copy
    same = odd and stride in (1, (1,) * rank) and draw(st.booleans())
    padding = "same" if same else draw(per_axis(rank, st.integers(0, 2)))
    pads = (0,) * rank if same else each(padding, rank)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, each(dilation, rank), strict=True)]
    least = [max(1, r - 2 * p) for r, p in zip(reach, pads, strict=True)]
    size = [draw(st.integers(n, n + 3)) for n in least]
    settings = {
        "in_channels": groups * draw(st.integers(1, 2)),
        "out_channels": groups * draw(st.integers(1, 2)),
        "kernel_size": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "bias": draw(st.booleans()),
    }
    return settings, (draw(st.integers(1, 2)), *size, settings["in_channels"])


@st.composite
def transposed(draw: st.DrawFn) -> tuple[Settings, tuple[int, ...]]:
    settings, shape = draw(convolutions())
    rank = len(shape) - 2
    kernel, stride, dilation = (each(settings[name], rank) for name in ("kernel_size", "stride", "dilation"))
    padding = tuple(draw(st.integers(0, (k - 1) * d // 2)) for k, d in zip(kernel, dilation, strict=True))
    more = tuple(draw(st.integers(0, s - 1)) for s in stride)
    return settings | {"padding": padding, "output_padding": more}, shape


@st.composite
def resizings(draw: st.DrawFn) -> tuple[Settings, tuple[int, ...]]:
    shape = draw(images.filter(lambda shape: len(shape) > 2))
    rank = len(shape) - 2
    settings: Settings = draw(
        st.one_of(
            st.fixed_dictionaries({"scale_factor": per_axis(rank, small)}),
            st.fixed_dictionaries({"size": st.tuples(*[st.integers(1, 7)] * rank)}),
        )
    )
    return settings | {"mode": draw(st.sampled_from(["nearest", "bilinear"]))}, shape


def their_upsample(nn: Any, rank: int, mode: str, **settings: Any) -> Any:
    if mode == "nearest":
        return nn.Upsample(**settings)
    return nn.Upsample(**settings, mode=("linear", "bilinear", "trilinear")[rank - 1])


@st.composite
def regions(draw: st.DrawFn) -> tuple[Settings, tuple[int, ...]]:
    shape = draw(images.filter(lambda shape: len(shape) > 2))
    return {"output_size": draw(per_axis(len(shape) - 2, st.integers(1, 7)))}, shape


@st.composite
def frames(draw: st.DrawFn) -> tuple[Settings, tuple[int, ...]]:
    shape = draw(images.filter(lambda shape: len(shape) > 2))
    settings = {"mode": draw(st.sampled_from(["constant", "edge", "reflect"]))}
    widths = st.integers(0, min(shape[1:-1]) - 1)
    settings["padding"] = tuple(draw(st.tuples(widths, widths)) for _ in shape[1:-1])
    return settings | ({"value": draw(slope)} if settings["mode"] == "constant" else {}), shape


def their_pad(nn: Any, rank: int, padding: Any, mode: str, **settings: Any) -> Any:
    kind = {"constant": "Constant", "edge": "Replication", "reflect": "Reflection"}[mode]
    return getattr(nn, f"{kind}Pad{rank}d")(tuple(n for pair in reversed(padding) for n in pair), **settings)


@st.composite
def poolings(
    draw: st.DrawFn, dilated: bool = False, **more: st.SearchStrategy[Any]
) -> tuple[Settings, tuple[int, ...]]:
    rank = draw(small)
    kernel = draw(per_axis(rank, small))
    settings = {"kernel_size": kernel, "ceil_mode": draw(st.booleans())}
    settings |= {name: draw(strategy) for name, strategy in more.items()}
    if dilated:
        settings["dilation"] = draw(per_axis(rank, st.integers(1, 2)))
    if draw(st.booleans()):
        settings["stride"] = draw(per_axis(rank, small))
    settings["padding"] = tuple(draw(st.integers(0, k // 2)) for k in each(kernel, rank))
    taps = zip(each(kernel, rank), each(settings.get("dilation", 1), rank), settings["padding"], strict=True)
    # PyTorch wants no image smaller than a kernel of three axes, and dilated windows could see padding alone.
    spare = 0 if rank == 3 or dilated else 2
    least = [max(1, (k - 1) * d + 1 - spare * p) for k, d, p in taps]
    size = [draw(st.integers(n, n + 4)) for n in least]
    return settings, (draw(st.integers(1, 2)), *size, draw(st.integers(1, 2)))


def with_ties(rng: np.random.Generator, shape: tuple[int, ...], settings: Settings) -> list[np.ndarray]:
    return [np.rint(2 * normal(rng, shape))]
