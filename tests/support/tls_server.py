"""A small https server that speaks HTTP/2 or HTTP/1.1, as agreed, and who vouches for it."""

from __future__ import annotations

import contextlib
import socketserver
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

_RECEIVE_BYTES = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request as it came: the protocol agreed on, the path, and its headers in lower case."""

    protocol: str
    path: str
    headers: Mapping[str, str]


class Authority:
    """Vouches for servers of this test; its certificate lies in `path`."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self.path = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(str(self.path))

    def context(self, protocols: Sequence[str]) -> ssl.SSLContext:
        """Give what a server for 127.0.0.1 and hub.test needs to prove itself."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("127.0.0.1", "hub.test").configure_cert(context)
        context.set_alpn_protocols(list(protocols))
        return context


class TlsServer(socketserver.ThreadingTCPServer):
    """Answers every path with `body`."""

    allow_reuse_address = True
    daemon_threads = False
    block_on_close = True

    def __init__(self, context: ssl.SSLContext, body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.context = context
        self.body = body
        self.port = int(self.server_address[1])
        self.seen: list[Seen] = []


class _Connection(socketserver.BaseRequestHandler):
    server: TlsServer

    def handle(self) -> None:
        self.request.settimeout(20)
        # A client that does not trust us, or is gone, is no affair of ours.
        with (
            contextlib.suppress(OSError),
            self.server.context.wrap_socket(self.request, server_side=True) as link,
        ):
            if link.selected_alpn_protocol() == "h2":
                self._speak_h2(link)
            else:
                self._speak_h1(link)

    def _speak_h2(self, link: ssl.SSLSocket) -> None:
        state = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        state.initiate_connection()
        link.sendall(state.data_to_send())
        while data := link.recv(_RECEIVE_BYTES):
            for event in state.receive_data(data):
                if isinstance(event, RequestReceived):
                    headers = {str(name): str(value) for name, value in event.headers or ()}
                    self._log("h2", headers[":path"], headers)
                    state.send_headers(event.stream_id or 0, [(":status", "200")])
                    state.send_data(event.stream_id or 0, self.server.body, end_stream=True)
            link.sendall(state.data_to_send())

    def _speak_h1(self, link: ssl.SSLSocket) -> None:
        reader = link.makefile("rb")
        while line := reader.readline().decode():
            headers = {}
            while field := reader.readline().decode().strip():
                name, _, value = field.partition(":")
                headers[name.lower()] = value.strip()
            self._log("http/1.1", line.split()[1], headers)
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(self.server.body)}\r\n\r\n"
            link.sendall(head.encode() + self.server.body)

    def _log(self, protocol: str, path: str, headers: Mapping[str, str]) -> None:
        self.server.seen.append(Seen(protocol=protocol, path=path, headers=headers))


@contextmanager
def running_tls(
    authority: Authority, *, body: bytes, protocols: Sequence[str] = ("h2", "http/1.1")
) -> Iterator[TlsServer]:
    """Give a server on loopback that offers `protocols`; close the clients before it ends."""
    with TlsServer(authority.context(protocols), body) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
