"""Values as YAML text, in the manner of the file they go into. Lines are never wrapped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from reconciler.core.values import Json
from reconciler.core.yamltext.scalars import is_plain_key, is_plain_safe, stays_plain


class Literals(Enum):
    """Which strings may be written as a `|` block where a value ends.

    What follows may forbid it: a deeper comment would be read as part of the block, and at the end
    of a text without a last line break no block can end in one.
    """

    ALL = "all"
    UNENDED = "unended"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a file is written: its line break, its step of indentation, and its dashes' offset."""

    newline: str
    step: int
    dash: int


_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def render_pair(key: str, value: Json, indent: int, style: Style, literals: Literals) -> str:
    """Give a pair as lines of a block mapping, without the last line break."""
    return " " * indent + render_key(key) + ":" + render_value(value, indent, style, literals)


def render_value(value: Json, indent: int, style: Style, literals: Literals) -> str:
    """Give what stands behind the colon of a key at `indent`, without the last line break."""
    match value:
        case str():
            if _can_be_literal(value, literals):
                return _literal(value, indent + style.step, style)
            return " " + render_scalar(value, in_flow=False)
        case Mapping() if value:
            pairs = _render_pairs(value, indent + style.step, style, literals)
            return style.newline + style.newline.join(pairs)
        case Sequence() if value:
            return style.newline + style.newline.join(
                render_item(item, indent + style.dash, style) for item in value
            )
        case _:
            return " " + render_flow(value)


def _render_pairs(
    value: Mapping[str, Json], indent: int, style: Style, literals: Literals
) -> list[str]:
    last = len(value) - 1
    return [
        render_pair(key, inner, indent, style, literals if number == last else Literals.ALL)
        for number, (key, inner) in enumerate(value.items())
    ]


def render_item(item: Json, indent: int, style: Style) -> str:
    """Give a list's item as lines with its dash at `indent`, without the last line break."""
    lead = " " * indent + "- "
    if isinstance(item, Mapping) and item:
        lines = style.newline.join(_render_pairs(item, indent + 2, style, Literals.NONE))
        return lead + lines[len(lead) :]
    if isinstance(item, str):
        return lead + render_scalar(item, in_flow=False)
    return lead + render_flow(item)


def render_flow(value: Json) -> str:
    """Give a value as one line, fit to stand inside `{}` and `[]`."""
    match value:
        case Mapping():
            pairs = (f"{render_key(key)}: {render_flow(inner)}" for key, inner in value.items())
            return "{" + ", ".join(pairs) + "}"
        case str() | None | bool() | int() | float():
            return render_scalar(value, in_flow=True)
        case _:
            return "[" + ", ".join(render_flow(item) for item in value) + "]"


def render_key(key: str) -> str:
    """Give a key, quoted unless every reader takes it for a string."""
    return key if is_plain_key(key) else _double_quoted(key)


def render_scalar(value: bool | int | float | str | None, *, in_flow: bool) -> str:
    """Give a scalar on one line."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _float(value)
        case str():
            return value if is_plain_safe(value, in_flow=in_flow) else _quoted(value)


def render_like(text: str, quote: str, *, in_flow: bool) -> str:
    """Give a string, as key or value, in quotes of the kind `quote` (empty: none) if it can be."""
    if quote == "'" and text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    if quote == '"':
        return _double_quoted(text)
    return text if stays_plain(text, in_flow=in_flow) else _quoted(text)


def _float(value: float) -> str:
    text = repr(value)
    if text.lstrip("-") in ("inf", "nan"):
        return text.replace("inf", ".inf").replace("nan", ".nan")
    mantissa, exponent, power = text.partition("e")
    return mantissa + ("" if "." in mantissa else ".0") + exponent + power


def _quoted(text: str) -> str:
    # Quotes and backslashes are plenty in commands; single quotes leave both readable.
    if text.isprintable() and "'" not in text and ('"' in text or "\\" in text):
        return f"'{text}'"
    return _double_quoted(text)


def _double_quoted(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(sign) or _escaped(sign) for sign in text) + '"'


def _escaped(sign: str) -> str:
    if sign.isprintable():
        return sign
    code = ord(sign)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _can_be_literal(text: str, literals: Literals) -> bool:
    if "\n" not in text or literals is Literals.NONE:
        return False
    if literals is Literals.UNENDED and text.endswith("\n"):
        return False
    return can_be_block(text)


def can_be_block(text: str) -> bool:
    """Whether a text can stand as the lines of a block scalar, whatever its last line break."""
    lines = text.removesuffix("\n").split("\n")
    # The first line tells a reader the indentation, and blank lines at the end would run into
    # those of the file.
    if lines[0][:1] in ("", " ") or not lines[-1].strip():
        return False
    return all(line.isprintable() and (line.strip() or not line) for line in lines)


def _literal(text: str, indent: int, style: Style) -> str:
    header = " |" if text.endswith("\n") else " |-"
    lines = text.removesuffix("\n").split("\n")
    return style.newline.join([header, *(line and " " * indent + line for line in lines)])
