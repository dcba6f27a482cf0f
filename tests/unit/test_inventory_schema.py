"""The inventory's tables: brought up to date from any version, and in step with each other."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from reconciler.adapters.store.digest_table import DigestTable, make_digest_table
from reconciler.adapters.store.inventory import Inventory
from reconciler.adapters.store.schema import SCHEMA_VERSION, version_of
from reconciler.core.generations import GENERATIONS_KEPT, Generation
from reconciler.core.gguf.facts import GgufFacts
from reconciler.core.gguf.facts_text import facts_from_json, facts_to_json
from reconciler.core.identity import FileIdentity
from reconciler.core.ledger import Ledger, LedgerFile, LedgerModel, Provenance
from reconciler.core.names import Blake3, ModelId, RelPath, Sha256
from reconciler.core.ports.digests import Digests
from reconciler.core.runs import Outcome, SyncMode
from reconciler.errors import ReconcilerError

CONTENT = Sha256("a" * 64)
PATH = RelPath("acme/chat-GGUF/chat-Q4_K_M.gguf")
IDENTITY = FileIdentity(device=1, inode=2, size_bytes=3, mtime_ns=4)
DIGESTS = Digests(sha256=CONTENT, blake3=Blake3("b" * 64), size_bytes=3)
# As the first version wrote it.
FIRST = """
CREATE TABLE document (name TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;
CREATE TABLE run (
    run TEXT PRIMARY KEY, started_at TEXT NOT NULL, outcome TEXT NOT NULL, report TEXT NOT NULL
) STRICT;
CREATE INDEX run_started ON run (started_at);
CREATE TABLE digest (
    device INTEGER NOT NULL, inode INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, sha256 TEXT NOT NULL, blake3 TEXT NOT NULL,
    PRIMARY KEY (device, inode)
) STRICT, WITHOUT ROWID;
INSERT INTO document VALUES ('ledger', '{"models": [{"id": "chat", "files":
    ["acme/chat-GGUF/chat-Q4_K_M.gguf"], "entry": null, "protect": false}], "files":
    [{"path": "acme/chat-GGUF/chat-Q4_K_M.gguf", "size_bytes": 3, "sha256": "SHA",
    "provenance": "brought"}], "scaffold": {"models_key": false, "models_value": null},
    "config_path": null, "container": "", "device": 7, "reload_pending": false,
    "stalled": null, "stalled_reason": ""}');
INSERT INTO run VALUES ('r1', '2026-01-01', 'applied', '{"run": "r1", "started_at": "2026-01-01",
    "finished_at": "2026-01-01", "outcome": "applied", "added": ["chat"], "updated": [],
    "removed": [], "failed": [], "waiting": [], "fetched_bytes": 3, "reused_bytes": 0,
    "downtime_seconds": 0.0, "message": "", "log_lines": []}');
INSERT INTO digest VALUES (1, 2, 3, 4, 'SHA', 'BLAKE');
PRAGMA user_version = 1;
""".replace("SHA", CONTENT).replace("BLAKE", DIGESTS.blake3)


@pytest.fixture
def inventory(tmp_path: Path) -> Iterator[Inventory]:
    """A new inventory."""
    with closing(Inventory(tmp_path, for_writing=True)) as opened:
        yield opened


def ledger(*models: str) -> Ledger:
    """Give a ledger of models that share one file."""
    file = LedgerFile(path=PATH, size_bytes=3, sha256=CONTENT, provenance=Provenance.BROUGHT)
    return Ledger(
        models={
            ModelId(name): LedgerModel(id=ModelId(name), files=(PATH,), source="acme/chat-GGUF")
            for name in models
        },
        files={PATH: file},
        device=7,
    )


def rows(inventory: Inventory, query: str) -> list[tuple[Any, ...]]:
    """Ask the database itself."""
    return inventory._database.execute(query).fetchall()


def make_first_version(folder: Path) -> Path:
    """Write an inventory as the first version did."""
    path = folder / "inventory.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(FIRST)
    return path


@pytest.mark.parametrize("for_writing", [True, False])
def test_first_version_is_read_whole(tmp_path: Path, for_writing: bool) -> None:
    """All that an older version has kept is there, and found by what is new."""
    make_first_version(tmp_path)
    with closing(Inventory(tmp_path, for_writing=for_writing)) as inventory:
        assert list(inventory.load_ledger().models) == ["chat"]
        assert inventory.last_runs(1)[0].added == ("chat",)
        assert inventory.digests.find(IDENTITY) == DIGESTS
        assert inventory.digests.segments(CONTENT) is None
        assert inventory.digests.hashed_at(IDENTITY) is None
        assert inventory.search(["chat"], limit=5).count == 1


def test_reading_an_older_version_changes_no_byte(tmp_path: Path) -> None:
    """A dry run looks at an older inventory through a copy in memory."""
    path = make_first_version(tmp_path)
    before = path.read_bytes()
    with closing(Inventory(tmp_path, for_writing=False)) as inventory:
        inventory.load_ledger()
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["inventory.db"]


def test_writing_brings_it_up_to_date_once(tmp_path: Path) -> None:
    """The next opening finds the newest version and keeps what is in it."""
    make_first_version(tmp_path)
    for _ in range(2):
        with closing(Inventory(tmp_path, for_writing=True)) as inventory:
            assert version_of(inventory._database) == SCHEMA_VERSION
            assert inventory.count_models() == 1
            assert (
                rows(inventory, "SELECT name FROM sqlite_schema WHERE name = 'run_started'") == []
            )


def test_runs_are_read_along_their_order(inventory: Inventory) -> None:
    """However many there are and were asked for, nothing is sorted, and no index need be kept."""
    asked: list[str] = []
    inventory._database.set_trace_callback(asked.append)
    inventory.last_runs(5, outcomes=(Outcome.APPLIED,), mode=SyncMode.FULL)
    inventory._database.set_trace_callback(None)
    (query,) = asked
    plan = [row[-1] for row in rows(inventory, f"EXPLAIN QUERY PLAN {query}")]
    assert plan == ["SCAN run"]


def test_migration_that_fails_leaves_the_old_version(tmp_path: Path) -> None:
    """It is one transaction: a ledger that cannot be read stops all of it."""
    path = make_first_version(tmp_path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE document SET body = '[]'")
    with pytest.raises(ReconcilerError, match="nonsense"):
        Inventory(tmp_path, for_writing=True)
    with closing(sqlite3.connect(path)) as database:
        assert version_of(database) == 1
        assert "generation" not in {
            row[0] for row in database.execute("SELECT name FROM sqlite_schema")
        }


def test_models_are_in_step_with_the_ledger(inventory: Inventory) -> None:
    """What is derived says what the ledger says, after each save and after a rollout."""
    inventory.save_ledger(ledger("one", "two"))
    assert rows(inventory, "SELECT id, repository FROM model ORDER BY id") == [
        ("one", "acme/chat-GGUF"),
        ("two", "acme/chat-GGUF"),
    ]
    assert rows(inventory, "SELECT DISTINCT path, provenance FROM model_file") == [
        (PATH, "brought")
    ]
    inventory.end_rollout(ledger("two"))
    assert (inventory.count_models(), inventory.search(["one"], limit=5).count) == (1, 0)
    assert rows(inventory, "SELECT count(*) FROM model_file") == [(1,)]


def test_facts_are_kept_by_content_and_found(inventory: Inventory) -> None:
    """What a file says is known under every name of its bytes, and can be searched at once."""
    facts = GgufFacts(architecture="qwen3", name="Été", context_length=4096)
    inventory.save_ledger(ledger("one", "two"))
    inventory.contents.record({CONTENT: (3, facts), Sha256("c" * 64): (9, None)})
    assert inventory.contents.facts() == {CONTENT: facts}
    assert inventory.contents.known() == {CONTENT, Sha256("c" * 64)}
    assert {match.model for match in inventory.search(["qwen"], limit=5).best} == {"one", "two"}
    inventory.save_ledger(ledger("two"))
    assert [match.model for match in inventory.search(["ete"], limit=5).best] == ["two"]


def test_facts_survive_their_text(inventory: Inventory) -> None:
    """Every fact comes back as it was, and what is unknown or of another kind says nothing."""
    assert inventory is not None
    facts = GgufFacts(
        architecture="llama",
        head_counts=(8, 8, 4),
        expert_count=0,
        sees_pictures=True,
        split_number=0,
    )
    assert facts_from_json(facts_to_json(facts)) == facts
    odd = {"architecture": 7, "head_counts": [1, "x"], "sees_pictures": 1, "new": "x", "name": "n"}
    assert facts_from_json({**odd, "block_count": True}) == GgufFacts(name="n")


def test_time_of_hashing_comes_back_in_utc(inventory: Inventory) -> None:
    """When a file was read is kept with its digests, for exactly this identity."""
    when = datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2)))
    inventory.digests.record([(IDENTITY, DIGESTS)], hashed_at=when)
    assert inventory.digests.hashed_at(IDENTITY) == when
    assert rows(inventory, "SELECT hashed_at FROM digest") == [("2026-01-02T01:00:00+00:00",)]
    other = FileIdentity(device=1, inode=2, size_bytes=3, mtime_ns=5)
    assert inventory.digests.hashed_at(other) is None


def test_table_of_digests_alone_gets_what_it_lacks(tmp_path: Path) -> None:
    """The user's cache of an older version is used on, with its rows."""
    with closing(sqlite3.connect(":memory:")) as database:
        first = FIRST[FIRST.index("CREATE TABLE digest") : FIRST.index("INSERT INTO document")]
        database.executescript(first)
        make_digest_table(database)
        table = DigestTable(database, tmp_path)
        when = datetime(2026, 1, 2, tzinfo=UTC)
        table.record([(IDENTITY, DIGESTS)], hashed_at=when)
        assert (table.find(IDENTITY), table.hashed_at(IDENTITY)) == (DIGESTS, when)


def test_newest_generations_are_kept_each_once(inventory: Inventory) -> None:
    """A state that was applied is numbered and kept with its ledger; the oldest ones go."""
    for number in range(1, GENERATIONS_KEPT + 3):
        generation = Generation(
            run=f"r{number}", applied_at="2026", lock_digest="l", config_digest="c"
        )
        # A rollout that is carried on after a kill ends twice.
        for _ in range(2):
            inventory.end_rollout(ledger(f"m{number}"), generation)
    kept = inventory.last_generations(100)
    assert [item.number for item in kept] == list(range(GENERATIONS_KEPT + 2, 2, -1))
    assert kept[0].run == f"r{GENERATIONS_KEPT + 2}"
    assert inventory.ledger_of(kept[-1].number) == ledger("m3")
    assert inventory.ledger_of(2) is None
