"""Digests by file identity, so that an unchanged file is never hashed twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from reconciler.adapters.store.database import translated_sqlite
from reconciler.core.names import Blake3, Sha256
from reconciler.core.observed import FileIdentity
from reconciler.core.ports.digests import Digests

SCHEMA = """
CREATE TABLE IF NOT EXISTS digest (
    device INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    blake3 TEXT NOT NULL,
    PRIMARY KEY (device, inode)
) STRICT, WITHOUT ROWID;
"""


class DigestTable:
    """The `digest` table of an open database. A rename keeps a file's identity, and so its row.

    `path` names the database where something goes wrong with it. Both methods raise DiskFull,
    LockHeld, Refused or ReconcilerError then.
    """

    def __init__(self, database: sqlite3.Connection, path: Path) -> None:
        self._database = database
        self._path = path

    def find(self, identity: FileIdentity) -> Digests | None:
        """Give the digests of the file with exactly this identity, if they were recorded."""
        with translated_sqlite(self._path):
            row = self._database.execute(
                "SELECT sha256, blake3 FROM digest"
                " WHERE device = ? AND inode = ? AND size_bytes = ? AND mtime_ns = ?",
                _key(identity),
            ).fetchone()
        if row is None:
            return None
        return Digests(sha256=Sha256(row[0]), blake3=Blake3(row[1]), size_bytes=identity.size_bytes)

    def record(self, rows: Sequence[tuple[FileIdentity, Digests]]) -> None:
        """Keep digests; an older row for the same inode is replaced."""
        with translated_sqlite(self._path), self._database:
            self._database.executemany(
                "INSERT OR REPLACE INTO digest VALUES (?, ?, ?, ?, ?, ?)",
                [(*_key(identity), found.sha256, found.blake3) for identity, found in rows],
            )


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
