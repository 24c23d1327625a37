"""Recurrent networks: a cell that steps through sequences, in several layers and one or both directions."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from minidl.backend import Array, check_float, check_shape, xp
from minidl.ops._cells import Cell, State, gru_cell, lstm_cell, relu_cell, tanh_cell
from minidl.ops._precision import check_operands, widen
from minidl.ops._sequence import valid_steps

Outputs: TypeAlias = "tuple[tuple[Array, ...], Callable[..., tuple[Any, ...]]]"

NONLINEARITIES: dict[str, Cell] = {"tanh": tanh_cell, "relu": relu_cell}


class Weights(NamedTuple):
    """The weights of one direction of one layer."""

    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None


def rnn(
    x: Array,
    h: Array | None,
    *weights: Array | None,
    nonlinearity: str = "tanh",
    bidirectional: bool = False,
    mask: Array | None = None,
) -> Outputs:
    """h_t = tanh(x_t w_ih + b_ih + h_(t-1) w_hh + b_hh); the value is (y, h) with y of every step."""
    check_nonlinearity(nonlinearity, "rnn")
    return _recur(NONLINEARITIES[nonlinearity], 1, x, [h], weights, bidirectional, mask, "rnn")


def lstm(
    x: Array,
    h: Array | None,
    c: Array | None,
    *weights: Array | None,
    bidirectional: bool = False,
    mask: Array | None = None,
) -> Outputs:
    """c_t = f c_(t-1) + i g, h_t = o tanh(c_t), the gates in the order i, f, g, o; the value is (y, h, c)."""
    return _recur(lstm_cell, 4, x, [h, c], weights, bidirectional, mask, "lstm")


def gru(
    x: Array,
    h: Array | None,
    *weights: Array | None,
    bidirectional: bool = False,
    mask: Array | None = None,
) -> Outputs:
    """h_t = (1 - z) n + z h_(t-1), the gates in the order r, z, n; the value is (y, h)."""
    return _recur(gru_cell, 3, x, [h], weights, bidirectional, mask, "gru")


def check_nonlinearity(nonlinearity: str, owner: str) -> None:
    """Refuse any nonlinearity that a plain recurrent network does not have."""
    if nonlinearity not in NONLINEARITIES:
        names = ", ".join(NONLINEARITIES)
        raise ValueError(f"{owner}: expected nonlinearity as one of {names}, got {nonlinearity!r}")


def _recur(
    cell: Cell,
    gates: int,
    x: Array,
    initial: Sequence[Array | None],
    weights: Sequence[Array | None],
    bidirectional: bool,
    mask: Array | None,
    owner: str,
) -> Outputs:
    """Run a cell through all layers and directions; the state is (N, layers directions, H)."""
    directions = 2 if bidirectional else 1
    runs = _check_weights(x, weights, gates, directions, owner)
    starts = _check_initial(x, initial, runs, owner)
    valid = valid_steps(mask, x.shape[0], x.shape[1], owner)
    y, ends, pullbacks = widen(x), [], []
    if valid is not None:  # what stands in the padding may be anything, and 0 times infinity is NaN
        y = xp.where(valid[:, :, None], y, 0)
    for first in range(0, len(runs), directions):
        outputs = []
        for k in range(first, first + directions):
            state = tuple(start[:, k] for start in starts)
            (output, end), pullback = _scan(cell, y, state, runs[k], valid, reverse=k > first)
            outputs.append(output)
            ends.append(end)
            pullbacks.append(pullback)
        y = xp.concatenate(outputs, axis=-1)
    last = [xp.stack(parts, axis=1).astype(x.dtype, copy=False) for parts in zip(*ends, strict=True)]

    def pullback_all(dy: tuple[Array | None, ...], *, input_grad: bool = True) -> tuple[Any, ...]:
        # every direction of every layer by its own pullback, last to first
        upstream = [
            xp.zeros(s.shape, s.dtype) if d is None else widen(d)
            for d, s in zip(dy, [y, *starts], strict=True)
        ]
        dx, dstarts, dweights = _unwind(pullbacks, directions, upstream[0], upstream[1:], input_grad)
        dstates = [None if s is None else d.astype(s.dtype) for s, d in zip(initial, dstarts, strict=True)]
        dparts = [None if w is None else d.astype(w.dtype) for w, d in zip(weights, dweights, strict=True)]
        return None if dx is None else dx.astype(x.dtype), *dstates, *dparts

    return (y.astype(x.dtype, copy=False), *last), pullback_all


def _unwind(
    pullbacks: Sequence[Callable[..., Any]],
    directions: int,
    dy: Array,
    dends: Sequence[Array],
    input_grad: bool,
) -> tuple[Array | None, list[Array], list[Any]]:
    """Go back through the layers: return the gradients of the input, the initial states and all weights."""
    dx: Any = dy
    dstarts: list[State] = []
    dweights: list[Any] = []
    for first in reversed(range(0, len(pullbacks), directions)):
        parts, dx = xp.split(dx, directions, axis=-1), None
        for k in reversed(range(first, first + directions)):
            ends = tuple(dend[:, k] for dend in dends)
            dpart, dstart, dw = pullbacks[k](parts[k - first], ends, input_grad or first > 0)
            dx = dpart if dx is None else dx + dpart
            dstarts.insert(0, dstart)
            dweights[:0] = dw
    return dx, [xp.stack(parts, axis=1) for parts in zip(*dstarts, strict=True)], dweights


def _scan(
    cell: Cell, x: Array, state: State, weights: Weights, valid: Array | None, *, reverse: bool
) -> tuple[tuple[Array, State], Callable[..., Any]]:
    """Step through the sequences, forward or backward; the value is (y, state after the last step)."""
    n, steps, size = x.shape
    rows = x.swapaxes(0, 1).reshape(steps * n, size)  # step after step, as the loop reads them
    a = _affine(rows, weights.w_ih, weights.b_ih).reshape(steps, n, weights.w_ih.shape[1])
    before = xp.empty((steps, *state[0].shape), dtype=x.dtype)
    y = xp.empty((n, steps, state[0].shape[-1]), dtype=x.dtype)
    pullbacks = []
    for t in range(steps)[::-1] if reverse else range(steps):
        before[t] = state[0]
        b = _affine(state[0], weights.w_hh, weights.b_hh)
        y[:, t], state, pullback = _step(cell, a[t], b, state, None if valid is None else valid[:, t, None])
        pullbacks.append((t, pullback))

    def pullback_all(dy: Array, dstate: State, input_grad: bool) -> tuple[Array | None, State, list[Any]]:
        # da and db step by step, last to first; then dx = da w_ih^T, dw_ih = x^T da, dw_hh = h^T db
        da, db = xp.empty(a.shape, a.dtype), xp.empty(a.shape, a.dtype)
        for t, pullback in reversed(pullbacks):
            da[t], db[t], direct = pullback(dy[:, t], dstate)
            dstate = (direct[0] + db[t] @ weights.w_hh.T, *direct[1:])
        flat_a, flat_b = (d.reshape(steps * n, a.shape[-1]) for d in (da, db))
        dx = (flat_a @ weights.w_ih.T).reshape(steps, n, size).swapaxes(0, 1) if input_grad else None
        products = [rows.T @ flat_a, before.reshape(steps * n, before.shape[-1]).T @ flat_b]
        sums = [flat_a.sum(axis=0), flat_b.sum(axis=0)] if weights.b_ih is not None else [None, None]
        return dx, dstate, [*products, *sums]

    return (y, state), pullback_all


def _step(cell: Cell, a: Array, b: Array, state: State, keep: Array | None) -> tuple[Array, State, Any]:
    """Take one step; where it does not count, the state stays as it is and the output is 0."""
    new, pullback = cell(a, b, *state)
    if keep is None:
        return new[0], new, lambda dy, dstate: pullback((dstate[0] + dy, *dstate[1:]))

    def masked(dy: Array, dstate: State) -> tuple[Any, ...]:
        # through the cell where the step counts, past it elsewhere
        da, db, direct = pullback(tuple(xp.where(keep, d, 0) for d in (dstate[0] + dy, *dstate[1:])))
        return da, db, tuple(d + xp.where(keep, 0, past) for d, past in zip(direct, dstate, strict=True))

    kept = tuple(xp.where(keep, s, old) for s, old in zip(new, state, strict=True))
    return xp.where(keep, new[0], 0), kept, masked


def _affine(x: Array, w: Array, b: Array | None) -> Array:
    return xp.asarray(x @ w if b is None else x @ w + b)


def _check_weights(
    x: Array, weights: Sequence[Array | None], gates: int, directions: int, owner: str
) -> list[Weights]:
    """Refuse what does not fit together; return the weights of each direction of each layer, widened."""
    check_float(x, owner)
    if x.ndim != 3 or not x.shape[1]:
        raise ValueError(f"{owner}: expected sequences (N, T, C) of at least one step, got {x.shape}")
    if not weights or len(weights) % (4 * directions):
        raise ValueError(
            f"{owner}: expected weights w_ih, w_hh, b_ih, b_hh for each of {directions} directions of each "
            f"layer, got {len(weights)}"
        )
    runs: list[Weights] = []
    size = x.shape[-1]
    for k in range(0, len(weights), 4):
        w_ih, w_hh, b_ih, b_hh = weights[k : k + 4]
        if w_ih is None or w_hh is None or (b_ih is None) != (b_hh is None):
            raise ValueError(f"{owner}: expected w_ih and w_hh, and both biases or neither")
        check_operands(x, w_ih, owner)
        check_operands(x, w_hh, owner)
        hidden = w_hh.shape[0] if w_hh.ndim else 0
        size = directions * hidden if k == 4 * directions else size
        check_shape(w_ih, (size, gates * hidden), f"{owner}: w_ih of run {k // 4}")
        check_shape(w_hh, (hidden, gates * hidden), f"{owner}: w_hh of run {k // 4}")
        biases = [b for b in (b_ih, b_hh) if b is not None]
        for b in biases:
            check_shape(b, (gates * hidden,), f"{owner}: bias of run {k // 4}")
        runs.append(Weights(widen(w_ih), widen(w_hh), *(map(widen, biases) if biases else (None, None))))
    return runs


def _check_initial(
    x: Array, initial: Sequence[Array | None], runs: Sequence[Weights], owner: str
) -> list[Array]:
    """Return the initial states (N, layers directions, H), widened; zeros where there is none."""
    shape = (x.shape[0], len(runs), runs[0].w_hh.shape[0])
    for state in initial:
        if state is not None:
            check_shape(state, shape, f"{owner}: initial state")
            check_operands(state, x, owner)
    return [xp.zeros(shape, runs[0].w_hh.dtype) if s is None else widen(s) for s in initial]
