"""Every kernel compiles for every GPU since Volta, by NVIDIA's own compiler; nothing runs."""

import importlib
import re
from pathlib import Path

import pytest

import minidl
from minidl import backend
from minidl.ops._kernels._program import OPTIONS, THREADS
from tests.cuda import nvrtc
from tests.cuda.emulator import KERNEL
from tests.cuda.kernels import DTYPES, programs

ARCHITECTURES = (70, 75, 80, 86, 89, 90)
PROGRAMS = programs()
PACKAGE = Path(minidl.__file__).parent
needs_nvrtc = pytest.mark.skipif(nvrtc.missing() is not None, reason=str(nvrtc.missing()))

# Every program and type for one architecture, in turn; the others take longer.
CHOSEN = [
    (name, dtype, ARCHITECTURES[i % len(ARCHITECTURES)])
    for i, (name, dtype) in enumerate((name, dtype) for name in PROGRAMS for dtype in DTYPES)
]
OTHERS = [
    case
    for case in ((name, dtype, a) for name in PROGRAMS for dtype in DTYPES for a in ARCHITECTURES)
    if case not in CHOSEN
]


def compile_program(name: str, dtype: str, architecture: int) -> None:
    if architecture not in nvrtc.architectures():
        pytest.skip(f"this NVRTC makes no code for sm_{architecture}")
    log = nvrtc.compiled(PROGRAMS[name].source(dtype), architecture, OPTIONS)
    assert "kernels.cu(" not in log, log  # a warning about a line, not about the architecture


@needs_nvrtc
@pytest.mark.parametrize(("name", "dtype", "architecture"), CHOSEN)
def test_every_kernel_compiles(name: str, dtype: str, architecture: int) -> None:
    compile_program(name, dtype, architecture)


@needs_nvrtc
@pytest.mark.full
@pytest.mark.parametrize(("name", "dtype", "architecture"), OTHERS)
def test_every_kernel_compiles_for_every_architecture(name: str, dtype: str, architecture: int) -> None:
    compile_program(name, dtype, architecture)


@needs_nvrtc
def test_a_kernel_that_does_not_compile_is_noticed() -> None:
    source = next(iter(PROGRAMS.values())).source("float32")
    with pytest.raises(ValueError, match="sm_80"):
        nvrtc.compiled(source.replace("EACH(i, count)", "EACH(i, cuont)"), 80, OPTIONS)


@needs_nvrtc
def test_the_elementwise_kernel_compiles() -> None:
    source = """
    extern "C" __global__ void segment_sums(const float* rows, const long long* starts, long long columns,
                                            float* out, long long n) {
      typedef float T;
      for (long long i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
        T& total = out[i];
        BODY
      }
    }
    """
    text = Path(backend.__file__).read_text(encoding="utf-8")
    body = text.partition('"T total",\n        """')[2].partition('"""')[0]
    assert "total = sum" in body
    nvrtc.compiled(source.replace("BODY", body), 70)


def test_no_kernel_stands_outside_of_a_program_that_is_tested() -> None:
    sources = {
        path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8")
        for path in PACKAGE.rglob("*.py")
    }
    makers = {name for name, text in sources.items() if re.search(r"(RawKernel|RawModule)\(", text)}
    assert makers == {"ops/_kernels/_program.py"}
    assert {name for name, text in sources.items() if "ElementwiseKernel(" in text} == {"backend.py"}
    written = [kernel for text in sources.values() for kernel in KERNEL.findall(text)]
    tested = [kernel for program in PROGRAMS.values() for kernel in KERNEL.findall(program.body)]
    assert sorted(written) == sorted(tested)


def test_no_two_kernels_have_one_name() -> None:
    names = [kernel for program in PROGRAMS.values() for kernel in KERNEL.findall(program.body)]
    assert len(names) == len(set(names)) > 25


@pytest.mark.parametrize("name", PROGRAMS)
def test_kernels_keep_to_the_rules_of_the_house(name: str) -> None:
    source = PROGRAMS[name].source("float32")
    assert "atomic" not in source  # or sums would differ from run to run
    assert f"#define MOST_THREADS {THREADS}\n" in source
    assert not re.search(r"\b(?:expf|sqrtf|logf|__expf|__fdividef|__shfl\w*)\b", source)
    for kernel in re.findall(r"__global__ void \w+\(([^)]*)\)", source):
        scalars = {a.split()[0] for a in kernel.replace("\n", " ").split(", ") if "*" not in a}
        assert scalars <= {"Int", "double", "bool", "Word", "WINDOW_OF"}, (
            scalars
        )  # what Python's numbers become


def test_every_formula_names_a_kernel_that_is_there() -> None:
    places = [
        place
        for path in PACKAGE.rglob("*.py")
        for place in re.findall(r'@fused\("([\w:]+)"\)', path.read_text(encoding="utf-8"))
    ]
    assert len(places) == len(set(places)) > 20
    for place in places:
        module, _, function = place.partition(":")
        assert callable(getattr(importlib.import_module(f"minidl.ops._kernels.{module}"), function))
