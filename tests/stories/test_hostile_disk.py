"""A models folder as people leave it: links, folders in the way, shared files, and no room."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.runs import Outcome
from reconciler.errors import DiskFull, TransferBroken
from tests.support.fakes import Heard, NoTransfer
from tests.support.foreign import NoStores, without_clones
from tests.support.fuse import Fuse, opened, run_killed, run_pass
from tests.support.mounts import ORDINARY
from tests.support.sandbox import CONFIG, Sandbox
from tests.support.small_disk import fill, needs_root, small_disk

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
COPY = "  copy:\n    source: acme/copy-GGUF:Q4_K_M\n"
CHAT_PATH = "acme/chat-GGUF/chat-Q4_K_M.gguf"
COPY_PATH = "acme/copy-GGUF/chat-Q4_K_M.gguf"


@pytest.fixture
def chat(host: Sandbox) -> bytes:
    """A repository with one model, declared in the manifest; gives its bytes."""
    data = host.add_repo("acme/chat-GGUF")["chat-Q4_K_M.gguf"]
    host.write_manifest(CHAT)
    return data


def add_copy(host: Sandbox, data: bytes) -> None:
    """Another repository with the very same file, declared as well."""
    host.hub.add_commit("acme/copy-GGUF", {"chat-Q4_K_M.gguf": data})
    host.write_manifest(CHAT + COPY)


def state_folder(host: Sandbox) -> Path:
    """Our own folder."""
    return host.models / ".reconciler"


def test_folder_in_the_way_stalls_its_model_alone(host: Sandbox, chat: bytes) -> None:
    """A folder where a model's file should go: that model waits for a person, by name; nothing of
    it is fetched, nothing in the folder touched, and the others are applied.
    """
    add_copy(host, chat)
    kept = host.models / CHAT_PATH / "notes.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    plan = host.plan()
    assert list(plan["stalled"]) == ["chat"]
    assert "no file" in plan["stalled"]["chat"]["reason"]
    assert host.run("--yes").code == 4
    assert kept.read_text() == "mine"
    assert host.model_files()[COPY_PATH] == chat


def test_link_out_of_the_models_folder_stalls_its_models(host: Sandbox, chat: bytes) -> None:
    """An organisation's folder that is a link to elsewhere: nothing is made there, the message
    names the link, no byte is fetched; a model that lies there already is used as found.
    """
    elsewhere = host.home / "big-disk"
    elsewhere.mkdir()
    (host.models / "acme").symlink_to(elsewhere)
    host.hub.forget_requests()
    result = host.run("--yes")
    assert (result.code, "leads out" in result.out + result.err) == (4, True)
    assert list(elsewhere.iterdir()) == []
    assert not [item for item in host.hub.requests if item.origin == "cdn"]
    (elsewhere / "chat-GGUF").mkdir()
    (elsewhere / "chat-GGUF" / "chat-Q4_K_M.gguf").write_bytes(chat)
    host.apply()
    assert CHAT_PATH in host.config.read_text()
    host.write_manifest("")
    host.apply("--allow-prune")
    assert (elsewhere / "chat-GGUF" / "chat-Q4_K_M.gguf").read_bytes() == chat


def test_dangling_link_is_kept(host: Sandbox, chat: bytes) -> None:
    """A model linked to a disk that is not mounted stalls; the link is not replaced."""
    assert chat
    link = host.models / CHAT_PATH
    link.parent.mkdir(parents=True)
    link.symlink_to("/not/mounted/chat.gguf")
    assert host.run("--yes").code == 4
    assert str(link.readlink()) == "/not/mounted/chat.gguf"
    assert host.config.read_text() == CONFIG


def test_local_source_is_copied_and_its_file_left_as_it_is(host: Sandbox) -> None:
    """A `file://` source on the same disk is not linked: its mode stays, and what its owner later
    writes into it does not reach the served model.
    """
    source = host.home / "phi-4-Q4_K_M.gguf"
    data = host.add_repo("acme/phi-GGUF")["phi-Q4_K_M.gguf"]
    source.write_bytes(data)
    source.chmod(0o600)
    host.write_manifest(f"  phi:\n    source: file://{source}\n")
    host.apply()
    assert stat.S_IMODE(source.stat().st_mode) == 0o600
    assert source.stat().st_nlink == 1
    with source.open("r+b") as handle:
        handle.write(b"overwritten in place")
    placed = host.models / "_local" / source.name
    assert placed.read_bytes() == data


def test_twin_of_a_model_is_linked_and_costs_no_transfer(host: Sandbox, chat: bytes) -> None:
    """The same digest under another name is not fetched again, and takes no more room."""
    host.apply()
    add_copy(host, chat)
    host.hub.forget_requests()
    with without_clones():
        host.apply()
    assert not [item for item in host.hub.requests if item.origin == "cdn"]
    both = [(host.models / path).stat().st_ino for path in (CHAT_PATH, COPY_PATH)]
    assert both[0] == both[1]
    host.write_manifest(CHAT)
    host.apply()
    assert host.model_files()[CHAT_PATH] == chat


@pytest.mark.parametrize("change", ["shorter", "longer", "same size"])
def test_staged_link_to_a_live_model_is_never_written_through(
    host: Sandbox, chat: bytes, change: str
) -> None:
    """Killed when a twin was linked into the partial folder; then somebody edits the live model in
    place. The next run fetches what it wants, and the edited file keeps every byte.
    """
    host.apply()
    add_copy(host, chat)
    assert run_killed(host, Fuse(1, only="stage_shared", after=True))
    live = host.models / CHAT_PATH
    edited = {"shorter": chat[:-100], "longer": chat + b"more", "same size": b"x" + chat[1:]}
    with live.open("r+b") as handle:
        handle.write(edited[change])
        handle.truncate()
    # Their file is damage to us, and goes to the trash: there it must be found as they left it.
    host.apply()
    assert host.model_files()[COPY_PATH] == chat
    assert host.model_files()[CHAT_PATH] == chat
    trashed = [path.read_bytes() for path in (state_folder(host) / "trash").rglob("*.gguf")]
    assert trashed == [edited[change]]


def test_file_deleted_while_others_are_fetched_is_never_placed_unproven(
    host: Sandbox, chat: bytes
) -> None:
    """A file that was in place when the run was planned goes while bytes are fetched, and half of
    it lies in the partial folder: nothing unproven is made visible, and the next run mends it.
    """
    host.apply()
    digest = (host.models / f"{CHAT_PATH}.sha256").read_text().split()[0]
    host.add_repo("acme/code-GGUF", seed=9)
    host.write_manifest(CHAT + "  code:\n    source: acme/code-GGUF:Q4_K_M\n")
    (state_folder(host) / "partial" / digest).write_bytes(chat[:1000])

    class Deleting(NoTransfer):
        def __init__(self, real: Any) -> None:
            self.real = real

        def fetch(self, *arguments: Any, **named: Any) -> Any:
            found = self.real.fetch(*arguments, **named)
            (host.models / CHAT_PATH).unlink(missing_ok=True)
            return found

    with pytest.raises(TransferBroken, match="changed while"):
        run_pass(host, wrap={"transfer": Deleting})
    assert CHAT_PATH not in host.model_files()
    host.apply()
    assert host.model_files()[CHAT_PATH] == chat


def test_failed_fetch_stalls_only_the_models_that_lack_the_bytes(
    host: Sandbox, chat: bytes
) -> None:
    """Two models want one digest; the one that has it, found at its place, is applied even though
    the other's fetch fails, where that file is in no store that it could be taken from.
    """
    add_copy(host, chat)
    found = host.models / CHAT_PATH
    found.parent.mkdir(parents=True)
    found.write_bytes(chat)
    host.run("lock")
    host.settings["HF_HUB_OFFLINE"] = "1"
    assert run_pass(host, stores=NoStores()).report.outcome is Outcome.PARTIAL
    assert CHAT_PATH in host.config.read_text()
    assert COPY_PATH not in host.config.read_text()


def test_unreadable_file_stalls_its_model_alone(host: Sandbox, chat: bytes) -> None:
    """A circle of links at a model's place is told; the other models are applied."""
    add_copy(host, chat)
    circle = host.models / CHAT_PATH
    circle.parent.mkdir(parents=True)
    circle.symlink_to(circle)
    result = host.run("--yes")
    assert (result.code, "Traceback" in result.err) == (4, False)
    assert host.model_files()[COPY_PATH] == chat
    assert circle.is_symlink()


def test_stamp_of_somebody_else_survives_a_whole_life(host: Sandbox, chat: bytes) -> None:
    """A list of digests that a person keeps beside a model is there before, during and after."""
    assert chat
    theirs = host.models / f"{CHAT_PATH}.sha256"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("# my own notes\n")
    host.apply()
    assert theirs.read_text() == "# my own notes\n"
    host.add_repo("acme/chat-GGUF", seed=3)
    host.run("update", "--all")
    host.apply()
    host.write_manifest("")
    host.apply("--allow-prune")
    assert host.model_files() == {f"{CHAT_PATH}.sha256": b"# my own notes\n"}


def test_config_that_we_made_goes_with_us(host: Sandbox, chat: bytes) -> None:
    """Where no config was, one is made; with nothing left in it of ours it holds nothing."""
    assert chat
    host.config.unlink()
    host.apply()
    assert CHAT_PATH in host.config.read_text()
    host.write_manifest("")
    host.apply("--allow-prune")
    assert host.config.read_text() == ""


def test_config_behind_a_link_is_changed_where_it_lies(host: Sandbox, chat: bytes) -> None:
    """A config linked into a checkout stays a link; backups lie beside the link."""
    assert chat
    real = host.home / "dotfiles" / "swap.yaml"
    real.parent.mkdir()
    host.config.rename(real)
    host.config.symlink_to(real)
    host.apply()
    assert host.config.is_symlink()
    assert CHAT_PATH in real.read_text()
    assert [path.name for path in real.parent.iterdir()] == ["swap.yaml"]
    assert len(list(host.config.parent.glob("config.yaml.bak.*"))) == 1


def test_run_with_nothing_to_do_writes_only_its_record(host: Sandbox, chat: bytes) -> None:
    """No byte and no time changes anywhere, folders and our own state included, but for the
    database and the file that hold the run's record, and the lock that says who ran.
    """
    assert chat
    host.apply()

    def times() -> dict[str, tuple[int, int]]:
        own = {"inventory.db", "run.lock", "last_sync_metadata.json"}
        return {
            str(path): (path.stat().st_mtime_ns, path.stat().st_ino)
            for path in host.home.rglob("*")
            # SQLite's own files beside the database come and go, and with them a folder's time.
            if path.name not in own and path != state_folder(host)
        }

    before = times()
    host.apply()
    assert times() == before


def test_intent_is_written_down_before_anything_that_shows(host: Sandbox, chat: bytes) -> None:
    """The first lasting change of a rollout is its own record; each placement and the config come
    after it, and the ledger comes last.
    """
    assert chat
    fuse = Fuse()
    assert not run_killed(host, fuse)
    shows = [name for name in fuse.names if name in {"put", "stamp", "discard", "end_rollout"}]
    assert fuse.names.index("save_rollout") < fuse.names.index("put")
    assert shows[-1] == "end_rollout"


def test_interrupt_while_fetching_is_recorded(host: Sandbox, chat: bytes) -> None:
    """Ctrl-C in the middle of a transfer ends the run at once, and it is kept as interrupted; a
    defect of ours is kept as failed.
    """
    assert chat

    class Ending(NoTransfer):
        def __init__(self, error: BaseException) -> None:
            self.error = error

        def fetch(self, *_: Any, **__: Any) -> Any:
            raise self.error

    for error, outcome in (
        (KeyboardInterrupt(), Outcome.INTERRUPTED),
        (ZeroDivisionError("oh"), Outcome.FAILED),
    ):
        with pytest.raises(type(error)):
            run_pass(host, transfer=Ending(error))
        with opened(host) as (real, _):
            assert real.inventory.last_runs(1)[0].outcome is outcome


def test_signal_during_the_rollout_waits_for_its_end(host: Sandbox, chat: bytes) -> None:
    """SIGTERM right after the first file was placed: config and ledger are still written, and only
    then the run ends as interrupted.
    """
    assert chat

    class Signalling:
        def __init__(self, real: Any) -> None:
            self.real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        def put(self, staged: str, path: Any) -> None:
            self.real.put(staged, path)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_pass(host, wrap={"folder": Signalling})
    assert CHAT_PATH in host.config.read_text()
    assert host.plan()["actions"] == []


@needs_root
def test_disk_that_fills_while_fetching_is_told_as_such(host: Sandbox, chat: bytes) -> None:
    """The run that meets a full disk says so, leaves nothing half-visible, and is gone on with
    once there is room.
    """
    assert chat
    with small_disk(host.home / "disk", size="3m") as disk:
        host.settings |= {"RECONCILER_MODELS_DIR": str(disk), "RECONCILER_DISK_RESERVE": "0"}

        class Filling(NoTransfer):
            def __init__(self, real: Any) -> None:
                self.real = real

            def fetch(self, *arguments: Any, **named: Any) -> Any:
                fill(disk)
                return self.real.fetch(*arguments, **named)

        heard = Heard()
        with pytest.raises(DiskFull):
            run_pass(host, wrap={"transfer": Filling}, reporter=heard)
        assert any(line.startswith("chat: no room left") for line in heard.warnings)
        assert [path for path in disk.rglob("*.gguf") if "partial" not in path.parts] == []
        assert host.config.read_text() == CONFIG
        (disk / "filler").unlink()
        host.apply()
        assert (disk / CHAT_PATH).read_bytes() == chat


@needs_root
def test_plan_that_does_not_fit_is_refused_before_its_first_byte(host: Sandbox) -> None:
    """Two models of which only one would fit: none is begun, nothing is asked of the hub's
    storage, and the message says what is needed, what is free, and what would lift it. Without
    the one too many the other is applied.
    """
    data = host.add_repo("acme/chat-GGUF", size=1_600_000)["chat-Q4_K_M.gguf"]
    host.add_repo("acme/code-GGUF", seed=9, size=1_600_000)
    host.write_manifest(CHAT + "  code:\n    source: acme/code-GGUF:Q4_K_M\n")
    with small_disk(host.home / "disk", size="3m") as disk:
        host.settings |= {"RECONCILER_MODELS_DIR": str(disk), "RECONCILER_DISK_RESERVE": "0"}
        result = host.run("--yes")
        assert (result.code, "has no room for this: 3.2 MB must be" in result.err) == (1, True)
        assert "enabled: false" in result.err
        assert not [item for item in host.hub.requests if item.origin == "cdn"]
        assert [path.name for path in disk.rglob("*") if path.stat().st_size > 1_000_000] == []
        host.write_manifest(CHAT)
        host.apply()
        assert (disk / CHAT_PATH).read_bytes() == data


def test_reserve_is_a_setting(host: Sandbox, chat: bytes) -> None:
    """With more to stay free than any disk has, the plan is refused; the option wins."""
    assert chat
    host.settings["RECONCILER_DISK_RESERVE"] = "9000T"
    result = host.run("--yes")
    assert (result.code, "9000.0 TB stay free" in result.err) == (1, True)
    host.apply("--disk-reserve", "0")


@needs_root
def test_read_only_disk_is_told_before_anything_is_tried(
    host: Sandbox, chat: bytes, mount_table: Path
) -> None:
    """The plan refuses, naming the mount; a run that cannot even open its own folder says the
    same. Mounted for writing, it goes on.
    """
    assert chat
    with small_disk(host.home / "disk", size="3m") as disk:
        host.settings |= {"RECONCILER_MODELS_DIR": str(disk), "RECONCILER_DISK_RESERVE": "0"}
        mount_table.write_bytes(Path("/proc/self/mountinfo").read_bytes())
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        mount_table.write_bytes(Path("/proc/self/mountinfo").read_bytes())
        plan = host.plan()
        assert f"lies on {disk} (tmpfs), which is mounted read-only" in str(plan["refusals"])
        result = host.run("--yes")
        assert (result.code, "mounted read-only" in result.err) == (1, True)
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        mount_table.write_bytes(Path("/proc/self/mountinfo").read_bytes())
        host.apply()
        assert (disk / CHAT_PATH).read_bytes() == chat


@needs_root
def test_disk_that_turns_read_only_says_so(host: Sandbox, chat: bytes) -> None:
    """A disk with errors is mounted read-only by the kernel while we run it: the next run says
    what it is, and not that its owner is wrong.
    """
    assert chat
    with small_disk(host.home / "disk", size="3m") as disk:
        host.settings |= {"RECONCILER_MODELS_DIR": str(disk), "RECONCILER_DISK_RESERVE": "0"}
        host.apply()
        host.add_repo("acme/code-GGUF", seed=9)
        host.write_manifest(CHAT + "  code:\n    source: acme/code-GGUF:Q4_K_M\n")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        result = host.run("--yes")
        assert (result.code, "read-only" in result.err) == (1, True)
        assert "Traceback" not in result.err


def test_names_that_differ_in_case_alone_stall_where_case_is_ignored(
    host: Sandbox, chat: bytes, mount_table: Path
) -> None:
    """On FAT two repositories whose names differ in case alone would be one file: both models wait
    for a person, nothing of them is fetched, and a third is applied.
    """
    host.hub.add_commit("Acme/Chat-GGUF", {"chat-Q4_K_M.gguf": b"other" + chat})
    host.add_repo("acme/code-GGUF", seed=9)
    host.write_manifest(
        CHAT
        + "  shouted:\n    source: Acme/Chat-GGUF:Q4_K_M\n"
        + "  code:\n    source: acme/code-GGUF:Q4_K_M\n"
    )
    point = str(host.models).replace(" ", "\\040")
    mount_table.write_text(f"{ORDINARY}29 28 8:2 / {point} rw - vfat /dev/sdb1 rw\n")
    plan = host.plan()
    assert set(plan["stalled"]) == {"chat", "shouted"}
    assert "Acme/Chat-GGUF" in plan["stalled"]["chat"]["reason"]
    assert host.run("--yes").code == 4
    assert list(host.model_files()) == [
        "acme/code-GGUF/code-Q4_K_M.gguf",
        "acme/code-GGUF/code-Q4_K_M.gguf.sha256",
    ]


def test_served_filesystem_is_told_once_and_only_with_something_to_do(
    host: Sandbox, chat: bytes, mount_table: Path
) -> None:
    """The plan that brings bytes to NFS carries one warning; the one after it is silent."""
    assert chat
    mount_table.write_text(f"{ORDINARY}29 28 0:40 / {host.models} rw - nfs4 nas:/models rw\n")
    assert sum("another system serves" in line for line in host.plan()["warnings"]) == 1
    assert host.apply().out.count("another system serves") == 1
    assert host.plan()["warnings"] == []
    assert "nfs4" not in host.apply().out
