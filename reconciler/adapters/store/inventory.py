"""The inventory: one SQLite file beside the models, holding ledger, digests, runs and journal."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from reconciler.adapters.base.files import identity_of, own_like, translated, write_atomically
from reconciler.adapters.base.whole_file import read_whole
from reconciler.adapters.store.contents import Contents
from reconciler.adapters.store.database import MEND, check_unchanged, translated_sqlite
from reconciler.adapters.store.digest_table import DigestTable
from reconciler.adapters.store.generation_table import (
    keep_generation,
    last_generations,
    ledger_of,
    state_of,
)
from reconciler.adapters.store.schema import SCHEMA_VERSION, bring_up_to_date, version_of
from reconciler.adapters.store.search_table import find_models
from reconciler.core.generations import GENERATIONS_KEPT, Generation, GenerationState
from reconciler.core.gguf.seen import SeenHeader, headers_from_json, headers_to_json
from reconciler.core.identity import FileIdentity
from reconciler.core.ledger import Ledger
from reconciler.core.ledger_text import ledger_from_json, ledger_to_json
from reconciler.core.matches import Matches
from reconciler.core.rollout import Rollout, rollout_from_json, rollout_to_json
from reconciler.core.runs import (
    REPORT_FORMAT,
    Outcome,
    RunReport,
    SyncMode,
    report_from_json,
    report_to_json,
)
from reconciler.errors import InventoryDamaged, ReconcilerError

_PATIENCE_SECONDS = 30.0
# A watch records one every few minutes: these are months, in some megabytes.
_MOST_RUNS = 10_000
# It holds what a config held before us, and more.
_LARGEST_COPY_BYTES = 256 * 1024 * 1024


class Inventory:
    """An open inventory. Opened with `for_writing=False` it changes nothing, not even its folder.

    Every write is one transaction, synced before the method returns. An inventory of an older
    version is brought up to date: in place for writing, else in memory alone.

    Raises:
        InventoryDamaged: the file is no database any more.
        ReconcilerError: a newer version of the program wrote it.
        DiskFull: there is no room for a write.
        LockHeld, Refused: another process holds it, or has written to it while it was read; or we
            may not use it.
    """

    def __init__(
        self, state_folder: Path, *, for_writing: bool, lost: bool = False, check: bool = True
    ) -> None:
        """Open the one in `state_folder`; with `lost` it is read as if it were not there.

        The check for damage reads the whole file. Without it damage shows where it is met, if at
        all: enough for what is only shown, not for what is decided on.
        """
        self.path = state_folder / "inventory.db"
        self._ledger_copy = state_folder / "ledger.json"
        self._last_sync = state_folder / "last_sync_metadata.json"
        self._unlocked: FileIdentity | None = None
        with translated(self.path, "opening"), self._translated():
            if lost:
                self._database = _in_memory()
            elif for_writing:
                self._database = _open(self.path)
            else:
                self._database, self._unlocked = _open_for_reading(self.path)
        try:
            with self._translated():
                self._make_or_check(for_writing=for_writing, check=check)
        except BaseException:
            self._database.close()
            raise
        self.digests = DigestTable(self._database, self.path, self._unlocked)
        self.contents = Contents(self._database, self.path, self._unlocked)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def load_ledger(self) -> Ledger:
        """Give what was last applied.

        Before the first run, and where it is lost, the ledger is empty and names no device.
        """
        body = self._document("ledger")
        with self._translated():
            return ledger_from_json(body) if body is not None else Ledger()

    def ledger_hint(self) -> Ledger | None:
        """Give the copy of the ledger that lies beside the inventory, if it still reads as one.

        It may be of any age, and anybody may have edited it.
        """
        try:
            text = read_whole(self._ledger_copy, most_bytes=_LARGEST_COPY_BYTES)
            return ledger_from_json(json.loads(text))
        except (OSError, KeyError, TypeError, ValueError, AttributeError):
            return None

    def save_ledger(self, ledger: Ledger) -> None:
        """Keep `ledger`, and a copy of it beside the inventory."""
        document = ledger_to_json(ledger)
        self._copy_ledger(document)
        with self._translated(), self._database:
            self._put_ledger(document)

    def load_rollout(self) -> Rollout | None:
        """Give the rollout that an earlier run did not finish, if there is one."""
        body = self._document("rollout")
        with self._translated():
            return rollout_from_json(body) if body is not None else None

    def save_rollout(self, rollout: Rollout) -> None:
        """Write the rollout down before its first step, or its progress."""
        self._save("rollout", rollout_to_json(rollout))

    def end_rollout(
        self,
        ledger: Ledger,
        generation: Generation | None = None,
        *,
        keep: int = GENERATIONS_KEPT,
    ) -> None:
        """Forget the rollout and keep the ledger it ended in, in one transaction.

        `generation` is given where that is a newly applied state, and kept with them, as are the
        newest `keep`.
        """
        document = ledger_to_json(ledger)
        self._copy_ledger(document)
        with self._translated(), self._database:
            self._put_ledger(document)
            if generation is not None:
                keep_generation(self._database, generation, document, keep=keep)
            self._database.execute("DELETE FROM document WHERE name = 'rollout'")

    def last_generations(self, count: int) -> tuple[Generation, ...]:
        """Give the newest `count` states that were applied, newest first."""
        with self._translated():
            return last_generations(self._database, count)

    def ledger_of(self, number: int) -> Ledger | None:
        """Give the ledger of a generation, None where it is not kept any more."""
        with self._translated():
            return ledger_of(self._database, number)

    def state_of(self, number: int) -> GenerationState | None:
        """Give what a generation was made of, None where that is not kept."""
        with self._translated():
            return state_of(self._database, number)

    def count_models(self) -> int | None:
        """How many models the ledger has, without reading it; None where there is no ledger."""
        with self._translated():
            row = self._database.execute(
                "SELECT (SELECT count(*) FROM model) FROM document WHERE name = 'ledger'"
            ).fetchone()
            return int(row[0]) if row is not None else None

    def forget_digests(self, gone: Collection[FileIdentity]) -> None:
        """Forget the digests of files that are `gone`, and segments that no known file has.

        Only whoever deletes a file's last name knows that it is: a file that is not found may lie
        on a disk that is not mounted, or anywhere else.
        """
        if gone:
            ours = {file.sha256 for file in self.load_ledger().files.values()}
            self.digests.forget(gone, wanted=ours)

    def load_headers(self) -> Mapping[FileIdentity, SeenHeader]:
        """Give what is known of the headers of files that no model declares."""
        body = self._document("headers")
        with self._translated():
            return headers_from_json(body) if body is not None else {}

    def save_headers(self, headers: Mapping[FileIdentity, SeenHeader]) -> None:
        """Keep these, and no others."""
        self._save("headers", headers_to_json(headers))

    def load_check(self) -> datetime | None:
        """Give when the check of all files was begun that is not finished yet."""
        body = self._document("check")
        with self._translated():
            return datetime.fromisoformat(body) if body is not None else None

    def save_check(self, begun_at: datetime | None) -> None:
        """Keep when a check of all files was begun; None: it is finished."""
        self._save("check", begun_at.isoformat() if begun_at is not None else None)

    def record_run(self, report: RunReport) -> None:
        """Keep what a run did, and write it beside the inventory; very old ones are dropped."""
        document = report_to_json(report)
        with self._translated(), self._database:
            self._database.execute(
                "INSERT OR REPLACE INTO run (run, started_at, outcome, report) VALUES (?, ?, ?, ?)",
                (report.run, report.started_at, report.outcome, json.dumps(document)),
            )
            self._database.execute(
                "DELETE FROM run WHERE rowid <= (SELECT max(rowid) FROM run) - ?"
                " AND run NOT IN (SELECT run FROM generation)",
                (_MOST_RUNS,),
            )
        with translated(self._last_sync, "writing"):
            text = json.dumps({"format_version": REPORT_FORMAT, **document}, indent=2) + "\n"
            write_atomically(self._last_sync, text.encode(), like=self.path)

    def last_runs(
        self, count: int, *, outcomes: Collection[Outcome] = (), mode: SyncMode | None = None
    ) -> tuple[RunReport, ...]:
        """Give the newest `count` runs, newest first; with one of `outcomes`, in `mode`.

        The newest is the one recorded last, whatever the clock said when it ran.
        """
        tests = [f"outcome IN ({', '.join('?' * len(outcomes))})"] if outcomes else []
        tests += ["mode = ?"] if mode is not None else []
        where = f"WHERE {' AND '.join(tests)} " if tests else ""
        asked = [*outcomes, *([mode] if mode is not None else []), count]
        with self._translated():
            rows = self._database.execute(
                f"SELECT report FROM run {where}ORDER BY rowid DESC LIMIT ?",  # noqa: S608 - nothing in it was given
                asked,
            ).fetchall()
            return tuple(report_from_json(json.loads(row[0])) for row in rows)

    def each_run(self) -> Iterator[RunReport]:
        """Give every run, the newest first as `last_runs` does, each read when it is asked for."""
        with self._translated():
            for (text,) in self._database.execute("SELECT report FROM run ORDER BY rowid DESC"):
                yield report_from_json(json.loads(text))

    def search(self, words: Sequence[str], *, limit: int) -> Matches:
        """Find the models that have every one of `words`, the best `limit` of them.

        A word also stands for what begins with it, and nothing in it is syntax: `Q4_K` is found in
        `Q4_K_M`. Capitals and accents do not count.
        """
        with self._translated():
            return find_models(self._database, words, limit=limit)

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

    def _put_ledger(self, document: Mapping[str, Any]) -> None:
        from reconciler.adapters.store.model_tables import rewrite_models

        self._put("ledger", document)
        rewrite_models(self._database)

    def _copy_ledger(self, document: Mapping[str, Any]) -> None:
        """Come before the inventory: killed in between, the next run writes both once more."""
        with self._translated(), translated(self._ledger_copy, "writing"):
            text = json.dumps(document, indent=2, sort_keys=True) + "\n"
            write_atomically(self._ledger_copy, text.encode(), like=self.path)

    def _make_or_check(self, *, for_writing: bool, check: bool) -> None:
        version = version_of(self._database)
        if version > SCHEMA_VERSION:
            raise ReconcilerError(
                f"{self.path} was written by a newer version (schema {version})",
                hint="install that version, or a newer one",
            )
        if check:
            (sound,) = self._database.execute("PRAGMA quick_check(1)").fetchone()
            if sound != "ok":
                check_unchanged(self.path, self._unlocked)
                raise InventoryDamaged(f"{self.path} is damaged: {sound}", hint=MEND)
        if version < SCHEMA_VERSION:
            if not for_writing:
                self._take_into_memory()
            self._bring_up_to_date()

    def _take_into_memory(self) -> None:
        copy = _in_memory()
        self._database.backup(copy)
        self._database.close()
        self._database = copy

    def _bring_up_to_date(self) -> None:
        from reconciler.adapters.store.model_tables import make_model_tables

        with self._database:
            # Another process may have done it since we looked: now it can only wait for us.
            self._database.execute("BEGIN IMMEDIATE")
            if version_of(self._database) < SCHEMA_VERSION:
                bring_up_to_date(self._database)
                make_model_tables(self._database)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            with translated_sqlite(self.path, self._unlocked):
                yield
        except (KeyError, TypeError, ValueError) as error:
            check_unchanged(self.path, self._unlocked)
            raise ReconcilerError(f"{self.path} holds nonsense: {error!r}", hint=MEND) from error


def _open(path: Path) -> sqlite3.Connection:
    if not path.exists():
        path.touch()
        own_like(path, path.parent)
    # A watch loop applies from a thread of its own, and digests are told of by the threads that
    # fetch; only ever one at a time.
    database = sqlite3.connect(path, timeout=_PATIENCE_SECONDS, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        database.close()
        raise
    return database


def _open_for_reading(path: Path) -> tuple[sqlite3.Connection, FileIdentity | None]:
    """Open it, and give its identity where that is without locks."""
    if not path.exists():
        return _in_memory(), None
    seen = identity_of(path)
    # A reader of a WAL database makes a shared-memory file beside it. While nobody writes the log
    # is not there or empty, and the file can be read as immutable, leaving no trace.
    log = path.with_name(f"{path.name}-wal")
    unlocked = not (log.exists() and log.stat().st_size)
    database = sqlite3.connect(
        f"file:{_quoted(path)}?mode=ro{'&immutable=1' if unlocked else ''}",
        uri=True,
        timeout=_PATIENCE_SECONDS,
        check_same_thread=False,
    )
    return database, seen if unlocked else None


def _in_memory() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", check_same_thread=False)


def _quoted(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
