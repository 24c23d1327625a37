"""Who notices a mistake: the public checks and the tests of the contract, run over the rows concerned."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from minidl.testing import GradientError, check_gradients, layer_checks
from tests import test_contract as contract
from tests import test_contract_training as training
from tests.cases import LAYERS, LOSSES, OPS
from tests.either import np

EXAMPLES = 6
Watcher = tuple[str, Callable[[], object]]

OF_OPS = {
    "loops": contract.test_the_value_is_that_of_naive_loops,
    "check_gradients": contract.test_the_pullback_is_the_derivative,
    "dtype": contract.test_the_dtype_is_kept,
    "layout": contract.test_any_memory_layout_gives_the_same_and_nothing_is_written_to,
    "re-entrancy": contract.test_pullbacks_are_re_entrant,
    "rows": contract.test_a_batch_equals_its_rows,
    "large batch": contract.test_a_large_batch_equals_its_halves,
    "empty batch": contract.test_an_empty_batch_goes_through,
    "function": contract.test_the_function_of_that_name_is_the_op,
}


def drawing(test: Any, **row: Any) -> Callable[[], object]:
    """A test of the contract on one row, on the same few examples each time, and not made small."""
    if not hasattr(test, "hypothesis"):
        return lambda: test(**row)
    inner = test.hypothesis.inner_test

    @settings(
        max_examples=EXAMPLES,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def probe(data: st.DataObject) -> None:
        inner(data=data, **row)

    return probe


def rows_of(test: Any) -> list[dict[str, Any]]:
    """The arguments with which pytest calls a test."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    choices = []
    for mark in marks:
        names, values = mark.args
        names = (names,) if isinstance(names, str) else names
        choices.append([dict(zip(names, v if len(names) > 1 else (v,), strict=True)) for v in values])
    return [{k: v for part in parts for k, v in part.items()} for parts in itertools.product(*choices)]


def of_op(name: str) -> Iterator[Watcher]:
    for case in (case for case in OPS if case.name == name):
        yield from ((f"{label}", drawing(test, case=case)) for label, test in OF_OPS.items())
        if case.extreme:
            for dtype in contract.DTYPES:
                yield (
                    "extreme logits",
                    drawing(contract.test_extreme_logits_stay_finite, case=case, dtype=dtype),
                )
        if {"case": case} in rows_of(contract.test_ties_pass_a_gradient_on_once):
            yield "ties", drawing(contract.test_ties_pass_a_gradient_on_once, case=case)


def of_layer(name: str) -> Iterator[Watcher]:
    for case in (case for case in LAYERS if type(case.make()).__name__ == name):
        for check in layer_checks(case.make, case.input_shape, examples=EXAMPLES, **case.options):
            yield f"check_layer: {check.name}", dataclasses.replace(check, shrink=False)
        yield "layer loops", drawing(contract.test_a_layer_computes_what_naive_loops_do, case=case)


def of_loss(name: str) -> Iterator[Watcher]:
    for case in (case for case in LOSSES if type(case.make()).__name__ == name):
        yield "loss", drawing(contract.test_a_loss_is_its_op, case=case)


def of_training(name: str) -> Iterator[Watcher]:
    test = getattr(training, name)
    yield from (("training", drawing(test, **row)) for row in rows_of(test))


def checker() -> Iterator[Watcher]:
    def passes_what_is_right() -> None:
        check_gradients(lambda x: (x * x, lambda dy: 2 * dy * x), np.array([1.0, 2.0, 3.0]))

    def refuses_what_is_wrong() -> None:
        try:
            check_gradients(lambda x: (x * x, lambda dy: 2.002 * dy * x), np.array([1.0, 2.0, 3.0]))
        except GradientError:
            return
        raise AssertionError("a gradient wrong by a thousandth passes")

    yield "square at 1, 2, 3", passes_what_is_right
    yield "a thousandth", refuses_what_is_wrong


KINDS = {"op": of_op, "layer": of_layer, "loss": of_loss, "training": of_training}


def noticed_by(watch: tuple[str, ...]) -> list[str]:
    """The names of those who notice something wrong, each once."""
    found: dict[str, None] = {}
    for entry in watch:
        kind, _, name = entry.partition(" ")
        watchers = list(checker() if kind == "checker" else KINDS[kind](name))
        assert watchers, f"{entry}: there is no such row"
        for label, run in watchers:
            if label in found:
                continue
            try:
                run()
            except (Exception, pytest.fail.Exception):  # the latter is what pytest.raises raises
                found[label] = None
    return list(found)
