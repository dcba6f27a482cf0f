"""What differs between the desired and the observed state, file by file and entry by entry."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from reconciler.core.contents import TOLD_LATER, contents_of, is_told_later
from reconciler.core.desired import Desired, DesiredModel, Stall
from reconciler.core.edits import ConfigView
from reconciler.core.ledger import Ledger, LedgerFile, Provenance
from reconciler.core.llamaswap.groups import GroupChange
from reconciler.core.llamaswap.serve_paths import ServePaths
from reconciler.core.lock import PinnedFile
from reconciler.core.mapping import as_served
from reconciler.core.names import ModelId, RelPath
from reconciler.core.observed import Observed, ObservedFile
from reconciler.core.ownership import (
    EntryDifference,
    ServeContext,
    enforce_entry,
    withdraw_entry,
)
from reconciler.errors import Refused


class FileState(StrEnum):
    """How a wanted file stands."""

    IN_PLACE = "in place"
    MISSING = "missing"
    OUTDATED = "outdated"
    DAMAGED = "damaged"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDifference:
    """One file that enabled models want, and how it stands. The first of `models` fetches it."""

    file: PinnedFile
    state: FileState
    models: tuple[ModelId, ...]
    observed: ObservedFile | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GoneFile:
    """One file of the ledger that no model wants any more. `intact`: it is still what we placed."""

    file: LedgerFile
    present: bool
    intact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """Everything that differs, and everything that must be said about it.

    `foreign` holds the models that cannot be applied because something of others stands at a path
    they want, or in the way to it;
    `refused` those whose entry cannot be written as declared. Both keep what the ledger has.
    """

    files: tuple[FileDifference, ...] = ()
    gone: tuple[GoneFile, ...] = ()
    entries: tuple[EntryDifference, ...] = ()
    removed: tuple[ModelId, ...] = ()
    foreign: Mapping[ModelId, Stall] = field(default_factory=dict)
    refused: Mapping[ModelId, Refused] = field(default_factory=dict)
    groups: GroupChange = field(default_factory=GroupChange)

    def with_entries(self, entries: Iterable[EntryDifference]) -> Differences:
        """Give the same with `entries` instead of those of the same models."""
        anew = {item.model: item for item in entries}
        return replace(self, entries=tuple(anew.get(item.model, item) for item in self.entries))


def compare(
    desired: Desired,
    observed: Observed,
    ledger: Ledger,
    *,
    config: ConfigView | None,
    server: str,
) -> Differences:
    """Compare all three states.

    `config` is None where no config is managed: then no entry is. `server` is llama-server's path
    in commands.
    """
    files = _compare_files(desired, observed, ledger)
    foreign = _foreign_models(files, observed)
    applicable = {key: model for key, model in desired.models.items() if key not in foreign}
    kept = desired.stalled.keys() | foreign.keys()
    # What was found on the disk, and is no model of the manifest, is `discover`'s.
    removed = tuple(
        key
        for key, owned in ledger.models.items()
        if key not in desired.models and key not in kept and owned.discovered is None
    )
    entries: list[EntryDifference] = []
    refused: dict[ModelId, Refused] = {}
    if config is not None:
        entries, refused = compare_entries(
            applicable.values(), observed, ledger, config=config, server=server
        )
        entries += [
            withdraw_entry(key, view=config.models.get(key), owned=ledger.models[key].entry)
            for key in removed
        ]
    return Differences(
        files=tuple(item for item in files if not set(item.models) <= foreign.keys()),
        gone=tuple(_gone_files(desired, observed, ledger, kept)),
        entries=tuple(entries),
        removed=removed,
        foreign=foreign,
        refused=refused,
    )


def compare_entries(
    models: Iterable[DesiredModel],
    observed: Observed,
    ledger: Ledger,
    *,
    config: ConfigView,
    server: str,
) -> tuple[list[EntryDifference], dict[ModelId, Refused]]:
    """Compare models that can be applied with their entries; give those refused apart."""
    entries: list[EntryDifference] = []
    refused: dict[ModelId, Refused] = {}
    for model in models:
        try:
            entries.append(_compare_entry(model, observed, ledger, config=config, server=server))
        except Refused as refusal:
            refused[model.spec.id] = refusal
    return entries, refused


def serve_paths(model: DesiredModel, observed: Observed) -> ServePaths:
    """Give the model's paths as llama-swap sees them.

    Raises:
        Refused: llama-swap's container does not see the models folder.
    """
    served: dict[str, str] = {}
    for file in model.files:
        if file.role not in served:
            served[file.role] = as_served(file.path, observed)
    return ServePaths(
        model=served["model"],
        mmproj=served.get("mmproj"),
        draft=served.get("draft"),
        files={
            role.removeprefix("file."): path
            for role, path in served.items()
            if role.startswith("file.")
        },
    )


def _compare_files(
    desired: Desired, observed: Observed, ledger: Ledger
) -> tuple[FileDifference, ...]:
    wanted: dict[RelPath, tuple[PinnedFile, list[ModelId]]] = {}
    for model_id, model in desired.models.items():
        for file in model.files if model.spec.enabled else ():
            wanted.setdefault(file.path, (file, []))[1].append(model_id)
    return tuple(
        FileDifference(
            file=file,
            state=_file_state(file, observed, ledger.files.get(path)),
            models=tuple(models),
            observed=observed.files.get(path),
        )
        for path, (file, models) in wanted.items()
    )


def _file_state(file: PinnedFile, observed: Observed, owned: LedgerFile | None) -> FileState:
    seen = observed.files.get(file.path)
    if seen is not None and seen.sha256 == file.sha256:
        return FileState.IN_PLACE
    if file.path in observed.obstacles:
        return FileState.FOREIGN
    if seen is None:
        return FileState.MISSING
    if owned is None or owned.provenance is Provenance.FOUND:
        return FileState.FOREIGN
    return FileState.OUTDATED if seen.sha256 == owned.sha256 else FileState.DAMAGED


def _foreign_models(files: Iterable[FileDifference], observed: Observed) -> dict[ModelId, Stall]:
    return {
        model: _foreign(item.file.path, observed.obstacles.get(item.file.path))
        for item in files
        if item.state is FileState.FOREIGN
        for model in item.models
    }


def _foreign(path: RelPath, obstacle: str | None) -> Stall:
    if obstacle:
        return Stall(
            reason=f"{path} cannot be placed: {obstacle}",
            hint="mend that, or give the model another source",
        )
    return Stall(
        reason=f"{path} holds other bytes, and they are not ours",
        hint="move that file away, or give the model another source",
    )


def claimed_paths(desired: Desired, ledger: Ledger, kept: Collection[ModelId]) -> set[RelPath]:
    """Give every path that a model holds on to.

    A disabled model claims its files as well; one of `kept` cannot be applied now, and claims what
    it has instead of what it wants.
    """
    claimed = {
        file.path
        for key, model in desired.models.items()
        if key not in kept
        for file in model.files
    }
    for key in kept:
        if key in ledger.models:
            claimed.update(ledger.models[key].files)
    return claimed


def _gone_files(
    desired: Desired, observed: Observed, ledger: Ledger, kept: Collection[ModelId]
) -> Sequence[GoneFile]:
    claimed = claimed_paths(desired, ledger, kept)
    gone = []
    for path, file in ledger.files.items():
        if path not in claimed:
            seen = observed.files.get(path)
            intact = seen is not None and seen.sha256 == file.sha256
            gone.append(GoneFile(file=file, present=seen is not None, intact=intact))
    return gone


def _compare_entry(
    model: DesiredModel,
    observed: Observed,
    ledger: Ledger,
    *,
    config: ConfigView,
    server: str,
) -> EntryDifference:
    model_id = model.spec.id
    known = ledger.models.get(model_id)
    owned = known.entry if known else None
    view = config.models.get(model_id)
    if not model.spec.enabled:
        return withdraw_entry(model_id, view=view, owned=owned)
    context = ServeContext(
        paths=serve_paths(model, observed),
        server=server,
        config=config.data,
        contents=contents_of(model, observed),
        later=TOLD_LATER if view is None and is_told_later(model, observed) else "",
    )
    entry = enforce_entry(model_id, model.spec.serve, context, view=view, owned=owned)
    if not entry.edits or not model.spec.path:
        return entry
    return replace(entry, place=f"{model.spec.path}:{model.spec.line}")
