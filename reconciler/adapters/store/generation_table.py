"""The newest generations, each with the ledger it was applied with and what it was made of."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Mapping
from typing import Any

from reconciler.core.generations import (
    Generation,
    GenerationState,
    state_from_json,
    state_to_json,
)
from reconciler.core.ledger import Ledger
from reconciler.core.ledger_text import ledger_from_json

_COLUMNS = (
    "number",
    "run",
    "applied_at",
    "lock_digest",
    "config_digest",
    "found_digest",
    "returned_to",
    "is_whole",
)


def keep_generation(
    database: sqlite3.Connection, generation: Generation, ledger: Mapping[str, Any], *, keep: int
) -> None:
    """Add one, inside the transaction under way, and drop all but the newest `keep`."""
    state = generation.state
    # A rollout that is carried on after a kill ends once more.
    database.execute(
        "INSERT INTO generation (run, applied_at, lock_digest, config_digest, found_digest,"
        " returned_to, ledger, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run) DO NOTHING",
        (
            generation.run,
            generation.applied_at,
            generation.lock_digest,
            generation.config_digest,
            generation.found_digest,
            generation.returned_to,
            _packed(ledger),
            _packed(state_to_json(state)) if state is not None else None,
        ),
    )
    database.execute(
        "DELETE FROM generation WHERE number <= (SELECT max(number) FROM generation) - ?", (keep,)
    )


def last_generations(database: sqlite3.Connection, count: int) -> tuple[Generation, ...]:
    """Give the newest `count` generations, newest first, without their states."""
    rows = database.execute(
        "SELECT number, run, applied_at, lock_digest, config_digest, found_digest, returned_to,"
        " state IS NOT NULL FROM generation ORDER BY number DESC LIMIT ?",
        (count,),
    ).fetchall()
    return tuple(
        Generation(**{**dict(zip(_COLUMNS, row, strict=True)), "is_whole": bool(row[-1])})
        for row in rows
    )


def ledger_of(database: sqlite3.Connection, number: int) -> Ledger | None:
    """Give the ledger of a generation, None where it is not kept any more."""
    row = database.execute("SELECT ledger FROM generation WHERE number = ?", (number,)).fetchone()
    return ledger_from_json(_unpacked(row[0])) if row is not None else None


def state_of(database: sqlite3.Connection, number: int) -> GenerationState | None:
    """Give what a generation was made of, None where that is not kept."""
    row = database.execute("SELECT state FROM generation WHERE number = ?", (number,)).fetchone()
    return state_from_json(_unpacked(row[0])) if row is not None and row[0] is not None else None


def _packed(document: Mapping[str, Any]) -> bytes:
    return zlib.compress(json.dumps(document).encode())


def _unpacked(data: bytes) -> Any:
    return json.loads(zlib.decompress(data))
