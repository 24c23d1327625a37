"""Parameter: what is assigned is copied into the arrays that are there, or refused."""

import pytest

from minidl import Buffer, Parameter, Tensor
from tests.either import np


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: setattr(p, "data", np.ones(2)), ValueError, r"w: expected shape \(3,\), got \(2,\)"),
        (lambda p: setattr(p, "data", [1.0]), ValueError, r"w: expected shape \(3,\), got \(1,\)"),
        (lambda p: setattr(p, "data", np.array(1.0)), ValueError, r"w: expected shape \(3,\), got \(\)"),
        (lambda p: setattr(p, "data", None), ValueError, r"w: expected shape \(3,\), got None"),
        (lambda p: setattr(p, "grad", np.ones((3, 1))), ValueError, r"w.grad: expected shape \(3,\), got"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    p = Parameter([1.0, 2.0, 3.0], name="w")
    with pytest.raises(error, match=message):
        call(p)
    assert p.data.tolist() == [1, 2, 3]
    assert p.grad is None


def test_assigning_copies_into_the_arrays_that_are_there():
    p = Parameter([1.0, 2.0], name="w")
    data = p.data
    for value, expected in ((np.array([3.0, 4.0]), [3, 4]), ([5, 6], [5, 6]), (0.5, [0.5, 0.5])):
        p.data = value
        assert (p.data is data, p.data.tolist(), p.data.dtype) == (True, expected, "float32")
    p.data = Tensor([7.0, 8.0])
    p.grad = None
    assert p.grad is None
    given = np.array([1.0, 2.0], "float32")
    p.grad = given
    grad = p.grad
    assert grad is not given
    p.grad = None
    assert (p.grad is grad, grad.tolist()) == (True, [0, 0])
    assert repr(p) == "Parameter(name='w', shape=(2,), dtype=float32)"
    assert repr(Buffer(p.data)) == "Buffer(shape=(2,), dtype=float32)"
