"""The encoder layer of a transformer: against PyTorch, and the formula over its own parts."""

import pytest

from minidl import layers
from minidl.tensor import Tensor
from minidl.testing import check_gradients
from tests.either import np

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 5, 6))


def made(**options):
    layer = layers.TransformerEncoderLayer(6, 2, 8, seed=0, dtype="float64", **{"dropout": 0.0, **options})
    for parameter in layer.parameters():
        parameter.data = RNG.normal(size=parameter.shape) * 0.5
    return layer


@pytest.mark.parametrize("options", [{}, {"norm_first": True}, {"activation": "gelu"}], ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_equals_pytorch(torch, options, masked):
    layer = made(**options)
    module = torch.nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True, **options).double()
    first, last = layer.feed_forward[0], layer.feed_forward[3]
    pairs = [
        (layer.attention.in_weight, module.self_attn.in_proj_weight),
        (layer.attention.in_bias, module.self_attn.in_proj_bias),
        (layer.attention.out_weight, module.self_attn.out_proj.weight),
        (layer.attention.out_bias, module.self_attn.out_proj.bias),
        *(
            (getattr(a, n), getattr(b, n))
            for a, b in ((first, module.linear1), (last, module.linear2))
            for n in ("weight", "bias")
        ),
        *((getattr(layer.norm1, n), getattr(module.norm1, n)) for n in ("weight", "bias")),
        *((getattr(layer.norm2, n), getattr(module.norm2, n)) for n in ("weight", "bias")),
    ]
    assert len(pairs) == len(layer.parameters()) == len(list(module.parameters()))
    for ours, theirs in pairs:
        theirs.data = torch.tensor(ours.data.T.copy())
    lengths = np.array([5, 3])
    hidden = torch.tensor(np.arange(5) >= lengths[:, None]) if masked else None
    leaf = torch.tensor(X, requires_grad=True)
    expected = module(leaf, src_key_padding_mask=hidden)
    dy = RNG.normal(size=X.shape)
    expected.backward(torch.tensor(dy))
    y = layer.forward(X, lengths if masked else None)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(layer.backward(dy), leaf.grad.numpy(), rtol=1e-8, atol=1e-10)
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours.grad, theirs.grad.numpy().T, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("norm_first", [False, True])
def test_evaluation_equals_training_without_dropout(norm_first):
    layer, mask = made(norm_first=norm_first), np.array([5, 3])
    np.testing.assert_allclose(layer.predict(X, mask), layer.forward(X, mask), rtol=1e-13)
    dropping = layers.TransformerEncoderLayer(6, 2, 8, norm_first=norm_first, seed=1, dtype="float64")
    assert not np.allclose(dropping.forward(X), dropping.predict(X))
    np.testing.assert_allclose(dropping.eval().forward(X), dropping.predict(X), rtol=1e-13)


@pytest.mark.parametrize("norm_first", [False, True])
def test_gradient(norm_first):
    check_gradients(made(norm_first=norm_first), X)
    dropping = layers.TransformerEncoderLayer(6, 2, 8, 0.5, norm_first=norm_first, seed=1, dtype="float64")
    check_gradients(dropping, X)


@pytest.mark.parametrize("norm_first", [False, True])
def test_the_input_gradient_can_be_left_out(norm_first):
    layer = made(norm_first=norm_first)
    y, pullback = layer.vjp(X)
    dx, pairs = pullback(y, input_grad=False)
    assert dx is None
    for (p, g), (q, h) in zip(pairs, pullback(y)[1], strict=True):
        assert p is q
        np.testing.assert_array_equal(g, h)


def test_the_gradients_come_in_order_of_definition():
    layer = made()
    pairs = layer.vjp(X)[1](X)[1]
    assert [id(p) for p, _ in pairs] == [id(p) for p in layer.parameters()]


def test_a_causal_layer_does_not_see_what_follows():
    layer = made(causal=True, rotary=False)
    changed = X.copy()
    changed[:, 3:] += 1
    np.testing.assert_allclose(layer.forward(changed)[:, :3], layer.forward(X)[:, :3], rtol=1e-12)
    assert not np.allclose(made().forward(changed)[:, :3], made().forward(X)[:, :3])


def test_positions_matter_only_with_positions():
    order = [3, 0, 4, 1, 2]
    plain = layers.TransformerEncoderLayer(8, 2, 8, 0.0, seed=0, dtype="float64")
    turned = layers.TransformerEncoderLayer(8, 2, 8, 0.0, rotary=True, seed=0, dtype="float64")
    x = RNG.normal(size=(2, 5, 8))
    np.testing.assert_allclose(plain.forward(x[:, order]), plain.forward(x)[:, order], rtol=1e-10)
    assert not np.allclose(turned.forward(x[:, order]), turned.forward(x)[:, order])


def test_it_is_stacked_and_recorded():
    model = layers.Sequential(made(), made(norm_first=True))
    y = model.forward(X)
    assert model.backward(np.ones_like(y)).shape == X.shape
    leaf = Tensor(X, requires_grad=True)
    layer = made()
    layer(leaf, np.array([2, 5])).backward(X)
    np.testing.assert_array_equal(leaf.grad, layer.vjp(X, np.array([2, 5]))[1](X)[0])
    assert layer.sample_wise
    assert not layers.TransformerEncoderLayer(6, 2).sample_wise


@pytest.mark.parametrize(
    "spelled",
    [
        "TransformerEncoderLayer(8, num_heads=2)",
        "TransformerEncoderLayer(8, num_heads=2, hidden_features=4, dropout=0.0, activation='gelu', "
        "norm_first=True, causal=True, rotary=True)",
    ],
)
def test_it_is_spelled_as_it_is_made(spelled):
    assert repr(eval(f"layers.{spelled}")) == spelled


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((6, 4), {}, "MultiHeadAttention: expected num_heads that divide the 6 features, got 4"),
        ((6, 2, 0), {}, "TransformerEncoderLayer: expected hidden_features of at least 1, got 0"),
        ((6, 2), {"dropout": 1.0}, "Dropout: expected 0 <= p < 1, got 1.0"),
        ((6, 2), {"activation": "silu"}, "TransformerEncoderLayer: expected activation as one of relu, gelu"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        layers.TransformerEncoderLayer(*arguments, **options)
