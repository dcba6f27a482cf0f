"""Pairs and items taken out, and what stays of a list or mapping that this empties."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from reconciler.core.edits import RemoveItem
from reconciler.core.yamltext.flow import remove_flow_parts
from reconciler.core.yamltext.nodes import Holder, SequenceNode, parts_of
from reconciler.core.yamltext.places import Draft, parting_line, refuse_if_referenced
from reconciler.core.yamltext.slots import Slot, shown, slot_in, whole_lines

_PROPERTIES: Final = re.compile(r"(?:[ \t]+[&!]\S+)*")


def remove_items(
    draft: Draft, own: Slot | None, holder: Holder, edits: Sequence[RemoveItem], *, refilled: bool
) -> None:
    """Take pairs or items out of `holder`, which stands in the slot `own` (None: it is the config).

    `refilled`: others come into it, so it does not stay empty.

    Raises:
        UnsafeEdit: one is not there, shares its line, or is referred to from elsewhere.
    """
    document = draft.document
    slots = [slot_in(document, holder, edit.place) for edit in edits]
    for slot, edit in zip(slots, edits, strict=True):
        refuse_if_referenced(document, slot.value, shown(edit.place))
        if slot.key is not None:
            refuse_if_referenced(document, slot.key, shown(edit.place))
    numbers = {slot.number for slot in slots}
    is_emptied = len(numbers) == len(parts_of(holder)) and not refilled and own is not None
    empty = next((edit.empty for edit in edits if edit.empty is not None), None)
    if holder.in_flow and is_emptied and empty is not None and own is not None:
        draft.changes.replace(own.behind, holder.end, empty)
    elif holder.in_flow:
        remove_flow_parts(draft, holder, numbers)
    else:
        for slot, edit in zip(slots, edits, strict=True):
            start, end = whole_lines(document, slot, edit.place)
            above = parting_line(document, start)
            draft.changes.remove_lines(start if above is None else above, end)
        if is_emptied and own is not None:
            _put_empty(draft, own, holder, empty)


def _put_empty(draft: Draft, own: Slot, holder: Holder, empty: str | None) -> None:
    if empty is None:
        empty = " []" if isinstance(holder, SequenceNode) else " {}"
    properties = _PROPERTIES.match(draft.document.text, own.behind)
    at = properties.end() if properties else own.behind
    draft.changes.replace(at, at, empty)
