"""What a plan does to files: bring the bytes, make them visible, take away what nobody wants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from reconciler.core.actions import Action, Adopt, Download, Forget, Place, Prune, Replace
from reconciler.core.copies import Copy, Store
from reconciler.core.difference import FileDifference, FileState, GoneFile
from reconciler.core.ledger import Provenance
from reconciler.core.manifest import Prune as PrunePolicy
from reconciler.core.names import RelPath, Sha256
from reconciler.core.observed import Observed
from reconciler.core.source import HubOrigin, LocalOrigin, UrlOrigin

_REASONS = {
    FileState.MISSING: "not on disk",
    FileState.OUTDATED: "the lock names other bytes",
    FileState.DAMAGED: "changed or damaged since we placed it",
}


def needed(files: Sequence[FileDifference]) -> tuple[FileDifference, ...]:
    """Give the files whose bytes must be brought."""
    return tuple(item for item in files if item.state is not FileState.IN_PLACE)


def fetch_actions(files: Sequence[FileDifference], observed: Observed) -> tuple[Action, ...]:
    """Bring each digest once, from the nearest place that has it."""
    actions: list[Action] = []
    brought: set[Sha256] = set()
    for item in needed(files):
        if item.file.sha256 not in brought:
            brought.add(item.file.sha256)
            actions.append(_fetch(item, observed))
    return tuple(actions)


def place_actions(files: Sequence[FileDifference]) -> tuple[Place | Replace, ...]:
    """Make every brought file visible under its own name."""
    actions: list[Place | Replace] = []
    for item in needed(files):
        if item.observed is None:
            actions.append(
                Place(
                    model=item.models[0],
                    path=item.file.path,
                    size_bytes=item.file.size_bytes,
                    sha256=item.file.sha256,
                    reason=_REASONS[item.state],
                )
            )
        else:
            actions.append(
                Replace(
                    model=item.models[0],
                    path=item.file.path,
                    size_bytes=item.file.size_bytes,
                    sha256=item.file.sha256,
                    old_bytes=item.observed.identity.size_bytes,
                    reason=_REASONS[item.state],
                )
            )
    return tuple(actions)


def prune_actions(gone: Sequence[GoneFile], policy: PrunePolicy) -> tuple[Prune | Forget, ...]:
    """Take away, or stop speaking of, what no model wants any more."""
    return tuple(_prune(item, policy) for item in gone)


def renamed_files(actions: Sequence[Action], models_dir: str) -> Mapping[Sha256, RelPath]:
    """Give the files of ours that only change their name: one path goes, and one comes.

    Where links cannot be made such a file need not be copied, it can be renamed.
    """
    going = {action.path for action in actions if isinstance(action, Prune)}
    coming = Counter(action.sha256 for action in actions if isinstance(action, Place | Replace))
    sources = {
        action.sha256: action.source.removeprefix(f"{models_dir}/")
        for action in actions
        if isinstance(action, Adopt) and action.store is Store.OURS
    }
    return {
        digest: RelPath(path)
        for digest, path in sources.items()
        if path in going and coming[digest] == 1
    }


def _prune(item: GoneFile, policy: PrunePolicy) -> Prune | Forget:
    path = item.file.path
    if not item.present:
        return Forget(path=path, reason="it is gone already")
    if item.file.provenance is Provenance.FOUND:
        return Forget(path=path, reason="it was here before us and stays")
    if not item.intact:
        return Forget(path=path, reason="its bytes are not the ones we placed, so it stays")
    if policy is PrunePolicy.KEEP:
        return Forget(path=path, reason="policy.prune is keep")
    return Prune(
        path=path,
        size_bytes=item.file.size_bytes,
        to_trash=policy is PrunePolicy.TRASH,
        reason="no model wants it any more",
    )


def _fetch(item: FileDifference, observed: Observed) -> Adopt | Download:
    file = item.file
    reason = _REASONS[item.state]
    have = observed.staged_bytes.get(file.sha256, 0)
    copy = observed.copies.get(file.sha256)
    if have == file.size_bytes:
        copy = Copy(path="", store=Store.PARTIAL)
        reason = f"{reason}; its bytes were brought before"
    elif copy is not None and copy.store in (Store.OURS, Store.MODELS_FOLDER):
        at = copy.path.removeprefix(f"{observed.models_dir}/")
        reason = f"{reason}; the same bytes are at {at}"
    elif copy is not None:
        reason = f"{reason}; from {copy.store.shown}"
    elif isinstance(file.origin, LocalOrigin):
        copy = Copy(path=file.origin.path, store=Store.SOURCE)
    if copy is not None:
        return Adopt(
            model=item.models[0],
            path=file.path,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
            source=copy.path,
            store=copy.store,
            origin=file.origin,
            reason=reason,
        )
    assert isinstance(file.origin, HubOrigin | UrlOrigin)
    return Download(
        model=item.models[0],
        path=file.path,
        size_bytes=file.size_bytes,
        have_bytes=min(have, file.size_bytes),
        sha256=file.sha256,
        origin=file.origin,
        reason=f"{reason}; continues" if have else reason,
    )
