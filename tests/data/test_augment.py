"""Augmentation: every image is one of the few that it may become, and the seed decides which."""

import pytest

from minidl.data import random_crop, random_flip
from tests.either import np

IMAGES = np.random.default_rng(0).random((200, 6, 5, 3)).astype("float32")


@pytest.mark.parametrize("axis", [1, 2])
def test_an_image_is_mirrored_or_left_as_it_is(axis):
    flipped = random_flip(IMAGES, axis=axis, seed=0)
    mirrored = np.flip(IMAGES, axis)
    which = [np.array_equal(a, b) for a, b in zip(flipped, mirrored, strict=True)]
    np.testing.assert_array_equal(flipped, np.where(np.reshape(which, (-1, 1, 1, 1)), mirrored, IMAGES))
    assert 70 < sum(which) < 130
    assert (flipped.dtype, flipped.shape) == (IMAGES.dtype, IMAGES.shape)


@pytest.mark.parametrize(("p", "expected"), [(0, IMAGES), (1, IMAGES[:, :, ::-1])])
def test_never_and_always(p, expected):
    np.testing.assert_array_equal(random_flip(IMAGES, p), expected)


@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("mode", ["constant", "edge", "reflect"])
def test_a_crop_is_a_window_of_the_padded_image(padding, mode):
    cut = random_crop(IMAGES, (4, 5), padding, mode, seed=1)
    padded = np.pad(IMAGES, [(0, 0), (padding,) * 2, (padding,) * 2, (0, 0)], mode=mode)
    found = set()
    for image, whole in zip(cut, padded, strict=True):
        places = [
            (i, j)
            for i in range(whole.shape[0] - 3)
            for j in range(whole.shape[1] - 4)
            if np.array_equal(image, whole[i : i + 4, j : j + 5])
        ]
        assert places
        found.update(places)
    assert len(found) == (3 + 2 * padding) * (1 + 2 * padding)  # every place is drawn


def test_the_seed_decides():
    for f in (lambda s: random_flip(IMAGES, seed=s), lambda s: random_crop(IMAGES, 3, seed=s)):
        np.testing.assert_array_equal(f(3), f(3))
        assert (f(3) != f(4)).any()
        rng = np.random.default_rng(3)
        np.testing.assert_array_equal(f(rng), f(3))
        assert (f(rng) != f(3)).any()  # a generator goes on


def test_the_result_is_a_new_array_and_the_images_are_as_they_were():
    before = IMAGES.copy()
    for new in (random_flip(IMAGES, 0), random_crop(IMAGES, (6, 5), seed=0)):
        np.testing.assert_array_equal(new, IMAGES)
        assert not np.shares_memory(new, IMAGES)
    np.testing.assert_array_equal(IMAGES, before)


def test_an_empty_batch():
    assert random_flip(IMAGES[:0]).shape == (0, 6, 5, 3)
    assert random_crop(IMAGES[:0], 2).shape == (0, 2, 2, 3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: random_flip(IMAGES, 1.5), ValueError, "random_flip: expected 0 <= p <= 1, got 1.5"),
        (lambda: random_flip(IMAGES, axis=0), ValueError, "random_flip: expected axis from 1 to 3, got 0"),
        (lambda: random_flip(IMAGES, axis=4), ValueError, "random_flip: expected axis from 1 to 3, got 4"),
        (lambda: random_flip([1]), TypeError, "random_flip: expected an array, got list"),
        (lambda: random_crop(IMAGES[0], 2), ValueError, "random_crop: expected at least 4 axes"),
        (lambda: random_crop(IMAGES[None], 2), ValueError, r"random_crop: expected \(N, H, W, C\)"),
        (
            lambda: random_crop(IMAGES, 6),
            ValueError,
            r"no larger than the padded image \(6, 5\), got \(6, 6\)",
        ),
        (
            lambda: random_crop(IMAGES, 0),
            ValueError,
            r"no larger than the padded image \(6, 5\), got \(0, 0\)",
        ),
        (lambda: random_crop(IMAGES, 2.5), TypeError, "cannot be interpreted as an integer"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
