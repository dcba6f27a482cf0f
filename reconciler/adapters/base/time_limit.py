"""A limit on the time of a whole exchange: a limit on each of its steps lets a server drip."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Timer
from types import TracebackType
from typing import Any, Final, Self

# After these there is a socket that was not known before.
_CONNECTED: Final = ("connect_tcp.complete", "start_tls.complete")


class TimeLimit:
    """Breaks off the connections that it hears of when `seconds` are over, while it is entered.

    Whoever waits for them then gets an error, and `is_over` tells why.
    """

    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._sockets: list[socket.socket] = []
        self._timer = Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()

    def heed(self, event: str, told: dict[str, Any]) -> None:
        """Hear of the steps of a request: httpx tells them to its extension `trace`."""
        if event.endswith(_CONNECTED):
            self._sockets.append(told["return_value"].get_extra_info("socket"))
            if self.is_over:
                self._end()

    def _end(self) -> None:
        self.is_over = True
        for connected in self._sockets:
            # One that TLS has taken over is closed already. The method of TLS itself would pull
            # what a reader uses from under it.
            with suppress(OSError):
                socket.socket.shutdown(connected, socket.SHUT_RDWR)
