"""Containers: what the layers inside them gave, put together."""

from typing import Any

from minidl.training.explain.seen import Call
from minidl.training.explain.worked import Index, Working, at, number, signed


def last_output(call: Call, index: Index) -> Working:
    """y = that of the last layer."""
    if not call.children:
        return _sum(call, "y", index, [("the input x", call.host("x"))])
    return _sum(call, "y", index, [(_name(call.children[-1]), call.children[-1].host("y"))])


def first_gradient(call: Call, index: Index) -> Working:
    """dx = that of the first layer."""
    if not call.children:
        return _sum(call, "dx", index, [("the upstream dy", call.host("dy"))])
    return _sum(call, "dx", index, [(_name(call.children[0]), call.children[0].host("dx"))])


def residual_output(call: Call, index: Index) -> Working:
    """y = layer(x) + shortcut(x)."""
    layer, *short = call.children
    way = (_name(short[0]), short[0].host("y")) if short else ("the input x", call.host("x"))
    return _sum(call, "y", index, [(_name(layer), layer.host("y")), way])


def residual_gradient(call: Call, index: Index) -> Working:
    """dx = that through the layer, plus that through the shortcut."""
    layer, *short = call.children
    way = (_name(short[0]), short[0].host("dx")) if short else ("the shortcut, dy", call.host("dy"))
    return _sum(call, "dx", index, [(_name(layer), layer.host("dx")), way])


def parallel_output(call: Call, index: Index) -> Working:
    """y = the outputs of the branches one after another along the last axis, or added up."""
    branches = [(_name(child), child.host("y")) for child in call.children]
    if call.layer.merge == "add":
        return _sum(call, "y", index, branches)
    *place, c = index
    for name, y in branches:
        if c < y.shape[-1]:
            value = float(y[(*place, c)])
            return Working(
                value, abs(value), [f"{at('y', index)} = {at('y', (*place, c))} of {name} = {number(value)}"]
            )
        c -= y.shape[-1]
    raise ValueError(f"{call.layer!r}: expected an element of a branch, got {index}")


def parallel_gradient(call: Call, index: Index) -> Working:
    """dx = the sum over the branches."""
    return _sum(call, "dx", index, [(_name(child), child.host("dx")) for child in call.children])


def encoder_output(call: Call, index: Index) -> Working:
    """y = norm2(...), or with norm_first h + feed_forward(norm2(h))."""
    if not call.layer.norm_first:
        norm = _of(call, "norm2")
        return _sum(call, "y", index, [(_name(norm), norm.host("y"))])
    one, two = _of(call, "dropout1"), _of(call, "dropout2")
    ways = [(_name(one), one.host("y")), (_name(two), two.host("y"))]
    return _sum(call, "y", index, [("the input x", call.host("x")), *ways])


def encoder_gradient(call: Call, index: Index) -> Working:
    """dx = that through the attention, plus that which goes past it."""
    norm = _of(call, "norm1")
    if not call.layer.norm_first:
        attention = _of(call, "attention")
        return _sum(
            call, "dx", index, [(_name(norm), norm.host("dx")), (_name(attention), attention.host("dx"))]
        )
    second = _of(call, "norm2")
    ways = [(_name(norm), norm.host("dx")), (_name(second), second.host("dx"))]
    return _sum(call, "dx", index, [("past both, dy", call.host("dy")), *ways])


def _of(call: Call, attribute: str) -> Call:
    wanted = getattr(call.layer, attribute)
    return next(child for child in call.children if child.layer is wanted)


def _name(call: Call) -> str:
    return f"layer {call.path} ({type(call.layer).__name__})"


def _sum(call: Call, target: str, index: Index, parts: list[tuple[str, Any]]) -> Working:
    """Add up an element of several arrays of the same shape."""
    values = [float(array[index]) for _, array in parts]
    names = " + ".join(f"{at(target, index)} of {n}" if n.startswith("layer") else n for n, _ in parts)
    numbers = " + ".join([number(values[0]), *map(signed, values[1:])])
    total = sum(values)
    steps = [f"{at(target, index)} = {names}"]
    steps.append(f"= {numbers}" + (f" = {number(total)}" if len(values) > 1 else ""))
    return Working(total, sum(map(abs, values)), steps)
