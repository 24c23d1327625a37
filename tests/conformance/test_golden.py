"""PyTorch's results, stored: minidl agrees with them where PyTorch is not installed."""

from typing import Any

import pytest

from tests.conformance import sides
from tests.conformance.layer_rows import LAYERS
from tests.conformance.loss_rows import LOSSES
from tests.conformance.optimizer_rows import OPTIMIZERS
from tests.conformance.stored import PATH, TOLERANCE, ours, read, theirs

RECORDS = read()


def label(record: Any) -> str:
    return record.optimizer or record.name


@pytest.mark.parametrize("record", RECORDS, ids=label)
def test_minidl_gives_the_stored_results(record: Any) -> None:
    sides.assert_same(ours(record), record.results, TOLERANCE)


def test_pytorch_still_gives_the_stored_results(torch: Any) -> None:
    for record in RECORDS:
        sides.assert_same(theirs(torch, record), record.results, TOLERANCE)


def test_every_row_is_stored() -> None:
    missing = {*LAYERS, *LOSSES, *OPTIMIZERS} - {label(record) for record in RECORDS}
    assert not missing, "run scripts/golden.py"


def test_the_file_is_small() -> None:
    assert PATH.stat().st_size < 200_000


def test_a_wrong_result_is_found() -> None:
    record = next(record for record in RECORDS if record.name == "Conv")
    with pytest.raises(AssertionError, match="y"):
        sides.assert_same(ours(record), record.results | {"y": 1.001 * record.results["y"]}, TOLERANCE)
