"""Digests by file identity, so that an unchanged file is never hashed twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reconciler.adapters.store.database import translated_sqlite
from reconciler.core.damage import Segments
from reconciler.core.identity import FileIdentity
from reconciler.core.names import Blake3, Sha256
from reconciler.core.ports.digests import Digests

# What a database of digests alone needs; the inventory makes the same table by its own steps.
SCHEMA = """
CREATE TABLE IF NOT EXISTS digest (
    device INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    blake3 TEXT NOT NULL,
    hashed_at TEXT,
    PRIMARY KEY (device, inode)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS segments (sha256 TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
"""


def make_digest_table(database: sqlite3.Connection) -> None:
    """Make the table in a database of digests alone, or give an older one the columns it lacks."""
    database.executescript(SCHEMA)
    present = {row[1] for row in database.execute("PRAGMA table_info(digest)")}
    if "hashed_at" not in present:
        database.execute("ALTER TABLE digest ADD COLUMN hashed_at TEXT")


class DigestTable:
    """The `digest` table of an open database. A rename keeps a file's identity, and so its row.

    `path` names the database where something goes wrong with it. All methods raise DiskFull,
    LockHeld, Refused or ReconcilerError then. `unlocked` is as for `translated_sqlite`.
    """

    def __init__(
        self, database: sqlite3.Connection, path: Path, unlocked: FileIdentity | None = None
    ) -> None:
        self._database = database
        self._path = path
        self._unlocked = unlocked

    def find(self, identity: FileIdentity) -> Digests | None:
        """Give the digests of the file with exactly this identity, if they were recorded."""
        row = self._row("sha256, blake3", identity)
        if row is None:
            return None
        return Digests(sha256=Sha256(row[0]), blake3=Blake3(row[1]), size_bytes=identity.size_bytes)

    def segments(self, sha256: Sha256) -> Segments | None:
        """Give the segments of the content with this digest, if they were recorded.

        They are kept by content, for a file that is damaged keeps its identity and not its bytes.
        """
        with translated_sqlite(self._path, self._unlocked):
            row = self._database.execute(
                "SELECT value FROM segments WHERE sha256 = ?", (sha256,)
            ).fetchone()
        return Segments(row[0]) if row is not None else None

    def hashed_at(self, identity: FileIdentity) -> datetime | None:
        """Give when the file was read whole the last time; None where that is not known."""
        row = self._row("hashed_at", identity)
        return datetime.fromisoformat(row[0]) if row is not None and row[0] is not None else None

    def record(
        self,
        rows: Sequence[tuple[FileIdentity, Digests]],
        *,
        hashed_at: datetime | None = None,
    ) -> None:
        """Keep digests; an older row for the same inode is replaced.

        `hashed_at` is when the files were read, None where they were not just read.
        """
        read_at = hashed_at.astimezone(UTC).isoformat() if hashed_at is not None else None
        with translated_sqlite(self._path, self._unlocked), self._database:
            self._database.executemany(
                "INSERT OR REPLACE INTO digest (device, inode, size_bytes, mtime_ns, sha256,"
                " blake3, hashed_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (*_key(identity), found.sha256, found.blake3, read_at)
                    for identity, found in rows
                ],
            )
            self._database.executemany(
                "INSERT OR IGNORE INTO segments (sha256, value) VALUES (?, ?)",
                [(found.sha256, found.segments) for _, found in rows if found.segments],
            )

    def forget(self, gone: Collection[FileIdentity], *, wanted: Collection[Sha256]) -> None:
        """Drop the digests of these files, and all segments but those of other files and `wanted`.

        A damaged file has another digest than the one it should have, whose segments tell where.
        """
        with translated_sqlite(self._path, self._unlocked), self._database:
            self._database.executemany(
                "DELETE FROM digest WHERE device = ? AND inode = ? AND size_bytes = ?"
                " AND mtime_ns = ?",
                [_key(identity) for identity in gone],
            )
            left = self._database.execute(
                "SELECT sha256 FROM segments WHERE sha256 NOT IN (SELECT sha256 FROM digest)"
            ).fetchall()
            self._database.executemany(
                "DELETE FROM segments WHERE sha256 = ?",
                [row for row in left if row[0] not in wanted],
            )

    def _row(self, columns: str, identity: FileIdentity) -> tuple[Any, ...] | None:
        with translated_sqlite(self._path, self._unlocked):
            row: tuple[Any, ...] | None = self._database.execute(
                f"SELECT {columns} FROM digest"  # noqa: S608 - the names are our own
                " WHERE device = ? AND inode = ? AND size_bytes = ? AND mtime_ns = ?",
                _key(identity),
            ).fetchone()
        return row


def _key(identity: FileIdentity) -> tuple[int, int, int, int]:
    # SQLite's integers are signed 64-bit; some filesystems give inode numbers above that.
    return (
        _signed(identity.device),
        _signed(identity.inode),
        identity.size_bytes,
        identity.mtime_ns,
    )


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number
