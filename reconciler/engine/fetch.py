"""Bring the bytes a plan needs into the partial folder, each digest once, all of them proven."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reconciler.core.actions import Adopt, Download
from reconciler.core.names import RelPath, Sha256
from reconciler.core.plan import Plan
from reconciler.core.source import LocalOrigin, Origin
from reconciler.engine.host import Host
from reconciler.errors import DigestMismatch, FileMissing, ReconcilerError


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What came of it. `failed` holds the digests that could not be brought, and why."""

    failed: Mapping[Sha256, ReconcilerError]
    fetched_bytes: int
    reused_bytes: int


def fetch_all(plan: Plan, host: Host) -> Fetched:
    """Stage every file of the plan; one that fails does not stop the others."""
    failed: dict[Sha256, ReconcilerError] = {}
    fetched = reused = 0
    for action in plan.actions:
        if not isinstance(action, Download | Adopt):
            continue
        try:
            came_over_network = _stage(action, host)
        except ReconcilerError as error:
            failed[action.sha256] = error
            host.reporter.warn(f"{action.model}: {error.message}", error.hint)
            continue
        if isinstance(action, Download) and came_over_network:
            fetched += action.size_bytes - action.have_bytes
            reused += action.have_bytes
        else:
            reused += action.size_bytes
    return Fetched(failed=failed, fetched_bytes=fetched, reused_bytes=reused)


def is_staged(name: str, sha256: Sha256, host: Host) -> bool:
    """Whether the staged file `name` is there and proven to have this digest."""
    identity = host.folder.look_kept(name)
    known = host.digests.find(identity) if identity else None
    return known is not None and known.sha256 == sha256


def _stage(action: Download | Adopt, host: Host) -> bool:
    """Stage one digest, proven; whether the network was asked for it."""
    staged = host.folder.stage_name(action.sha256, 0)
    if is_staged(staged, action.sha256, host):
        return False
    if isinstance(action, Adopt) and action.source:
        twin = _twin(action, host)
        linked = twin is not None and host.folder.stage_twin(twin, action.sha256)
        if linked and is_staged(staged, action.sha256, host):
            return False
        try:
            _transfer(action, LocalOrigin(path=action.source), host)
            return False
        except (DigestMismatch, FileMissing):
            if isinstance(action.origin, LocalOrigin):
                raise
    _transfer(action, action.origin, host)
    return True


def _twin(action: Adopt, host: Host) -> RelPath | None:
    """Give the source where it is a file of ours, which may be linked.

    Somebody else's file is only copied: they may write to it, and we would change its mode.
    """
    if isinstance(action.origin, LocalOrigin) and action.origin.path == action.source:
        return None
    return RelPath(str(Path(action.source).relative_to(host.folder.root)))


def _transfer(action: Download | Adopt, origin: Origin, host: Host) -> None:
    local = isinstance(origin, LocalOrigin)
    progress = host.reporter.task(
        "copying" if local else "fetching", action.path, action.size_bytes
    )
    found = host.transfer.fetch(
        origin,
        host.folder.staged(action.sha256),
        size_bytes=action.size_bytes,
        sha256=action.sha256,
        progress=progress,
    )
    identity = host.folder.look_kept(host.folder.stage_name(action.sha256, 0))
    assert identity is not None, "a fetch that succeeded leaves its file"
    host.digests.record(identity, found)
