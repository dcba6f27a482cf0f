"""What SQLite says, in our own words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.adapters.base.files import free_bytes, identity_of, translated
from reconciler.core.identity import FileIdentity
from reconciler.errors import DiskFull, InventoryDamaged, LockHeld, ReconcilerError, Refused

MEND = "move it aside and run again: what is ours is then worked out from the disk and the lock"
# The lower byte of SQLite's error codes tells the kind; the upper ones only tell more of it.
_KIND = 0xFF
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_HELD = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_FORBIDDEN = {
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_AUTH,
}


@contextmanager
def translated_sqlite(path: Path, unlocked: FileIdentity | None = None) -> Iterator[None]:
    """Turn what SQLite says about the database at `path` into our own words.

    Only a file that is damaged is advised to be moved away: it may be all that knows what is ours.
    `unlocked` is its identity when it was opened without locks, as readers do that leave no trace:
    to them it looks damaged where another process has written to it since.
    """
    try:
        yield
    except sqlite3.Error as error:
        kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _KIND
        if kind == sqlite3.SQLITE_FULL or (kind == sqlite3.SQLITE_IOERR and _is_full(path)):
            raise DiskFull(
                f"no room left for {path}", hint="free some space on that filesystem"
            ) from error
        if kind in _HELD:
            raise LockHeld(
                f"{path} is held by another process", hint="wait for it to end, and run again"
            ) from error
        if kind in _FORBIDDEN:
            raise Refused(
                f"not allowed to use {path}: {error}",
                hint="run as a user who may write there, or mend its owner and mode",
            ) from error
        if kind == sqlite3.SQLITE_IOERR:
            raise ReconcilerError(
                f"{path} cannot be read or written: {error}",
                hint="look at the disk it lies on, and run again",
            ) from error
        if kind in _DAMAGED:
            check_unchanged(path, unlocked)
            raise InventoryDamaged(f"{path} is damaged: {error}", hint=MEND) from error
        raise ReconcilerError(f"{path}: {error}", hint=MEND) from error


def check_unchanged(path: Path, unlocked: FileIdentity | None) -> None:
    """See that nobody wrote to a database since it was opened as `unlocked`. Raises `LockHeld`."""
    if unlocked is None:
        return
    with translated(path, "looking at"):
        if identity_of(path) != unlocked:
            raise LockHeld(
                f"another process has written to {path} while it was read", hint="run again"
            )


def _is_full(path: Path) -> bool:
    # A page is the least that SQLite writes.
    return free_bytes(path.parent) < 4096
