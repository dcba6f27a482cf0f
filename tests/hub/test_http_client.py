"""How requests go out: who we say we are, by which way, and what is never shown to anybody."""

from __future__ import annotations

import json
import socket

import pytest

from reconciler.adapters.base.http import HttpClient
from reconciler.core.names import RepoId
from reconciler.demo.gguf_bytes import tiny_model
from reconciler.demo.hub_faults import Fault, RedirectTo, Reply, SetHeaders
from reconciler.demo.hub_server import HubServer
from reconciler.errors import (
    RepositoryMissing,
    Stalled,
    TokenRejected,
    TransferBroken,
    Unreachable,
    UsageError,
)
from tests.support.fakes import FakeClock
from tests.support.hub_client import BEARER, TRIES, hub_metadata

REPO = RepoId("acme/models")
MODEL = tiny_model("m", payload_bytes=4096, seed=1)


def test_answer_is_read_only_so_far(hub: HubServer, http: HttpClient) -> None:
    """An answer longer than its bound is refused instead of filling the memory."""
    url = hub.add_plain("/long", bytes(100_000))
    assert len(http.get(url, max_bytes=100_000).body) == 100_000
    with pytest.raises(TransferBroken, match="longer than"):
        http.get(url, max_bytes=99_999)


def test_nobody_listening_is_unreachable(http: HttpClient, clock: FakeClock) -> None:
    """A refused connection is our own error, with where and why."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(Unreachable) as error:
            hub_metadata(endpoint, http, clock).resolve_revision(REPO, None)
    assert endpoint in error.value.message
    assert "refused" in error.value.message
    assert len(clock.slept_seconds) == TRIES - 1


def test_requests_say_who_we_are(hub: HubServer, http: HttpClient, clock: FakeClock) -> None:
    """Our own name goes out, bodies are asked for as they are, and no cookie comes back."""
    hub.add_commit(REPO, {"a.gguf": MODEL})
    hub.faults.add(Fault(effect=SetHeaders(headers={"Set-Cookie": "who=me; Path=/"})))
    metadata = hub_metadata(hub.url, http, clock)
    metadata.resolve_revision(REPO, None)
    metadata.resolve_revision(REPO, "main")
    for request in hub.requests:
        assert request.headers["user-agent"].startswith("reconciler/")
        assert "; python/3." in request.headers["user-agent"]
        assert request.headers["accept-encoding"] == "identity"
        assert "authorization" not in request.headers
        assert "cookie" not in request.headers


def test_this_machine_is_never_asked_through_a_proxy(
    hub: HubServer, http: HttpClient, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxy settings of the environment do not apply to loopback."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    commit = hub.add_commit(REPO, {"a.gguf": MODEL})
    assert hub_metadata(hub.url, http, clock).resolve_revision(REPO, None) == commit


def test_token_is_held_back_where_http_is_plain(
    hub: HubServer, http: HttpClient, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mirror named by plain http is asked, through the proxy, but never shown the token."""
    monkeypatch.setenv("HTTP_PROXY", hub.url)
    said = json.dumps({"sha": "ab" * 20}).encode()
    hub.faults.add(
        Fault(effect=Reply(status=200, body=said)),
        Fault(effect=Reply(status=401, headers={"X-Error-Code": "RepoNotFound"})),
    )
    metadata = hub_metadata("http://mirror.example", http, clock, token=BEARER)
    assert metadata.resolve_revision(REPO, None) == "ab" * 20
    with pytest.raises(RepositoryMissing) as error:
        metadata.resolve_revision(REPO, None)
    assert "plain http" in error.value.hint
    assert len(hub.requests) == 2
    assert all(request.headers["host"] == "mirror.example" for request in hub.requests)
    assert all("authorization" not in request.headers for request in hub.requests)


def test_redirect_to_plain_http_elsewhere_is_not_followed(
    hub: HubServer, http: HttpClient, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Naming one address for plain http does not name the ones it leads to."""
    monkeypatch.setenv("HTTP_PROXY", hub.url)
    hub.faults.add(Fault(effect=RedirectTo(url="http://other.example/a?Signature=s")))
    with pytest.raises(Stalled, match="not encrypted") as error:
        hub_metadata("http://mirror.example", http, clock).resolve_revision(REPO, None)
    assert "Signature" not in error.value.message
    assert len(hub.requests) == 1


def test_unusable_proxy_settings_are_a_usage_error(
    http: HttpClient, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy setting that is no address says so, without repeating the password in it."""
    monkeypatch.setenv("HTTP_PROXY", "nonsense://user:secret@proxy")
    with pytest.raises(UsageError) as error:
        hub_metadata("http://mirror.example", http, clock).resolve_revision(REPO, None)
    assert "HTTP_PROXY" in error.value.hint
    assert "secret" not in str(error.value) + error.value.hint


def test_token_with_forbidden_characters_is_not_repeated(
    hub: HubServer, http: HttpClient, clock: FakeClock
) -> None:
    """A token no header can hold ends in an error that does not show it."""
    for token in ("hf_bad\nsecret", "hf_ä-secret"):
        with pytest.raises(Stalled) as error:
            hub_metadata(hub.url, http, clock, token=token).resolve_revision(REPO, None)
        assert "secret" not in str(error.value) + error.value.hint
        assert error.value.__cause__ is None
    assert hub.requests == ()


def test_server_that_repeats_the_token_does_not_make_us_print_it(
    hub: HubServer, http: HttpClient, clock: FakeClock
) -> None:
    """Text from outside is shown without tokens and without control characters."""
    body = json.dumps({"error": f"no \x1b[31m {BEARER} for you"}).encode()
    hub.faults.add(Fault(effect=Reply(status=403, body=body)))
    with pytest.raises(TokenRejected) as error:
        hub_metadata(hub.url, http, clock, token=BEARER).resolve_revision(REPO, None)
    assert "for you" in error.value.message
    assert BEARER not in error.value.message
    assert "\x1b" not in error.value.message
