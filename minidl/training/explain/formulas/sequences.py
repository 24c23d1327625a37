"""Layers for sequences."""

from minidl import layers
from minidl.layers.base import Layer
from minidl.training.explain.by_hand import moves, products, sequences, together
from minidl.training.explain.entry import Entry
from minidl.training.explain.seen import Call


def _of_steps(call: Call) -> int:
    x = call.x[0] if isinstance(call.x, tuple) else call.x
    weights = sum(p.size for p in call.layer.parameters() if p.ndim == 2)
    return int(x.shape[0] * x.shape[1] * weights)


def _of_attention(call: Call) -> int:
    query, key, value = call.x if isinstance(call.x, tuple) else (call.x,) * 3
    (n, t, e), s = query.shape, key.shape[1]
    projections = e * e * (2 * t + key.shape[1] + value.shape[1])
    return int(n * (projections + 2 * t * s * e))


_RUNNING = (
    "the letters share one weight matrix: x W_{ih} + b_{ih} and h W_{hh} + b_{hh} are cut into the gates; "
    "h before the first step is 0. The gradient goes back through time, last step first"
)
_BACK_IN_TIME = "dx_t = da_t W_{ih}^{T}, dh_{t-1} = da_t W_{hh}^{T} + ..., last step first"

SEQUENCES: dict[type[Layer], Entry] = {
    layers.Embedding: Entry(
        "y = W_{x}, the row of W with the number x",
        "dW_{v} = sum_{} dy over all places where x = v",
        "x holds whole numbers, which have no gradient",
        products.embedding_output,
        products.embedding_gradient,
        of="weight",
    ),
    layers.LearnedPositions: Entry(
        "y_t = x_t + w_t", "dx = dy, dw_t = sum_n dy_{n, t}", "", moves.learned_output, moves.passed_gradient
    ),
    layers.SinusoidalPositions: Entry(
        "y_{t, 2i} = x_{t, 2i} + sin(t / base^{2i / C}), y_{t, 2i+1} = x_{t, 2i+1} + cos(t / base^{2i / C})",
        "dx = dy",
        "",
        moves.sinusoidal_output,
        moves.passed_gradient,
    ),
    layers.RotaryPositions: Entry(
        "(y_i, y_{i + D/2}) = (x_i, x_{i + D/2}) turned by the angle t / base^{2i / D}",
        "the pairs of dy turned back by the same angle",
        "",
        moves.turned_output,
        moves.turned_gradient,
    ),
    layers.RNN: Entry(
        "h_t = tanh(x_t W_{ih} + b_{ih} + h_{t-1} W_{hh} + b_{hh}), y_t = h_t",
        f"da_t = dh_t * (1 - h_t^2), {_BACK_IN_TIME}",
        'with nonlinearity="relu" max(., 0) in place of tanh; h before the first step is 0',
        *sequences.recurrent(sequences.rnn_cell),
        _of_steps,
    ),
    layers.LSTM: Entry(
        "a_t = x_t W_{ih} + b_{ih} + h_{t-1} W_{hh} + b_{hh}; i, f, o = sigmoid and g = tanh of its parts\n"
        "c_t = f * c_{t-1} + i * g, h_t = o * tanh(c_t), y_t = h_t",
        f"dc_t = dh_t * o * (1 - tanh(c_t)^2) + f_{{t+1}} * dc_{{t+1}}, {_BACK_IN_TIME}",
        _RUNNING,
        *sequences.recurrent(sequences.lstm_cell),
        _of_steps,
    ),
    layers.GRU: Entry(
        "r, z = sigmoid of their parts of x_t W_{ih} + b_{ih} + h_{t-1} W_{hh} + b_{hh}\n"
        "n = tanh(x_t W_{in} + b_{in} + r * (h_{t-1} W_{hn} + b_{hn}))\n"
        "h_t = (1 - z) * n + z * h_{t-1}, y_t = h_t",
        f"dn = dh_t * (1 - z) * (1 - n^2), dz = dh_t * (h_{{t-1}} - n) * z * (1 - z), {_BACK_IN_TIME}",
        _RUNNING,
        *sequences.recurrent(sequences.gru_cell),
        _of_steps,
    ),
    layers.MultiHeadAttention: Entry(
        "q, k, v = x W_{in} + b_{in} cut in three; per head P = softmax(q k^T / sqrt(D)), a = P v\n"
        "y = (all heads' a side by side) W_{out} + b_{out}",
        "da = dy W_{out}^{T}, dv = P^T da, dP = da v^T, dS = P * (dP - sum_j dP_j P_j) / sqrt(D)\n"
        "dq = dS k, dk = dS^T q, dx = (dq, dk, dv) W_{in}^{T}",
        "D features in each head; causal: a step sees itself and those before it; rotary: q and k are turned "
        "by their positions",
        sequences.attention_output,
        sequences.attention_gradient,
        _of_attention,
    ),
    layers.TransformerEncoderLayer: Entry(
        "h = norm1(x + drop(attention(x))), y = norm2(h + drop(feed_forward(h)))\n"
        "norm_first: h = x + drop(attention(norm1(x))), y = h + drop(feed_forward(norm2(h)))",
        "each sum sends its gradient both ways, past the branch and through it",
        "",
        together.encoder_output,
        together.encoder_gradient,
    ),
}
