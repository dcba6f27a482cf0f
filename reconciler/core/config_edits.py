"""Carry out what a plan does to llama-swap's config: entries first, then what refers to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from reconciler.core.config_sources import ConfigSources, Merged
from reconciler.core.difference import Differences
from reconciler.core.edits import ConfigView
from reconciler.core.following import Followed, Following, Stuck, follow
from reconciler.core.ledger import LedgerEntry, Scaffold
from reconciler.core.lent import lent_entries
from reconciler.core.names import ModelId
from reconciler.core.renames import Renaming, is_undone, rename_edits
from reconciler.core.yamltext.config import read_config, splice
from reconciler.core.yamltext.spans import Changes
from reconciler.errors import UnsafeEdit


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """The config after all edits, and what the ledger will say of each entry.

    `renamed` gives the new ID of every model that has one, `given_back` the entries among them that
    got back the ID they had before us. Where `following` has something stuck, no reference of it
    was edited.
    """

    text: bytes
    view: ConfigView
    entries: Mapping[ModelId, LedgerEntry | None]
    scaffold: Scaffold
    following: Following = field(default_factory=Following)
    renamed: Mapping[str, str] = field(default_factory=dict)
    given_back: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def edit_config(
    sources: ConfigSources, view: ConfigView, differences: Differences, renaming: Renaming
) -> Edited:
    """Make all edits; `view` is the config as it stood before models were renamed.

    `sources` are the files that it is merged with: what refers to models there is not edited.

    Raises:
        UnsafeEdit: an edit would touch bytes that are not ours.
    """
    path = sources.path
    groups = differences.groups
    wanted = [*groups.edits, *(edit for entry in differences.entries for edit in entry.edits)]
    spliced = splice(renaming.text, path, wanted, renaming.ledger.scaffold)
    entries = {
        entry.model: _kept_key(entry.with_originals(spliced.originals), entry.model, renaming)
        for entry in differences.entries
    }
    scaffold = replace(spliced.scaffold, groups=groups.with_filled(spliced.filled))
    text, made = spliced.text, spliced.made
    after = read_config(text, path) if wanted else (renaming.view or view)
    given_back, warnings = _given_back(entries, renaming, after)
    if given_back:
        back = [edit for new, old in given_back.items() for edit in rename_edits(new, old, after)]
        spliced = splice(text, path, back, scaffold, made=made)
        text, made = spliced.text, spliced.made
        after = read_config(text, path)
    renamed: dict[str, str] = {
        old: given_back.get(new, new) for old, new in renaming.entries.items()
    }
    renamed |= {new: old for new, old in given_back.items() if new in view.models}
    following = Following()
    if wanted or renamed:
        merged = sources.merged(after)
        lent = lent_entries(entries, groups.memberships, renaming, view)
        following = follow(sources.merged(view).data, merged.data, renamed, lent)
        following = _for_good(_in_our_file(following, merged), text, path)
    if following.edits and not following.stuck:
        try:
            text = splice(text, path, following.edits, scaffold, made=made).text
        except UnsafeEdit:
            following = _without_unsafe(following, text, path, made)
            if not following.stuck:
                raise
        after = read_config(text, path)
    return Edited(
        text=text,
        view=after,
        entries=entries,
        scaffold=scaffold,
        following=following,
        renamed=renamed,
        given_back=given_back,
        warnings=warnings,
    )


def _in_our_file(following: Following, merged: Merged) -> Following:
    """Let each edit name its place in our own file; what stands in another one, too, is stuck."""
    followed: list[Followed] = []
    stuck = list(following.stuck)
    for item in following.followed:
        located = merged.locate(item.edit.place)
        if located.is_ours and not merged.others(item.edit.place):
            followed.append(item.at(located.place))
        else:
            why = f"this run writes {merged.own} alone"
            stuck.append(Stuck(reference=item.reference, model=item.model, why=why))
    return replace(following, followed=tuple(followed), stuck=tuple(stuck))


def _without_unsafe(
    following: Following, text: bytes, path: str, made: tuple[Changes, ...]
) -> Following:
    """Have what cannot be edited as it is written be stuck, which is told by its place."""
    stuck = []
    for item in following.followed:
        try:
            splice(text, path, [item.edit], Scaffold(), made=made)
        except UnsafeEdit as unsafe:
            why = "; ".join(fault.message for fault in unsafe.faults)
            stuck.append(Stuck(reference=item.reference, model=item.model, why=why))
    return replace(following, stuck=tuple(stuck))


def _for_good(following: Following, text: bytes, path: str) -> Following:
    """Tell of each edit, of what refers to a lent entry, that could not be undone to the byte."""

    def can_be_undone(items: Sequence[Followed]) -> bool:
        there = {item.edit.place: item.edit for item in items}
        back = {item.edit.place: item.undo for item in items if item.undo is not None}
        return is_undone(text, path, tuple(there.values()), tuple(back.values()))

    lent = [item for item in following.followed if item.undo is not None]
    if not lent or can_be_undone(lent):
        return following
    why = "written like this it could not come back as it was; in quotes it could"
    stuck = [
        Stuck(reference=item.reference, model=item.model, why=why)
        for item in lent
        if not can_be_undone([item])
    ]
    return replace(following, stuck=(*following.stuck, *stuck))


def _kept_key(after: LedgerEntry | None, model: str, renaming: Renaming) -> LedgerEntry | None:
    """Go on remembering what an entry was called before us."""
    owned = renaming.owned_entry(model)
    if after is None or owned is None or after.made:
        return after
    return replace(after, original_key=owned.original_key)


def _given_back(
    entries: Mapping[ModelId, LedgerEntry | None], renaming: Renaming, view: ConfigView
) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Give the entries that get back the ID they had before us, and warn of those that cannot."""
    given_back: dict[str, str] = {}
    warnings = []
    for model, entry in entries.items():
        owned = renaming.owned_entry(model)
        if entry is not None or owned is None or owned.original_key is None:
            continue
        if owned.original_key in view.models:
            warnings.append(
                f"{model} was {owned.original_key} before us, and keeps its name: "
                "another entry has the old one now"
            )
        elif model in view.models:
            given_back[model] = owned.original_key
    return given_back, tuple(warnings)
