"""Entries that stood in llama-swap's config before us: lent, and to be given back as they were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.core.edits import ConfigView, EntryView
from reconciler.core.ledger import LedgerEntry, LedgerGroup
from reconciler.core.llamaswap.references import Reference, ReferenceKind
from reconciler.core.llamaswap.shapes import as_list
from reconciler.core.names import ModelId
from reconciler.core.renames import Renaming, is_away
from reconciler.core.values import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Lent:
    """What is not ours of an entry that stood there before us.

    `aliases` are those it had then, as they are written. `is_away` says that it will bear another
    ID than it had. `group` is the group of which it is a member by us.
    """

    aliases: frozenset[str]
    is_away: bool = False
    group: str | None = None

    def must_come_back(self, reference: Reference) -> bool:
        """Whether a reference that follows the entry to a new ID must be able to follow it home."""
        ours = reference.kind is ReferenceKind.GROUP and reference.path[-3] == self.group
        return self.is_away and not ours


def lent_entries(
    entries: Mapping[ModelId, LedgerEntry | None],
    memberships: Mapping[str, LedgerGroup | None],
    renaming: Renaming,
    view: ConfigView,
) -> Mapping[str, Lent]:
    """Give those that go on being served, by their IDs in `view`: before models were renamed.

    `entries` and `memberships` are what the ledger will say.
    """
    lent: dict[str, Lent] = {}
    old_ids = {new: old for old, new in renaming.entries.items()}
    for model, entry in entries.items():
        old = old_ids.get(model, model)
        if entry is None or entry.made or old not in view.models:
            continue
        membership = memberships.get(model)
        aliases = _aliases_before_us(view.models[old], renaming.owned_entry(model))
        lent[old] = Lent(
            aliases=frozenset(map(str, as_list(aliases))),
            is_away=is_away(entry),
            group=membership.name if membership and not membership.found else None,
        )
    return lent


def _aliases_before_us(view: EntryView, owned: LedgerEntry | None) -> Json:
    field = owned.fields.get("aliases") if owned else None
    if field is not None and not field.found:
        return field.original_value
    return view.fields["aliases"].value if "aliases" in view.fields else None
