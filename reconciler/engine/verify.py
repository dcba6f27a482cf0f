"""Read files of ours again and tell whether they are what they should be."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

from reconciler.core.ledger import Ledger
from reconciler.core.names import ModelId, RelPath
from reconciler.engine.host import Host


class Finding(StrEnum):
    """What a file turned out to be."""

    INTACT = "intact"
    DAMAGED = "damaged"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedFile:
    """One file, what was found, and the models that use it."""

    path: RelPath
    finding: Finding
    size_bytes: int
    models: tuple[ModelId, ...]


def verify(host: Host, ledger: Ledger, models: Collection[ModelId]) -> Iterator[VerifiedFile]:
    """Re-hash every file of the ledger, or those of `models` alone, one after the other.

    What is read is remembered, so the next plan sees the damage and mends it.
    """
    used = {
        path: tuple(key for key, model in ledger.models.items() if path in model.files)
        for path in ledger.files
    }
    chosen = [path for path in ledger.files if not models or set(models) & set(used[path])]
    all_bytes = sum(ledger.files[path].size_bytes for path in chosen)
    with host.reporter.batch(len(chosen), all_bytes) as batch:
        for path in chosen:
            file = ledger.files[path]
            finding = Finding.MISSING
            if host.folder.look(path) is None:
                batch.leave_out(file.size_bytes)
            else:
                found = host.digests.rehash(host.folder.full(path), batch)
                finding = Finding.INTACT if found.sha256 == file.sha256 else Finding.DAMAGED
            yield VerifiedFile(
                path=path, finding=finding, size_bytes=file.size_bytes, models=used[path]
            )
