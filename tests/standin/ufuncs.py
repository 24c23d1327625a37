"""The ufuncs: of CuPy's arrays and of scalars alone, without ``where``, and with few of NumPy's methods."""

from typing import Any

import numpy as np

from tests.standin import counting, host
from tests.standin.host import Memory

NAMES = [
    "abs",
    "absolute",
    "add",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "cbrt",
    "ceil",
    "conj",
    "conjugate",
    "copysign",
    "cos",
    "cosh",
    "deg2rad",
    "degrees",
    "divide",
    "divmod",
    "equal",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "float_power",
    "floor",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "frexp",
    "gcd",
    "greater",
    "greater_equal",
    "heaviside",
    "hypot",
    "invert",
    "isfinite",
    "isinf",
    "isnan",
    "lcm",
    "ldexp",
    "left_shift",
    "less",
    "less_equal",
    "log",
    "log10",
    "log1p",
    "log2",
    "logaddexp",
    "logaddexp2",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "mod",
    "modf",
    "multiply",
    "negative",
    "nextafter",
    "not_equal",
    "positive",
    "power",
    "rad2deg",
    "radians",
    "reciprocal",
    "remainder",
    "right_shift",
    "rint",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "true_divide",
    "trunc",
]
AT = {"add", "subtract", "maximum", "minimum", "bitwise_and", "bitwise_or", "bitwise_xor"}


class ufunc:  # noqa: N801
    """One of CuPy's ufuncs."""

    def __init__(self, name: str) -> None:
        self._numpy = getattr(np, name)
        self.name = f"cupy_{name}"
        self.__name__ = name
        self.nin, self.nout, self.nargs = self._numpy.nin, self._numpy.nout, self._numpy.nargs

    def __repr__(self) -> str:
        return f"<ufunc '{self.name}'>"

    def __call__(self, *args: Any, out: Any = None, casting: str = "same_kind", dtype: Any = None) -> Any:
        if not self.nin <= len(args) <= self.nargs:
            raise TypeError(f"Wrong number of arguments for {self!r}")
        if len(args) > self.nin:
            if out is not None:
                raise ValueError("Cannot specify 'out' as both a positional and keyword argument")
            args, out = args[: self.nin], args[self.nin :] if self.nout > 1 else args[self.nin]
        inputs = [self._input(a) for a in args]
        kwargs: dict[str, Any] = {"casting": casting}
        if dtype is not None:
            kwargs["dtype"] = dtype
        outs = out if isinstance(out, tuple) else (out,)
        if out is not None:
            if not all(isinstance(o, Memory) for o in outs):
                raise TypeError("Output arguments type must be cupy.ndarray")
            kwargs["out"] = tuple(o._host for o in outs)  # type: ignore[union-attr]
        with np.errstate(all="ignore"):
            results = self._numpy(*inputs, **kwargs)
        counting.launch(self.__name__)
        if out is not None:
            return out[0] if isinstance(out, tuple) and len(out) == 1 else out
        return tuple(map(host.fresh, results)) if self.nout > 1 else host.fresh(results)

    def _input(self, value: Any) -> Any:
        if isinstance(value, Memory):
            return value._host
        if isinstance(value, int | float | complex | np.generic):
            return value
        raise TypeError(f"Unsupported type {type(value)}")

    def _only(self, method: str, names: set[str]) -> None:
        if self.__name__ not in names:
            raise NotImplementedError(f"`{self.name}.{method}` is not supported yet")

    def reduce(
        self, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False
    ) -> Any:
        self._only("reduce", {"add", "multiply"})
        total = array.sum if self.__name__ == "add" else array.prod
        return total(axis, dtype, out, keepdims)

    def accumulate(self, array: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        self._only("accumulate", {"add", "multiply"})
        total = array.cumsum if self.__name__ == "add" else array.cumprod
        return total(axis, dtype, out)

    def reduceat(self, array: Any, indices: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        self._only("reduceat", {"add"})
        return host.call("reduceat", self._numpy.reduceat, (array, indices, axis, dtype), {"out": out})

    def at(self, a: Any, indices: Any, b: Any = None) -> None:
        self._only("at", AT)
        from tests.standin.indexing import key_of

        counting.launch(f"{self.__name__}.at")
        key, _, _ = key_of(a, indices)
        self._numpy.at(a._host, key, self._input(b))

    def outer(self, A: Any, B: Any, **kwargs: Any) -> Any:  # noqa: N803
        return self(A[(..., *(None,) * B.ndim)], B, **kwargs)


ufunc.__module__ = "cupy"
UFUNCS = {name: ufunc(name) for name in NAMES}
