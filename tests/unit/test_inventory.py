"""The inventory: what is kept outlives crashes, full disks and other versions."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from reconciler.adapters.store.inventory import Inventory
from reconciler.adapters.store.schema import SCHEMA_VERSION
from reconciler.core.generations import Generation
from reconciler.core.ledger import Ledger, LedgerModel
from reconciler.core.names import ModelId
from reconciler.core.rollout import Rollout
from reconciler.core.runs import Outcome, RunReport
from reconciler.errors import DiskFull, LockHeld, ReconcilerError, Refused
from tests.support.small_disk import fill, needs_root, small_disk
from tests.support.users import ordinary_folder

PROJECT = Path(__file__).parents[2]
LEDGER = Ledger(models={ModelId("a"): LedgerModel(id=ModelId("a"), files=())}, device=7)


def open_inventory(folder: Path, *, for_writing: bool = True) -> closing[Inventory]:
    """Open the inventory of a state folder until the block ends."""
    return closing(Inventory(folder, for_writing=for_writing))


def rollout(run: str = "run") -> Rollout:
    """Give a rollout that has begun."""
    return Rollout(
        run=run,
        desired_digest="d",
        moves=(),
        disposals=(),
        config_before=None,
        config_after="models: {}\n",
        tells=True,
        listed_before=("a",),
        changes_lock=True,
        lock_before=None,
        lock_after="{}",
        ledger_before=Ledger(),
        ledger_after=LEDGER,
    )


def names(folder: Path) -> list[str]:
    """Give what lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_everything_is_there_again_when_it_is_opened_anew(tmp_path: Path) -> None:
    """Ledger, rollout and runs outlive the process, and the copy says what the ledger says."""
    report = RunReport(run="r1", started_at="2026-01-01", outcome=Outcome.PARTIAL, failed=("a",))
    with open_inventory(tmp_path) as inventory:
        assert inventory.load_ledger() == Ledger()
        assert inventory.load_rollout() is None
        inventory.save_ledger(LEDGER)
        inventory.save_rollout(rollout())
        inventory.record_run(report)
    for for_writing in (True, False):
        with open_inventory(tmp_path, for_writing=for_writing) as inventory:
            assert inventory.load_ledger() == LEDGER
            assert inventory.load_rollout() == rollout()
            assert inventory.last_runs(5) == (report,)
    assert json.loads((tmp_path / "ledger.json").read_text())["device"] == 7
    assert names(tmp_path) == ["inventory.db", "last_sync_metadata.json", "ledger.json"]


def test_rollout_ends_and_its_ledger_begins_in_one_step(tmp_path: Path) -> None:
    """Where the ledger that a rollout ends in cannot be kept, the rollout is not forgotten."""
    with open_inventory(tmp_path) as inventory:
        inventory.save_rollout(rollout())
        broken = Ledger(config_path=object())  # type: ignore[arg-type]  # nothing JSON can hold
        with pytest.raises(ReconcilerError):
            inventory.end_rollout(broken)
        assert inventory.load_rollout() == rollout()
        inventory.end_rollout(LEDGER)
        assert (inventory.load_rollout(), inventory.load_ledger()) == (None, LEDGER)


def test_copy_is_never_behind_the_inventory(tmp_path: Path) -> None:
    """Where the copy cannot be written, neither is the inventory: the next run writes both."""
    with open_inventory(tmp_path) as inventory:
        (tmp_path / "ledger.json").mkdir()
        with pytest.raises(ReconcilerError):
            inventory.save_ledger(LEDGER)
        assert inventory.load_ledger() == Ledger()
        (tmp_path / "ledger.json").rmdir()
        inventory.save_ledger(LEDGER)
        assert inventory.load_ledger() == LEDGER


def test_reading_where_nothing_is_makes_nothing(tmp_path: Path) -> None:
    """Before the first run a plan reads an empty inventory, and leaves the folder as it is."""
    with open_inventory(tmp_path, for_writing=False) as inventory:
        assert inventory.load_ledger() == Ledger()
        assert inventory.last_runs(1) == ()
    assert names(tmp_path) == []


def test_inventory_cut_short_while_it_was_made_is_empty(tmp_path: Path) -> None:
    """An empty file, as a kill at the very first moment leaves it, reads as nothing yet, and the
    next run makes it whole.
    """
    (tmp_path / "inventory.db").touch()
    with open_inventory(tmp_path, for_writing=False) as inventory:
        assert inventory.load_ledger() == Ledger()
        assert inventory.load_rollout() is None
    with open_inventory(tmp_path) as inventory:
        inventory.save_ledger(LEDGER)
    with open_inventory(tmp_path) as inventory:
        assert inventory.load_ledger() == LEDGER


def test_damaged_inventory_is_told_with_the_way_out(tmp_path: Path) -> None:
    """A file that is no database is an error that says what moving it away would mean."""
    (tmp_path / "inventory.db").write_bytes(b"no database at all, but long enough to be one" * 20)
    for for_writing in (True, False):
        with pytest.raises(ReconcilerError, match=r"inventory\.db") as caught:
            Inventory(tmp_path, for_writing=for_writing)
        assert "move it aside" in caught.value.hint


def test_nonsense_inside_is_told_too(tmp_path: Path) -> None:
    """A ledger that does not read as one is an error of ours, not a traceback."""
    with open_inventory(tmp_path) as inventory:
        inventory.save_ledger(LEDGER)
    with closing(sqlite3.connect(tmp_path / "inventory.db")) as database, database:
        database.execute("UPDATE document SET body = '{\"models\": 3}'")
    with (
        open_inventory(tmp_path) as inventory,
        pytest.raises(ReconcilerError, match="nonsense"),
    ):
        inventory.load_ledger()


def test_newer_schema_is_left_alone(tmp_path: Path) -> None:
    """An inventory of a newer version is refused and not changed by a byte."""
    with open_inventory(tmp_path):
        pass
    path = tmp_path / "inventory.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    for for_writing in (True, False):
        with pytest.raises(ReconcilerError, match="newer version"):
            Inventory(tmp_path, for_writing=for_writing)
    assert path.read_bytes() == before


def test_database_that_another_process_holds_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A locked inventory is told as such; nobody is advised to move it away."""
    monkeypatch.setattr("reconciler.adapters.store.inventory._PATIENCE_SECONDS", 0.0)
    with open_inventory(tmp_path) as inventory, open_inventory(tmp_path) as other:
        other._database.execute("BEGIN IMMEDIATE")
        with pytest.raises(LockHeld, match="another process") as caught:
            inventory.save_ledger(LEDGER)
        assert "aside" not in caught.value.hint


def test_database_written_while_it_is_read_is_no_damage(tmp_path: Path) -> None:
    """A reader without locks meets pages of two states when a run writes meanwhile: it is told to
    look again, and nobody to move the inventory away.
    """
    many = {ModelId(f"m{number}"): f"{number:064x}" for number in range(6000)}
    models = {key: LedgerModel(id=key, files=(), source=text) for key, text in many.items()}
    with open_inventory(tmp_path) as inventory:
        inventory.save_ledger(Ledger(models=models, device=7))
    with open_inventory(tmp_path, for_writing=False) as reader:
        assert reader.count_models() == 6000
        with open_inventory(tmp_path) as inventory:
            inventory.save_ledger(Ledger(models=dict(list(models.items())[:4000]), device=7))
        with pytest.raises(LockHeld, match="while it was read") as caught:
            reader.load_ledger()
        assert caught.value.hint == "run again"


WRITER = """
import os, signal, sys
from pathlib import Path
from reconciler.adapters.store.inventory import Inventory
from reconciler.core.ledger import Ledger
inventory = Inventory(Path(sys.argv[1]), for_writing=True)
inventory.save_ledger(Ledger(device=1))
inventory.save_ledger(Ledger(device=2))
inventory._database.execute("BEGIN IMMEDIATE")
inventory._put("ledger", {"half": True})
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_writer(folder: Path) -> None:
    """Let a process write, and be killed in the middle of its last transaction."""
    process = subprocess.run(
        [sys.executable, "-c", WRITER, str(folder)],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    assert "inventory.db-wal" in names(folder)


@pytest.mark.parametrize("for_writing", [False, True])
def test_killed_writer_leaves_its_last_whole_transaction(tmp_path: Path, for_writing: bool) -> None:
    """What was written before the kill is there, what was half written is not; for readers too."""
    killed_writer(tmp_path)
    with open_inventory(tmp_path, for_writing=for_writing) as inventory:
        assert inventory.load_ledger() == Ledger(device=2)


def test_reading_what_a_killed_writer_left_changes_no_file_of_its(tmp_path: Path) -> None:
    """A plan after a crash reads database and log, and writes into neither."""
    killed_writer(tmp_path)
    whole = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    with open_inventory(tmp_path, for_writing=False) as inventory:
        inventory.load_ledger()
    assert names(tmp_path) == sorted(whole)
    for name in ("inventory.db", "inventory.db-wal", "ledger.json"):
        assert (tmp_path / name).read_bytes() == whole[name]


def test_inventory_copied_without_its_log_is_still_read(tmp_path: Path) -> None:
    """A backup of the database alone gives what had reached it."""
    state = tmp_path / "state"
    state.mkdir()
    with open_inventory(state) as inventory:
        inventory.save_ledger(LEDGER)
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(state / "inventory.db", copy)
    with open_inventory(copy, for_writing=False) as inventory:
        assert inventory.load_ledger() == LEDGER


def test_first_runs_at_the_same_time_make_one_inventory(tmp_path: Path) -> None:
    """Several processes that open a new inventory at once all succeed."""
    code = (
        "import sys; from pathlib import Path;"
        "from reconciler.adapters.store.inventory import Inventory;"
        "Inventory(Path(sys.argv[1]), for_writing=True).close()"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            stderr=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    errors = [process.communicate()[1].decode() for process in processes]
    assert errors == [""] * 4
    with open_inventory(tmp_path) as inventory:
        assert inventory.load_ledger() == Ledger()


def test_newest_runs_come_first(tmp_path: Path) -> None:
    """Runs are told newest first, and no more than asked for. One that ran while the clock was
    years ahead has its place among them: it would stay the last one until that day.
    """
    with open_inventory(tmp_path) as inventory:
        for number, year in ((1, 2026), (2, 2038), (3, 2026)):
            inventory.record_run(RunReport(run=f"r{number}", started_at=f"{year}-01-01"))
        assert [report.run for report in inventory.last_runs(2)] == ["r3", "r2"]


def test_runs_of_years_do_not_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch runs every few minutes: the oldest runs are dropped, but for those that made a
    generation that is still kept.
    """
    monkeypatch.setattr("reconciler.adapters.store.inventory._MOST_RUNS", 3)
    with open_inventory(tmp_path) as inventory:
        made = Generation(run="r1", applied_at="2026", lock_digest="l", config_digest="c")
        inventory.end_rollout(Ledger(), made)
        for number in range(1, 7):
            inventory.record_run(RunReport(run=f"r{number}", started_at="2026"))
        assert [report.run for report in inventory.last_runs(9)] == ["r6", "r5", "r4", "r1"]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of its own with a little room."""
    with small_disk(tmp_path / "tiny", size="512k") as folder:
        yield folder


@needs_root
def test_full_disk_is_told_as_such_and_loses_nothing(tiny_disk: Path) -> None:
    """With no room left every write says so, and what was kept before is still there."""
    with open_inventory(tiny_disk) as inventory:
        inventory.save_ledger(LEDGER)
        filler = fill(tiny_disk)
        report = RunReport(run="r1", started_at="2026", message="x" * 100_000)
        with pytest.raises(DiskFull, match="no room"):
            inventory.record_run(report)
        with pytest.raises(DiskFull, match="no room"):
            inventory.save_ledger(Ledger())
        assert inventory.load_ledger() == LEDGER
        filler.unlink()
        inventory.record_run(report)


@needs_root
def test_opening_on_a_full_disk_never_advises_to_move_the_inventory(tiny_disk: Path) -> None:
    """What cannot even be opened for want of room is a full disk, not a damaged file; what is in
    it can still be read.
    """
    with open_inventory(tiny_disk) as inventory:
        inventory.save_ledger(LEDGER)
    fill(tiny_disk)
    with pytest.raises(DiskFull) as caught, open_inventory(tiny_disk) as inventory:
        inventory.save_ledger(Ledger())
    assert "aside" not in caught.value.hint
    with open_inventory(tiny_disk, for_writing=False) as inventory:
        assert inventory.load_ledger() == LEDGER


@needs_root
def test_root_gives_the_inventory_to_the_owner_of_its_folder(tmp_path: Path) -> None:
    """After a run as root the folder's owner can go on without."""
    os.chown(tmp_path, 12345, 23456)
    with open_inventory(tmp_path) as inventory:
        inventory.save_ledger(LEDGER)
        owners = {(p.stat().st_uid, p.stat().st_gid) for p in tmp_path.iterdir()}
    assert owners == {(12345, 23456)}


def test_inventory_that_may_not_be_written_is_no_damage() -> None:
    """Without the right to write, the hint is about rights."""
    with ordinary_folder() as folder:
        with open_inventory(folder):
            pass
        (folder / "inventory.db").chmod(0o400)
        folder.chmod(0o500)
        try:
            with pytest.raises(Refused), open_inventory(folder) as inventory:
                inventory.save_ledger(LEDGER)
        finally:
            folder.chmod(0o700)
