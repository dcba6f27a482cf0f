"""What files say of themselves, by the digest of their bytes: one is read once, under any name."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping
from pathlib import Path

from reconciler.adapters.store.database import translated_sqlite
from reconciler.core.gguf.facts import GgufFacts
from reconciler.core.gguf.facts_text import facts_to_json
from reconciler.core.identity import FileIdentity
from reconciler.core.names import Sha256


class Contents:
    """The `content` table of an open inventory.

    All methods raise DiskFull, LockHeld, Refused or ReconcilerError where the database `path` names
    cannot be used. `unlocked` is as for `translated_sqlite`.
    """

    def __init__(
        self, database: sqlite3.Connection, path: Path, unlocked: FileIdentity | None = None
    ) -> None:
        self._database = database
        self._path = path
        self._unlocked = unlocked

    def facts(self) -> Mapping[Sha256, GgufFacts]:
        """Give what is known of all contents; those whose header could not be read are left out."""
        from reconciler.adapters.store.model_tables import load_facts

        with translated_sqlite(self._path, self._unlocked):
            return load_facts(self._database)

    def known(self) -> frozenset[Sha256]:
        """Give the digests of all contents that were read, whether they could be understood."""
        with translated_sqlite(self._path, self._unlocked):
            rows = self._database.execute("SELECT sha256 FROM content").fetchall()
        return frozenset(Sha256(row[0]) for row in rows)

    def facts_of(self, digests: Collection[Sha256]) -> Mapping[Sha256, GgufFacts]:
        """Give what is known of these contents, and could be understood."""
        from reconciler.adapters.store.model_tables import load_facts

        with translated_sqlite(self._path, self._unlocked):
            return load_facts(self._database, digests)

    def record(self, found: Mapping[Sha256, tuple[int, GgufFacts | None]]) -> None:
        """Keep what files say: by digest, the size in bytes and the facts.

        None stands for a header that cannot be read: it is not tried again. What models are found
        by is brought in step in the same transaction, so give what belongs together at once.
        """
        from reconciler.adapters.store.model_tables import rewrite_models

        with translated_sqlite(self._path, self._unlocked), self._database:
            self._database.executemany(
                "INSERT OR REPLACE INTO content (sha256, size_bytes, facts) VALUES (?, ?, ?)",
                [
                    (sha256, size_bytes, json.dumps(facts_to_json(facts)) if facts else None)
                    for sha256, (size_bytes, facts) in found.items()
                ],
            )
            rewrite_models(self._database)
