"""A row of the table on both sides: the same values in, and results to compare under the same names."""

from typing import Any, NamedTuple

import minidl
from minidl.backend import asarray, to_numpy
from tests.conformance.loss_rows import TO_ARRAYS
from tests.conformance.optimizer_rows import THEIR_OPTIMIZERS, our_optimizer
from tests.conformance.rows import Arrays, Row, Settings, exact, normal
from tests.either import np

STEPS = 20


class Case(NamedTuple):
    """Settings and values for a row, in our layout."""

    settings: Settings
    training: bool
    inputs: list[np.ndarray]
    state: Arrays
    dy: list[np.ndarray]  # one for each output


def make_case(row: Row, settings: Settings, shape: tuple[int, ...], seed: int, training: bool = True) -> Case:
    rng = np.random.default_rng(seed)
    ours = row.ours(**settings)
    inputs = row.inputs(rng, shape, settings)
    state = {}
    if isinstance(ours, minidl.Layer):
        ours.train(training)
        state = {name: drawn_like(rng, name, to_numpy(a)) for name, a in ours.state().items()}
    y = (
        ours.forward(together(inputs))
        if isinstance(ours, minidl.Layer)
        else ours.forward(*map(asarray, inputs))
    )
    parts = y if isinstance(y, tuple) else (y,)
    return Case(settings, training, inputs, state, [normal(rng, part.shape) for part in parts])


def together(arrays: list[np.ndarray]) -> Any:
    """What a layer takes and returns: an array, or a tuple of several."""
    parts = tuple(asarray(a) for a in arrays)
    return parts if len(parts) > 1 else parts[0]


def apart(name: str, values: Any) -> dict[str, Any]:
    """One or several arrays by name: ``dx``, ``dx1``, ``dx2``; an integer input has no gradient."""
    values = values if isinstance(values, tuple) else (values,)
    return {f"{name}{i or ''}": value for i, value in enumerate(values) if value is not None}


def drawn_like(rng: np.random.Generator, name: str, a: np.ndarray) -> np.ndarray:
    """A value for a part of a layer's state; counters stay as they are, variances are positive."""
    if a.dtype.kind != "f":
        return a
    drawn = normal(rng, a.shape)
    return exact(abs(drawn) + 0.5) if name.endswith("var") else drawn


def first(row: Row, a: np.ndarray) -> np.ndarray:
    return np.moveaxis(a, -1, 1) if row.channels and a.ndim > 2 else a


# One forward and one backward.


def our_layer(row: Row, case: Case) -> Arrays:
    layer = row.ours(**case.settings).train(case.training)
    layer.load_state({name: asarray(a) for name, a in case.state.items()})
    y = layer.forward(together(case.inputs))
    dx = layer.backward(together(case.dy))
    results = {name: first(row, to_numpy(a)) for name, a in (apart("y", y) | apart("dx", dx)).items()}
    gradients = {name: to_numpy(p.grad) for name, p in layer.named_parameters()}
    buffers = {name: to_numpy(b.data) for name, b in layer.buffers()}
    return results | {f"d {name}": a for name, a in row.door(gradients).items()} | row.door(buffers)


def their_layer(torch: Any, row: Row, case: Case) -> Arrays:
    layer = loaded(torch, row, case)
    inputs = [tensor(torch, first(row, a)) for a in case.inputs]
    for x in inputs:
        x.requires_grad_(x.is_floating_point())
    y = row.call(layer, case.settings, *inputs)
    ys = y if isinstance(y, tuple) else (y,)
    torch.autograd.backward(ys, [tensor(torch, first(row, a)) for a in case.dy])
    results = apart("y", tuple(part.detach() for part in ys)) | apart("dx", tuple(x.grad for x in inputs))
    results |= {f"d {name}": p.grad for name, p in layer.named_parameters()}
    return {name: a.numpy() for name, a in (results | dict(layer.named_buffers())).items()}


def tensor(torch: Any, a: np.ndarray) -> Any:
    return torch.tensor(np.ascontiguousarray(a))


def loaded(torch: Any, row: Row, case: Case) -> Any:
    """Their layer in double precision with our state; what we do not have keeps its value."""
    layer = row.theirs(torch.nn, case.inputs[0].ndim - 2, **case.settings).double().train(case.training)
    state = {name: tensor(torch, a) for name, a in row.door(case.state).items()}
    missing, unexpected = layer.load_state_dict(state, strict=False)
    assert not unexpected
    assert set(missing) <= {"num_batches_tracked"}
    return layer


def our_loss(row: Row, case: Case) -> Arrays:
    loss = row.ours(**case.settings)
    value = loss.forward(*map(asarray, case.inputs))
    gradients = loss.backward(asarray(case.dy[0]))
    parts = {name: first(row, to_numpy(g)) for name, g in apart("dx", gradients).items()}
    return {"loss": to_numpy(value)} | parts


def their_loss(torch: Any, row: Row, case: Case) -> Arrays:
    inputs = [tensor(torch, a) for a in their_targets(row, case)]
    predictions = [x.requires_grad_() for x in inputs[: row.predictions]]
    value = their_criterion(torch, row, case)(*inputs)
    value.backward(torch.tensor(case.dy[0]))
    parts = {name: g.numpy() for name, g in apart("dx", tuple(p.grad for p in predictions)).items()}
    return {"loss": value.detach().numpy()} | parts


def their_targets(row: Row, case: Case) -> list[np.ndarray]:
    """The inputs in their layout; labels have no axis of classes, and stay."""
    return [a if a.ndim < case.inputs[0].ndim else first(row, a) for a in case.inputs]


def their_criterion(torch: Any, row: Row, case: Case) -> Any:
    settings = {
        k: torch.tensor(v, dtype=torch.float64) if k in TO_ARRAYS else v for k, v in case.settings.items()
    }
    return row.theirs(torch.nn, case.inputs[0].ndim - 2, **settings)


# Twenty steps of an optimizer.


def our_training(row: Row, case: Case, optimizer: str, options: Settings) -> Arrays:
    """The state of a layer that learns, by squared error, to map its first input to the first ``case.dy``."""
    layer = row.ours(**case.settings).train(case.training)
    layer.load_state({name: asarray(a) for name, a in case.state.items()})
    x, target = asarray(case.inputs[0]), asarray(case.dy[0])
    criterion = minidl.MeanSquaredError()
    steps = our_optimizer(optimizer)(layer.parameters(), **options)
    for _ in range(STEPS):
        criterion.forward(layer.forward(x), target)
        layer.backward(criterion.backward(), input_grad=False)
        steps.step()
        steps.zero_grad()
    return row.door({name: to_numpy(a) for name, a in layer.state().items()})


def their_training(torch: Any, row: Row, case: Case, optimizer: str, options: Settings) -> Arrays:
    layer = loaded(torch, row, case)
    x, target = (tensor(torch, first(row, a)) for a in (case.inputs[0], case.dy[0]))

    def loss() -> Any:
        return torch.nn.MSELoss()(row.call(layer, case.settings, x), target)

    follow(torch, optimizer, options, list(layer.parameters()), loss)
    return {name: a.numpy() for name, a in layer.state_dict().items()}


def our_descent(row: Row, case: Case, optimizer: str, options: Settings) -> Arrays:
    """The predictions after they followed the gradient of a loss, weighted by ``case.dy``."""
    loss = row.ours(**case.settings)
    predictions = [minidl.Parameter(asarray(a.copy())) for a in case.inputs[: row.predictions]]
    targets = [asarray(a) for a in case.inputs[row.predictions :]]
    steps = our_optimizer(optimizer)(predictions, **options)
    for _ in range(STEPS):
        loss.forward(*(p.data for p in predictions), *targets)
        gradients = loss.backward(asarray(case.dy[0]))
        for p, g in zip(predictions, (gradients,) if row.predictions == 1 else gradients, strict=True):
            p.grad = g
        steps.step()
    return {f"p{i}": first(row, to_numpy(p.data)) for i, p in enumerate(predictions)}


def their_descent(torch: Any, row: Row, case: Case, optimizer: str, options: Settings) -> Arrays:
    inputs = [tensor(torch, a) for a in their_targets(row, case)]
    predictions = [x.requires_grad_() for x in inputs[: row.predictions]]
    criterion, dy = their_criterion(torch, row, case), torch.tensor(case.dy[0])
    follow(torch, optimizer, options, predictions, lambda: (criterion(*inputs) * dy).sum())
    return {f"p{i}": p.detach().numpy() for i, p in enumerate(predictions)}


def follow(torch: Any, optimizer: str, options: Settings, parameters: list[Any], loss: Any) -> None:
    steps = getattr(torch.optim, THEIR_OPTIMIZERS.get(optimizer, optimizer))(parameters, **options)
    for _ in range(STEPS):
        steps.zero_grad()
        loss().backward()
        steps.step()


def assert_same(ours: Arrays, theirs: Arrays, tolerance: float) -> None:
    """All that we have is there too, and equal up to a tolerance relative to its largest entry, or to 1.

    PyTorch has more: an unused counter of batches.
    """
    assert theirs.keys() - ours.keys() <= {"num_batches_tracked"}
    for name, value in ours.items():
        expected = theirs[name]
        assert value.shape == expected.shape, name
        scale = max(1.0, abs(expected).max()) if expected.size else 1.0
        np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance * scale, err_msg=name)
