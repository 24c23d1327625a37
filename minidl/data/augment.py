"""Augmentation: batches of images, flipped and shifted at random.

Each function takes a seed or, in a loop, a generator: ``rng = numpy.random.default_rng(0)`` before it, and
``random_flip(images, seed=rng)`` inside. Numbers are drawn on the host, so that both backends see the same.
"""

import operator

from minidl.backend import Array, Seed, check_rank, generator, xp
from minidl.ops import pad


def random_flip(images: Array, p: float = 0.5, axis: int = 2, *, seed: Seed = None) -> Array:
    """Mirror each image with probability p, left to right by default.

    Args:
        images: ``(N, H, W, C)``, or any ``(N, ...)`` with an axis to mirror.
        p: the probability, from 0 to 1.
        axis: along which to mirror: 2 swaps left and right, 1 top and bottom.
        seed: an int, a generator, or None for the default generator.

    Returns:
        A new array of the shape and dtype of ``images``.

    Raises:
        TypeError: not an array.
        ValueError: a probability outside 0 to 1, or an axis that is that of the batch or is missing.

    Example:
        >>> from minidl.backend import asarray
        >>> random_flip(asarray([[[[1.0], [2.0], [3.0]]]]), p=1).ravel()
        array([3., 2., 1.], dtype=float32)
    """
    check_rank(images, "random_flip", at_least=2)
    if not 0 <= p <= 1:
        raise ValueError(f"random_flip: expected 0 <= p <= 1, got {p}")
    if not 0 < axis < images.ndim:
        raise ValueError(f"random_flip: expected axis from 1 to {images.ndim - 1}, got {axis}")
    chosen = xp.asarray(generator(seed).random(len(images)) < p)
    mirrored = images[(slice(None),) * axis + (slice(None, None, -1),)]
    return xp.where(chosen.reshape(-1, *(1,) * (images.ndim - 1)), mirrored, images)


def random_crop(
    images: Array,
    size: int | tuple[int, int],
    padding: int = 0,
    mode: str = "constant",
    *,
    seed: Seed = None,
) -> Array:
    """Cut a window out of each image, at a place of its own.

    With ``size`` that of the images, and some padding, images are shifted by up to so many pixels.

    Args:
        images: ``(N, H, W, C)``.
        size: of the windows, ``(height, width)`` or an int for both.
        padding: pixels to add on all four sides first.
        mode: how to pad: ``"constant"`` for zeros, ``"edge"`` or ``"reflect"``, as in `functional.pad`.
        seed: an int, a generator, or None for the default generator.

    Returns:
        A new array ``(N, height, width, C)``.

    Raises:
        TypeError: not an array, or a size that is not whole.
        ValueError: not ``(N, H, W, C)``, or a window that is empty or larger than the padded image.

    Example:
        >>> from minidl.backend import xp
        >>> random_crop(xp.ones((8, 32, 32, 3)), 32, padding=4, seed=0).shape
        (8, 32, 32, 3)
    """
    check_rank(images, "random_crop", at_least=4)
    if images.ndim != 4:
        raise ValueError(f"random_crop: expected (N, H, W, C), got {images.shape}")
    height, width = map(operator.index, size if isinstance(size, tuple) else (size, size))
    around = (padding, padding)
    padded = pad(images, width=[(0, 0), around, around, (0, 0)], mode=mode)[0]
    room = padded.shape[1] - height, padded.shape[2] - width
    if min(height, width) < 1 or min(room) < 0:
        raise ValueError(
            f"random_crop: expected a window no larger than the padded image {padded.shape[1:3]}, "
            f"got {(height, width)}"
        )
    places = generator(seed).integers(0, [room[0] + 1, room[1] + 1], (len(images), 2))
    top, left = (xp.asarray(p)[:, None] for p in places.T)
    rows, columns = top + xp.arange(height), left + xp.arange(width)
    return padded[xp.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]
