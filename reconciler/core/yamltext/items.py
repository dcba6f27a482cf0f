"""Pairs and items at any place: added, taken out, renamed, given another text.

All edits name places of the same text and are made on it together, the inner mappings and lists
first: of the lines that come to one place, theirs must stand above those around them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from reconciler.core.edits import AddItem, ItemEdit, RemoveItem, RenameKey, SetItem
from reconciler.core.llamaswap.shapes import Place
from reconciler.core.yamltext.additions import add_to_holder, add_to_nothing, fill_slot
from reconciler.core.yamltext.entries import is_empty_value
from reconciler.core.yamltext.models import root_mapping
from reconciler.core.yamltext.nodes import Document, Holder, Node, SequenceNode, parts_of
from reconciler.core.yamltext.places import Draft, refuse
from reconciler.core.yamltext.removals import remove_items
from reconciler.core.yamltext.slots import (
    PLAN_AGAIN,
    Slot,
    find_slot,
    holder_of,
    position_of,
    shown,
)
from reconciler.core.yamltext.texts import rename_key, set_text
from reconciler.core.yamltext.write import Literals


@dataclass(frozen=True, slots=True)
class OldTexts:
    """What stood in the place of something new: `filled` and `renamed` as in `Spliced`."""

    filled: dict[Place, str] = field(default_factory=dict)
    renamed: dict[Place, str] = field(default_factory=dict)


def edit_items(draft: Draft, edits: Sequence[ItemEdit]) -> OldTexts:
    """Make all edits; returns what they need to be undone.

    What stands inside of what goes needs no edit of its own: it is left out.

    Raises:
        UnsafeEdit: a place is not there or is edited twice, or an edit cannot be made without
            touching what it does not name.
    """
    text = draft.document.text
    if text and not text.endswith("\n"):
        # Any of them may come to stand last, where no block can end in a line break.
        draft = replace(draft, literals=Literals.UNENDED)
    old = OldTexts()
    for place, group in sorted(_by_holder(draft.document, edits).items(), key=_depth):
        _edit_holder(draft, place, group, old)
    return old


def _depth(item: tuple[Place, list[ItemEdit]]) -> int:
    return -len(item[0])


def _by_holder(document: Document, edits: Sequence[ItemEdit]) -> dict[Place, list[ItemEdit]]:
    removed = {edit.place for edit in edits if isinstance(edit, RemoveItem)}
    groups: dict[Place, list[ItemEdit]] = {}
    seen: set[ItemEdit] = set()
    for edit in edits:
        place = edit.place
        goes = any(place[:depth] in removed for depth in range(1, len(place)))
        if isinstance(edit, AddItem):
            if goes:
                refuse(document, 0, f"{shown(place)} cannot come into what goes")
        elif goes or edit in seen or (place in removed and not isinstance(edit, RemoveItem)):
            continue
        else:
            seen.add(edit)
        groups.setdefault(place[:-1], []).append(edit)
    return groups


def _edit_holder(draft: Draft, place: Place, edits: Sequence[ItemEdit], old: OldTexts) -> None:
    document = draft.document
    added = [edit for edit in edits if isinstance(edit, AddItem)]
    removed = [edit for edit in edits if isinstance(edit, RemoveItem)]
    own = find_slot(document, place) if place else None
    node: Node | None = own.value if own else root_mapping(document)
    if added and (node is None or is_empty_value(node)) and not isinstance(node, Holder):
        _refuse_positions(document, node, added)
        if own is None:
            add_to_nothing(draft, added)
        else:
            _fill(draft, own, added, old)
        return
    holder = holder_of(document, node, place)
    _refuse_twice(document, holder, edits)
    for edit in edits:
        if isinstance(edit, SetItem):
            set_text(draft, find_slot(document, edit.place), edit)
        elif isinstance(edit, RenameKey):
            slot = find_slot(document, edit.place)
            old.renamed[edit.place] = rename_key(draft, slot, edit)
    if removed:
        remove_items(draft, own, holder, removed, refilled=bool(added))
    if added and own is not None and not parts_of(holder):
        _fill(draft, own, added, old)
    elif added:
        add_to_holder(draft, own, holder, added, len(removed))


def _fill(draft: Draft, own: Slot, added: Sequence[AddItem], old: OldTexts) -> None:
    head = fill_slot(draft, own, added)
    if head is not None:
        old.filled[added[0].place[:-1]] = head


def _refuse_twice(document: Document, holder: Holder, edits: Sequence[ItemEdit]) -> None:
    """Refuse a key that would stand twice, a position that is not the end, and two minds."""
    for kind in (SetItem, RenameKey):
        places = Counter(edit.place for edit in edits if isinstance(edit, kind))
        for place, count in places.items():
            if count > 1:
                refuse(document, holder.start, f"{shown(place)} is to become two things")
    added = [edit for edit in edits if isinstance(edit, AddItem)]
    if isinstance(holder, SequenceNode):
        _refuse_positions(document, holder, added)
        return
    leaving = {edit.place[-1] for edit in edits if isinstance(edit, RemoveItem | RenameKey)}
    taken = set(holder.numbers) - leaving
    coming = [(*edit.place[:-1], edit.key) for edit in edits if isinstance(edit, RenameKey)]
    for place in [*coming, *(edit.place for edit in added)]:
        if place[-1] in taken:
            number = holder.numbers.get(place[-1])
            at = holder.start if number is None else holder.pairs[number][0].start
            refuse(document, at, f"there is {shown(place)} already")
        taken.add(place[-1])


def _refuse_positions(document: Document, node: Node | None, added: Sequence[AddItem]) -> None:
    """Refuse what is added to a list anywhere but at its end."""
    if isinstance(node, SequenceNode):
        length = len(node.items)
    elif node is None or added[0].place[-1] != "0":
        return
    else:
        length = 0
    for number, edit in enumerate(added):
        position = position_of(edit.place[-1])
        if position is None or not length <= position <= length + number:
            at = 0 if node is None else node.start
            message = f"{shown(edit.place)} is not the end of the list, which is {length}"
            refuse(document, at, message, hint=PLAN_AGAIN)
