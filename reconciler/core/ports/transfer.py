"""Bringing bytes from their origin into a partial file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from reconciler.core.names import Sha256
from reconciler.core.ports.digests import Digests
from reconciler.core.ports.reporting import Progress
from reconciler.core.source import Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """`length_bytes` bytes from `start` on, believed to stand in a local file from `source_start`.

    A belief, not a proof: what it is wrong in, the digest of the whole shows.
    """

    start: int
    length_bytes: int
    path: Path
    source_start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Bytes of the file from `start` on that were read before."""

    start: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """A complete and proven partial file. `fetched_bytes` is what its origin had to send for it."""

    digests: Digests
    fetched_bytes: int


class Transfer(Protocol):
    """Brings bytes from their origin into a partial file. Safe to use from several threads."""

    def fetch(
        self,
        origin: Origin,
        partial: Path,
        *,
        size_bytes: int,
        sha256: Sha256,
        progress: Progress,
        known: Sequence[Stretch | Piece] = (),
    ) -> Brought:
        """Complete `partial` from `origin`, continuing what is there, and prove it by sha256.

        `partial` is created where it is missing, synced before this returns, and kept on every
        failure but a proven wrong digest; of a small file nothing may be there until it is
        complete. Progress skips the bytes that were there.
        `known` is taken as part of the file where that has nothing yet; should the whole then have
        another digest, all of it is fetched.

        Raises:
            DigestMismatch: the bytes are not the locked ones; those proven wrong are gone.
            FileMissing, RepositoryMissing, RepositoryGated, TokenRejected, DiskFull: a person must
                act; the partial file is kept.
            Unreachable, RateLimited, TransferBroken, Offline: it may work later; the partial file
                is kept.
        """

    def read(self, origin: Origin, start: int, end: int, *, size_bytes: int) -> bytes:
        """Give the bytes from `start` up to `end` of a file of `size_bytes`; a few megabytes.

        Raises what `fetch` raises; `DigestMismatch` where the origin has another size.
        """

    def stop(self) -> None:
        """End every `fetch` under way, and to come, with `Interrupted`; what arrived is kept."""

    def measure(self, url: str) -> int:
        """Give the size in bytes of what lies at a plain `https` URL, without fetching it.

        Raises what `fetch` raises, `DigestMismatch` and `DiskFull` excepted.
        """
