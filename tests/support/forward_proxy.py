"""A forward proxy on loopback that finds every host where the test put it."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

RECEIVE_BYTES = 65536


class ForwardProxy(socketserver.ThreadingTCPServer):
    """Tunnels by CONNECT, and passes on requests for http URLs; `seen` is all it got to read.

    `ports` says at which port of this machine each host lies; any other is refused.
    """

    allow_reuse_address = True
    daemon_threads = False
    block_on_close = True

    def __init__(self, ports: Mapping[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.ports = ports
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.seen: list[str] = []


class _Connection(socketserver.BaseRequestHandler):
    server: ForwardProxy

    def handle(self) -> None:
        self.request.settimeout(20)
        with contextlib.suppress(OSError):
            self._serve(self.request)

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (data := client.recv(1)):
                return
            head += data
        text = head.decode("latin-1")
        self.server.seen.append(text)
        method, target, _ = text.split(" ", 2)
        tunnel = method == "CONNECT"
        host = target.rpartition(":")[0] if tunnel else urlsplit(target).hostname
        port = self.server.ports.get(host or "")
        if port is None:
            client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", port), timeout=20) as there:
            if tunnel:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                path = target[target.index("/", len("http://")) :]
                passed = text.replace(target, path, 1).replace(
                    "\r\n", "\r\nConnection: close\r\n", 1
                )
                there.sendall(passed.encode("latin-1"))
            back = threading.Thread(target=pass_on, args=(there, client))
            back.start()
            pass_on(client, there)
            back.join()


def pass_on(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes, to its end; a side that is closed is an end too."""
    with contextlib.suppress(OSError):
        while data := source.recv(RECEIVE_BYTES):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def running_proxy(ports: Mapping[str, int]) -> Iterator[ForwardProxy]:
    """Give a proxy that knows the hosts of `ports`; close the clients before it ends."""
    with ForwardProxy(ports) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
