"""Tiled execution: a chain of stages x -> (y, pullback), run a few samples at a time on all cores.

A tile goes through as many stages as possible while it is hot in the cache; where a stage needs the whole
batch the tiles meet. The plan depends on shapes alone and gradients are added up in the order of the tiles:
results are bit-identical for any number of cores, one included.
"""

import functools
import itertools
import math
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol, TypeAlias

from minidl import backend, memory, threads
from minidl.backend import Array, xp
from minidl.ops._precision import widen

Pairs: TypeAlias = "list[tuple[Any, Array]]"  # a key, such as a parameter, and its gradient
Pullback: TypeAlias = "Callable[..., tuple[Any, Pairs]]"  # pullback(dy, input_grad=True) -> (dx, pairs)

ELEMENT_WORK = 32  # work is counted in multiply-adds; so many are done while one element goes through memory
LEAST_WORK = 1 << 26  # of a batch: with less, one core is faster
LEAST_TILE_WORK = 1 << 23  # of a tile: calls that are too short do not overlap
GOOD_TILE = (
    16  # samples in a tile, unless more are needed: calls enough for each to hide the interpreter lock
)
GOOD_TILE_BYTES = 1 << 22  # of all that a tile's stages give: they are to find it in the cache
FEWEST_ROWS = 256  # in a product of a tile: with fewer, adding up the gradients of the weights costs too much
DENSE_ROWS = 512  # in a tile of dense layers (256 gain half as much, measured on two cores)
FEW_WEIGHTS = 4096  # so few that adding up their gradients costs nothing
MOST_PLANS = 256

_inside: ContextVar[bool] = ContextVar("minidl_inside_tile", default=False)


Locate: TypeAlias = "Callable[[Exception, int], None]"


@contextmanager
def whole() -> Iterator[None]:
    """Run every chain inside on the whole batch, so that each of its stages is called once."""
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)


class Stage(Protocol):
    """What tiling asks of a stage; one that treats each sample alone says so, and takes part in tiles."""

    @property
    def sample_wise(self) -> bool: ...
    def vjp(self, x: Any) -> tuple[Any, Pullback]: ...
    def predict(self, x: Any) -> Any: ...
    def parameters(self) -> Iterable[Any]: ...


class Piece(NamedTuple):
    """Stages ``start`` to ``stop`` of a run, and how many samples a tile has; 0 means the whole batch."""

    start: int
    stop: int
    samples: int


class Plans:
    """The plans of one chain by the shapes of its inputs, so that each is made once."""

    def __init__(self) -> None:
        self.pieces: dict[tuple[Any, ...], list[Piece]] = {}

    def find(self, stages: Sequence[Stage], start: int, x: Any) -> list[Piece]:
        """Return the pieces of the sample-wise stages that begin with number ``start`` of the chain."""
        if not isinstance(x, xp.ndarray) or x.ndim < 2 or len(x) < 2:
            return [Piece(0, len(stages), 0)]
        key = (start, len(stages), x.shape, x.dtype.str)
        pieces = self.pieces.get(key)
        if pieces is None:
            if len(self.pieces) >= MOST_PLANS:
                self.pieces.clear()
            pieces = self.pieces[key] = _new_plan(_costs(stages, x[:1]), len(stages), len(x))
        return pieces


def vjp(stages: Sequence[Stage], x: Any, plans: Plans, locate: Locate) -> tuple[Any, Pullback]:
    """Run a chain of stages; return its value and ``pullback(dy, input_grad=True) -> (dx, pairs)``.

    Every product uses one BLAS thread. Within a tile, and on a GPU, the stages just follow one another.

    Args:
        stages: what to run, first to last.
        x: the input of the first stage; axis 0 is the batch.
        plans: those of this chain, kept from call to call.
        locate: ``locate(error, i)`` is told of every exception and the number of the stage it came from.
    """
    if _inside.get() or not backend.CORES:
        return _chain(stages, x, locate)
    pullbacks = []

    def run(part: Sequence[Stage], x: Any, samples: int, locate: Locate) -> Any:
        y, pullback = _tiled(part, x, samples, locate) if samples else _chain(part, x, locate)
        pullbacks.append(pullback)
        return y

    with threads.single_threaded_blas():
        y = _walk(stages, x, plans, locate, run)
    chained = _composed(pullbacks, lambda error, i: None)

    def pullback(dy: Any, input_grad: bool = True) -> tuple[Any, Pairs]:
        with threads.single_threaded_blas():
            return chained(dy, input_grad)

    return y, pullback


def predict(stages: Sequence[Stage], x: Any, plans: Plans, locate: Locate) -> Any:
    """Run the ``predict`` of a chain of stages in the same tiles as ``vjp``, keeping nothing."""
    if _inside.get() or not backend.CORES:
        return _predicted(stages, x, locate)

    def run(part: Sequence[Stage], x: Any, samples: int, locate: Locate) -> Any:
        return _predicted_tiles(part, x, samples, locate) if samples else _predicted(part, x, locate)

    with threads.single_threaded_blas():
        return _walk(stages, x, plans, locate, run)


def _walk(stages: Sequence[Stage], x: Any, plans: Plans, locate: Locate, run: Callable[..., Any]) -> Any:
    """Call ``run(part, x, samples, locate)`` piece by piece; sample-wise stages in a row share a plan."""
    memory.keep_freed()
    start = 0
    for sample_wise, group in itertools.groupby(stages, key=lambda stage: bool(stage.sample_wise)):
        part = list(group)
        for piece in plans.find(part, start, x) if sample_wise else [Piece(0, len(part), 0)]:
            first = start + piece.start
            here = functools.partial(_shifted, locate, first) if first else locate
            x = run(part[piece.start : piece.stop], x, piece.samples, here)
        start += len(part)
    return x


def _shifted(locate: Locate, first: int, error: Exception, i: int) -> None:
    locate(error, first + i)


def _chain(stages: Sequence[Stage], x: Any, locate: Locate) -> tuple[Any, Pullback]:
    pullbacks = []
    for i, stage in enumerate(stages):
        try:
            x, pullback = stage.vjp(x)
        except Exception as error:
            locate(error, i)
            raise
        pullbacks.append(pullback)
    return x, _composed(pullbacks, locate)


def _composed(pullbacks: Sequence[Pullback], locate: Locate) -> Pullback:
    """Return the pullback of a chain: last to first, the pairs in the order of the stages."""

    def pullback(dy: Any, input_grad: bool = True) -> tuple[Any, Pairs]:
        found = []
        for i in reversed(range(len(pullbacks))):
            try:
                dy, pairs = pullbacks[i](dy, input_grad=input_grad or i > 0)
            except Exception as error:
                locate(error, i)
                raise
            found.append(pairs)
        return (dy if input_grad else None), list(itertools.chain.from_iterable(reversed(found)))

    return pullback


def _predicted(stages: Sequence[Stage], x: Any, locate: Locate) -> Any:
    for i, stage in enumerate(stages):
        try:
            x = stage.predict(x)
        except Exception as error:
            locate(error, i)
            raise
    return x


def _tiled(stages: Sequence[Stage], x: Array, samples: int, locate: Locate) -> tuple[Any, Pullback]:
    """Run a chain tile by tile, each tile through all stages; the backward pass has the same tiles."""
    n = len(x)
    tiles, y = _tiles(n, samples), _Rows(n)

    def forward(i: int) -> Pullback:
        part, pullback = _chain(stages, x[tiles[i]], locate)
        y.put(tiles[i], part)
        return pullback

    pullbacks = _share_out(forward, len(tiles))

    def pullback(dy: Array, input_grad: bool = True) -> tuple[Any, Pairs]:
        dx, total = _Rows(n), _OrderedSum()

        def backward(i: int) -> None:
            part, pairs = pullbacks[i](dy[tiles[i]], input_grad=input_grad)
            dx.put(tiles[i], part)
            total.put(i, pairs)

        _share_out(backward, len(tiles))
        return dx.whole, total.pairs()

    return y.whole, pullback


def _predicted_tiles(stages: Sequence[Stage], x: Array, samples: int, locate: Locate) -> Any:
    tiles, y = _tiles(len(x), samples), _Rows(len(x))
    _share_out(lambda i: y.put(tiles[i], _predicted(stages, x[tiles[i]], locate)), len(tiles))
    return y.whole


def _share_out(task: Callable[[int], Any], count: int) -> list[Any]:
    """Run the tasks on all cores, telling the containers within that they are inside a tile."""
    with whole():
        return threads.run(task, count)


def _tiles(n: int, samples: int) -> list[slice]:
    """Cut a batch into an even number of even tiles of at most so many samples."""
    count = math.ceil(n / samples)
    count = min(n, count + count % 2) if count > 1 else 1
    bounds = [n * i // count for i in range(count + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(bounds)]


class _Rows:
    """An array put together from the rows of its tiles, made when the first of them comes in."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.whole: Any = None
        self.lock = threading.Lock()

    def put(self, rows: slice, part: Array | None) -> None:
        if part is None:  # a gradient that nobody wants
            return
        with self.lock:
            if self.whole is None:
                self.whole = xp.empty((self.n, *part.shape[1:]), part.dtype)
        self.whole[rows] = part


class _OrderedSum:
    """Gradients added up in the order of the tiles, each as soon as its turn comes, so that few are kept."""

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.sums: list[Array] = []
        self.dtypes: list[Any] = []
        self.waiting: dict[int, Pairs] = {}
        self.turn = 0
        self.lock = threading.Lock()

    def put(self, tile: int, pairs: Pairs) -> None:
        with self.lock:
            self.waiting[tile] = pairs
            while self.turn in self.waiting:
                self._add(self.waiting.pop(self.turn))
                self.turn += 1

    def _add(self, pairs: Pairs) -> None:
        gradients = [gradient for _, gradient in pairs]
        if self.turn == 0:
            self.keys, self.sums = [key for key, _ in pairs], gradients
            self.dtypes = [gradient.dtype for gradient in gradients]
        elif self.turn == 1:  # into new arrays: those handed in belong to the stages
            both = zip(self.sums, gradients, strict=True)
            self.sums = [xp.asarray(widen(a) + widen(b)) for a, b in both]
        else:
            for total, gradient in zip(self.sums, gradients, strict=True):
                xp.add(total, gradient, out=total)

    def pairs(self) -> Pairs:
        """Return the totals, in the dtypes that the gradients had."""
        totals = zip(self.keys, self.sums, self.dtypes, strict=True)
        return [(key, total.astype(dtype, copy=False)) for key, total, dtype in totals]


class _Cost(NamedTuple):
    """What one sample costs a stage, and how many a tile must have for the sake of its weights; 0: any."""

    work: int
    bytes: int
    samples: int


def _costs(stages: Sequence[Stage], x: Array) -> list[_Cost]:
    """Return the costs of all stages by showing them one sample; nothing if they cannot deal with it."""
    costs = []
    try:
        for stage in stages:
            y = stage.predict(x)
            weights = sum(parameter.data.size for parameter in stage.parameters())
            rows = math.prod(y.shape[1:-1]) or 1
            samples = math.ceil(FEWEST_ROWS / rows) if weights > FEW_WEIGHTS else 0
            if weights and x.ndim == y.ndim == 2:
                samples = DENSE_ROWS
            if weights > DENSE_ROWS * (x.size + y.size) or (weights and not threads.can_limit_blas()):
                samples = sys.maxsize  # its products take all cores by themselves
            costs.append(_Cost(weights * rows + ELEMENT_WORK * (x.size + y.size), y.nbytes, samples))
            if len(y) != 1:
                return []
            x = y
    except Exception:
        return []  # the whole batch will raise it again, with shapes that the caller has seen
    return costs


def _new_plan(costs: Sequence[_Cost], stages: int, n: int) -> list[Piece]:
    """Cut where a stage with many weights needs other tiles, and leave what is little work whole."""
    if not costs:
        return [Piece(0, stages, 0)]
    cuts, tile = [0], GOOD_TILE
    for i, cost in enumerate(costs):
        # A stage without many weights joins the one before it, unless that must have the whole batch.
        need = max(cost.samples, GOOD_TILE) if cost.samples or tile == sys.maxsize else tile
        if need != tile:
            tile = need
            cuts += [i] if i else []
    pieces: list[Piece] = []
    for start, stop in itertools.pairwise([*cuts, stages]):
        work = 1 + sum(cost.work for cost in costs[start:stop])
        size = 1 + sum(cost.bytes for cost in costs[start:stop])
        samples = max(
            min(GOOD_TILE, math.ceil(GOOD_TILE_BYTES / size), math.ceil(n / 2)),
            math.ceil(LEAST_TILE_WORK / work),
            *(cost.samples for cost in costs[start:stop]),
        )
        tiled = samples < n and n * work >= LEAST_WORK
        if not tiled and pieces and not pieces[-1].samples:
            start = pieces.pop().start
        pieces.append(Piece(start, stop, samples if tiled else 0))
    return pieces
