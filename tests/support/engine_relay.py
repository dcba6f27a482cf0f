"""A way to the Docker engine that breaks off for good in the middle of what is asked of it."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.forward_proxy import RECEIVE_BYTES, pass_on


class EngineRelay(socketserver.ThreadingUnixStreamServer):
    """Passes everything on to the engine's socket, until `goes_at` says so of a request.

    That one still gets there, and its answer does not come back; then the socket is gone.
    """

    daemon_threads = False
    block_on_close = True

    def __init__(self, path: Path, engine: Path, goes_at: Callable[[bytes], bool]) -> None:
        super().__init__(str(path), _Connection)
        self.path, self.engine, self.goes_at = path, engine, goes_at
        self.gone = threading.Event()

    def go(self) -> None:
        """Be gone from now on."""
        self.gone.set()
        self.path.unlink(missing_ok=True)


class _Connection(socketserver.BaseRequestHandler):
    server: EngineRelay

    def handle(self) -> None:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as there:
            there.connect(str(self.server.engine))
            back = threading.Thread(target=pass_on, args=(there, self.request))
            back.start()
            try:
                self._pass_on_requests(there)
            finally:
                there.shutdown(socket.SHUT_WR)
                back.join()

    def _pass_on_requests(self, there: socket.socket) -> None:
        while data := self.request.recv(RECEIVE_BYTES):
            if not self.server.gone.is_set() and self.server.goes_at(data):
                self.server.go()
            if self.server.gone.is_set():
                self.request.shutdown(socket.SHUT_RDWR)
            there.sendall(data)


@contextmanager
def relayed(path: Path, engine: Path, goes_at: Callable[[bytes], bool]) -> Iterator[EngineRelay]:
    """Listen at `path` for the engine whose socket is `engine`; gone at the end at the latest."""
    with EngineRelay(path, engine, goes_at) as relay:
        thread = threading.Thread(target=relay.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield relay
        finally:
            relay.shutdown()
            thread.join()
            relay.go()
