"""Checks of the options of an op, such as slopes and scales."""

import math
import numbers
from typing import Any


def read_number(value: Any, name: str, owner: str) -> float:
    """Return a number of Python's or NumPy's as a Python float, which never widens an array's dtype."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{owner}: expected {name} as a number, got {type(value).__name__}")
    return float(value)


def check_flag(value: Any, name: str, owner: str) -> bool:
    """Refuse everything but a truth value."""
    if not isinstance(value, bool):
        raise TypeError(f"{owner}: expected {name} as True or False, got {value!r}")
    return value


def check_number(value: float, name: str, owner: str, *, above: float = -math.inf) -> float:
    """Return an option as a Python float, which never widens an array's dtype; refuse all but numbers.

    Args:
        value: the option.
        name: what it is called.
        owner: the op.
        above: it must be larger than this, and finite.
    """
    number = read_number(value, name, owner)
    if not above < number < math.inf:
        bound = "finite" if above == -math.inf else f"above {above:g} and finite"
        raise ValueError(f"{owner}: expected {name} {bound}, got {value}")
    return number
