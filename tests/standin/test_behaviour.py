"""What the stand-in refuses and imitates, held against the documented behaviour of CuPy.

Each statement runs on the stand-in; on the real package too, as far as it goes: with a GPU all of them,
without one those that the host decides alone, over an array that says it is on a device.
"""

import copy
import pickle
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tests import cupy_names
from tests.standin import package
from tests.standin.array import ndarray
from tests.standin.counting import recorded

STANDIN = package.modules()["cupy"]


def standin():
    return SimpleNamespace(cupy=STANDIN, x=STANDIN.asarray(np.arange(6.0).reshape(2, 3)), has_gpu=True)


def real():
    cupy = None if package.installed() else cupy_names.real_cupy()
    if cupy is None:
        pytest.skip("no wheel of CuPy is installed, or the stand-in plays it")
    host = np.arange(6.0).reshape(2, 3)
    if cupy.is_available():
        return SimpleNamespace(cupy=cupy, x=cupy.asarray(host), has_gpu=True)
    memory = cupy.cuda.UnownedMemory(host.ctypes.data, host.nbytes, host, 0)
    x = cupy.ndarray(host.shape, host.dtype, cupy.cuda.MemoryPointer(memory, 0))
    return SimpleNamespace(cupy=cupy, x=x, has_gpu=False)


@pytest.fixture(params=[standin, real], ids=["standin", "real"])
def side(request):
    return request.param()


@pytest.fixture
def device(side):
    """A side that can compute: the stand-in, or the real package with a GPU."""
    if not side.has_gpu:
        pytest.skip("no GPU")
    return side


class Other:
    """What takes an operator over, as Tensors do."""

    __array_ufunc__ = None

    def __radd__(self, other):
        return "radd"

    def __rmatmul__(self, other):
        return "rmatmul"

    def __gt__(self, other):
        return "gt"


N = np.ones((2, 3))
REFUSED = {  # what the host alone refuses
    "np.asarray(x)": (TypeError, "Implicit conversion to a NumPy array is not allowed"),
    "np.array([x[0, 0]])": (TypeError, "Implicit conversion"),
    "cupy.ascontiguousarray(N)": (TypeError, ""),
    "cupy.expand_dims(N, 0)": (TypeError, ""),
    "cupy.moveaxis(N, 0, 1)": (TypeError, ""),
    "cupy.broadcast_to(N, (4, 2, 3))": (TypeError, ""),
    "cupy.split(N, 3, axis=1)": (TypeError, ""),
    "cupy.stack([N, N])": (TypeError, ""),
    "cupy.matmul(x, N)": (TypeError, ""),
    "cupy.matmul(x, 2)": (TypeError, ""),
    "cupy.nonzero(N)": (TypeError, ""),
    "cupy.any(N)": (TypeError, ""),
    "cupy.cumsum(N)": (TypeError, ""),
    "cupy.copyto(x, N)": (ValueError, "non-scalar numpy.ndarray"),
    "x.__setitem__(0, N[0])": (ValueError, "non-scalar numpy.ndarray"),
    "x.__setitem__(0, [1, 2, 3])": (ValueError, "non-scalar numpy.ndarray"),
    "x.fill([1])": (ValueError, "non-scalar numpy.ndarray"),
    "x.set([1])": (TypeError, "Only numpy.ndarray"),
    "x.set(N.astype('f4'))": (TypeError, "float32 array cannot be set to float64 array"),
    "cupy.where(True, x, x)": (AttributeError, "astype"),
    "cupy.searchsorted(N, x)": (NotImplementedError, ""),
    "cupy.array(['a'])": (ValueError, "Unsupported dtype <U1"),
    "cupy.array([None])": (ValueError, "Unsupported dtype object"),
    "cupy.zeros(2, dtype=object)": (ValueError, "Unsupported dtype object"),
    "cupy.eye(3, dtype='O')": (ValueError, "Unsupported dtype object"),
    "cupy.empty(2, dtype='>f4')": (ValueError, "Unsupported dtype >f4"),
    "x.astype('O')": (ValueError, "Unsupported dtype object"),
    "x.astype('>f4')": (ValueError, "Unsupported dtype >f4"),
    "cupy.sum(x, where=x > 0)": (TypeError, "where"),
    "cupy.sum(x, initial=0)": (TypeError, "initial"),
    "x.sum(where=True)": (TypeError, "where"),
    "x.any(axis=0, where=1)": (TypeError, "where"),
    "cupy.isfinite(x, where=1)": (TypeError, "where"),
    "cupy.maximum.reduce(x)": (NotImplementedError, "`cupy_maximum.reduce` is not supported yet"),
    "cupy.errstate": (AttributeError, "errstate"),
    "cupy.lib.stride_tricks.as_strided(x, (2, 2), (8, 8), writeable=False)": (TypeError, "writeable"),
    "cupy.pad(x, 1, mode='edge', constant_values=1)": (ValueError, "unsupported keyword"),
    "cupy.pad(x, 1, mode='nothing')": (ValueError, "mode 'nothing' is not supported"),
    "cupy.clip(x, 0)": (TypeError, "a_max"),
    "cupy.repeat(x, np.array([1, 2]), axis=0)": (TypeError, "does not accept"),
    "x.argsort(kind='quicksort')": (ValueError, "kind can only be None or 'stable'"),
    "x.item(0)": (TypeError, ""),
    "x.flags.writeable": (AttributeError, "writeable"),
    "x.setflags(write=False)": (AttributeError, "setflags"),
    "x.ctypes": (AttributeError, "ctypes"),
    "setattr(x, 'own', 1)": (AttributeError, ""),
    "hash(x)": (TypeError, "unhashable"),
    "range(x[0, 0])": (TypeError, "interpreted as an integer"),
    "[1, 2][x[0, 0]]": (TypeError, "indices must be integers"),
    "len(x[0, 0])": (TypeError, "unsized"),
    "iter(x[0, 0])": (TypeError, ""),
    "x[5]": (IndexError, "out of bounds"),
    "x[:, :, 0]": (IndexError, "too many indices"),
    "x.reshape(4)": (ValueError, "cannot reshape"),
    "x.mean(axis=5)": (np.exceptions.AxisError, "out of bounds"),
    "np.insert(x, 0, 0)": (TypeError, "no implementation found"),
    "np.matmul(N, x)": (TypeError, ""),
    "cupy.random.Generator.normal": (AttributeError, "normal"),
    "cupy.random.Generator.permutation": (AttributeError, "permutation"),
}
ON_A_DEVICE = {  # what is refused on the way to the device
    "x + N": TypeError,
    "N + x": TypeError,
    "x == N": TypeError,
    "x + [1, 2, 3]": TypeError,
    "x * None": TypeError,
    "cupy.exp(N)": TypeError,
    "cupy.exp([1.0])": TypeError,
    "cupy.add(x, 1, where=x > 0)": TypeError,
    "cupy.where(N > 0, x, x)": (TypeError, ValueError),
    "cupy.einsum('ij->i', x, out=x)": TypeError,
    "x.__iadd__(N)": TypeError,
}


@pytest.mark.parametrize("statement", REFUSED)
def test_what_the_host_refuses(side, statement) -> None:
    error, message = REFUSED[statement]
    needs_device = "x > 0" in statement
    if needs_device and not side.has_gpu:
        pytest.skip("no GPU")
    with pytest.raises(error, match=message or None):
        eval(statement, {"x": side.x, "cupy": side.cupy, "np": np, "N": N})


@pytest.mark.parametrize("statement", ON_A_DEVICE)
def test_what_is_refused_on_the_way_to_the_device(device, statement) -> None:
    with pytest.raises(ON_A_DEVICE[statement]):
        eval(statement, {"x": device.x, "cupy": device.cupy, "np": np, "N": N})


TRUE = [  # what the host alone decides
    "x[0].base is x and x[0][1:].base is x",
    "x.reshape(3, 2).base is x and x[0:0].reshape(0, 5).base is x",
    "x.T.base is x and x.swapaxes(0, 1).base is x and x.view(np.int64).base is x",
    "x.ravel().base is x and cupy.reshape(x, (3, 2)).base is x",
    "x[0, 0].shape == () and type(x[0, 0]) is cupy.ndarray",
    "x[()].shape == (2, 3) and x[..., None].shape == (2, 3, 1) and x[None, ..., 0].shape == (1, 2)",
    "[row.shape for row in x] == [(3,), (3,)]",
    "x.flags.c_contiguous and not x.T.flags.c_contiguous and x.T.flags.f_contiguous",
    "x.flags.owndata and not x[0].flags.owndata",
    "x.astype(x.dtype, copy=False) is x",
    "cupy.ascontiguousarray(x) is x and cupy.ascontiguousarray(x[0, 0]).shape == (1,)",
    "cupy.broadcast_to(x, (4, 2, 3)).shape == (4, 2, 3)",
    "cupy.may_share_memory(x, x[0])",
    "x.data.ptr == x[0].data.ptr != x[1].data.ptr",
    "cupy.result_type(x, np.float32) == 'float64' and cupy.ndim(3) == 0 and cupy.size(x) == 6",
    "cupy.float32 is np.float32 and cupy.dtype is np.dtype and cupy.ndindex is np.ndindex",
    "x + Other() == 'radd' and x @ Other() == 'rmatmul' and (x < Other()) == 'gt'",
    "(x == Other()) is False and (x != Other()) is True",
    "not isinstance(x, np.ndarray) and type(x).__module__ == 'cupy'",
    "x.squeeze().shape == (2, 3) and x.transpose(1, 0).shape == (3, 2) and x.T.mT.shape == (2, 3)",
    "x.nbytes == 48 and x.itemsize == 8 and x.strides == (24, 8)",
]


@pytest.mark.parametrize("statement", TRUE)
def test_what_the_host_decides(side, statement) -> None:
    assert eval(statement, {"x": side.x, "cupy": side.cupy, "np": np, "Other": Other})


def test_a_reduction_and_an_element_are_arrays_without_axes(device) -> None:
    for y in (device.x.sum(), device.x.max(), device.cupy.mean(device.x), device.x[1, 2], device.x.argmax()):
        assert type(y) is device.cupy.ndarray
        assert y.shape == ()


def test_indices_out_of_range_wrap_around(device) -> None:
    x, indices = device.x, device.cupy.asarray(np.array([0, 2, 5, -3]))
    assert x[indices][:, 0].get().tolist() == [0, 0, 3, 3]
    assert x[0].take(indices).get().tolist() == [0, 2, 2, 0]
    narrow = device.cupy.asarray(np.array([200], np.uint8))
    assert device.cupy.arange(300.0)[narrow].get().tolist() == [200]
    x[indices[1:2]] = 7.0
    assert x[0].get().tolist() == [7, 7, 7]


def test_scalars_of_python_are_weak_and_those_of_numpy_are_not(device) -> None:
    half = device.cupy.ones(3, dtype="float16")
    assert (half * 2.0).dtype == (2 * half).dtype == "float16"
    assert (half * np.float64(2)).dtype == (np.float64(2) * half).dtype == "float64"
    assert (half + np.float32(1)).dtype == "float32"
    assert type(np.float64(2) * half) is device.cupy.ndarray


def test_numpys_functions_hand_over(device) -> None:
    assert type(np.exp(device.x)) is device.cupy.ndarray
    assert type(np.sum(device.x)) is device.cupy.ndarray


def test_half_precision_products_are_taken_in_single(device) -> None:
    ones = device.cupy.ones((1, 4096), dtype="float16")
    assert float((ones @ ones.T)[0, 0]) == 4096


def test_arrays_copy_and_travel(device) -> None:
    for other in (copy.copy(device.x), copy.deepcopy(device.x), device.x.copy()):
        assert other.base is None
        assert (other == device.x).all()
    if device.cupy is sys.modules.get("cupy"):  # to be found again by its name
        assert (pickle.loads(pickle.dumps(device.x)) == device.x).all()


def test_lists_of_arrays_become_one(device) -> None:
    both = device.cupy.asarray([device.x[0], device.x[1]])
    assert both.get().tolist() == device.x.get().tolist()
    assert device.cupy.asarray(device.x) is device.x
    assert device.cupy.array(device.x) is not device.x


# What only the stand-in can do.


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64", "uint8"])
def test_memory_that_nobody_has_written_to_is_poisoned(dtype) -> None:
    for empty in (
        STANDIN.empty(3, dtype=dtype),
        STANDIN.empty_like(STANDIN.ones(3, dtype=dtype)),
        ndarray(3, dtype),
    ):
        numbers = empty.get()
        assert np.isnan(numbers).all() if numbers.dtype.kind == "f" else (numbers > 9).all()


def test_of_two_values_for_one_place_none_stays() -> None:
    x, twice = STANDIN.zeros(4), STANDIN.asarray(np.array([1, 1, 2]))
    x[twice] = STANDIN.asarray(np.array([5.0, 6.0, 7.0]))
    np.testing.assert_array_equal(x.get(), [0, np.nan, 7, 0])
    x[twice] = 3.0  # of equal ones either may
    np.testing.assert_array_equal(x.get(), [0, 3, 3, 0])
    STANDIN.add.at(x, twice, STANDIN.asarray(np.array([1.0, 1.0, 1.0])))
    np.testing.assert_array_equal(x.get(), [0, 5, 4, 0])


def test_a_strided_view_is_not_to_be_written_to() -> None:
    view = STANDIN.lib.stride_tricks.as_strided(STANDIN.zeros(4), (3, 2), (8, 8))
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1.0


@pytest.mark.parametrize(
    "statement",
    [
        *(
            "float(x[0, 0])",
            "int(x[0, 0])",
            "bool(x[0, 0])",
            "x[0, 0].item()",
            "x.tolist()",
            "x.get()",
            "str(x)",
        ),
        *(
            "cupy.asnumpy(x)",
            "cupy.nonzero(x)",
            "cupy.where(x)",
            "x[x > 1]",
            "cupy.unique(x)",
            "f'{x[0, 0]:.1f}'",
        ),
        *(
            "cupy.cuda.get_current_stream().synchronize()",
            "cupy.cuda.Event().synchronize()",
            "list(x[0])[0] > 0 or 1",
        ),
        *(
            "1 if x[0, 0] > 0 else 2",
            "max(x[0, 0], x[0, 1])",
            "x.nonzero()",
            "cupy.cuda.Device().synchronize()",
        ),
    ],
)
def test_waits_are_counted(statement) -> None:
    x = standin().x
    with recorded() as record:
        eval(statement, {"x": x, "cupy": STANDIN})
    assert len(record.waits) == 1


def test_what_does_not_wait_is_not_counted() -> None:
    x, mask = standin().x, STANDIN.asarray(np.array([True, False]))
    with recorded() as record:
        x[mask] = 0.0
        y = STANDIN.where(x > 1, x, 0.0).sum(axis=0).reshape(3, 1).T @ x.T
        y += STANDIN.asarray(np.ones((1, 2)))
    assert record.waits == []
    assert record.transfers == ["array"]
    assert record.launches == ["setitem", "greater", "where", "sum", "matmul", "add"]


def test_views_are_no_launches_and_no_allocations() -> None:
    x = standin().x
    with recorded() as record:
        x[0][1:].reshape(2, 1).T.view(np.int64)
        STANDIN.moveaxis(STANDIN.broadcast_to(x, (4, 2, 3)), 0, 1)
    assert (record.launches, record.allocations, record.waits) == ([], [], [])
    with recorded() as record:
        x.copy()
    assert (record.launches, record.allocations) == (["copy"], [48])


def test_it_is_never_brought_in_late() -> None:
    import minidl as minidl

    with pytest.raises(RuntimeError, match="before minidl and CuPy are imported"):
        package.install()
