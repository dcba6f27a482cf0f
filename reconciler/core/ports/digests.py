"""Digests of files, and files of this machine that a manifest names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from reconciler.core.names import Blake3, Sha256
from reconciler.core.observed import FileIdentity
from reconciler.core.ports.reporting import Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """Both digests of the same bytes, computed in one pass."""

    sha256: Sha256
    blake3: Blake3
    size_bytes: int


class KnownDigests(Protocol):
    """Digests of files, from memory where they are known, by reading where they are not.

    Safe to use from several threads.
    """

    def find(self, identity: FileIdentity) -> Digests | None:
        """Give the digests of a file with exactly this identity, if it was ever hashed."""

    def digest(self, path: Path) -> Digests:
        """Give the digests of the file at `path`. Raises `FileMissing`."""

    def rehash(self, path: Path, batch: Batch) -> Digests:
        """Read the file at `path` whatever is known of it, shown as one of `batch`.

        Raises `FileMissing`.
        """

    def record(self, identity: FileIdentity, found: Digests) -> None:
        """Keep digests that were computed elsewhere."""


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
