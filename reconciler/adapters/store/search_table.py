"""Full-text search over the models of the ledger, in the tables that are derived from it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from reconciler.core.matches import Match, Matches

# What a word counts in each column of `model_words`: a model's name over all else.
_RANKED: Final = "bm25(100.0, 50.0, 5.0, 5.0, 3.0, 1.0)"
# Nothing but the rows that are shown is looked up: thousands may match.
_FIND: Final = """
    SELECT model.id, architecture, quant, context_length, size_bytes, source,
        (SELECT count(*) FROM model_file WHERE model_file.model = model.number)
    FROM (
        SELECT rowid AS number, rank FROM model_words
        WHERE model_words MATCH ? AND rank MATCH ? ORDER BY rank LIMIT ?
    ) AS found JOIN model ON model.number = found.number
    ORDER BY found.rank, model.number
"""


def find_models(database: sqlite3.Connection, words: Sequence[str], *, limit: int) -> Matches:
    """Find the models that have every word; see `Inventory.search`."""
    query = _query(words)
    if not query:
        return Matches()
    rows = database.execute(_FIND, (query, _RANKED, limit)).fetchall()
    best = tuple(
        Match(
            model=row[0],
            architecture=row[1],
            quant=row[2],
            context_length=row[3],
            size_bytes=row[4],
            source=row[5],
            files=row[6],
        )
        for row in rows
    )
    if len(best) < limit:
        return Matches(best=best, count=len(best))
    (count,) = database.execute(
        "SELECT count(*) FROM model_words WHERE model_words MATCH ?", (query,)
    ).fetchone()
    return Matches(best=best, count=count)


def _query(words: Sequence[str]) -> str:
    """Quote every word, for none is meant as syntax; one without a letter or digit says nothing.

    SQLite ends a text at a zero character, and takes none that is not Unicode.
    """
    whole = (word.encode(errors="replace").decode() for word in words)
    plain = [word.replace('"', " ").replace("\0", " ") for word in whole]
    return " AND ".join(f'"{word}"*' for word in plain if any(map(str.isalnum, word)))
