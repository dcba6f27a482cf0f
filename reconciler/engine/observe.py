"""Take the snapshot that a plan is made from: disk, config and container as they are now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from reconciler.core.copies import Copy, Store
from reconciler.core.desired import Desired
from reconciler.core.filesystems import Mount, impossible_names
from reconciler.core.identity import FileIdentity
from reconciler.core.ledger import Ledger
from reconciler.core.lock import PinnedFile
from reconciler.core.names import RelPath, Sha256
from reconciler.core.observed import Observed, ObservedFile
from reconciler.core.source import LocalOrigin
from reconciler.engine.adoption import find_copies
from reconciler.engine.disk_models import look_on_disk
from reconciler.engine.hashing import hash_files
from reconciler.engine.host import Host
from reconciler.errors import ReconcilerError


def observe(host: Host, desired: Desired, ledger: Ledger) -> Observed:
    """Look at every path that the desired state or the ledger names, and at nothing else.

    A file is hashed only where size leaves the question open and its digest is not known.

    Raises:
        RuntimeUnavailable: the container engine does not answer, or the container is gone.
        ReconcilerError: the config cannot be read.
    """
    files, unreadable = _observe_files(host, desired, ledger)
    wanted = [
        file
        for model in desired.models.values()
        if model.spec.enabled
        for file in model.files
        if file.path not in files or files[file.path].sha256 != file.sha256
    ]
    missing = {file.sha256: file.size_bytes for file in wanted}
    staged = {
        digest: have
        for digest, size in missing.items()
        if (have := host.folder.staged_bytes(digest, size)) > 0
    }
    mount = host.filesystems.mount(str(host.folder.root)) if wanted else None
    obstacles = {
        **{file.path: _obstacle(host, file.path) for file in wanted},
        **(_impossible(host, desired, mount) if wanted else {}),
    }
    copies = find_copies(
        [file for file in wanted if staged.get(file.sha256) != file.size_bytes],
        files,
        ledger,
        host,
    )
    return Observed(
        models_dir=str(host.folder.root),
        device=host.folder.device,
        files=files,
        obstacles={path: why for path, why in (obstacles | unreadable).items() if why},
        staged_bytes=staged,
        copies=copies,
        config_path=host.config_path,
        config=host.config.read() if host.config else None,
        siblings=host.config_folder.read() if host.config_folder else None,
        old_config=_old_config(host, ledger),
        runtime=host.runtime.observe(),
        room=host.filesystems.room(str(host.folder.root)),
        config_room=host.filesystems.room(host.config_path) if host.config_path else None,
        mount=mount,
        config_mount=(
            host.filesystems.mount(host.config_path) if wanted and host.config_path else None
        ),
        staged_disk_bytes={digest: host.folder.staged_disk_bytes(digest) for digest in missing},
        shared=_shared(wanted, copies, mount, host),
        trash_bytes=host.folder.trash_bytes() if wanted else 0,
        trash=tuple(host.folder.trashed_runs()) if wanted else (),
        on_disk=look_on_disk(host, desired, ledger),
    )


def _old_config(host: Host, ledger: Ledger) -> bytes | None:
    if host.config_folder is None or ledger.config_path in (None, host.config_path):
        return None
    return host.config_folder.read_other(ledger.config_path)


def _observe_files(
    host: Host, desired: Desired, ledger: Ledger
) -> tuple[dict[RelPath, ObservedFile], dict[RelPath, str]]:
    """Give the files that are there, and why others could not be looked at or read."""
    sizes: dict[RelPath, set[int]] = {}
    for model in desired.models.values():
        for file in model.files:
            sizes.setdefault(file.path, set()).add(file.size_bytes)
    for path, owned in ledger.files.items():
        sizes.setdefault(path, set()).add(owned.size_bytes)
    files: dict[RelPath, ObservedFile] = {}
    unreadable: dict[RelPath, str] = {}
    unknown: dict[FileIdentity, list[RelPath]] = {}
    for path, plausible in sizes.items():
        try:
            found = host.folder.look(path)
            if found is None:
                continue
            identity, links = found
            files[path] = ObservedFile(path=path, identity=identity, sha256=None, links=links)
            known = host.digests.find(identity)
            if known is None and identity.size_bytes in plausible:
                unknown.setdefault(identity, []).append(path)
        except ReconcilerError as error:
            unreadable[path] = error.message
            continue
        if known is not None:
            files[path] = replace(files[path], sha256=known.sha256)
    for identity, result in hash_files({key: paths[0] for key, paths in unknown.items()}, host):
        for path in unknown[identity]:
            if isinstance(result, ReconcilerError):
                unreadable[path] = result.message
            else:
                files[path] = replace(files[path], sha256=result)
    return files, unreadable


def _impossible(host: Host, desired: Desired, mount: Mount | None) -> dict[RelPath, str]:
    """Find the wanted paths that this filesystem cannot hold, or cannot hold beside each other."""
    sizes = {
        file.path: file.size_bytes
        for model in desired.models.values()
        if model.spec.enabled
        for file in model.files
    }
    ignores_case = (mount is not None and mount.ignores_case) or host.folder.ignores_case()
    return impossible_names(mount, sizes, ignores_case=ignores_case)


def _shared(
    wanted: Sequence[PinnedFile], copies: Mapping[Sha256, Copy], mount: Mount | None, host: Host
) -> frozenset[Sha256]:
    """Find what takes no room, because it lies on the same filesystem and need not be copied."""
    named = {
        file.sha256: Copy(path=file.origin.path, store=Store.SOURCE)
        for file in wanted
        if isinstance(file.origin, LocalOrigin)
    }
    return frozenset(
        digest
        for digest, copy in {**named, **copies}.items()
        if host.folder.may_share(Path(copy.path), linking=copy.store.linking, mount=mount)
    )


def _obstacle(host: Host, path: RelPath) -> str:
    try:
        return host.folder.obstacle(path)
    except ReconcilerError as error:
        return error.message
