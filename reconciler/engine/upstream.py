"""Whether upstream still has what the lock pins: the commit, and at it the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reconciler.core.lock import Pin, PinnedFile
from reconciler.core.names import Commit, ModelId, RepoId
from reconciler.core.ports.hub import Hub
from reconciler.core.ports.transfer import Transfer
from reconciler.core.source import HubOrigin, UrlOrigin
from reconciler.errors import (
    FileMissing,
    Offline,
    RepositoryMissing,
    RevisionMissing,
    Stalled,
    Waiting,
)

_GONE_HINT = "the locked bytes stay here; `reconcile update` pins what upstream has now"


def check_pins(
    pins: Mapping[ModelId, Pin], *, hub: Hub, transfer: Transfer
) -> Iterator[tuple[str, str]]:
    """Give what upstream says otherwise than the lock, each finding with its next step.

    A repository is asked once for each commit, a plain URL for its length. The first answer that
    does not come ends it: the others would not come either.
    """
    try:
        for (repo, commit), files in _by_commit(pins).items():
            yield from _check_commit(repo, commit, files, hub)
        for url, file in _by_url(pins).items():
            yield from _check_url(url, file, transfer)
    except Offline:
        yield "the pins were not checked upstream: --offline forbids it", ""
    except Waiting as error:
        yield f"the pins could not all be checked upstream: {error.message}", error.hint


def _by_commit(pins: Mapping[ModelId, Pin]) -> dict[tuple[RepoId, Commit], list[PinnedFile]]:
    files: dict[tuple[RepoId, Commit], list[PinnedFile]] = {}
    for pin in pins.values():
        for file in pin.files:
            if isinstance(file.origin, HubOrigin):
                files.setdefault((file.origin.repo, file.origin.commit), []).append(file)
    return files


def _by_url(pins: Mapping[ModelId, Pin]) -> dict[str, PinnedFile]:
    return {
        file.origin.url: file
        for pin in pins.values()
        for file in pin.files
        if isinstance(file.origin, UrlOrigin)
    }


def _check_commit(
    repo: RepoId, commit: Commit, files: list[PinnedFile], hub: Hub
) -> Iterator[tuple[str, str]]:
    try:
        there = {file.path: file for file in hub.list_files(repo, commit, anew=True)}
    except (RepositoryMissing, RevisionMissing):
        yield f"{repo} has no commit {commit} any more, and the lock pins it", _GONE_HINT
        return
    except Stalled as error:
        yield f"{repo} could not be checked upstream: {error.message}", error.hint
        return
    for path, wanted in {
        file.origin.path: file for file in files if isinstance(file.origin, HubOrigin)
    }.items():
        found = there.get(path)
        if found is None:
            yield f"{repo} has no {path} at {commit} any more", _GONE_HINT
        elif (found.sha256, found.size_bytes) != (wanted.sha256, wanted.size_bytes):
            yield (
                f"{repo} names other bytes for {path} at {commit} than the lock",
                "a commit never changes by itself: find out which of the two was changed",
            )


def _check_url(url: str, wanted: PinnedFile, transfer: Transfer) -> Iterator[tuple[str, str]]:
    try:
        size_bytes = transfer.measure(url)
    except FileMissing:
        yield f"{wanted.path} is gone from its server, and the lock pins it", "name another source"
        return
    except Stalled as error:
        yield f"{wanted.path} could not be checked upstream: {error.message}", error.hint
        return
    if size_bytes != wanted.size_bytes:
        yield (
            f"{wanted.path} has {size_bytes} bytes on its server now, not {wanted.size_bytes}",
            "the locked bytes stay here; give the new ones their sha256 in the manifest",
        )
