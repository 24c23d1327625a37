"""The tests that the stand-in leaves out, each with its reason."""

import pytest

CPU = "about the cores and caches of the CPU"
HOST = "about files, commands and numbers of the host, which are the same on both backends"
NUMPY = "about NumPy as the backend"
NO_READ_ONLY = "CuPy has no arrays that refuse to be written to"
DIGITS = "an example prints as many digits as NumPy needs"
SLOW = "takes over ten seconds where kernels are emulated"
EMULATION = "the emulated kernels are tested on their own"

REASONS = {
    "tests/cuda/": EMULATION,
    "minidl/functional/softmax.py::minidl.functional.softmax.softmax": DIGITS,
    "minidl/layers/activation.py::minidl.layers.activation.Softmax": DIGITS,
    "tests/conformance/test_onnx.py::test_the_outputs_are_those_of_onnx[test_sce_NCd1d2d3d4d5_mean_weight": (
        "one thread adds up 6480 losses where a GPU has 256 threads for it"
    ),
    "tests/data/test_mnist.py": HOST,
    "tests/interop/test_arrays.py": "the stand-in shares no memory by DLPack",
    "tests/interop/test_eject.py": "ejected scripts are NumPy's",
    "tests/mutants/": "the mistakes are planted in formulas, in whose place kernels run",
    "tests/training/test_fuzz.py": HOST,
    "tests/training/test_kill.py": HOST,
    "tests/training/test_resume.py": HOST,
    "tests/training/test_ctrl_c.py": HOST,
    "tests/ops/test_pool.py::test_a_half_precision_mean_of_a_large_image_still_has_a_gradient": SLOW,
    "tests/test_training.py::test_digits_reach_their_bar": SLOW,
    "tests/scripts/": HOST,
    "tests/test_backend.py::test_an_array_of_the_other_backend": NUMPY,
    "tests/test_backend.py::test_only_asarray_and_tensor_convert_it": NUMPY,
    "tests/test_backend.py::test_asarray_copies_only_where_it_must": NUMPY,
    "tests/test_backend.py::test_floats_in_the_byte_order": "CuPy has no arrays of another byte order",
    "tests/test_bad_input.py::test_a_gradient_that_does_not_fit[dy2": NUMPY,
    "tests/test_bad_input.py::test_an_input_that_does_not_fit[the other backend": NUMPY,
    "tests/testing/test_layer.py::test_an_upstream_that_is_written_to_is_found": NO_READ_ONLY,
    "tests/testing/test_layer.py::test_a_warning_is_a_failure": "CuPy does not warn",
    "tests/testing/test_strategies.py::test_a_read_only_array_refuses": NO_READ_ONLY,
    "tests/test_tape.py::test_a_masked_array_and_a_tensor_are_no_arrays": NUMPY,
    "tests/test_cupy_names.py": HOST,
    "tests/test_docs.py": HOST,
    "tests/test_layering.py": HOST,
    "tests/test_public_names.py": HOST,
    "tests/test_repository.py": HOST,
    "tests/ops/test_blocks.py": CPU,
    "tests/test_memory.py": CPU,
    "tests/test_threads.py": CPU,
    "tests/test_tiling.py": CPU,
    "tests/test_surfaces.py::test_so_they_do_where_a_batch_is_cut_into_tiles": CPU,
    "tests/ops/test_conv.py::test_without_a_limit_to_tiles_there_is_one_product": CPU,
    "tests/ops/test_conv.py::test_memory_does_not_grow_with_the_kernel": CPU,
    "tests/testing/test_layer.py::test_a_breach_is_found_by_the_check_of_that_name[purity]": NO_READ_ONLY,
    "tests/testing/test_diagnosis.py::test_a_planted_mistake_is_named[overwritten-gather": (
        "of two values for one place CuPy leaves open which one stays"
    ),
}


def reason_for(nodeid: str) -> str | None:
    """Return why a test is left out, None if it is not."""
    return next((reason for start, reason in REASONS.items() if nodeid.startswith(start)), None)


def mark(items: list[pytest.Item]) -> None:
    """Skip what begins with an entry of the table."""
    for item in items:
        reason = reason_for(item.nodeid)
        if reason:
            item.add_marker(pytest.mark.skip(reason=f"stand-in: {reason}"))
