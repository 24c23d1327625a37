"""Dropout as a layer: a mask for each training call, none in evaluation, and a state that repeats it."""

import copy

import pytest

from minidl import backend, ops
from minidl.layers import Dropout, Sequential, TransformerEncoderLayer
from minidl.tensor import Tensor
from tests.either import np

ONES = np.ones((16, 16), dtype="float32")


def test_each_training_call_has_a_mask_of_its_own():
    layer = Dropout(p=0.5, seed=0)
    first, second = layer.forward(ONES), layer.forward(ONES)
    assert not np.array_equal(first, second)
    seed, counter = layer.stream.data.tolist()
    assert counter == 2
    np.testing.assert_array_equal(first, ops.dropout(ONES, p=0.5, seed=seed, counter=0)[0])
    np.testing.assert_array_equal(second, ops.dropout(ONES, p=0.5, seed=seed, counter=1)[0])


def test_m14_backward_has_the_mask_and_the_scale_of_its_forward():
    layer = Dropout(p=0.3, seed=0)
    y = layer.forward(ONES)
    np.testing.assert_array_equal(layer.backward(ONES), y)
    (first, first_pullback), (second, second_pullback) = layer.vjp(ONES), layer.vjp(ONES)
    np.testing.assert_array_equal(first_pullback(ONES)[0], first)
    np.testing.assert_array_equal(second_pullback(ONES)[0], second)


def test_m14_evaluation_and_predict_are_the_identity():
    layer = Dropout(p=0.9, seed=0)
    before = layer.state()["stream"]
    np.testing.assert_array_equal(layer.predict(ONES), ONES)
    assert layer.training
    layer.eval()
    np.testing.assert_array_equal(layer.forward(ONES), ONES)
    np.testing.assert_array_equal(layer.backward(ONES), ONES)
    np.testing.assert_array_equal(layer.state()["stream"], before)


def test_without_a_mask_samples_do_not_depend_on_each_other_and_no_call_counts():
    layer = Dropout(p=0, seed=0)
    assert layer.sample_wise
    np.testing.assert_array_equal(layer.forward(ONES), ONES)
    assert layer.stream.data.tolist()[1] == 0
    layer = Dropout(p=0.5)
    assert (layer.sample_wise, layer.eval().sample_wise, layer.train().sample_wise) == (False, True, False)
    block = TransformerEncoderLayer(4, 2, 8, dropout=0.5)
    assert (block.sample_wise, block.eval().sample_wise) == (False, True)


def test_restoring_the_state_repeats_the_masks():
    model = Sequential(Dropout(seed=0), Dropout(seed=1))
    model.forward(ONES)
    state = model.state()
    expected = [model.forward(ONES) for _ in range(3)]
    model.load_state(state)
    for y in expected:
        np.testing.assert_array_equal(model.forward(ONES), y)
    other = Sequential(Dropout(), Dropout())
    other.load_state(state)
    np.testing.assert_array_equal(other.forward(ONES), expected[0])


def test_a_state_is_a_copy():
    layer = Dropout(seed=0)
    state = layer.state()
    layer.forward(ONES)
    assert state["stream"][1] == 0


def test_a_copied_layer_goes_on_alone():
    layer = Dropout(seed=0)
    twin = copy.deepcopy(layer)
    np.testing.assert_array_equal(layer.forward(ONES), twin.forward(ONES))


def test_the_seed_is_drawn_at_construction():
    np.testing.assert_array_equal(Dropout(seed=3).forward(ONES), Dropout(seed=3).forward(ONES))
    backend.seed(7)
    layer = Dropout()
    backend.seed(8)
    y = layer.forward(ONES)
    backend.seed(7)
    np.testing.assert_array_equal(Dropout().forward(ONES), y)


def test_the_state_does_not_depend_on_the_model_dtype():
    layer = Dropout(seed=0)
    before = layer.state()["stream"]
    layer.astype("float16")
    np.testing.assert_array_equal(layer.stream.data, before)
    assert layer.forward(ONES.astype("float16")).dtype == np.float16


def test_a_tensor_gets_the_gradient_of_its_mask():
    x = Tensor(ONES, requires_grad=True)
    y = Dropout(seed=0)(x)
    y.backward(ONES)
    np.testing.assert_array_equal(x.grad, y.data)


def test_a_call_that_fails_does_not_count():
    layer = Dropout(seed=0)
    with pytest.raises(TypeError, match="dropout: expected a floating-point array, got int64") as caught:
        layer.forward(np.ones(3, dtype=np.int64))
    assert caught.value.__notes__ == ["in Dropout(p=0.5)"]
    assert layer.stream.data[1] == 0


@pytest.mark.parametrize("p", [-0.1, 1.0, float("nan")])
def test_p_is_checked_at_once(p):
    with pytest.raises(ValueError, match="Dropout: expected 0 <= p < 1, got"):
        Dropout(p)
    with pytest.raises(TypeError, match="Dropout: expected p as a number, got list"):
        Dropout([0.5])


def test_repr_and_parameters():
    assert repr(Dropout(0.25)) == "Dropout(p=0.25)"
    assert Dropout().parameters() == []
    assert not Dropout().sample_wise
