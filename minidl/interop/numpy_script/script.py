"""The script as a whole: the functions, the model's own statements, and the test that comes along."""

import re
import textwrap
from collections.abc import Sequence

from minidl.interop.numpy_script.sources import texts
from minidl.interop.numpy_script.writer import Writer

ALIASES = {  # names of the annotations, which a script need not import
    "Any": "Any = object",
    "Array": "Array = np.ndarray",
    "Arrays": "Arrays = dict  # of arrays, by name",
    "Sizes": "Sizes = tuple  # of ints, one for each spatial axis",
    "Padding": 'Padding = object  # "same", or (before, after) for each spatial axis',
    "Weights": "Weights = list  # of (w_ih, w_hh, b_ih, b_hh), for each direction of each layer",
}

HEAD = '''\
"""A model written out by minidl {version}. It needs NumPy and nothing else.

    python {file}

compares what it computes with what the model computed, and exits with 1 where they differ.

    >>> from {module} import {names}
    >>> p, _ = load()
{example}

x is {x_shape} {x_dtype}, y is {y_shape} {y_dtype}, and p holds the {count} weights by name.
The model is written as it evaluates: without dropout, and with the running statistics of batch normalisation.
"""

from __future__ import annotations

{imports}

WEIGHTS = Path(__file__).with_name("{weights}")
TOLERANCE = {tolerance}  # of the largest number
{aliases}
'''

LOAD = '''\
def load(path: Path = WEIGHTS) -> tuple[Arrays, Arrays]:
    """Return the weights by name, and the stored example of what goes in and comes out."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    p = {name[2:]: array for name, array in arrays.items() if name.startswith("p/")}
    return p, {name: array for name, array in arrays.items() if not name.startswith("p/")}


def difference(found: Array, expected: Array, scale: float) -> float:
    """Return the largest difference of two arrays as a share of a scale; NaN where only one is NaN."""
    if found.shape != expected.shape:
        return np.inf
    with np.errstate(invalid="ignore"):
        same = (found == expected) | (np.isnan(found) & np.isnan(expected))
        return float(np.where(same, 0.0, abs(found - expected)).max(initial=0.0) / scale)


def largest(arrays: list[Array]) -> float:
    """Return the largest finite magnitude, or 1 if that is 0."""
    return max(float(abs(a[np.isfinite(a)]).max(initial=0.0)) for a in arrays) or 1.0
'''

CHECK = '''\
def differences(p: Arrays, stored: Arrays) -> dict[str, float]:
    """Compare with the stored example; return the largest difference of each array, by name."""
    y = forward(stored["x"], p)
    return {"y": difference(y, stored["y"], largest([stored["y"]]))}
'''

CHECK_BACKWARD = '''\
def differences(p: Arrays, stored: Arrays) -> dict[str, float]:
    """Compare with the stored example; return the largest difference of each array, by name."""
    y, kept = forward(stored["x"], p)
    dx, g = backward(stored["dy"], kept, p)
    found = {f"g/{name}": gradient for name, gradient in g.items()}
    if dx is not None:
        found["dx"] = dx
    expected = {name: stored[name] for name in stored if name not in ("x", "y", "dy")}
    if found.keys() != expected.keys():
        return {f"gradients of {sorted(found.keys() ^ expected.keys())}": np.inf}
    scale = largest(list(expected.values()) or [y])
    gaps = {name: difference(found[name], expected[name], scale) for name in sorted(expected)}
    return {"y": difference(y, stored["y"], largest([stored["y"]])), **gaps}
'''

MAIN = '''\
def main() -> int:
    """Print the differences; return 1 where one is too large."""
    found = differences(*load())
    for name, gap in found.items():
        print(f"{name}: largest difference {gap:.1e}")
    if all(gap <= TOLERANCE for gap in found.values()):
        print(f"ok: all within {TOLERANCE:g}")
        return 0
    print(f"WRONG: expected all within {TOLERANCE:g}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
'''


def assemble(writer: Writer, y: str, dx: str | None, facts: dict[str, object]) -> str:
    """Return the text of a script.

    Args:
        writer: after it has written the model.
        y: the variable of the output.
        dx: what the gradient of the input is called; None without a backward.
        facts: what the head says of the model.
    """
    updates = [] if dx is None else ["sgd", "adam"]
    blocks = [*texts(writer.functions), *_model(writer, y, dx), *texts(updates)]
    blocks += [LOAD.rstrip(), (CHECK if dx is None else CHECK_BACKWARD).rstrip(), MAIN.rstrip()]
    body = "\n\n\n".join(blocks)
    imports = ["import math"] if re.search(r"\bmath\.", body) else []
    imports += ["import sys", "from pathlib import Path", "", "import numpy as np"]
    used = [text for name, text in ALIASES.items() if re.search(rf"\b{name}\b", body)]
    head = HEAD.format(
        **facts,
        names="forward, load" if dx is None else "adam, backward, forward, load, sgd",
        example=textwrap.indent("\n".join(_usage(dx)), "    "),
        imports="\n".join(imports),
        aliases="\n".join(used),
    )
    return head.rstrip() + "\n\n\n" + body + "\n"


def _usage(dx: str | None) -> list[str]:
    """Return how a reader calls the script's functions."""
    if dx is None:
        return [">>> y = forward(x, p)"]
    return [
        ">>> y, kept = forward(x, p)",
        ">>> dx, g = backward(dy, kept, p)  # dy: the gradient of a loss with respect to y",
        ">>> sgd(p, g, lr=0.01)",
    ]


def _model(writer: Writer, y: str, dx: str | None) -> list[str]:
    """Return the functions of the model itself."""
    if dx is None:
        head = ["def forward(x: Array, p: Arrays) -> Array:", '    """Return y for x."""']
        return ["\n".join([*head, *_indented(writer.forward), f"    return {y}"])]
    kept = f"({writer.kept[0]},)" if len(writer.kept) == 1 else f"({', '.join(writer.kept[::-1])})"
    head = [
        "def forward(x: Array, p: Arrays) -> tuple[Array, tuple]:",
        '    """Return y for x, and what the backward needs."""',
    ]
    back = [
        "def backward(dy: Array, kept: tuple, p: Arrays) -> tuple[Array, Arrays]:",
        '    """Return the gradients of x and of each weight, for dy, the gradient of y."""',
        *([f"    {kept} = kept"] if writer.kept else []),
        "    g = {}",
    ]
    return [
        "\n".join([*head, *_indented(writer.forward), f"    return {y}, {kept}"]),
        "\n".join([*back, *_indented(writer.backward), f"    return {dx}, g"]),
    ]


def _indented(lines: Sequence[str]) -> list[str]:
    return [textwrap.indent(line, "    ") for line in lines]
