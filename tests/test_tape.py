"""The tape: what repeated use, writes in place and Python's own protocols make of recorded steps."""

import copy

import pytest

import minidl
from minidl import Tensor
from minidl import functional as F
from minidl.layers import Identity, Linear, Parameter, ReLU
from tests.either import np

UP = np.array([1.0, 1.0], dtype="float32")


def leaf(values) -> Tensor:
    return Tensor(np.asarray(values, dtype="float32"), requires_grad=True)


@pytest.mark.parametrize("index", [Tensor([0, 0]), [0, 0], np.array([0, 0]), (Tensor([0, 0]),)])
def test_what_an_index_takes_twice_gets_both_gradients(index):
    x = leaf([1.0, 2.0, 3.0])
    x[index].backward(UP)
    assert x.grad.tolist() == [2.0, 0.0, 0.0]


def test_a_gradient_without_axes_stays_an_array_when_it_is_a_sum():
    p = Parameter(2.0, name="p")
    (p * p).backward()
    assert type(p.grad) is np.ndarray
    p.zero_grad()
    assert p.grad == 0
    gradient = minidl.vjp(lambda a: a * a, minidl.asarray(2.0))[1](minidl.asarray(1.0))
    assert (type(gradient), float(gradient)) == (np.ndarray, 4.0)
    x = leaf(3.0)
    for _ in range(2):
        (x * 1.0).backward()
    assert (type(x.grad), float(x)) == (np.ndarray, 3.0)


@pytest.mark.parametrize("f", [F.exp, F.sigmoid, F.tanh, F.softmax, F.relu])
def test_debugging_notices_a_write_into_an_output_that_the_pullback_needs(f, monkeypatch):
    monkeypatch.setattr("minidl.tensor.DEBUG", True)
    y = f(leaf([1.0, 2.0]))
    y.data[...] = 0
    with pytest.raises(RuntimeError, match="an array was written to in place"):
        y.backward(UP)


def test_debugging_notices_a_write_into_the_output_of_a_layer(monkeypatch):
    monkeypatch.setattr("minidl.layers.base.DEBUG", True)
    layer = ReLU()
    layer.forward(UP)[...] = 0
    with pytest.raises(RuntimeError, match=r"ReLU\(\): an array was written to in place"):
        layer.backward(UP)


def test_a_tensor_keeps_to_the_protocols_of_a_number():
    assert not Tensor([0.0])
    assert Tensor(2.0)
    assert float(Tensor(2.5)) == 2.5
    assert f"{Tensor(2.5):.3f}" == "2.500"
    assert f"{Tensor(2.5)}" == repr(Tensor(2.5))
    x = Tensor([1.0, 3.0])
    assert [(x < 2).tolist(), (x <= 1).tolist()] == [[True, False]] * 2
    assert [(x > Tensor(2.0)).tolist(), (x >= 3).tolist()] == [[False, True]] * 2
    assert [float(part) for part in x] == [1.0, 3.0]
    with pytest.raises(TypeError):
        list(Tensor(1.0))


def test_only_a_leaf_can_be_copied():
    x = leaf([1.0, 2.0])
    assert copy.deepcopy(x).requires_grad
    with pytest.raises(RuntimeError, match=r"only a leaf can be copied or pickled; use tensor.detach\(\)"):
        copy.deepcopy(x * 2)


def test_shapes_that_do_not_broadcast_are_named_by_the_operation():
    with pytest.raises(ValueError, match=r"add: expected shapes that broadcast, got \(2, 3\) and \(4,\)"):
        Tensor(np.ones((2, 3))) + Tensor(np.ones(4))


@pytest.mark.parametrize("f", [lambda x: np.exp(x.data), lambda x: [x, x]])
def test_a_function_that_leaves_the_tape_is_refused(f):
    with pytest.raises(TypeError, match="vjp: expected f to return a Tensor, or a tuple of them, got"):
        minidl.vjp(f, UP)
    with pytest.raises(TypeError, match="jacobian: expected f to return one Tensor, got 2"):
        minidl.jacobian(lambda x: (x, x), UP)


def test_a_parameter_has_an_array_of_its_own():
    values = np.ones(2, dtype="float32")
    p = Parameter(values)
    p.data = [5.0, 6.0]
    assert values.tolist() == [1.0, 1.0]


def test_a_gradient_of_another_shape_is_not_added_to_a_parameter():
    p = Parameter([1.0, 2.0, 3.0], name="scale")
    with pytest.raises(ValueError, match=r"gradient of scale: expected shape \(3,\), got \(1,\)"):
        p.accumulate(np.ones(1, dtype="float32"))
    assert p.grad is None


def test_a_layer_becomes_no_integer_and_its_statistics_stay_single():
    with pytest.raises(TypeError, match="astype: expected a floating-point dtype, got int32"):
        Linear(2, 2).astype("int32")
    model = minidl.BatchNorm(2).astype("float16")
    assert {str(b.data.dtype) for _, b in model.buffers()} == {"float32"}


def test_a_masked_array_and_a_tensor_are_no_arrays():
    with pytest.raises(TypeError, match=r"expected an array of numpy, got numpy\.MaskedArray"):
        Linear(2, 2).forward(np.ma.masked_array(np.ones((3, 2), "float32"), mask=False))
    with pytest.raises(TypeError, match=r"got Tensor; a Tensor goes to layer\(x\), loss\(x, target\)"):
        Linear(2, 2).forward(Tensor(np.ones((3, 2), "float32")))


def test_a_gradient_passes_an_identity_as_it_is():
    assert Identity()(leaf([1.0, 2.0])).data.tolist() == [1.0, 2.0]
