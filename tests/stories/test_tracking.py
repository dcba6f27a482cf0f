"""`update: track` from end to end: who asks upstream, what is told, and which pins move where."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.runs import Outcome
from reconciler.engine.prepared import Options
from reconciler.engine.run import RunResult, run_once
from reconciler.engine.tracking import move_tracked_pins
from tests.support.fakes import FakeLlamaSwap
from tests.support.fuse import PORTS, Fuse, Killed, opened
from tests.support.sandbox import Sandbox
from tests.support.small_disk import needs_root, small_disk
from tests.support.waiting import wait_for

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n    update: track\n"
CODE = "  code:\n    source: acme/code-GGUF:Q4_K_M\n"
CHAT_PATH = "acme/chat-GGUF/chat-Q4_K_M.gguf"
ALWAYS = "876600"


@pytest.fixture
def tracked(host: Sandbox) -> Sandbox:
    """A host with one tracked model and one that is not, both applied."""
    host.add_repo("acme/chat-GGUF")
    host.add_repo("acme/code-GGUF", seed=2)
    host.write_manifest(CHAT + CODE)
    host.settings["INCREMENTAL_WINDOW_HOURS"] = ALWAYS
    host.apply()
    host.hub.forget_requests()
    return host


def publish(host: Sandbox, *, seed: int) -> bytes:
    """Have upstream replace the tracked model's file; gives its new bytes."""
    return host.add_repo("acme/chat-GGUF", seed=seed)["chat-Q4_K_M.gguf"]


def kept_here(host: Sandbox) -> Path:
    """Where the host keeps pins for itself."""
    return host.models / ".reconciler" / "pins.lock"


def asked(host: Sandbox) -> list[str]:
    """Give what the hub's interface was asked for, and forget it."""
    paths = [item.path.removeprefix("/api/models/") for item in host.hub.requests]
    host.hub.forget_requests()
    return [path.partition("/tree/")[0] + " tree" if "/tree/" in path else path for path in paths]


def watch_until(host: Sandbox, data: bytes, *arguments: str) -> None:
    """Run the watch loop until the tracked model's file holds `data`."""
    process = host.start("--watch", *arguments)
    try:
        wait_for(lambda: host.model_files().get(CHAT_PATH) == data, "the newer model")
        wait_for(lambda: "chat" in moved(host), "its pin")
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert "Traceback" not in err


def moved(host: Sandbox) -> Any:
    """Give the models whose pins the host keeps for itself."""
    path = kept_here(host)
    return json.loads(path.read_text())["models"] if path.exists() else {}


def test_incremental_run_asks_once_for_each_tracked_repository(tracked: Sandbox) -> None:
    """It costs one request where nothing is new, and no plan or status makes any."""
    assert tracked.apply("--json").json["mode"] == "incremental"
    assert asked(tracked) == ["acme/chat-GGUF"]
    publish(tracked, seed=9)
    tracked.plan()
    tracked.run("status")
    assert asked(tracked) == []


def test_run_tells_what_upstream_has_newer_and_moves_nothing(tracked: Sandbox) -> None:
    """A newer file is told with commits and bytes, on screen, as JSON and in the file beside the
    inventory; the pin stays until somebody moves it.
    """
    lock, files = tracked.lock.read_bytes(), tracked.model_files()
    new = publish(tracked, seed=9)
    result = tracked.apply()
    assert asked(tracked) == ["acme/chat-GGUF", "acme/chat-GGUF tree"]
    assert "warning: upstream has newer for chat: commit " in result.err
    assert "1 thing found, see the warnings" in result.out
    report = tracked.apply("--json").json
    (finding,) = report["findings"]
    assert finding.endswith(f", 1 file changed, {len(new) / 1000:.1f} kB to fetch")
    written = json.loads((kept_here(tracked).parent / "last_sync_metadata.json").read_text())
    assert written["findings"] == [finding]
    assert (tracked.lock.read_bytes(), tracked.model_files()) == (lock, files)
    assert not kept_here(tracked).exists()


def test_files_are_not_listed_beyond_the_window(tracked: Sandbox) -> None:
    """What changed longer ago an incremental run leaves to the next full one."""
    publish(tracked, seed=9)
    tracked.settings["INCREMENTAL_WINDOW_HOURS"] = "0"
    assert tracked.apply("--json").json["findings"] == []
    assert asked(tracked) == ["acme/chat-GGUF"]
    tracked.settings["FORCE_FULL_SYNC"] = "1"
    assert "upstream has newer for chat" in tracked.apply("--json").json["findings"][0]


def test_commit_without_other_files_is_nothing_new(tracked: Sandbox) -> None:
    """A pin moves where a file's digest did: an edited README is told nowhere."""
    tracked.hub.add_commit("acme/chat-GGUF", {"README.md": b"better words"})
    assert tracked.apply("--json").json["findings"] == []
    assert "nothing to change" in tracked.run("update", "--tracked").out


def test_without_network_it_is_said(tracked: Sandbox) -> None:
    """A run that may not ask, or is not answered, says what it left out and ends well."""
    report = tracked.apply("--offline", "--json").json
    assert report["findings"] == ["tracked models were not followed: --offline forbids it"]
    tracked.settings["HF_ENDPOINT"] = "http://127.0.0.1:9"
    report = tracked.apply("--json").json
    assert (report["outcome"], len(report["findings"])) == ("in sync", 1)
    assert "tracked models could not be followed" in report["findings"][0]


def test_update_moves_tracked_pins_in_the_lock(tracked: Sandbox) -> None:
    """`--tracked` moves those pins and no other; asked for where none is tracked it is refused."""
    new = publish(tracked, seed=9)
    tracked.add_repo("acme/code-GGUF", seed=10)
    assert tracked.run("update", "--tracked").out.startswith("~ chat: pin moved\n")
    assert [item["model"] for item in tracked.plan()["actions"] if item["action"] == "replace"] == [
        "chat"
    ]
    tracked.apply()
    assert tracked.model_files()[CHAT_PATH] == new
    tracked.write_manifest(CODE)
    result = tracked.run("update", "--tracked")
    assert (result.code, "tracks no model" in result.err) == (2, True)


def test_watch_moves_the_pin_and_leaves_the_lock_as_it_is(tracked: Sandbox) -> None:
    """The newer files are brought and served; the checkout stays clean, and every look at the host
    goes by the pin that moved.
    """
    lock = tracked.lock.read_bytes()
    watch_until(tracked, publish(tracked, seed=9))
    assert (tracked.lock.read_bytes(), list(moved(tracked))) == (lock, ["chat"])
    assert tracked.plan()["actions"] == []
    assert {item["pending"] for item in tracked.run("status", "--json").json["models"]} == {""}
    assert tracked.run("verify").code == 0
    assert tracked.run("lock", "--check").code == 0
    assert tracked.run("lock").out.endswith("nothing to change\n")
    assert tracked.lock.read_bytes() == lock
    assert tracked.apply("--json").json["findings"] == []


def test_moved_pin_survives_a_lost_inventory(tracked: Sandbox) -> None:
    """What the moved pin names is proven to be ours by it: it is not fetched again, and goes when
    nobody declares it any more.
    """
    watch_until(tracked, publish(tracked, seed=9))
    for path in kept_here(tracked).parent.glob("inventory.db*"):
        path.unlink()
    assert "Intact: 2 files" in tracked.run("verify").out
    report = tracked.apply("--json").json
    assert (report["plan"]["actions"], report["fetched_bytes"]) == ([], 0)
    tracked.write_manifest(CODE)
    tracked.apply()
    assert CHAT_PATH not in tracked.model_files()


def test_lock_that_somebody_changed_wins(tracked: Sandbox) -> None:
    """Once the lock says something new, the moved pin counts no more and is let go."""
    watch_until(tracked, publish(tracked, seed=9))
    newest = publish(tracked, seed=11)
    assert tracked.run("update", "chat").out.startswith("~ chat: pin moved\n")
    tracked.apply()
    assert tracked.model_files()[CHAT_PATH] == newest
    assert not kept_here(tracked).exists()


def test_model_that_is_pinned_again_goes_by_the_lock(tracked: Sandbox) -> None:
    """Without `update: track` the lock alone decides, whatever had moved."""
    old = tracked.model_files()[CHAT_PATH]
    watch_until(tracked, publish(tracked, seed=9))
    tracked.write_manifest(CHAT.replace("    update: track\n", "") + CODE)
    tracked.apply()
    assert tracked.model_files()[CHAT_PATH] == old
    assert not kept_here(tracked).exists()


def test_remembered_plan_is_made_anew_when_pins_move(tracked: Sandbox) -> None:
    """A moved pin that comes or goes changes the next plan, remembered or not."""
    watch_until(tracked, publish(tracked, seed=9))
    for _ in range(2):
        assert tracked.plan()["actions"] == []
    kept_here(tracked).unlink()
    assert [item["action"] for item in tracked.plan()["actions"]][-1] == "replace"


def test_locked_watch_moves_pins_too(tracked: Sandbox) -> None:
    """--locked keeps the lock as it is, and moved pins are never written into that."""
    lock = tracked.lock.read_bytes()
    watch_until(tracked, publish(tracked, seed=9), "--locked")
    assert tracked.lock.read_bytes() == lock


def test_damaged_pins_are_refused_with_the_way_out(tracked: Sandbox) -> None:
    """What the host keeps is never guessed at: a damaged file is named, and what to do about it."""
    kept_here(tracked).write_text("{")
    result = tracked.run("--plan")
    assert (result.code, str(kept_here(tracked)) in result.err) == (1, True)
    assert "the lock alone decides" in result.err
    kept_here(tracked).unlink()
    assert tracked.run("--plan").code == 0


def dislikes(host: Sandbox, data: bytes) -> FakeLlamaSwap:
    """Give a llama-swap that cannot load the tracked model where its file holds `data`.

    New bytes at the same path need no reload, so only a probe finds that out.
    """
    host.settings["RECONCILER_PROBE"] = "1"
    return FakeLlamaSwap(
        config=host.config,
        models=host.models,
        accepts=lambda _: host.model_files().get(CHAT_PATH) != data,
    )


def watched_pass(host: Sandbox, swap: FakeLlamaSwap) -> tuple[RunResult, RunResult | None]:
    """Run what the watch loop runs: a pass, and one for the pins that may move."""
    allowed = Options(runtime_named=True)
    with opened(host, swap) as (real, manifest):
        first = run_once(real, manifest, allowed, approve=lambda _: True)
        return first, move_tracked_pins(real, manifest, allowed, first, approve=lambda _: True)


def test_version_that_does_not_come_up_is_tried_once(tracked: Sandbox) -> None:
    """It is taken back with its pin, told of from then on, and left until upstream changes."""
    old, lock = tracked.model_files(), tracked.lock.read_bytes()
    swap = dislikes(tracked, publish(tracked, seed=9))
    _, taken_back = watched_pass(tracked, swap)
    assert taken_back is not None
    assert taken_back.report.outcome is Outcome.ROLLED_BACK
    restarts = swap.restarts
    for _ in range(2):
        first, second = watched_pass(tracked, swap)
        assert (first.report.outcome, second, swap.restarts) == (Outcome.IN_SYNC, None, restarts)
        assert "upstream has newer for chat" in first.report.findings[-1]
    assert (tracked.model_files(), tracked.lock.read_bytes()) == (old, lock)
    better = publish(tracked, seed=11)
    _, applied = watched_pass(tracked, swap)
    assert applied is not None
    assert applied.report.outcome is Outcome.APPLIED
    assert tracked.model_files()[CHAT_PATH] == better


@pytest.mark.parametrize("comes_up", [False, True])
@pytest.mark.parametrize("number", range(1, 13))
def test_pin_and_files_move_together_wherever_it_is_killed(
    tracked: Sandbox, number: int, *, comes_up: bool
) -> None:
    """The pass that moves a pin ends, after a kill, with the new files and their pin where they
    come up, and else with the old files and no moved pin.
    """
    old, lock = tracked.model_files()[CHAT_PATH], tracked.lock.read_bytes()
    new = publish(tracked, seed=9)
    swap = dislikes(tracked, b"nothing" if comes_up else new)
    allowed, fuse = Options(runtime_named=True), Fuse(number)
    with opened(tracked, swap) as (real, manifest):
        first = run_once(real, manifest, allowed, approve=lambda _: True)
        guarded = replace(real, **{name: fuse.guard(getattr(real, name)) for name in PORTS})
        with contextlib.suppress(Killed):
            run_once(guarded, manifest, allowed, approve=lambda _: True, moves=first.newer)
    watched_pass(tracked, swap)
    watched_pass(tracked, swap)
    assert tracked.model_files()[CHAT_PATH] == (new if comes_up else old)
    assert (list(moved(tracked)), tracked.lock.read_bytes()) == (["chat"] * comes_up, lock)


@needs_root
def test_lock_in_a_folder_that_cannot_be_written_is_kept_here(host: Sandbox) -> None:
    """A run does not fail: it keeps its pins here, says so once, and the next one is in sync."""
    host.add_repo("acme/chat-GGUF")
    with small_disk(host.manifest.parent, size="1m") as checkout:
        host.write_manifest(CHAT.replace("    update: track\n", ""))
        subprocess.run(["mount", "-o", "remount,ro", str(checkout)], check=True)
        result = host.apply()
        assert result.err.count(f"what it lacks is kept in {kept_here(host)}") == 1
        assert (list(moved(host)), host.lock.exists()) == (["chat"], False)
        host.add_repo("acme/chat-GGUF", seed=9)
        again = host.apply()
        assert ("nothing to do" in again.out, "is kept in" in again.err) == (True, False)
        assert host.run("lock", "--check").code == 0
        subprocess.run(["mount", "-o", "remount,rw", str(checkout)], check=True)
        assert "+ chat: pinned" in host.run("lock").out
        assert "nothing to do" in host.apply().out
    assert moved(host) == {}
