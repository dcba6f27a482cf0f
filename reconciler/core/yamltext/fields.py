"""Fields of existing entries: set, and put back as they were.

What stood in a field is kept as text. For a value within one line that is all from behind the colon
to the value's end; what stands behind it (a comment, spaces) is never touched, and moves to the
first line when the value grows to several. For any other value it is all up to the last line's end,
with a line break to mark that it is to be put back whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from reconciler.core.edits import RestoreField, SetField
from reconciler.core.values import Json
from reconciler.core.yamltext.flow import add_flow_parts, remove_flow_parts
from reconciler.core.yamltext.models import Entry
from reconciler.core.yamltext.nodes import BLOCK_HEADER, BLOCK_STYLES, Document, Node, ScalarNode
from reconciler.core.yamltext.places import (
    Draft,
    Pair,
    find_pair,
    keeps_blank_lines,
    literals_at,
    own_lines,
    place_after,
    refuse,
    refuse_if_aliased,
    refuse_if_referenced,
)
from reconciler.core.yamltext.spans import column_of, line_end, next_line
from reconciler.core.yamltext.write import (
    Literals,
    Style,
    render_flow,
    render_key,
    render_pair,
    render_value,
)


def edit_fields(
    draft: Draft, entry: Entry, edits: Sequence[SetField | RestoreField]
) -> dict[str, str | None]:
    """Set fields and put others back; returns what stood in those set, for a `RestoreField`.

    Raises:
        UnsafeEdit: a value cannot be replaced without touching what is not this field, or a field
            to put back is not there.
    """
    document = draft.document
    originals: dict[str, str | None] = {}
    new: list[SetField] = []
    gone: list[Pair] = []
    for edit in edits:
        pair = find_field(document, entry, edit.key)
        if isinstance(edit, SetField):
            refuse_if_aliased(document, entry.pair.value, f"entry {edit.model!r}")
            originals[edit.key] = None if pair is None else _set_field(draft, entry, pair, edit)
            if pair is None:
                new.append(edit)
        elif pair is None:
            refuse(document, entry.line_start, f"entry {edit.model!r} has no field {edit.key!r}")
        elif edit.original is None:
            gone.append(pair)
        else:
            _restore_field(draft, entry, pair, edit.original)
    # Only now: where a null ends the text or the entry, its new value stands before new fields.
    if gone:
        _remove_fields(draft, entry, gone)
    if new:
        _add_fields(draft, entry, new, len(gone))
    return originals


def _set_field(draft: Draft, entry: Entry, pair: Pair, edit: SetField) -> str:
    document = draft.document
    refuse_if_referenced(document, pair.value, f"field {edit.key!r}")
    if keeps_blank_lines(document, pair.value.start, pair.value.end):
        # Put back later, it would swallow an empty line that parts an entry from the next.
        refuse(
            document,
            pair.value.start,
            f"field {edit.key!r} holds a block that keeps its blank lines (`+`)",
            hint="take the `+` away, then run again",
        )
    if entry.in_flow:
        new = _head(document, pair) + render_flow(edit.value)
        draft.changes.replace(pair.colon, pair.value.end, new)
    else:
        _replace_value(draft, pair, _rendered(draft, entry, pair, edit.value))
    return original_of(document, entry, pair)


def _restore_field(draft: Draft, entry: Entry, pair: Pair, original: str) -> None:
    if entry.in_flow:
        draft.changes.replace(pair.colon, pair.value.end, original)
    elif original.endswith("\n"):
        end = line_end(draft.document.text, pair.value.end)
        draft.changes.replace(pair.colon, end, original[:-1])
    else:
        _replace_value(draft, pair, original)


def _remove_fields(draft: Draft, entry: Entry, pairs: Sequence[Pair]) -> None:
    if entry.in_flow and entry.mapping is not None:
        numbers = [entry.mapping.numbers[pair.key.text] for pair in pairs]
        remove_flow_parts(draft, entry.mapping, numbers)
    else:
        for pair in pairs:
            draft.changes.remove_lines(*own_lines(draft.document, pair))


def find_field(document: Document, entry: Entry, key: str) -> Pair | None:
    """Give the field that an entry itself writes for `key`, if any."""
    return None if entry.mapping is None else find_pair(document, entry.mapping, key)


def _head(document: Document, pair: Pair) -> str:
    """Give the white space between a colon and the value behind it in the same line."""
    head = document.text[pair.colon : pair.value.start]
    return " " if pair.is_null or not head or head.strip(" ") else head


def _is_within_line(document: Document, pair: Pair) -> bool:
    return "\n" not in document.text[pair.colon : pair.value.end] and not (
        isinstance(pair.value, ScalarNode) and pair.value.style in BLOCK_STYLES
    )


def original_of(document: Document, entry: Entry, pair: Pair) -> str:
    """Give what stands in a field, as a `RestoreField` takes it."""
    if entry.in_flow or _is_within_line(document, pair):
        return document.text[pair.colon : pair.value.end]
    return document.text[pair.colon : line_end(document.text, pair.value.end)] + "\n"


def _rendered(draft: Draft, entry: Entry, pair: Pair, value: Json) -> str:
    document = draft.document
    indent = column_of(document.text, pair.key.start)
    style = _field_style(draft, entry, indent)
    literals = Literals.NONE
    if isinstance(value, Mapping) or (isinstance(value, str) and "\n" in value):
        literals = _literals(draft, entry, pair.value, indent + style.step)
    rendered = render_value(value, indent, style, literals)
    if "\n" in rendered or not _is_within_line(document, pair):
        return rendered
    return _head(document, pair) + rendered[1:]


def _literals(draft: Draft, entry: Entry, last: Node, indent: int) -> Literals:
    """Tell which blocks may stand behind `last`, and still when fields below it are gone again."""
    text = draft.document.text
    behind_field = literals_at(draft, next_line(text, last.end), indent)
    behind_entry = literals_at(draft, next_line(text, entry.pair.value.end), indent)
    return behind_field if behind_entry is not Literals.NONE else behind_entry


def _field_style(draft: Draft, entry: Entry, indent: int) -> Style:
    """Tell how deep this entry goes on; entries of one file may differ."""
    step = indent - column_of(draft.document.text, entry.line_start)
    if step <= 0 or step == draft.style.step:
        return draft.style
    return replace(draft.style, step=step)


def _replace_value(draft: Draft, pair: Pair, new: str) -> None:
    """Put `new` (what stands behind the colon) in place, keeping what stands beside the value."""
    text = draft.document.text
    if not _is_within_line(draft.document, pair):
        beside = _beside_long_value(draft.document, pair)
    elif "\n" in new:
        beside = text[pair.value.end : line_end(text, pair.value.end)]
    else:
        draft.changes.replace(pair.colon, pair.value.end, new)
        return
    first, newline, rest = new.partition("\r\n" if "\r\n" in new else "\n")
    end = line_end(text, pair.value.end)
    draft.changes.replace(pair.colon, end, first + beside + newline + rest)


def _beside_long_value(document: Document, pair: Pair) -> str:
    """Give what stands behind a block's header or the colon: a comment, or spaces."""
    text = document.text
    value = pair.value
    if isinstance(value, ScalarNode) and value.style in BLOCK_STYLES:
        header = BLOCK_HEADER.match(text, value.start, value.end)
        start = header.end() if header else value.end
        return text[start : line_end(text, start)]
    tail = text[value.end : line_end(text, value.end)]
    if "\n" not in text[pair.colon : value.start]:
        return tail
    beside = text[pair.colon : line_end(text, pair.colon)]
    return beside if "#" in beside or "#" not in tail else beside + tail


def _add_fields(draft: Draft, entry: Entry, edits: Sequence[SetField], gone: int) -> None:
    document, text = draft.document, draft.document.text
    if entry.in_flow:
        if entry.mapping is None:
            value = render_flow({edit.key: edit.value for edit in edits})
            draft.changes.replace(entry.pair.colon, entry.pair.colon, " " + value)
        else:
            pairs = [f"{render_key(edit.key)}: {render_flow(edit.value)}" for edit in edits]
            add_flow_parts(draft, entry.mapping, pairs, gone)
        return
    if entry.mapping is None:
        indent = column_of(text, entry.line_start) + draft.style.step
        index = next_line(text, entry.pair.value.end)
    else:
        indent = column_of(text, entry.mapping.pairs[0][0].start)
        index = place_after(document, entry.mapping)
    style = _field_style(draft, entry, indent)
    literals = _literals(draft, entry, entry.pair.value, indent + style.step)
    for edit in edits:
        pair = render_pair(edit.key, edit.value, indent, style, literals)
        draft.changes.add_lines(index, pair)
