"""What the hub said before: asked for once, kept from others, and never in the way of the truth."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.adapters.base.http import HttpClient
from reconciler.adapters.hub.metadata_cache import MetadataCache
from reconciler.core.names import Commit, RepoId
from reconciler.core.ports.hub import Hub
from reconciler.demo.gguf_bytes import tiny_model
from reconciler.demo.hub_faults import Fault, Reply
from reconciler.demo.hub_server import HubServer
from reconciler.errors import Offline, RepositoryMissing, RevisionMissing
from tests.support.fakes import FakeClock
from tests.support.hub import running_hub
from tests.support.hub_client import BEARER, hub_metadata

REPO = RepoId("acme/models")
MODEL = tiny_model("m", payload_bytes=4096, seed=1)
DAY_SECONDS = 86400


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the answers are kept."""
    return tmp_path / "cache" / "hub"


@pytest.fixture
def cached(hub: HubServer, http: HttpClient, clock: FakeClock, folder: Path) -> Callable[..., Hub]:
    """Opens the hub's metadata with the cache, each time anew, as each run does."""

    def give(
        *, ttl_seconds: float = DAY_SECONDS, token: str | None = None, offline: bool = False
    ) -> Hub:
        cache = MetadataCache(folder, ttl_seconds=ttl_seconds, clock=clock)
        return hub_metadata(hub.url, http, clock, token=token, offline=offline, cache=cache)

    return give


def test_files_of_a_commit_are_asked_for_once(
    hub: HubServer, cached: Callable[..., Hub], clock: FakeClock
) -> None:
    """A commit never changes, so its list is kept whole, years later and offline too."""
    commit = hub.add_commit(REPO, {"a.gguf": MODEL, "README.md": b"hello", "sub/b.gguf": MODEL})
    first = cached().list_files(REPO, commit)
    hub.forget_requests()
    clock.sleep(1000 * DAY_SECONDS)
    assert cached(ttl_seconds=0).list_files(REPO, commit) == first
    assert cached(offline=True).list_files(REPO, commit) == first
    assert {file.path: file.sha256 is None for file in first} == {
        "a.gguf": False,
        "README.md": True,
        "sub/b.gguf": False,
    }
    assert hub.requests == ()


def test_revision_holds_for_a_time(
    hub: HubServer, cached: Callable[..., Hub], clock: FakeClock
) -> None:
    """What a revision stands for is asked again after the time that was set, not before."""
    old = hub.add_commit(REPO, {"a.gguf": MODEL})
    assert cached().resolve_revision(REPO, "main") == old
    new = hub.add_commit(REPO, {"b.gguf": MODEL})
    clock.sleep(DAY_SECONDS - 60)
    assert cached().resolve_revision(REPO, "main") == old
    assert cached(ttl_seconds=3600).resolve_revision(REPO, "main") == new
    assert cached().resolve_revision(REPO, "main") == new


def test_what_there_is_now_is_always_asked(hub: HubServer, cached: Callable[..., Hub]) -> None:
    """Whoever asks anew hears what the hub says now, and so does everybody after."""
    hub.add_commit(REPO, {"a.gguf": MODEL})
    cached().resolve_revision(REPO, None)
    new = hub.add_commit(REPO, {"b.gguf": MODEL})
    assert cached().resolve_revision(REPO, None, anew=True) == new
    assert cached().resolve_revision(REPO, None) == new


def test_time_of_nothing_keeps_nothing(hub: HubServer, cached: Callable[..., Hub]) -> None:
    """With 0 every revision is asked of the hub, and offline none is known."""
    hub.add_commit(REPO, {"a.gguf": MODEL})
    cached().resolve_revision(REPO, "main")
    new = hub.add_commit(REPO, {"b.gguf": MODEL})
    assert cached(ttl_seconds=0).resolve_revision(REPO, "main") == new
    with pytest.raises(Offline):
        cached(ttl_seconds=0, offline=True).resolve_revision(REPO, "main")


def test_offline_goes_by_what_was_heard_last(
    hub: HubServer, cached: Callable[..., Hub], clock: FakeClock
) -> None:
    """Without a network the last answer is used however old; asking anew is refused."""
    commit = hub.add_commit(REPO, {"a.gguf": MODEL})
    cached().resolve_revision(REPO, "main")
    clock.sleep(30 * DAY_SECONDS)
    assert cached(offline=True).resolve_revision(REPO, "main") == commit
    with pytest.raises(Offline):
        cached(offline=True).resolve_revision(REPO, "main", anew=True)
    with pytest.raises(Offline):
        cached(offline=True).resolve_revision(REPO, "v1")


def test_what_a_token_sees_is_not_shown_to_another(
    hub: HubServer, cached: Callable[..., Hub]
) -> None:
    """A private repository stays unknown to those who ask without its token, also offline."""
    commit = hub.add_commit(REPO, {"a.gguf": MODEL})
    hub.make_private(REPO, BEARER)
    hub.add_token("hf_another")
    mine = cached(token=BEARER)
    assert mine.resolve_revision(REPO, "main") == commit
    assert mine.list_files(REPO, commit)
    for token in (None, "hf_another"):
        with pytest.raises(RepositoryMissing):
            cached(token=token).resolve_revision(REPO, "main")
        with pytest.raises(RepositoryMissing):
            cached(token=token).list_files(REPO, commit)
        with pytest.raises(Offline):
            cached(token=token, offline=True).list_files(REPO, commit)


def test_what_one_hub_says_is_not_taken_for_another(
    hub: HubServer, http: HttpClient, clock: FakeClock, folder: Path
) -> None:
    """A mirror that is behind has its own answers."""
    cache = MetadataCache(folder, ttl_seconds=DAY_SECONDS, clock=clock)
    one = hub.add_commit(REPO, {"a.gguf": MODEL})
    with running_hub() as mirror:
        other = mirror.add_commit(REPO, {"b.gguf": MODEL})
        assert hub_metadata(hub.url, http, clock, cache=cache).resolve_revision(REPO, None) == one
        found = hub_metadata(mirror.url, http, clock, cache=cache).resolve_revision(REPO, None)
    assert found == other != one


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_failures_are_not_kept(
    hub: HubServer, cached: Callable[..., Hub], folder: Path, status: int
) -> None:
    """What is refused or missing now may be there a moment later."""
    hub.faults.add(Fault(effect=Reply(status=status), times=None))
    with pytest.raises(Exception, match=REPO):
        cached().resolve_revision(REPO, "main")
    assert not folder.exists()
    hub.faults.clear()
    with pytest.raises(RepositoryMissing):
        cached().resolve_revision(REPO, "main")
    commit = hub.add_commit(REPO, {"a.gguf": MODEL})
    with pytest.raises(RevisionMissing):
        cached().list_files(REPO, Commit("0" * 40))
    assert cached().resolve_revision(REPO, "main") == commit


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[: len(data) // 2],
        lambda _: b"",
        lambda data: data.replace(b"a.gguf", b"b.gguf"),
        lambda data: data[:-20] + bytes([data[-20] ^ 1]) + data[-19:],
        lambda data: b"\xff" * len(data),
    ],
)
def test_damaged_answer_is_asked_anew(
    hub: HubServer, cached: Callable[..., Hub], folder: Path, spoil: Callable[[bytes], bytes]
) -> None:
    """A file cut short, emptied or with a byte changed is not believed, and is put right."""
    commit = hub.add_commit(REPO, {"a.gguf": MODEL})
    cached().resolve_revision(REPO, "main")
    files = cached().list_files(REPO, commit)
    whole = {path: path.read_bytes() for path in folder.iterdir()}
    for path, data in whole.items():
        path.write_bytes(spoil(data))
    hub.forget_requests()
    assert cached().resolve_revision(REPO, "main") == commit
    assert cached().list_files(REPO, commit) == files
    assert len(hub.requests) == len(whole) - sum(spoil(data) == data for data in whole.values())
    hub.forget_requests()
    assert cached().list_files(REPO, commit) == files
    assert hub.requests == ()


def test_answers_are_kept_to_oneself(
    hub: HubServer, cached: Callable[..., Hub], folder: Path
) -> None:
    """Others on the machine can neither read nor change what pins may be made from."""
    commit = hub.add_commit(REPO, {"a.gguf": MODEL})
    hub.add_token(BEARER)
    cached(token=BEARER).resolve_revision(REPO, "main")
    cached(token=BEARER).list_files(REPO, commit)
    assert folder.stat().st_mode & 0o777 == 0o700
    kept = list(folder.iterdir())
    assert len(kept) == 2
    for path in kept:
        assert path.stat().st_mode & 0o777 == 0o600
        assert BEARER.encode() not in path.name.encode() + path.read_bytes()


def test_what_was_used_longest_ago_makes_room(
    hub: HubServer, http: HttpClient, clock: FakeClock, folder: Path
) -> None:
    """The folder stays within its bound; what is read again and again stays in it."""
    commits = [hub.add_commit(REPO, {f"{number}.gguf": MODEL}) for number in range(8)]
    cache = MetadataCache(folder, ttl_seconds=0, clock=clock, max_bytes=3000)
    metadata = hub_metadata(hub.url, http, clock, cache=cache)
    for age, commit in enumerate(commits):
        metadata.list_files(REPO, commit)
        # Files that were written in one moment have no order; here each has its own day.
        for path in folder.iterdir():
            status = path.stat()
            os.utime(path, (status.st_atime, status.st_mtime - DAY_SECONDS))
        assert sum(path.stat().st_size for path in folder.iterdir()) <= 3000, age
        hub.forget_requests()
        metadata.list_files(REPO, commits[0])
        assert hub.requests == ()


def test_folder_that_cannot_be_written_is_no_trouble(
    hub: HubServer, cached: Callable[..., Hub], folder: Path
) -> None:
    """Where nothing can be kept, the hub is asked each time."""
    folder.parent.write_text("a file stands where the folder should be")
    commit = hub.add_commit(REPO, {"a.gguf": MODEL})
    for _ in range(2):
        assert cached().resolve_revision(REPO, "main") == commit
    assert len(hub.requests) == 2


def test_answer_from_the_future_is_asked_anew(
    hub: HubServer, cached: Callable[..., Hub], clock: FakeClock
) -> None:
    """A clock that was set back does not make an answer hold for ever."""
    clock.sleep(10 * DAY_SECONDS)
    hub.add_commit(REPO, {"a.gguf": MODEL})
    cached().resolve_revision(REPO, "main")
    new = hub.add_commit(REPO, {"b.gguf": MODEL})
    clock.slept_seconds.clear()
    assert cached().resolve_revision(REPO, "main") == new


def test_file_names_of_hostile_repositories_are_checked_again(
    hub: HubServer, cached: Callable[..., Hub]
) -> None:
    """What was left out of an answer is not in what was kept of it either."""
    entries = [{"type": "file", "path": path, "size": 1} for path in ("../x", "good.gguf")]
    hub.faults.add(Fault(effect=Reply(status=200, body=json.dumps(entries).encode())))
    commit = Commit("1" * 40)
    assert cached().list_files(REPO, commit) == cached().list_files(REPO, commit)
    assert [file.path for file in cached().list_files(REPO, commit)] == ["good.gguf"]
    assert len(hub.requests) == 1
