"""Scalars and keys given another text, in the manner the old one is written."""

from __future__ import annotations

from reconciler.core.edits import RenameKey, SetItem
from reconciler.core.yamltext.nodes import (
    BLOCK_HEADER,
    BLOCK_STYLES,
    AliasNode,
    ScalarNode,
    content_start,
)
from reconciler.core.yamltext.places import Draft, refuse, refuse_if_referenced
from reconciler.core.yamltext.slots import Slot, shown
from reconciler.core.yamltext.spans import indent_of, line_end, next_line
from reconciler.core.yamltext.write import can_be_block, render_like


def set_text(draft: Draft, slot: Slot, edit: SetItem) -> None:
    """Give the scalar of a slot another text; an alias is replaced by it.

    Raises:
        UnsafeEdit: it is no scalar, or its anchor is used elsewhere.
    """
    document, value = draft.document, slot.value
    in_flow = slot.holder.in_flow
    if isinstance(value, AliasNode):
        new = render_like(edit.value, "", in_flow=in_flow)
        draft.changes.replace(value.start, value.end, new)
        return
    if not isinstance(value, ScalarNode):
        refuse(document, value.start, f"{shown(edit.place)} is no scalar")
    refuse_if_referenced(document, value, shown(edit.place))
    if value.style in BLOCK_STYLES:
        _set_block(draft, value, edit.value)
        return
    start = content_start(document.text, value)
    lead = "" if document.text[start - 1 : start].isspace() or start == slot.start else " "
    new = render_like(edit.value, value.style, in_flow=in_flow)
    draft.changes.replace(start, value.end, lead + new)


def rename_key(draft: Draft, slot: Slot, edit: RenameKey) -> str:
    """Give the key of a slot another name; returns the text of the old one.

    Raises:
        UnsafeEdit: it has no key, or the key's own anchor is used elsewhere.
    """
    document, key = draft.document, slot.key
    if key is None:
        refuse(document, slot.start, f"{shown(edit.place)} is an item of a list; it has no key")
    refuse_if_referenced(document, key, f"the key of {shown(edit.place)}")
    new = edit.written
    if new is None:
        new = render_like(edit.key, key.style, in_flow=slot.holder.in_flow)
    start = content_start(document.text, key)
    draft.changes.replace(start, key.end, new)
    return document.text[start : key.end]


def _set_block(draft: Draft, value: ScalarNode, new: str) -> None:
    """Put lines below the header of a block, or one line in the block's place."""
    text = draft.document.text
    start = content_start(text, value)
    first = next_line(text, start)
    match = BLOCK_HEADER.match(text, start, value.end)
    header = match[0] if match else ""
    if _fits_block(value, header, new) and first < value.end:
        lead = " " * indent_of(text, first)
        lines = [line and lead + line for line in new.removesuffix("\n").split("\n")]
        draft.changes.replace(first, value.end, draft.style.newline.join(lines))
    else:
        beside = text[start + len(header) : line_end(text, start)]
        draft.changes.replace(start, value.end, render_like(new, '"', in_flow=False) + beside)


def _fits_block(value: ScalarNode, header: str, new: str) -> bool:
    """Whether a text can stand below the header: folding would join lines, and `+` keep more."""
    return (
        header in ("|", "|-", ">", ">-")
        and can_be_block(new)
        and ("\n" not in new.removesuffix("\n") or value.style == "|")
        and new.endswith("\n") == value.text.endswith("\n")
    )
