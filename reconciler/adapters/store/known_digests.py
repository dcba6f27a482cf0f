"""Digests of files, from memory where they are known, by reading where they are not."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from reconciler.adapters.base.digests import hash_file, hash_segments
from reconciler.adapters.base.files import identity_of, translated
from reconciler.adapters.base.user_folders import user_folder
from reconciler.adapters.store.digest_table import DigestTable, make_digest_table
from reconciler.adapters.store.drives import Drives
from reconciler.core.damage import Segments
from reconciler.core.identity import FileIdentity
from reconciler.core.names import Sha256
from reconciler.core.ports.digests import Digests, LocalFile
from reconciler.core.ports.reporting import Batch, Progress, Reporter
from reconciler.errors import FileMissing, Interrupted, ReconcilerError

_CACHE: Final = "digests.db"
_Answer = TypeVar("_Answer")


class KnownDigests:
    """Looks a digest up in the inventory, then in the user's cache; else reads the file.

    What was computed goes into the inventory where that may be written (`keep_in_cache=False`),
    else into the cache: a dry run writes nothing but that. `readers` is how many files, or segments
    of one, are read at once; None: as many as the drive likes.
    """

    def __init__(
        self,
        inventory: DigestTable | None,
        *,
        cache_folder: Path,
        keep_in_cache: bool,
        reporter: Reporter,
        readers: int | None = None,
    ) -> None:
        """Without an `inventory` the cache serves alone."""
        self._inventory = inventory
        self._reporter = reporter
        self._cache_folder = cache_folder
        self._keep_in_cache = keep_in_cache
        self._readers = readers
        self._stopped = threading.Event()
        self._cache: sqlite3.Connection | None = None
        # Several files are fetched at once; SQLite itself is asked by one thread at a time.
        self._guard = threading.Lock()

    def close(self) -> None:
        """Close the cache."""
        if self._cache is not None:
            self._cache.close()

    def find(self, identity: FileIdentity) -> Digests | None:
        """Give the digests of a file with this identity, if it was ever hashed."""
        return self._ask(lambda table: table.find(identity))

    def hashed_at(self, identity: FileIdentity) -> datetime | None:
        """Give when a file with this identity was last read whole, as far as is known."""
        return self._ask(lambda table: table.hashed_at(identity))

    def segments(self, sha256: Sha256) -> Segments | None:
        """Give the segments of the content with this digest, if it was ever hashed here."""
        return self._ask(lambda table: table.segments(sha256))

    def digest(self, path: Path, shown: Reporter | Batch | None = None) -> Digests:
        """Give the digests of the file at `path`, reading it only if they are not known.

        Raises `FileMissing`.
        """
        known = self.find(_identity(path))
        return known if known is not None else self._read(path, "hashing", shown or self._reporter)

    def rehash(self, path: Path, shown: Reporter | Batch) -> Digests:
        """Read the file at `path` whatever is known of it. Raises `FileMissing`."""
        return self._read(path, "verifying", shown)

    def read_segments(self, path: Path, shown: Reporter | Batch) -> Segments:
        """Read the file at `path` for its segments, several at once. Raises `FileMissing`."""
        with self._task(path, "verifying", _identity(path), shown) as progress:
            return hash_segments(path, threads=self.at_once(path), progress=progress)

    def at_once(self, path: Path) -> int:
        """Give how many files on the drive of `path` are best read at once."""
        return self._readers or Drives().readers(path)

    def stop(self) -> None:
        """End all reading under way, and to come, with `Interrupted`."""
        self._stopped.set()

    def _read(self, path: Path, doing: str, shown: Reporter | Batch) -> Digests:
        identity = _identity(path)
        with self._task(path, doing, identity, shown) as progress:
            found = hash_file(path, progress=progress)
            unchanged = identity_of(path) == identity
        if unchanged:
            self.record(identity, found)
        return found

    @contextmanager
    def _task(
        self, path: Path, doing: str, identity: FileIdentity, shown: Reporter | Batch
    ) -> Iterator[Progress]:
        task = shown.task(doing, path.name, identity.size_bytes)
        with task as progress, translated(path, "reading"):
            yield _Stoppable(progress, self._stopped)

    def record(self, identity: FileIdentity, found: Digests) -> None:
        """Keep digests: those with segments were computed just now, others come from memory."""
        rows = [(identity, found)]
        hashed_at = datetime.now(UTC) if found.segments else None
        with self._guard:
            if self._inventory is not None and not self._keep_in_cache:
                self._inventory.record(rows, hashed_at=hashed_at)
            else:
                self._with_cache(lambda table: table.record(rows, hashed_at=hashed_at))

    def _ask(self, question: Callable[[DigestTable], _Answer | None]) -> _Answer | None:
        with self._guard:
            found = question(self._inventory) if self._inventory else None
            if found is None and (self._cache_folder / _CACHE).exists():
                found = self._with_cache(question)
            return found

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


class _Stoppable(Progress):
    """Ends the work it hears of once `stopped` is set."""

    def __init__(self, progress: Progress, stopped: threading.Event) -> None:
        self._progress = progress
        self._stopped = stopped

    def advance(self, count_bytes: int) -> None:
        """Pass it on. Raises `Interrupted`."""
        if self._stopped.is_set():
            raise Interrupted("stopped")
        self._progress.advance(count_bytes)

    def skip(self, count_bytes: int) -> None:
        """Pass it on."""
        self._progress.skip(count_bytes)


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
    """Give the user's cache folder for this program. Raises `UsageError`."""
    return user_folder(environment, "XDG_CACHE_HOME", ".cache") / "reconciler"


def _open_cache(folder: Path) -> sqlite3.Connection:
    """Open the cache, in memory alone where its folder cannot be written."""
    database = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            database = sqlite3.connect(folder / _CACHE, timeout=5, check_same_thread=False)
            make_digest_table(database)
            return database
    except (OSError, sqlite3.Error):
        if database is not None:
            database.close()
    return _in_memory()


def _in_memory() -> sqlite3.Connection:
    database = sqlite3.connect(":memory:", check_same_thread=False)
    make_digest_table(database)
    return database
