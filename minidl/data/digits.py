"""The 1,797 handwritten digits that come with scikit-learn: real images without a download."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


def digits() -> "tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]":
    """Return the digits as images ``(1797, 8, 8, 1)`` in [0, 1] and labels ``(1797,)``.

    Both are NumPy arrays on either backend: a `DataLoader` moves its batches, `minidl.asarray` a whole array.

    Raises:
        ImportError: scikit-learn is not installed.

    Example:
        >>> images, labels = digits()
        >>> images.shape, images.dtype, labels[:5]
        ((1797, 8, 8, 1), dtype('float32'), array([0, 1, 2, 3, 4]))

    Source: Alpaydin and Kaynak, 1998 (UCI Machine Learning Repository).
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError('digits: scikit-learn is not installed; pip install "minidl[data]"') from error
    images, labels = load_digits(return_X_y=True)
    return (images.reshape(-1, 8, 8, 1) / 16.0).astype(np.float32), labels.astype(np.int64)
