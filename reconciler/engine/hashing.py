"""Hash many files at once, as far as their drive likes that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reconciler.core.identity import FileIdentity
from reconciler.core.names import RelPath, Sha256
from reconciler.engine.host import Host
from reconciler.engine.lanes import Lanes
from reconciler.errors import ReconcilerError


def hash_files(
    files: Mapping[FileIdentity, RelPath], host: Host
) -> Iterator[tuple[FileIdentity, Sha256 | ReconcilerError]]:
    """Give the digest of each file, or why it cannot be read, as they come.

    Each is remembered as soon as it is there, so that what is interrupted goes on from there.
    """
    if not files:
        return
    at_once = host.digests.at_once(host.folder.root)
    all_bytes = sum(identity.size_bytes for identity in files)
    with host.reporter.batch(len(files), all_bytes) as batch:

        def work(identity: FileIdentity) -> Sha256:
            return host.digests.digest(host.folder.full(files[identity]), batch).sha256

        lanes = Lanes(work, (list(files), at_once), stop=host.digests.stop)
        for identity, found in lanes.results():
            if isinstance(found, ReconcilerError):
                batch.leave_out(identity.size_bytes)
            yield identity, found
