"""Check one file of ours: by reading all of it, or by what can be told without."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from reconciler.core.damage import Damage, Segments, damage_of
from reconciler.core.ledger import LedgerFile
from reconciler.core.ports.digests import Digests
from reconciler.core.ports.reporting import Batch
from reconciler.engine.host import Host
from reconciler.errors import Interrupted, ReconcilerError


class Finding(StrEnum):
    """What a file turned out to be. `CHANGED`: touched or replaced since it was last read."""

    INTACT = "intact"
    CHANGED = "changed"
    DAMAGED = "damaged"
    MISSING = "missing"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCheck:
    """What was found. `damage` is None where it is not known; `note` says more, for people."""

    finding: Finding
    damage: Damage | None = None
    note: str = ""


def check_by_reading(file: LedgerFile, host: Host, batch: Batch) -> FileCheck:
    """Read the file whole, shown as one of `batch`, and compare it with what the ledger says.

    Where its segments are known they are compared, as fast as the drive gives them. Else, and where
    they differ, sha256 decides; what it finds is remembered.

    Raises:
        Interrupted: the person, or the system, asked us to stop.
    """
    try:
        seen = host.folder.look(file.path)
        if seen is None:
            batch.leave_out(file.size_bytes)
            return FileCheck(finding=Finding.MISSING)
        path, known = host.folder.full(file.path), host.digests.find(seen[0])
        good = host.digests.segments(file.sha256)
        if good is None or known is None or known.sha256 != file.sha256:
            found = host.digests.rehash(path, batch)
        elif host.digests.read_segments(path, batch) == good:
            host.digests.record(seen[0], replace(known, segments=good))
            return FileCheck(finding=Finding.INTACT)
        else:
            found = host.digests.rehash(path, host.reporter)
    except Interrupted:
        raise
    except ReconcilerError as error:
        batch.leave_out(file.size_bytes)
        return FileCheck(finding=Finding.UNREADABLE, note=error.message)
    return _compared(file, found, found.segments, host)


def recall_check(file: LedgerFile, host: Host, *, since: datetime) -> FileCheck | None:
    """Give what reading the file found; None unless it was read `since`, and was not touched."""
    try:
        seen = host.folder.look(file.path)
    except ReconcilerError:
        return None
    known = host.digests.find(seen[0]) if seen is not None else None
    read_at = host.digests.hashed_at(seen[0]) if seen is not None else None
    if known is None or read_at is None or read_at < since:
        return None
    return _compared(file, known, host.digests.segments(known.sha256), host)


def check_quickly(file: LedgerFile, host: Host) -> FileCheck:
    """Tell what can be told from size, time and inode, and from a GGUF file's header."""
    try:
        seen = host.folder.look(file.path)
    except ReconcilerError as error:
        return FileCheck(finding=Finding.UNREADABLE, note=error.message)
    if seen is None:
        return FileCheck(finding=Finding.MISSING)
    identity = seen[0]
    extent = _extent_note(file, host)
    if identity.size_bytes != file.size_bytes:
        return FileCheck(
            finding=Finding.DAMAGED, note=extent or _size_note(file, identity.size_bytes)
        )
    known = host.digests.find(identity)
    if known is None:
        return FileCheck(
            finding=Finding.CHANGED, note=extent or "touched or replaced since it was last read"
        )
    if known.sha256 == file.sha256:
        # Its bytes are the locked ones: what is wrong with its extent is so upstream.
        return FileCheck(finding=Finding.INTACT, note=extent)
    return replace(_compared(file, known, host.digests.segments(known.sha256), host), note=extent)


def _compared(file: LedgerFile, found: Digests, segments: Segments | None, host: Host) -> FileCheck:
    """Compare what was read with what the ledger says; `segments` are those of what was read."""
    if found.sha256 == file.sha256:
        return FileCheck(finding=Finding.INTACT)
    good = host.digests.segments(file.sha256)
    return FileCheck(
        finding=Finding.DAMAGED,
        damage=damage_of(good, segments, file.size_bytes) if good and segments else None,
        note=_size_note(file, found.size_bytes),
    )


def _size_note(file: LedgerFile, size_bytes: int) -> str:
    if size_bytes == file.size_bytes:
        return ""
    return f"it has {size_bytes} bytes, and {file.size_bytes} were placed"


def _extent_note(file: LedgerFile, host: Host) -> str:
    """Say whether a GGUF file is as long as its header has it; a header that is none says nothing.

    The reader need not know every file that llama.cpp knows.
    """
    # Who reads files whole need not wait for the reader of headers.
    from reconciler.core.gguf.header import extent_complaint, read_header

    if file.path.lower().endswith(".gguf"):
        with suppress(ReconcilerError), host.folder.reading(file.path) as source:
            return extent_complaint(read_header(source), source.size_bytes)
    return ""
