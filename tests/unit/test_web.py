"""The web server: what it answers, to whom, and that nobody can keep others from an answer."""

from __future__ import annotations

import gzip
import http.client
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from reconciler.adapters.web import server as web_server
from reconciler.adapters.web.server import WebServer
from reconciler.errors import UsageError
from tests.support.fakes import Heard
from tests.support.waiting import wait_for

STATUS = b'{"format_version":1}'


class Told:
    """What there is to show, as a test says it."""

    def __init__(self) -> None:
        self.document = STATUS
        self.well = (True, "ok")

    def status(self) -> bytes:
        """Give it."""
        return self.document

    def health(self) -> tuple[bool, str]:
        """Give it."""
        return self.well

    def readiness(self) -> tuple[bool, str]:
        """Give it."""
        return self.well

    def metrics(self) -> bytes:
        """Give it."""
        return b"# TYPE up gauge\nup 1.0\n"


@contextmanager
def serving(told: Told, reporter: Heard, host: str = "127.0.0.1") -> Iterator[WebServer]:
    """Serve until the block ends."""
    with WebServer(host, 0, shown=told, reporter=reporter) as server:
        yield server


@pytest.fixture
def told() -> Told:
    """What is shown."""
    return Told()


@pytest.fixture
def server(told: Told) -> Iterator[WebServer]:
    """A server on loopback that has nothing to complain about."""
    reporter = Heard()
    with serving(told, reporter) as running:
        yield running
    assert not reporter.warnings


def nameless_files() -> set[str]:
    """What this process has open that stands in no folder."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        # The one that reads this folder is gone by now.
        with suppress(FileNotFoundError):
            found.add(str(link.readlink()))
    return {name for name in found if name.endswith(" (deleted)")}


def ask(
    server: WebServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Ask on a connection of its own."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    try:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(("path", "kind"), [
    ("/", "text/html; charset=utf-8"),
    ("/static/page.css", "text/css; charset=utf-8"),
    ("/static/page.js", "text/javascript; charset=utf-8"),
    ("/static/icon.svg", "image/svg+xml"),
    ("/api/status", "application/json"),
    ("/healthz", "text/plain; charset=utf-8"),
    ("/readyz", "text/plain; charset=utf-8"),
    ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
])  # fmt: skip
def test_every_page_is_there_with_its_kind_and_its_safeguards(
    server: WebServer, path: str, kind: str
) -> None:
    """Each is answered; what a browser may do with it is said on every answer."""
    status, headers, body = ask(server, path)
    assert (status, headers["Content-Type"]) == (200, kind)
    assert int(headers["Content-Length"]) == len(body) > 0
    expect_safeguards(headers)
    head = ask(server, path, "HEAD")
    assert (head[0], head[1]["Content-Length"], head[2]) == (200, str(len(body)), b"")


def expect_safeguards(headers: http.client.HTTPMessage) -> None:
    """A page may load its own files alone, and be framed and read by nobody."""
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Access-Control-Allow-Origin"] is None
    assert headers["Server"] is None


def test_data_is_never_kept_and_files_are_asked_for_again(server: WebServer) -> None:
    """Data goes into no cache; a file that a browser has is not sent twice."""
    assert ask(server, "/api/status")[1]["Cache-Control"] == "no-store"
    headers = ask(server, "/static/page.js")[1]
    assert headers["Cache-Control"] == "no-cache"
    again = ask(server, "/static/page.js", If_None_Match=headers["ETag"])
    assert (again[0], again[2]) == (304, b"")
    expect_safeguards(again[1])


def test_much_is_sent_packed_to_who_takes_it(server: WebServer, told: Told) -> None:
    """Who takes gzip gets it; others get the bytes as they are."""
    told.document = b"[" + b'"model",' * 5000 + b"0]"
    assert ask(server, "/api/status")[2] == told.document
    _, headers, body = ask(server, "/api/status", Accept_Encoding="gzip, br")
    assert headers["Content-Encoding"] == "gzip"
    assert len(body) < 1000
    assert gzip.decompress(body) == told.document


@pytest.mark.parametrize("path", [
    "/nope", "/static/", "/static/../app.py", "/static/%2e%2e/app.py", "//static/page.js/",
    "/index.html", "/api/status/", "/static/__init__.py",
])  # fmt: skip
def test_nothing_else_is_there(server: WebServer, path: str) -> None:
    """No other path leads anywhere, and none out of the folder."""
    status, headers, _ = ask(server, path)
    assert status == 404
    expect_safeguards(headers)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"])
def test_nothing_can_be_done_there(server: WebServer, method: str) -> None:
    """It is for looking: every other method is refused, and which there are is said."""
    status, headers, _ = ask(server, "/api/status", method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_what_is_not_well_is_said_with_its_reason(server: WebServer, told: Told) -> None:
    """Health and readiness are a status for machines, and a line for people."""
    told.well = (False, "the last pass did not end well: no room")
    for path in ("/healthz", "/readyz"):
        status, _, body = ask(server, path)
        assert (status, body) == (503, b"the last pass did not end well: no room\n")


@pytest.mark.parametrize("name", ["evil.example", "evil.example:80", "127.0.0.1.evil.example"])
def test_page_of_a_stranger_cannot_read_by_a_name_of_its_own(server: WebServer, name: str) -> None:
    """On loopback a request that was led here under another name gets nothing, and the way out."""
    status, _, body = ask(server, "/api/status", Host=name)
    assert status == 421
    assert b"localhost" in body
    assert STATUS not in body


@pytest.mark.parametrize("name", ["localhost:1", "127.0.0.1", "127.9.9.9:80", "[::1]:9292"])
def test_this_machine_may_be_called_by_any_of_its_names(server: WebServer, name: str) -> None:
    """A tunnel or a forwarded port changes the port, and localhost has many names."""
    assert ask(server, "/api/status", Host=name)[0] == 200


def test_beyond_loopback_every_name_is_taken(told: Told) -> None:
    """Who listens for others is reached under names that only the others know."""
    with serving(told, Heard(), "0.0.0.0") as server:  # noqa: S104 - what is tested
        assert not server.is_local
        assert ask(server, "/healthz", Host="home.lan")[0] == 200


def test_port_that_is_taken_is_told_at_once() -> None:
    """Two cannot listen at one place; the message says where, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"127.0.0.1:{port}") as told:
            WebServer("127.0.0.1", port, shown=Told(), reporter=Heard())
    assert "--listen" in told.value.hint


def test_port_is_free_again_once_it_is_closed(told: Told) -> None:
    """A server that ends leaves nothing behind: no thread, and nobody on its port."""
    before = threading.active_count()
    server = WebServer("127.0.0.1", 0, shown=told, reporter=Heard())
    with socket.create_connection((server.host, server.port)) as idle:
        assert ask(server, "/healthz")[0] == 200
        server.close()
        idle.settimeout(5)
        assert idle.recv(1) == b""
    wait_for(lambda: threading.active_count() <= before, "its threads to end")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


def test_close_writes_to_nothing_that_is_closed(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever wakes its thread at that moment, the end never writes to a number given up."""
    server = WebServer("127.0.0.1", 0, shown=told, reporter=Heard())
    trigger = server._server.trigger
    pull = trigger._physical_pull

    def pull_after_another() -> None:
        pull()
        wait_for(lambda: not server._thread.is_alive(), "its thread to end")
        pull()

    monkeypatch.setattr(trigger, "_physical_pull", pull_after_another)
    server.close()


def test_server_that_takes_over_from_another_answers_as_fast(told: Told) -> None:
    """One begins before the other ends; what lets them answer beside a pass stays on."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    try:
        first = WebServer("127.0.0.1", 0, shown=told, reporter=Heard())
        with serving(told, Heard()):
            first.close()
            assert sys.getswitchinterval() < 0.002
    finally:
        sys.setswitchinterval(before)


@pytest.mark.parametrize("beginning", [b"", b"GET /api/status HTTP/1.1\r\nX: "])
def test_many_who_are_slow_keep_nobody_out(server: WebServer, beginning: bytes) -> None:
    """A hundred connections that say nothing, or only begin to, are pushed out by who comes."""
    with ExitStack() as held:
        for _ in range(100):
            slow = socket.create_connection((server.host, server.port))
            held.enter_context(slow)
            slow.sendall(beginning)
        for _ in range(5):
            began = time.monotonic()
            assert ask(server, "/api/status")[0] == 200
            # Only who is slow waits until the server ends it.
            assert time.monotonic() - began < web_server._REQUEST_SECONDS


def test_who_never_reads_keeps_nobody_out(server: WebServer, told: Told) -> None:
    """Answers that nobody takes wait in their connection, and others are served beside them."""
    told.document = b"x" * 3_000_000
    with ExitStack() as held:
        for _ in range(10):
            deaf = held.enter_context(socket.socket())
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect((server.host, server.port))
            deaf.sendall(b"GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for _ in range(5):
            assert ask(server, "/healthz")[0] == 200


def test_answers_that_wait_end_with_the_server(told: Told) -> None:
    """Long answers wait in files; when the server ends, none of them stays open."""
    told.document = b"x" * 3_000_000
    before = nameless_files()
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with serving(told, Heard()) as server:
            deaf.connect((server.host, server.port))
            deaf.sendall(b"GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
            wait_for(lambda: nameless_files() != before, "the answer to wait in a file")
        assert nameless_files() == before


def test_who_asks_for_more_than_they_read_keeps_nobody_out(server: WebServer, told: Told) -> None:
    """Hundreds of requests in one go are no reason to keep answers: that one is cut off."""
    told.document = b"x" * 300_000
    with ExitStack() as held:
        for _ in range(4):
            greedy = held.enter_context(socket.socket())
            greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            greedy.connect((server.host, server.port))
            greedy.sendall(b"GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n" * 170)
        for _ in range(5):
            began = time.monotonic()
            assert ask(server, "/healthz")[0] == 200
            assert time.monotonic() - began < web_server._REQUEST_SECONDS


def test_few_requests_in_one_go_are_answered_in_their_order(server: WebServer) -> None:
    """HTTP lets a visitor send the next request before the answer."""
    with socket.create_connection((server.host, server.port)) as eager:
        eager.settimeout(10)
        host = b" HTTP/1.1\r\nHost: localhost\r\n"
        asked = b"GET /healthz", host, b"\r\nGET /nope", host, b"Connection: close\r\n\r\n"
        eager.sendall(b"".join(asked))
        answers = b"".join(iter(lambda: eager.recv(4096), b""))
    assert answers.index(b"HTTP/1.1 200 OK") < answers.index(b"HTTP/1.1 404 Not Found")


def test_request_that_trickles_is_ended(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request must come whole in time, however busy its sender looks."""
    monkeypatch.setattr(web_server, "_REQUEST_SECONDS", 0.3)
    with (
        serving(told, Heard()) as server,
        socket.create_connection((server.host, server.port)) as slow,
    ):
        slow.settimeout(0.05)

        def ended() -> bool:
            try:
                slow.sendall(b"GET / HTTP/1.1\r\nX: "[:1])
                return slow.recv(1) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        wait_for(ended, "the connection to be ended", seconds=9)


@pytest.mark.parametrize("sent", [
    b"nonsense\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n",
])  # fmt: skip
def test_what_is_no_request_of_ours_is_refused_in_few_bytes(server: WebServer, sent: bytes) -> None:
    """Nonsense, endless headers and large bodies end in an error, and the server goes on."""
    with socket.create_connection((server.host, server.port)) as rude:
        rude.settimeout(10)
        rude.sendall(sent)
        answer = http.client.HTTPResponse(rude)
        answer.begin()
        assert 400 <= answer.status < 500
        expect_safeguards(answer.headers)
    assert ask(server, "/healthz")[0] == 200


def test_defect_is_told_and_not_shown(told: Told) -> None:
    """What breaks inside is one warning to whoever runs the watch, however often somebody asks, and
    nothing to who asked.
    """

    def broken() -> bytes:
        raise RuntimeError("secret words")

    reporter = Heard()
    told.status = broken  # type: ignore[method-assign]
    with serving(told, reporter) as server:
        for _ in range(3):
            status, headers, body = ask(server, "/api/status")
        assert status == 500
        expect_safeguards(headers)
        assert b"secret" not in body
        assert ask(server, "/healthz")[0] == 200
    assert ["RuntimeError: secret words" in line for line in reporter.warnings] == [True]
