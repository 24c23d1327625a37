"""Every planted mistake is noticed, and nothing is noticed where none is planted."""

import pytest

from tests.mutants.mistakes import MUTANTS
from tests.mutants.planting import Mutant, function_at, planted
from tests.mutants.watching import noticed_by


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_a_planted_mistake_is_noticed(mutant: Mutant, noticed: dict[str, list[str]]) -> None:
    with planted(mutant):
        noticed[mutant.name] = noticed_by(mutant.watch)
    assert noticed[mutant.name], f"nobody noticed: {mutant.name}"


@pytest.mark.parametrize("watch", sorted({entry for mutant in MUTANTS for entry in mutant.watch}))
def test_nobody_raises_a_false_alarm(watch: str) -> None:
    assert noticed_by((watch,)) == []


def test_there_are_enough_of_them_and_each_has_its_name() -> None:
    assert len(MUTANTS) >= 40
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_a_mistake_is_gone_after_it_was_planted() -> None:
    code = [function_at(mutant.where).__code__ for mutant in MUTANTS]
    for mutant in MUTANTS:
        with planted(mutant):
            pass
    assert [function_at(mutant.where).__code__ for mutant in MUTANTS] == code


def test_a_mistake_that_cannot_be_planted_says_so() -> None:
    with (
        pytest.raises(AssertionError, match="stands 0 times"),
        planted(MUTANTS[0]._replace(old="no such line")),
    ):
        pass
