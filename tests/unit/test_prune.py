"""What is deleted for good, and what never is: by age, for room, or because somebody asks."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.adapters.store.models_folder import ModelsFolder
from reconciler.core.actions import Adopt, EmptyTrash
from reconciler.core.copies import Copy, Store
from reconciler.core.keeping import (
    Leftover,
    TrashedRun,
    expired,
    runs_that_make_room,
    time_of_run,
)
from reconciler.core.ledger import Ledger
from reconciler.core.names import RelPath, Sha256
from reconciler.core.observed import Observed
from reconciler.core.plan import Plan
from reconciler.core.prune import PruneLimits, plan_prune
from reconciler.core.rollout import Move, Rollout
from tests.support.worlds import World, desired, digest, model, planned

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
WEEK = 7 * 86_400.0


def run_name(days: int) -> str:
    """Name a run of so many days ago."""
    return f"{NOW - timedelta(days=days):%Y%m%dT%H%M%SZ}-ab12"


def trashed(days: int, *, frees_bytes: int = 100) -> TrashedRun:
    """Give what a run of so many days ago took away."""
    return TrashedRun(
        run=run_name(days),
        files=1,
        size_bytes=100,
        frees_bytes=frees_bytes,
        taken_at=NOW - timedelta(days=days),
    )


def leftover(name: str, days: int) -> Leftover:
    """Give a partial file that nobody has written to for so many days."""
    return Leftover(name=name, frees_bytes=10, touched_at=NOW - timedelta(days=days))


def rollout(run: str, *staged: str) -> Rollout:
    """Give a rollout that was cut short, with so much staged."""
    return Rollout(
        run=run,
        desired_digest="",
        moves=tuple(
            Move(
                path=RelPath("a/b/m.gguf"),
                sha256=digest("m"),
                staged=f"partial/{name}",
                inode=1,
                trash=None,
            )
            for name in staged
        ),
        disposals=(),
        config_before=None,
        config_after=None,
        tells=False,
        listed_before=None,
        changes_lock=False,
        lock_before=None,
        lock_after=None,
        ledger_before=Ledger(),
        ledger_after=Ledger(),
    )


def lacking(room_bytes: int, *trash: TrashedRun, copies: dict[Sha256, Copy] | None = None) -> Plan:
    """Plan to bring 100 bytes where `room_bytes` are free and this is in the trash."""
    observed: Observed = replace(
        World(free_bytes=room_bytes).observed(), trash=trash, copies=copies or {}
    )
    return planned(desired(model("a")), observed, Ledger())


def emptied(plan: Plan) -> list[str]:
    """Give the runs whose trash a plan deletes, in its order."""
    return [item.run for item in plan.actions if isinstance(item, EmptyTrash)]


def test_run_tells_when_it_began() -> None:
    """Its name holds the time; what is named otherwise tells none."""
    assert time_of_run(run_name(0)) == NOW
    assert time_of_run("lost+found") is None
    assert time_of_run("") is None


def test_only_what_is_older_than_its_time_to_live_is_expired() -> None:
    """The oldest comes first, and what is just as old stays."""
    found = expired([trashed(8), trashed(7), trashed(9), trashed(1)], now=NOW, ttl_seconds=WEEK)
    assert [item.run for item in found] == [run_name(9), run_name(8)]
    assert expired([trashed(0)], now=NOW, ttl_seconds=0) == ()
    assert len(expired([trashed(1)], now=NOW, ttl_seconds=0)) == 1


def test_room_is_made_from_the_oldest_and_no_further() -> None:
    """So much is chosen as is needed, what is wanted itself stays, and nothing goes in vain."""
    trash = [trashed(1), trashed(3), trashed(2)]
    chosen = runs_that_make_room(trash, 150, wanted=())
    assert [item.run for item in chosen] == [run_name(3), run_name(2)]
    kept = f"/models/.reconciler/trash/{run_name(3)}/a/b/m.gguf"
    chosen = runs_that_make_room(trash, 150, wanted=[kept])
    assert [item.run for item in chosen] == [run_name(2), run_name(1)]
    assert runs_that_make_room(trash, 301, wanted=()) == ()
    assert runs_that_make_room(trash, 0, wanted=()) == ()


def test_plan_that_lacks_room_empties_the_trash_first() -> None:
    """It is an action of its own, before what it makes room for; then the plan is not refused, and
    a person is asked, for it cannot be undone.
    """
    plan = lacking(30, trashed(2), trashed(1), trashed(3, frees_bytes=10))
    assert emptied(plan) == [run_name(3), run_name(2)]
    assert isinstance(plan.actions[0], EmptyTrash)
    assert (plan.refusals, plan.takes_away) == ((), True)
    assert plan.summary.freed_bytes == 110
    assert plan.summary.disk_left_bytes == 40


def test_trash_stays_where_there_is_room_or_no_hope() -> None:
    """Nothing is deleted that need not be, nor where the plan is refused all the same."""
    assert emptied(lacking(100, trashed(1))) == []
    hopeless = lacking(30, trashed(1, frees_bytes=10))
    assert (emptied(hopeless), len(hopeless.refusals)) == ([], 1)


def test_bytes_that_the_plan_takes_from_the_trash_stay_there() -> None:
    """What is to come back is not deleted to make room for itself."""
    path = f"/models/.reconciler/trash/{run_name(5)}/acme/a/m.gguf"
    copies = {digest("a-1"): Copy(path=path, store=Store.TRASH)}
    plan = lacking(30, trashed(5), trashed(1), copies=copies)
    assert [item.store for item in plan.actions if isinstance(item, Adopt)] == [Store.TRASH]
    assert emptied(plan) == [run_name(1)]


def test_prune_takes_what_is_older_than_asked() -> None:
    """Trash and partial downloads have an age each."""
    limits = PruneLimits(trash_seconds=WEEK, partials_seconds=86_400.0)
    plan = plan_prune(
        [trashed(8), trashed(2)],
        [leftover("new", 0), leftover("old", 2)],
        limits=limits,
        unfinished=None,
        now=NOW,
    )
    assert [item.run for item in plan.trash] == [run_name(8)]
    assert [item.name for item in plan.partials] == ["old"]
    assert (plan.frees_bytes, plan.kept, plan.is_empty) == (110, (), False)


def test_prune_leaves_what_a_rollout_still_needs() -> None:
    """A run that was cut short is finished with its staged files, or goes back by its trash."""
    plan = plan_prune(
        [trashed(8), trashed(9)],
        [leftover("staged", 9), leftover("staged.1", 9), leftover("old", 9)],
        limits=PruneLimits(trash_seconds=0, partials_seconds=0),
        unfinished=rollout(run_name(9), "staged", "staged.1"),
        now=NOW,
    )
    assert [item.run for item in plan.trash] == [run_name(8)]
    assert [item.name for item in plan.partials] == ["old"]
    assert "was cut short" in plan.kept[0]


@pytest.fixture
def folder(tmp_path: Path) -> ModelsFolder:
    """A models folder with our own folders in it."""
    made = ModelsFolder(tmp_path)
    made.prepare()
    return made


def put(path: Path, data: bytes) -> Path:
    """Write a file, and the folders that lead to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_trash_is_told_run_by_run_and_emptied_by_name(folder: ModelsFolder) -> None:
    """Stamps are no models, what has a name elsewhere frees nothing, emptying twice is no harm."""
    trash = folder.state / "trash"
    put(trash / run_name(2) / "a" / "m.gguf", bytes(100_000))
    put(trash / run_name(2) / "a" / "m.gguf.sha256", b"x")
    linked = put(trash / run_name(1) / "b" / "m.gguf", bytes(50_000))
    os.link(linked, folder.root / "kept.gguf")
    old, new = folder.trashed_runs()
    assert (old.run, old.files, old.size_bytes) == (run_name(2), 1, 100_000)
    assert 100_000 <= old.frees_bytes < 120_000
    assert (new.taken_at, new.frees_bytes) == (NOW - timedelta(days=1), 0)
    for _ in range(2):
        folder.empty_trash(old.run)
    assert [item.run for item in folder.trashed_runs()] == [run_name(1)]
    assert (folder.root / "kept.gguf").stat().st_size == 50_000


def test_bytes_that_two_runs_hold_are_freed_by_the_later(folder: ModelsFolder) -> None:
    """What was taken from the trash and thrown away again lies there twice, and is freed once."""
    first = put(folder.state / "trash" / run_name(2) / "m.gguf", bytes(100_000))
    second = folder.state / "trash" / run_name(1) / "m.gguf"
    second.parent.mkdir()
    os.link(first, second)
    old, new = folder.trashed_runs()
    assert old.frees_bytes == 0
    assert new.frees_bytes >= 100_000


def test_link_in_the_trash_is_deleted_and_not_followed(folder: ModelsFolder) -> None:
    """What somebody linked there stands elsewhere, and stays."""
    theirs = put(folder.root / "theirs" / "m.gguf", b"theirs")
    (folder.state / "trash" / "link").symlink_to(theirs.parent)
    inside = folder.state / "trash" / run_name(1)
    inside.mkdir()
    (inside / "link").symlink_to(theirs.parent)
    for item in folder.trashed_runs():
        folder.empty_trash(item.run)
    assert list((folder.state / "trash").iterdir()) == []
    assert theirs.read_bytes() == b"theirs"


def test_leftover_is_as_new_as_its_record(folder: ModelsFolder) -> None:
    """Its record goes with it, and one that was left alone goes by itself."""
    partial = folder.state / "partial"
    name = "a" * 64
    put(partial / name, b"1234")
    put(partial / f"{name}.record", b"{}\n")
    put(partial / f"{'b' * 64}.record", b"{}\n")
    long_ago = (NOW - timedelta(days=300)).timestamp()
    os.utime(partial / name, (long_ago, long_ago))
    first, second = folder.leftovers()
    assert (first.name, second.name) == (name, f"{'b' * 64}.record")
    assert first.touched_at > NOW - timedelta(days=300)
    for item in (first, second, first):
        folder.delete_leftover(item.name)
    assert list(partial.iterdir()) == []
