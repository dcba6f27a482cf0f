"""Digests of files, from memory where they are known, by reading where they are not."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from reconciler.adapters.base.digests import hash_file
from reconciler.adapters.base.files import identity_of, translated
from reconciler.adapters.store.digest_table import SCHEMA, DigestTable
from reconciler.core.observed import FileIdentity
from reconciler.core.ports.digests import Digests, LocalFile
from reconciler.core.ports.reporting import Batch, Reporter
from reconciler.errors import FileMissing, ReconcilerError

_CACHE: Final = "digests.db"
_Answer = TypeVar("_Answer")


class KnownDigests:
    """Looks a digest up in the inventory, then in the user's cache; else reads the file.

    What was computed goes into the inventory where that may be written (`keep_in_cache=False`),
    else into the cache: a dry run writes nothing but that.
    """

    def __init__(
        self,
        inventory: DigestTable | None,
        *,
        cache_folder: Path,
        keep_in_cache: bool,
        reporter: Reporter,
    ) -> None:
        """Without an `inventory` the cache serves alone."""
        self._inventory = inventory
        self._reporter = reporter
        self._cache_folder = cache_folder
        self._keep_in_cache = keep_in_cache
        self._cache: sqlite3.Connection | None = None
        # Several files are fetched at once; SQLite itself is asked by one thread at a time.
        self._guard = threading.Lock()

    def close(self) -> None:
        """Close the cache."""
        if self._cache is not None:
            self._cache.close()

    def find(self, identity: FileIdentity) -> Digests | None:
        """Give the digests of a file with this identity, if it was ever hashed."""
        with self._guard:
            found = self._inventory.find(identity) if self._inventory else None
            if found is None and (self._cache_folder / _CACHE).exists():
                found = self._with_cache(lambda table: table.find(identity))
            return found

    def digest(self, path: Path) -> Digests:
        """Give the digests of the file at `path`, reading it only if they are not known.

        Raises `FileMissing`.
        """
        known = self.find(_identity(path))
        return known if known is not None else self._read(path, "hashing", self._reporter)

    def rehash(self, path: Path, batch: Batch) -> Digests:
        """Read the file at `path` whatever is known of it. Raises `FileMissing`."""
        return self._read(path, "verifying", batch)

    def _read(self, path: Path, doing: str, shown: Reporter | Batch) -> Digests:
        identity = _identity(path)
        task = shown.task(doing, path.name, identity.size_bytes)
        with task as progress, translated(path, "reading"):
            found = hash_file(path, progress=progress)
            unchanged = identity_of(path) == identity
        if unchanged:
            self.record(identity, found)
        return found

    def record(self, identity: FileIdentity, found: Digests) -> None:
        """Keep digests that were computed elsewhere."""
        rows = [(identity, found)]
        with self._guard:
            if self._inventory is not None and not self._keep_in_cache:
                self._inventory.record(rows)
            else:
                self._with_cache(lambda table: table.record(rows))

    def _with_cache(self, work: Callable[[DigestTable], _Answer]) -> _Answer:
        """The cache only saves time: where it fails, memory takes its place."""
        if self._cache is None:
            self._cache = _open_cache(self._cache_folder)
        try:
            return work(DigestTable(self._cache, self._cache_folder / _CACHE))
        except ReconcilerError:
            self._cache.close()
            self._cache = _in_memory()
            return work(DigestTable(self._cache, self._cache_folder / _CACHE))


def _identity(path: Path) -> FileIdentity:
    with translated(path, "looking at"):
        identity = identity_of(path)
    if identity is None:
        raise FileMissing(
            f"{path} is not there, or is no regular file", hint="look whether its name is right"
        )
    return identity


class HashedFiles:
    """Files of this machine that a manifest names as sources: the `LocalFiles` port."""

    def __init__(self, digests: KnownDigests) -> None:
        self._digests = digests

    def describe(self, path: str) -> LocalFile:
        """Measure and hash one file; an unchanged one is not hashed twice. Raises `FileMissing`."""
        found = self._digests.digest(Path(path))
        return LocalFile(size_bytes=found.size_bytes, sha256=found.sha256)


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Give the user's cache folder for this program, by the XDG rules."""
    base = environment.get("XDG_CACHE_HOME", "")
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return root / "reconciler"


def _open_cache(folder: Path) -> sqlite3.Connection:
    """Open the cache, in memory alone where its folder cannot be written."""
    database = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            database = sqlite3.connect(folder / _CACHE, timeout=5, check_same_thread=False)
            database.executescript(SCHEMA)
            return database
    except (OSError, sqlite3.Error):
        if database is not None:
            database.close()
    return _in_memory()


def _in_memory() -> sqlite3.Connection:
    database = sqlite3.connect(":memory:", check_same_thread=False)
    database.executescript(SCHEMA)
    return database
