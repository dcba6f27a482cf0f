"""The web server: waitress on one socket, which nobody can fill by being slow."""

from __future__ import annotations

import logging
import socket
import sys
import time
from contextlib import suppress
from threading import Thread
from types import TracebackType
from typing import Any, Final, Self

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher
from waitress.wasyncore import close_all

from reconciler.adapters.base.urls import is_loopback
from reconciler.adapters.web.app import SAFEGUARDS, Shown, WebApp
from reconciler.core.ports.reporting import Reporter
from reconciler.errors import UsageError

# A page asks each second, so that whoever is silent for longer has gone.
_IDLE_SECONDS: Final = 15
_REQUEST_SECONDS: Final = 10.0
_MOST_CONNECTIONS: Final = 32
# Requests of one connection that wait for their answers; browsers send one after the other.
_MOST_WAITING: Final = 4
_THREADS: Final = 2
_STOP_SECONDS: Final = 2.0
# A pass that computes lets others have their turn so often; an answer needs several turns.
_TURN_SECONDS: Final = 0.001


class WebServer:
    """Shows `shown` at `host` and `port` (0: any that is free) until it is closed.

    Raises:
        UsageError: it cannot listen there.
    """

    def __init__(self, host: str, port: int, *, shown: Shown, reporter: Reporter) -> None:
        listening = _listening(host, port)
        self.host, self.port = listening.getsockname()[:2]
        self.is_local = is_loopback(self.host)
        _heed_log(reporter)
        adjustments = Adjustments(
            sockets=[listening],
            ident=None,
            channel_timeout=_IDLE_SECONDS,
            cleanup_interval=1,
            # Ours is met first; this one would keep everybody else out.
            connection_limit=2 * _MOST_CONNECTIONS + 8,
            max_request_header_size=32_768,
            max_request_body_size=1024,
            log_socket_errors=False,
            asyncore_use_poll=True,
        )
        self._dispatcher = ThreadedTaskDispatcher()
        self._dispatcher.set_thread_count(_THREADS)
        self._map: dict[int, Any] = {}
        self._server = _Server(
            WebApp(shown, host=host, local=self.is_local),
            self._map,
            True,
            listening,
            dispatcher=self._dispatcher,
            adj=adjustments,
            bind_socket=False,
            sockinfo=(listening.family, listening.type, listening.proto, listening.getsockname()),
        )
        # For good: the next server may begin before this one ends.
        sys.setswitchinterval(_TURN_SECONDS)
        self._thread = Thread(target=self._server.run, name="status page", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the page is."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    def close(self) -> None:
        """End it; the port is free then."""
        self._dispatcher.shutdown(timeout=_STOP_SECONDS)
        open_ones: dict[int, Any] = {}

        def leave() -> None:
            open_ones.update(self._map)
            self._map.clear()

        # Its own thread, which may be looking at them, lets go of them and ends. Only then are they
        # closed: a number that is free again may be a file's before the pull has written to it.
        self._server.trigger.pull_trigger(leave)
        self._thread.join(_STOP_SECONDS)
        close_all(open_ones)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Error(ErrorTask):  # type: ignore[misc]
    """What is said to requests that never reach the application, with the same safeguards."""

    def execute(self) -> None:
        """Say it."""
        self.response_headers.extend(SAFEGUARDS.items())
        super().execute()


class _Channel(HTTPChannel):  # type: ignore[misc]
    """A connection that knows since when it keeps us waiting."""

    error_task_class = _Error

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.waits_since = time.monotonic()

    def received(self, data: bytes) -> bool:
        """Take some bytes of a request."""
        if self.request is None:
            self.waits_since = time.monotonic()
        took = bool(super().received(data))
        # Whoever asks for more than they read would fill the memory, and hold up a thread.
        if len(self.requests) > _MOST_WAITING:
            self.hang_up()
        return took

    @property
    def is_slow(self) -> bool:
        """Whether a request takes longer to come than any honest one."""
        return self.request is not None and time.monotonic() - self.waits_since > _REQUEST_SECONDS

    def close(self) -> None:
        """End it at once, and with it the files in which long answers wait."""
        self.handle_close()

    def hang_up(self) -> None:
        """End it; the loop that looks at the sockets closes it when it sees that."""
        self.will_close = True
        # It may have gone by itself.
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


class _Server(TcpWSGIServer):  # type: ignore[misc]
    """Makes room for new connections by hanging up on the one that has kept us waiting longest."""

    channel_class = _Channel

    def handle_accept(self) -> None:
        """Take a new connection."""
        super().handle_accept()
        if len(self.active_channels) > _MOST_CONNECTIONS:
            waiting = [
                channel
                for channel in self.active_channels.values()
                if not channel.requests and not channel.will_close
            ]
            if waiting:
                min(waiting, key=lambda channel: channel.waits_since).hang_up()

    def maintenance(self, now: float) -> None:
        """Hang up on who is silent, who sends too slowly, and who does not read."""
        for channel in tuple(self.active_channels.values()):
            silent = not channel.requests and now - channel.last_activity > _IDLE_SECONDS
            if silent or channel.is_slow:
                channel.hang_up()


def _listening(host: str, port: int) -> socket.socket:
    where = f"{host}:{port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return socket.create_server(address, family=family, backlog=128)
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError(
            f"--listen {where}: cannot listen there: {why}",
            hint="choose an address of this machine and a port that is free "
            "(`ss -ltnp` tells who has it), such as --listen 127.0.0.1:9292",
        ) from error


class _ToReporter(logging.Handler):
    def __init__(self, reporter: Reporter) -> None:
        super().__init__(level=logging.ERROR)
        self._reporter = reporter
        self._told: set[tuple[str, type[BaseException] | None]] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Tell of a defect in one line, once: a page meets it each second."""
        message = record.getMessage()
        error = record.exc_info[1] if record.exc_info else None
        defect = message, type(error) if error else None
        if defect not in self._told:
            self._told.add(defect)
            why = f": {type(error).__name__}: {error}" if error else ""
            self._reporter.warn(f"the status page: {message}{why}")


def _heed_log(reporter: Reporter) -> None:
    """Let what waitress logs go where all else goes."""
    log = logging.getLogger("waitress")
    log.handlers = [_ToReporter(reporter)]
    log.propagate = False
