"""The inventory: one SQLite file beside the models, holding ledger, digests, runs and journal."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reconciler.adapters.base.files import own_like, translated, write_atomically
from reconciler.adapters.store.database import MEND, translated_sqlite
from reconciler.adapters.store.digest_table import SCHEMA as DIGEST_SCHEMA
from reconciler.adapters.store.digest_table import DigestTable
from reconciler.core.ledger import Ledger
from reconciler.core.ledger_text import ledger_from_json, ledger_to_json
from reconciler.core.rollout import Rollout, rollout_from_json, rollout_to_json
from reconciler.core.runs import Outcome, RunReport
from reconciler.errors import ReconcilerError

SCHEMA_VERSION = 1
_PATIENCE_SECONDS = 30.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS document (name TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS run (
    run TEXT PRIMARY KEY,
    started_at TEXT NOT NULL,
    outcome TEXT NOT NULL,
    report TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS run_started ON run (started_at);
"""
# A database that was cut short while it was made has version 0, and nothing in it.
_NOT_MADE = 0


class Inventory:
    """An open inventory. Opened with `for_writing=False` it changes nothing, not even its folder.

    Every write is one transaction, synced before the method returns.

    Raises:
        ReconcilerError: the file is damaged, or a newer version of the program wrote it.
        DiskFull: there is no room for a write.
        LockHeld, Refused: another process holds it, or we may not use it.
    """

    def __init__(self, state_folder: Path, *, for_writing: bool) -> None:
        self.path = state_folder / "inventory.db"
        self._ledger_copy = state_folder / "ledger.json"
        with translated(self.path, "opening"), self._translated():
            self._database = _open(self.path, for_writing=for_writing)
        try:
            with self._translated():
                self._make_or_check(for_writing=for_writing)
        except BaseException:
            self._database.close()
            raise
        self.digests = DigestTable(self._database, self.path)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def load_ledger(self) -> Ledger:
        """Give what was last applied; an empty ledger before the first run."""
        body = self._document("ledger")
        with self._translated():
            return ledger_from_json(body) if body is not None else Ledger()

    def save_ledger(self, ledger: Ledger) -> None:
        """Keep `ledger`, and a copy of it beside the inventory."""
        self._copy_ledger(ledger)
        self._save("ledger", ledger_to_json(ledger))

    def load_rollout(self) -> Rollout | None:
        """Give the rollout that an earlier run did not finish, if there is one."""
        body = self._document("rollout")
        with self._translated():
            return rollout_from_json(body) if body is not None else None

    def save_rollout(self, rollout: Rollout) -> None:
        """Write the rollout down before its first step, or its progress."""
        self._save("rollout", rollout_to_json(rollout))

    def end_rollout(self, ledger: Ledger) -> None:
        """Forget the rollout and keep the ledger it ended in, in one transaction."""
        self._copy_ledger(ledger)
        with self._translated(), self._database:
            self._put("ledger", ledger_to_json(ledger))
            self._database.execute("DELETE FROM document WHERE name = 'rollout'")

    def record_run(self, report: RunReport) -> None:
        """Keep what a run did."""
        with self._translated(), self._database:
            self._database.execute(
                "INSERT OR REPLACE INTO run VALUES (?, ?, ?, ?)",
                (report.run, report.started_at, report.outcome, json.dumps(asdict(report))),
            )

    def last_runs(self, count: int) -> tuple[RunReport, ...]:
        """Give the newest `count` runs, newest first."""
        with self._translated():
            rows = self._database.execute(
                "SELECT report FROM run ORDER BY started_at DESC, run DESC LIMIT ?", (count,)
            ).fetchall()
            return tuple(_report(json.loads(row[0])) for row in rows)

    def _document(self, name: str) -> Any:
        with self._translated():
            row = self._database.execute(
                "SELECT body FROM document WHERE name = ?", (name,)
            ).fetchone()
            return json.loads(row[0]) if row is not None else None

    def _save(self, name: str, body: Any) -> None:
        with self._translated(), self._database:
            self._put(name, body)

    def _put(self, name: str, body: Any) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO document VALUES (?, ?)", (name, json.dumps(body))
        )

    def _copy_ledger(self, ledger: Ledger) -> None:
        """Come before the inventory: killed in between, the next run writes both once more."""
        with self._translated(), translated(self._ledger_copy, "writing"):
            text = json.dumps(ledger_to_json(ledger), indent=2, sort_keys=True) + "\n"
            write_atomically(self._ledger_copy, text.encode(), like=self.path)

    def _make_or_check(self, *, for_writing: bool) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise ReconcilerError(
                f"{self.path} was written by a newer version (schema {version})",
                hint="install that version, or a newer one",
            )
        if version != _NOT_MADE:
            return
        if not for_writing:
            self._database.close()
            self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.executescript(
            f"BEGIN IMMEDIATE;{_SCHEMA}{DIGEST_SCHEMA}PRAGMA user_version = {SCHEMA_VERSION};COMMIT"
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            with translated_sqlite(self.path):
                yield
        except (KeyError, TypeError, ValueError) as error:
            raise ReconcilerError(f"{self.path} holds nonsense: {error!r}", hint=MEND) from error


def _open(path: Path, *, for_writing: bool) -> sqlite3.Connection:
    if for_writing:
        if not path.exists():
            path.touch()
            own_like(path, path.parent)
        # A watch loop applies from a thread of its own, and digests are told of by the threads that
        # fetch; only ever one at a time.
        database = sqlite3.connect(path, timeout=_PATIENCE_SECONDS, check_same_thread=False)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
        except BaseException:
            database.close()
            raise
        return database
    if not path.exists():
        return sqlite3.connect(":memory:", check_same_thread=False)
    # A reader of a WAL database makes a shared-memory file beside it. While nobody writes the log
    # is not there or empty, and the file can be read as immutable, leaving no trace.
    log = path.with_name(f"{path.name}-wal")
    mode = "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"
    return sqlite3.connect(
        f"file:{_quoted(path)}?{mode}",
        uri=True,
        timeout=_PATIENCE_SECONDS,
        check_same_thread=False,
    )


def _quoted(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _report(document: dict[str, Any]) -> RunReport:
    lists = ("added", "updated", "removed", "failed", "waiting", "log_lines")
    return RunReport(
        **{
            **document,
            **{key: tuple(document[key]) for key in lists},
            "outcome": Outcome(document["outcome"]),
        }
    )
