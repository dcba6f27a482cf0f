"""Look which GGUF files lie below the models folder, for a manifest that asks for all of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from reconciler.core.desired import Desired
from reconciler.core.gguf.header import read_header
from reconciler.core.ledger import Ledger
from reconciler.core.manifest import Discover
from reconciler.core.names import RelPath
from reconciler.core.observed import GgufFile, OnDisk
from reconciler.engine.host import Host
from reconciler.errors import ReconcilerError

_MAGIC: Final = b"GGUF"


def look_on_disk(host: Host, desired: Desired, ledger: Ledger) -> OnDisk | None:
    """Walk through the folder once; None where the manifest does not ask for it.

    A file that a model declares is not opened. Of one that has a generated entry the first bytes
    are read, of any other the header, so a plan with nothing to do reads no header to serve them.
    Files that are no GGUF at all are left out.
    """
    policy = desired.policy.discover
    if policy is Discover.OFF:
        return None
    served = {model.discovered for model in ledger.models.values() if model.discovered is not None}
    declared = {file.path for model in desired.models.values() for file in model.files}
    declared |= ledger.files.keys()
    found = host.folder.gguf_files()
    files = []
    for path in sorted(found):
        size_bytes = found[path].size_bytes
        if path in declared:
            files.append(GgufFile(path=path, size_bytes=size_bytes))
            continue
        is_known = policy is Discover.SERVE and path in served
        if (file := _look(path, size_bytes, host, with_header=not is_known)) is not None:
            files.append(file)
    return OnDisk(files=tuple(files), unreadable=_unreadable(served - found.keys(), host))


def _look(path: RelPath, size_bytes: int, host: Host, *, with_header: bool) -> GgufFile | None:
    """Look into one file; None where it is no GGUF."""
    try:
        with host.folder.reading(path) as source:
            if source.read_at(0, len(_MAGIC)) != _MAGIC:
                return None
            if not with_header:
                return GgufFile(path=path, size_bytes=size_bytes)
            facts = read_header(source).facts
    except ReconcilerError as error:
        return GgufFile(path=path, size_bytes=size_bytes, problem=error.message)
    return GgufFile(
        path=path,
        size_bytes=size_bytes,
        architecture=facts.architecture,
        quant=facts.quant,
        type=facts.type,
    )


def _unreadable(missing: Collection[RelPath], host: Host) -> frozenset[RelPath]:
    """Give those of the paths not found that may be there all the same: nobody may look."""
    unreadable = set()
    for path in missing:
        try:
            host.folder.look(path)
        except ReconcilerError:
            unreadable.add(path)
    return frozenset(unreadable)
