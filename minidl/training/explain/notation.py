"""Formulas: written in ASCII, set with the signs of mathematics in Markdown and in HTML.

``_{t}`` and ``^{-x}`` are below and above the line, single letters without braces too; ``sum_{j}``, ``sqrt``
and the names of Greek letters become signs. What a program prints stays ASCII that way.
"""

import html
import re
import unicodedata
from collections.abc import Callable

SIGNS = {
    "sum": "N-ARY SUMMATION",
    "sqrt": "SQUARE ROOT",
    "inf": "INFINITY",
    "<=": "LESS-THAN OR EQUAL TO",
    ">=": "GREATER-THAN OR EQUAL TO",
    "->": "RIGHTWARDS ARROW",
    "...": "HORIZONTAL ELLIPSIS",
    "d/d": "PARTIAL DIFFERENTIAL",
    "*": "DOT OPERATOR",
    "-": "MINUS SIGN",
} | {
    name: f"GREEK SMALL LETTER {name.upper()}"
    for name in ("alpha", "beta", "mu", "sigma", "pi", "theta", "epsilon")
}
DIGITS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
SPECIAL = {
    "+": "PLUS SIGN",
    "-": "MINUS",
    "=": "EQUALS SIGN",
    "(": "LEFT PARENTHESIS",
    ")": "RIGHT PARENTHESIS",
}

LEVEL = re.compile(r"(?P<level>[_^])(?:\{(?P<group>(?:[^{}]|\{[^{}]*\})*)\}|(?P<one>-?[A-Za-z0-9])(?!\w))")
SIGN = re.compile(
    r"\bsum(?=_|$)|\b(?:sqrt|inf|alpha|beta|mu|sigma|pi|theta|epsilon)\b|<=|>=|->|\.\.\."
    r"|(?<= )\*(?= )|(?<![\w.])-(?=[\d.(A-Za-z ])"
)


def in_unicode(text: str) -> str:
    """Set a formula in plain text.

    Example:
        >>> in_unicode("y_i = e^{x_i} / sum_{j} e^{x_j}").isascii()
        False
    """
    return _set(text, lambda plain: plain, _raised_in_unicode)


def in_html(text: str) -> str:
    """Set a formula in HTML.

    Example:
        >>> in_html("dw = x^T dy_i")
        'dw = x<sup>T</sup> dy<sub>i</sub>'
    """

    def raised(level: str, inside: str) -> str:
        tag = "sub" if level == "_" else "sup"
        return f"<{tag}>{in_html(inside)}</{tag}>"

    return _set(text, html.escape, raised)


def sign(name: str) -> str:
    """Return the sign of a name in ``SIGNS``."""
    return unicodedata.lookup(SIGNS[name])


def _set(text: str, plain: Callable[[str], str], raised: Callable[[str, str], str]) -> str:
    """Cut a formula into what is on the line, which gets its signs, and what is below and above it."""
    pieces, place = [], 0
    for match in LEVEL.finditer(text):
        pieces.append(plain(_signs(text[place : match.start()])))
        if inside := match["group"] or match["one"]:  # none: the sign stands alone
            pieces.append(raised(match["level"], inside))
        place = match.end()
    return "".join([*pieces, plain(_signs(text[place:]))])


def _signs(text: str) -> str:
    return SIGN.sub(lambda match: sign(match[0]), text)


def _raised_in_unicode(level: str, inside: str) -> str:
    """Return small letters where Unicode has all of them, else the group in parentheses."""
    small = [_small(level, letter) for letter in inside]
    if all(small):
        return "".join(small)
    set_inside = in_unicode(inside)
    return f"{level}({set_inside})" if len(inside) > 1 else f"{level}{set_inside}"


def _small(level: str, letter: str) -> str:
    """Return a letter below or above the line; empty where there is none."""
    place = "SUBSCRIPT" if level == "_" else "SUPERSCRIPT"
    if letter.isdigit():
        names = [f"{place} {DIGITS[int(letter)]}"]
    elif letter in SPECIAL:
        names = [f"{place} {SPECIAL[letter]}"]
    elif level == "_":
        names = [f"LATIN SUBSCRIPT SMALL LETTER {letter.upper()}"] if letter.islower() else []
    else:
        size = "SMALL" if letter.islower() else "CAPITAL"
        names = [f"{place} LATIN {size} LETTER {letter.upper()}", f"MODIFIER LETTER {size} {letter.upper()}"]
    for name in names:
        try:
            return unicodedata.lookup(name)
        except KeyError:
            continue
    return ""
