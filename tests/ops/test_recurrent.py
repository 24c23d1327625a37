"""Recurrent networks: against naive loops over single numbers, PyTorch, and their own finite differences."""

import functools
import math

import pytest

from minidl import ops
from tests.either import np
from tests.numerics import assert_pullback

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
STATES = {"rnn": 1, "gru": 1, "lstm": 2}
EACH = pytest.mark.parametrize("name", GATES)


def sigmoid(v):
    return 1 / (1 + math.exp(-v))


def step(name, a, b, h, c, j, hidden):
    """One number of the next state; a and b are the products for all gates."""
    at = [a[k * hidden + j] + b[k * hidden + j] for k in range(GATES[name])]
    if name == "rnn":
        return math.tanh(at[0]), 0.0
    if name == "lstm":
        cell = sigmoid(at[1]) * c[j] + sigmoid(at[0]) * math.tanh(at[2])
        return sigmoid(at[3]) * math.tanh(cell), cell
    r, z = sigmoid(at[0]), sigmoid(at[1])
    n = math.tanh(a[2 * hidden + j] + r * b[2 * hidden + j])
    return (1 - z) * n + z * h[j], 0.0


def naive(name, x, h, c, w_ih, w_hh, b_ih, b_hh, length=None, reverse=False):
    """One sequence through one direction of one layer: its outputs and its last state."""
    hidden, y = len(h), np.zeros((len(x), len(h)))
    count = len(x) if length is None else length
    for t in reversed(range(count)) if reverse else range(count):
        a, b = x[t] @ w_ih + b_ih, h @ w_hh + b_hh
        new = [step(name, a, b, h, c, j, hidden) for j in range(hidden)]
        h, c = np.array([v for v, _ in new]), np.array([v for _, v in new])
        y[t] = h
    return y, h, c


def weights(name, size, hidden, layers=1, directions=1, seed=0):
    rng, width = np.random.default_rng(seed), GATES[name] * hidden
    made = []
    for layer in range(layers):
        for _ in range(directions):
            inputs = size if layer == 0 else hidden * directions
            made += [rng.normal(size=s) * 0.7 for s in ((inputs, width), (hidden, width), (width,), (width,))]
    return made


def data(name, n, steps, size, hidden, runs=1, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, steps, size)), [
        rng.normal(size=(n, runs, hidden)) for _ in range(STATES[name])
    ]


@EACH
@pytest.mark.parametrize("lengths", [None, [4, 1, 3]])
def test_equals_naive_loops_in_layers_and_directions(name, lengths):
    n, steps, size, hidden = 3, 4, 2, 3
    x, states = data(name, n, steps, size, hidden, runs=4)
    ws = weights(name, size, hidden, layers=2, directions=2)
    mask = None if lengths is None else np.array(lengths)
    (y, *last), _ = getattr(ops, name)(x, *states, *ws, bidirectional=True, mask=mask)
    for i in range(n):
        values = x[i]
        for layer in range(2):
            outputs = []
            for direction in range(2):
                k = 2 * layer + direction
                h = states[0][i, k]
                c = states[1][i, k] if len(states) == 2 else np.zeros(hidden)
                length = None if lengths is None else lengths[i]
                out, h, c = naive(name, values, h, c, *ws[4 * k : 4 * k + 4], length, direction == 1)
                outputs.append(out)
                for found, expected in zip(last, (h, c), strict=False):
                    np.testing.assert_allclose(found[i, k], expected, rtol=1e-12, atol=1e-14)
            values = np.concatenate(outputs, axis=-1)
        np.testing.assert_allclose(y[i], values, rtol=1e-12, atol=1e-14)


@EACH
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("mask", [None, np.array([3, 1]), np.array([[0, 1, 1], [0, 0, 0]], bool)], ids=str)
def test_gradient_of_every_output_by_every_argument(name, bidirectional, mask):
    directions = 1 + bidirectional
    x, states = data(name, 2, 3, 2, 3, runs=2 * directions)
    ws = weights(name, 2, 3, layers=2, directions=directions)
    for slot in range(1 + len(states)):

        def op(*arrays, slot=slot):
            y, pullback = getattr(ops, name)(*arrays, bidirectional=bidirectional, mask=mask)
            upstream = [None] * len(y)

            def of_slot(dy):
                upstream[slot] = dy
                return pullback(tuple(upstream))

            return y[slot], of_slot

        assert_pullback(op, x, *states, *ws)


def test_gradient_of_the_relu_network():
    x, states = data("rnn", 2, 4, 2, 3)

    def op(*arrays):
        y, pullback = ops.rnn(*arrays, nonlinearity="relu")
        return y[0], lambda dy: pullback((dy, None))

    assert_pullback(op, x, *states, *weights("rnn", 2, 3))


@EACH
@pytest.mark.parametrize(("layers", "bidirectional"), [(1, False), (2, True), (3, False)])
def test_equals_pytorch_over_50_steps(torch, name, layers, bidirectional):
    module = getattr(torch.nn, name.upper())(
        3, 5, layers, batch_first=True, bidirectional=bidirectional
    ).double()
    theirs = list(module.parameters())
    ws = [np.asarray(p.detach().numpy().T.copy()) for p in theirs]
    x, states = data(name, 4, 50, 3, 5, runs=layers * (1 + bidirectional))
    leaves = [torch.tensor(x, requires_grad=True)]
    leaves += [torch.tensor(s.swapaxes(0, 1).copy(), requires_grad=True) for s in states]
    out, last = module(leaves[0], leaves[1] if len(states) == 1 else tuple(leaves[1:]))
    expected = [out, *(last if len(states) == 2 else (last,))]
    y, pullback = getattr(ops, name)(x, *states, *ws, bidirectional=bidirectional)
    rng = np.random.default_rng(9)
    dy = [rng.normal(size=part.shape) for part in y]

    def ours(a):  # PyTorch's states are (layers directions, N, H)
        return torch.tensor(a.swapaxes(0, 1).copy())

    torch.autograd.backward(expected, [torch.tensor(dy[0]), *map(ours, dy[1:])])
    close = functools.partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-12)
    close(y[0], expected[0].detach().numpy())
    for found, their in zip(y[1:], expected[1:], strict=True):
        close(found, their.detach().numpy().swapaxes(0, 1))
    dx, *rest = pullback(tuple(dy))
    close(dx, leaves[0].grad.numpy())
    for found, leaf in zip(rest, leaves[1:], strict=False):
        close(found, leaf.grad.numpy().swapaxes(0, 1))
    for found, parameter in zip(rest[len(states) :], theirs, strict=True):
        close(found, parameter.grad.numpy().T)


@EACH
def test_padded_batches_equal_pytorchs_packed_ones(torch, name):
    module = getattr(torch.nn, name.upper())(3, 4, 2, batch_first=True, bidirectional=True).double()
    ws = [np.asarray(p.detach().numpy().T.copy()) for p in module.parameters()]
    x, _ = data(name, 3, 6, 3, 4)
    lengths = np.array([2, 6, 4])
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        torch.tensor(x), torch.tensor(lengths), batch_first=True, enforce_sorted=False
    )
    out, last = module(packed)
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(out, batch_first=True)
    nothing = [None] * STATES[name]
    (y, h, *_), _ = getattr(ops, name)(x, *nothing, *ws, bidirectional=True, mask=lengths)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-12, atol=1e-14)
    their_h = last[0] if name == "lstm" else last
    np.testing.assert_allclose(h, their_h.detach().numpy().swapaxes(0, 1), rtol=1e-12, atol=1e-14)


@EACH
def test_lengths_and_their_mask_are_the_same(name):
    x, states = data(name, 3, 5, 2, 3)
    ws = weights(name, 2, 3)
    lengths = np.array([5, 1, 3])
    by_length = getattr(ops, name)(x, *states, *ws, mask=lengths)
    by_mask = getattr(ops, name)(x, *states, *ws, mask=np.arange(5) < lengths[:, None])
    for a, b in zip(by_length[0], by_mask[0], strict=True):
        np.testing.assert_array_equal(a, b)
    changed = x.copy()
    changed[1, 1:] = 99.0
    for a, b in zip(getattr(ops, name)(changed, *states, *ws, mask=lengths)[0], by_length[0], strict=True):
        np.testing.assert_array_equal(a, b)
    dx = by_length[1]((np.ones_like(by_length[0][0]), *(None,) * len(states)))[0]
    assert not dx[1, 1:].any()


@EACH
def test_a_state_carries_a_sequence_on(name):
    x, states = data(name, 2, 6, 3, 4)
    ws = weights(name, 3, 4)
    op = getattr(ops, name)
    whole = op(x, *states, *ws)[0]
    first = op(x[:, :2], *states, *ws)[0]
    second = op(x[:, 2:], *first[1:], *ws)[0]
    np.testing.assert_allclose(np.concatenate([first[0], second[0]], axis=1), whole[0], rtol=1e-13)
    np.testing.assert_allclose(second[1], whole[1], rtol=1e-13)


@EACH
def test_no_initial_state_is_one_of_zeros_and_has_no_gradient(name):
    x, states = data(name, 2, 3, 2, 3)
    ws = weights(name, 2, 3)
    nothing = [None] * len(states)
    y, pullback = getattr(ops, name)(x, *nothing, *ws)
    np.testing.assert_array_equal(y[0], getattr(ops, name)(x, *(s * 0 for s in states), *ws)[0][0])
    gradients = pullback((y[0], *nothing))
    assert gradients[1 : 1 + len(states)] == (None,) * len(states)
    assert len(gradients) == 1 + len(states) + 4


@EACH
def test_without_biases(name):
    x, states = data(name, 2, 3, 2, 3)
    ws = weights(name, 2, 3)
    y, pullback = getattr(ops, name)(x, *states, ws[0], ws[1], None, None)
    zero = np.zeros_like(ws[2])
    np.testing.assert_array_equal(y[0], getattr(ops, name)(x, *states, ws[0], ws[1], zero, zero)[0][0])
    assert pullback((y[0], *(None,) * len(states)))[-2:] == (None, None)


@EACH
def test_m25_a_single_hidden_number_and_a_single_step(name):
    x, states = data(name, 2, 1, 3, 1)
    y, pullback = getattr(ops, name)(x, *states, *weights(name, 3, 1))
    assert y[0].shape == (2, 1, 1)
    assert [g.shape for g in pullback(y)][: 1 + len(states)] == [(2, 1, 3), *[(2, 1, 1)] * len(states)]


@EACH
@pytest.mark.parametrize(("size", "hidden"), [(2, 7), (7, 2)])
def test_m29_the_input_may_have_another_width_than_the_state(name, size, hidden):
    x, states = data(name, 2, 3, size, hidden)
    assert getattr(ops, name)(x, *states, *weights(name, size, hidden))[0][0].shape == (2, 3, hidden)


@EACH
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_m17_keeps_the_dtype(name, dtype):
    x, states = data(name, 2, 3, 2, 3, runs=2)
    arrays = [a.astype(dtype) for a in (x, *states, *weights(name, 2, 3, directions=2))]
    y, pullback = getattr(ops, name)(*arrays, bidirectional=True, mask=np.array([3, 2]))
    assert {a.dtype for a in (*y, *pullback(y))} == {np.dtype(dtype)}


@EACH
def test_the_input_gradient_can_be_left_out(name):
    x, states = data(name, 2, 3, 2, 3, runs=2)
    y, pullback = getattr(ops, name)(x, *states, *weights(name, 2, 3, layers=2))
    full, without = pullback(y), pullback(y, input_grad=False)
    assert without[0] is None
    for a, b in zip(full[1:], without[1:], strict=True):
        np.testing.assert_array_equal(a, b)


@EACH
def test_an_empty_batch(name):
    x, states = data(name, 0, 3, 2, 3)
    y, pullback = getattr(ops, name)(x, *states, *weights(name, 2, 3))
    assert y[0].shape == (0, 3, 3)
    assert pullback(y)[0].shape == (0, 3, 2)


@EACH
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, h, ws: (x[:, :0], h, ws, None), r"expected sequences \(N, T, C\) of at least one step"),
        (lambda x, h, ws: (x[0], h, ws, None), r"expected sequences \(N, T, C\)"),
        (lambda x, h, ws: (x, h, ws[:3], None), "expected weights w_ih, w_hh, b_ih, b_hh for each"),
        (lambda x, h, ws: (x, h, [], None), "expected weights w_ih, w_hh, b_ih, b_hh for each"),
        (lambda x, h, ws: (x[:, :, :1], h, ws, None), r"w_ih of run 0: expected shape \(1, "),
        (lambda x, h, ws: (x, h, [ws[0], ws[1][:, 1:], *ws[2:]], None), "w_hh of run 0: expected shape"),
        (lambda x, h, ws: (x, h, [*ws[:3], ws[3][1:]], None), "bias of run 0: expected shape"),
        (lambda x, h, ws: (x, h, [*ws[:3], None], None), "both biases or neither"),
        (
            lambda x, h, ws: (x, h[:1], ws, None),
            r"initial state: expected shape \(2, 1, 3\), got \(1, 1, 3\)",
        ),
        (
            lambda x, h, ws: (x, h, ws, np.ones((2, 4), bool)),
            r"expected a mask of booleans \(2, 3\) or lengths",
        ),
        (lambda x, h, ws: (x, h, ws, np.ones((2, 3))), r"got float64 \(2, 3\)"),
        (lambda x, h, ws: (x, h, ws, np.array([0, 3])), r"expected lengths from 1 to 3, got \[0, 3\]"),
        (lambda x, h, ws: (x, h, ws, np.array([4, 3])), r"expected lengths from 1 to 3, got \[4, 3\]"),
    ],
)
@pytest.mark.usefixtures("costly_checks")
def test_what_does_not_fit_together(name, change, message):
    x, states = data(name, 2, 3, 2, 3)
    x, h, ws, mask = change(x, states[0], weights(name, 2, 3))
    with pytest.raises(ValueError, match=f"{name}: .*{message}|{name}: {message}"):
        getattr(ops, name)(x, h, *states[1:], *ws, mask=mask)


def test_other_errors():
    x, states = data("rnn", 2, 3, 2, 3)
    ws = weights("rnn", 2, 3)
    with pytest.raises(ValueError, match="rnn: expected nonlinearity as one of tanh, relu, got 'elu'"):
        ops.rnn(x, *states, *ws, nonlinearity="elu")
    with pytest.raises(TypeError, match="rnn: expected float64 like the weights, got float32"):
        ops.rnn(x.astype("float32"), None, *ws)
    with pytest.raises(TypeError, match="rnn: expected the mask as an array, got list"):
        ops.rnn(x, None, *ws, mask=[1, 2])
