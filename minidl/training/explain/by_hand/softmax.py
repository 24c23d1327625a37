"""Layers that share something out along an axis."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minidl.training.explain.seen import Call
from minidl.training.explain.worked import Cell, Index, Working, at, number


def output(direction: int) -> Callable[[Call, Index], Working]:
    """y_i = e^(x_i) / sum_j e^(x_j), of -x where the direction is -1."""

    def worked(call: Call, index: Index) -> Working:
        axis, i = call.layer.axis % len(index), index[call.layer.axis]
        x = direction * _line(call, "x", index, axis)
        shifted = x - x.max()
        e = np.exp(shifted)
        value = float(e[i] / e.sum())
        sign = "x" if direction > 0 else "-x"
        rows = [(at("x", _moved(index, axis, j)), direction * x[j], e[j]) for j in range(len(x))]
        steps = [
            f"the largest {sign} is {number(x.max())}; subtracting it changes nothing but avoids overflow"
        ]
        steps.append(f"the exponentials add up to {number(e.sum())}")
        steps.append(f"{at('y', index)} = {number(e[i])} / {number(e.sum())} = {number(value)}")
        scale = value * (1 + float(abs(shifted[i]))) if value else 1e-30
        return Working(value, scale, steps, ("input", "value", f"e^({sign} - max)"), _floats(rows))

    return worked


def gradient(direction: int) -> Callable[[Call, Index], Working]:
    """dx_i = y_i (dy_i - sum_j dy_j y_j), with the other sign for -x."""

    def worked(call: Call, index: Index) -> Working:
        axis, i = call.layer.axis % len(index), index[call.layer.axis]
        y, dy = _line(call, "y", index, axis), _line(call, "dy", index, axis)
        mean = float((dy * y).sum())
        value = direction * float(y[i]) * (float(dy[i]) - mean)
        rows = [(at("y", _moved(index, axis, j)), y[j], dy[j], y[j] * dy[j]) for j in range(len(y))]
        steps = [f"the products add up to {number(mean)}"]
        lead = "" if direction > 0 else "-"
        steps.append(
            f"{at('dx', index)} = {lead}{number(y[i])} * ({number(dy[i])} - {number(mean)}) = {number(value)}"
        )
        scale = float(y[i]) * (abs(float(dy[i])) + float(abs(dy * y).sum()))
        columns = ("output", "y", "upstream dy", "product")
        return Working(value, scale, steps, columns, _floats(rows))

    return worked


def log_output(call: Call, index: Index) -> Working:
    """y_i = x_i - log sum_j e^(x_j)."""
    axis, i = call.layer.axis % len(index), index[call.layer.axis]
    x = _line(call, "x", index, axis)
    e = np.exp(x - x.max())
    log = float(x.max() + np.log(e.sum()))
    rows = [(at("x", _moved(index, axis, j)), x[j], e[j]) for j in range(len(x))]
    steps = [f"log of the sum of e^x = {number(x.max())} + log {number(e.sum())} = {number(log)}"]
    steps.append(f"{at('y', index)} = {number(x[i])} - {number(log)} = {number(x[i] - log)}")
    scale = float(abs(x).max() + abs(log) + abs(x[i]))
    return Working(float(x[i]) - log, scale, steps, ("input", "value", "e^(x - max)"), _floats(rows))


def log_gradient(call: Call, index: Index) -> Working:
    """dx_i = dy_i - e^(y_i) sum_j dy_j."""
    axis, i = call.layer.axis % len(index), index[call.layer.axis]
    y, dy = _line(call, "y", index, axis), _line(call, "dy", index, axis)
    share, total = float(np.exp(y[i])), float(dy.sum())
    rows = [(at("dy", _moved(index, axis, j)), dy[j]) for j in range(len(dy))]
    steps = [f"the upstream entries add up to {number(total)}; e^y = e^({number(y[i])}) = {number(share)}"]
    value = float(dy[i]) - share * total
    steps.append(
        f"{at('dx', index)} = {number(dy[i])} - {number(share)} * ({number(total)}) = {number(value)}"
    )
    scale = float(abs(dy).sum()) * (1 + abs(float(y[i])))
    return Working(value, scale, steps, ("upstream", "value"), _floats(rows))


def _line(call: Call, name: str, index: Index, axis: int) -> Any:
    """Return the numbers along the axis through an element."""
    line = call.host(name)[(*index[:axis], slice(None), *index[axis + 1 :])]
    return np.asarray(line, dtype=np.float64)


def _moved(index: Index, axis: int, j: int) -> Index:
    return (*index[:axis], j, *index[axis + 1 :])


def _floats(rows: list[tuple[Any, ...]]) -> list[list[Cell]]:
    return [[cell if isinstance(cell, str) else float(cell) for cell in row] for row in rows]
