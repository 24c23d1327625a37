"""Layers for features of any kind: dense, normalisation, shares, and those that only move numbers."""

from minidl import layers
from minidl.layers.base import Layer
from minidl.summary import MULTIPLY_ADDS
from minidl.training.explain.by_hand import moves, norms, pointwise, products, softmax
from minidl.training.explain.entry import Entry
from minidl.training.explain.seen import Call


def as_in_summary(call: Call) -> int:
    """Return the multiply-adds that the summary counts, for all samples."""
    kind = next(kind for kind in type(call.layer).__mro__ if kind in MULTIPLY_ADDS)
    return len(call.y) * MULTIPLY_ADDS[kind](call.layer, call.y)


def _norm(forward: str, names: str, shared: norms.Shared) -> Entry:
    pullback = (
        "dz = dy * w, dx = (dz - mean(dz) - z * mean(dz * z)) / sqrt(var + epsilon)\n"
        "dw = sum_{} dy * z, db = sum_{} dy"
    )
    return Entry(forward, pullback, names, norms.output(shared), norms.gradient(shared))


_MOVED = (moves.moved_output, moves.moved_gradient)

FEATURES: dict[type[Layer], Entry] = {
    layers.Linear: Entry(
        "y = x W + b",
        "dx = dy W^T, dW = x^T dy, db = sum_n dy_n",
        "W is (in, out); every row of x by itself",
        products.linear_output,
        products.linear_gradient,
        as_in_summary,
    ),
    layers.BatchNorm: Entry(
        "z = (x - mean) / sqrt(var + epsilon), y = w * z + b",
        "training: dz = dy * w, dx = (dz - mean(dz) - z * mean(dz * z)) / sqrt(var + epsilon)\n"
        "evaluation: dx = dy * w / sqrt(var + epsilon)\n"
        "dw = sum_{} dy * z, db = sum_{} dy",
        "mean and variance of a channel over the batch and all positions; in evaluation the running ones",
        norms.batch_output,
        norms.batch_gradient,
    ),
    layers.LayerNorm: _norm(
        "z = (x - mean) / sqrt(var + epsilon), y = w * z + b",
        "mean and variance of each sample over the last axes",
        norms.over_features,
    ),
    layers.GroupNorm: _norm(
        "z = (x - mean) / sqrt(var + epsilon), y = w * z + b",
        "mean and variance of each sample over all positions and the channels of a group",
        norms.over_group,
    ),
    layers.InstanceNorm: _norm(
        "z = (x - mean) / sqrt(var + epsilon), y = w * z + b",
        "mean and variance of each sample and channel over all positions",
        norms.over_positions,
    ),
    layers.RMSNorm: Entry(
        "z = x / sqrt(mean(x^2) + epsilon), y = w * z",
        "dz = dy * w, dx = (dz - z * mean(dz * z)) / sqrt(mean(x^2) + epsilon), dw = sum_{} dy * z",
        "means of each sample over the last axes",
        norms.output(norms.over_features, centred=False),
        norms.gradient(norms.over_features, centred=False),
    ),
    layers.Softmax: Entry(
        "y_i = e^{x_i} / sum_j e^{x_j}",
        "dx_i = y_i (dy_i - sum_j dy_j y_j)",
        "i and j run along the axis",
        softmax.output(1),
        softmax.gradient(1),
    ),
    layers.Softmin: Entry(
        "y_i = e^{-x_i} / sum_j e^{-x_j}",
        "dx_i = -y_i (dy_i - sum_j dy_j y_j)",
        "i and j run along the axis",
        softmax.output(-1),
        softmax.gradient(-1),
    ),
    layers.LogSoftmax: Entry(
        "y_i = x_i - log sum_j e^{x_j}",
        "dx_i = dy_i - e^{y_i} sum_j dy_j",
        "i and j run along the axis",
        softmax.log_output,
        softmax.log_gradient,
    ),
    layers.GLU: Entry(
        "y = a * sigmoid(b)",
        "da = dy * s, db = dy * a * s * (1 - s) with s = sigmoid(b)",
        "a and b are the two halves of x along the axis",
        pointwise.glu_output,
        pointwise.glu_gradient,
    ),
    layers.PReLU: Entry(
        "y = (x if x > 0, else w x)",
        "dx = (dy if x > 0, else w dy), dw = sum_{} dy * min(x, 0)",
        "",
        pointwise.prelu_output,
        pointwise.prelu_gradient,
    ),
    layers.Dropout: Entry(
        "y = m * x, with m = 0 for a share p of the elements and 1 / (1 - p) for the others",
        "dx = m * dy",
        "in evaluation m = 1; the random numbers depend on the layer's seed and the count of its calls",
        moves.dropout_output,
        moves.dropout_gradient,
    ),
    layers.Identity: Entry("y = x", "dx = dy", "", *_MOVED),
    layers.Flatten: Entry("y = x, each sample as one row", "dx = dy in the shape of x", "", *_MOVED),
    layers.Reshape: Entry("y = x in another shape", "dx = dy in the shape of x", "", *_MOVED),
}
