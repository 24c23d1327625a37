"""Lines over the steps: the curves of a history, and schedules."""

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING

from minidl.backend import check_int
from minidl.files import PathLike
from minidl.optim.schedules import Schedule, as_schedule
from minidl.training.history import History
from minidl.training.plots.drawing import dress, new_figure, saved

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PARTS = 50  # a series longer than twice this is drawn faintly, under the means of so many parts of it
SAMPLES = 5000  # of a schedule
SHARES = ("accuracy", "precision", "recall", "f1")  # what is shown in percent
FULL_NAMES = {"lr": "learning rate"}
LOG_RATIO = 20  # a loss that falls by more has a logarithmic axis


def curves(history: History, names: Sequence[str] | None = None, path: "PathLike | None" = None) -> "Figure":
    """Draw what a history holds over the steps, names with the same last word in one panel.

    So ``loss`` and ``validation_loss`` share one. A loss that falls far has a logarithmic axis. Of a long
    series the means over its parts are drawn, and the numbers themselves faintly. Dotted lines end the
    epochs.

    Args:
        history: what was recorded.
        names: which of the numbers; by default all.
        path: where to write the picture, its kind by its ending.

    Raises:
        ValueError: nothing was recorded.
        KeyError: there is no such name.

    Example:
        >>> history = History()
        >>> for step in range(1, 101):
        ...     history.record(step, loss=1 / step)
        >>> curves(history).axes[0].get_ylabel()
        'loss (log scale)'
    """
    if not isinstance(history, History):
        raise TypeError(f"curves: expected a History, got {type(history).__name__}")
    names = [names] if isinstance(names, str) else names
    panels: dict[str, list[str]] = {}
    for name in history.names if names is None else names:
        panels.setdefault(name.rpartition("_")[2], []).append(name)
    if not panels:
        raise ValueError("curves: expected a history with numbers in it, got an empty one; record(...) first")
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = new_figure(0.8 + 4.2 * columns, 0.4 + 3.0 * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True).reshape(-1)
    for axes in grid[len(panels) :]:
        axes.remove()
    for axes, (kind, members) in zip(grid, panels.items(), strict=False):
        _panel(axes, kind if len(members) > 1 else members[0], members, history)
    last = max(history.steps(name)[-1] for members in panels.values() for name in members)
    epochs = f", {len(history.epochs)} epochs" if len(history.epochs) > 1 else ""
    figure.suptitle(f"Training over {last:,} steps{epochs}", fontsize=11)
    return saved(figure, path)


def schedule(
    value: Schedule | float | Mapping[str, Schedule | float],
    steps: int,
    path: "PathLike | None" = None,
    *,
    label: str = "learning rate",
) -> "Figure":
    """Draw a schedule over so many steps, or several by name.

    A schedule with a memory, such as `Plateau`, is drawn as it stands now.

    Args:
        value: a schedule, or a dict of them.
        steps: how many, counted from 0.
        path: where to write the picture, its kind by its ending.
        label: what is scheduled.

    Example:
        >>> from minidl.optim.schedules import cosine, one_cycle
        >>> figure = schedule(one_cycle(1e-3, steps=1_000), steps=1_000)
        >>> figure = schedule({"cosine": cosine(0.1, 500), "constant": 0.1}, 600, label="momentum")
        >>> figure.axes[0].get_ylabel()
        'momentum'
    """
    if (steps := check_int(steps, "schedule", "steps")) < 1:
        raise ValueError(f"schedule: expected steps >= 1, got {steps}")
    several = value if isinstance(value, Mapping) else {"": value}
    for part in several.values():
        if not callable(part) and (isinstance(part, bool) or not isinstance(part, Real)):
            raise TypeError(f"schedule: expected a schedule or a number, got {type(part).__name__}")
    if not several:
        raise ValueError("schedule: expected at least one schedule, got an empty dict")
    at = range(0, steps, -(-steps // SAMPLES))
    figure = new_figure(7.5 if several is value else 6, 3.4)
    axes = figure.subplots()
    for name, part in several.items():
        axes.plot(at, _values(as_schedule(part), at), drawstyle="steps-post", label=name, linewidth=1.8)
    dress(axes, "step", label)
    axes.set_title(f"{label[:1].upper()}{label[1:]} over {steps:,} steps", fontsize=11)
    if several is value:
        figure.legend(loc="outside right upper", frameon=False)
    return saved(figure, path)


def _values(schedule: Schedule, at: range) -> list[float]:
    values = [schedule(step) for step in at]
    for step, value in zip(at, values, strict=True):
        got = type(value).__name__
        if got in ("NoneType", "str"):  # which a schedule of one's own may return, whatever its type says
            raise TypeError(f"schedule: expected a schedule to return numbers, got {got} at step {step}")
    return values


def _panel(axes: "Axes", kind: str, names: list[str], history: History) -> None:
    """Draw the numbers of one kind."""
    numbers = []
    for index, name in enumerate(names):
        numbers += (values := history[name])
        _line(axes, f"C{index}", FULL_NAMES.get(name, name.replace("_", " ")), history.steps(name), values)
    title = FULL_NAMES.get(kind, kind.replace("_", " "))
    finite = [x for x in numbers if math.isfinite(x)]
    unit = ""
    if kind.endswith("loss") and finite and 0 < LOG_RATIO * min(finite) < max(finite):
        axes.set_yscale("log")
        unit = " (log scale)"
    elif kind.endswith(SHARES) and finite and 0 <= min(finite) <= max(finite) <= 1:
        axes.yaxis.set_major_formatter("{x:.0%}")
    ends = [row["step"] for row in history.epochs]
    for end in ends if 1 < len(ends) <= 30 else []:
        axes.axvline(end, color="black", alpha=0.25, linewidth=0.8, linestyle=":")
    dress(axes, "step", title + unit)
    if len(names) > 1:
        axes.legend(framealpha=0.85, edgecolor="none")


def _line(axes: "Axes", color: str, label: str, steps: list[int], values: list[float]) -> None:
    """Draw one series: with marks if it is short, as means above the faint numbers if it is long."""
    if len(steps) <= 2 * PARTS:
        marker = "o" if len(steps) <= 30 else None
        axes.plot(steps, values, color=color, label=label, marker=marker, markersize=4, linewidth=1.6)
        return
    size = -(-len(steps) // PARTS)
    parts = [slice(begin, begin + size) for begin in range(0, len(steps), size)]
    middles, means = ([sum(row[part]) / len(row[part]) for part in parts] for row in (steps, values))
    axes.plot(steps, values, color=color, alpha=0.25, linewidth=0.7)
    axes.plot(middles, means, color=color, label=label, linewidth=1.8)
