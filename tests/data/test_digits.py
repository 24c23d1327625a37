"""The digits of scikit-learn arrive in the form every data set has here."""

import sys

import numpy as np
import pytest

from minidl.data.digits import digits


def test_digits_are_channels_last_images_in_the_unit_interval() -> None:
    pytest.importorskip("sklearn")
    images, labels = digits()
    assert (images.shape, images.dtype) == ((1797, 8, 8, 1), np.float32)
    assert (labels.shape, labels.dtype) == ((1797,), np.int64)
    assert (images.min(), images.max()) == (0.0, 1.0)
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_without_scikit_learn_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(
        ImportError, match=r'digits: scikit-learn is not installed; pip install "minidl\[data\]"'
    ):
        digits()
