"""The wire of the embedded hub: HTTP/1.1 on loopback, one thread per connection."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Final

from reconciler.demo.hub_messages import Answer, LoggedRequest, OriginName, Request
from reconciler.demo.hub_sending import Holds, send_body

# The longest list of paths anybody asks about fits many times over.
_MAX_REQUEST_BODY_BYTES: Final = 1 << 20
# How soon a server notices that it is to stop; it costs nothing worth counting.
_POLL_SECONDS: Final = 0.02
# A client that sends nothing for so long has gone.
_IDLE_SECONDS: Final = 60.0


class Origin(socketserver.TCPServer):
    """One of the hub's two servers: `answer` makes the answers, `log` hears of every request."""

    allow_reuse_address = True
    request_queue_size = 128

    def __init__(
        self,
        name: OriginName,
        *,
        answer: Callable[[Request], Answer],
        log: Callable[[LoggedRequest], None],
        holds: Holds,
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.name: OriginName = name
        self.answer = answer
        self.log = log
        self.holds = holds
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        self._accepting = threading.Thread(
            target=self.serve_forever, args=(_POLL_SECONDS,), name=f"embedded-{name}", daemon=True
        )

    def start(self) -> None:
        """Serve from a thread of our own."""
        self._accepting.start()

    def stop(self) -> None:
        """Accept no more, end every connection and wait for its thread."""
        if self._accepting.ident is not None:
            self.shutdown()
            self._accepting.join()
        self.server_close()
        with self._lock:
            connections = dict(self._connections)
        for connection, thread in connections.items():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()

    def process_request(self, request: object, client_address: object) -> None:
        """Give the connection a thread that we can wait for."""
        assert isinstance(request, socket.socket)
        thread = threading.Thread(
            target=self._serve_connection, args=(request, client_address), daemon=True
        )
        with self._lock:
            self._connections[request] = thread
        thread.start()

    def _serve_connection(self, connection: socket.socket, client_address: object) -> None:
        try:
            self.finish_request(connection, client_address)
        except OSError:
            pass  # the client has gone, which is its right
        finally:
            with self._lock:
                del self._connections[connection]
            self.shutdown_request(connection)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "embedded-hub"
    sys_version = ""
    timeout = _IDLE_SECONDS
    # Headers and body are two writes; without this the second waits for the first's receipt.
    disable_nagle_algorithm = True
    server: Origin

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing: the log is kept for whoever asks, not printed."""

    def _serve(self) -> None:
        announced = self.headers.get("Content-Length", "0")
        length = int(announced) if announced.isdecimal() else _MAX_REQUEST_BODY_BYTES + 1
        if length > _MAX_REQUEST_BODY_BYTES:
            self.send_error(413)
            return
        request = Request(
            method=self.command,
            origin=self.server.name,
            target=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length),
        )
        entry = LoggedRequest(
            method=request.method,
            origin=request.origin,
            path=request.path,
            query=request.raw_query,
            headers=request.headers,
        )
        self.server.log(entry)
        self._send(request, self.server.answer(request), entry)

    def _send(self, request: Request, answer: Answer, entry: LoggedRequest) -> None:
        if answer.stall_first:
            self.server.holds.hold()
        if answer.hang_up:
            self.close_connection = True
            return
        body = answer.body
        entry.status = answer.status
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        match body.framing:
            case "length":
                self.send_header("Content-Length", str(body.length))
            case "chunks":
                self.send_header("Transfer-Encoding", "chunked")
            case "close":
                self.send_header("Connection", "close")
        self.end_headers()
        if request.method == "HEAD":
            return
        if not send_body(self.connection, body, self.server.holds, entry):
            self.close_connection = True
            if body.reset:
                self._reset()

    def _reset(self) -> None:
        """Have the connection end with a reset, which also drops what is on its way."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
