"""llama-swap's config as text: read with its places, and edited so that nothing else changes.

`splice` changes the spans its edits name and no other byte, then reads the result back and compares
it with what was meant; where the two differ it refuses instead.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from reconciler.core.edits import (
    AddEntry,
    ConfigView,
    Edit,
    EntryEdit,
    EntryView,
    FieldView,
    ItemEdit,
    PatchField,
    RemoveEntry,
    RestoreField,
    SetField,
)
from reconciler.core.ledger import Scaffold
from reconciler.core.llamaswap.shapes import Place
from reconciler.core.values import Json
from reconciler.core.yamltext.compose import compose
from reconciler.core.yamltext.entries import add_entries, remove_entries
from reconciler.core.yamltext.fields import edit_fields, find_field
from reconciler.core.yamltext.items import OldTexts, edit_items
from reconciler.core.yamltext.models import config_values, entries_of, find_entry, own_entry
from reconciler.core.yamltext.nodes import (
    BOM,
    MODELS,
    AliasNode,
    Document,
    MappingNode,
    Node,
    fields_of,
    index_of,
    place,
    place_before,
)
from reconciler.core.yamltext.outcome import check_outcome
from reconciler.core.yamltext.places import Draft, draft_of, refuse
from reconciler.core.yamltext.spans import Changes
from reconciler.core.yamltext.words import patch_field
from reconciler.errors import ConfigUnreadable, Fault, UnsafeEdit

_LONE_RETURN: Final = re.compile(r"\r(?!\n)")

_EDIT_BY_HAND: Final = "edit this place by hand, then run again"

FieldEdit = SetField | PatchField | RestoreField
Originals = dict[tuple[str, str], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spliced:
    """The text after the edits.

    `originals` gives, for each (model, key) that was set or patched, the text that stood in its
    place (None: the field was missing), fit for a later `RestoreField`. `scaffold` is what is now
    ours around the entries. `filled` gives, for the place of each null, `[]` or `{}` that an
    `AddItem` filled, the text that stood there, fit for the `empty` of a later `RemoveItem`;
    `renamed` for the place of each `RenameKey` the text of the old key, fit for its `written`.
    `made` are the changes that led here from the text that a person knows.
    """

    text: bytes
    originals: Mapping[tuple[str, str], str | None] = field(default_factory=dict)
    scaffold: Scaffold = field(default_factory=Scaffold)
    filled: Mapping[Place, str] = field(default_factory=dict)
    renamed: Mapping[Place, str] = field(default_factory=dict)
    made: tuple[Changes, ...] = ()


def read_config(data: bytes, path: str) -> ConfigView:
    """Read a config: its values as llama-swap sees them, and its entries with their places.

    A second document is ignored, as llama-swap does. Fields that a merge key brings into an entry
    are shown in it, with the text and line they come from.

    Raises:
        ConfigUnreadable: it is no UTF-8, no YAML, or `models` is no mapping; the fault says where.
    """
    document = compose(_decode(data, path)[1], path)
    values = config_values(document)
    return ConfigView(data=values, models=_Entries(document, values.get(MODELS)))


class _Entries(Mapping[str, EntryView]):
    """The entries of a config; each is made when it is first asked for, and most never are."""

    def __init__(self, document: Document, models: Json) -> None:
        self._document = document
        self._values = models if isinstance(models, Mapping) else {}
        self._nodes = entries_of(document) if self._values else {}
        self._made: dict[str, EntryView] = {}

    def __getitem__(self, model: str) -> EntryView:
        if model not in self._made:
            self._made[model] = self._entry(model, *self._nodes[model])
        return self._made[model]

    def __contains__(self, model: object) -> bool:
        return model in self._nodes

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def _entry(self, model: str, key: Node, node: Node) -> EntryView:
        fields = {}
        node = node.target if isinstance(node, AliasNode) else node
        values = self._values[model]
        if isinstance(node, MappingNode) and isinstance(values, Mapping):
            for name, (inner, value) in fields_of(node).items():
                text = self._document.text[value.start : value.end]
                fields[name] = FieldView(value=values[name], text=text, line=inner.line)
        return EntryView(model=model, line=key.line, fields=fields)


def splice(
    data: bytes,
    path: str,
    edits: Sequence[Edit],
    scaffold: Scaffold,
    *,
    made: tuple[Changes, ...] = (),
) -> Spliced:
    """Apply all edits, those of items first; without edits, give back what came.

    For a field named twice, `originals` keeps what stood there first. `made` are the changes that
    led to `data`, where an earlier splice did: a refusal names lines as they were before those.

    Raises:
        ConfigUnreadable: as `read_config`.
        UnsafeEdit: an edit names what is not there, or cannot be made without touching what it does
            not name. Nothing is changed then.
    """
    if not edits:
        return Spliced(text=data, scaffold=scaffold, made=made)
    mark, text = _decode(data, path)
    before = replace(compose(text, path), made=made) if made else compose(text, path)
    values = config_values(before)
    if lone := _LONE_RETURN.search(text):
        refuse(before, lone.start(), "a carriage return alone ends this line")
    document = before
    originals: Originals = {}
    old_texts = OldTexts()
    items = [edit for edit in edits if isinstance(edit, ItemEdit)]
    entries = [edit for edit in edits if isinstance(edit, EntryEdit)]
    if items:
        draft = draft_of(document)
        old_texts = edit_items(draft, items)
        document, made = _recompose(draft)
    for batch in _batches(entries):
        known = replace(document, made=made) if made else document
        document, made, scaffold = _apply(known, batch, originals, scaffold)
    check_outcome(before, values, document, items, entries)
    return Spliced(
        text=(mark + document.text).encode(),
        originals=originals,
        scaffold=scaffold,
        filled=old_texts.filled,
        renamed=old_texts.renamed,
        made=made,
    )


def _batches(edits: Sequence[EntryEdit]) -> Iterator[list[EntryEdit]]:
    """Part the edits into runs that name nothing twice: one reading serves each run."""
    batch: list[EntryEdit] = []
    named: dict[str, set[str | None]] = {}
    for edit in edits:
        key = getattr(edit, "key", None)
        keys = named.get(edit.model, set())
        is_named = bool(keys) if key is None else bool(keys & {key, None})
        if is_named:
            yield batch
            batch, named = [], {}
        batch.append(edit)
        named.setdefault(edit.model, set()).add(key)
    if batch:
        yield batch


def _apply(
    document: Document, batch: list[EntryEdit], originals: Originals, scaffold: Scaffold
) -> tuple[Document, tuple[Changes, ...], Scaffold]:
    """Make edits that name nothing twice, whatever their order, on one reading."""
    draft = draft_of(_without_leaving(document, batch))
    for model, edits in _by_model(batch).items():
        entry = find_entry(document, model)
        for edit in edits:
            if isinstance(edit, PatchField):
                originals.setdefault((model, edit.key), patch_field(draft, entry, edit))
        others = [edit for edit in edits if not isinstance(edit, PatchField)]
        for key, text in edit_fields(draft, entry, others).items():
            originals.setdefault((model, key), text)
    added = [edit for edit in batch if isinstance(edit, AddEntry)]
    removed = [edit for edit in batch if isinstance(edit, RemoveEntry)]
    if added:
        scaffold = add_entries(draft, added, scaffold, len(removed))
    if removed:
        scaffold = remove_entries(draft, removed, scaffold, refilled=bool(added))
    return *_recompose(draft), scaffold


def _by_model(batch: Sequence[EntryEdit]) -> dict[str, list[FieldEdit]]:
    groups: dict[str, list[FieldEdit]] = {}
    for edit in batch:
        if isinstance(edit, FieldEdit):
            groups.setdefault(edit.model, []).append(edit)
    return groups


def _without_leaving(document: Document, batch: Sequence[EntryEdit]) -> Document:
    """Give the document without the aliases that go with a value set anew or an entry taken out.

    They no longer keep an anchor from being edited.
    """
    if not document.aliases:
        return document
    spans = []
    for edit in batch:
        if isinstance(edit, RemoveEntry):
            value = own_entry(document, edit.model)[1].value
            spans.append((value.start, value.end))
        elif isinstance(edit, SetField):
            pair = find_field(document, find_entry(document, edit.model), edit.key)
            if pair is not None:
                spans.append((pair.value.start, pair.value.end))
    spans.sort()
    starts = [start for start, _ in spans]

    def stays(alias: AliasNode) -> bool:
        number = bisect_right(starts, alias.start) - 1
        return number < 0 or alias.start >= spans[number][1]

    return replace(document, aliases=tuple(filter(stays, document.aliases)))


def _recompose(draft: Draft) -> tuple[Document, tuple[Changes, ...]]:
    """Read what a draft makes of its text, and give it with the changes that led there."""
    text, path = draft.changes.apply(), draft.document.path
    made = (*draft.document.made, draft.changes)
    try:
        return compose(text, path), made
    except ConfigUnreadable as error:
        faults = [_before_edits(fault, text, made) for fault in error.faults]
        raise UnsafeEdit(faults, hint=_EDIT_BY_HAND) from error


def _before_edits(fault: Fault, text: str, made: Sequence[Changes]) -> Fault:
    line, column = place_before(text, made, index_of(text, fault.line, fault.column))
    message = f"the edited text could not be read here: {fault.message}"
    return replace(fault, line=line, column=column, message=message)


def _decode(data: bytes, path: str) -> tuple[str, str]:
    """Give the byte order mark, if there is one, and the text behind it."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        line, column = place(before, len(before))
        message = f"byte 0x{data[error.start]:02x} is no UTF-8"
        fault = Fault(path=path, line=line, column=column, message=message)
        raise ConfigUnreadable([fault], hint="save the file as UTF-8") from error
    return (BOM, text[1:]) if text.startswith(BOM) else ("", text)
