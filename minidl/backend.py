"""The array library behind every operation: NumPy or CuPy, chosen once at import by ``MINIDL_BACKEND``.

Every module writes ``from minidl.backend import xp`` and then plain array code; what NumPy and CuPy do
differently stands in this file and nowhere else.
"""

import functools
import importlib
import operator
import os
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from minidl import special

if TYPE_CHECKING:
    import numpy.typing as npt

    xp = np
    Array: TypeAlias = npt.NDArray[Any]
    Seed: TypeAlias = int | np.random.Generator | None
else:
    Array = np.ndarray  # what annotations show; both backends' arrays are meant
    Seed = object  # an int, a generator or None; to name the generator would load all of numpy.random

CHOICES = ("numpy", "cupy", "auto")


def _load_cupy() -> Any:
    """Import CuPy and make sure that it can reach a GPU: the import alone proves nothing."""
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        raise ImportError(
            "MINIDL_BACKEND=cupy: CuPy is not installed; "
            'pip install "minidl[cuda12]" (or "minidl[cuda13]", to match the driver), or unset MINIDL_BACKEND'
        ) from error
    if not cupy.is_available():
        raise RuntimeError(
            "MINIDL_BACKEND=cupy: CuPy is installed but finds no usable GPU; "
            "check that nvidia-smi lists one, or unset MINIDL_BACKEND to run on NumPy"
        )
    return cupy


def _choose(choice: str) -> tuple[Any, str]:
    """Return the array module for a value of ``MINIDL_BACKEND``, and its name."""
    if choice not in CHOICES:
        raise ValueError(f"MINIDL_BACKEND={choice!r}: expected one of {', '.join(CHOICES)}")
    if choice == "numpy":
        return np, "numpy"
    try:
        return _load_cupy(), "cupy"
    except (ImportError, RuntimeError) as error:
        if choice == "cupy":
            raise
        import logging

        logging.getLogger("minidl").warning("MINIDL_BACKEND=auto: falling back to NumPy (%s)", error)
        return np, "numpy"


if TYPE_CHECKING:
    name: str = "numpy"
else:
    xp, name = _choose(os.environ.get("MINIDL_BACKEND") or "numpy")


def _read_debug(value: str) -> bool:
    """Tell whether a value of ``MINIDL_DEBUG`` asks for the costly checks."""
    if value.lower() in ("1", "true"):
        return True
    if value.lower() in ("", "0", "false"):
        return False
    raise ValueError(f"MINIDL_DEBUG={value!r}: expected 1 or true, or 0 or false")


DEBUG = _read_debug(os.environ.get("MINIDL_DEBUG", ""))  # the costly checks, read once at import
CORES = name == "numpy"  # work is cut up for the cores and caches of a CPU; a GPU takes it whole
BLOCK = 1 << (24 if name == "cupy" else 17)  # elements per pass over a buffer: few launches, or a warm cache
TILE = 1 << 28 if name == "cupy" else 5 << 18  # bytes of rows at a time: few products, or a warm cache


def _module_of(a: object) -> str:
    return type(a).__module__.partition(".")[0]


def asarray(a: object, dtype: Any = None) -> Array:
    """Return ``a`` as an array of the active backend, copying only where needed.

    Args:
        a: an array of either backend or, by DLPack, of another library, such as a PyTorch tensor: in the
            memory of the same device it is shared, not copied; a number; or (nested) sequences of numbers.
        dtype: the wanted dtype; by default arrays keep theirs, and Python floats become float32.

    Raises:
        TypeError: there are no numbers in it, or ones that another library does not share.

    Example:
        >>> asarray([1.0, 2.0]).dtype
        dtype('float32')
    """
    if name == "numpy" and _module_of(a) == "cupy":
        a = to_numpy(a)
    elif hasattr(a, "__dlpack_device__") and not isinstance(a, (np.ndarray, np.generic, xp.ndarray)):
        a = _shared(a)
    array: Array | None = None if a is None or isinstance(a, (str, bytes)) else _numbers(a, dtype)
    if array is None or array.dtype.kind in "OSUMm":
        raise TypeError(f"asarray: expected an array or numbers, got {type(a).__name__}")
    if dtype is None and array.dtype == np.float64 and not hasattr(a, "dtype"):
        array = array.astype(np.float32)
    return array


def _numbers(a: Any, dtype: Any) -> Any:
    """Return an array of what is in ``a``; None where CuPy has no array for it and NumPy one of objects."""
    try:
        return xp.asarray(a, dtype=dtype)
    except ValueError as error:
        if not str(error).startswith("Unsupported dtype"):
            raise
        return None


def _shared(a: Any) -> Any:
    """Return another library's array through DLPack, without a copy: NumPy's on the host, else CuPy's."""
    if any(base.__module__ == "minidl.tensor" for base in type(a).__mro__):
        return a.data
    kind = f"{_module_of(a)}.{type(a).__name__} of dtype {getattr(a, 'dtype', 'unknown')}"
    try:
        host = a.__dlpack_device__()[0] in (1, 3)  # DLPack's numbers for memory of the CPU
        if not host and name == "numpy":
            raise BufferError(f"it is on {getattr(a, 'device', 'another device')}; pass tensor.cpu()")
        return (np if host else xp).from_dlpack(a)  # PyTorch's own error says what to do about a gradient
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        remedy = "; pass tensor.float()" if "bfloat16" in kind else ""
        raise TypeError(f"asarray: {name} cannot share a {kind}: {error}{remedy}") from error


def to_numpy(a: object) -> "npt.NDArray[Any]":
    """Return ``a`` as a NumPy array: the same one where it is one already, a copy from the GPU otherwise.

    Example:
        >>> to_numpy(asarray([1, 2])).tolist()
        [1, 2]
    """
    return a.get() if _module_of(a) == "cupy" and hasattr(a, "get") else np.asarray(a)


def copy_into(destination: Any, source: object) -> None:
    """Overwrite an array, of the host or of the device, with equally shaped values from either."""
    destination[...] = to_numpy(source) if isinstance(destination, np.ndarray) else xp.asarray(source)


def beyond(a: Any, dtype: Any) -> str:
    """Say which finite number of an array, of the host or of the device, a narrower dtype cannot hold.

    Example:
        >>> beyond(np.array([1.0, np.inf, 1e300]), np.dtype("float32"))
        '1e+300 is too large for float32'
    """
    if a.dtype.kind != "f" or a.dtype.itemsize <= dtype.itemsize:
        return ""
    with silent_overflow():
        lost = (abs(a.astype(dtype)) == np.inf) & (abs(a) != np.inf)
    return f"{float(a[lost][0]):.3g} is too large for {dtype}" if lost.any() else ""


def silent_overflow(invalid: bool = False) -> "np.errstate":
    """Return a context in which a number too large for its dtype becomes infinite without a word.

    It is for results that are right if infinite. CuPy never warns.

    Args:
        invalid: be silent about the NaN that follow from infinities as well.
    """
    return np.errstate(over="ignore", invalid="ignore" if invalid else None)


def synchronize() -> None:
    """Wait until the device has finished all queued work; NumPy has none."""
    if name == "cupy":
        xp.cuda.get_current_stream().synchronize()  # type: ignore[attr-defined]  # CuPy alone has it


def channels_last(x: Array) -> Array:
    """Turn ``(N, C, *spatial)`` into a contiguous ``(N, *spatial, C)``.

    Example:
        >>> channels_last(xp.zeros((64, 3, 32, 32))).shape
        (64, 32, 32, 3)
    """
    check_rank(x, "channels_last", at_least=3)
    return xp.ascontiguousarray(xp.moveaxis(x, 1, -1))


def channels_first(x: Array) -> Array:
    """Turn ``(N, *spatial, C)`` into a contiguous ``(N, C, *spatial)``.

    Example:
        >>> channels_first(xp.zeros((64, 32, 32, 3))).shape
        (64, 3, 32, 32)
    """
    check_rank(x, "channels_first", at_least=3)
    return xp.ascontiguousarray(xp.moveaxis(x, -1, 1))


_default_generator: "np.random.Generator | None" = None  # made when first asked for, as it is slow to load


def seed(n: int) -> None:
    """Seed the default generator, which serves everything that was not given a seed of its own."""
    global _default_generator
    _default_generator = np.random.default_rng(check_seed(n))


def generator(seed: Seed = None) -> "np.random.Generator":
    """Return the NumPy generator for a seed: a new one for an int, the default one for ``None``.

    Random numbers are drawn by NumPy on both backends, so that both start from the same weights.
    """
    if seed is not None:
        return np.random.default_rng(check_seed(seed))  # which returns a generator as it is
    global _default_generator
    if _default_generator is None:
        _default_generator = np.random.default_rng()
    return _default_generator


def check_seed(seed: Seed) -> Seed:
    """Return a seed, as Python's int where it is a number, and refuse what is none."""
    if seed is None or isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):
        raise TypeError(
            f"seed: expected an int, a numpy.random.Generator or None, got {type(seed).__name__}; "
            "use numpy.random.default_rng(...) for a generator"
        )
    if (number := check_int(seed, "seed", "seed")) < 0:
        raise ValueError(f"seed: expected an int of at least 0, got {number}")
    return number


def generator_state(seed: Seed = None) -> dict[str, Any]:
    """Return where a generator is in its stream, by default the default one, as numbers that JSON can say."""
    state: dict[str, Any] = _plain_state(generator(seed).bit_generator.state)
    return state


def load_generator_state(state: dict[str, Any], seed: Seed = None) -> None:
    """Let a generator, by default the default one, go on from where `generator_state` was taken."""
    bits = generator(seed).bit_generator
    kind = state.get("bit_generator")
    if kind != type(bits).__name__:
        raise ValueError(f"generator: expected the state of a {type(bits).__name__}, got one of {kind}")
    bits.state = state


def _plain_state(value: Any) -> Any:
    """Return nested dicts of NumPy's numbers and arrays as Python's numbers and lists."""
    if isinstance(value, dict):
        return {key: _plain_state(part) for key, part in value.items()}
    return value.tolist() if hasattr(value, "tolist") else value


def draw_seed(seed: Seed = None) -> int:
    """Return a random number that seeds a stream of its own."""
    return int(generator(seed).integers(2**63))


def random_lanes(seed: int, counter: int, size: int) -> Array:
    """Return ``size`` random numbers of 16 bits, which depend on the seed and the counter alone.

    Philox (Salmon et al., 2011) runs on the host for both backends, so that both see the same numbers.
    """
    words = np.random.Philox(key=np.array([seed, counter], dtype=np.uint64)).random_raw(-(-size // 4))
    return xp.asarray(words.astype("<u8", copy=False).view("<u2")[:size])


def erf(x: Array) -> Array:
    """Return the error function, ``2 / sqrt(pi)`` times the integral of ``e^(-t^2)`` from 0 to x.

    On NumPy as in `minidl.special`, within 1e-15 of the true value in float64 and 3e-7 in float32; on CuPy by
    CuPy's.

    Example:
        >>> erf(xp.asarray([0.0, 0.5, 6.0]))
        array([0. , 0.52049988, 1. ])
    """
    if name == "cupy":
        wide = x.astype(xp.float32) if x.dtype == xp.float16 else x
        value = importlib.import_module("cupyx.scipy.special").erf(wide)
        return xp.asarray(value, dtype=x.dtype)
    return special.erf(x)


def segment_sums(rows: Array, starts: Array) -> Array:
    """Return the sum of each run of rows, from ``starts[i]`` to below ``starts[i + 1]``; 0 for an empty one.

    Each sum is taken on its own and in order, so it is exact to rounding and the same every time. (CuPy's own
    ``add.reduceat`` takes differences of running totals: a NaN would reach all later sums.)

    Args:
        rows: ``(M, D)``, the runs one after the other.
        starts: ``(K + 1,)`` whole numbers, not falling, the last of which is M.

    Example:
        >>> segment_sums(xp.asarray([[1.0], [2.0], [4.0]]), xp.asarray([0, 2, 2, 3])).tolist()
        [[3.0], [0.0], [4.0]]
    """
    if name == "cupy":
        sums = xp.empty((len(starts) - 1, rows.shape[1]), dtype=rows.dtype)
        _segment_kernel()(xp.ascontiguousarray(rows), starts, rows.shape[1], sums)
        return sums
    closed = np.concatenate([rows, np.zeros((1, rows.shape[1]), rows.dtype)])  # the last runs may be empty
    present = starts[:-1] < starts[1:]
    return np.where(present[:, None], np.add.reduceat(closed, starts[:-1], axis=0), np.zeros((), rows.dtype))


@functools.cache
def _segment_kernel() -> Any:
    """Compile the kernel that sums one column of one run in each thread."""
    return xp.ElementwiseKernel(  # type: ignore[attr-defined]  # CuPy alone has it
        "raw T rows, raw I starts, int64 columns",
        "T total",
        """
        const long long column = i % columns, run = i / columns;
        T sum = 0;
        for (long long row = starts[run]; row < starts[run + 1]; ++row) sum += rows[row * columns + column];
        total = sum;
        """,
        "minidl_segment_sums",
    )


def check_array(x: object, owner: str, what: str = "an array") -> None:
    """Refuse everything but an array of the active backend, naming the way to convert it."""
    if type(x) is xp.ndarray:  # a masked array or a matrix would be taken for what it is not
        return
    if _module_of(x) == "minidl":
        raise TypeError(
            f"{owner}: expected {what}, got {type(x).__name__}; a Tensor goes to layer(x), loss(x, target) "
            "or minidl.functional"
        )
    if _module_of(x) in ("numpy", "cupy") and hasattr(x, "shape"):
        raise TypeError(
            f"{owner}: expected {what} of {name}, got {_module_of(x)}.{type(x).__name__} "
            f"(MINIDL_BACKEND={name}); convert it with minidl.asarray(x)"
        )
    raise TypeError(f"{owner}: expected {what}, got {type(x).__name__}; convert it with minidl.asarray(x)")


def check_float(x: Array, owner: str) -> None:
    """Refuse everything but an array of floating-point numbers."""
    if type(x) is not xp.ndarray:
        check_array(x, owner)
    if x.dtype.kind != "f":
        raise TypeError(
            f'{owner}: expected a floating-point array, got {x.dtype}; use minidl.asarray(x, "float32")'
        )
    if not x.dtype.isnative:
        raise TypeError(
            f"{owner}: expected numbers in the byte order of this machine, got {x.dtype.str}; "
            f'use minidl.asarray(x, "{x.dtype.name}")'
        )


def check_rank(x: Array, owner: str, at_least: int) -> None:
    """Refuse an array with too few axes."""
    check_array(x, owner)
    if x.ndim < at_least:
        raise ValueError(f"{owner}: expected at least {at_least} axes, got shape {x.shape}")


def check_shape(x: Array, shape: tuple[int, ...], owner: str) -> None:
    """Refuse an array of any other shape, naming both in full."""
    check_array(x, owner)
    if x.shape != shape:
        raise ValueError(f"{owner}: expected shape {shape}, got {x.shape}")


def check_int(value: object, owner: str, name: str) -> int:
    """Return a whole number, one of NumPy's too, as Python's int; refuse everything else, and booleans."""
    if not isinstance(value, bool):
        try:
            return operator.index(value)  # type: ignore[arg-type]  # the question is whether it is one
        except TypeError:
            pass
    raise TypeError(f"{owner}: expected {name} as an int, got {type(value).__name__}")


def check_axis(axis: int, ndim: int, owner: str) -> int:
    """Return an axis counted from the front, or raise naming the range."""
    if type(axis) is not int:
        axis = check_int(axis, owner, "axis")
    if not -ndim <= axis < ndim:
        span = f"between {-ndim} and {ndim - 1}" if ndim else "of an array with axes (this one is 0-d)"
        raise ValueError(f"{owner}: expected axis {span}, got {axis}")
    return axis % ndim


def violated(inside: Array) -> bool:
    """Tell whether some of the values are not inside their bounds.

    To look on CuPy would be to wait for the GPU: there only ``MINIDL_DEBUG=1`` looks, and otherwise the
    caller turns what comes from the other values into NaN.
    """
    return (name == "numpy" or DEBUG) and not inside.all()


def check_labels(labels: Array, classes: int, owner: str) -> Array:
    """Tell which labels lie in ``range(classes)``, as an array of booleans; see ``violated``."""
    inside: Array = (labels >= 0) & (labels < classes)
    if violated(inside):
        raise ValueError(
            f"{owner}: expected labels from 0 to {classes - 1}, got {labels[~inside][0]}; "
            "labels to leave out are marked by ignore_index"
        )
    return inside
