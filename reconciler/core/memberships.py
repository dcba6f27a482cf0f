"""Which models should be in which group of llama-swap's, and what follows for their entries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from reconciler.core.config_sources import Merged
from reconciler.core.desired import Desired
from reconciler.core.difference import Differences
from reconciler.core.ledger import Ledger, LedgerGroup
from reconciler.core.llamaswap.group_edits import members_of
from reconciler.core.llamaswap.groups import GroupRefusal, change_groups
from reconciler.core.llamaswap.model_rules import answering_names
from reconciler.core.llamaswap.shapes import GROUPS_PLACES, Place, as_mapping, dig
from reconciler.core.names import ModelId


def join_memberships(
    differences: Differences,
    desired: Desired,
    ledger: Ledger,
    config: Merged,
    renamed: Mapping[ModelId, ModelId],
) -> Differences:
    """Give the differences with what becomes of groups.

    A model whose entry was not compared keeps its membership, as it keeps its entry. `ledger` and
    `config` are as they were before models were `renamed`, which gives each old ID its new one.
    """
    compared = {entry.model for entry in differences.entries}
    wanted: dict[str, str | None] = dict.fromkeys(differences.removed)
    for key, model in desired.models.items():
        if key in compared:
            wanted[key] = model.spec.serve.group if model.spec.enabled else None
    owned: dict[str, LedgerGroup] = {
        key: model.group for key, model in ledger.models.items() if model.group is not None
    }
    before: dict[str, str] = {new: old for old, new in renamed.items() if new in wanted}
    found, refusals = _in_other_files(config, wanted, before)
    wanted |= dict.fromkeys(found)
    groups = change_groups(config.ours.data, wanted, owned, ledger.scaffold.groups, renamed=before)
    groups = replace(
        groups,
        memberships={**groups.memberships, **found},
        refusals=(*groups.refusals, *refusals),
    )
    entries = tuple(
        replace(entry, group=groups.moves[entry.model]) if entry.model in groups.moves else entry
        for entry in differences.entries
    )
    return replace(differences, entries=entries, groups=groups)


def _in_other_files(
    config: Merged, wanted: Mapping[str, str | None], before: Mapping[str, str]
) -> tuple[dict[str, LedgerGroup | None], list[GroupRefusal]]:
    """Find the memberships that another file has, and the groups there that models cannot join."""
    memberships: dict[str, LedgerGroup | None] = {}
    refusals: list[GroupRefusal] = []
    groups = dict(_groups_in_other_files(config))
    if not groups:
        return memberships, refusals
    owners = answering_names(config.data)
    there = {
        (owners.get(member.text, member.text), member.group)
        for member in members_of(config.data)
        if config.others(member.at)
    }
    for model, group in wanted.items():
        if group is None or group not in groups:
            continue
        memberships[model] = LedgerGroup(name=group, found=True)
        if (before.get(model, model), group) not in there:
            refusals.append(
                GroupRefusal(
                    place=groups[group],
                    message=f"group {group} stands here, and this run writes {config.own} alone: "
                    f"{model} cannot join it",
                    hint=f"add {model} to its members there, or take it away there, so that it can "
                    "be made in our file",
                )
            )
    return memberships, refusals


def _groups_in_other_files(config: Merged) -> Iterator[tuple[str, Place]]:
    for place in GROUPS_PLACES:
        for group in as_mapping(dig(config.data, place)):
            if config.others((*place, str(group))):
                yield str(group), (*place, str(group))
