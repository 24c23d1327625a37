"""The arrays of the stand-in: NumPy's memory behind an interface that keeps to what CuPy's arrays can do."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.standin import counting, host, indexing
from tests.standin.ufuncs import UFUNCS

NO_CONVERSION = (
    "Implicit conversion to a NumPy array is not allowed. "
    "Please use `.get()` to construct a NumPy array explicitly."
)


class Flags:
    """The layout of an array; there is no ``writeable`` on a GPU."""

    def __init__(self, array: "ndarray") -> None:
        flags = array._host.flags
        self.c_contiguous, self.f_contiguous = flags.c_contiguous, flags.f_contiguous
        self.owndata = array._base is None
        self.fnc, self.forc = flags.fnc, flags.forc

    def __getitem__(self, name: str) -> bool:
        return bool({"C_CONTIGUOUS": self.c_contiguous, "F_CONTIGUOUS": self.f_contiguous}[name])


class Pointer:
    """Where an array lies."""

    def __init__(self, address: int) -> None:
        self.ptr = address


class ndarray(host.Memory):  # noqa: N801
    """CuPy's array: ``ndarray(shape, dtype)`` holds what the memory held before."""

    __slots__ = ("__weakref__",)
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None, order: str = "C"
    ):
        if memptr is not None or strides is not None:
            raise NotImplementedError("the stand-in has no pointers")
        self._host, self._base = np.empty(shape, host.known_dtype(dtype), order=order), None  # type: ignore[call-overload]
        host.garbage(self._host)
        counting.allocation(self._host.nbytes)

    strides = property(lambda self: self._host.strides)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    base = property(lambda self: self._base)
    flags = property(Flags)
    flat = property(indexing.FlatIterator)
    data = property(lambda self: Pointer(self._host.ctypes.data))
    T = property(lambda self: host.fresh(self._host.T, host.root(self)))
    mT = property(lambda self: host.fresh(self._host.mT, host.root(self)))  # noqa: N815

    @property
    def shape(self) -> tuple[int, ...]:
        return self._host.shape

    @shape.setter
    def shape(self, shape: Any) -> None:
        self._host = self._host.view()
        self._host.shape = shape

    @property
    def real(self) -> Any:
        return host.call("real", lambda a: a.real, (self,), {})

    @property
    def imag(self) -> Any:
        return host.call("imag", lambda a: a.imag, (self,), {})

    @property
    def device(self) -> Any:
        from tests.standin.cuda import Device

        return Device(0)

    def __getitem__(self, index: Any) -> Any:
        return indexing.get(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        indexing.put(self, index, value)

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator[Any]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def _waited(self, name: str) -> Any:
        counting.wait(name)
        return self._host

    def __bool__(self) -> bool:
        return bool(self._waited("bool"))

    def __int__(self) -> int:
        return int(self._waited("int"))

    def __float__(self) -> float:
        return float(self._waited("float"))

    def __complex__(self) -> complex:
        return complex(self._waited("complex"))

    def __repr__(self) -> str:
        return repr(self._waited("repr"))

    def __str__(self) -> str:
        return str(self._waited("str"))

    def __format__(self, spec: str) -> str:
        return format(self._waited("format"), spec)

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> Any:
        if blocking or stream is None:
            counting.wait("get")
        counting.transfer("get")
        if out is None:
            return self._host.copy(order)  # type: ignore[arg-type]
        out[...] = self._host
        return out

    def set(self, arr: Any, stream: Any = None) -> None:
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if arr.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        counting.transfer("set")
        self._host[...] = arr

    def item(self) -> Any:
        return self._waited("item").item()

    def tolist(self) -> Any:
        return self._waited("tolist").tolist()

    def tobytes(self, order: str = "C") -> bytes:
        return self._waited("tobytes").tobytes(order)  # type: ignore[no-any-return]

    def fill(self, value: Any) -> None:
        self[...] = value

    def view(self, dtype: Any = None, type: Any = None) -> Any:
        seen = self._host if dtype is None else self._host.view(host.known_dtype(dtype))
        return host.fresh(seen.view(), host.root(self))

    def astype(
        self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None, copy: bool = True
    ) -> Any:
        if subok is not None or copy is None:
            raise TypeError("astype: subok and copy=None are not supported")
        wanted = host.known_dtype(dtype)
        if not copy and wanted == self.dtype and order in ("K", "A"):
            return self
        return host.call("astype", lambda a: a.astype(wanted, order, casting or "unsafe"), (self,), {})

    def __copy__(self) -> Any:
        return self.copy()  # type: ignore[attr-defined]

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy()  # type: ignore[attr-defined]

    def __reduce__(self) -> Any:
        from tests.standin.functions import array

        return array, (self.get(),)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError(NO_CONVERSION)

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """NumPy's ufuncs and scalars hand over to CuPy's."""
        ours = UFUNCS.get(function.__name__)
        if ours is None or any(type(x).__module__ == "numpy" and isinstance(x, np.ndarray) for x in inputs):
            return NotImplemented
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        return (ours if method == "__call__" else getattr(ours, method))(*inputs, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """NumPy's functions hand over to CuPy's of the same name, where there is one."""
        from tests.standin.package import modules

        try:
            module = functools.reduce(getattr, function.__module__.split(".")[1:], modules()["cupy"])
            ours = getattr(module, function.__name__)
        except AttributeError:
            return NotImplemented
        return NotImplemented if ours is function else ours(*args, **kwargs)


ndarray.__module__ = "cupy"
host.made.append(ndarray)


def _defers(a: Any, b: Any) -> bool:
    """Tell whether an operator must ask ``b`` first, by the rule that NumPy and CuPy share (NEP 13)."""
    try:
        return b.__array_ufunc__ is None
    except AttributeError:
        return bool(getattr(b, "__array_priority__", 0) > getattr(a, "__array_priority__", 0))


def _binary(name: str) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    function = UFUNCS[name] if name != "matmul" else _matmul

    def forward(a: Any, b: Any) -> Any:
        return NotImplemented if _defers(a, b) else function(a, b)

    def reflected(a: Any, b: Any) -> Any:
        return NotImplemented if _defers(a, b) else function(b, a)

    def in_place(a: Any, b: Any) -> Any:
        return NotImplemented if _defers(a, b) else function(a, b, out=a)

    return forward, reflected, in_place


def _matmul(a: Any, b: Any) -> Any:
    from tests.standin.functions import matmul

    return matmul(a, b)


def _compared(name: str) -> Callable[..., Any]:
    def compare(a: Any, b: Any) -> Any:
        return NotImplemented if _defers(a, b) else UFUNCS[name](a, b)

    return compare


OPERATORS = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "true_divide",
    "mod": "remainder",
    "floordiv": "floor_divide",
    "pow": "power",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "left_shift",
    "rshift": "right_shift",
    "matmul": "matmul",
    "divmod": "divmod",
}
for _short, _name in OPERATORS.items():
    _forward, _reflected, _in_place = _binary(_name)
    setattr(ndarray, f"__{_short}__", _forward)
    setattr(ndarray, f"__r{_short}__", _reflected)
    if _short not in ("matmul", "divmod"):
        setattr(ndarray, f"__i{_short}__", _in_place)
for _short, _name in {"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal"}.items():
    setattr(ndarray, f"__{_short}__", _compared(_name))
for _short, _name in {"gt": "greater", "ge": "greater_equal"}.items():
    setattr(ndarray, f"__{_short}__", _compared(_name))
for _short, _name in {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}.items():
    setattr(ndarray, f"__{_short}__", lambda self, ufunc=UFUNCS[_name]: ufunc(self))
