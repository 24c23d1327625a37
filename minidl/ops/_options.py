"""Checks of the options of an op, such as slopes and scales."""

import math


def check_number(value: float, name: str, owner: str, *, above: float = -math.inf) -> float:
    """Return an option as a Python float, which never widens an array's dtype; refuse all but numbers.

    Args:
        value: the option.
        name: what it is called.
        owner: the op.
        above: it must be larger than this, and finite.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{owner}: expected {name} as a number, got {type(value).__name__}")
    if not above < value < math.inf:
        bound = "finite" if above == -math.inf else f"above {above:g} and finite"
        raise ValueError(f"{owner}: expected {name} {bound}, got {value}")
    return float(value)
