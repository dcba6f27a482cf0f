"""What a full run does beyond its plan: ask upstream about the pins, read old files again.

It only reports. A damaged file is remembered as such, so that the next plan sees it; a pin moves by
`update` alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

from reconciler.core.ledger import Ledger, LedgerFile, Provenance
from reconciler.core.lock import Pin
from reconciler.core.names import ModelId
from reconciler.engine.file_checks import Finding, recall_check
from reconciler.engine.host import Host
from reconciler.engine.upstream import check_pins
from reconciler.engine.verify import read_files


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


def _read_old_files(
    host: Host, ledger: Ledger, *, threshold_hours: float
) -> Iterator[tuple[str, str]]:
    oldest = host.clock.now() - timedelta(hours=threshold_hours)
    old = [file for file in ledger.files.values() if recall_check(file, host, since=oldest) is None]
    if not old:
        return
    for path, check in read_files(old, host):
        if check.finding is Finding.UNREADABLE:
            yield f"{path} could not be read again: {check.note}", ""
        elif check.finding is Finding.DAMAGED:
            yield _damaged(ledger.files[path])


def _damaged(file: LedgerFile) -> tuple[str, str]:
    if file.provenance is Provenance.FOUND:
        return (
            f"{file.path} has other bytes than when it was found",
            "it is not ours: move it away, and the locked bytes are brought",
        )
    return f"{file.path} is damaged, or somebody changed it", "the next run brings it again"
