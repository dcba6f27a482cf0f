"""Words replaced inside a string, in the way it is written."""

from __future__ import annotations

import re
from collections.abc import Mapping

from reconciler.core.edits import PatchField
from reconciler.core.yamltext.fields import find_field, original_of
from reconciler.core.yamltext.models import Entry
from reconciler.core.yamltext.nodes import (
    BLOCK_STYLES,
    AliasNode,
    Document,
    ScalarNode,
    content_start,
    fields_of,
    value_of,
)
from reconciler.core.yamltext.places import Draft, refuse, refuse_if_aliased, refuse_if_referenced
from reconciler.core.yamltext.spans import next_line


def patch_field(draft: Draft, entry: Entry, edit: PatchField) -> str:
    """Replace words inside a string as it is written; returns what stood there.

    Raises:
        UnsafeEdit: the field is no string of this entry's own, a word does not stand in it as it is
            given, or the new one cannot be written there.
    """
    document = draft.document
    refuse_if_aliased(document, entry.pair.value, f"entry {edit.model!r}")
    pair = find_field(document, entry, edit.key)
    if pair is None:
        reason = f"entry {edit.model!r} has no field {edit.key!r} of its own"
        if entry.mapping is not None and edit.key in fields_of(entry.mapping):
            _, value = fields_of(entry.mapping)[edit.key]
            reason += f"; it comes by a merge key from line {document.line_of(value)}"
        refuse(document, entry.line_start, reason)
    node = pair.value
    if isinstance(node, AliasNode):
        line = document.line_of(node.target)
        refuse(document, node.start, f"field {edit.key!r} is alias *{node.anchor} of line {line}")
    if not isinstance(node, ScalarNode) or not isinstance(value_of(node), str):
        refuse(document, node.start, f"field {edit.key!r} is no string")
    refuse_if_referenced(document, node, f"field {edit.key!r}")
    for start, end, new in _patches(document, node, edit):
        draft.changes.replace(start, end, new)
    return original_of(document, entry, pair)


def patched(text: str, words: tuple[tuple[str, str], ...]) -> str:
    """Give a string's value with its words replaced."""
    new = dict(words)
    return _words(new, left="", right="").sub(lambda match: new[match[0]], text) if new else text


def _patches(document: Document, node: ScalarNode, edit: PatchField) -> list[tuple[int, int, str]]:
    text = document.text
    new = dict(edit.words)
    if not new:
        return []
    is_block = node.style in BLOCK_STYLES
    start = next_line(text, node.start) if is_block else content_start(text, node)
    is_double = node.style == '"'
    # An escape such as `\"` or `\n` parts words in the value; as text it is no white space.
    pattern = _words(
        new, left=r"|(?<=\\[nt])" if is_double else "", right=r'|(?=\\["nt])' if is_double else ""
    )
    found = [
        (match.start(), match.end(), match[0]) for match in pattern.finditer(text, start, node.end)
    ]
    meant = [match[0] for match in _words(new, left="", right="").finditer(node.text)]
    for old, word in new.items():
        if old not in meant or meant.count(old) != sum(old == raw for _, _, raw in found):
            refuse(document, node.start, f"field {edit.key!r} does not hold {old!r} as a word")
        if not word.isprintable() or (node.style in ("'", '"') and set(word) & set("'\"\\")):
            refuse(document, node.start, f"{word!r} cannot be written in field {edit.key!r}")
    return [(begin, end, new[raw]) for begin, end, raw in found]


def _words(new: Mapping[str, str], *, left: str, right: str) -> re.Pattern[str]:
    words = "|".join(re.escape(word) for word in sorted(new, key=len, reverse=True))
    return re.compile(rf"(?:(?<![^\s\"'=]){left})(?:{words})(?:(?![^\s\"'=]){right})")
