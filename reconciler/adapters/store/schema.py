"""The inventory's schema: how each version is made from the one before it.

A version is never edited once it was released, only followed by another: an inventory of any age is
brought to the newest in one transaction, or stays as it is. What is derived (`model_tables`) has no
versions: it is made anew at each step. Where that changes alone, the step is an empty one.
"""

from __future__ import annotations

import sqlite3
from typing import Final

# One tuple of statements for each version, the first for version 1.
_STEPS: Final[tuple[tuple[str, ...], ...]] = (
    (
        "CREATE TABLE document (name TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT",
        """
        CREATE TABLE run (
            run TEXT PRIMARY KEY,
            started_at TEXT NOT NULL,
            outcome TEXT NOT NULL,
            report TEXT NOT NULL
        ) STRICT
        """,
        "CREATE INDEX run_started ON run (started_at)",
        """
        CREATE TABLE digest (
            device INTEGER NOT NULL,
            inode INTEGER NOT NULL,
            size_bytes INTEGER NOT NULL,
            mtime_ns INTEGER NOT NULL,
            sha256 TEXT NOT NULL,
            blake3 TEXT NOT NULL,
            PRIMARY KEY (device, inode)
        ) STRICT, WITHOUT ROWID
        """,
    ),
    (
        "ALTER TABLE digest ADD COLUMN hashed_at TEXT",
        # The blake3 of each 16 MiB, 32 bytes apiece, in order.
        "CREATE TABLE segments (sha256 TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT",
        """
        ALTER TABLE run ADD COLUMN mode TEXT
            GENERATED ALWAYS AS (json_extract(report, '$.mode')) VIRTUAL
        """,
        """
        ALTER TABLE run ADD COLUMN mode_reason TEXT
            GENERATED ALWAYS AS (json_extract(report, '$.mode_reason')) VIRTUAL
        """,
        # What a file says of itself belongs to its bytes, whatever its name; NULL: it says nothing.
        """
        CREATE TABLE content (
            sha256 TEXT PRIMARY KEY,
            size_bytes INTEGER NOT NULL,
            facts TEXT
        ) STRICT, WITHOUT ROWID
        """,
        # `ledger` is compressed by zlib: it is JSON, and kept many times over.
        """
        CREATE TABLE generation (
            number INTEGER PRIMARY KEY,
            run TEXT NOT NULL UNIQUE,
            applied_at TEXT NOT NULL,
            lock_digest TEXT NOT NULL,
            config_digest TEXT NOT NULL,
            ledger BLOB NOT NULL
        ) STRICT
        """,
    ),
    (
        # `state` is compressed too; NULL: an earlier version did not keep it.
        "ALTER TABLE generation ADD COLUMN found_digest TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE generation ADD COLUMN returned_to INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE generation ADD COLUMN state BLOB",
    ),
    # Runs are read in the order in which they were recorded, whatever the clock said.
    ("DROP INDEX run_started",),
)
SCHEMA_VERSION: Final = len(_STEPS)


def version_of(database: sqlite3.Connection) -> int:
    """Give the schema's version; 0 where the file was cut short while it was made."""
    (version,) = database.execute("PRAGMA user_version").fetchone()
    return int(version)


def bring_up_to_date(database: sqlite3.Connection) -> None:
    """Take the steps that are missing, inside the transaction under way."""
    for step in _STEPS[version_of(database) :]:
        for statement in step:
            database.execute(statement)
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
