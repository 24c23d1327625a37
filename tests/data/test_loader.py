"""The loader hands out every sample once per epoch, in the order of its seed, as arrays of its own."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import backend
from minidl.backend import to_numpy, xp
from minidl.data.loader import DataLoader


def epoch(loader) -> list[int]:
    """All samples of one epoch in order."""
    return [int(n) for batch in loader for n in to_numpy(batch)]


@given(st.integers(0, 40), st.integers(1, 12), st.booleans(), st.booleans(), st.integers(0, 9))
def test_every_sample_occurs_once_except_those_of_a_dropped_short_batch(
    n, size, shuffle, drop_last, seed
) -> None:
    loader = DataLoader(np.arange(n), size, shuffle=shuffle, drop_last=drop_last, seed=seed)
    batches = [to_numpy(batch) for batch in loader]
    samples = [int(i) for batch in batches for i in batch]
    kept = n - n % size if drop_last else n
    assert len(batches) == len(loader)
    assert all(len(batch) == size for batch in batches[:-1])
    assert len(set(samples)) == len(samples) == kept
    assert set(samples) <= set(range(n))
    assert shuffle or samples == list(range(kept))


@pytest.mark.parametrize("drop_last", [False, True])
def test_m18_the_last_full_batch_is_not_dropped(drop_last) -> None:
    loader = DataLoader(np.zeros((128, 3), np.float32), batch_size=32, drop_last=drop_last)
    assert [batch.shape for batch in loader] == [(32, 3)] * 4
    assert len(loader) == 4


def test_each_epoch_has_its_own_order_and_a_seed_repeats_them_all() -> None:
    first, second = (DataLoader(np.arange(50), 8, shuffle=True, seed=1) for _ in range(2))
    orders = [epoch(first) for _ in range(3)]
    assert orders == [epoch(second) for _ in range(3)]
    assert len({tuple(order) for order in orders}) == 3
    assert orders[0] != epoch(DataLoader(np.arange(50), 8, shuffle=True, seed=2))


def test_without_a_seed_the_default_generator_decides() -> None:
    backend.seed(7)
    first = epoch(DataLoader(np.arange(50), 8, shuffle=True))
    backend.seed(7)
    assert epoch(DataLoader(np.arange(50), 8, shuffle=True)) == first
    assert epoch(DataLoader(np.arange(50), 8, shuffle=True)) != first
    generator = np.random.default_rng(3)
    assert epoch(DataLoader(np.arange(50), 8, shuffle=True, seed=generator)) != epoch(
        DataLoader(np.arange(50), 8, shuffle=True, seed=generator)
    )


def test_arrays_side_by_side_stay_side_by_side() -> None:
    images = np.arange(30, dtype=np.float32).reshape(10, 3)
    for x, y in DataLoader((images, np.arange(10)), 4, shuffle=True, seed=0):
        np.testing.assert_array_equal(to_numpy(x), images[to_numpy(y)])
        assert x.dtype == np.float32
        assert y.dtype == np.int64


def test_a_batch_is_an_array_of_the_backend_that_shares_nothing_with_the_data() -> None:
    data = np.arange(12, dtype=np.float32).reshape(6, 2)
    for shuffle in (False, True):
        batches = list(DataLoader(data, 2, shuffle=shuffle, seed=0))
        for batch in batches:
            assert isinstance(batch, xp.ndarray)
            batch[...] = -1.0
        assert len({id(batch) for batch in batches}) == 3
    np.testing.assert_array_equal(data, np.arange(12).reshape(6, 2))


def test_strided_data_comes_out_contiguous() -> None:
    data = np.arange(24, dtype=np.float32).reshape(4, 6).T
    assert all(batch.flags.c_contiguous for batch in DataLoader(data, 4))


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_memory_map_is_read_by_slices(tmp_path, shuffle) -> None:
    np.save(tmp_path / "x.npy", np.arange(20))
    source = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert sorted(epoch(DataLoader(source, 6, shuffle=shuffle, seed=0))) == list(range(20))


class FileLike:
    """As HDF5: takes slices and strictly increasing indices, nothing else."""

    def __init__(self, n: int) -> None:
        self.rows = np.arange(2 * n).reshape(n, 2)
        self.shape = self.rows.shape

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):
        if not isinstance(index, slice) and np.any(np.diff(index) <= 0):
            raise TypeError("indices must increase")
        return self.rows[index]


def test_a_file_backed_source_is_read_in_increasing_order_and_handed_out_in_the_drawn_one() -> None:
    expected = [to_numpy(b).tolist() for b in DataLoader(FileLike(20).rows, 6, shuffle=True, seed=0)]
    assert [to_numpy(b).tolist() for b in DataLoader(FileLike(20), 6, shuffle=True, seed=0)] == expected


def test_a_source_that_slices_something_else_than_rows_is_refused() -> None:
    class Columns(FileLike):
        def __getitem__(self, index):
            return self.rows.T

    with pytest.raises(ValueError, match=r"DataLoader: expected 6 rows from Columns, got 2"):
        next(iter(DataLoader(Columns(20), 6, shuffle=True, seed=0)))


def test_samples_in_a_list_are_stacked() -> None:
    samples = [(np.full((2, 2), i, np.float32), i) for i in range(5)]
    (x, y), (x_last, _) = list(DataLoader(samples, 3))
    assert (x.shape, x.dtype) == ((3, 2, 2), np.float32)
    assert to_numpy(y).tolist() == [0, 1, 2]
    assert x_last.shape == (2, 2, 2)
    assert next(iter(DataLoader([0.5, 1.5], 2))).dtype == np.float32


def test_a_stream_of_samples_is_read_as_it_comes() -> None:
    class Stream:
        def __iter__(self):
            return iter(range(7))

    loader = DataLoader(Stream(), 3)
    assert [to_numpy(b).tolist() for b in loader] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [to_numpy(b).tolist() for b in DataLoader(Stream(), 3, drop_last=True)] == [[0, 1, 2], [3, 4, 5]]
    assert epoch(loader) == list(range(7))
    with pytest.raises(TypeError, match=r"DataLoader: a source without a length has no number of batches"):
        len(loader)


def test_an_iterator_serves_one_epoch_and_says_so() -> None:
    loader = DataLoader((n for n in range(5)), 2)
    assert epoch(loader) == list(range(5))
    with pytest.raises(RuntimeError, match=r"DataLoader: the iterator it reads was used up; give it a list"):
        iter(loader)


@pytest.mark.parametrize("source", [np.arange(20), [*range(20)]], ids=["array", "samples"])
def test_a_restored_loader_goes_on_where_the_other_stood(source) -> None:
    loader = DataLoader(source, 3, shuffle=True, seed=5)
    epoch(loader)
    running = iter(loader)
    for _ in range(2):
        next(running)
    state = loader.state()
    restored = DataLoader(source, 3, shuffle=True, seed=99)
    restored.load_state(state)
    assert restored.state() == state == {"seed": 5, "epoch": 1, "position": 2}
    assert epoch(restored) == [int(n) for batch in running for n in to_numpy(batch)]
    assert epoch(restored) == epoch(loader)
    assert restored.state() == loader.state() == {"seed": 5, "epoch": 3, "position": 0}


def test_a_restored_stream_skips_what_was_handed_out() -> None:
    class Stream:
        def __iter__(self):
            return iter(range(7))

    loader = DataLoader(Stream(), 3)
    loader.load_state({"seed": 0, "epoch": 4, "position": 1})
    assert epoch(loader) == [3, 4, 5, 6]


def test_an_epoch_that_was_left_early_is_not_continued() -> None:
    loader = DataLoader(np.arange(6), 2)
    assert to_numpy(next(iter(loader))).tolist() == [0, 1]
    assert to_numpy(next(iter(loader))).tolist() == [0, 1]
    assert len(list(islice(loader, 2))) == 2


def test_an_empty_source_has_no_batches() -> None:
    assert list(DataLoader(np.zeros((0, 3)), 4)) == []
    assert list(DataLoader([], 4, shuffle=True)) == []


@pytest.mark.parametrize(
    ("source", "options", "error", "message"),
    [
        (np.arange(4), {"batch_size": 0}, ValueError, "DataLoader: expected batch_size >= 1, got 0"),
        (
            np.arange(4),
            {"batch_size": 2.0},
            TypeError,
            "DataLoader: expected batch_size as an int, got float",
        ),
        (
            (np.zeros((4, 2)), np.zeros(3)),
            {},
            ValueError,
            "DataLoader: expected arrays of one length, got 4 and 3",
        ),
        ((), {}, TypeError, "DataLoader: expected a tuple of arrays"),
        ((np.zeros(3), iter([1])), {}, TypeError, r"several streams are zip\(a, b\)"),
        (
            np.float32(1.0),
            {},
            ValueError,
            "DataLoader: expected arrays with at least one axis, got a 0-d array",
        ),
        ({"x": np.zeros(3)}, {}, TypeError, "expected arrays, a sequence or an iterable, got dict"),
        (3, {}, TypeError, "expected arrays, a sequence or an iterable, got int"),
        (
            iter([1]),
            {"shuffle": True},
            TypeError,
            "DataLoader: expected a source with a length, to shuffle it, got",
        ),
    ],
)
def test_what_is_no_source_is_refused(source, options, error, message) -> None:
    with pytest.raises(error, match=message):
        DataLoader(source, **{"batch_size": 2, **options})


def test_samples_of_different_shapes_are_refused() -> None:
    samples = [np.zeros(2), np.zeros(3)]
    with pytest.raises(
        ValueError, match=r"expected samples of one shape, got \(2,\) and \(3,\); arrays side by side"
    ):
        next(iter(DataLoader(samples, 2)))


def test_a_state_of_something_else_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"DataLoader: expected a state of \['epoch', 'position', 'seed'\], got"
    ):
        DataLoader(np.arange(4), 2).load_state({"epoch": 1})


class Labelled:
    """As a series of pandas: `source[...]` goes by label, `iloc` and `to_numpy` go by position."""

    def __init__(self, values, labels) -> None:
        self._values = np.asarray(values)
        self._places = {label: place for place, label in enumerate(labels)}
        self.shape = self._values.shape
        self.dtype = self._values.dtype

    iloc = property(lambda self: self._values)

    def to_numpy(self):
        return self._values

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self._values[index]
        return self._values[[self._places[label] for label in np.atleast_1d(index)]]


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_source_with_labels_of_its_own_is_read_by_position(shuffle) -> None:
    series = Labelled(10 * np.arange(6), labels=[3, 0, 5, 1, 4, 2])
    for x, y in DataLoader((np.arange(6), series), 2, shuffle=shuffle, seed=0):
        assert to_numpy(y).tolist() == [10 * n for n in to_numpy(x)]
    assert sorted(epoch(DataLoader(series, 4, shuffle=shuffle, seed=0))) == [0, 10, 20, 30, 40, 50]


def test_a_seed_is_its_number_whatever_counts_it() -> None:
    orders = [
        epoch(DataLoader(np.arange(50), 8, shuffle=True, seed=n)) for n in (3, np.int64(3), np.uint8(3))
    ]
    assert orders[0] == orders[1] == orders[2]


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (np.int64(-1), ValueError), ("a", TypeError)])
def test_what_is_no_seed_is_refused_at_once(seed, error) -> None:
    with pytest.raises(error, match=r"seed: expected an int"):
        DataLoader(np.arange(4), 2, shuffle=True, seed=seed)


def test_a_batch_size_may_be_counted_by_numpy() -> None:
    loader = DataLoader(np.arange(5), np.int64(2))
    assert (loader.batch_size, [batch.shape for batch in loader]) == (2, [(2,), (2,), (1,)])
    with pytest.raises(TypeError, match="DataLoader: expected batch_size as an int, got bool"):
        DataLoader(np.arange(5), True)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([{"x": 1}, {"x": 2}], r"got dict; turn each into an array, a number or a tuple of these"),
        ([None, 1], "got NoneType; turn"),
        (["a", "b"], "got str; turn"),
        ([(1, "a"), (2, "b")], "got str; turn"),
        ([[1, 2], [3]], "got list; turn"),
        ([[1, None], [3, 4]], "got list; turn"),
        ([1, {"x": 2}], "got int; turn"),
        (iter([{"x": 1}]), "got dict; turn"),
        ([np.array(["a"]), np.array(["b"])], "got ndarray; turn"),
    ],
)
def test_samples_that_no_layer_takes_are_refused(source, message) -> None:
    with pytest.raises(TypeError, match="DataLoader: expected samples of numbers, " + message):
        next(iter(DataLoader(source, 2)))


@pytest.mark.parametrize(
    "source",
    [np.array(["a", "b"]), np.array([None, 1]), np.array(["2026-01-01"], "M8[D]"), np.zeros(2, "i4,f4")],
)
@pytest.mark.parametrize("paired", [False, True])
def test_arrays_of_something_else_than_numbers_are_refused_at_once(source, paired) -> None:
    with pytest.raises(TypeError, match=r"DataLoader: expected an array of numbers, got .*; convert it"):
        DataLoader((source, source) if paired else source, 2)


@pytest.mark.parametrize(
    "samples", [[(1, 2), (3,)], [(1,), (2, 3)], [(1, 2), 3], [(1, 2), np.zeros(2)], [(1, 2), [3, 4]]]
)
def test_samples_that_are_tuples_have_equally_many_parts(samples) -> None:
    with pytest.raises(
        ValueError, match=r"DataLoader: expected every sample as a tuple of \d, as the first one"
    ):
        next(iter(DataLoader(samples, 2)))


def test_arrays_and_bare_numbers_do_not_mix() -> None:
    for samples in ([np.zeros(2), 1], [1, np.zeros(2)], [np.zeros(2), (1, 2)]):
        with pytest.raises((TypeError, ValueError), match="DataLoader: expected samples of"):
            next(iter(DataLoader(samples, 2)))
