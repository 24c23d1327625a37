"""The graph behind a Tensor: built, walked once, used up, and freed by reference counting alone."""

import functools
import gc
import os
import subprocess
import sys
import threading
import tracemalloc
import weakref

import pytest

import minidl
from minidl import Tensor, no_grad, ops
from minidl import functional as F
from minidl.tensor import apply
from minidl.testing import check_gradients
from tests.either import np

X, W = np.random.default_rng(0).uniform(0.5, 2.0, size=(2, 3, 3))


def leaf(x) -> Tensor:
    return Tensor(x, requires_grad=True)


def halves(x):
    """An op with two outputs; nobody may have used one of them."""

    def pullback(dy):
        # dx = 2 dy_0, 3 dy_1
        parts = [np.zeros(len(x) // 2) if d is None else d * k for d, k in zip(dy, (2, 3), strict=True)]
        return np.concatenate(parts)

    return (2 * x[: len(x) // 2], 3 * x[len(x) // 2 :]), pullback


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        (lambda a, b: a.sum() + b.sum(), [2, 2, 3, 3]),
        (lambda a, b: a.sum(), [2, 2, 0, 0]),
        (lambda a, b: b.sum(), [0, 0, 3, 3]),
        (lambda a, b: (a * b + a).sum(), [14, 26, 6, 12]),
    ],
)
def test_a_step_with_several_outputs_runs_its_pullback_once(use, expected):
    x = leaf([1.0, 2.0, 2.0, 4.0])
    a, b = apply(halves, x)
    use(a, b).backward()
    assert x.grad.tolist() == expected
    with no_grad():
        assert [t.requires_grad for t in apply(halves, x)] == [False, False]


def test_a_step_may_have_a_tuple_of_one_and_an_op_its_options_bound():
    def single(x):
        return (2 * x,), lambda dy: 2 * dy[0]

    x = leaf(X)
    (y,) = apply(single, x)
    z = apply(functools.partial(ops.softmax, axis=0), y)
    z.backward(W)
    expected = ops.softmax(2 * X, axis=0)[1](W) * 2
    np.testing.assert_array_equal(x.grad, expected)
    with pytest.raises(RuntimeError, match="graph through 'softmax' was used by an earlier backward"):
        z.backward(W)


def test_a_step_may_say_that_an_input_has_no_gradient():
    def first(x, w):
        return x * w, lambda dy: (dy * w, None)

    x, w = leaf([1.0]), leaf([3.0])
    apply(first, x, w * 2).backward()
    assert x.grad.tolist() == [6]
    assert w.grad is None


def test_diamonds_add_up_and_each_step_is_walked_once():
    calls = []

    def double(x):
        return 2 * x, lambda dy: (calls.append(1), 2 * dy)[1]

    x = leaf([1.0])
    y = x
    for _ in range(20):
        y = apply(double, y)
        y = (y + y) * 0.25  # 2 to the 20 paths
    y.backward()
    assert x.grad.tolist() == [1]
    assert len(calls) == 20


def test_unequal_paths_to_one_leaf():
    check_gradients(lambda x, w: ((x @ w + x) * F.tanh(x) / w + (w * w).sum()) * x, X, W)


def test_a_leaf_collects_over_several_backwards_and_used_twice_gets_both():
    x = leaf([2.0])
    for expected in (4, 8):
        (x * x).backward()
        assert x.grad.tolist() == [expected]


def test_accumulation_shares_memory_with_nothing():
    x, z, dy = leaf(X), leaf(W), np.ones((3, 3))
    (x + z).backward(dy)
    (x + z).backward(dy)
    dy[...] = 9
    x.grad[...] = 5
    assert (z.grad == 2).all()
    w = leaf(X)
    w.backward(dy)  # a leaf is its own result
    dy[...] = 1
    assert (w.grad == 9).all()


@pytest.fixture
def _without_collector():
    """Free by reference counting alone; beside, the collector would walk over every long graph."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_without_collector")
def test_a_hundred_thousand_steps_run_differentiate_and_are_freed():
    def chain():
        x = y = leaf([1.0])
        for _ in range(100_000):
            y = y + 0.001
        return x, y

    x, y = chain()
    y.backward()
    assert x.grad.tolist() == [1]
    del x, y
    chain()  # dropped without a backward


@pytest.mark.usefixtures("_without_collector")
def test_memory_returns_when_a_graph_is_dropped():
    layer = minidl.Linear(3, 2, seed=0)

    def graph():
        x = leaf(np.ones((300, 3), "float32"))
        a, b = apply(halves, F.softmax(layer(F.relu(x + 1))).reshape(-1) @ np.ones((600, 600), "float32"))
        return x, (a * b).sum()

    x, y = graph()
    held = weakref.ref(x)
    del x, y
    assert held() is None
    x, y = graph()
    y.backward()
    held, made = weakref.ref(x), weakref.ref(y)
    del x, y
    assert (held(), made()) == (None, None)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(5):
        graph()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 20_000  # of some megabytes


def test_pullbacks_are_freed_as_they_are_used():
    held = []

    def step(x):
        kept = x.copy()
        held.append(weakref.ref(kept))

        def pullback(dy):
            alive.append(sum(ref() is not None for ref in held))
            return dy * kept

        return x * 1.0, pullback

    alive = []
    y = leaf([1.0])
    for _ in range(4):
        y = apply(step, y)
    y.backward()
    assert alive == [4, 3, 2, 1]


def test_a_second_backward_says_that_the_graph_was_used():
    x = leaf([1.0])
    h = x * 2
    y, z = h.sum(), (h * 3).sum()
    y.backward()
    for used in (y, z, h):
        with pytest.raises(
            RuntimeError, match=r"graph through '\w+' was used by an earlier backward; run the"
        ):
            used.backward()
    assert x.grad.tolist() == [2]  # as it was


def test_no_grad_records_nothing_and_ends_with_its_block():
    x = leaf([1.0])
    with no_grad():
        assert not (x * 2).requires_grad
        y, pullback = minidl.vjp(lambda t: t * 3, X)  # what asks for a derivative gets it
        assert (pullback(np.ones_like(y)) == 3).all()
        with pytest.raises(ZeroDivisionError), no_grad():
            raise ZeroDivisionError
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad


def test_no_grad_holds_for_its_own_thread_alone():
    x, seen, inside, leave = leaf([1.0]), {}, threading.Event(), threading.Event()

    def quiet():
        with no_grad():
            inside.set()
            leave.wait(5)
            seen["quiet"] = (x * 2).requires_grad

    thread = threading.Thread(target=quiet)
    thread.start()
    inside.wait(5)
    seen["main"] = (x * 2).requires_grad
    leave.set()
    thread.join()
    assert seen == {"main": True, "quiet": False}


def in_debug(code: str) -> str:
    """Run a script under MINIDL_DEBUG=1; return the last line it says."""
    header = "import numpy as np, minidl\nfrom minidl import Tensor, functional as F\n"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", header + code],
        env={**os.environ, "MINIDL_DEBUG": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return (run.stderr or run.stdout).splitlines()[-1]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (
            "x = Tensor(np.ones(3), requires_grad=True); y = (x * x).sum(); x.data[0] = 5; y.backward()",
            "RuntimeError: multiply: an array was written to in place between forward and backward",
        ),
        (
            "a = np.ones((1, 2), 'float32'); l = minidl.Linear(2, 2); y = l(Tensor(a)); a[0] = 7\n"
            "y.sum().backward()",
            "RuntimeError: Linear(2, 2): an array was written to in place between forward and backward",
        ),
        ("x = Tensor(np.ones(3), requires_grad=True); (x * x).sum().backward(); print(x.grad)", "[2. 2. 2.]"),
    ],
)
def test_debug_finds_what_was_written_to_in_place(code, says):
    assert in_debug(code) == says
