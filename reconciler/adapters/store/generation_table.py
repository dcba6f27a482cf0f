"""The newest generations, each with the ledger it was applied with."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Mapping
from typing import Any

from reconciler.core.generations import GENERATIONS_KEPT, Generation
from reconciler.core.ledger import Ledger
from reconciler.core.ledger_text import ledger_from_json


def keep_generation(
    database: sqlite3.Connection, generation: Generation, ledger: Mapping[str, Any]
) -> None:
    """Add one, inside the transaction under way, and drop what is older than the newest ones."""
    # A rollout that is carried on after a kill ends once more.
    database.execute(
        "INSERT INTO generation (run, applied_at, lock_digest, config_digest, ledger)"
        " VALUES (?, ?, ?, ?, ?) ON CONFLICT (run) DO NOTHING",
        (
            generation.run,
            generation.applied_at,
            generation.lock_digest,
            generation.config_digest,
            zlib.compress(json.dumps(ledger).encode()),
        ),
    )
    database.execute(
        "DELETE FROM generation WHERE number <= (SELECT max(number) FROM generation) - ?",
        (GENERATIONS_KEPT,),
    )


def last_generations(database: sqlite3.Connection, count: int) -> tuple[Generation, ...]:
    """Give the newest `count` generations, newest first."""
    rows = database.execute(
        "SELECT number, run, applied_at, lock_digest, config_digest FROM generation"
        " ORDER BY number DESC LIMIT ?",
        (count,),
    ).fetchall()
    names = ("number", "run", "applied_at", "lock_digest", "config_digest")
    return tuple(Generation(**dict(zip(names, row, strict=True))) for row in rows)


def ledger_of(database: sqlite3.Connection, number: int) -> Ledger | None:
    """Give the ledger of a generation, None where it is not kept any more."""
    row = database.execute("SELECT ledger FROM generation WHERE number = ?", (number,)).fetchone()
    return ledger_from_json(json.loads(zlib.decompress(row[0]))) if row is not None else None
