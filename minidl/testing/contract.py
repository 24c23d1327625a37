"""What every layer promises, as named checks: each takes a layer and an input, and raises at a breach."""

import copy
import threading
from collections.abc import Callable
from typing import TypeAlias

from minidl.backend import Array, xp
from minidl.tensor import Tensor
from minidl.testing.case import Case, ContractError, is_close, is_same, require, require_same
from minidl.testing.gradients import check_gradients
from minidl.testing.subject import as_parts


def gradients(case: Case) -> None:
    """The pullback is the derivative, for the input and every parameter, in training and evaluation."""
    check_gradients(case.layer, case.x, directions=1, seed=case.seed)
    check_gradients(case.layer.eval(), case.x, directions=1, seed=case.seed)


def linearity(case: Case) -> None:
    """pullback(2 u - 3 v) = 2 pullback(u) - 3 pullback(v)."""
    y, pullback = case.vjp(case.x)
    u, v = case.upstream(y, 1), case.upstream(y, 2)
    mixed = tuple(2 * a - 3 * b for a, b in zip(as_parts(u), as_parts(v), strict=True))
    got = case.gradients(pullback, mixed if isinstance(y, tuple) else mixed[0])
    of_u, of_v = case.gradients(pullback, u), case.gradients(pullback, v)
    wanted = {name: 2 * of_u[name] - 3 * of_v[name] for name in of_u}
    require_same(got, wanted, "the pullback is not linear in the upstream", exact=False)


def batch_equals_rows(case: Case) -> None:
    """What a layer makes of a batch is what it makes of each sample alone, gradients included."""
    if case.couples_samples:
        case.layer.eval()
    if case.couples_samples is True:
        return
    y, pullback = case.vjp(case.x)
    dy = case.upstream(y)
    whole = case.gradients(pullback, dy)
    total: dict[str, Array] = {}
    hint = "" if case.layer.sample_wise else "; if it is meant to couple samples, say couples_samples=True"
    for i in range(len(case.x)):
        row, row_pullback = case.vjp(case.x[i : i + 1])
        part = tuple(a[i : i + 1] for a in as_parts(y))
        require(
            is_close(as_parts(row), part), f"sample {i} alone gives another output than in its batch{hint}"
        )
        du = tuple(a[i : i + 1] for a in as_parts(dy))
        alone = case.gradients(row_pullback, du if isinstance(y, tuple) else du[0])
        if "x" in alone:
            require(
                is_close(alone.pop("x"), whole["x"][i : i + 1]),
                f"sample {i} alone gives another gradient than in its batch{hint}",
            )
        total = {name: total[name] + g if name in total else g for name, g in alone.items()}
    whole.pop("x", None)
    require_same(
        whole, total, "the gradients of a batch are not the sum of those of its samples", exact=False
    )


def batch_sizes(case: Case) -> None:
    """One layer takes batches of 0, 1, 2, 3 and 5 samples, in any order."""
    tails = None
    for n in (2, 3, 1, 0, 5):
        if 0 < n < case.least_batch:
            continue
        x = xp.concatenate([case.x] * (n // len(case.x) + 1))[:n]
        y, pullback = case.vjp(x)
        shapes = [part.shape for part in as_parts(y)]
        require(all(s and s[0] == n for s in shapes), f"{n} samples came out with shapes {shapes}")
        tails = tails or [s[1:] for s in shapes]
        require(tails == [s[1:] for s in shapes], f"{n} samples came out as {shapes}, others as {tails}")
        found = case.gradients(pullback, case.upstream(y))
        sizes = {name: p.shape for name, p in case.layer.named_parameters()} | {"x": x.shape}
        for name, gradient in found.items():
            require(
                getattr(gradient, "shape", None) == sizes.get(name),
                f"{n} samples: expected a gradient of {name} of shape {sizes.get(name)}, "
                f"got {getattr(gradient, 'shape', None)}",
            )


def dtype_kept(case: Case) -> None:
    """The dtype that goes in comes out, and so do those of the gradients."""
    for dtype in case.dtypes if case.x.dtype.kind == "f" else ():
        layer = copy.deepcopy(case.layer).astype(dtype)
        x = case.x.astype(dtype)
        y, pullback = layer.vjp(x)
        dx, pairs = pullback(case.upstream(y))
        found = {"output": as_parts(y)[0], "gradient of x": dx, "prediction": as_parts(layer.predict(x))[0]}
        found |= {f"gradient of {p.name or 'a parameter'}": g for p, g in pairs}
        for what, array in found.items():
            require(isinstance(array, xp.ndarray), f"the {what} is a {type(array).__name__}, not an array")
            require(str(array.dtype) == dtype, f"{dtype} went in: the {what} is {array.dtype}")


def purity(case: Case) -> None:
    """Nothing that was given is written to, nor the output; any memory layout gives the same."""
    from minidl.testing.strategies import read_only, strided

    x = read_only(case.x)
    parameters = [p.data.copy() for p in case.layer.parameters()]
    y, pullback = case.vjp(x)
    value = tuple(part.copy() for part in as_parts(y))
    state = case.layer.state()
    dys = tuple(read_only(d) for d in as_parts(case.upstream(y)))
    dy = dys if isinstance(y, tuple) else dys[0]
    found = case.gradients(pullback, dy)
    require(is_same(x, case.x), "the input was written to")
    require(is_same(dys, as_parts(case.upstream(y))), "the upstream gradient was written to")
    require(is_same(as_parts(y), value), "the output changed in the backward pass")
    for (name, p), before in zip(case.layer.named_parameters(), parameters, strict=True):
        require(is_same(p.data, before), f"{name} was written to")
    for name, buffer in case.layer.buffers():
        require(
            is_same(buffer.data, state[name]), f"the pullback changed {name}; only vjp may, once per call"
        )
    y, pullback = case.vjp(strided(case.x))
    require(is_close(as_parts(y), value), "a strided view of the input gives another output")
    views = tuple(strided(d) for d in dys)
    again = case.gradients(pullback, views if isinstance(y, tuple) else views[0])
    require_same(again, found, "a strided view gives another gradient", exact=False)


def reentrancy(case: Case) -> None:
    """Pullbacks may be called again, in any order, with others outstanding, and on any thread."""
    y, first = case.vjp(case.x)
    dy = case.upstream(y)
    fresh = {name: g.copy() for name, g in case.gradients(first, dy).items()}
    y, first = case.vjp(case.x)
    z, second = case.vjp(case.x * 0.5 if case.x.dtype.kind == "f" else case.x)
    case.gradients(second, case.upstream(z, 1))
    require_same(case.gradients(first, dy), fresh, "with another pullback outstanding")
    require_same(case.gradients(first, dy), fresh, "when the pullback is called again")
    results: list[dict[str, Array]] = []
    thread = threading.Thread(target=lambda: results.append(case.gradients(first, dy)))
    thread.start()
    thread.join()
    require(results, "the pullback failed on another thread")
    require_same(results[0], fresh, "on another thread")


def predict(case: Case) -> None:
    """``predict`` is what evaluation computes; it changes neither the mode nor the state."""
    before = case.layer.state()
    got = case.layer.predict(case.x)
    after = case.layer.state()
    for mode in (True, False):
        case.layer.train(mode)
        case.layer.predict(case.x)
        modes = [layer.training for _, layer in case.layer.named_layers()]
        require(all(m is mode for m in modes), "predict changed the mode of the layer")
    case.layer.train()
    require(
        all(is_same(after[name], before[name]) for name in before), "predict changed the state of the layer"
    )
    wanted, _ = case.layer.eval().vjp(case.x)
    require(is_close(as_parts(got), as_parts(wanted)), "predict is not what the layer computes after eval()")
    require(is_close(case.layer.predict(case.x), got), "predict depends on the mode")


def forward_backward(case: Case) -> None:
    """``forward`` and ``backward`` are ``vjp``; gradients add up; ``input_grad=False`` leaves out one."""
    y, pullback = case.vjp(case.x)
    dy = case.upstream(y)
    wanted = case.gradients(pullback, dy)
    layer = case.layer
    for times, input_grad in ((1, True), (2, False)):
        case.restore()
        require(is_same(layer.forward(case.x), y), "forward gives another value than vjp")
        dx = layer.backward(dy, input_grad=input_grad)
        if input_grad and "x" in wanted:
            require(is_same(dx, wanted["x"]), "backward gives another gradient of x than vjp")
        require(input_grad or dx is None, "backward(dy, input_grad=False) returned a gradient of x")
        for name, p in layer.named_parameters():
            if name in wanted:
                require(
                    p.grad is not None and is_close(p.grad, times * wanted[name]),
                    f"after {times} backward passes the grad of {name} is not {times} times its gradient",
                )
    try:
        layer.backward(dy)
    except RuntimeError:
        return
    raise ContractError("backward without a forward is not refused by a RuntimeError")


def freeze(case: Case) -> None:
    """``freeze`` stops the gradients of parameters and no others, until ``unfreeze``."""
    y, pullback = case.vjp(case.x)
    dy = case.upstream(y)
    wanted = case.gradients(pullback, dy)
    case.layer.freeze()
    z, pullback = case.vjp(case.x)
    require(is_same(z, y), "a frozen layer gives another output")
    found = case.gradients(pullback, dy)
    require_same(found, {k: v for k, v in wanted.items() if k == "x"}, "frozen")
    case.layer.unfreeze()
    require_same(case.gradients(case.vjp(case.x)[1], dy), wanted, "unfrozen")


def state(case: Case) -> None:
    """``load_state(state())`` brings back every bit, and with it the next call."""
    layer = case.layer
    snapshot = layer.state()
    kept = {name: array.copy() for name, array in snapshot.items()}
    y = layer.forward(case.x)
    for p in layer.parameters():
        p.data = p.data + 1
    require(all(is_same(snapshot[name], kept[name]) for name in kept), "state() does not copy")
    layer.load_state(snapshot)
    after = layer.state()
    require(after.keys() == kept.keys(), "load_state changed the names in the state")
    for name in kept:
        require(is_same(after[name], kept[name]), f"{name} is not what it was before")
    require(is_same(layer.forward(case.x), y), "the same state gives another output")


def representation(case: Case) -> None:
    """The repr is ASCII and names the layer and not its place in memory."""
    text = repr(case.layer)
    require(text.isascii(), f"the repr is not ASCII: {text!a}")
    require(text.startswith(type(case.layer).__name__), f"the repr does not begin with the class: {text!r}")
    require(" at 0x" not in text, f"the repr holds an address: {text!r}; define extra_repr")


def wrong_shape(case: Case) -> None:
    """A wrong shape is a ValueError or TypeError that names the layer, or it is as good as any other."""
    x, layer = case.x, case.layer
    owners = {type(part).__name__ for _, part in layer.named_layers()}
    before = layer.state()
    wrong = [xp.concatenate([x, x], axis=-1), x[..., :0], x[..., None], x.reshape(len(x), -1)[:, 0]]
    for w in wrong if x.ndim > 1 else ():
        try:
            y, pullback = layer.vjp(w)
        except (TypeError, ValueError) as error:
            text = " ".join([str(error), *getattr(error, "__notes__", [])])
            named = any(owner in text for owner in owners)
            require(named, f"the error for shape {w.shape} does not name the layer: {text}")
            after = layer.state()
            require(all(is_same(after[k], before[k]) for k in before), f"shape {w.shape} changed the state")
            continue
        except Exception as error:
            raise ContractError(
                f"shape {w.shape} raises {type(error).__name__}: {error}; raise a ValueError"
            ) from error
        before = layer.state()
        found = getattr(pullback(case.upstream(y))[0], "shape", None)
        message = f"an input of shape {w.shape} is accepted, but its gradient has shape {found}"
        require(x.dtype.kind != "f" or found == w.shape, message)
    y = layer.forward(x)
    for part in as_parts(y)[:1]:
        try:
            layer.backward(part[..., None])
        except (TypeError, ValueError):
            continue
        raise ContractError(f"a gradient of shape {part[..., None].shape} is accepted for {part.shape}")


def tensors(case: Case) -> None:
    """Called with a Tensor, a layer records one step whose backward gives the same gradients."""
    y, pullback = case.vjp(case.x)
    dy = case.upstream(y)
    if isinstance(y, tuple) or case.x.dtype.kind != "f":
        return
    wanted = case.gradients(pullback, dy)
    case.restore()
    x = Tensor(case.x, requires_grad=True)
    z = case.layer(x)
    require(isinstance(z, Tensor), f"called with a Tensor it returns a {type(z).__name__}")
    require(is_same(z.data, y), "called with a Tensor it gives another output")
    z.backward(dy)
    found = {name: p.grad for name, p in case.layer.named_parameters() if p.grad is not None}
    require_same({**found, **({} if x.grad is None else {"x": x.grad})}, wanted, "by a Tensor", exact=False)


Check: TypeAlias = "Callable[[Case], None]"

CHECKS: dict[str, Check] = {
    "gradients": gradients,
    "linearity": linearity,
    "batch equals rows": batch_equals_rows,
    "batch sizes": batch_sizes,
    "dtype kept": dtype_kept,
    "purity": purity,
    "re-entrancy": reentrancy,
    "predict equals eval": predict,
    "forward and backward": forward_backward,
    "freeze": freeze,
    "state": state,
    "repr": representation,
    "wrong shape": wrong_shape,
    "tensors": tensors,
}
