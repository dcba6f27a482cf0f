"""llama-swap's config as text: read with its places, and edited so that nothing else changes.

`splice` changes the spans its edits name and no other byte, then reads the result back and compares
it with what was meant; where the two differ it refuses instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, assert_never

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
    Spliced,
)
from reconciler.core.ledger import Scaffold
from reconciler.core.values import Json
from reconciler.core.yamltext.compose import compose
from reconciler.core.yamltext.entries import add_entries, remove_entries
from reconciler.core.yamltext.fields import restore_field, set_field
from reconciler.core.yamltext.items import OldTexts, edit_items
from reconciler.core.yamltext.models import (
    Entry,
    config_values,
    entries_of,
    find_entry,
    is_models_in_flow,
)
from reconciler.core.yamltext.nodes import (
    BOM,
    MODELS,
    AliasNode,
    Document,
    MappingNode,
    Node,
    fields_of,
    place,
)
from reconciler.core.yamltext.outcome import check_outcome
from reconciler.core.yamltext.places import (
    Draft,
    draft_of,
    refuse,
)
from reconciler.core.yamltext.spans import is_open_end
from reconciler.core.yamltext.words import patch_field
from reconciler.errors import ConfigUnreadable, Fault, UnsafeEdit

_LONE_RETURN: Final = re.compile(r"\r(?!\n)")

_EDIT_BY_HAND: Final = "edit this place by hand, then run again"

FieldEdit = SetField | PatchField | RestoreField
Originals = dict[tuple[str, str], str | None]


def read_config(data: bytes, path: str) -> ConfigView:
    """Read a config: its values as llama-swap sees them, and its entries with their places.

    A second document is ignored, as llama-swap does. Fields that a merge key brings into an entry
    are shown in it, with the text and line they come from.

    Raises:
        ConfigUnreadable: it is no UTF-8, no YAML, or `models` is no mapping; the fault says where.
    """
    document = compose(_decode(data, path)[1], path)
    values = config_values(document)
    models = values.get(MODELS)
    return ConfigView(
        data=values,
        models={
            model: _entry_view(document, model, key, node, models[model])
            for model, (key, node) in entries_of(document).items()
            if isinstance(models, Mapping)
        },
    )


def _entry_view(document: Document, model: str, key: Node, node: Node, values: Json) -> EntryView:
    fields = {}
    node = node.target if isinstance(node, AliasNode) else node
    if isinstance(node, MappingNode) and isinstance(values, Mapping):
        for name, (inner, value) in fields_of(node).items():
            text = document.text[value.start : value.end]
            fields[name] = FieldView(value=values[name], text=text, line=inner.line)
    return EntryView(model=model, line=key.line, fields=fields)


def splice(data: bytes, path: str, edits: Sequence[Edit], scaffold: Scaffold) -> Spliced:
    """Apply all edits, those of items first; without edits, give back what came.

    For a field named twice, `originals` keeps what stood there first.

    Raises:
        ConfigUnreadable: as `read_config`.
        UnsafeEdit: an edit names what is not there, or cannot be made without touching what it does
            not name. Nothing is changed then.
    """
    if not edits:
        return Spliced(text=data, scaffold=scaffold)
    mark, text = _decode(data, path)
    before = compose(text, path)
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
        document = _recompose(draft)
    for batch in _batches(entries, mixed=_may_mix(document)):
        document, scaffold = _apply(document, batch, originals, scaffold)
    check_outcome(before, values, document, items, entries)
    return Spliced(
        text=(mark + document.text).encode(),
        originals=originals,
        scaffold=scaffold,
        filled=old_texts.filled,
        renamed=old_texts.renamed,
    )


def _may_mix(document: Document) -> bool:
    """Whether edits of several kinds can be made on one reading, whatever their order.

    Aliases make the order matter; entries in braces share commas, those at an open end a break.
    """
    closed = document.text.endswith("\n")
    return closed and not document.aliases and not is_models_in_flow(document)


def _batches(edits: Sequence[EntryEdit], *, mixed: bool) -> Iterator[list[EntryEdit]]:
    """Part the edits into runs that name nothing twice, and of one kind unless `mixed`.

    One reading serves each run.
    """
    batch: list[EntryEdit] = []
    named: dict[str, set[str | None]] = {}
    for edit in edits:
        key = getattr(edit, "key", None)
        keys = named.get(edit.model, set())
        is_named = bool(keys) if key is None else bool(keys & {key, None})
        if batch and (is_named or (not mixed and _kind(edit) != _kind(batch[0]))):
            yield batch
            batch, named = [], {}
        batch.append(edit)
        named.setdefault(edit.model, set()).add(key)
    if batch:
        yield batch


def _kind(edit: EntryEdit) -> str:
    match edit:
        case AddEntry():
            return "add"
        case RemoveEntry():
            return "remove"
        case SetField() | PatchField() | RestoreField():
            return "field"
        case _:
            assert_never(edit)


def _apply(
    document: Document, batch: list[EntryEdit], originals: Originals, scaffold: Scaffold
) -> tuple[Document, Scaffold]:
    draft = draft_of(document)
    added = [edit for edit in batch if isinstance(edit, AddEntry)]
    removed = [edit for edit in batch if isinstance(edit, RemoveEntry)]
    for edit in batch:
        if isinstance(edit, FieldEdit):
            entry = find_entry(draft.document, edit.model)
            _edit_field(draft, entry, edit, originals)
            if _must_settle(draft.document, entry, edit):
                draft = draft_of(_recompose(draft))
    if added:
        scaffold = add_entries(draft, added, scaffold)
    if added and len(removed) == len(entries_of(document)):
        # Read anew, `models` holds the new ones too, so it stays when the old ones go.
        draft = draft_of(_recompose(draft))
    if removed and is_models_in_flow(document):
        # Neighbours in braces share a comma, so they go one after the other.
        for removal in removed:
            draft = draft_of(_recompose(draft))
            scaffold = remove_entries(draft, [removal], scaffold)
    elif removed:
        scaffold = remove_entries(draft, removed, scaffold)
    return _recompose(draft), scaffold


def _must_settle(document: Document, entry: Entry, edit: FieldEdit) -> bool:
    """Whether the text must be read anew before the next edit.

    Neighbours in braces share a comma, and those at the open end of a text a line break. Where an
    alias went, its anchor may be free to be edited; one that comes back waits for its anchor.
    """
    value = entry.pair.value
    return (
        entry.in_flow
        or is_open_end(document.text, value.end)
        or (
            not isinstance(edit, RestoreField)
            and any(value.start <= alias.start < value.end for alias in document.aliases)
        )
    )


def _edit_field(draft: Draft, entry: Entry, edit: FieldEdit, originals: Originals) -> None:
    match edit:
        case SetField():
            originals.setdefault((edit.model, edit.key), set_field(draft, entry, edit))
        case PatchField():
            originals.setdefault((edit.model, edit.key), patch_field(draft, entry, edit))
        case RestoreField():
            restore_field(draft, entry, edit)
        case _:
            assert_never(edit)


def _recompose(draft: Draft) -> Document:
    document = draft.document
    text = draft.changes.apply()
    if text == document.text:
        return document
    try:
        return compose(text, document.path)
    except ConfigUnreadable as error:
        faults = [
            Fault(
                path=fault.path,
                line=fault.line,
                column=fault.column,
                message=f"the edited text could not be read here: {fault.message}",
            )
            for fault in error.faults
        ]
        raise UnsafeEdit(faults, hint=_EDIT_BY_HAND) from error


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
