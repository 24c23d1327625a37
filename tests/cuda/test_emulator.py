"""The emulator of CUDA C is held against what CUDA promises, and notices what CUDA leaves to chance."""

from typing import Any

import numpy as np
import pytest

from tests.cuda import emulator

pytestmark = pytest.mark.skipif(emulator.missing() is not None, reason=str(emulator.missing()))

SUM = """
extern "C" __global__ void total(const float* x, float* out, long long n) {
  __shared__ float part[256];
  float mine = 0;
  for (long long i = threadIdx.x; i < n; i += blockDim.x) mine += x[i];
  part[threadIdx.x] = mine;
  __syncthreads();
  for (int half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) out[0] = part[0];
}
"""
X = np.arange(1000, dtype=np.float32)


def total(source: str, order: str | None, block: int = 64) -> float:
    out = np.zeros(1, np.float32)
    launch = emulator.compile_kernel(source, "total")
    if order is None:
        launch((1,), (block,), (X, out, X.size))
    else:
        with emulator.cooperative(order):
            launch((1,), (block,), (X, out, X.size))
    return float(out[0])


@pytest.mark.parametrize("order", [None, *emulator.ORDERS])
def test_a_sum_over_a_block_is_that_of_numpy(order: str | None) -> None:
    assert total(SUM, order) == X.sum()


def test_a_missing_barrier_shows_in_one_of_the_orders() -> None:
    racing = SUM.replace("part[threadIdx.x] = mine;\n  __syncthreads();", "part[threadIdx.x] = mine;")
    assert racing != SUM
    assert {total(racing, order) == X.sum() for order in ("forward", "backward")} == {True, False}


def test_a_barrier_that_some_threads_never_reach_is_an_error() -> None:
    divergent = SUM.replace("float mine = 0;", "float mine = 0;\n  if (threadIdx.x > 32) return;")
    with pytest.raises(RuntimeError, match="barrier"):
        total(divergent, "forward")


@pytest.mark.parametrize("offset", ["-1", "+ n"])
def test_what_is_written_out_of_bounds_is_noticed(offset: str) -> None:
    source = f'extern "C" __global__ void f(float* y, long long n) {{ y[0 {offset}] = 1; }}'
    with pytest.raises(IndexError, match="out of bounds"):
        emulator.compile_kernel(source, "f")((1,), (1,), (np.zeros(3, np.float32), 3))


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ((X.astype(np.float64), np.zeros(1, np.float32), 3), TypeError),
        ((X, np.zeros(1, np.float32), np.int32(3)), TypeError),
        ((X, np.zeros(1, np.float32), 3.0), TypeError),
        ((X, np.zeros(1, np.float32)), TypeError),
        ((X[::2], np.zeros(1, np.float32), 3), ValueError),
        ((X, np.broadcast_to(np.float32(0), 1), 3), ValueError),
    ],
)
def test_arguments_that_a_kernel_would_misread_are_refused(args: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        emulator.compile_kernel(SUM, "total")((1,), (1,), args)


@pytest.mark.parametrize(("grid", "block"), [((0,), (1,)), ((1,), (2048,)), ((1, 65536), (1,))])
def test_a_grid_that_no_gpu_can_launch_is_refused(grid: Any, block: Any) -> None:
    with pytest.raises(ValueError, match="block"):
        emulator.compile_kernel(SUM, "total")(grid, block, (X, np.zeros(1, np.float32), 3))


def test_a_source_that_does_not_compile_is_an_error_with_the_compilers_words() -> None:
    with pytest.raises(ValueError, match="atomicAdd"):
        emulator.compile_kernel('extern "C" __global__ void f(float* y) { atomicAdd(y, 1); }', "f")


def test_half_precision_is_that_of_numpy() -> None:
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    widen = emulator.elementwise("float16 x", "float32 y", "y = x", "widen")
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(widen(halves), halves.astype(np.float32))
    floats = np.random.default_rng(0).integers(0, 2**32, 50_000, dtype=np.uint32).view(np.float32)
    near = np.random.default_rng(1).standard_normal(50_000).astype(np.float32) * 1e-5
    narrow = emulator.elementwise("float32 x", "float16 y", "y = x", "narrow")
    for x in (floats, near, halves.astype(np.float32)):
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(narrow(x), x.astype(np.float16))


def test_an_elementwise_kernel_broadcasts_and_tells_types_by_its_arguments() -> None:
    add = emulator.elementwise("T x, T w", "T y", "y = x + w", "add")
    x, w = np.arange(3.0), np.arange(2.0)[:, None]
    np.testing.assert_array_equal(add(x, w), x + w)
    taken = emulator.elementwise("raw T x, raw I index", "T y", "y = x[index[i]]", "taken")
    np.testing.assert_array_equal(taken(x, np.array([2, 0]), size=2), [2.0, 0.0])
    with pytest.raises(TypeError, match="expected"):
        add(x, w.astype(np.float32))


def test_an_array_that_is_passed_twice_is_one() -> None:
    source = 'extern "C" __global__ void f(float* x, float* y) { x[0] += 1; y[0] += 2; }'
    x = np.zeros(1, np.float32)
    emulator.compile_kernel(source, "f")((1,), (1,), (x, x))
    assert x[0] == 3


def test_a_copy_from_out_of_bounds_to_out_of_bounds_is_noticed() -> None:
    source = (
        'extern "C" __global__ void f(const float* x, float* y) { for (int i = 0; i < 4; ++i) y[i] = x[i]; }'
    )
    with pytest.raises(IndexError, match="out of bounds"):
        emulator.compile_kernel(source, "f")((1,), (1,), (np.zeros(3, np.float32), np.zeros(3, np.float32)))
