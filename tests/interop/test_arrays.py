"""Arrays go in and out without a copy where they are on the same device; what cannot be shared is refused."""

import numpy as np
import pytest

import minidl
from minidl import backend
from minidl.backend import asarray

pytestmark = pytest.mark.skipif(backend.name != "numpy", reason="about memory of the host that is shared")


class Foreign:
    """An array of some library that speaks DLPack and nothing else."""

    def __init__(self, array, device=(1, 0)) -> None:
        self.array, self.device_pair = array, device

    def __dlpack_device__(self):
        return self.device_pair

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)


class Bare(Foreign):
    """One that has no numbers to give."""

    def __dlpack__(self, **options):
        raise BufferError("nothing here")


def same_memory(a, b) -> bool:
    return np.asarray(a).ctypes.data == np.asarray(b).ctypes.data


def test_an_array_of_any_library_that_speaks_dlpack_is_shared() -> None:
    array = np.arange(6.0).reshape(2, 3)
    shared = asarray(Foreign(array))
    assert same_memory(shared, array)
    assert shared.dtype == np.float64
    np.testing.assert_array_equal(shared, array)
    assert same_memory(minidl.Tensor(Foreign(array)).data, array)


def test_a_dtype_that_is_asked_for_makes_a_copy() -> None:
    array = np.arange(3.0)
    assert asarray(Foreign(array), "float32").dtype == np.float32
    assert not same_memory(asarray(Foreign(array), "float32"), array)


def test_an_array_on_another_device_is_refused_with_the_remedy() -> None:
    with pytest.raises(TypeError, match=r"asarray: numpy cannot share a tests\.Foreign .* tensor\.cpu\(\)"):
        asarray(Foreign(np.zeros(2), device=(2, 0)))


def test_what_its_library_does_not_give_away_is_refused_in_its_own_words() -> None:
    with pytest.raises(TypeError, match=r"asarray: numpy cannot share a tests\.Bare .*: nothing here"):
        asarray(Bare(np.zeros(2)))


def test_on_a_gpu_its_own_arrays_are_shared_and_those_of_the_host_are_copied(monkeypatch) -> None:
    calls = []

    class Device:
        ndarray = np.ndarray

        def from_dlpack(self, array):
            calls.append("shared")
            return array.array

        def asarray(self, array, dtype=None):
            calls.append("asarray")
            return array

    monkeypatch.setattr(backend, "name", "cupy")
    monkeypatch.setattr(backend, "xp", Device())
    asarray(Foreign(np.zeros(2), device=(2, 0)))
    assert calls == ["shared", "asarray"]
    assert isinstance(asarray(Foreign(np.zeros(2))), np.ndarray)
    assert calls == ["shared", "asarray", "asarray"]


@pytest.mark.parametrize("make", [minidl.Tensor, minidl.Parameter])
def test_a_tensor_gives_numpy_its_own_memory(make) -> None:
    tensor = make(np.arange(4.0))
    assert same_memory(tensor, tensor.data)
    assert same_memory(asarray(tensor), tensor.data)
    assert np.asarray(tensor, dtype="float32").dtype == np.float32
    assert not same_memory(np.array(tensor, copy=True), tensor.data)


def test_a_parameter_of_a_class_of_ones_own_is_an_array_too() -> None:
    class Mask(minidl.Parameter):
        pass

    mask = Mask([1.0, 0.0])
    assert asarray(mask) is mask.data


def test_a_subclass_of_numpys_array_is_one_of_numpys_arrays() -> None:
    class Named(np.ndarray):
        pass

    x = np.arange(3.0, dtype=">f8").view(Named)
    assert type(asarray(x)) is np.ndarray
    assert same_memory(asarray(x), x)


def test_a_tensor_is_shared_by_dlpack() -> None:
    tensor = minidl.Tensor(np.arange(4.0))
    assert tensor.__dlpack_device__() == (1, 0)
    assert same_memory(np.from_dlpack(tensor), tensor.data)


def test_a_tensor_whose_gradient_would_be_lost_is_not_shared() -> None:
    x = minidl.Tensor([1.0], requires_grad=True)
    for tensor in (x, x * 2, minidl.Linear(2, 2).weight):
        with pytest.raises(
            BufferError, match=r"the gradient would be lost; share tensor\.data or tensor\.det"
        ):
            np.from_dlpack(tensor)
        assert same_memory(np.from_dlpack(tensor.detach()), tensor.data)


class TestPyTorch:
    def test_its_tensors_are_shared(self, torch) -> None:
        for tensor in (torch.arange(6.0).reshape(2, 3), torch.arange(6), torch.tensor(2.0), torch.zeros(0)):
            array = asarray(tensor)
            assert array.ctypes.data == tensor.data_ptr() or not array.size
            np.testing.assert_array_equal(array, tensor.numpy())
        tensor = torch.zeros(3)
        asarray(tensor)[1] = 5.0
        assert tensor[1] == 5.0

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8", "int64", "bool"])
    def test_dtypes_stay(self, torch, dtype) -> None:
        assert asarray(torch.ones(2, dtype=getattr(torch, dtype))).dtype == dtype

    def test_transposed_ones_too(self, torch) -> None:
        tensor = torch.arange(6.0).reshape(2, 3).T
        assert asarray(tensor).strides == (4, 12)

    def test_arrays_and_tensors_are_shared_with_it(self, torch) -> None:
        x = asarray([1.0, 2.0, 3.0])
        for given in (x, minidl.Tensor(x)):
            tensor = torch.from_dlpack(given)
            assert tensor.data_ptr() == x.ctypes.data
            assert tensor.dtype == torch.float32

    def test_an_array_that_is_read_only_comes_and_goes(self, torch) -> None:
        x = np.arange(3.0)
        x.flags.writeable = False
        assert asarray(x) is x
        assert torch.from_dlpack(minidl.Tensor(x)).tolist() == [0.0, 1.0, 2.0]

    def test_there_and_back_is_the_same_memory(self, torch) -> None:
        x = np.arange(3.0)
        assert asarray(torch.from_dlpack(minidl.Tensor(x))).ctypes.data == x.ctypes.data

    def test_what_cannot_be_shared_says_what_to_pass(self, torch) -> None:
        grad = torch.ones(2, requires_grad=True)
        for tensor in (grad, grad * 2, torch.nn.Linear(2, 2).weight):
            with pytest.raises(TypeError, match=r"asarray: .*require gradient, use tensor\.detach\(\)"):
                asarray(tensor)
        with pytest.raises(TypeError, match=r"of dtype torch\.bfloat16.*; pass tensor\.float\(\)"):
            asarray(torch.ones(2, dtype=torch.bfloat16))
        for tensor in (torch.ones(2, device="meta"), torch.eye(2).to_sparse()):
            with pytest.raises(
                TypeError, match=r"asarray: numpy cannot share a torch\.Tensor of dtype torch"
            ):
                asarray(tensor)

    def test_layers_take_what_comes_in(self, torch) -> None:
        layer = minidl.Linear(3, 2, seed=0)
        x = torch.randn(4, 3)
        assert layer(asarray(x)).shape == (4, 2)
        with pytest.raises(TypeError, match=r"convert it with minidl\.asarray\(x\)"):
            layer(x)


def test_an_array_of_another_byte_order_is_not_shared() -> None:
    with pytest.raises((BufferError, TypeError), match=r"byte order|native"):
        np.from_dlpack(minidl.Tensor(np.ones(2, ">f4")))
