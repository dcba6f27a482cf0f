"""What a plain word of YAML means, and which strings may be written as one.

llama-swap reads with Go's yaml.v3: mostly YAML 1.2, with octal `017`, `0b1` and `1_000` kept from
1.1. Reading follows it. Writing is stricter: a string is written plain only where every reader, of
1.1 or 1.2, takes it for the same string.
"""

from __future__ import annotations

import math
import re
from typing import Final

from reconciler.core.values import Json

_CONSTANTS: Final[dict[str, Json]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}
_NUMBER_STARTS: Final = frozenset("0123456789+-.")
_INT: Final = re.compile(
    r"(?P<sign>[-+]?)(?:0x(?P<hex>[0-9a-f]+)|0b(?P<bin>[01]+)|0o?(?P<oct>[0-7]+)|(?P<dec>\d+))",
    re.ASCII | re.IGNORECASE,
)
_BASES: Final = {"hex": 16, "bin": 2, "oct": 8, "dec": 10}
_FLOAT: Final = re.compile(r"[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?", re.ASCII)
# Go holds integers in 64 bits; what is larger it reads as a float.
_INT_LIMIT: Final = 2**64
_DIGITS_LIMIT: Final = 64


def resolve_plain(text: str) -> Json:
    """Give the value that an unquoted scalar stands for; dates and all else stay strings."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in _NUMBER_STARTS:
        return text
    digits = text.replace("_", "")
    if match := _INT.fullmatch(digits):
        return _integer(match, text)
    return _float(digits, text) if _FLOAT.fullmatch(digits) else text


def _integer(match: re.Match[str], text: str) -> Json:
    kind = match.lastgroup or "dec"
    body = match[kind]
    if kind == "dec" and body[0] == "0" and len(body) > 1:
        return _float(match[0], text)  # `08` is no octal number, and Go then tries a float
    number = int(body, _BASES[kind]) if len(body) <= _DIGITS_LIMIT else _INT_LIMIT
    if number >= _INT_LIMIT:
        return _float(match[0], text) if kind == "dec" else text
    return -number if match["sign"] == "-" else number


def _float(digits: str, text: str) -> Json:
    number = float(digits)
    return text if math.isinf(number) else number


# Words that some YAML 1.1 reader takes for a boolean or null, whatever their case.
_RESERVED: Final = frozenset(
    ("y", "n", "yes", "no", "on", "off", "true", "false", "null", "none", "nan", "inf")
)
# A start that no indicator, number, date or time shares.
_PLAIN: Final = re.compile(r"[A-Za-z_/$][^\x00-\x1f\x7f]*")
_PLAIN_IN_FLOW: Final = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
# The same behind a start that numbers and dates share, which are told apart by their letters.
_PLAIN_DIGITS: Final = re.compile(r"(?!\d{4}-\d)[0-9.]*[A-Za-z][A-Za-z0-9_./-]*", re.ASCII)
_PLAIN_KEY: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


def is_plain_safe(text: str, *, in_flow: bool) -> bool:
    """Whether `text` can stand unquoted as a value, for every reader, inside `{}` or outside."""
    if text.lower() in _RESERVED or not text.isprintable():
        return False
    if in_flow:
        return _PLAIN_IN_FLOW.fullmatch(text) is not None
    if _PLAIN.fullmatch(text) is None or text[-1] in " :":
        return False
    return ": " not in text and " #" not in text


def is_plain_key(text: str) -> bool:
    """Whether `text` can stand unquoted as a key, for every reader, inside `{}` or outside."""
    return _PLAIN_KEY.fullmatch(text) is not None and text.lower() not in _RESERVED


def stays_plain(text: str, *, in_flow: bool) -> bool:
    """Whether `text` can stand unquoted where another word did: as `is_plain_safe`, or like `7b`.

    A new word that starts as numbers do is better quoted; among its like it need not stand out.
    """
    if _PLAIN_DIGITS.fullmatch(text) and text.lower() not in _RESERVED:
        return isinstance(resolve_plain(text), str)
    return is_plain_safe(text, in_flow=in_flow)
