"""Set expressions of llama-swap's matrix: `a & (b | c) & +other`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_TOKEN: Final = re.compile(r"\s*(?:(?P<mark>[&|()])|(?P<ref>\+?)(?P<name>[\w.-]+)|(?P<bad>\S))")
_NAME: Final = re.compile(r"[\w.-]+")


class BadExpression(ValueError):
    """A set expression that llama-swap cannot read; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetNames:
    """What an expression names: variables or models, and other sets (`+name`)."""

    members: tuple[str, ...]
    sets: tuple[str, ...]


def read_expression(text: str) -> SetNames:
    """Give what a set expression names. Raises `BadExpression`.

    An operand and an operator take turns, and parentheses pair up; nothing else is asked.
    """
    members: dict[str, None] = {}
    sets: dict[str, None] = {}
    depth = 0
    operand_next = True
    for token in _TOKEN.finditer(text):
        mark = token["mark"]
        if token["bad"]:
            raise BadExpression(f"{token['bad']!r} has no meaning in a set expression")
        # An opening parenthesis stands where an operand would, a closing one after an operand.
        if operand_next != (mark in (None, "(")):
            raise BadExpression(f"{token[0].strip()!r} stands where it cannot")
        if token["name"]:
            (sets if token["ref"] else members)[token["name"]] = None
        depth += {"(": 1, ")": -1}.get(mark, 0)
        if depth < 0:
            raise BadExpression("a ')' closes nothing")
        operand_next = mark in ("&", "|", "(")
    if operand_next:
        raise BadExpression("the set expression ends where a model is expected")
    if depth:
        raise BadExpression("a '(' is never closed")
    return SetNames(members=tuple(members), sets=tuple(sets))


def rename_member(text: str, old: str, new: str) -> str | None:
    """Give the expression with `new` for the variable or model `old`, all else as it is written.

    None where no set expression can hold `new`.
    """
    if not _NAME.fullmatch(new):
        return None
    parts: list[str] = []
    copied = 0
    for token in _TOKEN.finditer(text):
        if token["name"] == old and not token["ref"]:
            parts += [text[copied : token.start("name")], new]
            copied = token.end("name")
    return "".join([*parts, text[copied:]])
