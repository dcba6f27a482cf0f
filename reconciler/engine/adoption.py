"""Never a byte twice: find wanted bytes on this machine, and take them from there, proven."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from reconciler.core.actions import Adopt
from reconciler.core.copies import Copy, Store
from reconciler.core.identity import FileIdentity
from reconciler.core.ledger import Ledger, Provenance
from reconciler.core.lock import PinnedFile
from reconciler.core.names import RelPath, Sha256
from reconciler.core.observed import ObservedFile
from reconciler.core.ports.copies import Candidate
from reconciler.core.ports.reporting import Batch
from reconciler.core.source import LocalOrigin, Origin
from reconciler.engine.host import Host
from reconciler.errors import DigestMismatch, FileMissing, ReconcilerError, TransferBroken


def find_copies(
    wanted: Iterable[PinnedFile],
    files: Mapping[RelPath, ObservedFile],
    ledger: Ledger,
    host: Host,
) -> dict[Sha256, Copy]:
    """Find wanted digests on this machine: among our own files, in the trash, then elsewhere.

    A file of others that claims a digest is believed until it is taken; one that claims nothing is
    hashed, once. What a manifest names as a local source is not looked for at others.
    """
    missing = {file.sha256: file for file in wanted}
    if not missing:
        return {}
    copies = _ours(missing, files, ledger, host) | _in_trash(missing.values(), host)
    left = [
        file
        for file in missing.values()
        if file.sha256 not in copies and not isinstance(file.origin, LocalOrigin)
    ]
    for file in left:
        found = (item for item in host.stores.claiming(file) if _holds(item, file, host))
        if candidate := next(found, None):
            copies[file.sha256] = _copy(candidate)
    left = [file for file in left if file.sha256 not in copies]
    candidates = host.stores.of_size({file.size_bytes for file in left}) if left else ()
    for file in left:
        alike = [item for item in candidates if item.identity.size_bytes == file.size_bytes]
        # The one that is called the same is the likeliest, and the others need not be read then.
        alike.sort(key=lambda item: (item.claims is None, item.path.name != file.path.name))
        found = (item for item in alike if _holds(item, file, host))
        if candidate := next(found, None):
            copies[file.sha256] = _copy(candidate)
    return copies


def adopt(
    action: Adopt,
    host: Host,
    batch: Batch,
    *,
    renames: RelPath | None,
    copy: Callable[[Origin], None],
) -> bool:
    """Stage the bytes of `action` from this machine, proven by their digest.

    `renames` is the file of ours that only changes its name with it: where that cannot be shared it
    stays where it is for the rollout to rename. `copy` stages from an origin, as for any other.

    False where the file is not what it was taken for, or gone: that is said, and remembered.
    Raises what `copy` raises, and for a source that the manifest names also `DigestMismatch` and
    `FileMissing`.
    """
    source = Path(action.source)
    identity = host.folder.stage_shared(source, action.sha256, linking=action.store.linking)
    try:
        if identity is not None:
            _prove_shared(action, identity, host)
        elif renames is None or not host.folder.is_plain(renames):
            copy(LocalOrigin(path=action.source))
            return True
    except (DigestMismatch, FileMissing, TransferBroken) as error:
        if action.store is Store.SOURCE:
            raise
        host.reporter.warn(f"{action.path} is not taken from {action.store.shown}: {error.message}")
        # Known to be wrong, it is not looked at again as long as it stays as it is.
        with suppress(ReconcilerError):
            host.digests.digest(source)
        return False
    with batch.task("adopting", action.path, action.size_bytes) as progress:
        progress.skip(action.size_bytes)
    return True


def _prove_shared(action: Adopt, identity: FileIdentity, host: Host) -> None:
    """Prove what was staged from a file with this identity, which it had before and after."""
    known = host.digests.find(identity)
    if known is None:
        host.digests.digest(Path(action.source))
        # Nothing is known of this identity still, where the file was changed while it was read.
        known = host.digests.find(identity)
    if known is None or known.sha256 != action.sha256:
        host.folder.drop_staged(action.sha256)
        raise DigestMismatch(
            f"{action.source} has other bytes than the lock names",
            hint="look at what changed that file",
        )
    staged = host.folder.look_kept(host.folder.stage_name(action.sha256, 0))
    if staged is not None:
        host.digests.record(staged, known)


def _ours(
    missing: Iterable[Sha256],
    files: Mapping[RelPath, ObservedFile],
    ledger: Ledger,
    host: Host,
) -> dict[Sha256, Copy]:
    """Find a digest under another name among the files that we brought ourselves."""
    brought = {
        seen.sha256: str(host.folder.full(path))
        for path, seen in files.items()
        if seen.sha256 is not None
        and path in ledger.files
        and ledger.files[path].provenance is Provenance.BROUGHT
    }
    return {
        digest: Copy(path=brought[digest], store=Store.OURS)
        for digest in missing
        if digest in brought
    }


def _in_trash(missing: Iterable[PinnedFile], host: Host) -> dict[Sha256, Copy]:
    sizes = {file.size_bytes for file in missing}
    copies = {}
    for path, identity in host.folder.trashed(sizes):
        known = host.digests.find(identity)
        if known is not None:
            copies[known.sha256] = Copy(path=str(path), store=Store.TRASH)
    return copies


def _holds(candidate: Candidate, file: PinnedFile, host: Host) -> bool:
    """Whether a file has the wanted bytes, or will be believed to until it is taken."""
    known = host.digests.find(candidate.identity)
    if known is None and candidate.claims is None:
        with suppress(ReconcilerError):
            known = host.digests.digest(candidate.path)
    digest = known.sha256 if known is not None else candidate.claims
    return digest == file.sha256


def _copy(candidate: Candidate) -> Copy:
    return Copy(path=str(candidate.path), store=candidate.store)
