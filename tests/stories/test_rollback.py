"""What fails is taken back: files, config and lock as they were, and nothing of others lost."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from reconciler.adapters.llamaswap.config_file import ConfigFile as RealConfig
from reconciler.core.ledger import Ledger
from reconciler.core.observed import RuntimeState
from reconciler.core.ports.texts import ConfigFile
from reconciler.core.runs import Outcome
from reconciler.engine.prepared import Options
from reconciler.engine.run import run_once
from reconciler.errors import ReconcilerError, Refused, RuntimeUnavailable
from tests.support.fakes import FakeLlamaSwap, Heard
from tests.support.fuse import Fuse, opened, run_killed, run_pass
from tests.support.hub import running_hub, sharded_model
from tests.support.sandbox import CONFIG, Sandbox
from tests.support.small_disk import fill, needs_root, small_disk

BEFORE = """\
  chat:
    source: acme/chat-GGUF:Q4_K_M
  gone:
    source: acme/gone-GGUF:Q4_K_M
  big:
    source: acme/big-GGUF:Q4_K_M
"""
AFTER = """\
  chat:
    source: acme/chat-GGUF:Q4_K_M
    serve: {ttl: 42}
  new:
    source: acme/new-GGUF:Q4_K_M
  big:
    source: acme/big-GGUF:Q4_K_M
"""
CHAT_PATH = "acme/chat-GGUF/chat-Q4_K_M.gguf"
NEW_PATH = "acme/new-GGUF/new-Q4_K_M.gguf"
MOST_CHANGES = 48


def accepts_no_42(config: str) -> bool:
    """Whether llama-swap comes up: never with the new state."""
    return "ttl: 42" not in config


@contextlib.contextmanager
def prepared_host(home: Path) -> Iterator[tuple[Sandbox, FakeLlamaSwap]]:
    """Three models applied and served; then lock and manifest changed in every way."""
    with running_hub() as hub:
        host = Sandbox(home=home, hub=hub)
        for seed, name in enumerate(("chat", "gone", "new"), 1):
            host.add_repo(f"acme/{name}-GGUF", seed=seed)
        hub.add_commit("acme/big-GGUF", big(seed=4))
        host.write_manifest(BEFORE)
        swap = FakeLlamaSwap(config=host.config, models=host.models, accepts=accepts_no_42)
        assert run_pass(host, swap).report.outcome is Outcome.APPLIED
        host.add_repo("acme/chat-GGUF", seed=5)
        hub.add_commit("acme/big-GGUF", big(seed=6))
        assert host.run("update", "--all").code == 0
        host.write_manifest(AFTER)
        yield host, swap


def big(*, seed: int) -> dict[str, bytes]:
    """A model in two shards."""
    return sharded_model("big-Q4_K_M", shards=2, payload_bytes=20_000, seed=seed)


@pytest.fixture
def ready(tmp_path: Path) -> Iterator[tuple[Sandbox, FakeLlamaSwap]]:
    """A host whose next run changes everything, and fails the gate."""
    with prepared_host(tmp_path / "host") as prepared:
        yield prepared


def visible(host: Sandbox) -> dict[str, Any]:
    """Everything that a person or llama-swap sees, wherever the host lies."""
    return {
        "files": host.model_files(),
        "config": host.config.read_text().replace(str(host.home), "HOME"),
        "beside the config": sorted(
            path.name for path in host.config.parent.iterdir() if ".bak." not in path.name
        ),
        "lock": host.lock.read_text(),
    }


def kept(host: Sandbox) -> dict[str, Any]:
    """What we keep to ourselves."""
    state = host.models / ".reconciler"
    ledger = (state / "ledger.json").read_text().replace(str(host.home), "HOME")
    return {
        "ledger": {**json.loads(ledger), "device": 0},
        "trash": sorted(path.name for path in (state / "trash").rglob("*") if path.is_file()),
        "partial": sorted(path.name for path in (state / "partial").iterdir()),
    }


def ledger_of(host: Sandbox) -> Ledger:
    """Give the ledger as it is now."""
    with opened(host) as (real, _):
        return real.inventory.load_ledger()


def backups(host: Sandbox) -> list[str]:
    """Give the texts of the config's backups."""
    return [path.read_text() for path in sorted(host.config.parent.glob("*.bak.*"))]


def test_failed_gate_gives_the_old_state_back(ready: tuple[Sandbox, FakeLlamaSwap]) -> None:
    """llama-swap does not come up: files, config and lock are as before, it serves the old models
    again, the digest is stalled with the reason, and the fetched bytes are kept for the next try.
    """
    host, swap = ready
    host.lock.write_bytes(host.lock.read_bytes())
    before, listed = visible(host), swap.listed
    report = run_pass(host, swap).report
    assert report.outcome is Outcome.ROLLED_BACK
    assert "does not answer OK" in report.message
    assert report.log_lines == ("the last words",)
    # The lock had no pin for the new model: what this run added is taken back as well.
    assert visible(host) == before
    assert (swap.up, swap.listed) == (True, listed)
    ledger = ledger_of(host)
    assert ledger.stalled
    assert "does not answer OK" in ledger.stalled_reason
    assert len(kept(host)["partial"]) == 4
    assert kept(host)["trash"] == []


def test_after_a_rollback_the_mended_state_needs_no_byte(
    ready: tuple[Sandbox, FakeLlamaSwap],
) -> None:
    """What a rolled back run had fetched is used by the next one."""
    host, swap = ready
    run_pass(host, swap)
    swap.accepts = lambda _: True
    host.hub.forget_requests()
    report = run_pass(host, swap).report
    assert report.outcome is Outcome.APPLIED
    assert [item for item in host.hub.requests if item.origin == "cdn"] == []
    assert ledger_of(host).stalled is None


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], int]:
    """The end of a rolled back run, and how many lasting changes it makes."""
    with prepared_host(tmp_path_factory.mktemp("undisturbed") / "host") as (host, swap):
        fuse = Fuse()
        assert not run_killed(host, fuse, swap)
        return visible(host) | kept(host), fuse.count


def test_the_rolled_back_run_makes_many_lasting_changes(
    undisturbed: tuple[dict[str, Any], int],
) -> None:
    """The instants tried below are those of a whole rollback: many, but bounded."""
    assert 24 <= undisturbed[1] <= MOST_CHANGES


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, MOST_CHANGES + 1))
def test_killed_at_any_change_of_a_rollback_it_ends_in_the_old_state(
    number: int, after: bool, tmp_path: Path, undisturbed: tuple[dict[str, Any], int]
) -> None:
    """Killed on the way forward or back while the gate fails, and killed once more while that is
    settled, the next run ends where an undisturbed one does. Only the pins that a run had added
    when it was killed before its rollout began may stay in the lock.
    """
    end, changes = undisturbed
    if number > changes:
        return
    with prepared_host(tmp_path / "host") as (host, swap):
        first = Fuse(number, after=after)
        assert run_killed(host, first, swap)
        begun = "discard" in first.names or (after and "save_rollout" in first.names)
        run_killed(host, Fuse(1 + number % 4, after=not after), swap)
        assert run_pass(host, swap).report.outcome is Outcome.ROLLED_BACK
        found = visible(host) | kept(host)
        if not begun:
            assert '"new"' in host.lock.read_text() or found["lock"] == end["lock"]
            found["lock"] = end["lock"]
        assert found == end
        assert swap.up


def test_edit_between_kill_and_next_run_survives(ready: tuple[Sandbox, FakeLlamaSwap]) -> None:
    """Killed after the config was written: what somebody then wrote into it stays, and the run is
    finished all the same.
    """
    host, swap = ready
    swap.accepts = lambda _: True
    assert run_killed(host, Fuse(1, only="restart"), swap)
    host.config.write_text(host.config.read_text() + "# a last word\n")
    report = run_pass(host, swap).report
    assert report.outcome in (Outcome.APPLIED, Outcome.IN_SYNC)
    assert host.config.read_text().endswith("# a last word\n")
    assert "ttl: 42" in host.config.read_text()


def test_edit_of_the_old_config_is_built_upon(ready: tuple[Sandbox, FakeLlamaSwap]) -> None:
    """Killed when the files were placed but the config not yet written: the edit made meanwhile
    stays, the run ends applied, and nothing is stalled.
    """
    host, swap = ready
    swap.accepts = lambda _: True
    assert run_killed(host, Fuse(4, only="stamp", after=True), swap)
    host.config.write_text(host.config.read_text() + "# a last word\n")
    assert run_pass(host, swap).report.outcome is Outcome.APPLIED
    assert host.config.read_text().endswith("# a last word\n")
    assert NEW_PATH in host.config.read_text()
    assert ledger_of(host).stalled is None


def test_entries_in_an_edited_config_stay_ours(ready: tuple[Sandbox, FakeLlamaSwap]) -> None:
    """The gate fails and somebody has edited the config in the meantime: it is left, and what we
    wrote into it is still known to be ours, so that it can be taken out again.
    """
    host, swap = ready

    def edits(config: str) -> bool:
        if "ttl: 42" in config and "# mine" not in config:
            host.config.write_text(config + "# mine\n")
        return "ttl: 42" not in config

    swap.accepts = edits
    heard = Heard()
    assert run_pass(host, swap, reporter=heard).report.outcome is Outcome.ROLLED_BACK
    assert any("edited by somebody else" in line for line in heard.warnings)
    assert host.config.read_text().endswith("# mine\n")
    assert NEW_PATH not in host.model_files()
    swap.accepts = lambda _: True
    host.write_manifest(BEFORE)
    assert run_pass(host, swap).report.outcome is Outcome.APPLIED
    config = host.config.read_text()
    assert NEW_PATH not in config
    assert "ttl: 42" not in config
    assert config.endswith("# mine\n")


def test_manifest_that_changed_after_the_kill_wins(ready: tuple[Sandbox, FakeLlamaSwap]) -> None:
    """A killed run is finished first; then the manifest as it is now decides."""
    host, swap = ready
    swap.accepts = lambda _: True
    assert run_killed(host, Fuse(1, only="restart"), swap)
    host.write_manifest(BEFORE)
    assert run_pass(host, swap).report.outcome is Outcome.APPLIED
    assert NEW_PATH not in host.model_files()
    assert "ttl: 42" not in host.config.read_text()
    assert "acme/gone-GGUF/gone-Q4_K_M.gguf" in host.model_files()


@pytest.mark.parametrize("only", ["discard", "put"])
def test_file_put_in_the_way_after_a_kill_is_never_overwritten(
    only: str, ready: tuple[Sandbox, FakeLlamaSwap]
) -> None:
    """Old bytes are in the trash, new ones not placed yet, the process is gone; somebody puts a
    file of their own there. It survives, forwards and back, and so do the old bytes.
    """
    host, swap = ready
    swap.accepts = lambda _: True
    old = host.model_files()[CHAT_PATH]
    assert run_killed(host, Fuse(3, only="discard", after=True), swap)
    assert CHAT_PATH not in host.model_files()
    (host.models / CHAT_PATH).parent.mkdir(parents=True, exist_ok=True)
    (host.models / CHAT_PATH).write_bytes(b"theirs")
    assert run_killed(host, Fuse(1, only=only), swap) or only == "discard"
    assert (host.models / CHAT_PATH).read_bytes() == b"theirs"
    run_pass(host, swap)
    everything = [path.read_bytes() for path in host.models.rglob("*.gguf")]
    assert b"theirs" in everything
    assert old in everything


def test_lock_that_was_written_after_the_kill_stays(ready: tuple[Sandbox, FakeLlamaSwap]) -> None:
    """A rollback puts back the lock that its own run wrote, never one that came in since."""
    host, swap = ready
    assert run_killed(host, Fuse(1, only="restart"), swap)
    pulled = host.lock.read_text().replace("\n}", "\n}\n")
    host.lock.write_text(pulled)
    with opened(host, swap) as (real, _):
        unfinished = real.inventory.load_rollout()
    assert unfinished is not None
    assert unfinished.changes_lock
    run_killed(host, Fuse(1, only="fetch"), swap)
    with contextlib.suppress(ReconcilerError):
        run_pass(host, swap)
    assert host.lock.read_text() == pulled


@dataclass
class EditedInBetween(ConfigFile):
    """A config that somebody edits in the instant before it is written."""

    real: ConfigFile
    edit: Callable[[], None]

    def read(self) -> bytes | None:
        """Give its bytes."""
        return self.real.read()

    def write(self, data: bytes, *, expected: bytes | None, now: datetime) -> None:
        """Be edited, and then be written."""
        self.edit()
        self.real.write(data, expected=expected, now=now)

    def half_written(self, before: bytes, after: bytes) -> bool:
        """Whether it is."""
        return self.real.half_written(before, after)

    def remove(self) -> None:
        """Take it away."""
        self.real.remove()


def test_config_edited_in_the_last_instant_is_left_and_nothing_is_stalled(
    ready: tuple[Sandbox, FakeLlamaSwap],
) -> None:
    """Somebody saves the config while files are placed: all is taken back, their bytes stand, the
    run fails with a plain error, llama-swap is not restarted, and the next run goes on at once.
    """
    host, swap = ready
    swap.accepts = lambda _: True
    before, restarts = visible(host), swap.restarts

    def edit() -> None:
        if "# saved" not in host.config.read_text():
            host.config.write_text(host.config.read_text() + "# saved\n")

    with pytest.raises(ReconcilerError, match="changed while we were at work"):
        run_pass(host, swap, wrap={"config": lambda real: EditedInBetween(real=real, edit=edit)})
    after = visible(host)
    assert after["files"] == before["files"]
    assert after["lock"] == before["lock"]
    assert host.config.read_text().endswith("# saved\n")
    assert swap.restarts == restarts
    assert ledger_of(host).stalled is None
    assert run_pass(host, swap).report.outcome is Outcome.APPLIED


def test_lock_edited_while_a_person_thinks_is_left(ready: tuple[Sandbox, FakeLlamaSwap]) -> None:
    """Between the plan and the yes a `git pull` brings another lock: it is not overwritten."""
    host, swap = ready
    pulled = host.lock.read_text() + "\n"

    def approve(_prepared: object) -> bool:
        host.lock.write_text(pulled)
        return True

    with opened(host, swap) as (real, manifest), pytest.raises(Refused, match="changed while"):
        run_once(real, manifest, Options(), approve=approve)
    assert host.lock.read_text() == pulled


def test_file_that_cannot_be_taken_away_stays_ours(ready: tuple[Sandbox, FakeLlamaSwap]) -> None:
    """After the gate a file cannot go to the trash: the run ends applied with a warning, and the
    next one takes the file away.
    """
    host, swap = ready
    swap.accepts = lambda _: True
    gone = "acme/gone-GGUF/gone-Q4_K_M.gguf"

    class Stuck:
        def __init__(self, real: Any) -> None:
            self.real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        def discard(self, path: str, trash: str) -> None:
            if path == gone:
                raise ReconcilerError("the disk is tired")
            self.real.discard(path, trash)

    heard = Heard()
    report = run_pass(host, swap, wrap={"folder": Stuck}, reporter=heard).report
    assert report.outcome is Outcome.APPLIED
    assert any("the disk is tired" in line for line in heard.warnings)
    assert gone in host.model_files()
    assert run_pass(host, swap).report.outcome is Outcome.APPLIED
    assert gone not in host.model_files()
    assert run_pass(host, swap).report.outcome is Outcome.IN_SYNC


def cut_short(old: bytes, new: bytes) -> bytes:
    """Give what a write in place leaves that ends right after its first change."""
    change = next(place for place in range(len(new)) if new[place] != old[place])
    half = new[: change + 1] + old[change + 1 :]
    assert half not in (old, new)
    return half


def test_half_written_config_of_a_single_file_mount_is_finished(
    ready: tuple[Sandbox, FakeLlamaSwap],
) -> None:
    """A config that must be written in place, and was cut short in the middle of that, is finished
    by the next run; where the gate then fails, the old text comes back whole.
    """
    host, swap = ready
    old = host.config.read_bytes()
    config = RealConfig(host.config, in_place=True, max_backups=3)
    # Two of its records were made, the third comes after the config was written.
    assert run_killed(host, Fuse(3, only="save_rollout"), swap)
    with opened(host, swap) as (real, _):
        unfinished = real.inventory.load_rollout()
    assert unfinished is not None
    new = (unfinished.config_after or "").encode()
    host.config.write_bytes(cut_short(old, new))
    assert run_pass(host, swap, config=config).report.outcome is Outcome.ROLLED_BACK
    assert host.config.read_bytes() == old


def test_half_written_config_is_gone_on_with_where_all_is_well(
    ready: tuple[Sandbox, FakeLlamaSwap],
) -> None:
    """The same cut, and llama-swap takes the new config: nothing is taken back."""
    host, swap = ready
    swap.accepts = lambda _: True
    old, restarts = host.config.read_bytes(), swap.restarts
    assert run_killed(host, Fuse(3, only="save_rollout"), swap)
    new = host.config.read_bytes()
    host.config.write_bytes(cut_short(old, new))
    config = RealConfig(host.config, in_place=True, max_backups=3)
    heard = Heard()
    run_pass(host, swap, config=config, reporter=heard)
    assert host.config.read_bytes() == new
    assert not any("taken back" in line for line in heard.warnings)
    assert swap.restarts == restarts + 1


def test_staged_bytes_that_changed_after_the_kill_are_not_placed(
    ready: tuple[Sandbox, FakeLlamaSwap],
) -> None:
    """Somebody writes into the partial folder between the kill and the next run: what is no longer
    proven never gets its name, and the run ends applied with the right bytes.
    """
    host, swap = ready
    swap.accepts = lambda _: True
    assert run_killed(host, Fuse(1, only="put"), swap)
    for staged in (host.models / ".reconciler" / "partial").iterdir():
        with staged.open("r+b") as handle:
            handle.write(b"spoilt")
    seen: list[bytes] = []

    class Watching:
        def __init__(self, real: Any) -> None:
            self.real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        def put(self, staged: str, path: Any) -> None:
            self.real.put(staged, path)
            seen.append(self.real.full(path).read_bytes())

    assert run_pass(host, swap, wrap={"folder": Watching}).report.outcome is Outcome.APPLIED
    assert len(seen) == 4
    assert not any(data.startswith(b"spoilt") for data in seen)


def test_container_that_is_gone_is_said_and_the_rest_can_be_settled_without(
    ready: tuple[Sandbox, FakeLlamaSwap],
) -> None:
    """Killed before the restart, and the container is removed: nothing is lost, and the run can
    still be finished when it is back. An engine that is merely not found is never taken for a host
    without one; only when a person says that there is no container is the run finished without.
    """
    host, swap = ready
    swap.accepts = lambda _: True
    assert run_killed(host, Fuse(1, only="restart"), swap)

    class Gone(FakeLlamaSwap):
        def observe(self) -> RuntimeState:
            raise RuntimeUnavailable("there is no container 'swap'")

        def restart(self) -> None:
            self.observe()

    gone = Gone(config=host.config, models=host.models)
    before = visible(host)
    with pytest.raises(RuntimeUnavailable, match="no container"):
        run_pass(host, gone)
    with pytest.raises(RuntimeUnavailable, match="container swap"):
        run_pass(host, None, runtime_named=False)
    assert visible(host) == before
    with opened(host) as (real, _):
        assert real.inventory.load_rollout() is not None
    report = run_pass(host, None).report
    assert report.outcome in (Outcome.APPLIED, Outcome.IN_SYNC)
    assert NEW_PATH in host.model_files()
    assert ledger_of(host).stalled is None


def test_plan_after_a_kill_says_so_and_changes_nothing(
    ready: tuple[Sandbox, FakeLlamaSwap],
) -> None:
    """A dry run tells that a run was cut short, whose work the next one finishes; it does not."""
    host, swap = ready
    assert run_killed(host, Fuse(1, only="restart"), swap)
    before = host.snapshot()
    result = host.run("--plan")
    assert "was cut short" in result.err
    assert host.snapshot() == before


def test_unfinished_run_on_another_config_is_not_settled_on_this_one(
    ready: tuple[Sandbox, FakeLlamaSwap],
) -> None:
    """A killed run changed one config, the next one manages another: it is refused and says which
    config to name; both stay as they are.
    """
    host, swap = ready
    assert run_killed(host, Fuse(1, only="restart"), swap)
    first, second = host.config, host.home / "other" / "config.yaml"
    second.parent.mkdir()
    second.write_text(CONFIG)
    before = first.read_bytes()
    host.settings["RECONCILER_CONFIG"] = str(second)
    result = host.run("--yes")
    assert result.code == 1
    assert str(first) in result.err
    assert (first.read_bytes(), second.read_text()) == (before, CONFIG)


def test_moved_config_keeps_what_is_ours_and_no_more(tmp_path: Path) -> None:
    """Pointed at another config, an entry there that reads as ours is ours; one that only has the
    same name is somebody else's, and is given back as it was when the model goes.
    """
    with prepared_host(tmp_path / "host") as (host, _):
        theirs = CONFIG + "  chat:\n    cmd: my-own-server -m /srv/chat.gguf\n    ttl: 9\n"
        other = host.home / "other" / "config.yaml"
        other.parent.mkdir()
        other.write_text(theirs)
        host.settings["RECONCILER_CONFIG"] = str(other)
        host.write_manifest(BEFORE)
        host.apply()
        assert CHAT_PATH in other.read_text()
        host.write_manifest("")
        host.apply("--allow-prune")
        assert other.read_text() == theirs


@needs_root
def test_disk_that_fills_between_fetching_and_placing_costs_nothing(tmp_path: Path) -> None:
    """The models' disk is filled to its last byte before files are placed: the run fails with a
    word on the room, the old state stands, and once there is room the next run ends applied.
    """
    with small_disk(tmp_path / "small", size="4m") as disk, running_hub() as hub:
        host = Sandbox(home=tmp_path / "host", hub=hub)
        host.models.rmdir()
        (disk / "models").mkdir()
        host.models.symlink_to(disk / "models")
        host.add_repo("acme/chat-GGUF")
        host.add_repo("acme/new-GGUF", seed=3)
        host.write_manifest(BEFORE[: BEFORE.index("  gone:")])
        swap = FakeLlamaSwap(config=host.config, models=disk / "models")
        run_pass(host, swap)
        host.write_manifest(AFTER[: AFTER.index("  big:")])
        before = visible(host)
        assert run_killed(host, Fuse(1, only="save_rollout"), swap)
        filler = fill(disk)
        with pytest.raises(ReconcilerError, match="no room"):
            run_pass(host, swap)
        assert before["files"].items() <= host.model_files().items()
        filler.unlink()
        assert run_pass(host, swap).report.outcome is Outcome.APPLIED
        assert NEW_PATH in host.model_files()


@needs_root
def test_disk_that_fills_while_placing_leaves_the_old_files(tmp_path: Path) -> None:
    """The disk is full when the first new file was placed, so that not even that can be written
    down: the old files are back at their places all the same.
    """
    with small_disk(tmp_path / "small", size="4m") as disk, running_hub() as hub:
        host = Sandbox(home=tmp_path / "host", hub=hub)
        host.settings["RECONCILER_MODELS_DIR"] = str(disk)
        host.add_repo("acme/chat-GGUF")
        host.write_manifest(BEFORE[: BEFORE.index("  gone:")])
        run_pass(host)
        old = (disk / CHAT_PATH).read_bytes()
        config = host.config.read_bytes()
        new = host.add_repo("acme/chat-GGUF", seed=9)["chat-Q4_K_M.gguf"]
        assert host.run("update", "--all").code == 0

        class Filling:
            def __init__(self, real: Any) -> None:
                self.real = real

            def __getattr__(self, name: str) -> Any:
                return getattr(self.real, name)

            def put(self, staged: str, path: Any) -> None:
                self.real.put(staged, path)
                fill(disk)

        with pytest.raises(ReconcilerError, match="no room"):
            run_pass(host, wrap={"folder": Filling})
        assert (disk / CHAT_PATH).read_bytes() == old
        assert host.config.read_bytes() == config
        (disk / "filler").unlink()
        host.apply()
        assert (disk / CHAT_PATH).read_bytes() == new
