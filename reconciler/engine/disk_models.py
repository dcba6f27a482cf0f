"""Look which GGUF files lie below the models folder, for a manifest that asks for all of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from reconciler.core.desired import Desired
from reconciler.core.gguf.header import read_header
from reconciler.core.gguf.seen import SeenHeader
from reconciler.core.identity import FileIdentity
from reconciler.core.ledger import Ledger
from reconciler.core.manifest import Discover
from reconciler.core.names import RelPath
from reconciler.core.observed import GgufFile, OnDisk
from reconciler.engine.host import Host
from reconciler.errors import GgufInvalid, ReconcilerError

_MAGIC: Final = b"GGUF"


def look_on_disk(host: Host, desired: Desired, ledger: Ledger) -> OnDisk | None:
    """Walk through the folder once; None where the manifest does not ask for it.

    A file that a model declares is not opened. Of any other the header is read, unless an earlier
    run has kept what it says: so a plan with nothing to do reads no header. Files that are no GGUF
    at all are left out.
    """
    policy = desired.policy.discover
    if policy is Discover.OFF:
        return None
    served = {model.discovered for model in ledger.models.values() if model.discovered is not None}
    declared = {file.path for model in desired.models.values() for file in model.files}
    declared |= ledger.files.keys()
    known = host.inventory.load_headers()
    headers: dict[FileIdentity, SeenHeader] = {}
    files = []
    found = host.folder.gguf_files()
    for path in sorted(found):
        file = GgufFile(path=path, size_bytes=found[path].size_bytes)
        if path in declared:
            files.append(file)
            continue
        try:
            seen = known.get(found[path]) or _read(path, host)
        except ReconcilerError as error:
            files.append(replace(file, problem=error.message))
            continue
        headers[found[path]] = seen
        if seen.problem and policy is Discover.SERVE and path in served:
            # Somebody may be writing it anew just now: no reason to take its entry out.
            files.append(file)
        elif seen.facts is not None or seen.problem:
            files.append(_told(file, seen))
    unreadable = _unreadable(served - found.keys(), host)
    return OnDisk(files=tuple(files), unreadable=unreadable, headers=headers)


def _read(path: RelPath, host: Host) -> SeenHeader:
    """Read a header. Whatever keeps us from reading it says nothing of the file, and is raised."""
    with host.folder.reading(path) as source:
        if source.read_at(0, len(_MAGIC)) != _MAGIC:
            return SeenHeader()
        try:
            return SeenHeader(facts=read_header(source).facts)
        except GgufInvalid as error:
            return SeenHeader(problem=error.message)


def _told(file: GgufFile, seen: SeenHeader) -> GgufFile:
    if seen.facts is None:
        return replace(file, problem=seen.problem)
    facts = seen.facts
    return replace(file, architecture=facts.architecture, quant=facts.quant, type=facts.type)


def _unreadable(missing: Collection[RelPath], host: Host) -> frozenset[RelPath]:
    """Give those of the paths not found that may be there all the same: nobody may look."""
    unreadable = set()
    for path in missing:
        try:
            host.folder.look(path)
        except ReconcilerError:
            unreadable.add(path)
    return frozenset(unreadable)
