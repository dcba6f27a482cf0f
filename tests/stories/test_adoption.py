"""Never a byte twice: what lies on this machine already is taken from there, and left as it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.source import LocalOrigin
from reconciler.errors import Unreachable
from tests.support.fakes import FakeLlamaSwap, Heard
from tests.support.foreign import (
    LAYOUTS,
    NAME,
    REPO,
    Layout,
    as_it_is,
    hub_cache,
    lm_studio,
    mounted,
    named_folder,
    ollama,
    sha256_of,
    sharing_filesystems,
    without_clones,
    without_links,
    write,
)
from tests.support.fuse import Fuse, run_killed, run_pass
from tests.support.hub import running_hub
from tests.support.public_client import public_client
from tests.support.sandbox import CONFIG, Sandbox

CHAT = f"  chat:\n    source: {REPO}:Q4_K_M\n"
CHAT_PATH = f"{REPO}/{NAME}"
MOVED = "  chat:\n    source: acme/moved-GGUF:Q4_K_M\n"
MOVED_PATH = f"acme/moved-GGUF/{NAME}"


@pytest.fixture
def chat(host: Sandbox) -> bytes:
    """The bytes of a model that the manifest asks for, on the hub and in the lock.

    No run asks the hub about pins that are there already.
    """
    host.settings["SYNC_MODE"] = "incremental"
    data = host.add_repo(REPO)[NAME]
    host.write_manifest(CHAT)
    assert host.run("lock").code == 0
    host.hub.forget_requests()
    return data


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The hub's own client."""
    with public_client(tmp_path_factory.mktemp("hf-home")) as package:
        yield package


def adopted(host: Sandbox) -> dict[str, Any]:
    """Give the plan's one action that brings bytes, which must take them from this machine."""
    brings = [item for item in host.plan()["actions"] if item["action"] in ("adopt", "download")]
    assert [item["action"] for item in brings] == ["adopt"]
    return dict(brings[0])


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.make.__name__)
def test_bytes_in_a_store_of_others_are_not_fetched(
    host: Sandbox, chat: bytes, layout: Layout
) -> None:
    """The plan says where the bytes are, the hub is asked for nothing, and the store is afterwards
    what it was to its owner: names, bytes, times, modes.
    """
    folder = layout.make(host, chat)
    before = as_it_is(folder)
    action = adopted(host)
    assert action["store"] == layout.store
    assert layout.store.shown in action["reason"] or "the same bytes are at" in action["reason"]
    host.apply()
    assert (host.models / CHAT_PATH).read_bytes() == chat
    assert host.hub.requests == ()
    assert as_it_is(folder) == before
    assert host.plan()["actions"] == []


@pytest.mark.parametrize("how", ["cache", "local_dir", "local_dir in the models folder"])
def test_what_the_hubs_own_client_downloaded_is_not_fetched_again(
    host: Sandbox, chat: bytes, client: Any, how: str
) -> None:
    """Its cache, and a folder it downloaded to with the notes it leaves there, are both read."""
    folder = {
        "cache": host.home / "cache" / "huggingface" / "hub",
        "local_dir": host.home / "theirs",
        "local_dir in the models folder": host.models / "theirs",
    }[how]
    if how == "local_dir":
        host.settings["RECONCILER_ADOPT_FROM"] = str(folder)
    where = {"cache_dir": folder} if how == "cache" else {"local_dir": folder}
    client.snapshot_download(REPO, endpoint=host.hub.url, token=False, **where)
    host.hub.forget_requests()
    before = as_it_is(folder)
    result = host.run("--plan")
    # All of them say their digest, so that none is read before it is taken.
    assert "hashing" not in result.err
    assert "reuse" in result.out
    host.apply()
    assert (host.models / CHAT_PATH).read_bytes() == chat
    assert host.hub.requests == ()
    assert as_it_is(folder) == before


def test_only_stores_that_name_by_digest_are_linked(host: Sandbox, chat: bytes) -> None:
    """A blob that needs no other mode or owner gets a second name; one that would need them, and a
    file that its owner may write to, are copied.
    """
    blob = next((ollama(host, chat) / "blobs").iterdir())
    blob.chmod(0o644)
    os.chown(blob, host.models.stat().st_uid, host.models.stat().st_gid)
    with without_clones():
        host.apply()
    assert (host.models / CHAT_PATH).stat().st_ino == blob.stat().st_ino


@pytest.mark.parametrize("make", [ollama, lm_studio], ids=["private blob", "plain file"])
def test_a_file_that_would_be_changed_by_a_link_is_copied(
    host: Sandbox, chat: bytes, make: Callable[[Sandbox, bytes], Path]
) -> None:
    """A blob that only its owner may read, and a file without a digest in its name, share no inode
    with ours: neither its mode nor later writing reaches over.
    """
    folder = make(host, chat)
    files = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size > 10_000]
    for path in files:
        path.chmod(0o600 if make is ollama else 0o644)
    host.apply()
    assert host.hub.requests == ()
    assert [path.stat().st_nlink for path in files] == [1]
    assert (host.models / CHAT_PATH).stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("kind", sharing_filesystems)
def test_blocks_are_shared_where_the_filesystem_can(tmp_path: Path, kind: str) -> None:
    """On XFS and Btrfs a model of another program takes no room a second time, and is a file of its
    own: what is written to one does not show in the other.
    """
    with mounted(tmp_path, kind) as disk, running_hub() as hub:
        host = Sandbox(home=disk / "host", hub=hub, settings={"RECONCILER_DISK_RESERVE": "0"})
        data = host.add_repo(REPO, size=24 << 20)[NAME]
        host.write_manifest(CHAT)
        theirs = named_folder(host, data) / "deep" / "er" / "renamed.bin"
        os.sync()
        free_bytes = shutil.disk_usage(disk).free
        result = host.apply()
        os.sync()
        assert free_bytes - shutil.disk_usage(disk).free < 4 << 20
        assert "hashing renamed.bin" in result.err
        placed = host.models / CHAT_PATH
        assert placed.stat().st_ino != theirs.stat().st_ino
        with theirs.open("r+b") as handle:
            handle.write(b"overwritten in place")
        assert placed.read_bytes() == data
        assert [item for item in hub.requests if item.origin == "cdn"] == []


@pytest.mark.parametrize("kind", sharing_filesystems)
def test_a_store_that_lies_is_found_out_where_blocks_are_shared(tmp_path: Path, kind: str) -> None:
    """Shared blocks are proven as copied ones are: wrong ones are dropped, and the hub is asked."""
    with mounted(tmp_path, kind) as disk, running_hub() as hub:
        host = Sandbox(home=disk / "host", hub=hub, settings={"RECONCILER_DISK_RESERVE": "0"})
        data = host.add_repo(REPO)[NAME]
        host.write_manifest(CHAT)
        blob = ollama(host, data) / "blobs" / f"sha256-{sha256_of(data)}"
        blob.write_bytes(b"lie".ljust(len(data), b"."))
        assert "is not taken from Ollama" in host.apply().err
        assert (host.models / CHAT_PATH).read_bytes() == data


@pytest.mark.parametrize("mode", [0o644, 0o600], ids=["linked", "copied"])
def test_a_store_that_lies_costs_one_look(host: Sandbox, chat: bytes, mode: int) -> None:
    """A blob whose name claims the digest and whose bytes are others ends with the right bytes,
    from the hub; that is said once, and not believed again.
    """
    models = ollama(host, chat)
    blob = models / "blobs" / f"sha256-{sha256_of(chat)}"
    blob.write_bytes(b"x" + chat[1:])
    blob.chmod(mode)
    before = as_it_is(models)
    with without_clones():
        result = host.apply()
    assert result.err.count("is not taken from Ollama") == 1
    assert (host.models / CHAT_PATH).read_bytes() == chat
    assert as_it_is(models) == before
    (host.models / CHAT_PATH).unlink()
    assert host.plan()["actions"][0]["action"] == "download"


class Unplugged:
    """A transfer that reaches nobody."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def fetch(self, *_: Any, **__: Any) -> Any:
        """Not now."""
        raise Unreachable("no answer", hint="plug it in")


@pytest.mark.parametrize("kind", sharing_filesystems)
def test_what_a_lying_store_gave_is_never_taken_for_brought(tmp_path: Path, kind: str) -> None:
    """Where the hub cannot be asked instead, nothing of the lie stays staged: the next plan wants
    all of the bytes.
    """
    with mounted(tmp_path, kind) as disk, running_hub() as hub:
        host = Sandbox(home=disk / "host", hub=hub, settings={"RECONCILER_DISK_RESERVE": "0"})
        data = host.add_repo(REPO)[NAME]
        host.write_manifest(CHAT)
        blob = ollama(host, data) / "blobs" / f"sha256-{sha256_of(data)}"
        blob.write_bytes(b"x" + data[1:])
        report = run_pass(host, wrap={"transfer": Unplugged}).report
        assert report.outcome == "partial"
        assert host.partial_bytes() == 0
        action = host.plan()["actions"][0]
        assert (action["action"], action["have_bytes"]) == ("download", 0)


@pytest.mark.parametrize(
    "unfinished",
    [
        ".ollama/models/blobs/sha256-{digest}-partial",
        "cache/huggingface/hub/models--acme--chat-GGUF/blobs/{digest}.incomplete",
        "cache/huggingface/hub/models--acme--chat-GGUF/blobs/{digest}.1a2b3c4d.incomplete",
        "cache/llama.cpp/acme_chat-GGUF_chat-Q4_K_M.gguf.downloadInProgress",
        ".lmstudio/models/acme/chat-GGUF/chat-Q4_K_M.gguf.part",
    ],
)
def test_what_another_program_has_not_finished_is_never_taken(
    host: Sandbox, chat: bytes, unfinished: str
) -> None:
    """An unfinished file of others is left to them, whatever its size and even its bytes."""
    write(host.home / unfinished.format(digest=sha256_of(chat)), chat)
    host.settings["RECONCILER_ADOPT_FROM"] = str(host.home / ".ollama")
    assert host.plan()["actions"][0]["action"] == "download"


def test_a_preallocated_download_of_aria2_is_never_taken(host: Sandbox, chat: bytes) -> None:
    """As long as its control file lies beside it, it is not whole."""
    folder = host.home / "downloads"
    write(folder / NAME, chat)
    write(folder / f"{NAME}.aria2", b"control")
    assert host.plan("--adopt-from", str(folder))["actions"][0]["action"] == "download"
    (folder / f"{NAME}.aria2").unlink()
    assert host.plan("--adopt-from", str(folder))["actions"][0]["action"] == "adopt"


def test_stores_of_other_programs_can_be_left_alone(host: Sandbox, chat: bytes) -> None:
    """With `--adopt off` no other program's store is used; a folder that is named still is."""
    ollama(host, chat)
    assert host.plan("--adopt", "off")["actions"][0]["action"] == "download"
    folder = named_folder(host, chat)
    action = host.plan("--adopt", "off", "--adopt-from", str(folder))["actions"][0]
    assert (action["action"], action["store"]) == ("adopt", "folder")


def test_stores_that_cannot_be_read_are_no_error(host: Sandbox, chat: bytes) -> None:
    """Folders that are files, links that lead nowhere or in a circle, pipes and nonsense in notes:
    each is simply no source.
    """
    write(host.home / ".ollama", b"a file")
    write(host.home / ".lmstudio-home-pointer", b"\0\xff")
    cache = host.home / "cache" / "huggingface" / "hub" / "models--acme--chat-GGUF"
    (cache / "blobs").mkdir(parents=True)
    os.mkfifo(cache / "blobs" / sha256_of(chat))
    for number, note in enumerate((b"[" * 100_000, b"[1]", b'{"files": {"../../x": 7}}', b"\xff")):
        write(cache / "trees" / f"{number}.json", note)
        write(host.home / "cache" / "llama.cpp" / f"manifest=a=b={number}.json", note)
    circle = host.home / "circle"
    circle.symlink_to(circle)
    nowhere = host.home / "nowhere"
    host.settings["RECONCILER_ADOPT_FROM"] = f"{circle},{nowhere}"
    host.apply()
    assert (host.models / CHAT_PATH).read_bytes() == chat


class Untouched:
    """A port that must not be asked anything."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was asked for")


def test_a_plan_with_nothing_to_do_looks_at_no_store(host: Sandbox, chat: bytes) -> None:
    """Where nothing is missing, no folder of others is touched; nor where all is staged."""
    host.apply()
    assert run_pass(host, stores=Untouched()).report.outcome == "in sync"
    assert (host.models / CHAT_PATH).read_bytes() == chat


def test_a_file_of_the_right_size_is_hashed_once(host: Sandbox, chat: bytes) -> None:
    """What tells no digest must be read, and only once as long as it stays as it is."""
    folder = lm_studio(host, b"x" + chat[1:])
    assert f"hashing {NAME}" in host.run("--plan").err
    assert "hashing" not in host.run("--plan").err
    write(folder / "models" / REPO / "other-name.gguf", chat)
    assert adopted(host)["source"].endswith("other-name.gguf")


def test_what_went_to_the_trash_comes_back_from_there(host: Sandbox, chat: bytes) -> None:
    """A model taken out and put in again is not fetched a second time."""
    host.apply()
    host.write_manifest("")
    host.apply("--allow-prune")
    host.hub.forget_requests()
    host.write_manifest(CHAT)
    assert adopted(host)["store"] == "trash"
    host.apply()
    assert (host.models / CHAT_PATH).read_bytes() == chat
    assert [item for item in host.hub.requests if item.origin == "cdn"] == []


class Meddling:
    """A transfer during which something happens to the local file it copies from."""

    def __init__(self, real: Any, meddle: Callable[[Path], None]) -> None:
        self._real = real
        self._meddle = meddle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def fetch(self, origin: Any, partial: Path, **named: Any) -> Any:
        """Meddle with a local source, then copy from it."""
        if isinstance(origin, LocalOrigin):
            self._meddle(Path(origin.path))
        return self._real.fetch(origin, partial, **named)


@pytest.mark.parametrize("what", ["changed", "shortened", "gone"])
def test_a_file_that_changes_while_it_is_taken_is_fetched_instead(
    host: Sandbox, chat: bytes, what: str
) -> None:
    """The owner of the file goes on working: what was copied is dropped, and the hub asked."""
    lm_studio(host, chat)
    meddle: dict[str, Callable[[Path], object]] = {
        "changed": lambda path: path.write_bytes(b"x" + chat[1:]),
        "shortened": lambda path: path.write_bytes(chat[:-1]),
        "gone": lambda path: path.unlink(),
    }
    heard = Heard()
    with without_clones():
        report = run_pass(
            host,
            wrap={"transfer": lambda real: Meddling(real, meddle[what])},  # type: ignore[arg-type]
            reporter=heard,
        ).report
    assert report.outcome == "applied"
    assert (report.fetched_bytes, report.reused_bytes) == (len(chat), 0)
    assert len([text for text in heard.warnings if "is not taken from LM Studio" in text]) == 1
    assert (host.models / CHAT_PATH).read_bytes() == chat


def test_the_report_tells_what_was_not_fetched(host: Sandbox, chat: bytes) -> None:
    """What came from a store counts as reused."""
    hub_cache(host.home / "cache" / "huggingface" / "hub", chat)
    report = host.apply("--json").json
    assert (report["fetched_bytes"], report["reused_bytes"]) == (0, len(chat))


@pytest.fixture
def moving(host: Sandbox, chat: bytes) -> bytes:
    """A model that is applied, and a manifest and lock that now want its bytes at another path."""
    host.apply()
    host.hub.add_commit("acme/moved-GGUF", {NAME: chat})
    host.write_manifest(MOVED)
    assert host.run("lock").code == 0
    return chat


@pytest.mark.parametrize("links", [True, False], ids=["with links", "without links"])
def test_a_model_that_moves_upstream_is_moved_on_disk(
    host: Sandbox, moving: bytes, links: bool
) -> None:
    """The same bytes under another path are the same file under another name: nothing is fetched,
    and nothing copied, not even where the filesystem has no links.
    """
    inode = (host.models / CHAT_PATH).stat().st_ino
    host.hub.forget_requests()
    with without_clones() if links else without_links():
        result = host.apply()
    assert "copying" not in result.err
    assert host.hub.requests == ()
    assert (host.models / MOVED_PATH).stat().st_ino == inode
    assert sorted(host.model_files()) == [MOVED_PATH, f"{MOVED_PATH}.sha256"]
    assert host.model_files()[MOVED_PATH] == moving
    assert not (host.models / REPO).exists()
    assert host.plan()["actions"] == []


def test_a_move_that_is_killed_anywhere_ends_the_same(tmp_path: Path) -> None:
    """Killed before or after any lasting change of a move without links, the next run ends it."""
    number, after, killed = 0, True, True
    while killed:
        number, after = (number, True) if not after else (number + 1, False)
        with running_hub() as hub:
            host = Sandbox(home=tmp_path / f"{number}-{after}", hub=hub)
            data = host.add_repo(REPO)[NAME]
            host.write_manifest(CHAT)
            host.apply()
            hub.add_commit("acme/moved-GGUF", {NAME: data})
            host.write_manifest(MOVED)
            with without_links():
                killed = run_killed(host, Fuse(number, after=after))
                host.apply()
            assert host.model_files()[MOVED_PATH] == data
            assert sorted(host.model_files()) == [MOVED_PATH, f"{MOVED_PATH}.sha256"]
            assert len([item for item in hub.requests if item.origin == "cdn"]) == 1
    assert number > 5


def test_a_move_that_llama_swap_refuses_is_taken_back(host: Sandbox, moving: bytes) -> None:
    """Where the health gate says no, the file has its old name again, and its stamp."""
    before = host.model_files()
    assert before[CHAT_PATH] == moving
    config = host.config.read_text()
    swap = FakeLlamaSwap(config=host.config, models=host.models)
    swap.accepts = lambda text: "moved-GGUF" not in text
    with without_links():
        report = run_pass(host, swap).report
    assert report.outcome == "rolled back"
    assert host.model_files() == before
    assert host.config.read_text() == config != CONFIG
    assert not (host.models / "acme" / "moved-GGUF").exists()


def test_a_path_taken_in_the_meantime_is_left_alone(host: Sandbox, moving: bytes) -> None:
    """Somebody puts a file at the old path before the move is taken back: theirs stays, and the
    bytes are kept in our folder.
    """
    swap = FakeLlamaSwap(config=host.config, models=host.models)

    def meddle(text: str) -> bool:
        if "moved-GGUF" in text:
            write(host.models / CHAT_PATH, b"theirs")
        return "moved-GGUF" not in text

    swap.accepts = meddle
    with without_links():
        run_pass(host, swap)
    assert host.model_files() == {CHAT_PATH: b"theirs"}
    partial = host.models / ".reconciler" / "partial" / sha256_of(moving)
    assert partial.read_bytes() == moving
