"""Take the snapshot that a plan is made from: disk, config and container as they are now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from reconciler.core.desired import Desired
from reconciler.core.ledger import Ledger, Provenance
from reconciler.core.names import RelPath, Sha256
from reconciler.core.observed import Observed, ObservedFile
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
    obstacles = {file.path: _obstacle(host, file.path) for file in wanted}
    return Observed(
        models_dir=str(host.folder.root),
        device=host.folder.device,
        files=files,
        obstacles={path: why for path, why in (obstacles | unreadable).items() if why},
        staged_bytes={
            digest: size for digest in missing if (size := _staged_bytes(host, digest)) > 0
        },
        twins=_twins(missing, files, ledger),
        config_path=host.config_path,
        config=host.config.read() if host.config else None,
        runtime=host.runtime.observe(),
        free_bytes=host.folder.free_bytes(),
    )


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
    for path, plausible in sizes.items():
        try:
            found = host.folder.look(path)
            if found is None:
                continue
            identity, links = found
            files[path] = ObservedFile(path=path, identity=identity, sha256=None, links=links)
            known = host.digests.find(identity)
            if known is None and identity.size_bytes in plausible:
                known = host.digests.digest(host.folder.full(path))
        except ReconcilerError as error:
            unreadable[path] = error.message
            continue
        if known is not None:
            files[path] = replace(files[path], sha256=known.sha256)
    return files, unreadable


def _obstacle(host: Host, path: RelPath) -> str:
    try:
        return host.folder.obstacle(path)
    except ReconcilerError as error:
        return error.message


def _staged_bytes(host: Host, digest: Sha256) -> int:
    staged = host.folder.look_kept(host.folder.stage_name(digest, 0))
    return staged.size_bytes if staged else 0


def _twins(
    wanted: Iterable[Sha256], files: dict[RelPath, ObservedFile], ledger: Ledger
) -> dict[Sha256, RelPath]:
    """Find a wanted digest under another name among the files that we brought ourselves."""
    ours = {
        seen.sha256: path
        for path, seen in files.items()
        if seen.sha256 is not None
        and path in ledger.files
        and ledger.files[path].provenance is Provenance.BROUGHT
    }
    return {digest: ours[digest] for digest in wanted if digest in ours}
