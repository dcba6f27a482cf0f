"""Which bytes of earlier generations are still here."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from reconciler.core.ledger import Ledger
from reconciler.core.names import Sha256
from reconciler.core.ports.digests import DigestMemory
from reconciler.core.ports.store import ModelsFolder


def kept_digests(
    folder: ModelsFolder, digests: DigestMemory, ledgers: Sequence[Ledger]
) -> frozenset[Sha256]:
    """Give the digests that are on this disk for sure, at their places or in the trash.

    What `ledgers` name is looked at, and no file is read.
    """
    paths = {path for ledger in ledgers for path in ledger.files}
    sizes = {file.size_bytes for ledger in ledgers for file in ledger.files.values()}
    found = [seen[0] for path in paths if (seen := folder.look(path)) is not None]
    found += [identity for _, identity in folder.trashed(sizes)]
    known = (digests.find(identity) for identity in found)
    return frozenset(item.sha256 for item in known if item is not None)


def missing_bytes(ledger: Ledger, here: Collection[Sha256]) -> int:
    """How many bytes of a generation must be fetched to go back to it. `here` are digests."""
    sizes = {file.sha256: file.size_bytes for file in ledger.files.values()}
    return sum(size for digest, size in sizes.items() if digest not in here)
