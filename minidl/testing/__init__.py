"""Prove an op or a layer: its gradients, and all that a layer promises. For your own as much as for ours.

`check_gradients` needs NumPy alone; `check_layer` and ``strategies`` need hypothesis, which comes with
``pip install "minidl[testing]"``.
"""

import importlib
from typing import Any

from minidl.testing.compare import BackendDifference as BackendDifference
from minidl.testing.compare import BackendReport as BackendReport
from minidl.testing.compare import compare_backends as compare_backends
from minidl.testing.gradients import check_gradients as check_gradients
from minidl.testing.layer import LayerCheck as LayerCheck
from minidl.testing.layer import LayerError as LayerError
from minidl.testing.layer import LayerReport as LayerReport
from minidl.testing.layer import check_layer as check_layer
from minidl.testing.layer import layer_checks as layer_checks
from minidl.testing.report import GradientError as GradientError
from minidl.testing.report import GradientReport as GradientReport


def __getattr__(name: str) -> Any:
    """Import ``strategies`` when it is first asked for, since hypothesis is optional."""
    if name != "strategies":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module("minidl.testing.strategies")
