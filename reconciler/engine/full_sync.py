"""What a full run does beyond its plan: ask upstream about the pins, read old files again.

It only reports. A damaged file is remembered as such, so that the next plan sees it; a pin moves by
`update` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from reconciler.core.ledger import Ledger, LedgerFile, Provenance
from reconciler.core.lock import Pin
from reconciler.core.names import ModelId
from reconciler.core.observed import FileIdentity
from reconciler.engine.host import Host
from reconciler.engine.upstream import check_pins
from reconciler.errors import Interrupted, ReconcilerError


def check_everything(
    host: Host, ledger: Ledger, pins: Mapping[ModelId, Pin], *, threshold_hours: float
) -> tuple[str, ...]:
    """Check `pins` upstream and re-hash what was not read for `threshold_hours`; gives findings.

    Each finding is told as it is found. Raises only `Interrupted`: what cannot be checked is a
    finding too.
    """
    findings: list[str] = []
    for finding, hint in check_pins(pins, hub=host.hub, transfer=host.transfer):
        host.reporter.warn(finding, hint)
        findings.append(finding)
    for finding, hint in _read_old_files(host, ledger, threshold_hours=threshold_hours):
        host.reporter.warn(finding, hint)
        findings.append(finding)
    return tuple(findings)


def _read_old_files(host: Host, ledger: Ledger, *, threshold_hours: float) -> list[tuple[str, str]]:
    oldest = host.clock.now() - timedelta(hours=threshold_hours)
    old: list[tuple[LedgerFile, FileIdentity]] = []
    for path, file in ledger.files.items():
        try:
            found = host.folder.look(path)
        except ReconcilerError:
            continue  # The plan has said so.
        if found is not None:
            read_at = host.digests.hashed_at(found[0])
            if read_at is None or read_at < oldest:
                old.append((file, found[0]))
    if not old:
        return []
    findings = []
    all_bytes = sum(identity.size_bytes for _, identity in old)
    with host.reporter.batch(len(old), all_bytes) as batch:
        for file, identity in old:
            try:
                found_digests = host.digests.rehash(host.folder.full(file.path), batch)
            except Interrupted:
                raise
            except ReconcilerError as error:
                batch.leave_out(identity.size_bytes)
                findings.append((f"{file.path} could not be read again: {error.message}", ""))
                continue
            if found_digests.sha256 != file.sha256:
                findings.append(_damaged(file))
    return findings


def _damaged(file: LedgerFile) -> tuple[str, str]:
    if file.provenance is Provenance.FOUND:
        return (
            f"{file.path} has other bytes than when it was found",
            "it is not ours: move it away, and the locked bytes are brought",
        )
    return f"{file.path} is damaged, or somebody changed it", "the next run brings it again"
