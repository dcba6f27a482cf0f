"""The inventory is lost or damaged: nothing is fetched again, and what was ours is ours again."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from reconciler.adapters.store.run_lock import RunLock
from reconciler.adapters.system_clock import SystemClock
from tests.support.fakes import Heard
from tests.support.rot import flip
from tests.support.sandbox import CONFIG, Sandbox

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n    serve: {ttl: 300}\n"
CODE = "  code:\n    source: acme/code-GGUF:Q4_K_M\n"
CHAT_PATH = "acme/chat-GGUF/chat-Q4_K_M.gguf"
CODE_PATH = "acme/code-GGUF/code-Q4_K_M.gguf"


@pytest.fixture
def applied(host: Sandbox) -> Sandbox:
    """A host on which two models were brought and are served."""
    host.add_repo("acme/chat-GGUF")
    host.add_repo("acme/code-GGUF", seed=2)
    host.write_manifest(CHAT + CODE)
    host.apply()
    host.hub.forget_requests()
    return host


def state(host: Sandbox) -> Path:
    """Give the state folder."""
    return host.models / ".reconciler"


def drop_database(host: Sandbox) -> None:
    """Delete the inventory alone; the copy of the ledger stays."""
    (state(host) / "inventory.db").unlink()


def drop_all(host: Sandbox) -> None:
    """Delete all that is kept beside the models."""
    shutil.rmtree(state(host))


def drop_memory_too(host: Sandbox) -> None:
    """Delete all that is kept, also outside of the models folder."""
    shutil.rmtree(state(host))
    shutil.rmtree(host.home / ".local" / "state", ignore_errors=True)


def garbage(host: Sandbox) -> None:
    """Write something else over the inventory."""
    (state(host) / "inventory.db").write_bytes(b"no database, but as long as one may be" * 1000)


def truncate(host: Sandbox) -> None:
    """Cut the inventory off in its middle."""
    path = state(host) / "inventory.db"
    os.truncate(path, path.stat().st_size // 2)


def spoil_a_page(host: Sandbox) -> None:
    """Overwrite the page that the ledger's table begins in."""
    path = state(host) / "inventory.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = database.execute("PRAGMA page_size").fetchone()
        (page,) = database.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'document'"
        ).fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


LOSSES = [drop_database, drop_all, drop_memory_too]
DAMAGES = [garbage, truncate, spoil_a_page]


@pytest.mark.parametrize("lose", [*LOSSES, *DAMAGES])
def test_next_run_has_nothing_to_do_and_fetches_nothing(
    applied: Sandbox, lose: Callable[[Sandbox], None]
) -> None:
    """However it is lost, the plan is empty, no byte of a file is asked for, and none changes."""
    lose(applied)
    before = applied.snapshot(with_state=False)
    result = applied.apply()
    assert "nothing to do" in result.out
    assert applied.snapshot(with_state=False) == before
    assert [item.path for item in applied.hub.requests if "/resolve/" in item.path] == []
    assert "2 files are ours" in result.err
    assert "are ours" not in applied.apply().err


@pytest.mark.parametrize("lose", [*LOSSES, *DAMAGES])
def test_taking_models_out_afterwards_takes_files_and_entries(
    applied: Sandbox, lose: Callable[[Sandbox], None]
) -> None:
    """Ownership is as before: what the manifest drops is pruned, and the config is the old one."""
    lose(applied)
    applied.apply()
    applied.write_manifest(CHAT)
    applied.apply()
    assert sorted(applied.model_files()) == [CHAT_PATH, f"{CHAT_PATH}.sha256"]
    assert "code" not in applied.config.read_text()
    applied.write_manifest("")
    applied.apply("--allow-prune")
    assert applied.model_files() == {}
    assert applied.config.read_text() == CONFIG


def test_model_dropped_in_the_same_moment_is_still_known_by_the_lock(applied: Sandbox) -> None:
    """Lost inventory and shorter manifest at once: the lock still names what goes."""
    drop_all(applied)
    applied.write_manifest(CHAT)
    actions = applied.plan()["actions"]
    assert [item["action"] for item in actions] == ["remove_entry", "prune"]
    assert actions[1]["path"] == CODE_PATH


@pytest.mark.parametrize("lose", [*LOSSES, *DAMAGES])
def test_plan_shows_the_rebuilt_view_and_writes_nothing(
    applied: Sandbox, lose: Callable[[Sandbox], None]
) -> None:
    """A dry run in that state says what a run would do, which is nothing, and leaves no trace."""
    lose(applied)
    before = applied.snapshot()
    result = applied.run("--plan")
    assert (result.code, "nothing to do" in result.out) == (0, True)
    assert applied.snapshot() == before


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_inventory_is_moved_aside_and_said(
    applied: Sandbox, damage: Callable[[Sandbox], None]
) -> None:
    """The damaged file is kept under a name of its own, byte for byte, and the run says where."""
    damage(applied)
    spoilt = (state(applied) / "inventory.db").read_bytes()
    result = applied.apply()
    (aside,) = state(applied).glob("inventory.db.damaged-*")
    assert aside.read_bytes() == spoilt
    assert str(aside) in result.err
    assert applied.apply().err.count("damaged") == 0


def test_damaged_inventory_stays_while_another_run_holds_the_folder(applied: Sandbox) -> None:
    """Whoever holds the run lock may just be mending it, so nobody else moves it."""
    garbage(applied)
    applied.settings["RECONCILER_LOCK_TIMEOUT"] = "0"
    with RunLock(state(applied), timeout_seconds=0, clock=SystemClock(), reporter=Heard()):
        assert applied.run("--yes").code == 1
    assert not list(state(applied).glob("inventory.db.damaged-*"))


def test_original_fields_come_back_from_the_copy_of_the_ledger(host: Sandbox) -> None:
    """What stood in a field before us is only in the ledger: its copy brings it back."""
    host.add_repo("acme/chat-GGUF")
    old = (
        CONFIG
        + f"  chat:\n    cmd: llama-server -m {host.models}/{CHAT_PATH}\n    ttl: 60 # mine\n"
    )
    host.config.write_text(old)
    host.write_manifest(CHAT)
    host.apply()
    assert "ttl: 300" in host.config.read_text()
    drop_database(host)
    host.apply()
    host.write_manifest("")
    host.apply("--allow-prune")
    assert host.config.read_text() == old


def test_found_file_is_not_claimed(host: Sandbox) -> None:
    """A file without our `.sha256` was somebody else's before the loss and stays after it."""
    files = host.add_repo("acme/chat-GGUF")
    place = host.models / CHAT_PATH
    place.parent.mkdir(parents=True)
    place.write_bytes(files["chat-Q4_K_M.gguf"])
    host.write_manifest(CHAT)
    host.apply()
    drop_all(host)
    host.apply()
    host.write_manifest("")
    host.apply("--allow-prune")
    assert place.read_bytes() == files["chat-Q4_K_M.gguf"]
    assert host.config.read_text() == CONFIG


def test_hint_takes_a_claim_back(host: Sandbox) -> None:
    """A file with a `.sha256` of somebody else's that reads as ours: the copy knows it as found."""
    data = host.add_repo("acme/chat-GGUF")["chat-Q4_K_M.gguf"]
    place = host.models / CHAT_PATH
    place.parent.mkdir(parents=True)
    place.write_bytes(data)
    stamp = f"{hashlib.sha256(data).hexdigest()}  {place.name}\n"
    place.with_name(f"{place.name}.sha256").write_text(stamp)
    host.write_manifest(CHAT)
    host.apply()
    drop_database(host)
    host.apply()
    host.write_manifest("")
    host.apply("--allow-prune")
    assert place.read_bytes() == data


def test_hint_never_claims_what_the_disk_does_not_prove(applied: Sandbox) -> None:
    """A copy of the ledger that names a file of somebody else's does not make it ours."""
    drop_database(applied)
    (applied.models / f"{CODE_PATH}.sha256").unlink()
    applied.apply()
    applied.write_manifest(CHAT)
    applied.apply()
    assert CODE_PATH in applied.model_files()


def test_first_run_on_a_host_with_a_hand_made_entry_claims_nothing(host: Sandbox) -> None:
    """A lock from git and an entry that somebody wrote are no sign that we were here before."""
    files = host.add_repo("acme/chat-GGUF")
    place = host.models / CHAT_PATH
    place.parent.mkdir(parents=True)
    place.write_bytes(files["chat-Q4_K_M.gguf"])
    old = CONFIG + f"  chat:\n    cmd: llama-server -m {place} -ngl 99\n"
    host.config.write_text(old)
    host.write_manifest("  chat:\n    source: acme/chat-GGUF:Q4_K_M\n")
    assert host.run("lock").code == 0
    host.apply()
    assert host.config.read_text() == old
    host.write_manifest("")
    host.apply("--allow-prune")
    assert host.config.read_text() == old


def test_words_that_somebody_added_to_a_command_outlive_the_loss(applied: Sandbox) -> None:
    """Without the ledger nobody knows who wrote the command, so no run rewrites it."""
    edited = applied.config.read_text().replace(CODE_PATH, f"{CODE_PATH} -ngl 12")
    applied.config.write_text(edited)
    drop_all(applied)
    applied.apply()
    assert applied.config.read_text() == edited


@pytest.mark.parametrize("lose", [*LOSSES, *DAMAGES])
def test_verify_and_repair_know_our_files_without_the_inventory(
    applied: Sandbox, lose: Callable[[Sandbox], None]
) -> None:
    """Right after the loss, with no run in between, both kinds of `verify` check every file that
    the lock proves to be ours, and `repair` brings one that is gone.
    """
    lose(applied)
    for arguments in (("verify", "--quick"), ("verify",)):
        result = applied.run(*arguments, "--json")
        assert (result.code, "2 files are ours" in result.err) == (0, True)
        assert [item["path"] for item in result.json["files"]] == [CHAT_PATH, CODE_PATH]
    (applied.models / CHAT_PATH).unlink()
    lose(applied)
    assert applied.run("verify", "chat").code == 3
    assert applied.run("repair", "--yes").code == 0
    assert CHAT_PATH in applied.model_files()
    assert applied.run("verify").code == 0


@pytest.mark.parametrize("lose", LOSSES)
def test_quick_verify_and_status_write_nothing_after_the_loss(
    applied: Sandbox, lose: Callable[[Sandbox], None]
) -> None:
    """Commands that only look leave no trace, and see what was there before."""
    lose(applied)
    before = applied.snapshot()
    assert applied.run("verify", "--quick").code == 0
    models = applied.run("status", "--json").json["models"]
    assert [(item["model"], item["files"]) for item in models] == [("chat", 1), ("code", 1)]
    assert applied.snapshot() == before


def test_verify_needs_no_manifest_and_no_config_to_know_our_files(applied: Sandbox) -> None:
    """A manifest and a config that nobody can read do not keep it from checking files; that the
    lock alone tells which are ours is said.
    """
    applied.manifest.write_text("[")
    applied.config.write_text("[")
    result = applied.run("verify")
    assert (result.out[:15], "by the lock alone" in result.err) == ("Intact: 2 files", False)
    drop_all(applied)
    result = applied.run("verify")
    assert (result.out[:15], "by the lock alone" in result.err) == ("Intact: 2 files", True)


def test_without_a_lock_nothing_is_proven_and_that_is_said(applied: Sandbox) -> None:
    """Inventory and lock lost together: nothing can be checked, and nobody calls that intact
    without a word.
    """
    drop_all(applied)
    applied.lock.unlink()
    result = applied.run("verify", "--json")
    assert result.json["files"] == []
    assert "nothing here can be proven to be ours" in result.err


def test_damaged_file_is_told_after_the_loss_and_is_no_longer_ours(applied: Sandbox) -> None:
    """Its digest would have proven it: `verify` tells the damage, and nothing replaces the file."""
    flip(applied.models / CHAT_PATH, 30_000)
    rotten = (applied.models / CHAT_PATH).read_bytes()
    drop_all(applied)
    result = applied.run("verify", "--json")
    findings = {item["path"]: item["finding"] for item in result.json["files"]}
    assert (result.code, findings) == (3, {CHAT_PATH: "damaged", CODE_PATH: "intact"})
    repaired = applied.run("repair", "--yes")
    assert (repaired.code, "not ours" in repaired.out + repaired.err) == (4, True)
    assert (applied.models / CHAT_PATH).read_bytes() == rotten


def test_looking_does_not_forget_that_there_were_models(applied: Sandbox) -> None:
    """A command that finds the inventory lost leaves the proof to the run that mends it: entries of
    files that were found are known by the memory of the folder alone.
    """
    for path in (CHAT_PATH, CODE_PATH):
        (applied.models / f"{path}.sha256").unlink()
    drop_all(applied)
    assert applied.run("verify").code == 0
    applied.write_manifest("")
    actions = [item["action"] for item in applied.plan("--allow-prune")["actions"]]
    assert actions == ["remove_entry", "remove_entry"]


@pytest.mark.parametrize("verb", [["list"], ["search", "chat"], ["history"]], ids=" ".join)
@pytest.mark.parametrize("lose", [drop_database, drop_all, garbage])
def test_lost_inventory_is_no_empty_one(
    applied: Sandbox, lose: Callable[[Sandbox], None], verb: list[str]
) -> None:
    """Commands that show what is known of the models say that it is lost, and the way out."""
    assert applied.run(*verb).err == ""
    lose(applied)
    said = applied.run(*verb).err
    assert "is lost: what was applied here is not known" in said
    assert "`reconcile` works it out" in said
    applied.apply()
    assert applied.run(*verb).err == ""


def test_damage_that_a_search_meets_is_an_error(applied: Sandbox) -> None:
    """What is only shown is read unchecked: damage that is met then is said, and nothing moved."""
    spoil_a_page(applied)
    before = applied.snapshot()
    result = applied.run("list")
    assert (result.code, "is damaged" in result.err) == (1, True)
    assert applied.snapshot() == before
