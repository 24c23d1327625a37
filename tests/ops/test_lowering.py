"""Windows over images: which there are, and the lowering of their contents to rows."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.ops._lowering import make_window, taps
from minidl.ops.conv import im2row, row2im
from tests.either import hosted, np
from tests.windows import Geometry, ceil_output_size, entries, geometries, naive_im2row, output_size


def integers(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 1000, size=shape)


@given(geometries(), st.integers(0, 3), st.integers(1, 3))
def test_im2row_copies_every_window(g: Geometry, n: int, c: int) -> None:
    x = integers((n, *g.size, c))
    rows, _ = im2row(x, **g.options())
    assert rows.dtype == x.dtype
    expected = hosted(naive_im2row)(x, g)
    if n:
        np.testing.assert_array_equal(rows, expected)
    assert rows.shape == (n, *output_size(g), c * np.prod(g.kernel_size))


@given(geometries(), st.integers(0, 3), st.integers(1, 3))
def test_row2im_is_the_adjoint_of_im2row_exactly(g: Geometry, n: int, c: int) -> None:
    x = integers((n, *g.size, c))
    rows, im2row_pullback = im2row(x, **g.options())
    r = integers(rows.shape, seed=1)
    image, row2im_pullback = row2im(r, input_shape=x.shape, **g.options())
    assert (image.shape, image.dtype) == (x.shape, x.dtype)
    assert (rows * r).sum() == (x * image).sum()
    np.testing.assert_array_equal(im2row_pullback(r), image)
    np.testing.assert_array_equal(row2im_pullback(x), rows)


@given(geometries(), st.integers(0, 1))
def test_the_lowering_is_linear(g: Geometry, c: int) -> None:
    x, z = integers((2, *g.size, c + 1)), integers((2, *g.size, c + 1), seed=1)
    (of_sum, _), (of_x, _), (of_z, _) = (im2row(a, **g.options()) for a in (3 * x - 2 * z, x, z))
    np.testing.assert_array_equal(of_sum, 3 * of_x - 2 * of_z)


def test_row2im_counts_how_often_a_pixel_is_seen() -> None:
    x = np.ones((1, 4, 1), np.int64)
    rows, pullback = im2row(x, kernel_size=3)
    assert pullback(np.ones_like(rows)).ravel().tolist() == [1, 2, 2, 1]


def test_the_entries_of_a_row_are_ordered_as_the_weights_of_a_convolution() -> None:
    x = np.arange(2 * 3 * 2).reshape(1, 2, 3, 2)
    rows, _ = im2row(x, kernel_size=2)
    assert rows[0, 0, 0].tolist() == [0, 1, 2, 3, 6, 7, 8, 9]


def test_the_lowering_serves_any_batch_size() -> None:  # an index built for the first batch breaks the next
    options = {"kernel_size": 2, "padding": 1}
    for n in (2, 3, 1, 0, 300):
        x = integers((n, 3, 3, 1))
        rows, pullback = im2row(x, **options)
        assert rows.shape == (n, 4, 4, 4)
        assert pullback(rows).shape == x.shape
        np.testing.assert_array_equal(rows[-1:], im2row(x[-1:], **options)[0])


def test_axes_of_length_one_with_odd_strides_are_read_right() -> None:
    # NumPy calls these contiguous whatever the strides of the axes of length 1.
    base = integers((4, 6, 6, 5))
    x = base[:, :, :, 2:3]
    odd = np.lib.stride_tricks.as_strided(x.copy(), (1, 6, 6, 1), (8, 48, 8, 1 << 20))
    for a in (x, x[:1], base[:1, :, 2:3], odd):
        np.testing.assert_array_equal(
            im2row(a, kernel_size=(3, 1))[0], im2row(a.copy(), kernel_size=(3, 1))[0]
        )
    assert im2row(odd, kernel_size=2)[0][0, 4, 4].tolist() == odd[0, 4:, 4:, 0].ravel().tolist()


def test_rows_and_images_are_arrays_of_their_own() -> None:
    x = integers((2, 3, 3, 2))
    x.flags.writeable = False
    rows, pullback = im2row(x, kernel_size=1)
    assert not np.shares_memory(rows, x)
    assert not np.shares_memory(pullback(rows), rows)


def test_half_precision_is_added_up_in_single() -> None:
    rows = np.ones((1, 3, 3), np.float16)
    rows[0, 2, 0] = 2048  # to which half precision cannot add 1, but 2
    image, _ = row2im(rows, input_shape=(1, 5, 1), kernel_size=3)
    assert image.dtype == np.float16
    assert image.ravel().tolist() == [1, 2, 2050, 2, 1]


@given(geometries())
def test_taps_visit_what_each_window_sees(g: Geometry) -> None:
    window = make_window(*g, owner="op")
    seen = []
    for entry, outs, ins in taps(window):
        windows = itertools.product(*(range(n)[s] for n, s in zip(window.output, outs[1:], strict=True)))
        positions = itertools.product(*(range(n)[s] for n, s in zip(g.size, ins[1:], strict=True)))
        seen += [(entry, *pair) for pair in zip(windows, positions, strict=True)]
    expected = [(k, w, at) for w in np.ndindex(output_size(g)) for k, at, inside in entries(g, w) if inside]
    assert sorted(seen) == sorted(expected)


@given(geometries(ceil=True))
def test_ceil_mode_covers_the_image_and_starts_no_window_behind_it(g: Geometry) -> None:
    assert make_window(*g, owner="op", ceil_mode=True).output == ceil_output_size(g)
    assert make_window(*g, owner="op").output == output_size(g)


@given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3))
def test_same_padding_gives_one_window_for_each_stride(n: int, k: int, s: int, d: int) -> None:
    window = make_window((n,), k, s, "same", d, "op")
    assert window.output == (-(-n // s),)
    before, after = window.padding[0]
    assert after - before in (0, 1)  # the odd pixel comes after


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        (2, ((2, 2), (2, 2))),
        ((1, 2), ((1, 1), (2, 2))),
        (((0, 1), (2, 3)), ((0, 1), (2, 3))),
        ([1, (0, 2)], ((1, 1), (0, 2))),
        ("valid", ((0, 0), (0, 0))),
        ("same", ((1, 1), (0, 1))),
        (np.int64(1), ((1, 1), (1, 1))),
    ],
)
def test_padding_may_be_spelled_in_many_ways(padding: object, expected: object) -> None:
    assert make_window((5, 5), (3, 2), 1, padding, 1, "op").padding == expected


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"stride": 0}, ValueError, r"im2row: expected stride of at least 1, got 0"),
        ({"stride": (1, -1)}, ValueError, r"stride of at least 1, got \(1, -1\)"),
        ({"dilation": 0}, ValueError, "dilation of at least 1, got 0"),
        ({"kernel_size": 0}, ValueError, "kernel_size of at least 1, got 0"),
        (
            {"kernel_size": (3, 3, 3)},
            ValueError,
            r"kernel_size of 2 entries, one for each axis, got \(3, 3, 3\)",
        ),
        ({"kernel_size": 2.0}, TypeError, r"kernel_size as an int or one for each axis, got 2\.0"),
        ({"stride": None}, TypeError, "stride as an int or one for each axis, got None"),
        ({"padding": -1}, ValueError, "padding of at least 0, got -1"),
        (
            {"padding": (1, 2, 3)},
            ValueError,
            r"padding of 2 entries, an int or \(before, after\) for each axis",
        ),
        ({"padding": ((1, 2, 3), 0)}, ValueError, "padding of 2 entries"),
        ({"padding": "full"}, ValueError, 'padding as "same", "valid" or numbers, got \'full\''),
        ({"padding": 0.5}, TypeError, r"padding as an int or one for each axis, got 0\.5"),
        (
            {"kernel_size": (2, 8)},
            ValueError,
            r"no larger than its padded input \(5, 7\), got kernel_size=\(2, 8\) that reaches",
        ),
        ({"kernel_size": 3, "dilation": 3}, ValueError, r"reaches over \(7, 7\)"),
    ],
)
def test_options_that_make_no_sense_are_refused(changes: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        im2row(np.zeros((1, 5, 7, 2)), **({"kernel_size": 2} | changes))


@pytest.mark.parametrize("shape", [(), (4,), (4, 5), (1, 2, 3, 4, 5, 6)])
def test_an_array_that_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"im2row: expected \(N, T, C\) or \(N, H, W, C\) or \(N, D, H, W, C\)"
    ):
        im2row(np.zeros(shape), kernel_size=1)
    with pytest.raises(ValueError, match=r"row2im: expected input_shape as \(N, \*spatial, C\)"):
        row2im(np.zeros((1, 1, 1)), input_shape=shape, kernel_size=1)


def test_rows_of_another_image_are_refused() -> None:
    with pytest.raises(ValueError, match=r"row2im: expected shape \(1, 3, 3, 8\), got \(1, 3, 3, 4\)"):
        row2im(np.zeros((1, 3, 3, 4)), input_shape=(1, 4, 4, 2), kernel_size=2)


def test_a_list_is_refused() -> None:
    with pytest.raises(TypeError, match="im2row: expected an array, got list"):
        im2row([[[1]]], kernel_size=1)
    with pytest.raises(TypeError, match="row2im: expected an array, got list"):
        row2im([[[1]]], input_shape=(1, 1, 1), kernel_size=1)
