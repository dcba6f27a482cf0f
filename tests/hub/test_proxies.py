"""Proxies of the environment: used where they are meant, and told no more than they must know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from reconciler.adapters.base.http import HttpClient
from reconciler.core.names import Commit, RepoId
from reconciler.demo.gguf_bytes import tiny_model
from reconciler.demo.hub_server import HubServer
from reconciler.errors import Unreachable
from tests.support.fakes import FakeClock
from tests.support.forward_proxy import running_proxy
from tests.support.hub_client import BEARER, hub_metadata
from tests.support.tls_server import Authority, running_tls

REPO = RepoId("acme/models")
COMMIT = Commit("ab" * 20)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without what the machine's own environment says."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def port(hub: HubServer) -> int:
    """Where the hub listens."""
    return urlsplit(hub.url).port or 0


@pytest.fixture
def client(clock: FakeClock) -> Iterator[HttpClient]:
    """A client, closed after the test; the test itself closes it before its proxy."""
    with HttpClient(clock=clock, read_timeout_seconds=5) as made:
        yield made


def test_plain_http_goes_through_the_proxy(
    hub: HubServer,
    port: int,
    client: HttpClient,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that only the proxy can find is asked through it, without the token."""
    commit = hub.add_commit(REPO, {"a.gguf": tiny_model("m", payload_bytes=512, seed=1)})
    with running_proxy({"hub.test": port}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        metadata = hub_metadata("http://hub.test", client, clock, token=BEARER)
        assert metadata.resolve_revision(REPO, "main") == commit
        client.close()
    assert proxy.seen[0].startswith("GET http://hub.test/api/models/acme/models/revision/main ")
    assert BEARER not in "".join(proxy.seen)


def test_https_goes_through_a_tunnel(
    tmp_path: Path, client: HttpClient, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy learns the hub's name alone: token and path pass it encrypted, over HTTP/2 too."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    with (
        running_tls(authority, body=json.dumps({"sha": COMMIT}).encode()) as server,
        running_proxy({"hub.test": server.port}) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        metadata = hub_metadata("https://hub.test", client, clock, token=BEARER)
        assert metadata.resolve_revision(REPO, "main") == COMMIT
        with client.open("https://hub.test/file") as answer:
            assert answer.status == 200
        client.close()
    assert [seen.protocol for seen in server.seen] == ["h2", "http/1.1"]
    assert server.seen[0].headers["authorization"] == f"Bearer {BEARER}"
    assert all(seen.startswith("CONNECT hub.test:443 ") for seen in proxy.seen)
    assert len(proxy.seen) == 2
    assert BEARER not in "".join(proxy.seen)


def test_excepted_host_is_asked_directly(
    hub: HubServer,
    port: int,
    client: HttpClient,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A host that NO_PROXY names is not asked through the proxy."""
    commit = hub.add_commit(REPO, {"a.gguf": tiny_model("m", payload_bytes=512, seed=1)})
    with running_proxy({}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "0.0.0.0")  # noqa: S104 - an address that is not loopback
        metadata = hub_metadata(f"http://0.0.0.0:{port}", client, clock)
        assert metadata.resolve_revision(REPO, "main") == commit
    assert proxy.seen == []


def test_proxy_that_refuses_is_named_without_its_password(
    client: HttpClient, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tunnel that is not granted is trouble that may pass, and the hint says where to look."""
    with running_proxy({}) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//me:secret@"))
        with pytest.raises(Unreachable, match="the proxy failed") as error:
            hub_metadata("https://hub.test", client, clock, token=BEARER).list_files(REPO, COMMIT)
    assert "HTTPS_PROXY" in error.value.hint
    assert "secret" not in str(error.value) + error.value.hint
