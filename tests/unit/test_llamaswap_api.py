"""llama-swap's HTTP interface: what we read from it, and what we do with a bad answer."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from reconciler.adapters.llamaswap.api import LlamaSwapServer
from reconciler.adapters.llamaswap.events import requests_in_flight
from reconciler.core.ports.serving import RunningModel, Server
from reconciler.errors import ServerUnreachable, UsageError
from tests.support.asking import LLAMA_SERVER, asking
from tests.support.llama_swap_process import local_llama_swap
from tests.support.waiting import wait_for

CONFIG = """\
includeAliasesInList: true
models:
  "first":
    cmd: llama-server --port ${PORT} -m first.gguf
    aliases: [one, eins]
  "org/second":
    cmd: llama-server --port ${PORT} -m second.gguf
  "hidden":
    cmd: llama-server --port ${PORT} -m hidden.gguf
    aliases: [secret]
    unlisted: true
"""
KEYS = 'apiKeys: ["s3cret"]\n'

Answer = tuple[int, bytes]


@contextlib.contextmanager
def answering(answer: Callable[[str], Answer]) -> Iterator[str]:
    """Serve `answer(path)` on loopback; give the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answer(self.path)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Give a llama-swap config with aliases, an unlisted model and an ID with a slash."""
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


def test_the_newer_version_tells_models_from_aliases(config: Path) -> None:
    """Aliases are left out of the IDs even where they are listed."""
    with local_llama_swap(config, behave="2026") as url:
        server: Server = LlamaSwapServer(url)
        assert server.is_healthy()
        assert server.model_ids() == {"first", "org/second"}
        assert server.version() == "250"


def test_the_older_version_lists_aliases_as_models(config: Path) -> None:
    """In version 2025 nothing tells a listed alias from a model, so it is among the IDs."""
    with local_llama_swap(config, behave="2025") as url:
        server = LlamaSwapServer(url)
        assert server.model_ids() == {"first", "one", "eins", "org/second"}
        assert server.version() == "173"


def test_the_key_is_sent_and_its_lack_is_said(config: Path) -> None:
    """A right key opens the list; no key and a wrong one are told apart, and the mend is named."""
    config.write_text(CONFIG + KEYS)
    with local_llama_swap(config) as url:
        assert LlamaSwapServer(url, api_key="s3cret").model_ids() == {"first", "org/second"}
        assert LlamaSwapServer(url).is_healthy(), "health needs no key"
        with pytest.raises(ServerUnreachable, match="asks for an API key") as caught:
            LlamaSwapServer(url).model_ids()
        assert "RECONCILER_LLAMA_SWAP_API_KEY" in caught.value.hint
        with pytest.raises(ServerUnreachable, match="does not accept our API key") as caught:
            LlamaSwapServer(url, api_key="wr0ng").model_ids()
        assert "wr0ng" not in str(caught.value) + caught.value.hint
        assert LlamaSwapServer(url, api_key="wr0ng").version() is None


def test_no_server_is_unhealthy_and_unreachable() -> None:
    """Where nothing listens, health is False, the version unknown, and the list an error."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        server = LlamaSwapServer(url)
        assert not server.is_healthy()
        assert server.version() is None
        with pytest.raises(ServerUnreachable, match=r"Connection refused") as caught:
            server.model_ids()
    assert url in caught.value.message
    assert "RECONCILER_LLAMA_SWAP_URL" in caught.value.hint


def test_a_silent_server_is_given_up() -> None:
    """A server that accepts and never answers costs the time-out and no more."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = LlamaSwapServer(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=0.2)
        assert not server.is_healthy()
        with pytest.raises(ServerUnreachable, match="timed out"):
            server.model_ids()


def test_a_trickling_answer_is_given_up() -> None:
    """A body that comes byte by byte for ever is left after the time-out."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def trickle() -> None:
            client, _ = listener.accept()
            with client, contextlib.suppress(OSError):
                client.recv(4096)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                while not done.wait(0.05):
                    client.sendall(b"x")

        thread = threading.Thread(target=trickle)
        thread.start()
        server = LlamaSwapServer(
            f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_seconds=0.3
        )
        try:
            with pytest.raises(ServerUnreachable, match="takes too long"):
                server.model_ids()
        finally:
            done.set()
            thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        (200, b""),
        (200, b"<html>some other program</html>"),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"data": {"id": "a"}}'),
        (200, b'{"data": 7}'),
        (200, b"\xff\xfe"),
        (200, b"[" * 100_000),
        (302, b""),
        (404, b'{"data": []}'),
        (500, b'{"data": []}'),
    ],
)
def test_what_is_no_list_of_models_is_an_error(answer: Answer) -> None:
    """Another program on that port, or a broken one, never passes for an empty list."""
    with answering(lambda _path: answer) as url:
        server = LlamaSwapServer(url)
        with pytest.raises(ServerUnreachable, match="no list of models"):
            server.model_ids()
        assert server.version() is None


def test_odd_entries_are_passed_over() -> None:
    """Entries and fields of other shapes do not hide the models beside them."""
    entries = [
        {"id": "good", "meta": {"llamaswap": {"aliases": ["a", 7, None]}}},
        {"id": "plain", "meta": None},
        {"id": "odd", "meta": {"llamaswap": ["type"]}},
        {"id": "worse", "meta": {"llamaswap": {"aliases": "text", "type": 3}}},
        {"id": 7},
        {"name": "no ID"},
        "text",
        None,
    ]
    body = json.dumps({"data": entries}).encode()
    with answering(lambda _path: (200, body)) as url:
        server = LlamaSwapServer(url)
        assert server.model_ids() == {"good", "plain", "odd", "worse"}
    with answering(lambda _path: (200, b'{"data": null}')) as url:
        assert LlamaSwapServer(url).model_ids() == frozenset()


def test_an_endless_answer_is_cut() -> None:
    """An answer beyond any real list is refused before it fills the memory."""
    with (
        answering(lambda _path: (200, b" " * (17 * 1024 * 1024))) as url,
        pytest.raises(ServerUnreachable, match="too large"),
    ):
        LlamaSwapServer(url).model_ids()


@pytest.mark.parametrize("status", [204, 302, 401, 404, 500, 503])
def test_only_200_is_healthy(status: int) -> None:
    """Any other status is bad health, a redirect included."""
    with answering(lambda _path: (status, b"")) as url:
        assert not LlamaSwapServer(url).is_healthy()


def test_a_path_in_the_url_comes_first_and_no_proxy_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Behind a reverse proxy's prefix it works; the proxy variables are for the outside world."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with answering(lambda path: (200 if path == "/swap/health" else 404, b"OK")) as url:
        assert LlamaSwapServer(url + "/swap/").is_healthy()
        assert not LlamaSwapServer(url).is_healthy()


def test_a_key_no_header_can_carry_is_said() -> None:
    """A key with a line break or foreign letters is an error of ours, and never printed."""
    with answering(lambda _path: (200, b"{}")) as url:
        for key in ("two\r\nX-Other: lines", "schlüssel→"):
            with pytest.raises(ServerUnreachable) as caught:
                LlamaSwapServer(url, api_key=key).model_ids()
            assert key not in str(caught.value)
            assert repr(key)[1:-1] not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8080",
        "ftp://host",
        "http://",
        "http://:8080",
        "http://host:port",
        "http://[::1",
    ],
)
def test_what_is_no_http_url_is_refused(url: str) -> None:
    """A wrong URL is a wrong setting, named as such, before anything is asked."""
    with pytest.raises(UsageError, match="not a URL") as caught:
        LlamaSwapServer(url)
    assert "RECONCILER_LLAMA_SWAP_URL" in caught.value.hint


def test_a_password_in_the_url_is_not_shown() -> None:
    """What stands before the `@` never reaches a message."""
    with pytest.raises(ServerUnreachable) as caught:
        LlamaSwapServer("http://user:pa55@127.0.0.1:1").model_ids()
    assert "pa55" not in str(caught.value)


BUSY = """\
models:
  "org/chat":
    cmd: {server} --port ${{PORT}} -m {model}
  broken:
    cmd: {server} --port ${{PORT}} -m /nowhere.gguf
"""


@pytest.fixture
def busy_config(tmp_path: Path) -> Path:
    """Give a config with a model that runs, its ID with a slash, and one that cannot."""
    model = tmp_path / "m.gguf"
    model.write_bytes(b"GGUF")
    path = tmp_path / "config.yaml"
    path.write_text(BUSY.format(server=LLAMA_SERVER, model=model))
    return path


@pytest.mark.parametrize("behave", ["2025", "2026"])
def test_model_is_loaded_seen_and_unloaded(busy_config: Path, behave: str) -> None:
    """A loaded model is told of, idle, by its ID; unloading it, known or not, leaves none."""
    with local_llama_swap(busy_config, behave=behave) as url:
        server = LlamaSwapServer(url)
        assert server.running() == ()
        assert server.load("org/chat", 20) == ""
        assert server.running() == (RunningModel(id="org/chat", state="ready"),)
        assert server.is_busy("org/chat") is False
        server.unload("org/chat")
        assert server.running() == ()
        server.unload("nobody")
        assert server.probe("org/chat", 20) == ""
        server.unload(None)
        assert server.running() == ()


def test_two_on_one_machine_have_their_models_for_themselves(busy_config: Path) -> None:
    """Each counts its models' ports from the same number; what one ends goes on with the other."""
    with local_llama_swap(busy_config) as first, local_llama_swap(busy_config) as second:
        one, other = LlamaSwapServer(first), LlamaSwapServer(second)
        assert one.load("org/chat", 60) == other.load("org/chat", 60) == ""
        one.unload("org/chat")
        assert other.probe("org/chat", 60) == ""


def test_model_that_does_not_come_up_says_why(busy_config: Path) -> None:
    """Loading and probing it give llama-swap's own word, and nothing is raised."""
    with local_llama_swap(busy_config) as url:
        server = LlamaSwapServer(url)
        assert "exited prematurely" in server.load("broken", 20)
        assert "exited prematurely" in server.probe("broken", 20)
        assert "status 404" in server.probe("nobody", 20)
    assert "no answer from llama-swap" in server.probe("org/chat", 5)
    assert "no answer from llama-swap" in server.load("org/chat", 5)


@pytest.mark.parametrize(("behave", "told"), [("2025", None), ("2026", {"org/chat": 1})])
def test_request_in_flight_is_seen(
    busy_config: Path, behave: str, told: dict[str, int] | None
) -> None:
    """The newer version counts it by its model; of the older one's, the model's slots tell."""
    with local_llama_swap(busy_config, behave=behave) as url:
        server = LlamaSwapServer(url)
        assert server.in_flight() == ({} if behave == "2026" else None)
        with asking(url, "org/chat") as answer:
            assert server.is_busy("org/chat") is True
            assert server.in_flight() == told
            answer.finish()
            assert answer.ended.wait(20)
        assert answer.is_whole
        wait_for(lambda: not server.is_busy("org/chat"), "an idle slot")


@pytest.mark.parametrize(
    ("stream", "told"),
    [
        ([b""], None),
        ([b'data:{"type":"inflight","data":"{\\"total\\":3}"}\n'], {"": 3}),
        ([b'data:{"type":"inflight","data":"{\\"total\\":0}"}\n'], {}),
        ([b'data: {"type":"infl', b'ight","data":"{\\"operation\\":\\"snapshot\\"}"}\n\n'], {}),
        (
            [
                b'data:{"type":"inflight","data":"{\\"operation\\":\\"upsert\\",\\"request\\":{}}"}\n'
            ],
            None,
        ),
        ([b'data:{"type":"inflight","data":7}\n', b"data:[[[\n", b"event:inflight\n"], None),
        (
            [
                b'data:{"type":"logData","data":"inflight"}\n\n',
                b'data:{"type":"inflight","data":"{\\"operation\\":\\"snapshot\\",\\"requests\\":'
                b'[{\\"model\\":\\"a\\"},{\\"model\\":\\"a\\"},{},7]}"}\n',
            ],
            {"a": 2, "": 2},
        ),
    ],
)
def test_stream_of_events_is_understood(stream: list[bytes], told: dict[str, int] | None) -> None:
    """However it is cut, the first event that tells of all requests counts, and no other."""
    assert requests_in_flight(stream) == told


def test_answers_of_other_shapes_are_no_claim() -> None:
    """Slots that are switched off are not known, and what is no list of models is an error."""
    body = {"/upstream/a/slots": b'{"error": 7}', "/upstream/b/slots": b'[{"id": 0}]'}
    with answering(lambda path: (200, body.get(path, b"7"))) as url:
        server = LlamaSwapServer(url)
        assert server.is_busy("a") is None
        assert server.is_busy("b") is None
        assert server.in_flight() is None
        with pytest.raises(ServerUnreachable, match="no list of models"):
            server.running()
    with answering(lambda _path: (501, b"no text here")) as url:
        assert LlamaSwapServer(url).is_busy("a") is None
        assert "501" in LlamaSwapServer(url).load("a", 5)
