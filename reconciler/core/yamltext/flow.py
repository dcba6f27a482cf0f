"""Pairs put into and taken out of a mapping written in braces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from reconciler.core.yamltext.nodes import MappingNode
from reconciler.core.yamltext.places import Draft, Pair

_COMMA: Final = re.compile(r"[ \t]*,[ \t]?")


def add_flow_pairs(draft: Draft, mapping: MappingNode, pairs: Sequence[str]) -> None:
    """Put rendered pairs behind the last one, or right behind the brace."""
    new = ", ".join(pairs)
    if mapping.pairs:
        end = mapping.pairs[-1][1].end
        draft.changes.replace(end, end, ", " + new)
    else:
        start = draft.document.text.index("{", mapping.start) + 1
        draft.changes.replace(start, start, new)


def remove_flow_pair(draft: Draft, mapping: MappingNode, pair: Pair) -> None:
    """Take a pair out, with the comma that parts it from the one before it (or after it)."""
    values = [value for _, value in mapping.pairs]
    number = values.index(pair.value)
    start, end = pair.key.start, pair.value.end
    if number > 0:
        start = values[number - 1].end
    elif comma := _COMMA.match(draft.document.text, end):
        end = comma.end()
    draft.changes.replace(start, end, "")
