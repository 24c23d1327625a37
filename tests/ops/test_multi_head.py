"""Multi-head attention: against PyTorch, the attention of single heads, and finite differences."""

import functools

import pytest

from minidl import functional as F
from minidl import init, layers, ops
from minidl.ops.multi_head import multi_head_attention
from minidl.tensor import Tensor
from tests.either import np
from tests.numerics import assert_pullback

RNG = np.random.default_rng(0)
N, T, S, E, HEADS = 2, 5, 4, 6, 3


def weights(bias=True):
    w = [RNG.normal(size=(E, 3 * E)), RNG.normal(size=3 * E), RNG.normal(size=(E, E)), RNG.normal(size=E)]
    return w if bias else [w[0], None, w[2], None]


def inputs():
    return RNG.normal(size=(N, T, E)), RNG.normal(size=(N, S, E)), RNG.normal(size=(N, S, E))


def by_head(q, k, v, w_in, b_in, w_out, b_out, **options):
    """The formula, one head after the other."""
    width, y = E // HEADS, np.tile(b_out, (N, T, 1))
    for head in range(HEADS):
        cut = [slice(part * E + head * width, part * E + (head + 1) * width) for part in range(3)]
        parts = [x @ w_in[:, c] + b_in[c] for x, c in zip((q, k, v), cut, strict=True)]
        y += ops.scaled_dot_product_attention(*parts, **options)[0] @ w_out[head * width : (head + 1) * width]
    return y


@pytest.mark.parametrize("causal", [False, True])
def test_equals_attention_head_by_head(causal):
    (q, k, v), ws = inputs(), weights()
    y = multi_head_attention(q, k, v, *ws, num_heads=HEADS, causal=causal)[0]
    np.testing.assert_allclose(y, by_head(q, k, v, *ws, causal=causal), rtol=1e-11, atol=1e-12)
    self_attention = multi_head_attention(q, None, None, *ws, num_heads=HEADS, causal=causal)[0]
    np.testing.assert_allclose(self_attention, by_head(q, q, q, *ws, causal=causal), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    "options", [{}, {"causal": True, "rotary": True}, {"mask": np.array([3, 1])}], ids=str
)
def test_gradient(options):
    (q, k, v), ws = inputs(), weights()
    op = functools.partial(multi_head_attention, num_heads=HEADS, **options)
    assert_pullback(op, q, k, v, *ws)

    def of_itself(x, *ws):
        y, pullback = op(x, None, None, *ws)
        return y, lambda dy: (lambda g: (g[0], *g[3:]))(pullback(dy))

    assert_pullback(of_itself, q, *ws)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("masked", [False, True])
def test_equals_pytorch(torch, bias, masked):
    module = torch.nn.MultiheadAttention(E, HEADS, bias=bias, batch_first=True).double()
    (q, k, v), lengths = inputs(), np.array([3, 2])
    leaves = [torch.tensor(a, requires_grad=True) for a in (q, k, v)]
    hidden = torch.tensor(np.arange(S) >= lengths[:, None]) if masked else None
    expected, _ = module(*leaves, key_padding_mask=hidden)
    if bias:
        torch.nn.init.normal_(module.in_proj_bias)
        torch.nn.init.normal_(module.out_proj.bias)
        expected, _ = module(*leaves, key_padding_mask=hidden)
    theirs = [module.in_proj_weight, module.in_proj_bias, module.out_proj.weight, module.out_proj.bias]
    ws = [None if p is None else np.asarray(p.detach().numpy().T.copy()) for p in theirs]
    y, pullback = multi_head_attention(q, k, v, *ws, num_heads=HEADS, mask=lengths if masked else None)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-10, atol=1e-12)
    dy = RNG.normal(size=y.shape)
    expected.backward(torch.tensor(dy))
    for found, leaf in zip(pullback(dy), [*leaves, *theirs], strict=True):
        if leaf is None:
            assert found is None
        else:
            np.testing.assert_allclose(
                found, leaf.grad.numpy().T if leaf.ndim < 3 else leaf.grad, rtol=1e-9, atol=1e-12
            )


def test_masks_in_every_form():
    (q, k, v), ws = inputs(), weights()
    attend = functools.partial(multi_head_attention, q, k, v, *ws, num_heads=HEADS)
    keys = np.arange(S) < np.array([[3], [2]])
    expected = attend(mask=np.array([3, 2]))[0]
    each = np.broadcast_to(keys[:, None], (N, T, S))
    for mask in (keys, each, each[:, None], np.broadcast_to(each[:, None], (N, HEADS, T, S))):
        np.testing.assert_array_equal(attend(mask=mask)[0], expected)
    triangle = np.tril(np.ones((T, S), bool))[None]
    np.testing.assert_allclose(attend(mask=triangle)[0], attend(causal=True)[0], rtol=1e-13)


def test_rotary_positions_turn_queries_and_keys():
    (q, _, _), ws = inputs(), weights()
    ws[1] = np.zeros(3 * E)
    y = multi_head_attention(q, None, None, *ws, num_heads=1, rotary=True)[0]
    parts = [q @ ws[0][:, i * E : (i + 1) * E] for i in range(3)]
    turned = [ops.rotary_positions(p)[0] for p in parts[:2]]
    expected = ops.scaled_dot_product_attention(*turned, parts[2])[0] @ ws[2] + ws[3]
    np.testing.assert_allclose(y, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_m17_keeps_the_dtype(dtype):
    q, k, v, *ws = (a.astype(dtype) for a in (*inputs(), *weights()))
    y, pullback = multi_head_attention(q, k, v, *ws, num_heads=HEADS, mask=np.array([3, 2]))
    assert {a.dtype for a in (y, *pullback(y))} == {np.dtype(dtype)}


@pytest.mark.parametrize("many", [True, False])
def test_the_input_gradient_can_be_left_out(many):
    (q, k, v), ws = inputs(), weights()
    y, pullback = multi_head_attention(q, *((k, v) if many else (None, None)), *ws, num_heads=HEADS)
    full, without = pullback(y), pullback(y, input_grad=False)
    assert without[:3] == (None, None, None)
    for a, b in zip(full[3:], without[3:], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_heads": 4}, "expected num_heads that divide the 6 features, got 4"),
        ({"num_heads": 0}, "expected num_heads that divide the 6 features, got 0"),
        ({"value": None}, "expected both a key and a value, or neither"),
        ({"query": np.ones((N, 0, E))}, r"expected \(N, T, 6\) of at least one step, got \(2, 0, 6\)"),
        ({"query": np.ones((N, T, 5))}, r"expected \(N, T, 6\) of at least one step, got \(2, 5, 5\)"),
        ({"w_in": np.ones((E, E))}, r"w_in: expected shape \(6, 18\), got \(6, 6\)"),
        ({"w_in": np.ones(6)}, r"expected at least 2 axes, got shape \(6,\)"),
        ({"mask": np.ones((N, S + 1), bool)}, r"expected a mask of booleans \(2, 4\) or lengths \(2,\)"),
        ({"mask": np.ones((3, T, S), bool)}, r"expected a mask \(2, 5, 4\), got \(3, 5, 4\)"),
        ({"mask": np.ones((N, T, T), bool)}, r"expected a mask that broadcasts to \(2, 3, 5, 4\)"),
        ({"mask": np.ones((N, 2, T, S), bool)}, r"expected a mask that broadcasts to \(2, 3, 5, 4\)"),
        ({"mask": np.array([0, 2])}, r"expected lengths from 1 to 4, got \[0, 2\]"),
        ({"rotary": True, "num_heads": 2}, "rotary_positions: expected .* with an even D"),
    ],
)
@pytest.mark.usefixtures("costly_checks")
def test_what_does_not_fit_together(change, message):
    names = ("query", "key", "value", "w_in", "b_in", "w_out", "b_out")
    arguments = {**dict(zip(names, (*inputs(), *weights()), strict=True)), "num_heads": HEADS, **change}
    with pytest.raises(ValueError, match=message):
        multi_head_attention(**arguments)


def made(**options):
    layer = layers.MultiHeadAttention(E, HEADS, seed=0, dtype="float64", **options)
    for parameter in layer.parameters():
        parameter.data = RNG.normal(size=parameter.shape)
    return layer


@pytest.mark.parametrize("options", [{}, {"causal": True}, {"bias": False, "rotary": True}], ids=str)
def test_the_layer_is_the_op(options):
    layer, (q, k, v) = made(**options), inputs()
    ws = [
        None if p is None else p.data
        for p in (layer.in_weight, layer.in_bias, layer.out_weight, layer.out_bias)
    ]
    rest = {name: value for name, value in options.items() if name != "bias"}
    y, pullback = multi_head_attention(q, None, None, *ws, num_heads=HEADS, **rest)
    np.testing.assert_array_equal(layer.forward(q), y)
    gradients = pullback(y)
    np.testing.assert_array_equal(layer.backward(y), gradients[0])
    found = [g for g in gradients[3:] if g is not None]
    for parameter, gradient in zip(layer.parameters(), found, strict=True):
        np.testing.assert_array_equal(parameter.grad, gradient)
    mask = np.array([2, 4])
    y, pullback = multi_head_attention(q, k, v, *ws, num_heads=HEADS, mask=mask, **rest)
    np.testing.assert_array_equal(layer.forward((q, k, v), mask), y)
    for a, b in zip(layer.backward(y), pullback(y), strict=False):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(layer.predict((q, k, v), mask), y)


def test_the_layer_on_the_tape():
    layer, (q, k, v) = made(), inputs()
    leaves = [Tensor(q, requires_grad=True), Tensor(k), Tensor(v, requires_grad=True)]
    layer(tuple(leaves)).backward(q)
    dq, _, dv = layer.vjp((q, k, v))[1](q)[0]
    np.testing.assert_array_equal(leaves[0].grad, dq)
    np.testing.assert_array_equal(leaves[2].grad, dv)
    assert leaves[1].grad is None
    assert layer.out_bias.grad is not None
    mine = [Tensor(w, requires_grad=True) for w in weights()]
    F.multi_head_attention(q, None, None, *mine, num_heads=HEADS).sum().backward()
    assert all(w.grad.any() for w in mine)
    ours = Tensor(q, requires_grad=True)
    F.scaled_dot_product_attention(ours, k, v).backward(q)
    np.testing.assert_array_equal(ours.grad, ops.scaled_dot_product_attention(q, k, v)[1](q)[0])


def test_the_layer_is_drawn_and_spelled_as_it_is_made():
    layer = layers.MultiHeadAttention(64, 4, seed=0)
    assert 0.12 < abs(layer.in_weight.data).max() <= 0.125
    assert 0.12 < abs(layer.out_weight.data).max() <= 0.125
    assert [path for path, _ in layer.named_parameters()] == [
        "in_weight",
        "in_bias",
        "out_weight",
        "out_bias",
    ]
    assert repr(layer) == "MultiHeadAttention(64, num_heads=4)"
    spelled = "MultiHeadAttention(8, num_heads=2, causal=True, bias=False, rotary=True)"
    assert repr(eval(f"layers.{spelled}")) == spelled
    half = layers.MultiHeadAttention(4, 2, bias=False, weight_init=init.constant(0.5))
    assert [p.data.max() for p in half.parameters()] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: layers.MultiHeadAttention(6, 4),
            ValueError,
            "expected num_heads that divide the 6 features, got 4",
        ),
        (lambda: layers.MultiHeadAttention(6, 2.0), TypeError, "expected num_heads as an int, got float"),
        (lambda: layers.MultiHeadAttention(0, 1), ValueError, "expected embed_dim of at least 1, got 0"),
        (
            lambda: layers.MultiHeadAttention(6, 2, rotary=True),
            ValueError,
            "expected heads of an even size .*, got 3",
        ),
        (lambda: made().forward(inputs()[:2]), ValueError, r"expected \(query, key, value\), got 2 arrays"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(make, error, message):
    with pytest.raises(error, match=f"MultiHeadAttention.*: {message}"):
        make()
