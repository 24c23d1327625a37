"""What each layer computes: formulas, multiply-adds, and how single numbers are worked out by hand."""

from collections.abc import Mapping

from minidl import layers
from minidl.layers.base import Layer
from minidl.training.explain.by_hand import together
from minidl.training.explain.entry import Entry
from minidl.training.explain.formulas.curves import CURVES
from minidl.training.explain.formulas.features import FEATURES
from minidl.training.explain.formulas.images import IMAGES
from minidl.training.explain.formulas.sequences import SEQUENCES

CONTAINERS: dict[type[Layer], Entry] = {
    layers.Sequential: Entry(
        "y = f_L(... f_2(f_1(x)))",
        "dx = the pullbacks in turn, last to first",
        "the chain rule",
        together.last_output,
        together.first_gradient,
    ),
    layers.Residual: Entry(
        "y = layer(x) + shortcut(x)",
        "dx = dy through the layer + dy through the shortcut",
        "without a shortcut x itself is added",
        together.residual_output,
        together.residual_gradient,
    ),
    layers.Parallel: Entry(
        "y = (f_1(x), f_2(x), ...) side by side, or added up",
        "dx = the sum of dy, or its part, through each branch",
        "",
        together.parallel_output,
        together.parallel_gradient,
    ),
    layers.Function: Entry(
        "y = f(x)",
        "dx = J^T dy, by the tape",
        "a composition of functions; J is the matrix of all dy / dx",
    ),
}

TABLE: dict[type[Layer], Entry] = CURVES | FEATURES | IMAGES | SEQUENCES | CONTAINERS


def entry_of(layer: Layer, own: Mapping[type[Layer], Entry]) -> Entry:
    """Return what is said about a layer: the user's own entry, that of the table, or a general one.

    A subclass has the entry of the layer whose ``vjp`` it keeps.
    """
    for kind in type(layer).__mro__:
        if kind in own:
            return own[kind]
        if kind in TABLE and type(layer).vjp is kind.vjp:
            return TABLE[kind]
    return Entry(
        f"y = {type(layer).__name__}(x)",
        "dx = J^T dy, by the layer's own pullback",
        f"{_first_line(layer)}J is the matrix of all slopes of y; the example takes them by differences of "
        "the layer's own output, so that a pullback that is wrong shows",
    )


def _first_line(layer: Layer) -> str:
    text = type(layer).__doc__ or ""
    line = " ".join(text.strip().partition("\n\n")[0].split())
    return f"{line.rstrip('.')}. " if line and type(layer).__doc__ is not Layer.__doc__ else ""
