"""The slot that a place names: a mapping's pair or a list's item, and where it is written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NoReturn

from reconciler.core.llamaswap.shapes import Place
from reconciler.core.yamltext.nodes import (
    AliasNode,
    Document,
    Holder,
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
    content_start,
    fields_of,
    is_merge,
)
from reconciler.core.yamltext.places import behind_colon, refuse, refuse_if_aliased
from reconciler.core.yamltext.spans import line_start, next_line

PLAN_AGAIN: Final = "the config has changed since the plan was made; plan again"
_TO_DASH: Final = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A pair or an item of `holder`, its `number`-th from 0.

    `start` is where its key or its dash starts, `behind` the place right behind its colon or dash.
    An item in brackets has no dash: both are its own start.
    """

    holder: Holder
    number: int
    start: int
    behind: int
    key: ScalarNode | None
    value: Node


def find_slot(document: Document, place: Place) -> Slot:
    """Give the slot at `place`, which names one at least.

    Raises:
        UnsafeEdit: there is none, a holder on the way is written elsewhere (an alias, a merge key)
            or used elsewhere (an anchor), or the key is written as `? key`.
    """
    node = document.root
    for depth in range(len(place)):
        holder = holder_of(document, node, place[:depth])
        slot = slot_in(document, holder, place[: depth + 1])
        node = slot.value
    return slot


def holder_of(document: Document, node: Node | None, place: Place) -> Holder:
    """Give `node`, which stands at `place`, as what holds others; raises as `find_slot`."""
    if isinstance(node, AliasNode):
        refuse(
            document,
            node.start,
            f"{shown(place)} is alias *{node.anchor}: editing it would edit "
            f"line {document.line_of(node.target)} and all else that uses the anchor",
            hint=f"write {shown(place)} out, then run again",
        )
    if not isinstance(node, Holder):
        at = 0 if node is None else node.start
        refuse(document, at, f"{shown(place)} is neither mapping nor list", hint=PLAN_AGAIN)
    refuse_if_aliased(document, node, shown(place))
    return node


def position_of(part: str) -> int | None:
    """Give the position that the last part of a place tells, if it tells one."""
    return int(part) if part.isascii() and part.isdecimal() else None


def whole_lines(document: Document, slot: Slot, place: Place) -> tuple[int, int]:
    """Give the lines of a slot outside of brackets and braces, to the next line's start.

    Raises:
        UnsafeEdit: its first line holds something else too, as in `- - a`.
    """
    text = document.text
    start = line_start(text, slot.start)
    if text[start : slot.start].strip(" "):
        refuse(document, slot.start, f"{shown(place)} shares its line with what it stands in")
    return start, next_line(text, max(slot.behind, slot.value.end))


def shown(place: Place) -> str:
    """Give a place as people read it."""
    return f"`{'.'.join(place)}`" if place else "the config"


def slot_in(document: Document, holder: Holder, place: Place) -> Slot:
    """Give the slot that the last part of `place` names in `holder`; raises as `find_slot`."""
    if isinstance(holder, MappingNode):
        return _pair_in(document, holder, place, place[-1])
    number = position_of(place[-1])
    if number is None or number >= len(holder.items):
        _refuse_missing(document, holder, place)
    item = holder.items[number]
    start = item.start if holder.in_flow else dash_of(document, holder, number)
    behind = start if holder.in_flow else start + 1
    return Slot(holder=holder, number=number, start=start, behind=behind, key=None, value=item)


def _pair_in(document: Document, mapping: MappingNode, place: Place, key: str) -> Slot:
    number = mapping.numbers.get(key)
    if number is None or is_merge(mapping.pairs[number][0]):
        inherited = fields_of(mapping).get(key)
        if inherited is None:
            _refuse_missing(document, mapping, place)
        if inherited in mapping.pairs:
            refuse(document, inherited[0].start, f"the key of {shown(place)} is no plain scalar")
        line = document.line_of(inherited[0])
        refuse(document, mapping.start, f"{shown(place)} comes by a merge key from line {line}")
    node, value = mapping.pairs[number]
    colon = behind_colon(document, node)
    if colon is None or not isinstance(node, ScalarNode) or _is_explicit(document, node):
        refuse(document, node.start, f"the key of {shown(place)} is not written plainly (`key:`)")
    return Slot(
        holder=mapping, number=number, start=node.start, behind=colon, key=node, value=value
    )


def _is_explicit(document: Document, key: Node) -> bool:
    """Whether a key is written as `? key`."""
    text = document.text
    return text[line_start(text, key.start) : key.start].rstrip(" \t").endswith("?")


def dash_of(document: Document, sequence: SequenceNode, number: int) -> int:
    """Give the place of an item's dash. Raises `UnsafeEdit` where it is out of sight."""
    text = document.text
    item = sequence.items[number]
    start = sequence.items[number - 1].end if number else content_start(text, sequence)
    dash = _TO_DASH.match(text, start)
    if dash is None or dash.end() > max(item.start, start + 1):
        refuse(document, item.start, "this item's dash cannot be found")
    return dash.end() - 1


def _refuse_missing(document: Document, holder: Holder, place: Place) -> NoReturn:
    refuse(document, holder.start, f"there is no {shown(place)}", hint=PLAN_AGAIN)
