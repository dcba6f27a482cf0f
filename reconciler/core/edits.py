"""Edits of llama-swap's config, as values: what is decided here, `yamltext` carries out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.core.llamaswap.shapes import Place
from reconciler.core.values import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class AddEntry:
    """Add a whole entry under `models:` (which is made where it is missing)."""

    model: str
    fields: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveEntry:
    """Remove a whole entry that we made."""

    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetField:
    """Give a field of an existing entry a value, adding the field where it is missing."""

    model: str
    key: str
    value: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchField:
    """Replace words inside the text of a string field, leaving all around them as it stands.

    Each pair is (old word, new word); each old word must stand in the value's own text, delimited
    as a word, exactly as it is written there.
    """

    model: str
    key: str
    words: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreField:
    """Put back what stood in a field before us; `original` None takes the field out."""

    model: str
    key: str
    original: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveItem:
    """Take a list's item or a mapping's pair out, with its lines and the comments on them.

    A list or mapping that this empties stays as `[]` or `{}`, or as `empty` where that is given:
    what `Spliced.filled` told of it, so that what was added goes without a trace.
    """

    place: Place
    empty: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddItem:
    """Add a pair to a mapping or an item to a list, written as its neighbours are.

    The last part of `place` is the new key, or the list's length; several new items of one list
    may all give its length, or count on from it, and stand in the order of their edits. The list
    or mapping is there already, or the pair is one of the top level. One that is empty is filled:
    null becomes a list where the last part of `place` is `0`, else a mapping.
    """

    place: Place
    value: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class SetItem:
    """Give a scalar in a list or behind a key another text, in the quotes it had where they fit."""

    place: Place
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameKey:
    """Give the last key of `place` another name; its value, anchors and comments stay.

    The name is written in the quotes the old one had, or in quotes where YAML would otherwise not
    read it as a string; or as `written`, where that is given: what `Spliced.renamed` told of it, so
    that a rename there and back leaves the old bytes.
    """

    place: Place
    key: str
    written: str | None = None


EntryEdit = AddEntry | RemoveEntry | SetField | PatchField | RestoreField
ItemEdit = RemoveItem | AddItem | SetItem | RenameKey
# Places name keys and positions as they were before all edits made together, whatever their order.
# Edits of entries come after those of items: they name models as they are called then.
Edit = EntryEdit | ItemEdit


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldView:
    """One field as it stands: its value, the text it is written in, and its line (from 1)."""

    value: Json
    text: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryView:
    """One entry as it stands, with its line (from 1)."""

    model: str
    line: int
    fields: Mapping[str, FieldView]

    @property
    def aliases(self) -> tuple[str, ...]:
        """The other names it answers to."""
        value = self.fields["aliases"].value if "aliases" in self.fields else None
        return (
            tuple(item for item in value if isinstance(item, str))
            if isinstance(value, list)
            else ()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigView:
    """A config as it stands: its whole parsed value, and its model entries with their places."""

    data: Mapping[str, Json]
    models: Mapping[str, EntryView]
