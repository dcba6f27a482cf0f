"""Each applied state can be gone back to, and what is kept for that goes in time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from reconciler.core.ledger import Ledger
from reconciler.core.names import RelPath
from reconciler.core.runs import Outcome
from reconciler.core.sync_mode import AskedMode, SyncSettings
from reconciler.engine.going_back import prepare_return
from reconciler.engine.host import Host
from reconciler.engine.prepared import Options, Prepared
from reconciler.engine.run import RunResult, run_looked, run_once
from reconciler.engine.tracking import move_tracked_pins
from reconciler.errors import Refused
from tests.support.fakes import FakeLlamaSwap, Heard
from tests.support.fuse import PORTS, Fuse, Killed, opened, run_pass
from tests.support.hub import running_hub
from tests.support.sandbox import CONFIG, Sandbox
from tests.support.small_disk import needs_root, small_disk
from tests.support.waiting import wait_for
from tests.support.watching import wait_for_line, watching

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
CODE = "  code:\n    source: acme/code-GGUF:Q4_K_M\n"
CHAT_PATH = "acme/chat-GGUF/chat-Q4_K_M.gguf"
OPTIONS = Options(runtime_named=True)
MOST_CHANGES = 40


@pytest.fixture
def two(host: Sandbox) -> Sandbox:
    """A host that has applied chat and code, and then code alone, with another field."""
    host.add_repo("acme/chat-GGUF")
    host.add_repo("acme/code-GGUF", seed=2)
    return applied_twice(host)


def applied_twice(host: Sandbox) -> Sandbox:
    """Apply both models, then take the first out and change the second."""
    host.write_manifest(CHAT + CODE)
    host.apply()
    host.write_manifest(CODE + "    serve: {ttl: 5}\n")
    host.apply()
    host.hub.forget_requests()
    return host


def state(host: Sandbox) -> dict[str, Any]:
    """Everything that a person, git or llama-swap sees."""
    return {
        "files": host.model_files(),
        "config": host.config.read_bytes(),
        "lock": host.lock.read_bytes(),
    }


def generations(host: Sandbox) -> list[dict[str, Any]]:
    """Give what the history tells of the generations, newest first."""
    found: list[dict[str, Any]] = host.run("history", "--json").json["generations"]
    return found


def trash_of(host: Sandbox) -> list[str]:
    """Give the models in the trash."""
    trash = host.models / ".reconciler" / "trash"
    return sorted(path.name for path in trash.rglob("*.gguf"))


def ledger_of(host: Sandbox) -> Ledger:
    """Give the ledger as it is now."""
    with opened(host) as (real, _):
        return real.inventory.load_ledger()


def go_back(
    real: Host,
    manifest: Any,
    number: int | None = None,
    *,
    approve: Callable[[Prepared], bool] = lambda _: True,
) -> RunResult:
    """Go back as the command does, over open ports."""

    def look() -> Prepared:
        return prepare_return(real, number, OPTIONS, standing=manifest.digest)

    return run_looked(real, OPTIONS, look=look, approve=approve, follow=False)


def as_watch(prepared: Prepared) -> bool:
    """What the watch approves of: it leaves what is stalled alone."""
    return prepared.plan.is_empty or not prepared.is_stalled


# What comes back.


def test_rollback_gives_files_config_and_lock_back_and_not_the_manifest(host: Sandbox) -> None:
    """Byte for byte, from what is kept here, with nothing fetched; once more goes forward again."""
    host.add_repo("acme/chat-GGUF")
    host.add_repo("acme/code-GGUF", seed=2)
    host.write_manifest(CHAT + CODE)
    host.apply()
    first = state(host)
    host.write_manifest(CODE + "    serve: {ttl: 5}\n")
    host.apply()
    second, manifest = state(host), host.manifest.read_bytes()
    assert second["config"] != first["config"]
    assert second["lock"] == first["lock"] or b"chat" not in second["lock"]
    host.hub.forget_requests()
    back = host.run("rollback", "--yes")
    assert (back.code, state(host)) == (0, first), back.err
    assert "Back to generation 1, applied " in back.out
    assert "Applied: 1 added · 1 updated" in back.out
    assert host.run("rollback", "--yes").code == 0
    assert (state(host), host.hub.requests) == (second, ())
    assert host.manifest.read_bytes() == manifest
    assert host.run("rollback", "1", "--yes").code == 0
    assert state(host) == first
    # The ledger speaks of the same entries again: all of it can still be taken out.
    host.write_manifest("")
    host.apply("--allow-prune")
    assert host.config.read_text() == CONFIG


def test_new_bytes_at_an_unchanged_path_go_back_too(host: Sandbox) -> None:
    """An update that was applied is undone with its pin, and the old bytes come from the trash."""
    old = host.add_repo("acme/chat-GGUF")["chat-Q4_K_M.gguf"]
    host.write_manifest(CHAT)
    host.apply()
    first = state(host)
    host.add_repo("acme/chat-GGUF", seed=9)
    assert host.run("update", "--all").code == 0
    host.apply()
    assert host.model_files()[CHAT_PATH] != old
    host.hub.forget_requests()
    assert host.run("rollback", "--yes").code == 0
    assert (state(host), host.hub.requests) == (first, ())
    assert host.plan()["actions"] == []


def test_rollback_is_planned_first_and_changes_nothing_then(two: Sandbox) -> None:
    """`--plan` shows all of it, before or after the command, for people and for machines; without
    a terminal and without `--yes` what removes something is declined.
    """
    before = two.snapshot()
    shown = two.run("rollback", "--plan")
    assert (shown.code, two.run("--plan", "rollback", "1").out) == (0, shown.out)
    assert "Back to generation 1, applied " in shown.out
    assert "(not on disk; from the trash)" in shown.out
    document = two.run("rollback", "1", "--plan", "--json").json
    assert (document["generation"], document["summary"]["added"]) == (1, ["chat"])
    assert two.run("rollback", "--plan", "--detailed-exitcode").code == 3
    assert two.snapshot() == before
    two.write_manifest(CHAT + CODE)
    two.apply()
    declined = two.run("rollback", "2")
    assert (declined.code, "Declined" in declined.out) == (1, True)
    result = two.run("rollback", "2", "--yes", "--json").json
    assert (result["generation"], result["outcome"]) == (2, "applied")


def test_what_others_edited_since_stays(two: Sandbox) -> None:
    """A comment and an entry that somebody wrote after that generation are still there."""
    text = two.config.read_text().replace("# edited by hand", "# edited by hand, twice")
    two.config.write_text(text + "  theirs:\n    cmd: llama-server -m /srv/theirs.gguf\n")
    assert two.run("rollback", "--yes").code == 0
    config = two.config.read_text()
    assert "# edited by hand, twice\n" in config
    assert "/srv/theirs.gguf" in config
    assert (CHAT_PATH in config, "ttl: 5" in config) == (True, False)


def test_renamed_model_gets_its_old_name_back(host: Sandbox) -> None:
    """What others added to its entry stays in it, and nothing is fetched or thrown away."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.apply()
    host.config.write_text(host.config.read_text() + "    unlisted: true # mine\n")
    host.write_manifest(CHAT.replace("chat:", "talk:", 1) + "    renamed_from: chat\n")
    host.apply()
    assert "  talk:\n" in host.config.read_text()
    host.hub.forget_requests()
    kinds = [item["action"] for item in host.run("rollback", "--plan", "--json").json["actions"]]
    assert kinds == ["rename"]
    assert host.run("rollback", "--yes").code == 0
    config = host.config.read_text()
    assert ("  chat:\n" in config, "  talk:\n" in config) == (True, False)
    assert "    unlisted: true # mine\n" in config
    assert (host.hub.requests, trash_of(host)) == ((), [])


def test_what_is_no_longer_kept_is_told_and_fetched(host: Sandbox) -> None:
    """With `prune: delete` the history and the plan say what going back costs, before it does; and
    where the bytes cannot be had, nothing is changed at all.
    """
    old = host.add_repo("acme/chat-GGUF")["chat-Q4_K_M.gguf"]
    host.add_repo("acme/code-GGUF", seed=2)
    host.write_manifest(CHAT + CODE, policy="{prune: delete}")
    host.apply()
    host.write_manifest(CODE, policy="{prune: delete}")
    host.apply()
    assert [item["fetch_bytes"] for item in generations(host)] == [0, len(old)]
    assert "1, fetches 41.8 kB" in host.run("history").out
    shown = host.run("rollback", "--plan").out
    assert "41.8 kB of generation 1 are no longer kept: they are fetched" in shown
    before = state(host)
    failed = host.run("rollback", "--yes", "--offline")
    assert (failed.code, state(host)) == (1, before)
    assert "no going back, so nothing was changed" in failed.err
    assert ledger_of(host).stalled is None
    assert host.run("rollback", "--yes").code == 0
    assert host.model_files()[CHAT_PATH] == old


def test_what_one_run_could_not_apply_is_not_made_up(host: Sandbox) -> None:
    """A model that failed in the run that is gone back to stays as it is now, and that is said."""
    host.add_repo("acme/code-GGUF", seed=2)
    host.write_manifest(CHAT + CODE)
    assert host.run("--yes").code == 4
    host.add_repo("acme/chat-GGUF")
    host.apply()
    back = host.run("rollback", "1", "--yes")
    assert back.code == 4
    assert "generation 1 was applied without it" in back.out
    assert CHAT_PATH in host.model_files()


def test_moved_pin_of_a_tracked_model_is_not_moved_to_again(host: Sandbox) -> None:
    """Going back from a version that the watch brought, the watch does not bring it again."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT + "    update: track\n")
    host.settings["RECONCILER_METADATA_TTL"] = "0"
    host.apply()
    first = state(host)
    host.add_repo("acme/chat-GGUF", seed=9)
    moved = watched_and_moved(host)
    assert moved is not None
    assert moved.report.outcome is Outcome.APPLIED
    assert state(host) != first
    assert host.run("rollback", "--yes").code == 0
    assert state(host) == first
    assert watched_and_moved(host) is None
    assert state(host) == first
    newest = host.add_repo("acme/chat-GGUF", seed=10)["chat-Q4_K_M.gguf"]
    assert watched_and_moved(host) is not None
    assert host.model_files()[CHAT_PATH] == newest


def watched_and_moved(host: Sandbox) -> RunResult | None:
    """Run what the watch runs: a pass, and one for the pins that may move; gives the second."""
    full = replace(OPTIONS, sync=SyncSettings(asked=AskedMode.FULL))
    with opened(host) as (real, manifest):
        first = run_once(real, manifest, full, approve=as_watch)
        return move_tracked_pins(real, manifest, full, first, approve=lambda _: True)


# Who may undo it.


def test_watch_leaves_it_alone_until_the_manifest_changes(two: Sandbox) -> None:
    """After going back the manifest still says otherwise: a watch says why it does nothing, and the
    next edit counts again. A run by hand applies it at once, and says so.
    """
    back = two.run("rollback", "--yes")
    assert "a watch leaves it alone until it or the lock changes" in back.err
    first = state(two)
    assert "generation 1 was gone back to by hand" in two.run("status").out
    with watching(two) as process:
        wait_for_line(process.stderr, "generation 1 was gone back to by hand")
        assert state(two) == first
        two.write_manifest(CODE + "    serve: {ttl: 6}\n")
        wait_for(lambda: "ttl: 6" in two.config.read_text(), "the next edit")
    assert two.run("rollback", "1", "--yes").code == 0
    by_hand = two.apply()
    assert "it is tried again by hand: generation 1 was gone back to by hand" in by_hand.err
    assert ledger_of(two).stalled is None


def test_broken_manifest_does_not_keep_anybody_from_going_back(two: Sandbox) -> None:
    """The way back needs the manifest of then alone; that nothing is held then is said."""
    two.manifest.write_text("version: 1\nmodels: [\n")
    back = two.run("rollback", "--yes")
    assert back.code == 0
    assert "nothing keeps a watch from applying it" in back.err
    assert CHAT_PATH in two.model_files()
    two.write_manifest(CODE)
    two.apply()


def test_guards_hold_on_the_way_back(host: Sandbox) -> None:
    """What was protected since does not go, and neither do all models at once."""
    host.add_repo("acme/chat-GGUF")
    host.add_repo("acme/code-GGUF", seed=2)
    host.write_manifest(CHAT)
    host.apply()
    host.write_manifest(CHAT + CODE + "    protect: true\n")
    host.apply()
    before = state(host)
    refused = host.run("rollback", "--yes", "--allow-prune")
    assert (refused.code, state(host)) == (1, before)
    assert "code is protected" in refused.err


# What cannot be gone back to.


def test_generation_that_is_not_there_is_told(host: Sandbox) -> None:
    """Before the first run, where there is one alone, and for a number that is not kept."""
    host.write_manifest("")
    for words in (["rollback"], ["rollback", "7", "--plan"]):
        result = host.run(*words)
        assert (result.code, "reconcile history" in result.err) == (2, True), result.err
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.apply()
    assert "no earlier generation" in host.run("rollback").err
    assert "generation 7 is not kept" in host.run("rollback", "7").err
    assert host.run("rollback", "none").code == 2
    runs = host.run("history", "--json").json["runs"]
    assert [run["outcome"] for run in runs] == ["refused", "refused", "applied", "refused"]
    assert host.run("--yes", "--json").json["mode"] == "incremental", "no run has failed"


def test_only_so_many_generations_are_kept(host: Sandbox) -> None:
    """The oldest go as new ones come."""
    host.add_repo("acme/chat-GGUF")
    host.settings["RECONCILER_GENERATIONS"] = "2"
    for ttl in (1, 2, 3):
        host.write_manifest(CHAT + f"    serve: {{ttl: {ttl}}}\n")
        host.apply()
    assert [item["number"] for item in generations(host)] == [3, 2]
    host.settings["RECONCILER_GENERATIONS"] = "1"
    assert host.run("history").code == 2


def test_history_tells_the_generations(two: Sandbox) -> None:
    """Which stands now, which was gone back to, and those of runs that changed nothing: none."""
    two.apply()
    two.run("rollback", "--yes")
    told = [(item["number"], item["is_current"], item["returned_to"]) for item in generations(two)]
    assert told == [(3, True, 1), (2, False, None), (1, False, None)]
    column = [line.split("  ")[3:] for line in two.run("history").out.splitlines()[1:]]
    assert "3, as 1, now" in two.run("history").out
    assert len(column) == 4
    limited = two.run("history", "--limit", "1", "--json").json
    assert [len(limited[key]) for key in ("runs", "generations")] == [1, 1]


# Where it does not come up, or is killed.


def served(host: Sandbox, accepts: Callable[[str], bool]) -> FakeLlamaSwap:
    """Give a llama-swap that comes up only with a config that it accepts."""
    return FakeLlamaSwap(config=host.config, models=host.models, accepts=accepts)


@contextlib.contextmanager
def ready_to_return(home: Path) -> Iterator[tuple[Sandbox, FakeLlamaSwap]]:
    """A host in a container that has applied two states, with other bytes, names and pins."""
    with running_hub() as hub:
        host = Sandbox(home=home, hub=hub)
        host.add_repo("acme/chat-GGUF")
        host.add_repo("acme/code-GGUF", seed=2)
        host.write_manifest(CHAT + CODE + "    serve: {ttl: 42}\n")
        swap = served(host, lambda _: True)
        assert run_pass(host, swap).report.outcome is Outcome.APPLIED
        host.add_repo("acme/code-GGUF", seed=8)
        assert host.run("update", "--all").code == 0
        host.write_manifest(CODE)
        assert run_pass(host, swap).report.outcome is Outcome.APPLIED
        yield host, swap


def test_rollback_that_does_not_come_up_is_taken_back(tmp_path: Path) -> None:
    """The health gate holds on the way back too: all is as before, also what was stalled."""
    with ready_to_return(tmp_path / "host") as (host, swap):
        before, stalled = state(host), ledger_of(host).stalled
        swap.accepts = lambda config: "ttl: 42" not in config
        with opened(host, swap) as (real, manifest):
            result = go_back(real, manifest)
        assert result.report.outcome is Outcome.ROLLED_BACK
        assert (state(host), swap.up) == (before, True)
        assert ledger_of(host).stalled == stalled
        assert [item["number"] for item in generations(host)] == [2, 1]


def fused(real: Host, fuse: Fuse) -> Host:
    """Give the host with every port on the fuse."""
    return replace(real, **{name: fuse.guard(getattr(real, name)) for name in PORTS})


def watched(host: Sandbox, swap: FakeLlamaSwap, fuse: Fuse | None = None) -> None:
    """Run a pass as the watch does, which leaves what is stalled alone."""
    with opened(host, swap) as (real, manifest):
        run_once(fused(real, fuse or Fuse()), manifest, OPTIONS, approve=as_watch)


def go_back_killed(host: Sandbox, swap: FakeLlamaSwap, fuse: Fuse) -> bool:
    """Go back with every port on the fuse; whether it was killed."""
    with opened(host, swap) as (real, manifest):
        try:
            go_back(fused(real, fuse), manifest)
        except Killed:
            return True
    return False


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_change_on_the_way_back_it_ends_in_one_of_both_states(
    tmp_path: Path, *, after: bool
) -> None:
    """Killed at its nth lasting change, and the run after it too, the watch then ends wholly where
    it was, or wholly where it went; once its rollout has begun, always there.
    """
    with ready_to_return(tmp_path / "whole") as (host, swap):
        before = portable(host)
        fuse = Fuse()
        assert not go_back_killed(host, swap, fuse)
        end, changes = portable(host), fuse.count
    assert 10 <= changes <= MOST_CHANGES
    for number in range(1, changes + 1):
        with ready_to_return(tmp_path / str(number)) as (host, swap):
            fuse = Fuse(number, after=after)
            assert go_back_killed(host, swap, fuse)
            begun = "discard" in fuse.names or (after and "save_rollout" in fuse.names)
            with contextlib.suppress(Killed):
                watched(host, swap, Fuse(1 + number % 3, after=not after))
            watched(host, swap)
            assert portable(host) == (end if begun else before), (number, fuse.names)
            watched(host, swap)
            assert portable(host) == (end if begun else before)


def portable(host: Sandbox) -> dict[str, Any]:
    """Give what is seen, wherever the host lies."""
    seen = state(host)
    return {**seen, "config": seen["config"].replace(str(host.home).encode(), b"HOME")}


def test_lock_that_cannot_be_written_stays(host: Sandbox) -> None:
    """The old bytes come back all the same, which is held as for the manifest, and said."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.apply()
    old = host.model_files()
    host.add_repo("acme/chat-GGUF", seed=9)
    host.run("update", "--all")
    host.apply()
    lock = host.lock.read_bytes()

    class ReadOnly:
        """A lock in a folder that may not be written."""

        def read(self) -> bytes | None:
            return host.lock.read_bytes()

        def write(self, data: bytes | None) -> None:
            raise Refused(f"{host.lock} may not be written ({data!r})", hint="")

        def is_writable(self) -> bool:
            return False

    heard = Heard()
    with opened(host) as (real, manifest):
        result = go_back(replace(real, lock=ReadOnly(), reporter=heard), manifest)
    assert result.report.outcome is Outcome.APPLIED
    assert (host.model_files(), host.lock.read_bytes()) == (old, lock)
    assert heard.said == [f"{host.lock} cannot be written, so it stays as it is"]
    with watching(host) as process:
        wait_for_line(process.stderr, "generation 1 was gone back to by hand")
    assert host.model_files() == old


# What is kept for it, and for how long.


def test_trash_goes_after_its_time_to_live(two: Sandbox) -> None:
    """At the end of a run, not before; what goes back then must fetch."""
    assert trash_of(two) == ["chat-Q4_K_M.gguf"]
    two.apply()
    assert trash_of(two) == ["chat-Q4_K_M.gguf"]
    two.settings["RECONCILER_TRASH_TTL"] = "0"
    two.apply()
    assert trash_of(two) == []
    assert [item["fetch_bytes"] > 0 for item in generations(two)] == [False, True]


def test_stale_download_goes_unless_it_is_wanted(two: Sandbox) -> None:
    """What nobody has written to for a week goes at the end of a run, if no pin names it; what one
    names is gone on with however long it waited.
    """
    model, *_ = two.models.glob("acme/*/*.gguf")
    pinned = hashlib.sha256(model.read_bytes()).hexdigest()
    folder = two.models / ".reconciler" / "partial"
    folder.mkdir(exist_ok=True)
    old, new, pinned_old = folder / ("ab" * 32), folder / ("cd" * 32), folder / pinned
    for path in (old, new, pinned_old):
        path.write_bytes(b"begun")
    week_ago = time.time() - 8 * 86_400
    for path in (old, pinned_old):
        os.utime(path, (week_ago, week_ago))
    two.apply()
    assert [path.exists() for path in (old, new, pinned_old)] == [False, True, True]


def test_trash_that_cannot_be_emptied_fails_no_run(two: Sandbox) -> None:
    """It is told, and the next run tries again."""
    heard = Heard()
    with opened(two) as (real, manifest):

        class Stubborn:
            def __getattr__(self, name: str) -> Any:
                return getattr(real.folder, name)

            def empty_trash(self, run: str) -> NoReturn:
                raise Refused(f"{run} may not be deleted", hint="as another user")

        ports = replace(real, folder=Stubborn(), reporter=heard, trash_ttl_seconds=0.0)
        result = run_once(ports, manifest, OPTIONS, approve=lambda _: True)
    assert result.report.outcome is Outcome.IN_SYNC
    assert any("could not be emptied" in line for line in heard.warnings)


@needs_root
def test_plan_without_room_empties_the_oldest_trash_and_shows_it(host: Sandbox) -> None:
    """It is shown as an action of its own and asked for; then what it made room for is brought."""
    host.settings["RECONCILER_DISK_RESERVE"] = "0"
    for seed, name in enumerate(("one", "two"), 1):
        host.add_repo(f"acme/{name}-GGUF", seed=seed, size=1_500_000)
    model = "  {0}:\n    source: acme/{0}-GGUF:Q4_K_M\n"
    with small_disk(host.models, size="2500k"):
        host.write_manifest(CHAT.replace("chat", "one"))
        host.apply()
        host.write_manifest("")
        host.apply("--allow-prune")
        assert trash_of(host) == ["one-Q4_K_M.gguf"]
        host.write_manifest(model.format("two"))
        (first, *_), out = host.plan()["actions"], host.run("--plan").out
        assert (first["action"], first["files"]) == ("empty_trash", 1)
        assert "First, to make room:\n    delete      1.5 MB  trash/" in out
        assert host.run().code == 1
        assert trash_of(host) == ["one-Q4_K_M.gguf"]
        host.apply()
        assert trash_of(host) == []
        assert next(iter(host.model_files())) == "acme/two-GGUF/two-Q4_K_M.gguf"


def test_prune_shows_asks_and_deletes_for_good(two: Sandbox) -> None:
    """Nothing by default that is new; `--plan` and a missing yes change nothing; sizes are told."""
    partial = two.models / ".reconciler" / "partial" / ("ab" * 32)
    partial.write_bytes(bytes(5000))
    assert "Nothing to prune." in two.run("prune").out
    before = two.model_files(), trash_of(two), partial.read_bytes()
    assert two.run("prune", "--plan", "--detailed-exitcode").code == 0
    shown = two.run("prune", "--all", "--plan", "--json").json
    assert (shown["done"], len(shown["trash"]), len(shown["partials"])) == (False, 1, 1)
    assert shown["partials"][0]["name"] == "ab" * 32
    assert two.run("--plan", "prune", "--all", "--detailed-exitcode").code == 3
    declined = two.run("prune", "--all")
    assert (declined.code, "nobody is here to ask" in declined.err) == (1, True)
    assert (two.model_files(), trash_of(two), partial.read_bytes()) == before
    models, config = two.model_files(), two.config.read_bytes()
    assert two.run("prune", "--trash", "--yes").out.splitlines()[-1].startswith("Pruned: ")
    assert (trash_of(two), partial.exists()) == ([], True)
    done = two.run("prune", "--partials-older-than", "0", "--yes", "--json").json
    assert (done["done"], done["trash"], len(done["partials"])) == (True, [], 1)
    assert not partial.exists()
    assert (two.model_files(), two.config.read_bytes()) == (models, config)
    assert two.plan()["actions"] == []
    assert two.run("prune", "--partials-older-than", "soon").code == 2


def test_prune_before_the_first_run_makes_nothing(host: Sandbox) -> None:
    """There is nothing to delete, and no folder of ours comes to be."""
    assert host.run("prune", "--all", "--yes").code == 0
    assert json.loads(host.run("prune", "--json").out)["frees_bytes"] == 0
    assert not (host.models / ".reconciler").exists()


def test_prune_leaves_what_a_killed_run_needs(tmp_path: Path) -> None:
    """Killed amid its rollout, everything else may go, and the next run still finishes it."""
    with ready_to_return(tmp_path / "host") as (host, swap):
        swap.accepts = lambda _: True
        assert go_back_killed(host, swap, Fuse(1, after=True, only="discard"))
        assert "was cut short" in host.run("prune", "--all", "--yes").out
        watched(host, swap)
        assert "ttl: 42" in host.config.read_text()
        assert CHAT_PATH in host.model_files()
        assert ledger_of(host).files[RelPath(CHAT_PATH)].sha256
