"""The mistakes that are planted: those that other systems have made, and the classic ones."""

from tests.mutants.planting import Mutant

UPDATES = ("training test_an_update_is_that_of_naive_loops",)
EPOCHS = ("training test_an_epoch_has_every_sample_once",)
ORDERS = ("training test_an_order_differs_from_epoch_to_epoch_and_follows_from_the_seed",)
SPREADS = ("training test_initial_weights_have_the_spread_of_their_formula",)
STATISTICS = ("training test_running_statistics_follow_those_of_the_batches",)
MASKS = ("training test_dropout_keeps_the_expectation_and_draws_anew",)
TENSORS = ("training test_a_tensor_used_twice_has_the_sum_of_both_gradients",)

OF_SOFTMAX = [
    Mutant(
        "softmax shifted by the minimum",
        "ops.softmax:_shift",
        "maxima(x, axis)",
        "x.min(axis=axis, keepdims=True)",
        ("op softmax", "op log_softmax"),
    ),
    Mutant(
        "softmax: products of exponentials in the backward",
        "ops.softmax:softmax",
        "part *= share",
        "e = xp.exp(widen(x[block]))\n            s, d = e.sum(axis=axis, keepdims=True), dy[block]\n"
        "            dx[block] = (d * e * s - e * (d * e).sum(axis=axis, keepdims=True)) / (s * s)",
        ("op softmax",),
    ),
    Mutant(
        "softmax without a shift",
        "ops.softmax:_shift",
        "widen(maxima(x, axis))",
        "0",
        ("op softmax",),
    ),
    Mutant(
        "softmax over the whole batch",
        "ops.softmax:softmax",
        "part /= sums(part, axis=axis)",
        "part /= part.sum()",
        ("op softmax",),
    ),
    Mutant(
        "softmax: only the diagonal of the Jacobian",
        "ops.softmax:softmax",
        "sums(dpart, share, axis)",
        "dpart * share",
        ("op softmax",),
    ),
    Mutant(
        "softmax: the identity as its backward",
        "ops.softmax:softmax",
        "return dx.astype(x.dtype, copy=False)",
        "return dy",
        ("op softmax",),
    ),
    Mutant(
        "softmax layer: the axis is stored and ignored",
        "layers.activation:Softmax.vjp",
        "axis=self.axis",
        "axis=-1",
        ("layer Softmax",),
    ),
    Mutant(
        "softmax: the backward ignores the axis",
        "ops.softmax:softmax",
        "sums(dpart, share, axis)",
        "sums(dpart, share)",
        ("op softmax",),
    ),
    Mutant(
        "log-softmax: the upstream is not summed",
        "ops.softmax:log_softmax",
        "sums(widen(dy[block]), axis=axis)",
        "widen(dy[block])",
        ("op log_softmax",),
    ),
]

OF_LOSSES = [
    Mutant(
        "an eps inside the logarithm",
        "ops._losses:log",
        "xp.where(p > 0, p, 1)",
        "xp.where(p > 0, p + 1e-6, 1)",
        ("op cross_entropy_probabilities",),
    ),
    Mutant(
        "rows counted in 8 bits",
        "ops.loss:_subtract",
        "xp.arange(len(dlogits))",
        "xp.arange(len(dlogits)).astype(xp.int8)",
        ("op cross_entropy",),
    ),
    Mutant(
        "the gradient of another reduction",
        "ops._losses:reduced",
        "xp.broadcast_to(dy / count, losses.shape)",
        "xp.broadcast_to(dy, losses.shape)",
        ("op mse_loss", "loss MeanSquaredError"),
    ),
    Mutant(
        "labels checked batch by batch",
        "backend:check_labels",
        "labels < classes",
        "len(set(labels.tolist())) == classes",
        ("op cross_entropy",),
    ),
    Mutant(
        "softmax applied twice",
        "losses:CrossEntropy.vjp",
        "prediction,\n        target=target",
        "ops.softmax(prediction)[0],\n        target=target",
        ("loss CrossEntropy",),
    ),
    Mutant(
        "the loss reported is not the loss",
        "ops.regression_loss:mse_loss",
        "d * d",
        "4 * d * d",
        ("op mse_loss",),
    ),
    Mutant("half the slope of a square", "ops.regression_loss:mse_loss", "2 * d", "d", ("op mse_loss",)),
    Mutant(
        "cross-entropy: ignored rows count in the mean",
        "ops._losses:read_classes",
        "total = xp.nansum(by_row)",
        "total = by_class[labels].sum()",
        ("op cross_entropy",),
    ),
    Mutant(
        "label smoothing over all classes but the label's",
        "ops._losses:_smoothed",
        "label_smoothing / distribution.shape[-1]",
        "label_smoothing / (distribution.shape[-1] - 1)",
        ("op cross_entropy",),
    ),
    Mutant(
        "hinge loss: a target of the wrong sign in the backward",
        "ops.margin_loss:hinge_loss",
        "-t * (short > 0)",
        "t * (short > 0)",
        ("op hinge_loss",),
    ),
]

OF_ACTIVATIONS = [
    Mutant(
        "sigmoid with a slip of the sign",
        "ops.activation:sigmoid",
        "xp.minimum(wide, 0)",
        "xp.minimum(-wide, 0)",
        ("op sigmoid",),
    ),
    Mutant(
        "sigmoid: the upstream is ignored",
        "ops.activation:sigmoid",
        "dy * (y * (1 - y))",
        "y * (1 - y)",
        ("op sigmoid",),
    ),
    Mutant("tanh: the derivative of a square", "ops.activation:tanh", "1 - y * y", "1 - y", ("op tanh",)),
    Mutant(
        "relu widens by a scalar of NumPy",
        "ops.activation:relu",
        "xp.maximum(x, 0)",
        "xp.maximum(x, xp.float64(0))",
        ("op relu", "layer ReLU"),
    ),
    Mutant("relu: the mask is forgotten", "ops.activation:relu", "dy * (y != 0)", "dy * 1", ("op relu",)),
    Mutant(
        "leaky relu: the slope of the wrong side",
        "ops.piecewise:leaky_relu",
        "x > 0, dy",
        "x < 0, dy",
        ("op leaky_relu",),
    ),
    Mutant(
        "relu writes to the upstream",
        "ops.activation:relu",
        "return xp.asarray(dy * (y != 0))",
        "dy *= y > 0\n        return dy",
        ("op relu", "layer ReLU"),
    ),
    Mutant(
        "gelu: the derivative of the share is forgotten",
        "ops.gates:gelu",
        "dx = rise()\n",
        "dx = 0 * share\n",
        ("op gelu",),
    ),
]

OF_PRODUCTS = [
    Mutant(
        "the gradient of a bias is averaged",
        "ops.linear:linear",
        "column_sums(drows)",
        "column_sums(drows) / len(rows)",
        ("op linear", "layer Linear"),
    ),
    Mutant(
        "a batch of one is squeezed",
        "ops.linear:linear",
        "return y, pullback",
        "return y.squeeze(), pullback",
        ("op linear", "layer Linear"),
    ),
    Mutant(
        "the weight is not transposed in the backward",
        "ops.linear:linear",
        "product(drows, w.T)",
        "product(drows, w.reshape(w.T.shape))",
        ("op linear",),
    ),
    Mutant(
        "the gradient of a weight is averaged",
        "ops.linear:linear",
        "product(rows.T, drows)",
        "product(rows.T, drows) / len(rows)",
        ("layer Linear",),
    ),
    Mutant(
        "a gradient is not summed where it was broadcast",
        "ops.elementwise:unbroadcast",
        "gradient = gradient.sum(axis=stretched, keepdims=True)",
        "gradient = gradient[tuple(slice(0, 1 if i in stretched else None) for i in range(gradient.ndim))]",
        ("op multiply",),
    ),
    Mutant(
        "a name that is unset on an edge shape",
        "ops.elementwise:unbroadcast",
        "stretched = tuple(",
        "if x.ndim > 1:\n            stretched = tuple(",
        ("op multiply", "op add"),
    ),
    Mutant(
        "divide: by the wrong operand in the backward",
        "ops.elementwise:divide",
        "dx = xp.asarray(dy / w)",
        "dx = xp.asarray(dy / x)",
        ("op divide",),
    ),
    Mutant(
        "embedding: one gradient for each row of the table",
        "ops.embedding:_sum_by_label",
        "return segment_sums(rows[order], starts)",
        "dw = xp.zeros((count, rows.shape[1]), rows.dtype)\n    dw[labels] = rows\n    return dw",
        ("op embedding", "layer Embedding"),
    ),
    Mutant(
        "getitem: an element taken twice has one gradient",
        "ops.shape:getitem",
        "xp.add.at(dx, index, dy)",
        "dx[index] = dy",
        ("op getitem",),
    ),
]

OF_WINDOWS = [
    Mutant(
        "padding on the other side",
        "ops._lowering:_seen",
        "window.padding[axis][0]",
        "window.padding[axis][1]",
        ("op max_pool", "op avg_pool"),
    ),
    Mutant(
        "the dilation is ignored", "ops._lowering:_seen", "k * window.dilation[axis]", "k", ("op max_pool",)
    ),
    Mutant(
        "conv: the kernel is not mirrored in the backward",
        "ops.conv:_mirrored",
        "groups)[::-1]",
        "groups)[::1]",
        ("op conv",),
    ),
    Mutant(
        "conv: the gradient of the bias is averaged",
        "ops.conv:conv",
        "column_sums(drows)",
        "column_sums(drows) / len(drows)",
        ("op conv", "layer Conv"),
    ),
    Mutant(
        "conv: groups see each other's channels",
        "ops.conv:_by_group",
        "groups, matrix.shape[1] // groups).swapaxes(0, 1)",
        "matrix.shape[1] // groups, groups).transpose(2, 0, 1)",
        ("op conv",),
    ),
    Mutant(
        "conv layer: the stride is stored and ignored",
        "layers.conv:Conv.vjp",
        "stride=self.stride",
        "stride=1",
        ("layer Conv",),
    ),
    Mutant(
        "max pooling pads with zeros", "ops.pool:max_pool", "-math.inf, dtype", "0.0, dtype", ("op max_pool",)
    ),
    Mutant(
        "max pooling: overlapping windows overwrite",
        "ops.pool:max_pool",
        "dx[ins] += (",
        "dx[ins] = (",
        ("op max_pool",),
    ),
    Mutant(
        "max pooling: every one of equal entries wins",
        "ops.pool:max_pool",
        "open_windows[outs] ^= wins",
        "pass",
        ("op max_pool",),
    ),
    Mutant(
        "average pooling: the padding is not counted",
        "ops.pool:_count",
        "if include_pad else (0, 0)",
        "if not include_pad else (0, 0)",
        ("op avg_pool",),
    ),
    Mutant(
        "average pooling: the share is forgotten",
        "ops.pool:avg_pool",
        "= dy / count\n        every",
        "= dy\n        every",
        ("op avg_pool",),
    ),
    Mutant(
        "the batch size is frozen",
        "layers.shape:Flatten.vjp",
        "return self.bind(ops.flatten, x)",
        "self.n = getattr(self, 'n', len(x))\n    return self.bind(ops.reshape, x, shape=(self.n, -1))",
        ("layer Flatten",),
    ),
]

OF_NORMS = [
    Mutant(
        "normalised over an axis of one",
        "ops.norm:_grouped",
        "(1, 3), count",
        "(3,), max(shape[3], 1)",
        ("op instance_norm",),
    ),
    Mutant(
        "batch norm: the unbiased variance",
        "ops.norm:shared_batch_norm",
        "var = squares / count",
        "var = squares / (count - 1)",
        ("op batch_norm",),
    ),
    Mutant(
        "batch norm: the mean is a constant in the backward",
        "ops.norm:_spread",
        "on_rows(xp.add, part, offset, out=part)\n",
        "pass\n",
        ("op batch_norm",),
    ),
    Mutant(
        "batch norm: the variance is a constant in the backward",
        "ops.norm:_spread",
        "on_rows(xp.multiply, part, slope, out=part)",
        "part *= 0",
        ("op batch_norm", "layer BatchNorm"),
    ),
    Mutant(
        "batch norm: eps outside of the root",
        "ops.norm:shared_batch_norm",
        "1 / xp.sqrt(var + eps)",
        "1 / (xp.sqrt(var) + eps)",
        ("op batch_norm",),
    ),
    Mutant(
        "batch norm predicts by the statistics of the batch",
        "layers.norm:BatchNorm.predict",
        "self._by_running_statistics(x)[0]",
        "self.vjp(x)[0]",
        ("layer BatchNorm",),
    ),
    Mutant(
        "batch norm: the biased variance is kept",
        "layers.norm:BatchNorm.vjp",
        "var * (count / (count - 1))",
        "var",
        STATISTICS,
    ),
    Mutant(
        "batch norm: momentum the other way round",
        "ops.norm:moved",
        "(1 - weight) * running + weight * new",
        "weight * running + (1 - weight) * new",
        STATISTICS,
    ),
    Mutant(
        "layer norm: the mean is not sent back",
        "ops.norm:_standardize",
        "dx = dz - sums(dz, axis=axes) / count",
        "dx = dz.copy()",
        ("op layer_norm",),
    ),
    Mutant(
        "layer norm: the scale is forgotten in the backward",
        "ops.norm:_affine",
        "back(dy if w is None else dy * w)",
        "back(dy)",
        ("op layer_norm", "layer LayerNorm"),
    ),
    Mutant(
        "dropout: the scale is forgotten in the backward",
        "ops.dropout:dropout",
        "return masked(dy)",
        "return dy * kept",
        ("op dropout", "layer Dropout"),
    ),
    Mutant(
        "dropout: the mask is forgotten in the backward",
        "ops.dropout:dropout",
        "return masked(dy)",
        "return dy * scale",
        ("op dropout", "layer Dropout"),
    ),
    Mutant(
        "dropout in evaluation",
        "layers.dropout:Dropout.vjp",
        "if not self.training or self.p == 0:",
        "if False:",
        ("layer Dropout",),
    ),
    Mutant(
        "dropout: the same mask at every call", "layers.dropout:Dropout.vjp", "counter + 1", "counter", MASKS
    ),
    Mutant("dropout: p is what is kept", "ops.dropout:dropout", "(1 - p) * LEVELS", "p * LEVELS", MASKS),
]

OF_LAYERS = [
    Mutant(
        "branches add in place",
        "layers.containers:Parallel._merged",
        "return sum(parts[1:], start=parts[0])",
        "for part in parts[1:]:\n        xp = parts[0]\n        xp += part\n    return parts[0]",
        ("layer Parallel",),
    ),
    Mutant(
        "parallel: the gradient of the last branch alone",
        "layers.containers:Parallel.vjp",
        "dpart if dx is None else dx + dpart",
        "dpart",
        ("layer Parallel",),
    ),
    Mutant(
        "residual: the shortcut has no gradient",
        "layers.containers:Residual.vjp",
        "dx + dy if input_grad",
        "dx if input_grad",
        ("layer Residual",),
    ),
    Mutant(
        "freeze is ignored",
        "layers.base:Layer.bind",
        "p is not None and p.requires_grad for p",
        "p is not None for p",
        ("layer Linear",),
    ),
    Mutant(
        "state is no copy", "layers.base:Layer.state", "value.data.copy()", "value.data", ("layer Linear",)
    ),
    Mutant(
        "a second backward overwrites the first",
        "layers.parameter:Parameter.accumulate",
        "self._grad += gradient",
        "self._grad[...] = gradient",
        ("layer Linear",),
    ),
    Mutant(
        "backward twice for one forward",
        "layers.base:Layer.backward",
        "self._step = None\n    dx, pairs",
        "dx, pairs",
        ("layer ReLU",),
    ),
    Mutant(
        "recurrent width taken from the input",
        "layers.recurrent:_Recurrent.__init__",
        '("hh", self.hidden_size)',
        '("hh", size)',
        ("layer RNN",),
    ),
    Mutant(
        "recurrent: the last step alone sends gradients back",
        "ops.recurrent:_scan",
        "direct[0] + db[t] @ weights.w_hh.T",
        "direct[0]",
        ("op rnn", "layer LSTM"),
    ),
    Mutant(
        "lstm: the forget gate does not pass the gradient",
        "ops._cells:lstm_cell",
        "(0.0, dnew * f)",
        "(0.0, dnew)",
        ("op lstm",),
    ),
    Mutant(
        "a tensor used twice has one gradient",
        "tape:backpropagate",
        "gradient if known is None else",
        "gradient if True else",
        TENSORS,
    ),
]

OF_TRAINING = [
    Mutant(
        "an unknown backend is accepted",
        "backend:_choose",
        "choice not in CHOICES",
        "not choice",
        ("training test_an_unknown_backend_is_refused",),
    ),
    Mutant(
        "adam without bias correction",
        "optim.adam:_adam",
        "lr / (1.0 - betas[0] ** state.step)",
        "lr",
        UPDATES,
    ),
    Mutant(
        "adam: eps inside the root",
        "optim.adam:_adam",
        "scratch += eps * grown\n",
        "scratch = xp.sqrt(scratch * scratch + eps)\n",
        UPDATES,
    ),
    Mutant(
        "adam: the betas swapped",
        "optim.adam:_adam",
        "moments(g, state, betas)",
        "moments(g, state, betas[::-1])",
        UPDATES,
    ),
    Mutant(
        "adam: steps counted from zero",
        "optim.base:Optimizer.step",
        "count + 1, options",
        "count + 2, options",
        UPDATES,
    ),
    Mutant(
        "adamw: the decay is not scaled by the rate",
        "optim.adam:AdamW.update",
        "1.0 - lr * weight_decay",
        "1.0 - weight_decay",
        UPDATES,
    ),
    Mutant(
        "sgd: nesterov looks no step ahead",
        "optim.sgd:SGD.update",
        "g + momentum * velocity if nesterov else velocity",
        "velocity",
        UPDATES,
    ),
    Mutant(
        "sgd: the sign of the decay",
        "optim.sgd:SGD.update",
        "g + weight_decay * p",
        "g - weight_decay * p",
        UPDATES,
    ),
    Mutant(
        "the last full batch is dropped",
        "data.loader:DataLoader.__len__",
        "self._size // self.batch_size if",
        "(self._size - 1) // self.batch_size if",
        EPOCHS,
    ),
    Mutant(
        "the last batch is dropped always",
        "data.loader:DataLoader.__len__",
        "-(-self._size // self.batch_size)",
        "self._size // self.batch_size",
        EPOCHS,
    ),
    Mutant(
        "every epoch has the same order",
        "data.loader:DataLoader._sliced",
        "[self._seed, epoch]",
        "[self._seed, 0]",
        ORDERS,
    ),
    Mutant(
        "images and labels shuffled apart",
        "data.loader:_take",
        "tuple(_take(part, index) for part in source)",
        "(_take(source[0], index), _take(source[1], np.sort(np.r_[index])))",
        EPOCHS,
    ),
    Mutant(
        "a batch is a view of the data",
        "data.loader:_take",
        "asarray(part).copy()",
        "asarray(part)",
        ("training test_a_batch_may_be_written_to",),
    ),
    Mutant(
        "fans the wrong way round",
        "init:fans",
        "*kernel, n_in, n_out = shape",
        "*kernel, n_out, n_in = shape",
        SPREADS,
    ),
    Mutant(
        "the spread of a uniform is its bound", "init:he_uniform", "math.sqrt(6.0", "math.sqrt(2.0", SPREADS
    ),
]

OF_THE_CHECKER = [
    Mutant(
        "checker: differences of the wrong sign",
        "testing.differences:_central",
        "(a - b for a, b in",
        "(b - a for a, b in",
        ("checker",),
    ),
    Mutant(
        "checker: a step of no use",
        "testing.differences:_central",
        "for step in (h, h / 2):",
        "h *= 1e-12\n    for step in (h, h / 2):",
        ("checker",),
    ),
    Mutant(
        "checker: it compares nothing",
        "testing.gradients:_compare",
        "if not error <= rtol * size + 2 * slope.doubt:",
        "if error < 0:",
        ("checker",),
    ),
]

MUTANTS = [
    *OF_SOFTMAX,
    *OF_LOSSES,
    *OF_ACTIVATIONS,
    *OF_PRODUCTS,
    *OF_WINDOWS,
    *OF_NORMS,
    *OF_LAYERS,
    *OF_TRAINING,
    *OF_THE_CHECKER,
]
