"""The parts of a loader: together they are its batches, sample by sample and in order."""

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.data.loader import DataLoader
from tests.either import np

DATA = np.arange(11.0)
SOURCES = {
    "array": DATA,
    "list": DATA.tolist(),
    "tuple": (DATA, -DATA),
    "samples": [(x, -x) for x in DATA.tolist()],
}


def listed(batch) -> list:
    return np.stack(batch, axis=1).tolist() if isinstance(batch, tuple) else batch.tolist()


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@given(batch_size=st.integers(1, 12), parts=st.integers(1, 5), shuffle=st.booleans(), drop_last=st.booleans())
def test_the_parts_make_up_the_batches(source, batch_size, parts, shuffle, drop_last) -> None:
    loader = DataLoader(source, batch_size, shuffle, drop_last, seed=3)
    shards = [loader.shard(part, parts) for part in range(parts)]
    for _ in range(2):
        for batch, *its_parts in zip(loader, *shards, strict=True):
            rows = [listed(part) for part in its_parts]
            assert [*chain(*rows)] == listed(batch)
            assert max(map(len, rows)) - min(map(len, rows)) <= 1
    assert all(len(shard) == len(loader) for shard in shards)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_so_do_those_of_a_stream(parts) -> None:
    shards = [DataLoader((x for x in SOURCES["samples"]), 3).shard(part, parts) for part in range(parts)]
    for batch, *its_parts in zip(DataLoader(SOURCES["samples"], 3), *shards, strict=True):
        assert [*chain(*map(listed, its_parts))] == listed(batch)


@pytest.mark.parametrize("source", [np.zeros((1, 2, 3), np.float32), [np.zeros((2, 3), np.float32)]])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_part_without_samples_has_their_shape_and_dtype(source, shuffle) -> None:
    (batch,) = DataLoader(source, 4, shuffle).shard(0, 2)
    assert batch.shape == (0, 2, 3)
    assert batch.dtype == np.float32


def test_a_part_has_a_place_in_the_data_of_its_own_and_goes_on_from_that_of_the_whole() -> None:
    loader = DataLoader(DATA, 2, shuffle=True, seed=1)
    shard, rest = loader.shard(1, 2), iter(loader)
    next(rest)
    shard.load_state(loader.state())
    assert [part.tolist() for part in shard] == [batch[len(batch) // 2 :].tolist() for batch in rest]


@pytest.mark.parametrize(("part", "parts"), [(2, 2), (-1, 2), (0, 0)])
def test_a_part_that_there_is_not_is_refused(part, parts) -> None:
    with pytest.raises(ValueError, match=r"shard: expected part from 0 to below parts"):
        DataLoader(DATA, 2).shard(part, parts)


def test_a_part_of_a_part_is_refused() -> None:
    with pytest.raises(ValueError, match="shard: expected a loader of whole batches"):
        DataLoader(DATA, 2).shard(0, 2).shard(0, 2)
