"""What a row of the tables is: a layer or a loss on both sides, and what to draw for it."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.either import np

Arrays = dict[str, np.ndarray]
Settings = dict[str, Any]
Drawn = st.SearchStrategy[tuple[Settings, tuple[int, ...]]]


def normal_input(rng: np.random.Generator, shape: tuple[int, ...], settings: Settings) -> list[np.ndarray]:
    return [normal(rng, shape)]


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Random numbers, exact in half precision, in which golden files keep them."""
    return exact(np.asarray(rng.normal(size=shape)))


def exact(a: np.ndarray) -> np.ndarray:
    """The nearest float64 numbers that are exact in half precision."""
    return a.astype(np.float16).astype(np.float64)


def called(layer: Any, settings: Settings, *inputs: Any) -> Any:
    return layer(*inputs)


class Row(NamedTuple):
    """How a layer or a loss is made on both sides, and what to draw for it."""

    ours: Callable[..., Any]  # (**settings)
    theirs: Callable[..., Any]  # (torch.nn, rank, **settings), rank being the number of spatial axes
    drawn: Drawn  # of the settings and the shape of the first input
    inputs: Callable[..., list[np.ndarray]] = normal_input  # (generator, shape, settings)
    channels: bool = False  # whether PyTorch wants the last axis of inputs and outputs as the second
    door: Callable[[Arrays], Arrays] = dict  # our state or gradients by PyTorch's names and in its layout
    call: Callable[..., Any] = called  # (their layer, settings, *inputs), where it is not just a call
    training: Sequence[bool] = (True, False)
    predictions: int = 1  # how many of the inputs have a gradient; the others are targets or indices
    tolerance: float = 1e-9


def named(name: str, renamed: dict[str, str] | None = None, **constants: Any) -> Callable[..., Any]:
    """A class of torch.nn by its name, ``{rank}`` filled in; other names for settings; more settings."""

    def make(nn: Any, rank: int, **settings: Any) -> Any:
        options = {(renamed or {}).get(key, key): value for key, value in settings.items()}
        return getattr(nn, name.format(rank=rank))(**options, **constants)

    return make


def kernels(arrays: Arrays) -> Arrays:
    """The weights of dense layers and convolutions: ``(..., in, out)`` here, ``(out, in, ...)`` there."""
    return {k: np.moveaxis(a, (-1, -2), (0, 1)) if a.ndim > 1 else a for k, a in arrays.items()}


def double(layer: Callable[..., Any]) -> Callable[..., Any]:
    """A layer with weights, in double precision."""
    return functools.partial(layer, dtype="float64")


small = st.integers(1, 3)
shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)
eps = st.sampled_from([1e-5, 1e-3, 0.1])
slope = st.floats(-1, 1).map(lambda x: round(x, 3))
positive = st.sampled_from([0.5, 1.0, 2.0])
images = st.lists(st.integers(2, 5), min_size=2, max_size=5).map(tuple)  # (N, *spatial, C)


def with_shapes(settings: dict[str, st.SearchStrategy[Any]], shape: Any = shapes) -> Drawn:
    return st.tuples(st.fixed_dictionaries({}, optional=settings), shape)
