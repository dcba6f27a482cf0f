"""The hub's metadata as its client reads it from a real server: right, typed, patient, discreet."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from reconciler.adapters.base.http import HttpClient
from reconciler.core.names import Commit, RepoId
from reconciler.demo.gguf_bytes import tiny_model
from reconciler.demo.hub_faults import Fault, HangUp, Reply, SetHeaders
from reconciler.demo.hub_server import HubServer
from reconciler.errors import (
    Offline,
    RateLimited,
    ReconcilerError,
    RepositoryGated,
    RepositoryMissing,
    RevisionMissing,
    Stalled,
    TokenRejected,
    TransferBroken,
    Unreachable,
)
from tests.support.fakes import FakeClock
from tests.support.hub import running_hub
from tests.support.hub_client import BEARER, TRIES, asked_of, hub_metadata

REPO = RepoId("acme/models")
MODEL = tiny_model("m", payload_bytes=4096, seed=1)


def test_revision_is_resolved_to_its_commit(
    hub: HubServer, http: HttpClient, clock: FakeClock
) -> None:
    """The default branch, another branch, one with a slash, and a tag each give their commit."""
    main = hub.add_commit(REPO, {"a.gguf": MODEL})
    other = hub.add_commit(REPO, {"b.gguf": MODEL}, branch="refs/pr/4")
    hub.add_tag(REPO, "v1 rc?", main)
    metadata = hub_metadata(hub.url, http, clock)
    assert metadata.resolve_revision(REPO, None) == main
    assert metadata.resolve_revision(REPO, "main") == main
    assert metadata.resolve_revision(REPO, "refs/pr/4") == other != main
    assert metadata.resolve_revision(REPO, "v1 rc?") == main


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ('"2026-01-02T03:04:05.000Z"', datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ('"2026-01-02T03:04:05"', datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ('"yesterday"', None),
        ("7", None),
        ("null", None),
    ],
)
def test_time_of_change_is_heard_where_it_is_one(
    hub: HubServer, http: HttpClient, clock: FakeClock, said: str, heard: datetime | None
) -> None:
    """One request gives commit and time; a mirror that says no time gives the commit."""
    commit = "ab" * 20
    body = f'{{"sha": "{commit}", "lastModified": {said}}}'.encode()
    hub.faults.add(Fault(effect=Reply(status=200, body=body)))
    found = hub_metadata(hub.url, http, clock).look_up(REPO, None)
    assert (found.commit, found.modified_at, len(hub.requests)) == (commit, heard, 1)


def test_full_commit_stands_for_itself(hub: HubServer, http: HttpClient, clock: FakeClock) -> None:
    """A revision that is a commit already costs no request."""
    commit = Commit("ab" * 20)
    assert hub_metadata(hub.url, http, clock).resolve_revision(REPO, commit) == commit
    assert hub.requests == ()


def test_files_are_listed_over_every_page(http: HttpClient, clock: FakeClock) -> None:
    """A list in several pages comes back whole, with sizes, and sha256 where the hub has one."""
    files = {f"sub/m-{number}.gguf": MODEL + bytes([number]) for number in range(7)}
    with running_hub(tree_page_size=3) as hub:
        commit = hub.add_commit(REPO, {**files, "README.md": b"hello"})
        found = hub_metadata(hub.url, http, clock).list_files(REPO, commit)
        assert len(asked_of(hub, "hub")) > 2
    assert {file.path: (file.size_bytes, file.sha256) for file in found} == {
        "README.md": (5, None),
        **{path: (len(data), hashlib.sha256(data).hexdigest()) for path, data in files.items()},
    }


def test_mirror_that_names_the_official_hub_means_itself(
    hub: HubServer, http: HttpClient, clock: FakeClock
) -> None:
    """The next page a mirror's link puts on huggingface.co is asked of the mirror."""
    commit = hub.add_commit(REPO, {"a.gguf": MODEL})
    link = f"<https://huggingface.co/api/models/{REPO}/tree/{commit}?recursive=true&cursor=>"
    hub.faults.add(Fault(effect=SetHeaders(headers={"Link": f'{link}; rel="next"'})))
    found = hub_metadata(hub.url, http, clock, token=None).list_files(REPO, commit)
    assert [file.path for file in found] == ["a.gguf", "a.gguf"]
    assert [request.query for request in hub.requests][1] == "recursive=true&cursor="


@pytest.mark.parametrize(
    ("link", "error"),
    [
        ("http://127.0.0.1:9/next", TransferBroken),
        ("//evil.example/", TransferBroken),
        ("https://huggingface.co.evil.example/", TransferBroken),
        ("file:///etc/x", Stalled),
    ],
)
def test_next_page_on_another_host_is_not_asked_for(
    hub: HubServer, http: HttpClient, clock: FakeClock, link: str, error: type[ReconcilerError]
) -> None:
    """A list of files cannot send the token, or us, to another host."""
    commit = hub.add_commit(REPO, {"a.gguf": MODEL})
    hub.add_token(BEARER)
    hub.faults.add(Fault(effect=SetHeaders(headers={"Link": f'<{link}>; rel="next"'})))
    with pytest.raises(error):
        hub_metadata(hub.url, http, clock, token=BEARER).list_files(REPO, commit)
    assert len(hub.requests) == 1


def test_list_that_leads_back_to_itself_ends(
    hub: HubServer, http: HttpClient, clock: FakeClock
) -> None:
    """A page that names itself as the next is an error, not an endless loop."""
    commit = hub.add_commit(REPO, {"a.gguf": MODEL})
    path = f"/api/models/{REPO}/tree/{commit}?recursive=true&expand=false"
    effect = SetHeaders(headers={"Link": f'<{path}>; rel="next"'})
    hub.faults.add(Fault(effect=effect, times=None))
    with pytest.raises(TransferBroken, match="does not end"):
        hub_metadata(hub.url, http, clock).list_files(REPO, commit)


def test_renamed_repository_is_found_with_the_token(
    hub: HubServer, http: HttpClient, clock: FakeClock
) -> None:
    """The hub's own relative redirect is followed, and keeps the token a private one needs."""
    commit = hub.add_commit(REPO, {"a.gguf": MODEL})
    hub.make_private(REPO, BEARER)
    hub.rename(REPO, "acme/renamed")
    metadata = hub_metadata(hub.url, http, clock, token=BEARER)
    assert metadata.resolve_revision(REPO, "main") == commit
    assert [file.path for file in metadata.list_files(REPO, commit)] == ["a.gguf"]


def test_missing_revision_is_told_from_a_missing_repository(
    hub: HubServer, http: HttpClient, clock: FakeClock
) -> None:
    """Each has its own error, with where to look, and the request's id for the hub's people."""
    hub.add_commit(REPO, {"a.gguf": MODEL})
    metadata = hub_metadata(hub.url, http, clock)
    with pytest.raises(RevisionMissing) as revision:
        metadata.resolve_revision(REPO, "nightly")
    assert "acme/models at nightly" in revision.value.message
    assert "request Root=1-" in revision.value.message
    assert f"{hub.url}/{REPO}" in revision.value.hint
    with pytest.raises(RepositoryMissing) as repository:
        metadata.resolve_revision(RepoId("acme/nothing"), "main")
    assert f"{hub.url}/acme/nothing" in repository.value.hint
    assert "HF_TOKEN" in repository.value.hint
    with pytest.raises(RevisionMissing):
        metadata.list_files(REPO, Commit("0" * 40))


def test_what_needs_a_person_is_asked_once(
    hub: HubServer, http: HttpClient, clock: FakeClock
) -> None:
    """A private repository, a bad token, a disabled one: no retry, no wait."""
    hub.add_commit(REPO, {"a.gguf": MODEL})
    hub.make_private(REPO, "hf_right")
    hub.add_commit("acme/closed", {"a.gguf": MODEL})
    hub.disable("acme/closed")
    with pytest.raises(RepositoryMissing):
        hub_metadata(hub.url, http, clock).resolve_revision(REPO, None)
    with pytest.raises(TokenRejected) as rejected:
        hub_metadata(hub.url, http, clock, token=BEARER).resolve_revision(REPO, None)
    assert BEARER not in rejected.value.message + rejected.value.hint
    with pytest.raises(RepositoryMissing, match="disabled"):
        hub_metadata(hub.url, http, clock).resolve_revision(RepoId("acme/closed"), None)
    assert len(hub.requests) == 3
    assert clock.slept_seconds == []


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(status=404), RepositoryMissing),
        (Reply(status=401), RepositoryMissing),
        (Reply(status=403), Stalled),
        (Reply(status=451), Stalled),
        (Reply(status=403, headers={"X-Error-Code": "GatedRepo"}), RepositoryGated),
        (Reply(status=401, headers={"X-Error-Code": "GatedRepo"}), RepositoryGated),
        (Reply(status=400, headers={"X-Error-Code": "RevisionNotFound"}), RevisionMissing),
        (Reply(status=204), Stalled),
    ],
)
def test_error_code_counts_before_the_status(
    hub: HubServer,
    http: HttpClient,
    clock: FakeClock,
    reply: Reply,
    error: type[ReconcilerError],
) -> None:
    """What the hub says in words decides; where a mirror says nothing, the status does."""
    hub.faults.add(Fault(effect=reply, times=None))
    with pytest.raises(error):
        hub_metadata(hub.url, http, clock).resolve_revision(REPO, None)
    assert len(hub.requests) == 1


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_passing_trouble_is_asked_again(
    hub: HubServer, http: HttpClient, clock: FakeClock, status: int
) -> None:
    """A server that stumbles twice is asked a third time, after waits that are not fixed."""
    commit = hub.add_commit(REPO, {"a.gguf": MODEL})
    hub.faults.add(Fault(effect=Reply(status=status), times=2))
    assert hub_metadata(hub.url, http, clock).resolve_revision(REPO, None) == commit
    assert len(hub.requests) == 3
    assert len(clock.slept_seconds) == 2
    assert all(0 <= seconds <= 2 for seconds in clock.slept_seconds)


def test_trouble_that_does_not_pass_is_given_up(
    hub: HubServer, http: HttpClient, clock: FakeClock
) -> None:
    """Five tries, then the error the loop can act on."""
    hub.faults.add(Fault(effect=Reply(status=503), times=None))
    with pytest.raises(Unreachable, match="503 Service Unavailable"):
        hub_metadata(hub.url, http, clock).resolve_revision(REPO, None)
    assert len(hub.requests) == TRIES


def test_connection_that_is_hung_up_is_made_again(
    hub: HubServer, http: HttpClient, clock: FakeClock
) -> None:
    """A connection closed without an answer is passing trouble."""
    commit = hub.add_commit(REPO, {"a.gguf": MODEL})
    hub.faults.add(Fault(effect=HangUp(), times=3))
    assert hub_metadata(hub.url, http, clock).resolve_revision(REPO, None) == commit


@pytest.mark.parametrize(
    ("headers", "waited_seconds"),
    [
        ({"RateLimit": '"api";r=0;t=55'}, 56),
        ({"RateLimit": '"api";r=0;t=55', "Retry-After": "3"}, 56),
        ({"RateLimit": '"api";r=7;t=55', "Retry-After": "3"}, 4),
        ({"Retry-After": "0"}, 1),
    ],
)
def test_rate_limit_is_waited_out_as_long_as_told(
    hub: HubServer,
    http: HttpClient,
    clock: FakeClock,
    headers: dict[str, str],
    waited_seconds: float,
) -> None:
    """The limit's own time counts once nothing is left of it, else Retry-After, and a second."""
    commit = hub.add_commit(REPO, {"a.gguf": MODEL})
    hub.faults.add(Fault(effect=Reply(status=429, headers=headers)))
    assert hub_metadata(hub.url, http, clock).resolve_revision(REPO, None) == commit
    assert clock.slept_seconds == [waited_seconds]


def test_rate_limit_without_a_time_is_waited_out_at_random(
    hub: HubServer, http: HttpClient, clock: FakeClock
) -> None:
    """Words in Retry-After, or a limit with requests left, say nothing we go by."""
    commit = hub.add_commit(REPO, {"a.gguf": MODEL})
    headers = {"RateLimit": '"api";r=7;t=55', "Retry-After": "in a moment"}
    hub.faults.add(Fault(effect=Reply(status=429, headers=headers)))
    assert hub_metadata(hub.url, http, clock).resolve_revision(REPO, None) == commit
    assert len(clock.slept_seconds) == 1
    assert clock.slept_seconds[0] <= 1


def test_rate_limit_until_a_date_is_waited_out(
    hub: HubServer, http: HttpClient, clock: FakeClock
) -> None:
    """Retry-After may be a date: the wait is the time from the answer's own date to it."""
    commit = hub.add_commit(REPO, {"a.gguf": MODEL})
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    hub.faults.add(Fault(effect=Reply(status=429, headers={"Retry-After": until})))
    assert hub_metadata(hub.url, http, clock).resolve_revision(REPO, None) == commit
    assert len(clock.slept_seconds) == 1
    assert 80 <= clock.slept_seconds[0] <= 92


def test_being_told_to_wait_for_long_is_passed_on(
    hub: HubServer, http: HttpClient, clock: FakeClock
) -> None:
    """An hour is not slept through: the caller is told how long, and decides."""
    hub.faults.add(Fault(effect=Reply(status=429, headers={"Retry-After": "3600"}), times=None))
    with pytest.raises(RateLimited) as limited:
        hub_metadata(hub.url, http, clock).resolve_revision(REPO, None)
    assert limited.value.retry_after_seconds == 3600
    assert clock.slept_seconds == []


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Please log in</html>",
        b"[]",
        b'{"sha": "main"}',
        b'{"id": "acme/models"}',
        b'{"sha": null}',
        b"\xff\xfe",
        b"",
    ],
)
def test_answer_that_is_nonsense_is_said_to_be(
    hub: HubServer, http: HttpClient, clock: FakeClock, body: bytes
) -> None:
    """A login page in the way, or a wrong address, is a clear error, never a wrong commit."""
    hub.faults.add(Fault(effect=Reply(status=200, body=body), times=None))
    with pytest.raises(TransferBroken, match="not what it should be"):
        hub_metadata(hub.url, http, clock).resolve_revision(REPO, None)


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "file", "path": "a.gguf"},
        {"type": "file", "size": 3},
        {"type": "file", "path": "a.gguf", "size": -1},
        {"type": "file", "path": "a.gguf", "size": 3, "lfs": {"oid": "ff", "size": 3}},
        {"type": "file", "path": "a.gguf", "size": 3, "lfs": {"oid": "f" * 64, "size": 4}},
        {"path": "a.gguf", "size": 3},
        "a.gguf",
    ],
)
def test_file_that_is_told_of_wrongly_is_never_dropped_silently(
    hub: HubServer, http: HttpClient, clock: FakeClock, entry: object
) -> None:
    """A list with a file lacking path, size or a true digest is refused as a whole."""
    body = json.dumps([entry]).encode()
    hub.faults.add(Fault(effect=Reply(status=200, body=body)))
    with pytest.raises(TransferBroken, match="not what it should be"):
        hub_metadata(hub.url, http, clock).list_files(REPO, Commit("0" * 40))


def test_paths_that_leave_their_folder_are_left_out(
    hub: HubServer, http: HttpClient, clock: FakeClock
) -> None:
    """A hostile file name hides nothing else in its repository, and never reaches the disk."""
    paths = ["../../etc/x", "/etc/x", "a\\b", "a/../b", ".reconciler/x", "a\nb", "good.gguf"]
    entries: list[dict[str, object]] = [
        {"type": "file", "path": path, "size": 1, "oid": "0" * 40} for path in paths
    ]
    entries += [{"type": "directory", "path": "sub", "size": 0}, {"type": "new", "extra": [1]}]
    hub.faults.add(Fault(effect=Reply(status=200, body=json.dumps(entries).encode())))
    found = hub_metadata(hub.url, http, clock).list_files(REPO, Commit("0" * 40))
    assert [file.path for file in found] == ["good.gguf"]


def test_offline_asks_nothing(hub: HubServer, http: HttpClient, clock: FakeClock) -> None:
    """With --offline the network is not touched, and the error says what was missing."""
    commit = hub.add_commit(REPO, {"a.gguf": MODEL})
    metadata = hub_metadata(hub.url, http, clock, offline=True)
    with pytest.raises(Offline, match="acme/models at main"):
        metadata.resolve_revision(REPO, "main")
    with pytest.raises(Offline):
        metadata.list_files(REPO, commit)
    assert hub.requests == ()
    assert clock.slept_seconds == []
