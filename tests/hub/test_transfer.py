"""Bytes brought from a real server or this machine: only those needed, proven, and discreetly."""

from __future__ import annotations

import fcntl
import hashlib
import os
import resource
import signal
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import blake3
import pytest

from reconciler.adapters.base.digests import hash_file
from reconciler.adapters.base.http import HttpClient
from reconciler.adapters.hub.partial import remove_partial
from reconciler.core.names import Blake3, Commit, RelPath, RepoId, Sha256
from reconciler.core.ports.digests import Digests
from reconciler.core.ports.transfer import Stretch
from reconciler.core.source import HubOrigin, LocalOrigin, Origin, UrlOrigin
from reconciler.demo.hub_faults import (
    Fault,
    FlipByte,
    IgnoreRange,
    RedirectTo,
    Reply,
    SetHeaders,
    Slow,
    Stall,
)
from reconciler.demo.hub_server import HubServer
from reconciler.errors import (
    DigestMismatch,
    DiskFull,
    FileMissing,
    Interrupted,
    Offline,
    ReconcilerError,
    RepositoryGated,
    RepositoryMissing,
    Stalled,
    TokenRejected,
    TransferBroken,
    Unreachable,
)
from tests.support.fakes import FakeClock
from tests.support.hub import running_hub
from tests.support.hub_client import (
    BEARER,
    DATA,
    PATH,
    REPO,
    SHA256,
    CountedProgress,
    TransferSetup,
    asked_of,
)
from tests.support.waiting import wait_for

TRIES = 5


@pytest.fixture
def setup(hub: HubServer, clock: FakeClock, tmp_path: Path) -> Iterator[TransferSetup]:
    """A hub with one file and a client, closed after the test."""
    with HttpClient(clock=clock, read_timeout_seconds=5) as http:
        yield TransferSetup(hub, http, tmp_path, clock)


def test_bytes_come_with_both_digests(setup: TransferSetup) -> None:
    """The file is whole, below folders that did not exist, and both digests are its own."""
    assert setup.fetch() == Digests(
        sha256=SHA256, blake3=Blake3(blake3.blake3(DATA).hexdigest()), size_bytes=len(DATA)
    )
    setup.assert_fetched()
    assert setup.clock.slept_seconds == []


def test_token_reaches_the_hub_alone(setup: TransferSetup) -> None:
    """A gated file is fetched with the token, which the host of the bytes never sees."""
    setup.hub.gate(REPO, accepted=[BEARER])
    setup.fetch()
    to_hub, to_cdn = asked_of(setup.hub, "hub"), asked_of(setup.hub, "cdn")
    assert [request.headers.get("authorization") for request in to_hub] == [f"Bearer {BEARER}"]
    assert len(to_cdn) == 1
    for request in to_cdn:
        assert "authorization" not in request.headers
        assert BEARER not in str(request.headers) + request.query


def test_token_does_not_come_back_after_a_detour(setup: TransferSetup) -> None:
    """A redirect that left the hub's origin and returns to it has lost the token for good."""
    own = f"{setup.hub.url}/{REPO}/resolve/{setup.commit}/{PATH.replace(' ', '%20')}?again"
    setup.hub.faults.add(
        Fault(effect=RedirectTo(url=f"{setup.hub.cdn_url}/detour"), origin="hub"),
        Fault(effect=RedirectTo(url=own), origin="cdn"),
    )
    setup.fetch()
    sent = [request.headers.get("authorization") for request in asked_of(setup.hub, "hub")]
    assert sent == [f"Bearer {BEARER}", None]


def test_large_file_is_asked_for_in_bounded_ranges(setup: TransferSetup) -> None:
    """No request asks for more than a segment, and the hub is asked only for the first."""
    setup.fetch(transfer=setup.transfer(segment_bytes=100_001))
    setup.assert_fetched()
    assert setup.ranges == ["bytes=0-100000", "bytes=100001-200001", "bytes=200002-299999"]
    assert len(asked_of(setup.hub, "hub")) == 1


def test_hub_that_serves_by_itself_is_fine(clock: FakeClock, tmp_path: Path) -> None:
    """A mirror without a second host gives the same bytes."""
    with running_hub(direct=True) as hub, HttpClient(clock=clock) as http:
        setup = TransferSetup(hub, http, tmp_path, clock)
        setup.fetch()
        setup.assert_fetched()
        assert asked_of(hub, "cdn") == []


def test_hub_that_serves_by_itself_gets_the_token_each_time(
    clock: FakeClock, tmp_path: Path
) -> None:
    """Without a second host there is no link that does without the token."""
    with running_hub(direct=True) as hub, HttpClient(clock=clock) as http:
        setup = TransferSetup(hub, http, tmp_path, clock)
        hub.gate(REPO, accepted=[BEARER])
        setup.fetch(transfer=setup.transfer(segment_bytes=100_000))
        setup.assert_fetched()
        sent = [request.headers.get("authorization") for request in hub.requests]
        assert sent == [f"Bearer {BEARER}"] * 3


def test_small_file_kept_in_git_is_fetched(setup: TransferSetup) -> None:
    """The hub's relative redirect for small files is followed, with its query."""
    data = b"a small file\n" * 9
    commit = setup.hub.add_commit(REPO, {"notes.txt": data})
    setup.fetch(HubOrigin(repo=REPO, commit=commit, path=RelPath("notes.txt")), data=data)
    assert setup.partial.read_bytes() == data


def test_only_missing_bytes_are_asked_for(setup: TransferSetup) -> None:
    """What an earlier run left is hashed, counted as done, and not fetched again."""
    setup.leave(DATA[:123_456])
    setup.fetch()
    setup.assert_fetched()
    assert setup.ranges == [f"bytes=123456-{len(DATA) - 1}"]
    assert [request.sent_bytes for request in asked_of(setup.hub, "cdn")] == [len(DATA) - 123_456]


def test_complete_file_is_proven_without_the_network(setup: TransferSetup) -> None:
    """All bytes there and only the proof missing: nothing is asked, not even with --offline."""
    setup.leave(DATA)
    assert setup.fetch(transfer=setup.transfer(offline=True)).sha256 == SHA256
    setup.assert_fetched()
    assert setup.hub.requests == ()


def test_empty_file_needs_no_request(setup: TransferSetup) -> None:
    """No range of an empty file can be asked for; it is made, and proven."""
    setup.fetch(data=b"")
    assert setup.partial.read_bytes() == b""
    assert setup.hub.requests == ()


def test_offline_asks_nothing_and_keeps_what_is_there(setup: TransferSetup) -> None:
    """With --offline a missing file is an error, and the partial one stays."""
    setup.leave(DATA[:1000])
    transfer = setup.transfer(offline=True)
    with pytest.raises(Offline, match="acme/models/deep er/model"):
        setup.fetch(transfer=transfer)
    with pytest.raises(Offline):
        transfer.measure(f"{setup.hub.url}/a")
    assert setup.kept() == DATA[:1000]
    assert setup.hub.requests == ()
    assert setup.clock.slept_seconds == []


def test_damaged_leftover_is_fetched_again(setup: TransferSetup) -> None:
    """Bytes that went bad on the disk between two runs do not survive the proof."""
    setup.leave(b"x" + DATA[1:2000])
    setup.fetch()
    setup.assert_fetched()


def test_leftover_longer_than_the_file_is_started_over(setup: TransferSetup) -> None:
    """A partial file that cannot be a beginning of the locked one is dropped unread."""
    setup.leave(DATA + b"more")
    setup.fetch()
    setup.assert_fetched()
    assert min(setup.progress.heard) > 0
    assert setup.ranges == [f"bytes=0-{len(DATA) - 1}"]


def test_what_needs_a_person_is_asked_once(setup: TransferSetup) -> None:
    """Gated, private, missing, a bad token: each its own error, after one request, no wait."""
    hub = setup.hub
    setup.leave(DATA[:1000])
    hub.add_commit("acme/hidden", {PATH: DATA})
    hub.make_private("acme/hidden", "hf_other")
    cases: list[tuple[str, Origin, str | None, type[ReconcilerError]]] = [
        ("no such file", _origin(setup, path="absent.gguf"), None, FileMissing),
        ("no such", _origin(setup, repo="acme/hidden"), BEARER, RepositoryMissing),
        ("does not accept the token", setup.origin, "hf_unknown", TokenRejected),
    ]
    for said, origin, token, error in cases:
        hub.forget_requests()
        with pytest.raises(error, match=said):
            setup.fetch(origin, transfer=setup.transfer(token=token))
        assert len(hub.requests) == 1
    hub.gate(REPO)
    with pytest.raises(RepositoryGated) as gated:
        setup.fetch()
    assert f"{hub.url}/{REPO}" in gated.value.hint
    assert setup.clock.slept_seconds == []
    assert setup.kept() == DATA[:1000]


def _origin(setup: TransferSetup, *, repo: str = REPO, path: str = PATH) -> HubOrigin:
    return HubOrigin(repo=RepoId(repo), commit=Commit(setup.commit), path=RelPath(path))


def test_plain_url_is_fetched_without_the_token(setup: TransferSetup) -> None:
    """A file named by URL with its digest comes whole, and the hub's token stays at home."""
    url = setup.hub.add_plain("/some/model.gguf", DATA)
    setup.leave(DATA[:10])
    setup.fetch(UrlOrigin(url=url))
    setup.assert_fetched()
    assert all("authorization" not in request.headers for request in setup.hub.requests)
    assert setup.hub.requests[0].headers["range"] == f"bytes=10-{len(DATA) - 1}"


@pytest.mark.parametrize(
    ("status", "error", "requests"),
    [(404, FileMissing, 1), (410, FileMissing, 1), (403, Stalled, 1), (500, Unreachable, TRIES)],
)
def test_plain_url_that_fails_says_how(
    setup: TransferSetup, status: int, error: type[ReconcilerError], requests: int
) -> None:
    """A server that knows nothing of hubs still gives typed errors, without the query in them."""
    url = setup.hub.add_plain("/some/model.gguf", DATA)
    setup.hub.faults.add(Fault(effect=Reply(status=status), times=None))
    with pytest.raises(error) as raised:
        setup.fetch(UrlOrigin(url=f"{url}?key=secret"))
    assert type(raised.value) is error
    assert url in raised.value.message
    assert "secret" not in raised.value.message
    assert len(setup.hub.requests) == requests


def test_size_at_a_url_is_measured_without_fetching_it(setup: TransferSetup) -> None:
    """The size is known after one byte at most, from servers with and without ranges."""
    url = setup.hub.add_plain("/some/model.gguf", DATA)
    transfer = setup.transfer()
    assert transfer.measure(url) == len(DATA)
    assert setup.hub.requests[-1].sent_bytes <= 1
    assert transfer.measure(setup.hub.add_plain("/empty", b"")) == 0
    setup.hub.faults.add(Fault(effect=IgnoreRange()))
    assert transfer.measure(url) == len(DATA)
    with pytest.raises(FileMissing):
        transfer.measure(f"{setup.hub.url}/nothing")
    setup.hub.faults.add(Fault(effect=SetHeaders(headers={"Content-Range": None}), times=None))
    with pytest.raises(TransferBroken, match="how large"):
        transfer.measure(url)


def test_local_file_is_copied(setup: TransferSetup, tmp_path: Path) -> None:
    """A file of this machine is copied and proven like any other, also through a link."""
    source = tmp_path / "source.gguf"
    source.write_bytes(DATA)
    link = tmp_path / "link.gguf"
    link.symlink_to(source)
    setup.leave(DATA[:4321])
    setup.fetch(LocalOrigin(path=str(link)), transfer=setup.transfer(offline=True))
    setup.assert_fetched()
    assert source.read_bytes() == DATA
    assert setup.partial.stat().st_ino != source.stat().st_ino
    assert setup.hub.requests == ()


def test_local_file_that_is_none_is_refused(setup: TransferSetup, tmp_path: Path) -> None:
    """A pipe, a folder, a device or nothing at all is named; none of them is waited for."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, Path("/dev/zero"), tmp_path / "absent"):
        with pytest.raises(FileMissing, match=str(path)):
            setup.fetch(LocalOrigin(path=str(path)))
    assert setup.clock.slept_seconds == []


def test_local_file_that_changed_differs_from_the_lock(
    setup: TransferSetup, tmp_path: Path
) -> None:
    """Another size or other bytes at the source are told apart from the locked ones, at once."""
    source = tmp_path / "source.gguf"
    for data in (DATA + b"x", b"x" + DATA[1:]):
        source.write_bytes(data)
        with pytest.raises(DigestMismatch, match="upstream differs from the lock"):
            setup.fetch(LocalOrigin(path=str(source)))
        assert not setup.partial.exists()
    assert setup.clock.slept_seconds == []


def test_full_disk_is_told_before_the_first_byte(setup: TransferSetup) -> None:
    """No room is an error that names the file; what was there is continued once there is room."""
    setup.leave(DATA[:150_000])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(DiskFull, match=str(setup.partial)):
            setup.fetch()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert setup.hub.requests == ()
    assert setup.kept() == DATA[:150_000]
    setup.fetch()
    setup.assert_fetched()
    assert setup.ranges == [f"bytes=150000-{len(DATA) - 1}"]


@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_partial_that_is_no_file_is_not_written_through(
    setup: TransferSetup, tmp_path: Path, kind: str
) -> None:
    """Whatever else stands at the partial's place is refused; a link's target stays as it is."""
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    setup.partial.parent.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(setup.partial)
    elif kind == "folder":
        setup.partial.mkdir()
    else:
        setup.partial.symlink_to(target)
    with pytest.raises(ReconcilerError, match=str(setup.partial)):
        setup.fetch()
    assert target.read_bytes() == b"precious"
    assert setup.hub.requests == ()


_CHILD = """
import sys
from pathlib import Path
from reconciler.adapters.base.http import HttpClient
from reconciler.adapters.hub.transfer import HttpTransfer
from reconciler.core.names import Blake3, Commit, RelPath, RepoId, Sha256
from reconciler.core.source import HubOrigin
from tests.support.fakes import FakeClock
from tests.support.hub_client import CountedProgress


class Told(CountedProgress):
    def advance(self, count_bytes):
        super().advance(count_bytes)
        print(self.total_bytes, flush=True)


endpoint, commit, path, partial, size, sha256 = sys.argv[1:]
origin = HubOrigin(repo=RepoId("acme/models"), commit=Commit(commit), path=RelPath(path))
clock = FakeClock()
transfer = HttpTransfer(
    endpoint=endpoint, token=lambda: None, offline=False, http=HttpClient(clock=clock), clock=clock
)
transfer.fetch(
    origin,
    Path(partial),
    size_bytes=int(size),
    sha256=Sha256(sha256),
    progress=Told(),
)
"""


def test_killed_process_is_continued(setup: TransferSetup) -> None:
    """A process killed in the middle costs the last megabytes at most, and no byte of the rest."""
    data = DATA * 40
    commit = setup.hub.add_commit(REPO, {PATH: data})
    origin = HubOrigin(repo=REPO, commit=commit, path=PATH)
    stop = 9_000_000
    setup.spoil(Stall(after_bytes=stop))
    with subprocess.Popen(
        [
            *(sys.executable, "-c", _CHILD, setup.hub.url, commit, PATH, str(setup.partial)),
            *(str(len(data)), hashlib.sha256(data).hexdigest()),
        ],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert any(int(line) == stop for line in child.stdout)
        child.kill()
        assert child.wait(timeout=20) == -signal.SIGKILL
    setup.hub.release_stalled()
    kept = setup.kept(data)
    assert stop - (4 << 20) <= len(kept) <= stop
    assert data.startswith(kept)
    setup.hub.forget_requests()
    setup.fetch(origin, data=data)
    assert setup.partial.read_bytes() == data
    assert setup.ranges == [f"bytes={len(kept)}-{len(data) - 1}"]


def test_memory_does_not_grow_with_the_file(setup: TransferSetup, tmp_path: Path) -> None:
    """A file of 24 MiB, half of it left by an earlier run, needs a few MiB of memory."""
    size, piece = 24 << 20, hashlib.shake_256(b"2").digest(1 << 20)
    big = tmp_path / "big.gguf"
    with big.open("wb") as file:
        for _ in range(24):
            file.write(piece)
    sha256 = hash_file(big, progress=CountedProgress()).sha256
    commit = setup.hub.add_commit(REPO, {"big.gguf": big})
    setup.leave(piece * 12)
    origin = HubOrigin(repo=REPO, commit=commit, path=RelPath("big.gguf"))
    tracemalloc.start()
    try:
        setup.transfer().fetch(
            origin, setup.partial, size_bytes=size, sha256=sha256, progress=setup.progress
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
    assert setup.progress.total_bytes == size


def test_told_to_stop_it_copies_no_more_of_what_is_known(
    setup: TransferSetup, tmp_path: Path
) -> None:
    """An interruption ends the copying of known bytes too, and keeps those that were copied."""
    old = tmp_path / "old.gguf"
    data = DATA * 40
    old.write_bytes(data)
    transfer = setup.transfer()

    class Stopping(CountedProgress):
        def advance(self, count_bytes: int) -> None:
            super().advance(count_bytes)
            transfer.stop()

    setup.progress = Stopping()
    with pytest.raises(Interrupted):
        transfer.fetch(
            setup.origin,
            setup.partial,
            size_bytes=len(data),
            sha256=Sha256(hashlib.sha256(data).hexdigest()),
            progress=setup.progress,
            known=[Stretch(path=old, source_start=0, start=0, length_bytes=len(data))],
        )
    assert setup.hub.requests == ()
    assert 0 < len(setup.kept(data)) == setup.progress.total_bytes < len(data)


@pytest.mark.parametrize("is_silent", [True, False])
def test_told_to_stop_it_waits_for_no_small_file(setup: TransferSetup, is_silent: bool) -> None:
    """A file that comes in one piece is broken off too, when its server has gone silent, or sends
    hardly anything: nothing of it is kept.
    """
    effect = Stall(after_bytes=0) if is_silent else Slow(bytes_per_second=2000)
    setup.hub.faults.add(Fault(effect=effect, path="*.gguf", times=None))
    transfer = setup.transfer(whole_bytes=len(DATA))
    raised: list[BaseException] = []
    told: list[bool] = []

    def fetch() -> None:
        try:
            setup.fetch(transfer=transfer)
        except Interrupted as error:
            raised.append(error)

    def has_ended() -> bool:
        # What is silent is told again and again, for nobody sees whether it has the answer's head
        # yet; what is slow once, before there is an answer.
        if setup.hub.requests and (is_silent or not told):
            told.append(True)
            transfer.stop()
        return not thread.is_alive()

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    wait_for(has_ended, "the end")
    assert len(raised) == 1
    assert not setup.partial.exists()


def test_known_bytes_that_are_wrong_cost_one_more_fetch(
    setup: TransferSetup, tmp_path: Path
) -> None:
    """What was believed wrongly is dropped with all it was part of, and not believed twice."""
    old = tmp_path / "old.gguf"
    old.write_bytes(bytes(100_000))
    brought = setup.transfer().fetch(
        setup.origin,
        setup.partial,
        size_bytes=len(DATA),
        sha256=SHA256,
        progress=setup.progress,
        known=[Stretch(path=old, source_start=0, start=0, length_bytes=100_000)],
    )
    assert brought.digests.sha256 == SHA256
    assert brought.fetched_bytes == 2 * len(DATA) - 100_000
    setup.assert_fetched()


def test_wrong_bytes_go_while_nobody_else_can_take_them_over(
    setup: TransferSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partial file is removed by who holds it, so never from under another process."""
    held: list[bool] = []

    def remove(path: Path) -> None:
        with path.open() as other:
            try:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(True)
            else:
                held.append(False)
        remove_partial(path)

    monkeypatch.setattr("reconciler.adapters.hub.transfer.remove_partial", remove)
    setup.spoil(FlipByte(at_byte=77))
    setup.fetch()
    setup.assert_fetched()
    assert held == [True]


@pytest.mark.parametrize("data", [DATA, b"", b"x"])
def test_small_file_comes_in_one_piece(setup: TransferSetup, data: bytes) -> None:
    """A small file is there at once, with both digests and no record, after a single request."""
    commit = setup.hub.add_commit(REPO, {PATH: data})
    origin = HubOrigin(repo=REPO, commit=commit, path=PATH)
    found = setup.fetch(origin, data=data, transfer=setup.transfer(whole_bytes=len(data)))
    assert found.blake3 == blake3.blake3(data).hexdigest()
    assert [path.name for path in setup.partial.parent.iterdir()] == [setup.partial.name]
    assert setup.partial.read_bytes() == data
    assert len(setup.ranges) == bool(data)
    assert setup.progress.total_bytes == len(data)


def test_wrong_small_file_is_never_written(setup: TransferSetup) -> None:
    """One wrong byte of a small file is mended by asking again; twice the same blames upstream."""
    transfer = setup.transfer(whole_bytes=len(DATA))
    setup.spoil(FlipByte(at_byte=5))
    assert setup.fetch(transfer=transfer).sha256 == SHA256
    setup.partial.unlink()
    setup.spoil(FlipByte(at_byte=5), times=None)
    with pytest.raises(DigestMismatch, match="upstream differs"):
        setup.fetch(transfer=transfer)
    assert list(setup.partial.parent.iterdir()) == []
    assert setup.progress.total_bytes == len(DATA)


def test_begun_small_file_is_continued(setup: TransferSetup) -> None:
    """What an earlier version, or a copy, left of a small file is not fetched again."""
    setup.leave(DATA[:1234])
    setup.fetch(transfer=setup.transfer(whole_bytes=len(DATA)))
    setup.assert_fetched()
    assert setup.ranges == [f"bytes=1234-{len(DATA) - 1}"]


def test_small_local_file_is_copied(setup: TransferSetup, tmp_path: Path) -> None:
    """A small file of this machine needs no network either."""
    source = tmp_path / "source.gguf"
    source.write_bytes(DATA)
    transfer = setup.transfer(offline=True, whole_bytes=len(DATA))
    setup.fetch(LocalOrigin(path=str(source)), transfer=transfer)
    setup.assert_fetched()
    with pytest.raises(Offline):
        setup.fetch(UrlOrigin(url=f"{setup.hub.url}/a"), data=b"other", transfer=transfer)
