"""The contract of every op, function, layer and loss, over the table in tests/cases.py."""

import inspect
from types import ModuleType
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minidl import functional as F
from minidl import layers, losses, ops
from minidl.functional import vjp
from minidl.testing import check_gradients, layer_checks
from minidl.testing.strategies import extreme_logits, read_only, strided
from minidl.testing.subject import as_parts
from tests.cases import LAYERS, LOSSES, OPS, A, LayerCase, LossCase, OpCase
from tests.either import np

EVERY_OP = pytest.mark.parametrize("case", OPS, ids=str)
LARGE = 130  # more than an index of 8 bits can count
DTYPES = ("float16", "float32", "float64")
WITHOUT_ROWS = {
    "vjp": "tests/functional/test_derivative.py",
    "jacobian": "tests/functional/test_derivative.py",
}
ABSTRACT = {"Layer", "Loss"}
EXAMPLES = max(3, settings().max_examples // 8)  # a part of those of the profile: the table has many rows
CHECKS = [
    pytest.param(case, check, id=f"{case}-{check.name}")
    for case in LAYERS
    for check in layer_checks(case.make, case.input_shape, examples=EXAMPLES, **case.options)
]


def public(module: ModuleType) -> set[str]:
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__.startswith(module.__name__)
    }


def drawn(data: st.DataObject, case: OpCase, n: int) -> tuple[list[Any], dict[str, Any]]:
    """The arguments and options of a row for a batch of n."""
    values = [data.draw(a.values(n)) for a in case.arguments]
    options = {k: data.draw(v.values(n)) if isinstance(v, A) else v for k, v in case.options.items()}
    return values, options


def batch(case: OpCase) -> st.SearchStrategy[int]:
    return st.integers(max(1, case.least_batch), 4)


def upstream(y: Any, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    parts = tuple(np.asarray(rng.normal(size=p.shape), dtype=p.dtype) for p in as_parts(y))
    return parts if isinstance(y, tuple) else parts[0]


def floats(values: list[Any], dtype: Any) -> list[Any]:
    return [v.astype(dtype) if v.dtype.kind == "f" else v for v in values]


def assert_close(a: Any, b: Any, rtol: float = 1e-9) -> None:
    for p, q in zip(as_parts(a), as_parts(b), strict=True):
        if q is None:
            assert p is None
        else:
            np.testing.assert_allclose(p, q, rtol=rtol, atol=rtol)


def test_every_public_name_has_a_row() -> None:
    assert public(ops) - {case.name for case in OPS} == set()
    assert public(F) - {case.name for case in OPS} == WITHOUT_ROWS.keys()
    classes = {type(case.make()).__name__ for case in LAYERS}
    wanted = {name for name in public(layers) if issubclass(getattr(layers, name), layers.Layer)}
    assert wanted - ABSTRACT - classes == set()
    wanted = {name for name in public(losses) if inspect.isclass(getattr(losses, name))}
    assert wanted - ABSTRACT - {type(case.make()).__name__ for case in LOSSES} == set()


@EVERY_OP
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_the_value_is_that_of_naive_loops(case: OpCase, data: st.DataObject) -> None:
    if case.reference is None:
        return
    values, options = drawn(data, case, data.draw(batch(case)))
    y, _ = case.op(*values, **options)
    assert_close(y, case.reference(*values, **options))


@EVERY_OP
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_the_pullback_is_the_derivative(case: OpCase, data: st.DataObject) -> None:
    values, options = drawn(data, case, data.draw(batch(case)))
    parts = as_parts(case.op(*values, **options)[0])
    assume(all(np.isfinite(part).all() for part in parts))  # a mean over nothing is NaN
    check_gradients(lambda *arrays: case.op(*arrays, **options), *values, directions=1)


@EVERY_OP
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_the_dtype_is_kept(case: OpCase, data: st.DataObject) -> None:
    values, options = drawn(data, case, data.draw(batch(case)))
    for dtype in DTYPES:
        typed = {
            k: v.astype(dtype) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v
            for k, v in options.items()
        }
        arguments = floats(values, dtype)
        y, pullback = case.op(*arguments, **typed)
        wanted = np.result_type(dtype, np.float32) if case.wide_value else np.dtype(dtype)
        assert {part.dtype for part in as_parts(y)} == {wanted}
        assert all(type(part) is np.ndarray for part in as_parts(y))
        for x, g in zip(arguments, as_parts(pullback(upstream(y))), strict=False):
            assert g is None if x.dtype.kind != "f" else g.dtype == x.dtype and type(g) is np.ndarray


@EVERY_OP
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_any_memory_layout_gives_the_same_and_nothing_is_written_to(
    case: OpCase, data: st.DataObject
) -> None:
    values, options = drawn(data, case, data.draw(batch(case)))
    y, pullback = case.op(*values, **options)
    dy = upstream(y)
    wanted = as_parts(pullback(dy))
    for view in (read_only, strided):
        viewed = tuple(map(view, as_parts(dy)))
        z, back = case.op(*map(view, values), **options)
        assert_close(z, y)
        assert_close(as_parts(back(viewed if isinstance(dy, tuple) else viewed[0])), wanted)


@EVERY_OP
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_pullbacks_are_re_entrant(case: OpCase, data: st.DataObject) -> None:
    n = data.draw(batch(case))
    values, options = drawn(data, case, n)
    others, other_options = drawn(data, case, n)
    y, first = case.op(*values, **options)
    dy = upstream(y)
    alone = [None if g is None else g.copy() for g in as_parts(first(dy))]
    y, first = case.op(*values, **options)
    z, second = case.op(*others, **other_options)
    second(upstream(z, 1))
    for _ in range(2):
        for g, h in zip(as_parts(first(dy)), alone, strict=True):
            np.testing.assert_array_equal(g, h)


@EVERY_OP
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_a_batch_equals_its_rows(case: OpCase, data: st.DataObject) -> None:
    if case.couples_samples or not any(a.batched for a in case.arguments):
        return
    n = data.draw(batch(case))
    values, options = drawn(data, case, n)
    y, pullback = case.op(*values, **options)
    dy = upstream(y)
    total = [
        None if g is None or a.batched else 0.0
        for a, g in zip(case.arguments, as_parts(pullback(dy)), strict=False)
    ]
    whole = as_parts(pullback(dy))
    for i in range(n):
        row = slice(i, i + 1)
        arguments = [v[row] if a.batched else v for a, v in zip(case.arguments, values, strict=True)]
        own = {
            k: v[row] if isinstance(case.options[k], A) and case.options[k].batched else v
            for k, v in options.items()
        }
        z, back = case.op(*arguments, **own)
        assert_close(z, tuple(p[row] for p in as_parts(y)) if isinstance(y, tuple) else y[row])
        part = tuple(d[row] for d in as_parts(dy))
        gradients = as_parts(back(part if isinstance(dy, tuple) else part[0]))
        for j, (a, g) in enumerate(zip(case.arguments, gradients, strict=False)):
            if g is not None and a.batched:
                assert_close(g, whole[j][row])
            elif g is not None:
                total[j] = total[j] + g
    for g, added in zip(whole, total, strict=False):
        if added is not None:
            assert_close(g, added)


@EVERY_OP
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_a_large_batch_equals_its_halves(case: OpCase, data: st.DataObject) -> None:
    if case.couples_samples or not any(a.batched for a in case.arguments):
        return
    few, options = drawn(data, case, 4)
    sampled = {k for k, a in case.options.items() if isinstance(a, A) and a.batched}

    def part(start: int, stop: int) -> tuple[Any, Any]:
        places = np.arange(start, stop) % 4
        values = [v[places] if a.batched else v for a, v in zip(case.arguments, few, strict=True)]
        return case.op(*values, **{k: v[places] if k in sampled else v for k, v in options.items()})

    y, pullback = part(0, LARGE)
    dy = upstream(y)
    halves = [slice(0, 100), slice(100, LARGE)]
    whole = as_parts(pullback(dy))
    for half in halves:
        z, back = part(half.start, half.stop)
        assert_close(as_parts(z), tuple(p[half] for p in as_parts(y)))
        du = tuple(d[half] for d in as_parts(dy))
        gradients = as_parts(back(du if isinstance(dy, tuple) else du[0]))
        for a, g, of_whole in zip(case.arguments, gradients, whole, strict=False):
            if a.batched and g is not None:
                assert_close(g, of_whole[half])


@pytest.mark.parametrize("case", [case for case in OPS if case.extreme], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=2 * EXAMPLES)
@given(data=st.data())
def test_extreme_logits_stay_finite(case: OpCase, dtype: str, data: st.DataObject) -> None:
    n = data.draw(batch(case))
    x = data.draw(extreme_logits(case.arguments[0].sized(n), dtype=dtype))
    _, options = drawn(data, case, n)
    y, pullback = case.op(x, **options)
    rtol = 8 * float(np.finfo(dtype).eps)
    with np.errstate(over="ignore"):
        wanted = np.asarray(case.reference(x.astype(float), **options)).astype(y.dtype)
    np.testing.assert_allclose(y, wanted, rtol=rtol, atol=rtol)
    assert np.isfinite(pullback(np.ones_like(y))).all()


@pytest.mark.parametrize(
    "case", [case for case in OPS if case.name in ("max", "min", "max_pool", "global_max_pool")], ids=str
)
def test_ties_pass_a_gradient_on_once(case: OpCase) -> None:
    x = np.full(case.arguments[0].sized(2), 0.5)
    y, pullback = case.op(x, **case.options)
    dy = upstream(y)
    np.testing.assert_allclose(pullback(dy).sum(), dy.sum())


@EVERY_OP
def test_an_empty_batch_goes_through(case: OpCase) -> None:
    if case.least_batch == 1 or not any(a.batched for a in case.arguments):
        return
    values = [
        np.ones(a.sized(0), dtype=np.int64 if "integers" in a.options else float) for a in case.arguments
    ]
    options = {
        k: np.ones(v.sized(0), dtype=np.int64 if v.options.get("integers") else float)
        if isinstance(v, A)
        else v
        for k, v in case.options.items()
    }
    y, pullback = case.op(*values, **options)
    if not case.couples_samples:
        assert all(len(part) == 0 for part in as_parts(y))
    for x, g in zip(values, as_parts(pullback(upstream(y))), strict=False):
        assert g is None or g.shape == x.shape


@EVERY_OP
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_the_function_of_that_name_is_the_op(case: OpCase, data: st.DataObject) -> None:
    f = case.functional or getattr(F, case.name, None)
    if f is None or case.functional is False:
        return
    values, options = drawn(data, case, data.draw(batch(case)))
    y, pullback = case.op(*values, **options)
    got = f(*values, **options)
    assert_close(got, y)
    wanted = [g for g in as_parts(pullback(upstream(y))) if g is not None]
    traced = [v for v in values if v.dtype.kind == "f"]

    def of_floats(*tensors: Any) -> Any:
        left = iter(tensors)
        return f(*(next(left) if v.dtype.kind == "f" else v for v in values), **options)

    z, back = vjp(of_floats, *traced)
    assert_close(z, y)
    assert_close(tuple(as_parts(back(upstream(y)))), tuple(wanted))


@pytest.mark.parametrize(("case", "check"), CHECKS)
def test_every_layer_keeps_its_promises(case: LayerCase, check: Any) -> None:
    check()


@pytest.mark.parametrize("case", LAYERS, ids=str)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_a_layer_computes_what_naive_loops_do(case: LayerCase, data: st.DataObject) -> None:
    if case.reference is None:
        return
    n = data.draw(st.integers(case.options.get("least_batch", 1), 3))
    shape = (n, *case.input_shape)
    made = case.make().astype("float64")
    x = data.draw(case.options["inputs"](shape) if "inputs" in case.options else A(*shape).values(n))
    rng = np.random.default_rng(0)
    for p in made.parameters():
        p.data = rng.normal(size=p.shape)
    assert_close(made.forward(x), case.reference(x, **{name: p.data for name, p in made.named_parameters()}))


@pytest.mark.parametrize("case", LOSSES, ids=str)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_a_loss_is_its_op(case: LossCase, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 4))
    predictions = [data.draw(a.values(n)) for a in case.predictions]
    target = () if case.target is None else (data.draw(case.target.values(n)),)
    made = case.make()
    named = {"target": target[0]} if target else {}
    reduction = {} if made.reduction == "mean" else {"reduction": made.reduction}
    y, pullback = getattr(ops, case.op)(*predictions, **named, **reduction)
    np.testing.assert_array_equal(made.forward(*predictions, *target), y)
    assert_close(made.backward(), pullback(np.ones(())))
    check_gradients(lambda *p: made.vjp(*p, *target), *predictions, directions=1)


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_a_loss_keeps_the_order_of_calls_and_has_a_repr(case: LossCase) -> None:
    made = case.make()
    assert repr(made).isascii()
    assert repr(made).startswith(type(made).__name__)
    with pytest.raises(RuntimeError, match="backward without a forward"):
        made.backward()
