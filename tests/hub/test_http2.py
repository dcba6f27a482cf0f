"""What goes over TLS: the protocol that is agreed on, and who vouches for the server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.adapters.base.http import HttpClient
from reconciler.core.names import RepoId
from reconciler.errors import Stalled, Unreachable
from tests.support.fakes import FakeClock
from tests.support.hub_client import BEARER, hub_metadata
from tests.support.tls_server import Authority, TlsServer, running_tls

REPO = RepoId("acme/models")
COMMIT = "ab" * 20
SAID = json.dumps({"sha": COMMIT}).encode()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """An authority that `SSL_CERT_FILE` names."""
    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.path))
    return made


@pytest.fixture
def server(authority: Authority) -> Iterator[TlsServer]:
    """A server that offers HTTP/2 and tells a commit."""
    with running_tls(authority, body=SAID) as running:
        yield running


@pytest.fixture
def tls(server: TlsServer, clock: FakeClock) -> Iterator[HttpClient]:
    """A client that is closed before the server is."""
    assert server
    with HttpClient(clock=clock, read_timeout_seconds=5) as client:
        yield client


def _url(server: TlsServer) -> str:
    return f"https://127.0.0.1:{server.port}"


def test_metadata_comes_over_http2_where_it_is_offered(
    server: TlsServer, tls: HttpClient, clock: FakeClock
) -> None:
    """Several answers come over one connection, with the token, and are read as ever."""
    metadata = hub_metadata(_url(server), tls, clock, token=BEARER)
    assert metadata.resolve_revision(REPO, "main") == COMMIT
    assert metadata.resolve_revision(REPO, "v1") == COMMIT
    assert [seen.protocol for seen in server.seen] == ["h2", "h2"]
    assert all(seen.headers["authorization"] == f"Bearer {BEARER}" for seen in server.seen)


def test_files_come_over_connections_of_their_own(server: TlsServer, tls: HttpClient) -> None:
    """Transfers never share an HTTP/2 connection, where they would share its one stream of TCP."""
    with tls.open(f"{_url(server)}/file") as answer:
        assert b"".join(answer.chunks()) == SAID
    assert [seen.protocol for seen in server.seen] == ["http/1.1"]


def test_server_without_http2_is_asked_the_older_way(
    authority: Authority, clock: FakeClock
) -> None:
    """A server that offers HTTP/1.1 alone is as good."""
    with (
        running_tls(authority, body=SAID, protocols=["http/1.1"]) as server,
        HttpClient(clock=clock, read_timeout_seconds=5) as http,
    ):
        metadata = hub_metadata(_url(server), http, clock)
        assert metadata.resolve_revision(REPO, "main") == COMMIT
    assert [seen.protocol for seen in server.seen] == ["http/1.1"]


def test_server_nobody_vouches_for_gets_nothing(
    server: TlsServer, tls: HttpClient, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without SSL_CERT_FILE the server's certificate is refused, before anything is asked."""
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(Unreachable, match="certificate verify failed"):
        hub_metadata(_url(server), tls, clock, token=BEARER).resolve_revision(REPO, "main")
    assert server.seen == []


@pytest.mark.parametrize("token", ["hf_bad\nsecret", "hf_ä-secret"])
def test_token_with_forbidden_characters_is_not_sent(
    server: TlsServer, tls: HttpClient, clock: FakeClock, token: str
) -> None:
    """Over any protocol such a token is an error that needs a person, and is not shown."""
    with pytest.raises(Stalled, match="token") as error:
        hub_metadata(_url(server), tls, clock, token=token).resolve_revision(REPO, "main")
    assert "secret" not in str(error.value) + error.value.hint
    assert server.seen == []
