"""The plan: what would be done, in order, and what forbids it. Pure: same facts, same plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from reconciler.core.actions import (
    Action,
    Adopt,
    Download,
    EmptyTrash,
    Prune,
    RemoveEntry,
    Rename,
    Replace,
)
from reconciler.core.comparison import Comparison
from reconciler.core.config_change import change_config
from reconciler.core.config_homes import guard_folder_version
from reconciler.core.desired import Desired, Stall
from reconciler.core.difference import Differences, FileState
from reconciler.core.discover import DiscoveredSet, guard_discovered
from reconciler.core.file_actions import fetch_actions
from reconciler.core.filesystems import mount_warnings
from reconciler.core.guards import (
    guard_other_device,
    guard_read_only,
    guard_removals,
    guard_room,
    guard_unmanaged_entries,
)
from reconciler.core.ledger import Ledger
from reconciler.core.ledger_after import ledger_after
from reconciler.core.llamaswap.version import NEWEST
from reconciler.core.names import ModelId
from reconciler.core.observed import Observed
from reconciler.core.refusal import Refusal
from reconciler.core.space import emptied_bytes, freed_bytes, needed_bytes, room_actions
from reconciler.core.telling import container_note, tell_server
from reconciler.core.values import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Something that is not as we left it: somebody, or something, else changed it.

    Of an entry's field (`key`) the rest tells what `EntryDrift` says; `kept`: it stays so.
    """

    model: ModelId
    message: str
    key: str | None = None
    found: Json = None
    wrote: Json = None
    line: int | None = None
    origin: str = ""
    kept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The plan in numbers. Sizes are bytes; `disk_left_bytes` is what stays free afterwards."""

    added: tuple[ModelId, ...] = ()
    updated: tuple[ModelId, ...] = ()
    removed: tuple[ModelId, ...] = ()
    fetch_bytes: int = 0
    reuse_bytes: int = 0
    trash_bytes: int = 0
    freed_bytes: int = 0
    disk_left_bytes: int = 0
    container: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything one pass would do.

    `compared` is what it was decided on. `config_before` and `config_after` are the whole config
    (None: no such file, or none is managed); `ledger_after` is what the ledger says once all
    actions have succeeded. `discovered` are models on the disk that the manifest does not declare,
    where it asks for them. `llama_swap_version` is the build whose rules the config was checked by
    (None: not known, so that the newest known one's were).
    """

    compared: Comparison = field(repr=False, compare=False)
    actions: tuple[Action, ...]
    unchanged: tuple[ModelId, ...]
    drift: tuple[Drift, ...]
    warnings: tuple[str, ...]
    refusals: tuple[Refusal, ...]
    stalled: Mapping[ModelId, Stall]
    summary: Summary
    config_path: str | None
    config_before: bytes | None
    config_after: bytes | None
    ledger_after: Ledger
    discovered: tuple[DiscoveredSet, ...] = ()
    llama_swap_version: int | None = None

    @property
    def fingerprint(self) -> str:
        """A digest of everything it was decided on."""
        return self.compared.fingerprint

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.actions

    @property
    def renames(self) -> Mapping[ModelId, ModelId]:
        """The old ID of each model that gets a new one."""
        return {item.model: item.old for item in self.actions if isinstance(item, Rename)}

    @property
    def takes_away(self) -> bool:
        """Whether it removes or replaces anything, so that a person should be asked first."""
        return bool(self.summary.removed) or any(
            isinstance(item, EmptyTrash | Replace | RemoveEntry | Prune) for item in self.actions
        )


def build_plan(
    compared: Comparison,
    *,
    allow_prune: bool = False,
    reserve_bytes: int = 0,
    reload: str = "auto",
) -> Plan:
    """Decide everything one pass would do about what was compared.

    `reserve_bytes` must stay free where the models lie, if anything is brought there. `reload` is
    how llama-swap may be told of a change: what `ladder` takes.
    """
    desired, observed, ledger = compared.desired, compared.observed, compared.ledger
    differences, discovery, renaming = compared.differences, compared.discovery, compared.renaming
    config, path = compared.config, observed.config_path
    change = None
    if compared.view is not None and compared.sources is not None:
        change = change_config(
            config,
            compared.sources,
            compared.view,
            differences,
            renaming,
            version=_judging(observed),
        )
    changed = change is not None and change.after != change.before
    fetches = fetch_actions(differences.files, observed)
    places, prunes = compared.places, compared.prunes
    removes = bool(differences.removed) or any(isinstance(item, Prune) for item in prunes)
    telling = tell_server(
        desired,
        observed,
        ledger,
        compared.merged.data if compared.merged else {},
        config_changed=changed,
        places=places,
        asked=reload,
    )
    actions = (
        *room_actions((*fetches, *places), observed, reserve_bytes=reserve_bytes),
        *fetches,
        *places,
        *renaming.actions,
        *(change.actions if change else ()),
        *telling.actions,
        *prunes,
    )
    stalled = {**desired.stalled, **differences.foreign, **discovery.stalled}
    models = (*desired.models, *discovery.models)
    summary = replace(
        _summary(models, observed, ledger, differences, actions=actions, stalled=stalled),
        container=container_note(observed, actions, config_changed=changed, asked=reload),
    )
    touched = {*summary.added, *summary.updated, *stalled}
    return Plan(
        compared=compared,
        actions=actions,
        unchanged=tuple(key for key in models if key not in touched),
        drift=_drift(desired, differences, ledger),
        warnings=(
            *(change.warnings if change else ()),
            *(mount_warnings(observed.mount, observed.models_dir) if fetches else ()),
        ),
        refusals=(
            *(change.refusals if change else ()),
            *guard_removals(desired, ledger, compared.declared.removed, allow_prune=allow_prune),
            *guard_discovered(discovery, desired, ledger, allow_prune=allow_prune),
            *guard_other_device(observed, ledger, removes=removes, allow_prune=allow_prune),
            *guard_unmanaged_entries(
                desired, observed, ledger, (*differences.removed, *renaming.models.values())
            ),
            *telling.refusals,
            *compared.old_home,
            *guard_folder_version(observed, changes_config=changed),
            *guard_read_only((*fetches, *places), observed, changes_config=changed),
            *guard_room(
                actions,
                observed,
                config_bytes=len(config) + len(change.after) if change and changed else 0,
                reserve_bytes=reserve_bytes,
            ),
        ),
        stalled=stalled,
        summary=summary,
        config_path=path,
        config_before=observed.config,
        config_after=change.after if change else None,
        ledger_after=ledger_after(
            desired, observed, ledger, differences, change, discovered=discovery.models
        ),
        discovered=discovery.sets,
        llama_swap_version=observed.version,
    )


def _judging(observed: Observed) -> int | None:
    """Give the build that judges the config; one that reads a folder of them is no old one."""
    if observed.version is None and observed.siblings is not None:
        return NEWEST
    return observed.version


def _summary(
    models: Sequence[ModelId],
    observed: Observed,
    ledger: Ledger,
    differences: Differences,
    *,
    actions: tuple[Action, ...],
    stalled: Mapping[ModelId, Stall],
) -> Summary:
    touched = {
        model
        for item in differences.files
        if item.state is not FileState.IN_PLACE
        for model in item.models
    }
    touched |= {entry.model for entry in differences.entries if entry.edits or entry.group}
    touched |= {item.model for item in actions if isinstance(item, Rename)}
    fetch = sum(item.size_bytes - item.have_bytes for item in actions if isinstance(item, Download))
    reuse = sum(item.size_bytes for item in actions if isinstance(item, Adopt))
    trashed = sum(
        item.size_bytes for item in actions if isinstance(item, Prune) and item.to_trash
    ) + sum(item.old_bytes for item in actions if isinstance(item, Replace))
    freed = freed_bytes(actions, observed) + emptied_bytes(actions)
    return Summary(
        added=tuple(key for key in models if key not in ledger.models and key not in stalled),
        updated=tuple(key for key in models if key in ledger.models and key in touched),
        removed=differences.removed,
        fetch_bytes=fetch,
        reuse_bytes=reuse,
        trash_bytes=trashed,
        freed_bytes=freed,
        disk_left_bytes=observed.room.free_bytes - needed_bytes(actions, observed) + freed,
    )


def _drift(desired: Desired, differences: Differences, ledger: Ledger) -> tuple[Drift, ...]:
    drift = [
        Drift(model=entry.model, message=item.message, **asdict(item))
        for entry in differences.entries
        for item in entry.drift
    ]
    drift += [
        Drift(
            model=entry.model,
            message=f"it was taken out of group {entry.group.joins} by hand",
            key="group",
            wrote=entry.group.joins,
            origin=desired.models[entry.model].spec.serve.origins.get("group", ""),
        )
        for entry in differences.entries
        if entry.group and entry.group.again
    ]
    for item in differences.files:
        if item.state is FileState.DAMAGED:
            message = f"{item.file.path} is not what we placed there"
            drift.append(Drift(model=item.models[0], message=message))
        elif item.state is FileState.MISSING and item.file.path in ledger.files:
            message = f"{item.file.path} is gone"
            drift.append(Drift(model=item.models[0], message=message))
    return tuple(drift)
