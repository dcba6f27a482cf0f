"""Digests of files, and files of this machine that a manifest names."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from reconciler.core.damage import Segments
from reconciler.core.identity import FileIdentity
from reconciler.core.names import Blake3, Sha256
from reconciler.core.ports.reporting import Batch, Reporter


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """Both digests of the same bytes, computed in one pass.

    `blake3` is that of the bytes where they are one segment, else that of `segments`. These are
    empty where the digests come from memory, and not compared: they follow from the rest.
    """

    sha256: Sha256
    blake3: Blake3
    size_bytes: int
    segments: Segments = field(default=Segments(b""), compare=False, repr=False)


class DigestMemory(Protocol):
    """What is known of digests, without a file being read."""

    def find(self, identity: FileIdentity) -> Digests | None:
        """Give the digests of a file with exactly this identity, if it was ever hashed."""


class KnownDigests(Protocol):
    """Digests of files, from memory where they are known, by reading where they are not.

    Safe to use from several threads.
    """

    def find(self, identity: FileIdentity) -> Digests | None:
        """Give the digests of a file with exactly this identity, if it was ever hashed."""

    def hashed_at(self, identity: FileIdentity) -> datetime | None:
        """Give when a file with exactly this identity was last read whole, as far as is known."""

    def digest(self, path: Path, shown: Reporter | Batch | None = None) -> Digests:
        """Give the digests of the file at `path`, shown as one of `shown`. Raises `FileMissing`."""

    def rehash(self, path: Path, shown: Reporter | Batch) -> Digests:
        """Read the file at `path` whatever is known of it, and remember what was found.

        Raises `FileMissing`.
        """

    def segments(self, sha256: Sha256) -> Segments | None:
        """Give the segments of the content with this digest, if it was ever hashed here."""

    def read_segments(self, path: Path, shown: Reporter | Batch) -> Segments:
        """Read the file at `path` for its segments alone, as fast as its drive allows.

        Raises `FileMissing`.
        """

    def at_once(self, path: Path) -> int:
        """Give how many files on the drive of `path` are best read at once."""

    def stop(self) -> None:
        """End all reading under way, and to come, with `Interrupted`."""

    def record(self, identity: FileIdentity, found: Digests) -> None:
        """Keep digests: those with segments were computed just now, others come from memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """A file of this machine, measured and hashed."""

    size_bytes: int
    sha256: Sha256


class LocalFiles(Protocol):
    """Files of this machine outside the models folder, which a manifest names as sources."""

    def describe(self, path: str) -> LocalFile:
        """Measure and hash the file at absolute `path`; an unchanged file is not hashed twice.

        Raises:
            FileMissing: it is not there, is no regular file, or cannot be read.
        """
