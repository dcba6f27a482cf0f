"""Edits of llama-swap's config, as values: what is decided here, `yamltext` carries out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.core.ledger import Scaffold
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


Edit = AddEntry | RemoveEntry | SetField | PatchField | RestoreField


@dataclass(frozen=True, slots=True, kw_only=True)
class Spliced:
    """The text after the edits.

    `originals` gives, for each (model, key) that was set or patched, the text that stood in its
    place (None: the field was missing), fit for a later `RestoreField`. `scaffold` is what is now
    ours around the entries.
    """

    text: bytes
    originals: Mapping[tuple[str, str], str | None] = field(default_factory=dict)
    scaffold: Scaffold = field(default_factory=Scaffold)


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
