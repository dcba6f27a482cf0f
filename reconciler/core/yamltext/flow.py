"""Pairs and items put into and taken out of mappings and lists written in braces and brackets."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Final

from reconciler.core.yamltext.nodes import Document, Holder, content_start, parts_of
from reconciler.core.yamltext.places import Draft, refuse
from reconciler.core.yamltext.spans import line_end, line_start

_COMMA: Final = re.compile(r"\s*,")
_PARTING: Final = re.compile(r"\s*,\s*")
_OPENING: Final = ("{", "[")


def add_flow_parts(draft: Draft, holder: Holder, new: Sequence[str], gone: int = 0) -> None:
    """Put rendered pairs or items behind the last one, parted as the last two are.

    `gone` is how many of those there are will be taken out.

    Raises:
        UnsafeEdit: `holder` is a lone pair in brackets.
    """
    document = draft.document
    start = _opening(document, holder)
    parts = parts_of(holder)
    if len(parts) > gone:
        end = parts[-1][1].end
        parting = _parting(document, holder, start)
        draft.changes.replace(end, end, "".join(parting + part for part in new))
    else:
        at = parts[0][0].start if parts else start + 1
        draft.changes.replace(at, at, ", ".join(new))


def remove_flow_parts(draft: Draft, holder: Holder, numbers: Collection[int]) -> None:
    """Take pairs or items out by their numbers, each with the comma before it, or else behind it.

    Raises:
        UnsafeEdit: a comment in the way would go too, or come to stand behind a neighbour; or
            `holder` is a lone pair in brackets.
    """
    document, changes = draft.document, draft.changes
    _opening(document, holder)
    parts = parts_of(holder)
    kept = [number for number in range(len(parts)) if number not in numbers]
    # Between the end before and what is kept next, all goes; each pair of kept ones bounds a run.
    for left, right in pairwise([-1, *kept, len(parts)]):
        if right - left == 1:
            continue
        first, last = parts[left + 1][0], parts[right - 1][1]
        start, end = first.start, last.end
        if left >= 0:
            start = parts[left][1].end
        elif right < len(parts):
            end = parts[right][0].start
        elif comma := _COMMA.match(document.text, end):
            end = comma.end()
        for number in range(left + 1, right - 1):
            _refuse_comment(document, parts[number][1].end, parts[number + 1][0].start)
        _refuse_comment(document, start, first.start)
        _refuse_comment(document, last.end, end)
        lead = document.text[line_start(document.text, first.start) : first.start]
        if not lead.strip():
            behind = holder.end if right == len(parts) else parts[right][0].start
            line = line_end(document.text, last.end)
            _refuse_comment(document, last.end, min(behind, line))
        changes.replace(start, end, "")


def _opening(document: Document, holder: Holder) -> int:
    """Give the place of the opening brace or bracket."""
    start = content_start(document.text, holder)
    if not document.text.startswith(_OPENING, start):
        refuse(document, start, "this is a pair in brackets, without braces of its own")
    return start


def _parting(document: Document, holder: Holder, opening: int) -> str:
    """Give what parts the last two, or would: a comma, and a line break where there is one."""
    text, parts = document.text, parts_of(holder)
    if len(parts) > 1:
        parting = text[parts[-2][1].end : parts[-1][0].start]
    else:
        parting = "," + (text[opening + 1 : parts[0][0].start] or " ")
    # A comment behind the last one would stay there, and be taken for the new one's.
    has_comment = "#" in text[parts[-1][1].end : holder.end]
    return parting if _PARTING.fullmatch(parting) and not has_comment else ", "


def _refuse_comment(document: Document, start: int, end: int) -> None:
    index = document.text.find("#", start, end)
    if index >= 0:
        refuse(
            document,
            index,
            "a comment stands here between what is parted by commas: it might lose its place",
            hint="move the comment above the whole list, then run again",
        )
