"""Tables on the models of the ledger, for queries: derived, and rewritten with what they are from.

The ledger itself stays one document. Here it is spread out, with what the files say of themselves.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable
from typing import Final

from reconciler.core.catalogue import Listed, catalogue
from reconciler.core.gguf.facts import GgufFacts
from reconciler.core.gguf.facts_text import facts_from_json
from reconciler.core.ledger import Ledger
from reconciler.core.ledger_text import ledger_from_json
from reconciler.core.names import ModelId, RelPath, Sha256

_TABLES: Final = (
    """
    CREATE TABLE model (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        source TEXT NOT NULL,
        repository TEXT NOT NULL,
        architecture TEXT,
        quant TEXT,
        context_length INTEGER,
        size_bytes INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE model_file (
        model INTEGER NOT NULL REFERENCES model (number) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        path TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        provenance TEXT NOT NULL,
        PRIMARY KEY (model, position)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX model_file_path ON model_file (path)",
    "CREATE INDEX model_file_sha256 ON model_file (sha256)",
    # `rowid` is the model's number. Short prefixes are what people type first.
    """
    CREATE VIRTUAL TABLE model_words USING fts5 (
        names, aliases, architecture, quant, repository, tags,
        tokenize = 'unicode61 remove_diacritics 2', prefix = '1 2 3'
    )
    """,
)


def make_model_tables(database: sqlite3.Connection) -> None:
    """Make the tables anew, and fill them, inside the transaction under way."""
    for table in ("model_file", "model", "model_words"):
        database.execute(f"DROP TABLE IF EXISTS {table}")
    for statement in _TABLES:
        database.execute(statement)
    rewrite_models(database)


def load_facts(
    database: sqlite3.Connection, digests: Collection[Sha256] | None = None
) -> dict[Sha256, GgufFacts]:
    """Give what is known of contents, by digest: of all where none are named."""
    rows: Iterable[tuple[str, str]]
    if digests is None:
        rows = database.execute("SELECT sha256, facts FROM content WHERE facts IS NOT NULL")
    else:
        asked = "SELECT sha256, facts FROM content WHERE facts IS NOT NULL AND sha256 = ?"
        found = (database.execute(asked, (digest,)).fetchone() for digest in digests)
        rows = (row for row in found if row is not None)
    return {Sha256(row[0]): facts_from_json(json.loads(row[1])) for row in rows}


def rewrite_models(database: sqlite3.Connection) -> None:
    """Write the tables anew from the ledger and the contents, inside the transaction under way."""
    row = database.execute("SELECT body FROM document WHERE name = 'ledger'").fetchone()
    ledger = ledger_from_json(json.loads(row[0])) if row is not None else Ledger()
    database.execute("DELETE FROM model")
    database.execute("DELETE FROM model_words")
    listed = catalogue(ledger, load_facts(database))
    for number, item in enumerate(listed, start=1):
        paths = [path for path in ledger.models[ModelId(item.model)].files if path in ledger.files]
        repository = _repository(paths)
        database.execute(
            "INSERT INTO model (number, id, source, repository, architecture, quant,"
            " context_length, size_bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                item.model,
                item.source,
                repository,
                item.architecture,
                item.quant,
                item.context_length,
                item.size_bytes,
            ),
        )
        database.executemany(
            "INSERT INTO model_file (model, position, path, sha256, size_bytes, provenance)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [
                (number, position, path, file.sha256, file.size_bytes, file.provenance)
                for position, path in enumerate(paths)
                for file in (ledger.files[path],)
            ],
        )
        database.execute(
            "INSERT INTO model_words (rowid, names, aliases, architecture, quant, repository, tags)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (number, *_words(item, repository)),
        )


def _words(item: Listed, repository: str) -> tuple[str, ...]:
    return (
        f"{item.model} {item.name or ''}",
        " ".join(item.aliases),
        item.architecture or "",
        item.quant or "",
        f"{repository} {item.source}",
        " ".join((*item.tags, item.size_label or "")),
    )


def _repository(paths: list[RelPath]) -> str:
    """Give the repository whose files these are: the folders that every source is laid out in."""
    parts = paths[0].split("/") if paths else []
    return "/".join(parts[:2]) if len(parts) > 2 else ""
