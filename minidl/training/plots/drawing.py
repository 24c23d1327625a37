"""What the pictures share: figures without pyplot, the dress of their axes, and names of classes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from minidl.files import PathLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150


def new_figure(width: float, height: float, by_hand: bool = False) -> "Figure":
    """Return an empty figure of this size in inches, which pyplot knows nothing of; it lays itself out."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise ImportError('plots: matplotlib is not installed; pip install "minidl[plots]"') from error
    layout = None if by_hand else ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06)
    return Figure(figsize=(width, height), dpi=DPI, layout=layout, facecolor="white")


def saved(figure: "Figure", path: "PathLike | None") -> "Figure":
    """Write a figure to a file if one is named, and return it."""
    if path is not None:
        figure.savefig(path)
    return figure


def dress(axes: "Axes", x: str, y: str) -> None:
    """Name the axes of a panel over whole numbers; a faint grid, no frame at the top and at the right."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.tick_params(labelbottom=True)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def class_names(names: Sequence[str] | None, count: int, owner: str) -> list[str]:
    """Return a name for each of so many classes at least: their numbers if there are none."""
    if names is None:
        return [str(number) for number in range(count)]
    if isinstance(names, str) or len(names) < count:
        raise ValueError(f"{owner}: expected a name for each of {count} classes, got {names!r}")
    return [str(name).replace("$", r"\$") for name in names]  # which would begin a formula
